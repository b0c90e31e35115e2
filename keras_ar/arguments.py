"""Checks of arguments: an error names the argument, what was expected and what came."""

import math
import numbers


def integer(value, name, least=1):
    """`value` as an integer of at least `least`; NumPy's integers are welcome, `True` is none."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < least:
        raise ValueError(f"`{name}` must be an integer of at least {least}. Received: {name}={value!r}.")
    return int(value)


def integers(value, name, least=1):
    """`value`, an integer or a sequence of them, as a tuple of at least one."""
    values = tuple(value) if isinstance(value, list | tuple) else (value,)
    if not values:
        raise ValueError(f"`{name}` must hold at least one integer. Received: {name}={value!r}.")
    try:
        return tuple(integer(v, name, least) for v in values)
    except ValueError as error:
        raise ValueError(
            f"`{name}` must be an integer of at least {least}, or a tuple of such. Received: {name}={value!r}."
        ) from error


def number(value, name, above=None):
    """`value` as a finite float, larger than `above`."""
    is_number = isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value)
    if not is_number or (above is not None and not value > above):
        expected = "a finite number" if above is None else f"a finite number above {above}"
        raise ValueError(f"`{name}` must be {expected}. Received: {name}={value!r}.")
    return float(value)

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


def pair(value, name):
    """`value`, an integer or two of them, as a pair."""
    values = integers(value, name)
    if len(values) > 2:
        raise ValueError(f"`{name}` must be an integer, or a pair of integers. Received: {name}={value!r}.")
    return values if len(values) == 2 else (values[0], values[0])


def multiple(value, name, of, of_name):
    """Checks that `value` is a multiple of `of`."""
    if value % of:
        below, above = value // of * of, (value // of + 1) * of
        near = f"{above}" if below == 0 else f"{below} or {above}"
        raise ValueError(
            f"`{name}` must be a multiple of `{of_name}` = {of}, such as {near}. Received: {name}={value}."
        )


def image_shape(event_shape, head):
    """Rows, columns, and how many colours of a pixel come one after the other, of the images that a head draws."""
    shape = integers(event_shape, "event_shape")
    positions = shape[: len(shape) - len(head.event_shape)]
    if len(positions) not in (2, 3):
        raise ValueError(
            f"`event_shape` must be that of an image, (rows, columns), (rows, columns, 1) or (rows, columns, colours). "
            f"Received: event_shape={event_shape!r}, with {head}."
        )
    return (*positions, 1)[:3]

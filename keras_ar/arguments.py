"""Checks of arguments: an error names the argument, what was expected and what came."""

import inspect
import math
import numbers
import reprlib
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

__all__ = ["array", "boolean", "integer", "integers", "multiple", "number", "one_of", "pair", "rate", "takes", "tensor"]


def array(value: Any, name: str) -> np.ndarray:
    """`value` as a NumPy array of booleans, integers or real numbers, in the byte order of this machine.

    >>> keras_ar.arguments.array([[1, 2], [3]], "x")
    Traceback (most recent call last):
    ...
    ValueError: `x` must be an array: lists of one length. Received: x=[[1, 2], [3]].
    """
    if ops.is_tensor(value):
        value = ops.convert_to_numpy(value)
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        raise ValueError(
            f"`{name}` must have no masked entries: fill them in, or leave them out. "
            f"Received {np.ma.count_masked(value)} of them."
        )
    try:
        found = np.asarray(value)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"`{name}` must be an array: lists of one length. Received: {name}={reprlib.repr(value)}."
        ) from error
    if found.dtype.kind not in "biuf":
        raise ValueError(f"`{name}` must hold numbers. Received: {name}.dtype={found.dtype}.")
    if found.dtype == "uint64":  # torch has none
        return found.astype("int64" if found.size == 0 or found.max() < 2**63 else "float64")
    return found if found.dtype.isnative else found.astype(found.dtype.newbyteorder("="))


def tensor(value: Any, name: str) -> Any:
    """`value` as a tensor or array of numbers: a tensor as it is, anything else as `array` makes of it.

    >>> keras_ar.arguments.tensor("abc", "x")
    Traceback (most recent call last):
    ...
    ValueError: `x` must hold numbers. Received: x.dtype=<U3.
    """
    if not hasattr(value, "shape") or isinstance(value, np.ndarray | np.generic):
        return array(value, name)
    dtype = keras.backend.standardize_dtype(value.dtype)
    if not dtype.startswith(("int", "uint", "float", "bfloat", "bool")):
        raise ValueError(f"`{name}` must hold numbers. Received: {name}.dtype={dtype}.")
    return value


def boolean(value: Any, name: str) -> bool:
    """`value`, which must be `True` or `False`.

    >>> keras_ar.arguments.boolean("no", "direct")
    Traceback (most recent call last):
    ...
    ValueError: `direct` must be True or False. Received: direct='no'.
    """
    if not isinstance(value, bool | np.bool_):
        raise ValueError(f"`{name}` must be True or False. Received: {name}={value!r}.")
    return bool(value)


def integer(value: Any, name: str, least: int = 1) -> int:
    """`value` as an integer of at least `least`. NumPy's integers are welcome; `True` is none.

    >>> keras_ar.arguments.integer(0, "units")
    Traceback (most recent call last):
    ...
    ValueError: `units` must be an integer of at least 1. Received: units=0.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < least:
        raise ValueError(f"`{name}` must be an integer of at least {least}. Received: {name}={value!r}.")
    return int(value)


def integers(value: Any, name: str, least: int = 1) -> tuple[int, ...]:
    """`value`, an integer or a sequence of integers, as a tuple of at least one.

    >>> keras_ar.arguments.integers(5, "hidden_units")
    (5,)
    """
    values = tuple(value) if isinstance(value, list | tuple) else (value,)
    if not values:
        raise ValueError(f"`{name}` must hold at least one integer. Received: {name}={value!r}.")
    try:
        return tuple(integer(v, name, least) for v in values)
    except ValueError as error:
        raise ValueError(
            f"`{name}` must be an integer of at least {least}, or a tuple of such. Received: {name}={value!r}."
        ) from error


def number(value: Any, name: str, above: float | None = None) -> float:
    """`value` as a finite float, larger than `above`.

    >>> keras_ar.arguments.number(2, "scale", above=0)
    2.0
    """
    is_number = isinstance(value, numbers.Real) and not isinstance(value, bool) and _is_finite(value)
    if not is_number or (above is not None and not value > above):
        expected = "a finite number" if above is None else f"a finite number above {above}"
        raise ValueError(f"`{name}` must be {expected}. Received: {name}={value!r}.")
    return float(value)


def _is_finite(value):
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond all floats
        return False


def rate(value: Any, name: str) -> float:
    """`value` as a float of at least 0 and below 1.

    >>> keras_ar.arguments.rate(1, "dropout")
    Traceback (most recent call last):
    ...
    ValueError: `dropout` must be at least 0 and below 1. Received: dropout=1.
    """
    found = number(value, name)
    if not 0 <= found < 1:
        raise ValueError(f"`{name}` must be at least 0 and below 1. Received: {name}={value!r}.")
    return found


def one_of(value: Any, name: str, choices: tuple[str, ...]) -> str:
    """`value`, which must be one of some strings.

    >>> keras_ar.arguments.one_of("row", "variant", ("row", "diagonal"))
    'row'
    """
    if not isinstance(value, str) or value not in choices:
        *others, last = map(repr, choices)
        raise ValueError(f"`{name}` must be {', '.join(others)} or {last}. Received: {name}={value!r}.")
    return value


def pair(value: Any, name: str) -> tuple[int, int]:
    """`value`, an integer or two of them, as a pair.

    >>> keras_ar.arguments.pair(3, "kernel_size")
    (3, 3)
    """
    values = integers(value, name)
    if len(values) > 2:
        raise ValueError(f"`{name}` must be an integer, or a pair of integers. Received: {name}={value!r}.")
    return values if len(values) == 2 else (values[0], values[0])


def multiple(value: int, name: str, of: int, of_name: str) -> None:
    """Raises a `ValueError` unless `value` is a multiple of `of`.

    >>> keras_ar.arguments.multiple(64, "filters", 3, "num_colors")
    Traceback (most recent call last):
    ...
    ValueError: `filters` must be a multiple of `num_colors` = 3, such as 63 or 66. Received: filters=64.
    """
    if value % of:
        below, above = value // of * of, (value // of + 1) * of
        near = f"{above}" if below == 0 else f"{below} or {above}"
        raise ValueError(
            f"`{name}` must be a multiple of `{of_name}` = {of}, such as {near}. Received: {name}={value}."
        )


def takes(function: Callable, name: str) -> bool:
    """Whether a function has an argument of that name.

    >>> keras_ar.arguments.takes(lambda x, condition=None: x, "condition")
    True
    """
    parameters = inspect.signature(function).parameters
    return name in parameters or any(each.kind is each.VAR_KEYWORD for each in parameters.values())

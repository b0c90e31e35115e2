"""What values are possible: of a head's draw, and of every entry of a model's events."""

import dataclasses
import math
from typing import Any

import numpy as np
from keras import ops

from keras_ar import arguments, mapped

__all__ = ["Support"]

_LAST_COUNT = 2**31 - 128  # the last integer of 32 bits that is also a float32


@dataclasses.dataclass(frozen=True)
class Support:
    """The set of values that one entry of an event may take.

    Make one by `Support.levels`, `Support.counts` or `Support.reals`.

    Args:
        dtype: String, the dtype of samples: `"int32"` for integers, `"float32"` for real numbers.
        num_levels: Integer, or `None`. Number of different values, `0, 1, ..., num_levels - 1`;
            `None` where there is no end of them. Defaults to `None`.
        low: Float. Smallest possible value. Defaults to `-inf`.
        high: Float. Largest possible value. Defaults to `inf`.
        resolution: Float. Spacing of the grid that real values were measured on. Only bits per
            dimension need it. Defaults to `1.0`.

    Example:

    >>> print(keras_ar.Support.levels(256))
    integers from 0 to 255
    >>> keras_ar.Support.reals(low=0.0).check(np.array([2.0, -1.0]))
    Traceback (most recent call last):
    ...
    ValueError: `x` must hold real numbers of at least 0. Received x[1] = -1.0.
    """

    dtype: str
    num_levels: int | None = None
    low: float = -math.inf
    high: float = math.inf
    resolution: float = 1.0

    @classmethod
    def levels(cls, num_levels: int) -> "Support":
        """The integers `0, ..., num_levels - 1`.

        >>> keras_ar.Support.levels(4).high
        3
        """
        num_levels = arguments.integer(num_levels, "num_levels", least=2)
        return cls("int32", num_levels, 0, num_levels - 1)

    @classmethod
    def counts(cls) -> "Support":
        """The integers `0, 1, ...`, without an upper end but that of 32 bits.

        >>> print(keras_ar.Support.counts())
        integers from 0 to 2147483520
        """
        return cls("int32", None, 0, _LAST_COUNT)

    @classmethod
    def reals(cls, low: float = -math.inf, high: float = math.inf, *, resolution: float = 1.0) -> "Support":
        """The real numbers from `low` to `high`.

        >>> print(keras_ar.Support.reals(-1.0, 1.0))
        real numbers from -1 to 1
        """
        return cls("float32", None, float(low), float(high), arguments.number(resolution, "resolution", above=0))

    @property
    def is_discrete(self) -> bool:
        """Whether the values are integers."""
        return self.dtype == "int32"

    def contains(self, x: Any) -> Any:
        """Whether each value is possible: a boolean tensor of the shape of `x`.

        >>> inside = keras_ar.Support.levels(2).contains(np.array([0.0, 0.5, 2.0]))
        >>> keras.ops.convert_to_numpy(inside).tolist()
        [True, False, False]
        """
        x = ops.convert_to_tensor(x)
        inside = ops.less_equal(x, self.high)
        if self.low > 0 or "uint" not in str(x.dtype):
            inside = ops.logical_and(ops.greater_equal(x, self.low), inside)
        if "int" in str(x.dtype) or "bool" in str(x.dtype):
            return inside
        known = ops.equal(x, ops.floor(x)) if self.is_discrete else ops.isfinite(x)
        return ops.logical_and(inside, known)

    def replace_impossible(self, x: Any, is_possible: Any) -> Any:
        """A tensor of which the entries that are not `is_possible` are replaced by a value from the support.

        >>> support = keras_ar.Support.reals(low=0.0)
        >>> x = np.array([2.0, -1.0])
        >>> keras.ops.convert_to_numpy(support.replace_impossible(x, support.contains(x))).tolist()
        [2.0, 1.0]
        """
        x = ops.convert_to_tensor(x)
        return ops.where(is_possible, x, ops.cast(self._somewhere, x.dtype))

    @property
    def _somewhere(self) -> float:
        """A value well inside."""
        if self.is_discrete:
            return self.low
        if math.isfinite(self.low):
            return (self.low + self.high) / 2 if math.isfinite(self.high) else self.low + 1.0
        return self.high - 1.0 if math.isfinite(self.high) else 0.0

    def check(self, x: Any, name: str = "x", owner: Any = None) -> None:
        """Raises a `ValueError` if the NumPy array `x` holds a value that is not possible.

        Args:
            x: Array of any shape.
            name: String, what the error calls the array.
            owner: What the support belongs to, for the error. Defaults to `None`.
        """
        values = np.asarray(x)
        if values.dtype.kind not in "biuf":
            raise ValueError(f"`{name}` must hold numbers. Received: {name}.dtype={values.dtype}.")
        for first, piece in mapped.pieces(values):  # no array is made of the size of all values
            self._check_piece(piece, first, name, owner)

    def _check_piece(self, values, first, name, owner):
        """Checks some rows of an array, of which `first` is the index of the first one."""
        if values.dtype.kind == "f":
            with np.errstate(over="ignore"):  # models compute in float32
                is_finite = np.isfinite(values if values.dtype.itemsize <= 4 else values.astype("float32"))
            if not is_finite.all():
                in_float32 = ", in float32" if np.isfinite(values).all() else ""
                raise ValueError(
                    f"`{name}` must be finite{in_float32}. Received {_first(values, ~is_finite, name, first)}."
                )
        wrong = (values < self.low) | (values > self.high)
        if self.is_discrete and values.dtype.kind == "f":
            wrong |= values != np.floor(values)
        if wrong.any():
            of_owner = "" if owner is None else f", the support of {owner}"
            raise ValueError(f"`{name}` must hold {self}{of_owner}. Received {_first(values, wrong, name, first)}.")

    def random(self, shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
        """Random values, for trying out what takes them: every level alike, small counts, real values of order one.

        >>> keras_ar.Support.levels(2).random((2, 4), seed=0).shape
        (2, 4)
        """
        rng = np.random.default_rng(seed)
        if self.is_discrete:
            return rng.integers(0, self.num_levels or 5, shape).astype(self.dtype)
        if math.isfinite(self.low) and math.isfinite(self.high):
            return rng.uniform(self.low, self.high, shape).astype(self.dtype)
        values = rng.normal(size=shape)
        if math.isfinite(self.low):
            values = self.low + np.abs(values)
        elif math.isfinite(self.high):
            values = self.high - np.abs(values)
        return values.astype(self.dtype)

    def __str__(self) -> str:
        kind = "integers" if self.is_discrete else "real numbers"
        if math.isfinite(self.low) and math.isfinite(self.high):
            low, high = (self.low, self.high) if self.is_discrete else (f"{self.low:g}", f"{self.high:g}")
            return f"{kind} from {low} to {high}"
        if math.isfinite(self.low):
            return f"{kind} of at least {self.low:g}"
        return f"{kind} up to {self.high:g}" if math.isfinite(self.high) else kind


def _first(values, wrong, name, first):
    """The first value that is wrong, by its index in the array whose row `first` is the first of `values`."""
    index = tuple(int(i) for i in np.argwhere(wrong)[0])
    place = [index[0] + first, *index[1:]] if index else []
    return f"{name}{place} = {values[index]}"

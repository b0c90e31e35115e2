"""Sines and cosines of a position: exact however long a stream has run."""

import numpy as np
from keras import ops

__all__ = ["Waves"]

_BASE, _NUM_DIGITS = 256, 4  # positions up to 2**32


class Waves:
    """The cosines and sines of `t * frequency`, for frequencies that fall from 1 to about `1 / longest`.

    The product is never formed in float32, where at `t = 1e6` it is off by some hundredths of a radian. A position is
    written in digits of base 256; the angle of each digit comes from a table made in float64, and the angles are added
    as rotations.

    Args:
        size: Integer, how many frequencies.
        longest: Float, the base of the frequencies' powers. Defaults to `10000.0`.

    Example:

    >>> cosines, sines = keras_ar.positions.Waves(2)(keras.ops.convert_to_tensor([0, 3]))
    >>> [round(float(c), 4) for c in cosines[1]]  # of 3 and of 0.03 radians
    [-0.99, 0.9996]
    """

    def __init__(self, size, longest=10000.0):
        frequencies = longest ** -(np.arange(size) / size)
        self._tables = []
        for place in range(_NUM_DIGITS):
            angles = np.outer(np.arange(_BASE) * float(_BASE) ** place, frequencies)
            self._tables.append((np.cos(angles).astype("float32"), np.sin(angles).astype("float32")))

    def __call__(self, t):
        """Two float32 tensors of shape `(*t.shape, size)`, for a tensor of positions or an integer."""
        t = ops.cast(ops.convert_to_tensor(t), "int32")
        cosine, sine = self._of_digit(0, t % _BASE)
        for place in range(1, _NUM_DIGITS):
            t = t // _BASE
            c, s = self._of_digit(place, t % _BASE)
            cosine, sine = cosine * c - sine * s, sine * c + cosine * s
        return cosine, sine

    def _of_digit(self, place, digit):
        return tuple(ops.take(ops.convert_to_tensor(table), digit, axis=0) for table in self._tables[place])

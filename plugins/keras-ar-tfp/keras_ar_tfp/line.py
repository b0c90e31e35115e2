"""The line, the half-line or the interval that values of a distribution lie in."""

import math

import numpy as np
from keras import ops

_FARTHEST = 1e12  # what is drawn, and its square, is a float32
_NEAREST = 1e-30  # to an end at zero, where a density may be infinite


class Line:
    """The real numbers between two ends, of which one or both may be infinite.

    Args:
        low, high: Floats, the ends.
    """

    def __init__(self, low, high):
        self.low, self.high = low, high
        self._first, self._last = _inside(low, math.inf), _inside(high, -math.inf)
        if math.isfinite(low):
            self.somewhere = 0.5 * (low + high) if math.isfinite(high) else low + 1.0
        else:
            self.somewhere = 0.0

    def clip(self, x):
        """Values within the ends, and not on them."""
        return ops.clip(x, self._first, self._last)

    @property
    def reach(self):
        """The two numbers of which `place` makes the outermost values."""
        most = math.log(_FARTHEST)
        if math.isfinite(self.low):
            return math.log(_NEAREST), -math.log(_NEAREST) if math.isfinite(self.high) else most
        return -most - math.log(2.0), most + math.log(2.0)

    def place(self, t):
        """An increasing map to the values, in whose units halving an interval finds small and large ones alike."""
        if not math.isfinite(self.low):
            return self.clip(ops.sinh(t))
        if not math.isfinite(self.high):
            return self.clip(self.low + ops.exp(t))
        return self.clip(self.low + (self.high - self.low) * ops.sigmoid(t))


def _inside(end, direction):
    """The value next to an end of a line."""
    if math.isinf(end):
        return math.copysign(_FARTHEST, end)
    return (
        math.copysign(_NEAREST, direction) if end == 0 else float(np.nextafter(np.float32(end), np.float32(direction)))
    )

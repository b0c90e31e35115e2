"""The base of heads over all real numbers."""

import copy
import math

import numpy as np
from keras import ops

from keras_ar import arguments
from keras_ar.heads.head import Head
from keras_ar.support import Support

__all__ = ["RealHead"]


class RealHead(Head):
    """Real values in the data's own units: the network sees `(x - loc) / scale`, and predicts in those units.

    Args:
        loc: Float, the mean of the data, roughly; or a float for each position of an event, in an array of the
            shape of the positions, such as the columns of a table. Defaults to `0.0`.
        scale: Float, the standard deviation of the data, roughly; or an array of such. Defaults to `1.0`.
        resolution: Float, spacing of the grid that the data were measured on (1/255 for
            8-bit pixels scaled to `[0, 1]`); only bits per dimension need it. Defaults to `1.0`.
    """

    def __init__(self, loc=0.0, scale=1.0, resolution=1.0):
        self.loc = _number_or_array(loc, "loc")
        self.scale = _number_or_array(scale, "scale", above=0)
        if np.ndim(self.loc) and np.ndim(self.scale) and self.loc.shape != self.scale.shape:
            raise ValueError(
                f"`loc` and `scale` must have one shape, or be numbers. "
                f"Received: loc.shape={self.loc.shape}, scale.shape={self.scale.shape}."
            )
        self.log_scale = np.log(self.scale) if isinstance(self.scale, np.ndarray) else math.log(self.scale)
        self.support = Support.reals(resolution=resolution)

    def encode(self, x):
        """Standardizes by `loc` and `scale`."""
        x = ops.cast(x, "float32")
        return x if self._is_standard else (x - _operand(self.loc)) / _operand(self.scale)

    def decode(self, z):
        """Undoes `encode`."""
        return z if self._is_standard else _operand(self.loc) + _operand(self.scale) * z

    def per_unit(self, log_density):
        """The log-density of values, from that of what `encode` makes of them."""
        return log_density if self._is_standard else log_density - _operand(self.log_scale)

    @property
    def _is_standard(self):
        """Whether data and network have the same units: code that is not compiled pays for idle operations."""
        values = (self.loc, self.scale)
        return all(isinstance(value, float) for value in values) and values == (0.0, 1.0)

    @property
    def position_shape(self):
        """Shape of `loc` and `scale`, if they differ between positions; else `None`."""
        return next((value.shape for value in (self.loc, self.scale) if isinstance(value, np.ndarray)), None)

    def at(self, positions):
        """The head of some positions, with their `loc` and `scale`."""
        if self.position_shape is None:
            return self
        head = copy.copy(self)
        for name in ("loc", "scale", "log_scale"):
            value = getattr(self, name)
            if isinstance(value, np.ndarray):
                setattr(head, name, ops.take(value.astype("float32").ravel(), positions))
        return head

    def get_config(self):
        """Arguments of the constructor."""
        found = {"loc": self.loc, "scale": self.scale, "resolution": self.support.resolution}
        return {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in found.items()}


def _number_or_array(value, name, above=None):
    if np.ndim(value) == 0:
        return arguments.number(value, name, above)
    array = arguments.array(value, name).astype("float64")
    for number in array.flat:
        arguments.number(number, name, above)
    return array


def _operand(value):
    """A number, or an array as a tensor."""
    return value if isinstance(value, float) else ops.convert_to_tensor(value, "float32")

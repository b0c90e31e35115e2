"""The base of heads over all real numbers."""

from keras import ops

from keras_ar import arguments
from keras_ar.heads.head import Head
from keras_ar.support import Support

__all__ = ["RealHead"]


class RealHead(Head):
    """Real values in the data's own units: the network sees `(x - loc) / scale`, and predicts in those units.

    Args:
        loc: Float, the mean of the data, roughly. Defaults to `0.0`.
        scale: Float, the standard deviation of the data, roughly. Defaults to `1.0`.
        resolution: Float, spacing of the grid that the data were measured on (1/255 for
            8-bit pixels scaled to `[0, 1]`); only `bits_per_dim` uses it. Defaults to `1.0`.
    """

    def __init__(self, loc=0.0, scale=1.0, resolution=1.0):
        self.loc = arguments.number(loc, "loc")
        self.scale = arguments.number(scale, "scale", above=0)
        self.support = Support.reals(resolution=resolution)

    def encode(self, x):
        """Standardizes by `loc` and `scale`."""
        return (ops.cast(x, "float32") - self.loc) / self.scale

    def get_config(self):
        """Arguments of the constructor."""
        return {"loc": self.loc, "scale": self.scale, "resolution": self.support.resolution}

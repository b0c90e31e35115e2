"""The base of heads over a finite number of integer levels."""

from keras import ops

from keras_ar.heads.head import Head
from keras_ar.support import Support

__all__ = ["LevelHead"]


class LevelHead(Head):
    """Integers `0, ..., num_levels - 1`, which the network sees between -1 and 1.

    Args:
        num_levels: Integer of at least 2, the number of levels.
    """

    def __init__(self, num_levels):
        self.support = Support.levels(num_levels)
        self.num_levels = self.support.num_levels

    def encode(self, x):
        """Scales the levels to the range from -1 to 1."""
        return ops.cast(x, "float32") * (2.0 / (self.num_levels - 1)) - 1.0

    def get_config(self):
        """Arguments of the constructor."""
        return {"num_levels": self.num_levels}

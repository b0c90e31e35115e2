"""ImageModel: events are images, and a condition may be a map over them."""

import math

from keras import ops

from keras_ar import arguments
from keras_ar.autoregressive import AutoregressiveModel


class ImageModel(AutoregressiveModel):
    """A model of images: what its layers are given.

    A subclass finds the size in `rows`, `columns` and `colours`: how many of a
    pixel come one after the other, 1 if the head draws them together.

    Args:
        event_shape: `(rows, columns)`, `(rows, columns, 1)` or `(rows, columns, colours)`.
        **kwargs: As in `AutoregressiveModel`. A condition of shape `(rows, columns, features)` is
            a map: each pixel has its own.

    Example:

    >>> model = keras_ar.models.GatedPixelCNN((4, 5), filters=2, num_blocks=0, condition_shape=(4, 5, 3))
    >>> model.has_map
    True
    """

    def __init__(self, event_shape, **kwargs):
        super().__init__(event_shape, **kwargs)
        self.rows, self.columns, self.colours = arguments.image_shape(self.event_shape, self.head)
        self.has_map = self.condition_shape is not None and self.condition_shape[:-1] == (self.rows, self.columns)

    def encode_image(self, x):
        """Events as a network's inputs, `(batch, rows, columns, channels)`."""
        return ops.reshape(self.head.encode(x), (-1, self.rows, self.columns, self.colours * self.step_size))

    def shaped(self, condition):
        """The condition as layers take it: a map, or a vector."""
        if condition is None or self.has_map:
            return condition
        return ops.reshape(condition, (-1, math.prod(self.condition_shape)))

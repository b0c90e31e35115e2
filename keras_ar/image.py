"""ImageModel: events are images, and a condition may be a map over them."""

from keras import ops

from keras_ar import arguments, heads
from keras_ar.autoregressive import AutoregressiveModel

__all__ = ["ImageModel", "image_size"]


class ImageModel(AutoregressiveModel):
    """A model of images: what its layers are given.

    A subclass finds the size in `rows`, `columns` and `num_colors`: how many colors of a
    pixel come one after the other, 1 if the head draws them together.

    Args:
        event_shape: `(rows, columns)`, `(rows, columns, 1)` or `(rows, columns, colors)`.
        head: Name, instance, class or config of a head. Defaults to `"bernoulli"`.
        condition_shape: Integer or tuple, the shape of the condition of one event, or `None`. One of shape
            `(rows, columns, features)` is a map: each pixel has its own, where the model `takes_maps`. Elsewhere
            it is one long vector. Defaults to `None`.
        num_classes: Integer, the number of classes that a condition may be, or `None`. Defaults to `None`.
        **kwargs: As in `AutoregressiveModel`.

    Example:

    >>> model = keras_ar.models.GatedPixelCNN((4, 5), filters=2, num_blocks=0, condition_shape=(4, 5, 3))
    >>> model.has_map
    True
    """

    takes_maps = True

    def __init__(self, event_shape, *, head="bernoulli", condition_shape=None, num_classes=None, **kwargs):
        super().__init__(event_shape, head=head, condition_shape=condition_shape, num_classes=num_classes, **kwargs)
        self.rows, self.columns, self.num_colors = image_size(self.event_shape, self.head)
        of_image = self.condition_shape is not None and self.condition_shape[:-1] == (self.rows, self.columns)
        if of_image and not self.takes_maps:
            raise ValueError(
                f"`condition_shape` must not be that of a map, (rows, columns, features), which {type(self).__name__} "
                f"cannot take. Received: condition_shape={condition_shape!r}."
            )
        self.has_map = of_image

    def encode_image(self, x):
        """Events as a network's inputs, `(batch, rows, columns, channels)`."""
        encoded = self.head.encode_draws(x)
        return ops.reshape(encoded, (-1, self.rows, self.columns, self.num_colors * self.num_features))

    def layer_condition(self, condition):
        """The condition as layers take it: a map, or a vector; `None` if there is none."""
        return condition if self.has_map else self.flat_condition(condition)

    def get_config(self):
        config = super().get_config()
        del config["ordering"]  # raster order, unless a subclass says otherwise
        return config


def image_size(event_shape, head):
    """Rows, columns, and how many colors of a pixel come one after the other, of the images that a head draws.

    Args:
        event_shape: Integer or tuple, the shape of one event.
        head: A head, or its name.

    Example:

    >>> keras_ar.image.image_size((8, 8, 3), "bernoulli")
    (8, 8, 3)
    """
    head, shape = heads.get(head), arguments.integers(event_shape, "event_shape")
    positions = shape[: len(shape) - len(head.event_shape)]
    if len(positions) not in (2, 3):
        raise ValueError(
            f"`event_shape` must be that of an image, (rows, columns), (rows, columns, 1) or (rows, columns, colors). "
            f"Received: event_shape={event_shape!r}, with {head}."
        )
    return (*positions, 1)[:3]

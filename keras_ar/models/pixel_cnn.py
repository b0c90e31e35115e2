"""PixelCNN: masked convolutions over an image. https://arxiv.org/abs/1601.06759"""

import keras
from keras import ops

from keras_ar import arguments
from keras_ar.image import ImageModel
from keras_ar.layers import MaskedConv2D, MaskedResidualBlock

__all__ = ["PixelCNN"]


@keras.saving.register_keras_serializable(package="keras_ar")
class PixelCNN(ImageModel):
    """Masked convolutions, each pixel seeing those above it and to its left.

    A first convolution hides each pixel from itself; residual blocks and two 1×1
    convolutions follow. With a head of single values the colors of a pixel come
    one after the other, R, G, B; a head that draws a pixel's colors together
    takes a pixel in one step.

    Args:
        event_shape: `(rows, columns)`, `(rows, columns, 1)` or `(rows, columns, colors)`.
        filters: Integer, number of features of a pixel; a multiple of twice the number of
            colors, where these come one after the other. Defaults to `64`.
        num_blocks: Integer, number of residual blocks. Defaults to `5`.
        kernel_size: Odd integer, kernel size of the first convolution. Defaults to `7`.
        dropout: Float in [0, 1). Dropout rate in each block, active in training. Defaults to `0.0`.
        head: Name, instance, class or config of a head. Defaults to `"bernoulli"`.
        condition_shape: Integer or tuple, the shape of the condition of one event, or `None`. Defaults to `None`.
        num_classes: Integer, the number of classes that a condition may be, or `None`. Defaults to `None`.
        **kwargs: `name` and `dtype`.

    Example:

    >>> model = keras_ar.models.PixelCNN(event_shape=(8, 8, 1), filters=16, num_blocks=2)
    >>> model.sample(3, seed=0).shape
    (3, 8, 8, 1)

    Reference:
        [van den Oord et al., 2016](https://arxiv.org/abs/1601.06759), section 3.5 and table 1.
    """

    takes_maps = False

    def __init__(
        self,
        event_shape,
        *,
        filters=64,
        num_blocks=5,
        kernel_size=7,
        dropout=0.0,
        head="bernoulli",
        condition_shape=None,
        num_classes=None,
        **kwargs,
    ):
        # Check and store.
        super().__init__(event_shape, head=head, condition_shape=condition_shape, num_classes=num_classes, **kwargs)
        self.filters = arguments.integer(filters, "filters")
        self.num_blocks = arguments.integer(num_blocks, "num_blocks", least=0)
        self.kernel_size = kernel_size
        self.dropout = arguments.rate(dropout, "dropout")
        arguments.multiple(filters, "filters", 2 * self.num_colors, "2 * num_colors")

        # Layers.
        options = {"num_colors": self.num_colors, "dtype": self.dtype_policy}
        self.stem = MaskedConv2D(filters, kernel_size, mask_type="A", name="stem", **options)
        self.blocks = [
            MaskedResidualBlock(filters, dropout=dropout, name=f"block_{i}", **options) for i in range(num_blocks)
        ]
        self.hidden = MaskedConv2D(filters, 1, activation="relu", name="hidden", **options)
        self.to_params = MaskedConv2D(self.num_colors * self.head.num_params, 1, name="to_params", **options)
        if self.condition_shape:
            self.condition_bias = keras.layers.Dense(
                filters, use_bias=False, dtype=self.dtype_policy, name="condition_bias"
            )

    def call(self, x, condition=None, training=None):
        h = self.stem(self.encode_image(x))  # (batch, rows, columns, filters)
        if condition is not None:
            h = h + ops.expand_dims(self.condition_bias(self.flat_condition(condition)), (1, 2))
        for block in self.blocks:
            h = block(h, training=training)
        params = self.to_params(self.hidden(ops.relu(h)))
        return ops.reshape(params, (-1, *self.position_shape, self.head.num_params))

    # One pixel, or one color of it, at a time.

    @property
    def _parts(self):
        return [self.stem, *self.blocks, self.hidden, self.to_params]

    def prepare(self, condition=None):
        constants = {"parts": [part.prepare() for part in self._parts]}
        if condition is not None:
            bias = self.condition_bias(self.flat_condition(condition))
            constants["bias"] = ops.reshape(bias, (-1, self.num_colors, self.filters // self.num_colors))
        return constants

    def start(self, batch_size, num_steps):
        return [part.start(batch_size, num_steps) for part in self._parts]

    def step(self, constants, state, t, previous):
        h, states = self.encode_previous(previous, t), []  # (batch, features)
        for part, of_part, part_state in zip(self._parts, constants["parts"], state, strict=True):
            h = ops.relu(h) if part is self.hidden else h
            h, part_state = part.step(of_part, part_state, t, h)
            states.append(part_state)
            if part is self.stem and "bias" in constants:
                h = h + constants["bias"][:, t % self.num_colors]
        return h, states

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.filters,
            "num_blocks": self.num_blocks,
            "kernel_size": self.kernel_size,
            "dropout": self.dropout,
        }

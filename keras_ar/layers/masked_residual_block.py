"""The residual block of PixelCNN."""

import keras
from keras import ops

from keras_ar import arguments
from keras_ar.layers.kernel_layer import KernelLayer
from keras_ar.layers.masked_conv2d import MaskedConv2D

__all__ = ["MaskedResidualBlock"]


@keras.saving.register_keras_serializable(package="keras_ar")
class MaskedResidualBlock(KernelLayer):
    """Residual block of masked convolutions of mask type B: 1×1 to half the features, a wider one, 1×1 back.

    Args:
        filters: Integer, number of channels, in and out; a multiple of `2 * num_colors`.
        kernel_size: Odd integer, or a pair of odd integers: the kernel of the convolution in
            the middle. Defaults to `3`.
        num_colors: Integer, number of colors of a pixel that come one after the other; see `MaskedConv2D`.
            Defaults to `1`.
        dropout: Float in [0, 1). Dropout rate before the last convolution, active in training. Defaults to `0.0`.
        **kwargs: Initializers, regularizers and constraints, as in `keras.layers.Dense`; `name` and `dtype`.

    Call arguments:
        inputs: Tensor of shape `(batch, rows, columns, filters)`, or
            `(batch, rows, columns, num_colors, filters / num_colors)`.

    Returns:
        Tensor of the same shape.

    Example:

    >>> block = keras_ar.layers.MaskedResidualBlock(8)
    >>> tuple(block(np.ones((1, 5, 6, 8))).shape)
    (1, 5, 6, 8)

    Reference:
        [van den Oord et al., 2016](https://arxiv.org/abs/1601.06759), figure 5.
    """

    def __init__(self, filters, kernel_size=3, num_colors=1, dropout=0.0, **kwargs):
        super().__init__(**kwargs)
        self.filters = arguments.integer(filters, "filters")
        self.kernel_size = arguments.pair(kernel_size, "kernel_size")
        self.num_colors = arguments.integer(num_colors, "num_colors")
        self.dropout = arguments.rate(dropout, "dropout")
        arguments.multiple(self.filters, "filters", 2 * self.num_colors, "2 * num_colors")

        half, options = filters // 2, {"num_colors": num_colors, "dtype": self.dtype_policy, **self.weight_options}
        self.reduce = MaskedConv2D(half, 1, activation="relu", name="reduce", **options)
        self.middle = MaskedConv2D(half, kernel_size, activation="relu", name="middle", **options)
        self.expand = MaskedConv2D(filters, 1, name="expand", **options)
        self.dropout_layer = keras.layers.Dropout(dropout, dtype=self.dtype_policy)

    def build(self, input_shape):
        shape = input_shape
        for part in self._parts:
            part.build(shape)
            shape = part.compute_output_shape(shape)
        if shape != tuple(input_shape):
            raise ValueError(
                f"`inputs` must have filters = {self.filters} channels. Received: inputs.shape={tuple(input_shape)}."
            )

    def call(self, inputs, training=None):
        h = self.middle(self.reduce(ops.relu(inputs)))
        return inputs + self.expand(self.dropout_layer(h, training=training))

    # One pixel, or one color of it, at a time.

    @property
    def _parts(self):
        return self.reduce, self.middle, self.expand

    def prepare(self, condition=None):
        return [part.prepare() for part in self._parts]

    def start(self, batch_size, num_steps):
        return [part.start(batch_size, num_steps) for part in self._parts]

    def step(self, constants, state, t, x):
        x = ops.cast(x, self.compute_dtype)
        h, states = ops.relu(x), []
        for part, part_constants, part_state in zip(self._parts, constants, state, strict=True):
            h, part_state = part.step(part_constants, part_state, t, h)
            states.append(part_state)
        return x + h, states

    def prefill(self, constants, state, inputs):
        x = ops.cast(inputs, self.compute_dtype)
        h, states = ops.relu(x), []
        for part, part_constants, part_state in zip(self._parts, constants, state, strict=True):
            h, part_state = part.prefill(part_constants, part_state, h)
            states.append(part_state)
        return x + h, states

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "num_colors": self.num_colors,
            "dropout": self.dropout,
        }

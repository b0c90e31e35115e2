"""The residual block of PixelCNN."""

import keras
from keras import ops

from keras_ar import arguments
from keras_ar.layers.masked_conv2d import MaskedConv2D


@keras.saving.register_keras_serializable(package="keras_ar")
class MaskedResidualBlock(keras.layers.Layer):
    """Residual block of masked convolutions: 1×1 down to half the features, a wider one, 1×1 up again, and the input.

    Args:
        filters: Number of channels, in and out; a multiple of `2 * groups`.
        kernel_size: Kernel size of the convolution in the middle.
        groups: Number of colours that come one after the other; see `MaskedConv2D`.
        dropout: Rate of dropout ahead of the last convolution, in training.

    Call arguments:
        inputs: Tensor of shape `(batch, rows, columns, filters)`, or
            `(batch, rows, columns, groups, filters / groups)`.

    Returns:
        Tensor of the same shape.

    Example:

    >>> block = keras_ar.layers.MaskedResidualBlock(8)
    >>> block(np.ones((1, 5, 6, 8))).shape[1:] == (5, 6, 8)
    True

    Reference:
        [van den Oord et al., 2016](https://arxiv.org/abs/1601.06759), figure 5.
    """

    def __init__(self, filters, kernel_size=3, groups=1, dropout=0.0, **kwargs):
        super().__init__(**kwargs)
        self.filters = arguments.integer(filters, "filters")
        self.kernel_size = arguments.pair(kernel_size, "kernel_size")
        self.groups = arguments.integer(groups, "groups")
        self.rate = arguments.number(dropout, "dropout")
        arguments.multiple(self.filters, "filters", 2 * self.groups, "2 * groups")
        half, options = filters // 2, {"mask_type": "B", "groups": groups, "dtype": self.dtype_policy}
        self.reduce = MaskedConv2D(half, 1, activation="relu", name="reduce", **options)
        self.look = MaskedConv2D(half, kernel_size, activation="relu", name="look", **options)
        self.expand = MaskedConv2D(filters, 1, name="expand", **options)
        self.dropout = keras.layers.Dropout(dropout, dtype=self.dtype_policy)

    def build(self, input_shape):
        shape = input_shape
        for layer in (self.reduce, self.look, self.expand):
            layer.build(shape)
            shape = layer.compute_output_shape(shape)
        if shape != tuple(input_shape):
            raise ValueError(f"`inputs` must have `filters` = {self.filters} channels. Received shape {input_shape}.")

    def call(self, inputs, training=None):
        h = self.look(self.reduce(ops.relu(inputs)))
        return inputs + self.expand(self.dropout(h, training=training))

    def start(self, batch_size):
        return [layer.start(batch_size) for layer in (self.reduce, self.look, self.expand)]

    def step(self, state, x, t):
        x = ops.cast(x, self.compute_dtype)
        h, states = ops.relu(x), []
        for layer, layer_state in zip((self.reduce, self.look, self.expand), state, strict=True):
            h, layer_state = layer.step(layer_state, h, t)
            states.append(layer_state)
        return x + h, states

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "groups": self.groups,
            "dropout": self.rate,
        }

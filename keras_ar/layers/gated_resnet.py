"""The residual block of PixelCNN++."""

import keras
from keras import ops

from keras_ar import arguments
from keras_ar.layers.activations import concat_elu, gated_linear
from keras_ar.layers.kernel_layer import KernelLayer
from keras_ar.layers.shifted_conv2d import ShiftedConv2D
from keras_ar.layers.weight_norm_dense import WeightNormDense

__all__ = ["GatedResnet"]


@keras.saving.register_keras_serializable(package="keras_ar")
class GatedResnet(KernelLayer):
    """Residual block with a gate: two shifted convolutions, and optionally a shortcut from elsewhere and a condition.

    Args:
        filters: Integer, number of channels, in and out.
        kernel_size: Integer, or a pair (rows, columns): kernel size of the convolutions; see `ShiftedConv2D`.
        direction: `"down"`, which steps row by row, or `"down_right"`, pixel by pixel.
        dropout: Float in [0, 1). Dropout rate between the convolutions, active in training. Defaults to `0.0`.
        kernel_initializer: Initializer of the kernels. Defaults to `"random_normal"`.
        **kwargs: Initializers, regularizers and constraints, as in `keras.layers.Dense`; `name` and `dtype`.

    Call arguments:
        inputs: Tensor of shape `(batch, rows, columns, filters)`.
        shortcut: Optional tensor of shape `(batch, rows, columns, channels)`, which adds
            to the output of the first convolution.
        condition: Optional tensor of shape `(batch, features)`, which adds to the output of the second.

    Returns:
        Tensor of the shape of `inputs`.

    Example:

    >>> block = keras_ar.layers.GatedResnet(8, (2, 3), direction="down")
    >>> tuple(block(np.ones((1, 5, 6, 8))).shape)
    (1, 5, 6, 8)

    Reference:
        [Salimans et al., 2017](https://arxiv.org/abs/1701.05517), section 2.
    """

    def __init__(self, filters, kernel_size, direction, dropout=0.0, kernel_initializer="random_normal", **kwargs):
        super().__init__(kernel_initializer=kernel_initializer, **kwargs)
        self.filters = arguments.integer(filters, "filters")
        self.kernel_size = arguments.pair(kernel_size, "kernel_size")
        self.direction = direction
        self.dropout = arguments.rate(dropout, "dropout")

        dtype = {"dtype": self.dtype_policy}
        shape = {"kernel_size": kernel_size, "direction": direction}
        self.first = ShiftedConv2D(filters, name="first", **shape, **dtype, **self.weight_options)
        self.second = ShiftedConv2D(2 * filters, name="second", **shape, **dtype, **self.weight_options)
        self.from_shortcut = WeightNormDense(filters, name="from_shortcut", **dtype, **self.weight_options)
        self.condition_bias = keras.layers.Dense(
            2 * filters, use_bias=False, name="condition_bias", **dtype, **self.weight_options
        )
        self.dropout_layer = keras.layers.Dropout(dropout, **dtype)

    @property
    def by_row(self):
        """Whether a step takes a whole row."""
        return self.direction == "down"

    def build(self, inputs_shape, shortcut_shape=None, condition_shape=None):
        if inputs_shape[-1] != self.filters:
            raise ValueError(f"`inputs` must have `filters` = {self.filters} channels. Received shape {inputs_shape}.")
        doubled = (*inputs_shape[:-1], 2 * self.filters)  # by `concat_elu`
        self.first.build(doubled)
        self.second.build(doubled)
        if shortcut_shape is not None:
            self.from_shortcut.build((*shortcut_shape[:-1], 2 * shortcut_shape[-1]))
        if condition_shape is not None:
            self.condition_bias.build(condition_shape)

    def call(self, inputs, shortcut=None, condition=None, training=None):
        h = self.first(concat_elu(inputs))
        if shortcut is not None:
            h = h + self.from_shortcut(concat_elu(shortcut))
        h = self.second(self.dropout_layer(concat_elu(h), training=training))  # (batch, rows, columns, 2 * filters)
        if condition is not None:
            h = h + ops.expand_dims(self.condition_bias(condition), (1, 2))
        return inputs + gated_linear(h)

    # One row, or one pixel, at a time.

    def prepare(self, condition=None):
        constants = {"first": self.first.prepare(), "second": self.second.prepare()}
        if self.from_shortcut.built:
            constants["from_shortcut"] = self.from_shortcut.prepare()
        if condition is not None:
            bias = self.condition_bias(condition)
            constants["condition_bias"] = ops.expand_dims(bias, 1) if self.by_row else bias
        return constants

    def start(self, batch_size, num_steps):
        return {"first": self.first.start(batch_size, num_steps), "second": self.second.start(batch_size, num_steps)}

    def step(self, constants, state, t, x, shortcut=None):
        x = ops.cast(x, self.compute_dtype)
        h, first = self.first.step(constants["first"], state["first"], t, concat_elu(x))
        if shortcut is not None:
            h = h + self.from_shortcut.step(constants["from_shortcut"], (), t, concat_elu(shortcut))[0]
        h, second = self.second.step(constants["second"], state["second"], t, concat_elu(h))
        if "condition_bias" in constants:
            h = h + constants["condition_bias"]
        return x + gated_linear(h), {"first": first, "second": second}

    def compute_output_shape(self, inputs_shape, shortcut_shape=None, condition_shape=None):
        return tuple(inputs_shape)

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "direction": self.direction,
            "dropout": self.dropout,
        }

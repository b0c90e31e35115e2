"""The residual block of PixelCNN++."""

import keras
from keras import ops

from keras_ar import arguments
from keras_ar.layers.shifted_conv2d import ShiftedConv2D
from keras_ar.layers.weight_norm_dense import WeightNormDense
from keras_ar.numerics import concat_elu


@keras.saving.register_keras_serializable(package="keras_ar")
class GatedResnet(keras.layers.Layer):
    """Residual block with a gate: two shifted convolutions, a short-cut from elsewhere, dropout, a condition.

    Args:
        filters: Number of channels, in and out.
        kernel_size: Kernel size of the convolutions; see `ShiftedConv2D`.
        direction: `"down"`, which steps row by row, or `"down_right"`, pixel by pixel.
        dropout: Rate of dropout between the convolutions, in training.

    Call arguments:
        inputs: Tensor of shape `(batch, rows, columns, filters)`.
        shortcut: Optional tensor of shape `(batch, rows, columns, channels)`, added
            to what the first convolution makes.
        condition: Optional tensor of shape `(batch, features)`, added to what the
            second makes.

    Returns:
        Tensor of the shape of `inputs`.

    Example:

    >>> block = keras_ar.layers.GatedResnet(8, (2, 3), direction="down")
    >>> block(np.ones((1, 5, 6, 8))).shape[1:] == (5, 6, 8)
    True

    Reference:
        [Salimans et al., 2017](https://arxiv.org/abs/1701.05517), section 2.
    """

    def __init__(self, filters, kernel_size, direction, dropout=0.0, **kwargs):
        super().__init__(**kwargs)
        self.filters = arguments.integer(filters, "filters")
        self.kernel_size = arguments.pair(kernel_size, "kernel_size")
        self.direction = direction
        self.rate = arguments.number(dropout, "dropout")
        each = {"kernel_size": kernel_size, "direction": direction, "dtype": self.dtype_policy}
        self.first = ShiftedConv2D(filters, name="first", **each)
        self.second = ShiftedConv2D(2 * filters, name="second", **each)
        self.from_shortcut = WeightNormDense(filters, dtype=self.dtype_policy, name="from_shortcut")
        self.from_condition = keras.layers.Dense(
            2 * filters, use_bias=False, dtype=self.dtype_policy, name="from_condition"
        )
        self.dropout = keras.layers.Dropout(dropout, dtype=self.dtype_policy)

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
            self.from_condition.build(condition_shape)

    def call(self, inputs, shortcut=None, condition=None, training=None):
        h = self.first(concat_elu(inputs))
        if shortcut is not None:
            h = h + self.from_shortcut(concat_elu(shortcut))
        h = self.second(self.dropout(concat_elu(h), training=training))  # (batch, rows, columns, 2 * filters)
        if condition is not None:
            h = h + ops.expand_dims(self.from_condition(condition), (1, 2))
        return inputs + _gated(h)

    def start(self, batch_size, condition=None):
        layers = {"first": self.first, "second": self.second}
        if self.from_shortcut.built:
            layers["from_shortcut"] = self.from_shortcut
        state = {name: layer.start(batch_size) for name, layer in layers.items()}
        if condition is not None:
            bias = self.from_condition(condition)
            state["condition"] = ops.expand_dims(bias, 1) if self.by_row else bias
        return state

    def step(self, state, x, t, shortcut=None):
        x = ops.cast(x, self.compute_dtype)
        h, first = self.first.step(state["first"], concat_elu(x), t)
        if shortcut is not None:
            h = h + self.from_shortcut.step(state["from_shortcut"], concat_elu(shortcut), t)[0]
        h, second = self.second.step(state["second"], concat_elu(h), t)
        if "condition" in state:
            h = h + state["condition"]
        return x + _gated(h), {**state, "first": first, "second": second}

    def compute_output_shape(self, inputs_shape, shortcut_shape=None, condition_shape=None):
        return tuple(inputs_shape)

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "direction": self.direction,
            "dropout": self.rate,
        }


def _gated(h):
    value, gate = ops.split(h, 2, axis=-1)
    return value * ops.sigmoid(gate)

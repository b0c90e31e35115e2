"""What the LSTM layers of PixelRNN share: input-to-state, conditions, residual connection."""

import keras
from keras import ops

from keras_ar import arguments
from keras_ar.layers.kernel_layer import KernelLayer
from keras_ar.layers.masked_conv2d import MaskedConv2D

__all__ = ["ImageLSTM"]


class ImageLSTM(KernelLayer):
    """Base of LSTMs that run over an image, each pixel's hidden state following from those of earlier pixels.

    A masked convolution computes the gates of all pixels from the inputs
    (input-to-state). A subclass adds what earlier hidden states contribute (state-to-state):
    `recur` over a whole image, `recur_step` pixel by pixel. With a residual connection, a 1×1
    convolution maps the hidden states to the features of the inputs, and the inputs are added.

    Inside, the colors of a pixel lie on an axis of their own, of length `num_colors`.

    Args:
        units: Integer, number of units, a multiple of `num_colors`.
        kernel_size: Odd integer, the columns of the input-to-state convolution. Defaults to `1`.
        directions: Integer, how many LSTMs run over the image. Defaults to `1`.
        num_colors: Integer, number of colors of a pixel that come one after the other; see `MaskedConv2D`.
            Defaults to `1`.
        residual: Boolean, whether the inputs are added; they must have `2 * units` channels then. Defaults to `True`.
        dropout: Float in [0, 1). Dropout rate of the hidden states as the next layer sees them, active
            in training. Defaults to `0.0`.
        **kwargs: Initializers, regularizers and constraints, as in `keras.layers.Dense`; `name` and `dtype`.
    """

    def __init__(self, units, *, kernel_size=1, directions=1, num_colors=1, residual=True, dropout=0.0, **kwargs):
        super().__init__(**kwargs)
        self.units = arguments.integer(units, "units")
        self.num_colors = arguments.integer(num_colors, "num_colors")
        arguments.multiple(self.units, "units", self.num_colors, "num_colors")
        self.residual = arguments.boolean(residual, "residual")
        self.dropout = arguments.rate(dropout, "dropout")
        self.num_gates = 4 * directions * units

        dtype, masked = {"dtype": self.dtype_policy}, {"dtype": self.dtype_policy, "num_colors": num_colors}
        self.input_to_state = MaskedConv2D(
            self.num_gates, (1, kernel_size), name="input_to_state", **masked, **self.weight_options
        )
        self.condition_bias = keras.layers.Dense(
            self.num_gates, use_bias=False, name="condition_bias", **dtype, **self.weight_options
        )
        self.out = MaskedConv2D(2 * units, 1, name="out", **masked, **self.weight_options)
        self.dropout_layer = keras.layers.Dropout(dropout, **dtype)

    def build(self, inputs_shape, condition_shape=None):
        self.input_to_state.build(inputs_shape)
        channels = self.input_to_state.merged_shape(inputs_shape)[-1]
        if self.residual and channels != 2 * self.units:
            raise ValueError(
                f"`inputs` must have 2 * units = {2 * self.units} channels, to be added to the output "
                f"(or `residual` be False). Received: inputs.shape={tuple(inputs_shape)}."
            )
        self.columns = inputs_shape[2]
        if self.residual:
            self.out.build((*inputs_shape[:3], self.units))
        if condition_shape is not None:
            self.condition_bias.build(condition_shape)
        self.build_recurrence()

    def call(self, inputs, condition=None, training=None):
        x = ops.cast(inputs, self.compute_dtype)
        gates = self._split_colors(self.input_to_state(x))  # (batch, rows, columns, num_colors, gates / num_colors)
        if condition is not None:
            gates = gates + self.bias_from(condition)
        h = self.dropout_layer(self.recur(gates), training=training)
        if len(x.shape) == 4:
            h = ops.reshape(h, (-1, *x.shape[1:3], self.units))
        return x + self.out(h) if self.residual else h

    def bias_from(self, condition):
        """What the condition adds to the gates: `(batch, rows or 1, columns or 1, num_colors, gates / num_colors)`."""
        bias = self.condition_bias(condition)
        return self._split_colors(bias if len(condition.shape) == 4 else ops.expand_dims(bias, (1, 2)))

    def _split_colors(self, x):
        """The features of a pixel, with those of each color on an axis of their own."""
        features = x.shape[-1] if len(x.shape) == 5 else x.shape[-1] // self.num_colors
        return ops.reshape(x, (-1, *x.shape[1:3], self.num_colors, features))

    # One pixel, or one color of it, at a time.

    def prepare(self, condition=None):
        constants = {"input_to_state": self.input_to_state.prepare(), "recurrence": self.prepare_recurrence()}
        if self.residual:
            constants["out"] = self.out.prepare()
        if condition is not None:
            constants["condition_bias"] = self.bias_from(condition)
        return constants

    def start(self, batch_size, num_steps):
        return {
            "input_to_state": self.input_to_state.start(batch_size, num_steps),
            "recurrence": self.start_recurrence(batch_size),
            "out": self.out.start(batch_size, num_steps) if self.residual else (),
        }

    def step(self, constants, state, t, x):
        gates, input_to_state = self.input_to_state.step(constants["input_to_state"], state["input_to_state"], t, x)
        if "condition_bias" in constants:
            bias, (row, column, color) = constants["condition_bias"], self.position(t)
            gates = gates + bias[:, row if bias.shape[1] > 1 else 0, column if bias.shape[2] > 1 else 0, color]
        h, recurrence = self.recur_step(constants["recurrence"], state["recurrence"], t, gates)
        state = {**state, "input_to_state": input_to_state, "recurrence": recurrence}
        if not self.residual:
            return h, state
        y, out = self.out.step(constants["out"], state["out"], t, h)
        return ops.cast(x, self.compute_dtype) + y, {**state, "out": out}

    def position(self, t):
        """Row, column and color of step `t`."""
        pixel = t // self.num_colors
        return pixel // self.columns, pixel % self.columns, t % self.num_colors

    # What a subclass implements.

    def build_recurrence(self):
        """Adds the kernels of state-to-state and the learned initial states."""
        raise NotImplementedError

    def recur(self, gates):
        """Hidden states `(batch, rows, columns, num_colors, units / num_colors)` of a whole image."""
        raise NotImplementedError

    def prepare_recurrence(self):
        """The constants of `recur_step`."""
        raise NotImplementedError

    def start_recurrence(self, batch_size):
        """The state of `recur_step` before the first pixel."""
        raise NotImplementedError

    def recur_step(self, constants, state, t, gates):
        """The hidden state of step `t`, `(batch, units / num_colors)`, and the next state of the recurrence."""
        raise NotImplementedError

    def initial(self, weight, *shape):
        """A learned initial state of `units` numbers, repeated: `(*shape, num_colors, units / num_colors)`."""
        weight = ops.reshape(self.cast_weight(weight), (self.num_colors, self.units // self.num_colors))
        return ops.zeros((*shape, 1, 1), self.compute_dtype) + weight

    def compute_output_shape(self, inputs_shape, condition_shape=None):
        merged = self.input_to_state.merged_shape(inputs_shape)
        features = 2 * self.units if self.residual else self.units
        if len(inputs_shape) == 4:
            return (*merged[:3], features)
        return (*inputs_shape[:4], features // self.num_colors)

    def get_config(self):
        return {
            **super().get_config(),
            "units": self.units,
            "num_colors": self.num_colors,
            "residual": self.residual,
            "dropout": self.dropout,
        }

"""What the LSTM layers of PixelRNN share: input-to-state, conditions, residual connection."""

import keras
from keras import ops

from keras_ar import arguments
from keras_ar.layers.masked_conv2d import MaskedConv2D


class ImageLSTM(keras.layers.Layer):
    """Base of LSTMs that run over an image, each pixel's state following from those of earlier pixels.

    A masked convolution makes the gates of all pixels from the inputs
    (input-to-state). A subclass adds what earlier states tell (state-to-state):
    `recur` over a whole image, `start_recurrence` and `recur_step` pixel by pixel.
    With a residual connection, the states grow to the features of the
    inputs and are added to them.

    Inside, the features of the colours of a pixel stand on an axis of their own, of length `groups`.

    Args:
        units: Number of units, a multiple of `groups`.
        kernel_size: Columns of the input-to-state convolution.
        directions: How many LSTMs run over the image.
        groups: Number of colours that come one after the other; see `MaskedConv2D`.
        residual: Whether the inputs are added; they must have `2 * units` channels then.
        dropout: Rate of dropout of the states, as the next layer sees them, in training.
    """

    def __init__(self, units, *, kernel_size=1, directions=1, groups=1, residual=True, dropout=0.0, **kwargs):
        super().__init__(**kwargs)
        self.units = arguments.integer(units, "units")
        self.groups = arguments.integer(groups, "groups")
        arguments.multiple(self.units, "units", self.groups, "groups")
        self.residual = bool(residual)
        self.rate = arguments.number(dropout, "dropout")
        dtype = {"dtype": self.dtype_policy}
        num_gates = 4 * directions * units
        self.into = MaskedConv2D(num_gates, (1, kernel_size), groups=groups, name="input_to_state", **dtype)
        self.from_condition = keras.layers.Dense(num_gates, use_bias=False, name="condition", **dtype)
        self.out = MaskedConv2D(2 * units, 1, groups=groups, name="out", **dtype)
        self.dropout = keras.layers.Dropout(dropout, **dtype)

    def build(self, inputs_shape, condition_shape=None):
        self.into.build(inputs_shape)
        channels = self.into.merged_shape(inputs_shape)[-1]
        if self.residual and channels != 2 * self.units:
            raise ValueError(
                f"`inputs` must have 2 * units = {2 * self.units} channels, to which the states are added "
                f"(or `residual` be False). Received: inputs.shape={tuple(inputs_shape)}."
            )
        self._columns = inputs_shape[2]
        if self.residual:
            self.out.build((*inputs_shape[:3], self.units))
        if condition_shape is not None:
            self.from_condition.build(condition_shape)
        self.build_recurrence()

    def call(self, inputs, condition=None, training=None):
        x = ops.cast(inputs, self.compute_dtype)
        gates = self._apart(self.into(x))  # (batch, rows, columns, groups, gates / groups)
        if condition is not None:
            gates = gates + self._bias_from(condition)
        h = self.dropout(self.recur(gates), training=training)
        h = ops.reshape(h, (-1, *x.shape[1:-1], self.units // (self.groups if len(x.shape) == 5 else 1)))
        return x + self.out(h) if self.residual else h

    def _apart(self, x):
        """Features of all colours, with those of each on an axis of their own."""
        rows, columns = x.shape[1:3]
        features = x.shape[-1] * (x.shape[3] if len(x.shape) == 5 else 1)
        return ops.reshape(x, (-1, rows, columns, self.groups, features // self.groups))

    def _bias_from(self, condition):
        """What the condition adds to the gates, `(batch, rows or 1, columns or 1, groups, gates / groups)`."""
        bias = self.from_condition(condition)
        return self._apart(bias if len(condition.shape) == 4 else ops.expand_dims(bias, (1, 2)))

    # One pixel, or one colour of it, at a time.

    def start(self, batch_size, condition=None):
        state = {"into": self.into.start(batch_size), "recurrence": self.start_recurrence(batch_size)}
        if self.residual:
            state["out"] = self.out.start(batch_size)
        if condition is not None:
            state["bias"] = self._bias_from(condition)
        return state

    def step(self, state, x, t):
        gates, into = self.into.step(state["into"], x, t)  # (batch, gates / groups)
        if "bias" in state:
            row, column, colour = self.position(t)
            _, rows, columns, *_ = state["bias"].shape
            gates = gates + state["bias"][:, row if rows > 1 else 0, column if columns > 1 else 0, colour]
        y, recurrence = self.recur_step(state["recurrence"], gates, t)
        state = {**state, "into": into, "recurrence": recurrence}
        if self.residual:
            h, out = self.out.step(state["out"], y, t)
            y, state = ops.cast(x, self.compute_dtype) + h, {**state, "out": out}
        return y, state

    def position(self, t):
        """Row, column and colour of step `t`."""
        pixel = t // self.groups
        return pixel // self._columns, pixel % self._columns, t % self.groups

    # What a subclass implements.

    def build_recurrence(self):
        """Adds the weights of state-to-state and the initial states."""
        raise NotImplementedError

    def recur(self, gates):
        """States `(batch, rows, columns, groups, units / groups)` of a whole image."""
        raise NotImplementedError

    def start_recurrence(self, batch_size):
        """State of the recurrence before the first pixel."""
        raise NotImplementedError

    def recur_step(self, state, gates, t):
        """State of step `t`, `(batch, units / groups)`, and the next state of the recurrence."""
        raise NotImplementedError

    def initial(self, state, *shape):
        """A learned initial state, of shape `(units,)`, for each of a batch (and each column)."""
        state = ops.cast(ops.convert_to_tensor(state), self.compute_dtype)
        state = ops.reshape(state, (self.groups, self.units // self.groups))
        return ops.zeros((*shape, 1, 1), self.compute_dtype) + state

    def compute_output_shape(self, inputs_shape, condition_shape=None):
        merged = self.into.merged_shape(inputs_shape)
        features = 2 * self.units if self.residual else self.units
        return (*merged[:3], features) if len(inputs_shape) == 4 else (*inputs_shape[:4], features // self.groups)

    def get_config(self):
        return {
            **super().get_config(),
            "units": self.units,
            "groups": self.groups,
            "residual": self.residual,
            "dropout": self.rate,
        }

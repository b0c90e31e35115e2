"""The gated residual block of WaveNet."""

import keras
from keras import ops

from keras_ar import arguments
from keras_ar.layers.causal_conv1d import CausalConv1D


@keras.saving.register_keras_serializable(package="keras_ar")
class WaveNetBlock(keras.layers.Layer):
    """A dilated causal convolution with a gate, added to its input, and what it hands to the head.

    Args:
        filters: Number of channels of the inputs, and of the gated convolution.
        kernel_size: Number of taps.
        dilation_rate: Spacing of the taps.
        skip_filters: Number of channels that go to the head; `filters` by default.
        dropout: Rate of dropout of the inputs of the convolution, in training.

    Call arguments:
        inputs: Tensor of shape `(batch, length, filters)`.
        condition: Optional tensor of shape `(batch, features)`, or one for each time,
            of shape `(batch, length, features)`.

    Returns:
        The pair of the next block's inputs and what goes to the head (skip), of
        shape `(batch, length, skip_filters)`.

    Example:

    >>> block = keras_ar.layers.WaveNetBlock(8, kernel_size=2, dilation_rate=4, skip_filters=16)
    >>> following, skip = block(np.ones((1, 20, 8)))
    >>> following.shape[1:] == (20, 8), skip.shape[1:] == (20, 16)
    (True, True)

    Reference:
        [van den Oord et al., 2016](https://arxiv.org/abs/1609.03499), sections 2.3 to 2.5.
    """

    def __init__(self, filters, kernel_size=2, dilation_rate=1, skip_filters=None, dropout=0.0, **kwargs):
        super().__init__(**kwargs)
        self.filters = arguments.integer(filters, "filters")
        self.kernel_size = arguments.integer(kernel_size, "kernel_size")
        self.dilation_rate = arguments.integer(dilation_rate, "dilation_rate")
        self.skip_filters = arguments.integer(filters if skip_filters is None else skip_filters, "skip_filters")
        self.rate = arguments.number(dropout, "dropout")
        dtype = {"dtype": self.dtype_policy}
        self.convolution = CausalConv1D(2 * filters, kernel_size, dilation_rate, name="convolution", **dtype)
        self.from_condition = keras.layers.Dense(2 * filters, use_bias=False, name="condition", **dtype)
        self.out = keras.layers.Dense(filters + self.skip_filters, name="out", **dtype)  # both in one product
        self.dropout = keras.layers.Dropout(dropout, **dtype)

    def build(self, inputs_shape, condition_shape=None):
        if inputs_shape[-1] != self.filters:
            raise ValueError(
                f"`inputs` must have `filters` = {self.filters} channels, to which the block adds. "
                f"Received: inputs.shape={tuple(inputs_shape)}."
            )
        self.convolution.build(inputs_shape)
        self.out.build(inputs_shape)
        if condition_shape is not None:
            self.from_condition.build(condition_shape)

    def call(self, inputs, condition=None, training=None):
        x = ops.cast(inputs, self.compute_dtype)
        gates = self.convolution(self.dropout(x, training=training))
        if condition is not None:
            told = self.from_condition(condition)
            gates = gates + (told if len(condition.shape) == 3 else ops.expand_dims(told, 1))
        return self._split(x, self.out(_gated(gates)))

    def _split(self, x, out):
        return x + out[..., : self.filters], out[..., self.filters :]

    # One time at a time.

    def start(self, batch_size, condition=None):
        state = {"convolution": self.convolution.start(batch_size)}
        if condition is not None:
            state["told"] = self.from_condition(condition)
        return state

    def step(self, state, x, t):
        """The next block's input, what goes to the head, and the next state."""
        gates, convolution = self.convolution.step(state["convolution"], x, t)
        if "told" in state:
            gates = gates + (state["told"] if len(state["told"].shape) == 2 else state["told"][:, t])
        following, skip = self._split(ops.cast(x, self.compute_dtype), self.out(_gated(gates)))
        return following, skip, {**state, "convolution": convolution}

    # The same in pieces, for a model that carries what all of its blocks have seen.

    def matrices(self):
        """The weights: of the convolution, of what goes on, and of what goes to the head."""
        kernel, bias = (ops.cast(ops.convert_to_tensor(w), self.compute_dtype) for w in self.out.weights)
        on = {"kernel": kernel[:, : self.filters], "bias": bias[: self.filters]}
        skip = {"kernel": kernel[:, self.filters :], "bias": bias[self.filters :]}
        return {"convolution": self.convolution.matrix(), "on": on, "skip": skip}

    def look(self, weights, past, x, told=None):
        """What the gates let through at one time, and the next block's input.

        `past` holds what the taps of the past see, side by side, `told` what the condition adds.
        """
        gates = self.convolution.look(weights["convolution"], ops.concatenate([past, x], axis=-1))
        gated = _gated(gates if told is None else gates + told)
        return gated, x + (ops.matmul(gated, weights["on"]["kernel"]) + weights["on"]["bias"])

    def compute_output_shape(self, inputs_shape, condition_shape=None):
        return tuple(inputs_shape), (*inputs_shape[:-1], self.skip_filters)

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "dilation_rate": self.dilation_rate,
            "skip_filters": self.skip_filters,
            "dropout": self.rate,
        }


def _gated(x):
    value, gate = ops.split(x, 2, axis=-1)
    return ops.tanh(value) * ops.sigmoid(gate)

"""Convolution over time that sees only what comes earlier."""

import keras
from keras import ops

from keras_ar import arguments, backend
from keras_ar.windows import TimeWindow


@keras.saving.register_keras_serializable(package="keras_ar")
class CausalConv1D(keras.layers.Layer):
    """1D convolution whose output at a time sees that time and earlier ones.

    The last tap of the kernel lies on the output's own time, the others
    `dilation_rate` apart before it; before the beginning stand zeros. With
    `strict=True` all is shifted by one: the output sees earlier times only.

    Args:
        filters: Number of output channels.
        kernel_size: Number of taps.
        dilation_rate: Spacing of the taps.
        strict: Whether to hide each time from itself.
        activation: Activation function, as in `keras.layers.Conv1D`.
        use_bias: Whether to add a bias.
        kernel_initializer: Initializer of the kernel.
        bias_initializer: Initializer of the bias.

    Call arguments:
        inputs: Tensor of shape `(batch, length, channels)`.

    Returns:
        Tensor of shape `(batch, length, filters)`.

    Example:

    >>> layer = keras_ar.layers.CausalConv1D(4, kernel_size=2, dilation_rate=8)
    >>> layer(np.ones((1, 20, 3))).shape[1:] == (20, 4)
    True

    Reference:
        [van den Oord et al., 2016](https://arxiv.org/abs/1609.03499), section 2.1.
    """

    def __init__(
        self,
        filters,
        kernel_size,
        dilation_rate=1,
        strict=False,
        activation=None,
        use_bias=True,
        kernel_initializer="glorot_uniform",
        bias_initializer="zeros",
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.filters = arguments.integer(filters, "filters")
        self.kernel_size = arguments.integer(kernel_size, "kernel_size")
        self.dilation_rate = arguments.integer(dilation_rate, "dilation_rate")
        self.strict = bool(strict)
        self.activation = keras.activations.get(activation)
        self.use_bias = use_bias
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.window = TimeWindow(self.kernel_size, (self.dilation_rate,))

    @property
    def reach(self):
        """How many times before its own an output sees."""
        return (self.kernel_size - 1) * self.dilation_rate + self.strict

    def build(self, input_shape):
        if len(input_shape) != 3:
            raise ValueError(
                f"`inputs` must have shape (batch, length, channels). Received: inputs.shape={tuple(input_shape)}."
            )
        self._channels = input_shape[-1]
        shape = (self.kernel_size, self._channels, self.filters)
        self.kernel = self.add_weight(shape, self.kernel_initializer, name="kernel")
        self.bias = self.add_weight((self.filters,), self.bias_initializer, name="bias") if self.use_bias else None

    def call(self, inputs):
        x = self._shifted(ops.cast(inputs, self.compute_dtype))
        kernel = ops.cast(ops.convert_to_tensor(self.kernel), self.compute_dtype)
        y = backend.causal_convolution(x, kernel, self.dilation_rate)
        return self.activation(y + self.bias if self.use_bias else y)

    def _shifted(self, x):
        return ops.pad(x[:, :-1], [[0, 0], [1, 0], [0, 0]]) if self.strict else x

    # One time at a time: the taps of the past from a ring, beside the input that has just come.

    def start(self, batch_size):
        state = self.matrix()
        if self.kernel_size > 1:
            state["past"] = self.window.start(batch_size, self._channels, self.compute_dtype)
        return state

    def step(self, state, x, t):
        x = ops.cast(x, self.compute_dtype)
        if self.strict:  # before the first time there is nothing
            x = ops.where(t > 0, x, ops.zeros_like(x))
        if self.kernel_size == 1:
            return self.look(state, x), state
        seen = ops.concatenate([self.window.read(state["past"], t)[0], x], axis=-1)
        return self.look(state, seen), {**state, "past": self.window.write(state["past"], ops.expand_dims(x, 0), t)}

    def prime(self, inputs):
        """State behind all the steps of `inputs`, of shape `(batch, length, channels)`."""
        x = ops.cast(inputs, self.compute_dtype)
        state = self.start(x.shape[0])
        if self.kernel_size > 1:
            state["past"] = self.window.filled([self._shifted(x)])
        return state

    def matrix(self):
        """Kernel and bias, as `look` takes them."""
        kernel = ops.cast(ops.convert_to_tensor(self.kernel), self.compute_dtype)
        weights = {"kernel": ops.reshape(kernel, (-1, self.filters))}
        if self.use_bias:
            weights["bias"] = ops.cast(ops.convert_to_tensor(self.bias), self.compute_dtype)
        return weights

    def look(self, weights, seen):
        """The output at one time, from what the taps see, `(batch, taps * channels)`, the earliest first."""
        y = ops.matmul(seen, weights["kernel"])
        return self.activation(y + weights["bias"] if self.use_bias else y)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.filters)

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "dilation_rate": self.dilation_rate,
            "strict": self.strict,
            "activation": keras.activations.serialize(self.activation),
            "use_bias": self.use_bias,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
        }

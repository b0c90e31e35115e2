"""Convolution over time that sees only what comes earlier."""

import keras
from keras import ops

from keras_ar import arguments, backend
from keras_ar.layers.kernel_layer import KernelLayer
from keras_ar.windows import TimeWindow

__all__ = ["CausalConv1D"]


@keras.saving.register_keras_serializable(package="keras_ar")
class CausalConv1D(KernelLayer):
    """1D convolution whose output at a time sees that time and earlier ones.

    The last tap of the kernel lies on the output's own time, the others
    `dilation_rate` apart before it; before the beginning are zeros. With
    `strict=True` everything is shifted by one: the output sees earlier times only.

    Args:
        filters: Integer, number of output channels.
        kernel_size: Integer, number of taps.
        dilation_rate: Integer, spacing of the taps. Defaults to `1`.
        strict: Boolean, whether to hide each time from itself. Defaults to `False`.
        activation: Activation function, as in `keras.layers.Conv1D`. Defaults to `None`.
        use_bias: Boolean, whether to add a bias. Defaults to `True`.
        **kwargs: Initializers, regularizers and constraints, as in `keras.layers.Dense`; `name` and `dtype`.

    Call arguments:
        inputs: Tensor of shape `(batch, length, channels)`.

    Returns:
        Tensor of shape `(batch, length, filters)`.

    Example:

    >>> layer = keras_ar.layers.CausalConv1D(4, kernel_size=2, dilation_rate=8)
    >>> tuple(layer(np.ones((1, 20, 3))).shape)
    (1, 20, 4)

    Reference:
        [van den Oord et al., 2016](https://arxiv.org/abs/1609.03499), section 2.1.
    """

    def __init__(self, filters, kernel_size, dilation_rate=1, strict=False, activation=None, use_bias=True, **kwargs):
        super().__init__(**kwargs)
        self.filters = arguments.integer(filters, "filters")
        self.kernel_size = arguments.integer(kernel_size, "kernel_size")
        self.dilation_rate = arguments.integer(dilation_rate, "dilation_rate")
        self.strict = arguments.boolean(strict, "strict")
        self.activation = keras.activations.get(activation)
        self.use_bias = arguments.boolean(use_bias, "use_bias")
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
        self.kernel = self.add_kernel((self.kernel_size, self._channels, self.filters))
        self.bias = self.add_bias((self.filters,)) if self.use_bias else None

    def call(self, inputs):
        return self.convolve(self.prepare(), self._shifted(inputs))

    def _shifted(self, inputs):
        """What the last tap lies on, at each time."""
        x = ops.cast(inputs, self.compute_dtype)
        return ops.pad(x[:, :-1], [[0, 0], [1, 0], [0, 0]]) if self.strict else x

    # One time at a time: the taps of the past come from a ring, the last one from the input.

    def prepare(self, condition=None):
        constants = {"kernel": ops.reshape(self.cast_weight(self.kernel), (-1, self.filters))}
        return {**constants, "bias": self.cast_weight(self.bias)} if self.use_bias else constants

    def start(self, batch_size, num_steps):
        if self.kernel_size == 1:
            return ()
        return self.window.start(batch_size, self._channels, self.compute_dtype)

    def step(self, constants, state, t, x):
        x = ops.cast(x, self.compute_dtype)
        if self.strict:  # before the first time there is nothing
            x = ops.where(t > 0, x, ops.zeros_like(x))
        if self.kernel_size == 1:
            return self.contract(constants, x), state
        seen = ops.concatenate([self.window.read(state, t)[0], x], axis=-1)
        return self.contract(constants, seen), self.window.write(state, ops.expand_dims(x, 0), t)

    def prefill(self, constants, state, inputs):
        x = self._shifted(inputs)
        return self.convolve(constants, x), state if self.kernel_size == 1 else self.window.filled([x])

    # The arithmetic, for a model that keeps the past of all its convolutions in one window.

    def convolve(self, constants, x):
        """The outputs at all times, from what the last tap lies on: `(batch, length, channels)`."""
        kernel = ops.reshape(constants["kernel"], (self.kernel_size, -1, self.filters))
        return self._activated(constants, backend.causal_convolution(x, kernel, self.dilation_rate))

    def contract(self, constants, seen):
        """The output at one time, from what all taps see, the earliest first: `(batch, taps * channels)`."""
        return self._activated(constants, ops.matmul(seen, constants["kernel"]))

    def _activated(self, constants, y):
        return self.activation(y + constants["bias"] if self.use_bias else y)

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
        }

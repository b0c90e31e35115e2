"""The gated residual block of WaveNet."""

import keras
from keras import ops

from keras_ar import arguments
from keras_ar.layers.activations import gated_tanh
from keras_ar.layers.causal_conv1d import CausalConv1D
from keras_ar.layers.kernel_layer import KernelLayer

__all__ = ["WaveNetBlock"]


@keras.saving.register_keras_serializable(package="keras_ar")
class WaveNetBlock(KernelLayer):
    """A dilated causal convolution with a gate, which adds to its input and to the skip features.

    Args:
        filters: Integer, number of channels of the inputs, and of the gated convolution.
        kernel_size: Integer, number of taps. Defaults to `2`.
        dilation_rate: Integer, spacing of the taps. Defaults to `1`.
        skip_filters: Integer, number of skip channels, which go to the head; `None` for as many
            as `filters`. Defaults to `None`.
        dropout: Float in [0, 1). Dropout rate of the inputs of the convolution, active in training.
            Defaults to `0.0`.
        **kwargs: Initializers, regularizers and constraints, as in `keras.layers.Dense`; `name` and `dtype`.

    Call arguments:
        inputs: Tensor of shape `(batch, length, filters)`.
        condition: Optional tensor of shape `(batch, features)`, or one for each time,
            of shape `(batch, length, features)`.

    Returns:
        The pair of the next block's inputs, and of the skip features of
        shape `(batch, length, skip_filters)`.

    Example:

    >>> block = keras_ar.layers.WaveNetBlock(8, kernel_size=2, dilation_rate=4, skip_filters=16)
    >>> following, skip = block(np.ones((1, 20, 8)))
    >>> tuple(following.shape), tuple(skip.shape)
    ((1, 20, 8), (1, 20, 16))

    Reference:
        [van den Oord et al., 2016](https://arxiv.org/abs/1609.03499), sections 2.3 to 2.5.
    """

    def __init__(self, filters, kernel_size=2, dilation_rate=1, skip_filters=None, dropout=0.0, **kwargs):
        super().__init__(**kwargs)
        self.filters = arguments.integer(filters, "filters")
        self.kernel_size = arguments.integer(kernel_size, "kernel_size")
        self.dilation_rate = arguments.integer(dilation_rate, "dilation_rate")
        self.skip_filters = arguments.integer(filters if skip_filters is None else skip_filters, "skip_filters")
        self.dropout = arguments.rate(dropout, "dropout")

        dtype = {"dtype": self.dtype_policy}
        self.convolution = CausalConv1D(
            2 * filters, kernel_size, dilation_rate, name="convolution", **dtype, **self.weight_options
        )
        self.condition_bias = keras.layers.Dense(
            2 * filters, use_bias=False, name="condition_bias", **dtype, **self.weight_options
        )
        # The residual and the skip features are one product.
        self.out = keras.layers.Dense(filters + self.skip_filters, name="out", **dtype, **self.weight_options)
        self.dropout_layer = keras.layers.Dropout(dropout, **dtype)

    def build(self, inputs_shape, condition_shape=None):
        if inputs_shape[-1] != self.filters:
            raise ValueError(
                f"`inputs` must have `filters` = {self.filters} channels, to which the block adds. "
                f"Received: inputs.shape={tuple(inputs_shape)}."
            )
        self.convolution.build(inputs_shape)
        self.out.build(inputs_shape)
        if condition_shape is not None:
            self.condition_bias.build(condition_shape)

    def call(self, inputs, condition=None, training=None):
        x = ops.cast(inputs, self.compute_dtype)
        gates = self.convolution(self.dropout_layer(x, training=training))
        out = self.out(gated_tanh(_biased(gates, None if condition is None else self.condition_bias(condition))))
        if self.skip_filters == self.filters:  # halves have a cheaper gradient than other parts
            residual, skip = ops.split(out, 2, axis=-1)
        else:
            residual, skip = out[..., : self.filters], out[..., self.filters :]
        return x + residual, skip

    # One time at a time.

    def prepare(self, condition=None):
        kernel, bias = self.cast_weight(self.out.kernel), self.cast_weight(self.out.bias)
        n = self.filters
        constants = {
            "convolution": self.convolution.prepare(),
            "residual": {"kernel": kernel[:, :n], "bias": bias[:n]},
            "skip": {"kernel": kernel[:, n:], "bias": bias[n:]},
        }
        return constants if condition is None else {**constants, "condition_bias": self.condition_bias(condition)}

    def start(self, batch_size, num_steps):
        return self.convolution.start(batch_size, num_steps)

    def step(self, constants, state, t, x):
        bias = constants.get("condition_bias")
        if bias is not None and len(bias.shape) == 3:
            bias = ops.take(bias, t, axis=1)
        gates, state = self.convolution.step(constants["convolution"], state, t, x)
        return self._following_and_skip(constants, gates, x, bias), state

    def prefill(self, constants, state, inputs):
        bias = constants.get("condition_bias")
        if bias is not None and len(bias.shape) == 3:
            bias = bias[:, : inputs.shape[1]]
        gates, state = self.convolution.prefill(constants["convolution"], state, inputs)
        return self._following_and_skip(constants, gates, inputs, bias), state

    def _following_and_skip(self, constants, gates, x, bias):
        gated, following = self.open_gates(constants, gates, ops.cast(x, self.compute_dtype), bias)
        return following, ops.matmul(gated, constants["skip"]["kernel"]) + constants["skip"]["bias"]

    def open_gates(self, constants, gates, x, bias=None):
        """What the gates let through, and the next block's input, at one time or at all times.

        Skip features are linear in what the gates let through: a model of many blocks makes one product of them.

        Args:
            constants: From `prepare`.
            gates: Tensor of shape `(..., 2 * filters)`: what the convolution makes of the inputs.
            x: Tensor of shape `(..., filters)`, the inputs.
            bias: Tensor that is added to the gates: what follows from the condition. Defaults to `None`.
        """
        gated, residual = gated_tanh(_biased(gates, bias)), constants["residual"]
        return gated, x + (ops.matmul(gated, residual["kernel"]) + residual["bias"])

    def compute_output_shape(self, inputs_shape, condition_shape=None):
        return tuple(inputs_shape), (*inputs_shape[:-1], self.skip_filters)

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "dilation_rate": self.dilation_rate,
            "skip_filters": self.skip_filters,
            "dropout": self.dropout,
        }


def _biased(gates, bias):
    """Gates plus a bias, which may be the same at all times."""
    if bias is None:
        return gates
    return gates + (bias if len(bias.shape) == len(gates.shape) else ops.expand_dims(bias, 1))

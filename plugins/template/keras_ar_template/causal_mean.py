"""Causal layer that sees the mean of what came before."""

import keras
from keras import ops

from keras_ar.layers import CausalLayer

__all__ = ["CausalMean"]


@keras.saving.register_keras_serializable(package="keras_ar_template")
class CausalMean(CausalLayer):
    """Dense layer over the mean of all strictly earlier positions.

    Args:
        units: Integer, the number of outputs of each position.
        **kwargs: `name` and `dtype`.

    Call arguments:
        x: Tensor of shape `(batch, positions, features)`.

    Returns:
        Tensor of shape `(batch, positions, units)`.

    Example:

    >>> layer = keras_ar_template.CausalMean(3)
    >>> tuple(layer(np.ones((1, 6, 2))).shape)
    (1, 6, 3)
    """

    strict = True  # the output at a position does not see that position

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units

    def build(self, input_shape):
        _, self.positions, self.features = input_shape
        self.kernel = self.add_weight((self.features, self.units), name="kernel")
        self.bias = self.add_weight((self.positions, self.units), initializer="zeros", name="bias")

    def call(self, x):
        earlier = ops.cumsum(ops.pad(x, [[0, 0], [1, 0], [0, 0]])[:, :-1], axis=1)
        counts = ops.cast(ops.maximum(ops.arange(self.positions), 1), x.dtype)
        return ops.matmul(earlier / counts[:, None], self.kernel) + self.bias

    # One position at a time. What is carried is the sum of the inputs so far.

    def prepare(self, condition=None):
        return {"kernel": self.cast_weight(self.kernel), "bias": self.cast_weight(self.bias)}

    def start(self, batch_size, num_steps):
        return ops.zeros((batch_size, self.features), self.compute_dtype)

    def step(self, constants, state, t, x):
        # The layer is strict, so `x` is the input at t - 1; at t = 0 it means nothing.
        total = state + ops.where(t > 0, ops.cast(x, self.compute_dtype), 0.0)
        mean = total / ops.cast(ops.maximum(t, 1), self.compute_dtype)
        return ops.matmul(mean, constants["kernel"]) + constants["bias"][t], total

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.units)

    def get_config(self):
        return {**super().get_config(), "units": self.units}

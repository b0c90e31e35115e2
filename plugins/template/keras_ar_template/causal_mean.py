"""Causal layer that sees the mean of what came before."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="keras_ar_template")
class CausalMean(keras.layers.Layer):
    """Dense layer over the mean of all strictly earlier positions: `(batch, positions, features)` to `units`."""

    strict = True  # the output at a position does not see that position

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units

    def build(self, input_shape):
        self.positions, self.features = input_shape[1:]
        self.kernel = self.add_weight((self.features, self.units), name="kernel")
        self.bias = self.add_weight((self.positions, self.units), initializer="zeros", name="bias")

    def call(self, x):
        earlier = ops.cumsum(ops.pad(x, [[0, 0], [1, 0], [0, 0]])[:, :-1], axis=1)
        counts = ops.cast(ops.maximum(ops.arange(self.positions), 1), x.dtype)
        return ops.matmul(earlier / counts[:, None], self.kernel) + self.bias

    def start(self, batch_size):
        return {"sum": ops.zeros((batch_size, self.features)), "bias": ops.convert_to_tensor(self.bias)}

    def step(self, state, x, t):
        # The layer is strict, so `x` is the input at t - 1; at t = 0 it means nothing.
        total = state["sum"] + ops.where(ops.greater(t, 0), ops.cast(x, "float32"), 0.0)
        mean = total / ops.cast(ops.maximum(t, 1), "float32")
        return ops.matmul(mean, self.kernel) + state["bias"][t], {**state, "sum": total}

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.units)

    def get_config(self):
        return {**super().get_config(), "units": self.units}

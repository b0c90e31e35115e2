"""Dense layer with a weight-normalised kernel."""

import keras
from keras import ops

from keras_ar import arguments
from keras_ar.layers.weight_norm import WeightNorm


@keras.saving.register_keras_serializable(package="keras_ar")
class WeightNormDense(WeightNorm):
    """Dense layer over features whose kernel is `gain * kernel / |kernel|`.

    Every position is treated alike, so a step is a call.

    Args:
        units: Number of outputs.

    Call arguments:
        inputs: Tensor of shape `(..., inputs)`.

    Returns:
        Tensor of shape `(..., units)`.

    Example:

    >>> layer = keras_ar.layers.WeightNormDense(3)
    >>> layer(np.ones((1, 2))).shape[-1]
    3

    Reference:
        [Salimans & Kingma, 2016](https://arxiv.org/abs/1602.07868).
    """

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = arguments.integer(units, "units")

    def build(self, input_shape):
        self.add_kernel((input_shape[-1], self.units))

    def call(self, inputs):
        return self.scaled(ops.matmul(ops.cast(inputs, self.compute_dtype), self.unit_kernel()))

    def start(self, batch_size):
        return {"kernel": self.unit_kernel() * self._cast(self.gain), "bias": self._cast(self.bias)}

    def step(self, state, x, t):
        return ops.matmul(ops.cast(x, self.compute_dtype), state["kernel"]) + state["bias"], state

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.units)

    def get_config(self):
        return {**super().get_config(), "units": self.units}

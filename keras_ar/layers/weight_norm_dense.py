"""Dense layer with a weight-normalized kernel."""

import keras
from keras import ops

from keras_ar import arguments
from keras_ar.layers.weight_norm import WeightNorm

__all__ = ["WeightNormDense"]


@keras.saving.register_keras_serializable(package="keras_ar")
class WeightNormDense(WeightNorm):
    """Dense layer over features whose kernel is `gain * kernel / |kernel|`.

    Args:
        units: Integer, the number of outputs.
        **kwargs: Initializers, regularizers and constraints, as in `keras.layers.Dense`, except that
            `kernel_initializer` defaults to `"random_normal"`; `name` and `dtype`.

    Call arguments:
        inputs: Tensor of shape `(..., inputs)`.

    Returns:
        Tensor of shape `(..., units)`.

    Example:

    >>> layer = keras_ar.layers.WeightNormDense(3)
    >>> tuple(layer(np.ones((4, 2))).shape)
    (4, 3)
    >>> layer.count_params()  # a kernel of 2 * 3, 3 gains and 3 biases
    12

    Reference:
        [Salimans & Kingma, 2016](https://arxiv.org/abs/1602.07868).
    """

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = arguments.integer(units, "units")

    def build(self, input_shape):
        self.add_normalized_kernel((input_shape[-1], self.units))

    def call(self, inputs):
        return self.rescale(ops.matmul(ops.cast(inputs, self.compute_dtype), self.unit_kernel()))

    # One position at a time: all are treated alike, so nothing is carried.

    def prepare(self, condition=None):
        return {"kernel": self.normalized_kernel(), "bias": self.cast_weight(self.bias)}

    def step(self, constants, state, t, x):
        return ops.matmul(ops.cast(x, self.compute_dtype), constants["kernel"]) + constants["bias"], state

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.units)

    def get_config(self):
        return {**super().get_config(), "units": self.units}

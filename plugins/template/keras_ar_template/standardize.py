"""Bijector that learns a mean and a scale for each entry."""

import keras
from keras import ops

from keras_ar.bijectors import Bijector

__all__ = ["Standardize"]


@keras.saving.register_keras_serializable(package="keras_ar_template")
class Standardize(Bijector):
    """Subtracts a learned mean from each entry, and divides by a learned scale (whose logarithm is within ±7).

    Example:

    >>> bijector = keras_ar_template.Standardize()
    >>> z, log_det = bijector(np.ones((2, 3), "float32"))
    >>> tuple(z.shape), tuple(log_det.shape)
    ((2, 3), (2,))
    """

    def build(self, input_shape):
        self.mean = self.add_weight(input_shape[1:], initializer="zeros", name="mean")
        self.log_scale = self.add_weight(input_shape[1:], initializer="zeros", name="log_scale")

    def to_noise(self, x, condition=None):
        log_scale = ops.clip(self.log_scale, -7.0, 7.0)
        return (x - self.mean) * ops.exp(-log_scale), _log_det(log_scale, x)

    def from_noise(self, z, condition=None):
        log_scale = ops.clip(self.log_scale, -7.0, 7.0)
        return self.mean + z * ops.exp(log_scale), _log_det(log_scale, z)


def _log_det(log_scale, x):
    return ops.broadcast_to(-ops.sum(log_scale), ops.shape(x)[:1])

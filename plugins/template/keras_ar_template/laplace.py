"""Laplace head."""

import math

import keras
from keras import ops

from keras_ar import Support
from keras_ar.heads import Head

__all__ = ["Laplace"]


@keras.saving.register_keras_serializable(package="keras_ar_template")
class Laplace(Head):
    """Real values, by the mean and the log-scale (within ±7) of a Laplace distribution.

    Example:

    >>> head = keras_ar_template.Laplace()
    >>> round(float(head.log_prob(np.zeros(2, "float32"), np.float32(1.0))), 3)
    -1.693
    """

    num_params = 2
    support = Support.reals()

    def encode(self, x):
        return ops.cast(x, "float32")

    def log_prob(self, params, x):
        mean, log_scale = _mean_and_log_scale(params)
        return -ops.abs(self.encode(x) - mean) * ops.exp(-log_scale) - log_scale - math.log(2.0)

    def sample(self, params, uniforms):
        mean, log_scale = _mean_and_log_scale(params)
        centered = uniforms[..., 0] - 0.5
        return mean - ops.exp(log_scale) * ops.sign(centered) * ops.log1p(-2.0 * ops.abs(centered))

    def mean(self, params):
        return params[..., 0]

    def mode(self, params):
        return params[..., 0]

    def cdf(self, params, x):
        mean, log_scale = _mean_and_log_scale(params)
        distance = (self.encode(x) - mean) * ops.exp(-log_scale)
        tail = 0.5 * ops.exp(-ops.abs(distance))
        return ops.where(distance < 0, tail, 1.0 - tail)

    def temper(self, params, temperature):
        return ops.stack([params[..., 0], params[..., 1] + ops.log(temperature)], axis=-1)


def _mean_and_log_scale(params):
    params = ops.convert_to_tensor(params)
    return params[..., 0], ops.clip(params[..., 1], -7.0, 7.0)

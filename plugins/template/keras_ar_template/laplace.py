"""Laplace head."""

import math

import keras
from keras import ops

from keras_ar.heads import Head


@keras.saving.register_keras_serializable(package="keras_ar_template")
class Laplace(Head):
    """Real values, by a mean and a log-scale (within ±7) of a Laplace distribution."""

    num_params = 2

    def encode(self, x):
        return ops.cast(x, "float32")

    def log_prob(self, params, x):
        mean, log_scale = _mean_and_log_scale(params)
        return -ops.abs(self.encode(x) - mean) * ops.exp(-log_scale) - log_scale - math.log(2.0)

    def sample(self, params, uniforms):
        mean, log_scale = _mean_and_log_scale(params)
        centred = uniforms[..., 0] - 0.5
        return mean - ops.exp(log_scale) * ops.sign(centred) * ops.log1p(-2.0 * ops.abs(centred))

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
    return params[..., 0], ops.clip(params[..., 1], -7.0, 7.0)

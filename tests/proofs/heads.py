"""Heads unlike our own: counts without end, a density with a jump, angles that the network sees as two numbers."""

import math

import keras
from keras import ops

from keras_ar import Support
from keras_ar.heads import Head


@keras.saving.register_keras_serializable(package="proofs")
class Geometric(Head):
    """Counts 0, 1, …, by the logit of the probability to go on; it can do nothing but what a head must."""

    num_params = 1
    support = Support.counts()

    def encode(self, x):
        return ops.log1p(ops.cast(x, "float32"))

    def log_prob(self, params, x):
        logit = ops.clip(params[..., 0], -6.0, 6.0)
        return ops.log_sigmoid(logit) * ops.cast(x, "float32") + ops.log_sigmoid(-logit)

    def sample(self, params, uniforms):
        logit = ops.clip(params[..., 0], -6.0, 6.0)
        return ops.cast(ops.floor(ops.log(uniforms[..., 0]) / ops.log_sigmoid(logit)), "int32")


@keras.saving.register_keras_serializable(package="proofs")
class Exponential(Head):
    """Real values of at least 0, by the logarithm of the rate; the density jumps at 0."""

    num_params = 1
    support = Support.reals(low=0.0)

    def encode(self, x):
        return ops.log1p(ops.cast(x, "float32"))

    def log_prob(self, params, x):
        log_rate = ops.clip(params[..., 0], -7.0, 7.0)
        return log_rate - ops.exp(log_rate) * ops.cast(x, "float32")

    def sample(self, params, uniforms):
        return -ops.log(uniforms[..., 0]) * ops.exp(-ops.clip(params[..., 0], -7.0, 7.0))

    def mean(self, params):
        return ops.exp(-ops.clip(params[..., 0], -7.0, 7.0))

    def mode(self, params):
        return ops.zeros_like(params[..., 0])

    def cdf(self, params, x):
        return -ops.expm1(-ops.exp(ops.clip(params[..., 0], -7.0, 7.0)) * ops.maximum(ops.cast(x, "float32"), 0.0))


@keras.saving.register_keras_serializable(package="proofs")
class Angle(Head):
    """Angles from -π to π, by a wrapped Cauchy distribution; the network sees their cosine and sine."""

    num_params = 2
    num_features = 2
    support = Support.reals(-math.pi, math.pi)

    def encode(self, x):
        x = ops.cast(x, "float32")
        return ops.stack([ops.cos(x), ops.sin(x)], axis=-1)

    def log_prob(self, params, x):
        center, spread = params[..., 0], 0.95 * ops.sigmoid(params[..., 1])
        denominator = 1.0 + spread**2 - 2.0 * spread * ops.cos(ops.cast(x, "float32") - center)
        return ops.log1p(-(spread**2)) - ops.log(denominator) - math.log(2.0 * math.pi)

    def sample(self, params, uniforms):
        center, spread = params[..., 0], 0.95 * ops.sigmoid(params[..., 1])
        turn = (1.0 - spread) / (1.0 + spread) * ops.tan(math.pi * (uniforms[..., 0] - 0.5))
        angle = center + 2.0 * ops.arctan(turn)
        return ops.clip(ops.arctan2(ops.sin(angle), ops.cos(angle)), -math.pi, math.pi)

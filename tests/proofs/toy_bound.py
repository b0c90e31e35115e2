"""A bound in place of a likelihood: bits that one hidden number explains, and a guess of what that number was."""

import keras
import numpy as np
from keras import ops

import keras_ar
from keras_ar.numerics import normal_log_density, normal_quantile

_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(9)  # E_q of a function is a weighted sum: nothing random is left


@keras.saving.register_keras_serializable(package="proofs")
class ToyBound(keras_ar.DensityModel):
    """z ~ N(0, 1), each bit has the logit `a z + b`; the guess of z is a normal distribution that follows from x."""

    support = keras_ar.Support.levels(2)
    exact = False

    def __init__(self, event_shape, **kwargs):
        super().__init__(event_shape, **kwargs)
        self.encoder = keras.layers.Dense(2, name="encoder", dtype=self.dtype_policy)
        self.decoder = keras.layers.Dense(self.num_dims, name="decoder", dtype=self.dtype_policy)

    def call(self, x):
        """Log p(x, z) - log q(z | x) at each node of the quadrature: `(batch, nodes)`."""
        bits = ops.reshape(ops.cast(x, "float32"), (-1, self.num_dims))
        guess = ops.cast(self.encoder(bits), "float32")
        mean, scale = guess[:, :1], keras_ar.numerics.bounded_exp(guess[:, 1:])
        z = mean + ops.multiply(scale, _NODES.astype("float32"))  # (batch, nodes)
        logits = ops.cast(self.decoder(ops.expand_dims(z, -1)), "float32")  # (batch, nodes, bits)
        sign = 2.0 * ops.expand_dims(bits, 1) - 1.0
        log_joint = normal_log_density(z, 0.0, ops.ones(())) + ops.sum(ops.log_sigmoid(sign * logits), axis=-1)
        return log_joint - normal_log_density(z, mean, scale)

    def log_prob_from(self, outputs, x):
        """The evidence lower bound."""
        return ops.sum(ops.multiply(outputs, (_WEIGHTS / _WEIGHTS.sum()).astype("float32")), axis=-1)

    @property
    def noise_shape(self):
        return (1 + self.num_dims,)

    def draw(self, noise):
        logits = ops.cast(self.decoder(normal_quantile(noise[:, :1])), "float32")
        x = ops.cast(noise[:, 1:] < ops.sigmoid(logits), "int32")
        x = ops.reshape(x, (-1, *self.event_shape))
        return x, self.log_prob(x)

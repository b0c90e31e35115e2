"""Bernoulli head."""

import keras
from keras import ops

from keras_ar.heads.head import Head
from keras_ar.numerics import logit
from keras_ar.support import Support


@keras.saving.register_keras_serializable(package="keras_ar")
class Bernoulli(Head):
    """Binary values 0 and 1, by one logit each.

    Example:

    >>> head = keras_ar.heads.Bernoulli()
    >>> logits = np.array([[0.0], [2.0]], "float32")  # two values, one parameter each
    >>> [round(float(p), 3) for p in head.log_prob(logits, np.array([1, 1]))]
    [-0.693, -0.127]
    """

    num_params = 1
    support = Support.levels(2)

    def encode(self, x):
        """The value itself: 0 or 1, as in the papers of the binary models."""
        return ops.cast(x, "float32")

    def log_prob(self, params, x):
        """Log-probability of `x` in nats."""
        sign = 2.0 * ops.cast(x, "float32") - 1.0
        return ops.log_sigmoid(ops.multiply(sign, ops.squeeze(params, axis=-1)))

    def sample(self, params, uniforms):
        """1 where the uniform exceeds the probability of 0."""
        return ops.cast(ops.greater(logit(uniforms[..., 0]), -params[..., 0]), "int32")

    def mean(self, params):
        """Probability of 1."""
        return ops.sigmoid(params[..., 0])

    def mode(self, params):
        """1 where it is the more probable value."""
        return ops.cast(params[..., 0] > 0, "int32")

    def cdf(self, params, x):
        """Probability of a value of at most `x`."""
        x = ops.cast(x, "float32")
        below_one = ops.where(x < 0, 0.0, ops.sigmoid(-params[..., 0]))
        return ops.where(x >= 1, 1.0, below_one)

    def temper(self, params, temperature):
        """Divides the logit by the temperature."""
        return params / temperature

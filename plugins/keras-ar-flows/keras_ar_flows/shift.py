"""Shift head: a normal distribution of unit scale. https://arxiv.org/abs/1410.8516"""

import keras
from keras import ops

from keras_ar.heads import RealHead
from keras_ar.numerics import normal_cdf, normal_log_density, normal_quantile

__all__ = ["Shift"]


@keras.saving.register_keras_serializable(package="keras_ar_flows")
class Shift(RealHead):
    """A normal distribution by its mean alone, of scale one in units of the head's `scale`.

    As a map it moves values and stretches nothing: the additive coupling of NICE.

    Args:
        loc: Float or array, as in `Normal`. Defaults to `0.0`.
        scale: Float or array, as in `Normal`. Defaults to `1.0`.
        resolution: Float, as in `Normal`. Defaults to `1.0`.

    Example:

    >>> z, log_slope = keras_ar_flows.Shift().to_noise(np.array([[2.0]], "float32"), np.array([5.0], "float32"))
    >>> float(z[0])  # and the logarithm of the slope is zero
    3.0
    """

    num_params = 1

    def log_prob(self, params, x):
        """Log-density of `x`, in nats per unit of the data."""
        mean = _mean(params)
        return self.per_unit(normal_log_density(self.encode(x), mean, ops.ones_like(mean)))

    def sample(self, params, uniforms):
        """The quantile of the uniform."""
        return self.from_noise(params, normal_quantile(uniforms[..., 0]))[0]

    def mean(self, params):
        """The mean."""
        return self.decode(_mean(params))

    def mode(self, params):
        """The mean, which is where the density peaks."""
        return self.mean(params)

    def cdf(self, params, x):
        """Probability of a value of at most `x`."""
        return normal_cdf(self.encode(x), _mean(params), 1.0)

    def to_noise(self, params, x):
        """The distance from the mean, and the logarithm of its slope."""
        z = self.encode(x) - _mean(params)
        return z, self.per_unit(ops.zeros_like(z))

    def from_noise(self, params, z):
        """The value, and the same logarithm."""
        return self.decode(z + _mean(params)), self.per_unit(ops.zeros_like(ops.convert_to_tensor(z)))


def _mean(params):
    return ops.convert_to_tensor(params)[..., 0]

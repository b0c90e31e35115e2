"""The base of heads that are a map to normal noise."""

from keras import ops

from keras_ar.heads.real_head import RealHead
from keras_ar.numerics import normal_cdf, normal_log_density, normal_quantile

__all__ = ["MonotoneHead"]


class MonotoneHead(RealHead):
    """Real values whose distribution is that of an increasing map's values for standard normal noise.

    **A subclass sets** `num_params`, and **writes** `to_noise` and `from_noise`. Density, samples and CDF follow.

    Args:
        loc: As in `RealHead`. Defaults to `0.0`.
        scale: As in `RealHead`. Defaults to `1.0`.
        resolution: As in `RealHead`. Defaults to `1.0`.

    Example:

    >>> class Asinh(keras_ar.heads.MonotoneHead):
    ...     num_params = 1
    ...     def to_noise(self, params, x):
    ...         x = self.encode(x) - params[..., 0]
    ...         return keras.ops.arcsinh(x), self.per_unit(-0.5 * keras.ops.log1p(x * x))
    ...     def from_noise(self, params, z):
    ...         x = self.decode(keras.ops.sinh(z) + params[..., 0])
    ...         return x, self.to_noise(params, x)[1]
    >>> model = keras_ar.models.FVSBN(3, head=Asinh())
    >>> model.sample(2, seed=0).shape
    (2, 3)
    """

    def log_prob(self, params, x):
        """Log-density of `x`, in nats per unit of the data."""
        z, log_slope = self.to_noise(params, x)
        return normal_log_density(z, 0.0, ops.ones_like(z)) + log_slope

    def sample(self, params, uniforms):
        """The value that maps to the normal quantile of the uniform."""
        return self.from_noise(params, normal_quantile(uniforms[..., 0]))[0]

    def cdf(self, params, x):
        """Probability of a value of at most `x`."""
        return normal_cdf(self.to_noise(params, x)[0], 0.0, 1.0)

"""Normal head."""

import keras
from keras import ops

from keras_ar.heads.real_head import RealHead
from keras_ar.numerics import bounded_log_scale, normal_cdf, normal_log_density, normal_quantile


@keras.saving.register_keras_serializable(package="keras_ar")
class Normal(RealHead):
    """Real values, by a mean and a log-scale each.

    The parameters are in units of the data: the network sees
    `(x - loc) / scale` and predicts in those units, the log-density is that of
    `x` itself. Log-scales beyond ±7 count as ±7.

    Args:
        loc: Float, the mean of the data, roughly; or a float for each position of an event, in an array of the
            shape of the positions, such as the columns of a table. Defaults to `0.0`.
        scale: Float, the standard deviation of the data, roughly; or an array of such. Defaults to `1.0`.
        resolution: Float, spacing of the grid that the data were measured on (1/255 for
            8-bit pixels scaled to `[0, 1]`); only `bits_per_dim` uses it. Defaults to `1.0`.

    Example:

    >>> head = keras_ar.heads.Normal(loc=10.0, scale=2.0)
    >>> float(head.mean(np.zeros((1, 2), "float32"))[0])
    10.0
    """

    num_params = 2

    def log_prob(self, params, x):
        """Log-density of `x`, in nats per unit of the data."""
        return self.per_unit(normal_log_density(self.encode(x), *self._mean_and_scale(params)))

    def sample(self, params, uniforms):
        """The quantile of the uniform."""
        return self.decode(normal_quantile(uniforms[..., 0], *self._mean_and_scale(params)))

    def mean(self, params):
        """The mean."""
        return self.decode(params[..., 0])

    def mode(self, params):
        """The mean, which is where the density peaks."""
        return self.mean(params)

    def cdf(self, params, x):
        """Probability of a value of at most `x`."""
        return normal_cdf(self.encode(x), *self._mean_and_scale(params))

    def to_noise(self, params, x):
        """The standardized value: noise, and the logarithm of its slope."""
        mean, log_scale = self.mean_and_log_scale(params)
        z = (self.encode(x) - mean) * ops.exp(-log_scale)
        return z, self.per_unit(ops.broadcast_to(-log_scale, ops.shape(z)))

    def from_noise(self, params, z):
        """The value, and the same logarithm."""
        mean, log_scale = self.mean_and_log_scale(params)
        x = mean + ops.exp(log_scale) * z
        return self.decode(x), self.per_unit(ops.broadcast_to(-log_scale, ops.shape(x)))

    def temper(self, params, temperature):
        """Multiplies the variance by the temperature."""
        mean, log_scale = ops.unstack(ops.convert_to_tensor(params), 2, axis=-1)
        return ops.stack([mean, log_scale + 0.5 * ops.log(temperature)], axis=-1)

    def mean_and_log_scale(self, params):
        """What the parameters stand for, in the units of the network; log-scales lie within a bound."""
        mean, log_scale = ops.unstack(ops.convert_to_tensor(params), 2, axis=-1)
        return mean, bounded_log_scale(log_scale)

    def _mean_and_scale(self, params):
        mean, log_scale = self.mean_and_log_scale(params)
        return mean, ops.exp(log_scale)

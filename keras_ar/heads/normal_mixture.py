"""Mixture of normal distributions as a head."""

from statistics import NormalDist

import keras
import numpy as np
from keras import ops

from keras_ar import arguments
from keras_ar.heads.real_head import RealHead
from keras_ar.numerics import (
    bounded_exp,
    inverse_cdf,
    log_normal_cdf,
    monotone_root,
    normal_cdf,
    normal_log_density,
    normal_quantile,
    normal_quantile_of_logs,
    with_gradient_of_root,
)


@keras.saving.register_keras_serializable(package="keras_ar")
class NormalMixture(RealHead):
    """Real values, by a mixture of normal distributions; with it NADE is RNADE.

    Each component has a logit, a mean and a log-scale. Means are counted from
    fixed, evenly spread anchors, so that components differ from the start.
    Units, `loc`, `scale` and `resolution` are those of `Normal`.

    Args:
        num_components: Integer, number of components. Defaults to `10`.
        loc: Float, the mean of the data, roughly; or a float for each position, as in `Normal`. Defaults to `0.0`.
        scale: Float, the standard deviation of the data, roughly; or an array of such. Defaults to `1.0`.
        resolution: Float, spacing of the grid that the data were measured on; only
            `bits_per_dim` uses it. Defaults to `1.0`.

    Example:

    >>> head = keras_ar.heads.NormalMixture(num_components=5)
    >>> head.num_params
    15

    Reference:
        [Uria et al., 2013](https://arxiv.org/abs/1306.0186), RNADE.
    """

    num_uniforms = 2  # one picks the component, one the value

    def __init__(self, num_components=10, loc=0.0, scale=1.0, resolution=1.0):
        super().__init__(loc, scale, resolution)
        self.num_components = arguments.integer(num_components, "num_components")
        self.num_params = 3 * self.num_components
        quantiles = (np.arange(self.num_components) + 0.5) / self.num_components
        self._anchors = np.array([NormalDist().inv_cdf(q) for q in quantiles], "float32")

    def log_prob(self, params, x):
        """Log-density of `x`, in nats per unit of the data."""
        logits, means, scales = self._components(params)
        densities = normal_log_density(ops.expand_dims(self.encode(x), -1), means, scales)
        return self.per_unit(ops.logsumexp(ops.log_softmax(logits, axis=-1) + densities, axis=-1))

    def sample(self, params, uniforms):
        """One uniform picks the component, the other its quantile."""
        logits, means, scales = self._components(params)
        component = ops.expand_dims(inverse_cdf(logits, uniforms[..., 0]), -1)
        mean = ops.take_along_axis(means, component, axis=-1)[..., 0]
        scale = ops.take_along_axis(scales, component, axis=-1)[..., 0]
        return self.decode(normal_quantile(uniforms[..., 1], mean, scale))

    def mean(self, params):
        """The mean of the mixture."""
        logits, means, _ = self._components(params)
        return self.decode(ops.sum(ops.softmax(logits, axis=-1) * means, axis=-1))

    def mode(self, params):
        """The mean of the component with the highest peak: the mode, if the components lie well apart."""
        logits, means, scales = self._components(params)
        highest = ops.argmax(ops.log_softmax(logits, axis=-1) - ops.log(scales), axis=-1)
        peak = ops.take_along_axis(means, ops.expand_dims(ops.cast(highest, "int32"), -1), axis=-1)[..., 0]
        return self.decode(peak)

    def cdf(self, params, x):
        """Probability of a value of at most `x`."""
        logits, means, scales = self._components(params)
        below = normal_cdf(ops.expand_dims(self.encode(x), -1), means, scales)
        return ops.sum(ops.softmax(logits, axis=-1) * below, axis=-1)

    def to_noise(self, params, x):
        """The standard normal quantile of the CDF at `x`, and the logarithm of its slope."""
        z = self._noise(*self._components(params), self.encode(x))
        return z, self._log_slope(params, x, z)

    def from_noise(self, params, z):
        """The value, and the same logarithm. It is searched for, between the quantiles of the components."""
        logits, means, scales = self._components(params)
        quantiles = means + scales * ops.expand_dims(z, -1)
        low, high = ops.min(quantiles, axis=-1), ops.max(quantiles, axis=-1)

        def excess(encoded):
            return self._noise(logits, means, scales, encoded) - z

        root = monotone_root(excess, low, high)
        x = self.decode(root)
        x = with_gradient_of_root(x, excess(root), ops.exp(self._log_slope(params, x, z)))
        return x, self._log_slope(params, x, z)

    def _log_slope(self, params, x, z):
        return self.log_prob_of_possible(params, x) - normal_log_density(z, 0.0, 1.0)

    def _noise(self, logits, means, scales, encoded):
        """Noise of values in the units of the network."""
        standard = (ops.expand_dims(encoded, -1) - means) / scales
        weights = ops.log_softmax(logits, axis=-1)
        below, above = (ops.logsumexp(weights + log_normal_cdf(t), axis=-1) for t in (standard, -standard))
        return normal_quantile_of_logs(below, above)

    def temper(self, params, temperature):
        """Tempers the choice of the component and each component: close to, not exactly, a power of the density."""
        logits, means, log_scales = ops.split(params, 3, axis=-1)
        return ops.concatenate([logits / temperature, means, log_scales + 0.5 * ops.log(temperature)], axis=-1)

    def get_config(self):
        """Arguments of the constructor."""
        return {"num_components": self.num_components, **super().get_config()}

    def _components(self, params):
        logits, means, log_scales = ops.split(params, 3, axis=-1)
        return logits, ops.add(means, self._anchors), bounded_exp(log_scales)

"""Logistic mixture head: the coupling of Flow++. https://arxiv.org/abs/1902.00275"""

import math

import keras
import numpy as np
from keras import ops

from keras_ar import arguments
from keras_ar.heads import MonotoneHead
from keras_ar.numerics import monotone_root, with_gradient_of_root

__all__ = ["LogisticMixture"]

_SPREAD = 0.5  # of the anchors, beside the quantiles of a logistic distribution
_VARIANCE = math.pi**2 / 3.0  # of that distribution


@keras.saving.register_keras_serializable(package="keras_ar_flows")
class LogisticMixture(MonotoneHead):
    """Real values, mapped to normal noise by the CDF of a mixture of logistics, a logit, a scale and a shift.

    The mixture bends the line wherever the data want it, and far out each map is linear. Means are counted from fixed
    anchors, so that components differ from the start; all parameters zero make the identity, nearly. Log-scales stay
    within a bound, as those of `Affine`. The inverse is searched for between the quantiles of the components.

    Args:
        num_components: Integer, number of components. Defaults to `8`.
        bound: Float, which log-scales do not reach. Defaults to `3.0`.
        loc: Float or array, as in `Normal`. Defaults to `0.0`.
        scale: Float or array, as in `Normal`. Defaults to `1.0`.
        resolution: Float, as in `Normal`. Defaults to `1.0`.

    Example:

    >>> head = keras_ar_flows.LogisticMixture(num_components=4)
    >>> head.num_params
    14
    >>> z, log_slope = head.to_noise(np.zeros((1, 14), "float32"), np.array([0.5], "float32"))
    >>> abs(float(z[0]) - 0.5) < 0.05
    True

    Reference:
        [Ho et al., 2019](https://arxiv.org/abs/1902.00275), section 3.2.
    """

    def __init__(self, num_components=8, bound=3.0, loc=0.0, scale=1.0, resolution=1.0):
        super().__init__(loc, scale, resolution)
        self.num_components = arguments.integer(num_components, "num_components")
        self.bound = arguments.number(bound, "bound", above=0)
        self.num_params = 3 * self.num_components + 2
        shares = (np.arange(self.num_components) + 0.5) / self.num_components
        self._anchors = (_SPREAD * (np.log(shares) - np.log1p(-shares))).astype("float32")
        # Components are narrower than the whole by as much as they are spread.
        self._log_width = 0.5 * math.log(1.0 - float(self._anchors.var()) / _VARIANCE)

    def to_noise(self, params, x):
        """The noise of a value, and the logarithm of its slope."""
        mixture, shift, log_scale = self._parts(params)
        logit, log_slope = _logit_of_cdf(mixture, self.encode(x))
        return shift + ops.exp(log_scale) * logit, self.per_unit(log_slope + log_scale)

    def from_noise(self, params, z):
        """The value, and the same logarithm. It is searched for, between the quantiles of the components."""
        mixture, shift, log_scale = self._parts(params)
        target = (z - shift) * ops.exp(-log_scale)
        _, means, log_scales = mixture
        quantiles = means + ops.exp(log_scales) * ops.expand_dims(target, -1)
        low, high = ops.min(quantiles, axis=-1), ops.max(quantiles, axis=-1)
        root = monotone_root(lambda encoded: _logit_of_cdf(mixture, encoded)[0] - target, low, high)
        logit, log_slope = _logit_of_cdf(mixture, root)
        encoded = with_gradient_of_root(root, logit - target, ops.exp(log_slope))
        _, log_slope = _logit_of_cdf(mixture, encoded)
        return self.decode(encoded), self.per_unit(log_slope + log_scale)

    def _parts(self, params):
        """Log-weights, means and log-scales of the components; and the shift and the log-scale of what they make."""
        params, n = ops.convert_to_tensor(params), self.num_components
        logits, means, log_scales = (params[..., i * n : (i + 1) * n] for i in range(3))
        mixture = (
            ops.log_softmax(logits, axis=-1),
            ops.add(means, self._anchors),
            self._log_width + self._bounded(log_scales),
        )
        return mixture, params[..., -2], self._bounded(params[..., -1])

    def _bounded(self, log_scales):
        return self.bound * ops.tanh(log_scales / self.bound)

    def get_config(self):
        """Arguments of the constructor."""
        return {"num_components": self.num_components, "bound": self.bound, **super().get_config()}


def _logit_of_cdf(mixture, encoded):
    """The logit of the CDF of a mixture, and the logarithm of its slope: from logarithms, far into both tails."""
    log_weights, means, log_scales = mixture
    standard = (ops.expand_dims(encoded, -1) - means) * ops.exp(-log_scales)
    log_below, log_above = ops.log_sigmoid(standard), ops.log_sigmoid(-standard)
    below, above = (ops.logsumexp(log_weights + part, axis=-1) for part in (log_below, log_above))
    log_density = ops.logsumexp(log_weights + log_below + log_above - log_scales, axis=-1)
    return below - above, log_density - below - above

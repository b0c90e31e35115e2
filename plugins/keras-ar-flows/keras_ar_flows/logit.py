"""Logit: an interval becomes the whole line."""

import keras
from keras import ops

from keras_ar import Support, arguments
from keras_ar.bijectors import Bijector

__all__ = ["Logit"]


@keras.saving.register_keras_serializable(package="keras_ar_flows")
class Logit(Bijector):
    """Maps values between two ends to all real numbers: `log(share / (1 - share))` of the share of the way.

    As the first bijector of a flow, it gives the flow these ends: what lies beyond has no density, and is never drawn.

    Args:
        low: Float, the lower end. Defaults to `0.0`.
        high: Float, the upper end. Defaults to `1.0`.
        alpha: Float in [0, 0.5). The data are moved in from the ends by this share of the way first, as RealNVP and
            MAF do with pixels. The flow then extends beyond `low` and `high` by `alpha / (1 - 2 alpha)` of the way,
            which is density lost to where no data are. Defaults to `0.0`.
        **kwargs: `name` and `dtype`.

    Call arguments:
        x: Tensor of shape `(batch, *event_shape)`.
        condition: Not looked at.

    Returns:
        Tensor of the shape of `x`, and `log_det` of shape `(batch,)`.

    Example:

    >>> z, log_det = keras_ar_flows.Logit(high=256.0)(np.array([[64.0, 128.0]], "float32"))
    >>> [round(float(value), 3) for value in z[0]]
    [-1.099, 0.0]
    """

    def __init__(self, low=0.0, high=1.0, alpha=0.0, **kwargs):
        super().__init__(**kwargs)
        self.low = arguments.number(low, "low")
        self.high = arguments.number(high, "high", above=self.low)
        self.alpha = arguments.rate(alpha, "alpha")
        if self.alpha >= 0.5:
            raise ValueError(f"`alpha` must be less than 0.5. Received: alpha={alpha!r}.")
        beyond = self.alpha / (1.0 - 2.0 * self.alpha) * (self.high - self.low)
        self.support = Support.reals(self.low - beyond, self.high + beyond)
        self._width = self.support.high - self.support.low

    def to_noise(self, x, condition=None):
        x = ops.cast(x, "float32")
        z = ops.log(x - self.support.low) - ops.log(self.support.high - x)
        return z, self._log_det(z)

    def from_noise(self, z, condition=None):
        z = ops.cast(z, "float32")
        # From the nearer end: the share that is small has all its digits.
        share = self._width * ops.sigmoid(-ops.abs(z))
        return ops.where(z < 0, self.support.low + share, self.support.high - share), self._log_det(z)

    def _log_det(self, z):
        # dz/dx = 1 / (width * share * (1 - share))
        slopes = -ops.log_sigmoid(z) - ops.log_sigmoid(-z) - ops.log(self._width)
        return ops.sum(ops.reshape(slopes, (ops.shape(z)[0], -1)), axis=-1)

    def get_config(self):
        return {**super().get_config(), "low": self.low, "high": self.high, "alpha": self.alpha}

"""Rational-quadratic spline head. https://arxiv.org/abs/1906.04032"""

import math

import keras
from keras import ops

from keras_ar import arguments, splines
from keras_ar.heads.monotone_head import MonotoneHead

_LEAST = 1e-3  # of the whole width or height that a bin has, and of slopes
_FLAT = math.log(math.expm1(1.0 - _LEAST))  # of which `softplus` is a slope of one


@keras.saving.register_keras_serializable(package="keras_ar")
class RationalQuadraticSpline(MonotoneHead):
    """Real values, by a spline that maps them to standard normal noise.

    Each bin of the spline has a width, a height and slopes at its edges; between them it is a ratio of two quadratic
    polynomials, increasing, whose inverse is known. Beyond `bound` it is the identity, so that the tails are normal.
    All parameters zero make the standard normal. Units, `loc`, `scale` and `resolution` are those of `Normal`.

    Args:
        num_bins: Integer, number of bins, at least 2. Defaults to `8`.
        bound: Float, how far from `loc` the spline reaches, in units of `scale`. Defaults to `4.0`.
        loc: Float, the mean of the data, roughly; or a float for each position, as in `Normal`. Defaults to `0.0`.
        scale: Float, the standard deviation of the data, roughly; or an array of such. Defaults to `1.0`.
        resolution: Float, spacing of the grid that the data were measured on; only
            `bits_per_dim` uses it. Defaults to `1.0`.

    Example:

    >>> head = keras_ar.heads.RationalQuadraticSpline(num_bins=4)
    >>> head.num_params
    11
    >>> z, log_slope = head.to_noise(np.zeros((1, 11), "float32"), np.array([1.5], "float32"))
    >>> round(float(z[0]), 4)
    1.5

    Reference:
        [Durkan et al., 2019](https://arxiv.org/abs/1906.04032), section 3.
    """

    def __init__(self, num_bins=8, bound=4.0, loc=0.0, scale=1.0, resolution=1.0):
        super().__init__(loc, scale, resolution)
        self.num_bins = arguments.integer(num_bins, "num_bins", least=2)
        if num_bins * _LEAST >= 0.5:
            raise ValueError(f"`num_bins` must be less than {int(0.5 / _LEAST)}. Received: num_bins={num_bins}.")
        self.bound = arguments.number(bound, "bound", above=0)
        self.num_params = 3 * self.num_bins - 1

    def to_noise(self, params, x):
        """What the spline makes of the value, and the logarithm of its slope."""
        encoded = self.encode(x)
        z, log_slope = splines.forward(self._knots(params), ops.clip(encoded, -self.bound, self.bound))
        return self._with_tails(encoded, z, log_slope)

    def from_noise(self, params, z):
        """The value that the spline maps to the noise, and the same logarithm."""
        inside = ops.clip(ops.cast(z, "float32"), -self.bound, self.bound)
        encoded, log_slope = splines.backward(self._knots(params), inside)
        encoded, log_slope = self._with_tails(z, encoded, log_slope)
        return self.decode(encoded), log_slope

    def _with_tails(self, value, mapped, log_slope):
        """What is mapped within the bound, and the identity beyond it; the slope in units of the data."""
        is_inside = ops.abs(value) < self.bound
        return ops.where(is_inside, mapped, value), self.per_unit(ops.where(is_inside, log_slope, 0.0))

    def _knots(self, params):
        """Edges of the bins on both axes, and the slopes there, `(..., num_bins + 1)`; and sizes, `(..., num_bins)`."""
        n = self.num_bins  # slices, because torch's `split` at given places cannot be exported
        widths, heights, slopes = params[..., :n], params[..., n : 2 * n], params[..., 2 * n :]
        zero = ops.zeros_like(params[..., :1])
        slopes = _LEAST + ops.softplus(slopes + _FLAT)
        found = {"slope": ops.concatenate([zero + 1.0, slopes, zero + 1.0], axis=-1)}
        for name, size, logits in (("x", "width", widths), ("z", "height", heights)):
            share = _LEAST + (1.0 - _LEAST * self.num_bins) * ops.softmax(logits, axis=-1)
            found[size] = 2.0 * self.bound * share
            inner = ops.cumsum(found[size], axis=-1)[..., :-1] - self.bound
            found[name] = ops.concatenate([zero - self.bound, inner, zero + self.bound], axis=-1)
        return found

    def get_config(self):
        """Arguments of the constructor."""
        return {"num_bins": self.num_bins, "bound": self.bound, **super().get_config()}

"""Distributions of TensorFlow Probability as a head."""

import math

import keras
import numpy as np
from keras import ops

from keras_ar import Support
from keras_ar.heads import Categorical, RealHead
from keras_ar.numerics import (
    monotone_root,
    normal_log_density,
    normal_quantile,
    normal_quantile_of_logs,
    with_gradient_of_root,
)
from keras_ar_tfp.family import Family

__all__ = ["TFPHead"]

# Logarithms below these vanish in float32; their sums over an event do not.
_LEAST_LOG_DENSITY = -1e30
_LEAST_LOG_PROBABILITY = -1e6


@keras.saving.register_keras_serializable(package="keras_ar_tfp")
class TFPHead(RealHead):
    """Single values, by any scalar distribution of TensorFlow Probability, on the backend TensorFlow.

    Each parameter of the distribution is a number, or comes from one output `y` of the network by a constraint:

    - `"linear"`: `y`; `"bounded"`: `y` between -7 and 7, for logarithms and logits;
    - `"softplus"`: `softplus(y) + 0.001`; `"exp"`: `exp(y)`, with `y` between -7 and 7: for what is positive;
    - `"above_one"`: `softplus(y) + 1.001`, for what must be above 1;
    - `"sigmoid"`: between 0 and 1; `"tanh"`: between -1 and 1.

    Real values are in the data's own units: the network sees `(x - loc) / scale`, and the distribution is one of these.
    Draws are quantiles, or roots of the CDF where a family has no quantile. Values at an end of the support count as
    the nearest ones inside. A log-density that float32 cannot hold counts as -1e30, without a gradient.

    Integers have the levels `0, ..., num_levels - 1`: the distribution is cut off there, and made to sum to 1 again.
    Each score asks for the probabilities of all levels. The lowest value of the family is level 0: level `k` of
    `"Zipf"` is its value `k + 1`.

    `mean` and `mode` are there if the family has them for whatever the network may say: the mean of `"StudentT"` needs
    `df` above 1. `to_noise` and `from_noise` are there for real values without an upper end, if float32 tells the
    values apart: small concentrations of `"Gamma"` press them to zero, those `"above_one"` do not.

    Args:
        family: String, the name of a class of `tensorflow_probability.distributions`.
        parameters: Dictionary from the names of its parameters to constraints or numbers, at least one constraint.
        num_levels: Integer of at least 2, the number of levels for families of integers; else `None`.
            Defaults to `None`.
        num_components: Integer, how many distributions of the family are mixed; `None` for one alone. Each component
            has a logit, and an output for each constraint, counted from fixed, evenly spread anchors, so that
            components differ from the start. Defaults to `None`.
        loc: Float, what the network sees as 0; for real values, also what the distribution has as 0. Or a float for
            each position, as in `keras_ar.heads.Normal`. Defaults to `None`: 0 for real values, the middle level for
            integers.
        scale: Float, what the network sees as 1 more than `loc`, or an array of such. Defaults to `None`: 1 for real
            values, half of the highest level for integers.
        resolution: Float, spacing of the grid that real values were measured on; only `bits_per_dim` uses it.
            Defaults to `1.0`.

    Example:

    >>> head = keras_ar_tfp.TFPHead("Gamma", {"concentration": "above_one", "rate": 2.0})
    >>> made = keras_ar.models.MADE(6, hidden_units=(64,), head=head)
    >>> made.sample(5, seed=0).shape
    (5, 6)
    >>> counts = keras_ar_tfp.TFPHead("Poisson", {"log_rate": "bounded"}, num_levels=10)
    >>> float(counts.mode(np.log(np.array([[3.5]], "float32")))[0])
    3.0

    Reference:
        [Dillon et al., 2017](https://arxiv.org/abs/1711.10604), TensorFlow Distributions.
    """

    def __init__(self, family, parameters, num_levels=None, num_components=None, loc=None, scale=None, resolution=1.0):
        self._family = Family(family, parameters, num_components)
        self.family = family
        self.parameters = self._family.parameters
        self.num_components = self._family.num_components
        self.num_params = self._family.num_params
        if self._family.line:
            if num_levels is not None:
                raise ValueError(
                    f"`num_levels` must be None for {family}, whose values are real numbers. "
                    f"Received: num_levels={num_levels!r}."
                )
            self.num_levels = self._categorical = None
            middle, half = 0.0, 1.0
        else:
            if num_levels is None:
                raise ValueError(
                    f"`num_levels` must be an integer for {family}, whose values are integers: it is cut off there. "
                    f"Received: num_levels=None."
                )
            self._categorical = Categorical(num_levels)
            self.num_levels = self._categorical.num_levels
            self._levels = self._family.levels(self.num_levels)
            middle = half = 0.5 * (self.num_levels - 1)
        super().__init__(middle if loc is None else loc, half if scale is None else scale, resolution)
        if self._categorical:
            self.support = self._categorical.support
        else:
            low, high = self._end(self._family.line.low), self._end(self._family.line.high)
            self.support = Support.reals(low, high, resolution=resolution)

    @property
    def capabilities(self):
        """Names of the optional methods: what the family can for whatever the network says."""
        if self._categorical:
            return frozenset({"cdf", "mean", "mode"})
        noise = {"to_noise", "from_noise"} if "noise" in self._family.can else set()
        return frozenset({"cdf"} | noise | (self._family.can & {"mean", "mode"}))

    def log_prob(self, params, x):
        """Log-probability of `x`, or log-density per unit of the data, in nats."""
        if self._categorical:
            return self._categorical.log_prob_of_possible(self._logits(params), x)
        return self.per_unit(self._ask("log_prob", params, self._inside(x), _LEAST_LOG_DENSITY))

    def sample(self, params, uniforms):
        """The quantile of the uniform."""
        if self._categorical:
            return self._categorical.sample(self._logits(params), uniforms)
        if "quantile" in self._family.can:
            return self._value(self._family.distribution(params).quantile(uniforms[..., 0]))
        return self._value(self._root(params, normal_quantile(uniforms[..., 0])))

    def mean(self, params):
        """Expected value."""
        self.require("mean", "mean")
        if self._categorical:
            return self._categorical.mean(self._logits(params))
        return self.decode(self._family.distribution(params).mean())

    def mode(self, params):
        """Most probable value."""
        self.require("mode", "mode")
        if self._categorical:
            return self._categorical.mode(self._logits(params))
        return self._value(self._family.distribution(params).mode())

    def cdf(self, params, x):
        """Probability of a value of at most `x`."""
        if self._categorical:
            return self._categorical.cdf(self._logits(params), x)
        below = self._family.distribution(params).cdf(self._inside(x))
        x = ops.cast(x, "float32")
        return ops.where(x < self.support.low, 0.0, ops.where(x > self.support.high, 1.0, below))

    def to_noise(self, params, x):
        """The standard normal quantile of the CDF at `x`, and the logarithm of its slope."""
        self.require("to_noise", "to_noise")
        z = self._noise(params, self._inside(x))
        return z, self._log_slope(params, x, z)

    def from_noise(self, params, z):
        """The value, and the same logarithm. The value is searched for."""
        self.require("from_noise", "from_noise")
        root = self._root(params, z)
        x = self._value(root)
        x = with_gradient_of_root(x, self._noise(params, root) - z, ops.exp(self._log_slope(params, x, z)))
        return x, self._log_slope(params, x, z)

    def _log_slope(self, params, x, z):
        return self.log_prob_of_possible(params, x) - normal_log_density(z, 0.0, 1.0)

    def get_config(self):
        """Arguments of the constructor."""
        return {
            "family": self.family,
            "parameters": dict(self.parameters),
            "num_levels": self.num_levels,
            "num_components": self.num_components,
            **super().get_config(),
        }

    def _inside(self, x):
        """Values in units of the network, none of them at an end of the support."""
        return self._family.line.clip(self.encode(x))

    def _value(self, encoded):
        """Values, from those in units of the network."""
        return ops.clip(self.decode(self._family.line.clip(encoded)), self.support.low, self.support.high)

    def _ask(self, what, params, x, least):
        """A function of the distribution; `least`, without a gradient, where float32 cannot hold the answer."""

        def answer(params, x):
            return getattr(self._family.distribution(params), what)(x)

        params = ops.convert_to_tensor(params)
        is_lost = ops.logical_and(
            ops.logical_not(ops.isfinite(answer(params, x))), ops.isfinite(ops.sum(params, axis=-1))
        )
        # What is lost is asked at some other place: the gradient of the branch that is not taken must be finite.
        params = ops.where(ops.expand_dims(is_lost, -1), 0.0, params)
        somewhere = self._levels[0] if self._categorical else self._family.line.somewhere
        return ops.where(is_lost, least, answer(params, ops.where(is_lost, somewhere, x)))

    def _noise(self, params, encoded):
        """Noise of values in units of the network, from logarithms: far out in both tails."""
        below, above = (
            self._ask(what, params, encoded, _LEAST_LOG_PROBABILITY) for what in ("log_cdf", "log_survival_function")
        )
        return _normal_quantile(below, above)

    def _root(self, params, z):
        """Values in units of the network that have the noise `z`."""
        line, distribution = self._family.line, self._family.distribution(params)

        def excess(t):
            x = line.place(t)
            return _normal_quantile(distribution.log_cdf(x), distribution.log_survival_function(x)) - z

        low, high = (ops.full_like(z, end) for end in line.reach)
        return line.place(monotone_root(excess, low, high))

    def _end(self, end):
        """An end of the support in the units of the data, which must be the same for all positions."""
        ends = np.unique(self.loc + self.scale * end) if math.isfinite(end) else np.array([end])
        if len(ends) > 1:
            raise ValueError(
                f"`loc` and `scale` must be such that {self.family} has the same ends at all positions. "
                f"Received: loc={self.loc}, scale={self.scale}, by which it has the ends {ends}."
            )
        return float(ends[0])

    def _logits(self, params):
        """Log-probabilities of all levels: what the categorical head is told, which does all for integers."""
        return self._ask("log_prob", ops.expand_dims(params, -2), self._levels, _LEAST_LOG_DENSITY)


def _normal_quantile(log_below, log_above):
    """Of logarithms that may be rounded beyond those of probabilities."""
    logs = (ops.clip(log, _LEAST_LOG_PROBABILITY, -(2.0**-24)) for log in (log_below, log_above))
    return normal_quantile_of_logs(*logs)

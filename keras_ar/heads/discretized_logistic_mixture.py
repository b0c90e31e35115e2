"""Mixture of discretized logistic distributions as a head."""

import keras
import numpy as np
from keras import ops

from keras_ar import arguments
from keras_ar.heads.level_head import LevelHead
from keras_ar.numerics import bounded_exp, discretized_logistic_log_prob, inverse_cdf, logistic_cdf, logistic_quantile


@keras.saving.register_keras_serializable(package="keras_ar")
class DiscretizedLogisticMixture(LevelHead):
    """Integers `0, ..., num_levels - 1`, by a mixture of logistic distributions rounded to them; of PixelCNN++.

    A logistic variable is rounded to the nearest level; the two outermost
    levels also take what lies beyond them. Means and scales are in units of
    the encoded value, where the levels reach from -1 to 1. Means are counted from
    fixed, evenly spread anchors, so that components differ from the start.
    Log-scales beyond ±7 count as ±7.

    The channels of a pixel are drawn together: one component for all of them,
    and the means of later channels shifted by the channels that came before,
    each times the tanh of a coefficient. For each component the parameters are a
    logit, `C` means, `C` log-scales and `C * (C - 1) / 2` coefficients, in this order:
    10 for RGB. The last axis of `params` holds the logits of all components,
    then all means of the first channel, and so on.

    Args:
        num_levels: Integer of at least 2, the number of levels. Defaults to `256`.
        num_components: Integer, number of components. Defaults to `10`.
        num_channels: Integer `C`, number of values that are drawn together. With 1, a draw
            is a single value of shape `()`; with more it has shape `(num_channels,)`. Defaults to `1`.

    Example:

    >>> head = keras_ar.heads.DiscretizedLogisticMixture(num_components=5, num_channels=3)
    >>> head.num_params, head.num_uniforms, head.event_shape
    (50, 4, (3,))

    Reference:
        [Salimans et al., 2017](https://arxiv.org/abs/1701.05517), sections 2.1 and 2.2.
    """

    def __init__(self, num_levels=256, num_components=10, num_channels=1):
        super().__init__(num_levels)
        self.num_components = arguments.integer(num_components, "num_components")
        self.num_channels = arguments.integer(num_channels, "num_channels")
        self.num_params = self.num_components * (1 + 2 * self.num_channels + _num_pairs(self.num_channels))
        self.num_uniforms = 1 + self.num_channels  # one picks the component, the others the channels
        self.event_shape = () if self.num_channels == 1 else (self.num_channels,)
        self._anchors = ((2 * np.arange(self.num_components) + 1) / self.num_components - 1).astype("float32")
        self._half = 0.5 * (self.num_levels - 1)  # an encoded value of 1, in levels

    @property
    def capabilities(self):
        """As in every head; several channels that are drawn together have no `cdf`."""
        return super().capabilities - ({"cdf"} if self.event_shape else set())

    def log_prob(self, params, x):
        """Log-probability of `x` in nats; of all its channels together."""
        blocks = self._blocks(params)
        levels = self._channels(x)
        log_prob = ops.log_softmax(blocks[0], axis=-1)  # (..., components)
        for channel, level in enumerate(levels):
            mean, scale = self._conditional(blocks, levels[:channel])
            log_prob = log_prob + discretized_logistic_log_prob(level, mean, scale, self.num_levels)
        return ops.logsumexp(log_prob, axis=-1)

    def sample(self, params, uniforms):
        """One uniform picks the component; each channel is a quantile, rounded before the next one sees it."""
        blocks = self._blocks(params)
        component = ops.expand_dims(inverse_cdf(blocks[0], uniforms[..., 0]), -1)
        levels = []
        for channel in range(self.num_channels):
            mean, scale = (
                ops.take_along_axis(of_all, component, axis=-1) for of_all in self._conditional(blocks, levels)
            )
            value = logistic_quantile(uniforms[..., channel + 1, None], mean, scale)
            levels.append(ops.clip(ops.round(value), 0.0, self.num_levels - 1.0))
        return ops.cast(self._event(levels), "int32")

    def mean(self, params):
        """Expected level, a real number, summed over all levels.

        Exact for the first channel. In later ones each component is shifted by its
        expected levels of the channels before: exact but for rounding and clipping.
        """
        blocks = self._blocks(params)
        edges = ops.arange(self.num_levels - 1, dtype="float32") + 0.5
        expected = []
        for _ in range(self.num_channels):
            mean, scale = self._conditional(blocks, expected)
            # A level is the number of edges below it.
            above = 1.0 - logistic_cdf(edges, ops.expand_dims(mean, -1), ops.expand_dims(scale, -1))
            expected.append(ops.sum(above, axis=-1))  # (..., components)
        weights = ops.softmax(blocks[0], axis=-1)
        return self._event([ops.sum(weights * level, axis=-1, keepdims=True) for level in expected])

    def mode(self, params):
        """Most probable level, found by scoring them all.

        Of several channels, the most probable of the components' own modes: the joint
        mode, if the components lie well apart.
        """
        every_level = ops.arange(self.num_levels, dtype="float32")
        if not self.event_shape:
            scores = self.log_prob(ops.expand_dims(params, -2), every_level)  # (..., levels)
            return ops.cast(ops.argmax(scores, axis=-1), "int32")
        blocks = self._blocks(params)
        modes = []
        for _ in range(self.num_channels):
            mean, scale = (ops.expand_dims(of_all, -1) for of_all in self._conditional(blocks, modes))
            each = discretized_logistic_log_prob(every_level, mean, scale, self.num_levels)
            modes.append(ops.cast(ops.argmax(each, axis=-1), "float32"))  # (..., components)
        scores = self.log_prob(ops.expand_dims(params, -2), ops.stack(modes, axis=-1))
        best = ops.cast(ops.argmax(scores, axis=-1, keepdims=True), "int32")
        return ops.cast(self._event([ops.take_along_axis(levels, best, axis=-1) for levels in modes]), "int32")

    def cdf(self, params, x):
        """Probability of a level of at most `x`; for one channel only."""
        self.require("cdf", "cdf")
        blocks = self._blocks(params)
        (level,) = self._channels(x)
        below = logistic_cdf(ops.floor(level) + 0.5, *self._conditional(blocks, []))
        below = ops.where(level < 0, 0.0, ops.where(level >= self.num_levels - 1, 1.0, below))
        return ops.sum(ops.softmax(blocks[0], axis=-1) * below, axis=-1)

    def temper(self, params, temperature):
        """Tempers the choice of the component and narrows each: close to, not exactly, a power of the probability."""
        logits, *blocks = self._blocks(params)
        log_scales = slice(self.num_channels, 2 * self.num_channels)
        blocks[log_scales] = [log_scale + ops.log(temperature) for log_scale in blocks[log_scales]]
        return ops.concatenate([logits / temperature, *blocks], axis=-1)

    def get_config(self):
        """Arguments of the constructor."""
        return {
            **super().get_config(),
            "num_components": self.num_components,
            "num_channels": self.num_channels,
        }

    def _blocks(self, params):
        """The parameters one kind after the other, each of shape `(..., components)`."""
        return ops.split(params, self.num_params // self.num_components, axis=-1)

    def _conditional(self, blocks, earlier):
        """Means and scales, in levels, of the channel that comes after the levels of the `earlier` channels."""
        channel = len(earlier)
        mean = self._half * (ops.add(blocks[1 + channel], self._anchors) + 1.0)
        scale = self._half * bounded_exp(blocks[1 + self.num_channels + channel])
        first = 1 + 2 * self.num_channels + _num_pairs(channel)
        for level, coefficient in zip(earlier, blocks[first:], strict=False):
            mean = mean + ops.tanh(coefficient) * (level - self._half)
        return mean, scale

    def _channels(self, x):
        """The levels of each channel, each of shape `(..., 1)`."""
        x = ops.cast(x, "float32")
        return ops.split(x if self.event_shape else ops.expand_dims(x, -1), self.num_channels, axis=-1)

    def _event(self, levels):
        """Undoes `_channels`."""
        x = ops.concatenate(levels, axis=-1)
        return x if self.event_shape else x[..., 0]


def _num_pairs(n):
    return n * (n - 1) // 2

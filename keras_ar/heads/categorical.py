"""Categorical head."""

import keras
from keras import ops

from keras_ar.heads.level_head import LevelHead
from keras_ar.numerics import inverse_cdf

_NEVER = -1e30  # a logit whose probability is zero


@keras.saving.register_keras_serializable(package="keras_ar")
class Categorical(LevelHead):
    """Integers `0, ..., num_levels - 1`, by one logit each.

    Args:
        num_levels: Integer of at least 2, the number of levels. Defaults to `256`, the
            gray values of an image.

    Example:

    >>> head = keras_ar.heads.Categorical(4)
    >>> uniform = np.zeros((1, 4), "float32")
    >>> round(float(head.log_prob(uniform, np.array([2]))[0]), 4)  # -log 4
    -1.3863
    """

    def __init__(self, num_levels=256):
        super().__init__(num_levels)
        self.num_params = self.num_levels

    def log_prob(self, params, x):
        """Log-probability of `x` in nats."""
        index = ops.expand_dims(ops.cast(x, "int32"), -1)
        return ops.take_along_axis(ops.log_softmax(params, axis=-1), index, axis=-1)[..., 0]

    def sample(self, params, uniforms):
        """The level at which the cumulative probability passes the uniform."""
        return inverse_cdf(params, uniforms[..., 0])

    def mean(self, params):
        """Expected level, a real number."""
        levels = ops.arange(self.num_levels, dtype="float32")
        return ops.sum(ops.softmax(params, axis=-1) * levels, axis=-1)

    def mode(self, params):
        """Most probable level."""
        return ops.cast(ops.argmax(params, axis=-1), "int32")

    def cdf(self, params, x):
        """Probability of a level of at most `x`."""
        levels = ops.arange(self.num_levels, dtype="float32")
        at_most = ops.cast(levels <= ops.expand_dims(ops.cast(x, "float32"), -1), "float32")
        return ops.sum(ops.softmax(params, axis=-1) * at_most, axis=-1)

    def temper(self, params, temperature):
        """Divides the logits by the temperature."""
        return params / temperature

    def truncate(self, params, top_k=None, top_p=None):
        """Parameters with the most probable levels only, and with levels as probable as the last of them.

        `top_k` is how many; `top_p` the probability that they have together, at least. With both, `top_p` is
        of the probability of the `top_k` levels, as if these were all there are.
        """
        params = ops.convert_to_tensor(params)
        ranked = ops.flip(ops.sort(params, axis=-1), axis=-1)  # from the most probable on
        if top_k is not None:
            last = ops.minimum(top_k, self.num_levels) - 1
            params = ops.where(params >= ops.take(ranked, last, axis=-1)[..., None], params, _NEVER)
            ranked = ops.where(ops.arange(self.num_levels) <= last, ranked, _NEVER)
        if top_p is not None:
            probabilities = ops.softmax(ranked, axis=-1)
            before = ops.cumsum(probabilities, axis=-1) - probabilities  # of all the levels that are more probable
            least = ops.min(ops.where(before < top_p, ranked, ops.max(ranked)), axis=-1, keepdims=True)
            params = ops.where(params >= least, params, _NEVER)
        return params

"""Log-space pieces that stay exact where the textbook formula does not. Pure `keras.ops`."""

import math

from keras import ops

LOG_2PI = math.log(2.0 * math.pi)


def logit(u):
    """`log(u / (1 - u))`: a uniform becomes standard logistic noise."""
    return ops.log(u) - ops.log1p(-u)


def bounded_exp(log_scale, bound=7.0):
    """`exp(log_scale)`, with log-scales beyond `bound` counted as `bound`: a scale neither vanishes nor overflows."""
    return ops.exp(ops.clip(log_scale, -bound, bound))


def normal_log_density(x, mean, scale):
    """Log-density of a normal distribution."""
    z = (x - mean) / scale
    return -0.5 * (ops.square(z) + LOG_2PI) - ops.log(scale)


def normal_cdf(x, mean, scale):
    """Probability that a normal variable is at most `x`."""
    return 0.5 * (1.0 + ops.erf((x - mean) / scale * math.sqrt(0.5)))


def normal_quantile(u, mean, scale):
    """The point below which a normal variable falls with probability `u`."""
    return mean + scale * (math.sqrt(2.0) * ops.erfinv(2.0 * u - 1.0))


def inverse_cdf(logits, u):
    """Index drawn from `softmax(logits)` by one uniform: the first level whose cumulative probability exceeds `u`.

    The last cumulative sum may round to just below 1, so it is never compared
    with: whatever is left belongs to the last level.
    """
    cumulative = ops.cumsum(ops.softmax(logits, axis=-1), axis=-1)  # (..., levels)
    threshold = ops.expand_dims(u, -1) * cumulative[..., -1:]
    return ops.sum(ops.cast(cumulative[..., :-1] <= threshold, "int32"), axis=-1)


def logistic_cdf(x, mean, scale):
    """Probability that a logistic variable is at most `x`."""
    return ops.sigmoid((x - mean) / scale)


def logistic_quantile(u, mean, scale):
    """The point below which a logistic variable falls with probability `u`."""
    return mean + scale * logit(u)


def discretized_logistic_log_prob(x, mean, scale, num_levels):
    """Log-probability that a logistic variable, rounded and clipped to `0, ..., num_levels - 1`, is the level `x`.

    Mean and scale are in levels, so that the edges of a level, half a level
    either side of it, are exact.
    """
    upper = (x - mean + 0.5) / scale
    lower = (x - mean - 0.5) / scale
    below_upper, above_lower = ops.log_sigmoid(upper), ops.log_sigmoid(-lower)
    # sigmoid(a) - sigmoid(b) = sigmoid(a) sigmoid(-b) (1 - exp(b - a)): no difference of two numbers close together.
    between = below_upper + above_lower + ops.log(-ops.expm1(-1.0 / scale))
    return ops.where(x == 0, below_upper, ops.where(x == num_levels - 1, above_lower, between))


def concat_elu(x):
    """`elu` of `x` and of `-x`, side by side: twice the features, none of them cut off."""
    return ops.elu(ops.concatenate([x, -x], axis=-1))


def lstm(gates, cell):
    """One step of a long short-term memory: its output and its next cell.

    `gates` holds the pre-activations of the output, forget and input gate and of
    the content, side by side on the last axis.
    """
    o, f, i, g = ops.split(gates, 4, axis=-1)
    cell = ops.sigmoid(f) * cell + ops.sigmoid(i) * ops.tanh(g)
    return ops.sigmoid(o) * ops.tanh(cell), cell

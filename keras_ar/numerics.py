"""Pieces of log-probabilities that stay exact where the textbook formula does not: plain functions of `keras.ops`."""

import math

from keras import ops

from keras_ar import backend

__all__ = [
    "bounded_exp",
    "bounded_log_scale",
    "discretized_logistic_log_prob",
    "inverse_cdf",
    "log_normal_cdf",
    "logistic_cdf",
    "logistic_quantile",
    "logit",
    "monotone_root",
    "normal_cdf",
    "normal_log_density",
    "normal_quantile",
    "normal_quantile_of_logs",
    "one_hot",
    "with_gradient_of_root",
]

_LOG_2PI = math.log(2.0 * math.pi)
_MOST_LOG_SCALE = 7.0


def logit(u):
    """`log(u / (1 - u))`: a uniform becomes standard logistic noise.

    >>> float(keras_ar.numerics.logit(np.float32(0.5)))
    0.0
    """
    return ops.log(u) - ops.log1p(-u)


def bounded_exp(log_scale):
    """`exp(log_scale)`, with log-scales beyond ±7 counted as ±7: a scale neither vanishes nor overflows.

    >>> round(float(keras_ar.numerics.bounded_exp(np.float32(100.0))), 1)
    1096.6
    """
    return ops.exp(bounded_log_scale(log_scale))


def bounded_log_scale(log_scale):
    """Log-scales, where those beyond ±7 are ±7.

    >>> float(keras_ar.numerics.bounded_log_scale(np.float32(100.0)))
    7.0
    """
    return ops.clip(ops.convert_to_tensor(log_scale), -_MOST_LOG_SCALE, _MOST_LOG_SCALE)


def one_hot(x, num_classes):
    """`ops.one_hot`, which on torch looks at the values, and so would be no piece of a graph.

    >>> keras.ops.convert_to_numpy(keras_ar.numerics.one_hot(np.array([2, 0], "int32"), 3)).tolist()
    [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]
    """
    x = ops.expand_dims(ops.cast(x, "int32"), -1)
    return ops.cast(ops.equal(x, ops.arange(num_classes, dtype="int32")), "float32")


def normal_log_density(x, mean, scale):
    """Log-density of a normal distribution.

    >>> round(float(keras_ar.numerics.normal_log_density(np.float32(0.0), 0.0, np.float32(1.0))), 4)
    -0.9189
    """
    z = (x - mean) / scale
    return -0.5 * (ops.square(z) + _LOG_2PI) - ops.log(scale)


def normal_cdf(x, mean, scale):
    """Probability that a normal variable is at most `x`.

    >>> round(float(keras_ar.numerics.normal_cdf(np.float32(1.0), 0.0, 1.0)), 4)
    0.8413
    """
    return 0.5 * (1.0 + ops.erf((x - mean) / scale * math.sqrt(0.5)))


def normal_quantile(u, mean=0.0, scale=1.0):
    """The point below which a normal variable falls with probability `u`, to seven digits down to the far tails.

    Rational approximations, one for the middle and one for the tails: `erfinv` of the backends loses digits for
    uniforms below 1e-5.

    >>> round(float(keras_ar.numerics.normal_quantile(np.float32(2.0**-24))), 5)
    -5.2947

    Reference:
        [Wichura, 1988](https://doi.org/10.2307/2347330), algorithm AS 241 in single precision.
    """
    u = ops.convert_to_tensor(u)
    centered = u - 0.5
    square = 0.180625 - ops.square(centered)
    middle = centered * _ratio(square, _MIDDLE_ABOVE, _MIDDLE_BELOW)
    far = ops.sqrt(-ops.log(ops.minimum(u, 1.0 - u)))
    tail = ops.where(far <= 5.0, _ratio(far - 1.6, _TAIL_ABOVE, _TAIL_BELOW), _ratio(far - 5.0, _END_ABOVE, _END_BELOW))
    z = ops.where(ops.abs(centered) <= 0.425, middle, ops.sign(centered) * tail)
    return mean + scale * z


# Coefficients of polynomials, from the highest power down.
_MIDDLE_ABOVE = (59.109374720, 159.29113202, 50.434271938, 3.3871327179)
_MIDDLE_BELOW = (67.187563600, 78.757757664, 17.895169469, 1.0)
_TAIL_ABOVE = (0.17023821103, 1.3067284816, 2.7568153900, 1.4234372777)
_TAIL_BELOW = (0.12021132975, 0.73700164250, 1.0)
_END_ABOVE = (0.017337203997, 0.42868294337, 3.0812263860, 6.6579051150)
_END_BELOW = (0.012258202635, 0.24197894225, 1.0)


def _ratio(x, above, below):
    """The ratio of two polynomials."""
    return _polynomial(x, above) / _polynomial(x, below)


def _polynomial(x, coefficients):
    value, *others = coefficients
    for coefficient in others:
        value = value * x + coefficient
    return value


def log_normal_cdf(z):
    """Logarithm of the probability that a standard normal variable is at most `z`, to seven digits in both tails.

    >>> [round(float(keras_ar.numerics.log_normal_cdf(np.float32(z))), 3) for z in (-10.0, 0.0, 1.0)]
    [-53.231, -0.693, -0.173]
    """
    z = ops.convert_to_tensor(z)
    log_tail = _log_ratio_of_tail(z) - 0.5 * ops.square(z) - math.log(2.0)
    # The inner minimum keeps the gradient of the branch that is not taken finite.
    return ops.where(z <= 0, log_tail, ops.log1p(-ops.exp(ops.minimum(log_tail, -math.log(2.0)))))


def _log_ratio_of_tail(z):
    """Logarithm of the tail of a normal variable beyond `z`, on either side, over half of `exp(-z^2 / 2)`."""
    t = 1.0 / (1.0 + math.sqrt(0.125) * ops.where(z <= 0, -z, z))  # at zero `abs` has no gradient
    return ops.log(t) + _polynomial(t, _LOG_ERFC)


# log(erfc(x) exp(x^2) / t) as a polynomial in t = 1 / (1 + x / 2) from 0 to 1: a fit of our own, within 1e-7.
_LOG_ERFC = (
    *(0.00819275591, 0.129908998, -0.735104203, 1.38610644, -1.06239728, 0.246833129),
    *(-0.17770727, 0.0954640677, 0.374195094, 1.00002055, -1.26551221),
)


def normal_quantile_of_logs(log_below, log_above):
    """The point that has these probabilities on either side of it, from their logarithms: far into both tails.

    Its gradient is that of the exact function: the last step to it is one of Newton's.

    Args:
        log_below: Tensor, the logarithm of the probability of a standard normal variable of at most the point.
        log_above: Tensor, the logarithm of the probability of one above it.

    >>> log_below, log_above = (keras_ar.numerics.log_normal_cdf(np.float32(z)) for z in (-30.0, 30.0))
    >>> round(float(keras_ar.numerics.normal_quantile_of_logs(log_below, log_above)), 3)
    -30.0
    """
    is_low = log_below < log_above
    log_tail = ops.where(is_low, log_below, log_above)
    known = ops.stop_gradient(log_tail)
    middle = normal_quantile(ops.exp(ops.maximum(known, _LOG_OF_MIDDLE)))
    far = ops.sqrt(ops.maximum(-known, -_LOG_OF_MIDDLE))
    near = ops.where(far <= 5.0, _ratio(far - 1.6, _TAIL_ABOVE, _TAIL_BELOW), _ratio(far - 5.0, _END_ABOVE, _END_BELOW))
    end = ops.sqrt(2.0 * ops.square(far) - ops.log(4.0 * math.pi * ops.square(far)))
    z = ops.where(known > _LOG_OF_MIDDLE, middle, -ops.where(far <= 9.0, near, end))  # at most 0
    for target in (known, log_tail):
        slope = math.sqrt(2.0 / math.pi) * ops.exp(-_log_ratio_of_tail(z))
        z = z + (target - log_normal_cdf(z)) / slope
    return ops.where(is_low, z, -z)


_LOG_OF_MIDDLE = math.log(0.075)


def monotone_root(function, low, high, iterations=40):
    """Where an increasing function is zero, between two points: by halving, without a gradient.

    Args:
        function: Function of a tensor, entry by entry.
        low: Tensor of points at or below the roots.
        high: Tensor of points at or above the roots.
        iterations: Integer, how often the interval is halved. Defaults to `40`.

    >>> root = keras_ar.numerics.monotone_root(lambda x: x**3 - 8.0, np.float32([0.0]), np.float32([5.0]))
    >>> round(float(root[0]), 5)
    2.0
    """

    def halve(_, bounds):
        low, high = bounds
        middle = 0.5 * (low + high)
        is_above = function(middle) > 0
        return ops.where(is_above, low, middle), ops.where(is_above, middle, high)

    start = ops.convert_to_tensor(low), ops.convert_to_tensor(high)
    backend.note_loop("fori_loop")
    low, high = ops.fori_loop(0, iterations, halve, start)
    return ops.stop_gradient(0.5 * (low + high))


def with_gradient_of_root(root, excess, slope):
    """A root that was found without a gradient, and the gradient that it has as a function of all else.

    It is that of a step of Newton's; the value stays as it is.

    Args:
        root: Tensor of points where a function is zero.
        excess: Tensor, the function there, with the gradient by all that it depends on but the root.
        slope: Tensor, the positive slope of the function there.

    >>> root, excess, slope = (keras.ops.convert_to_tensor(value) for value in (2.0, 0.001, 12.0))
    >>> float(keras_ar.numerics.with_gradient_of_root(root, excess, slope))
    2.0
    """
    return root - (excess - ops.stop_gradient(excess)) / ops.maximum(ops.stop_gradient(slope), 1e-30)


def inverse_cdf(logits, u):
    """Index drawn from `softmax(logits)` by one uniform: the first level whose cumulative probability exceeds `u`.

    The last cumulative sum may round to just below 1, so it is never compared
    with: whatever is left belongs to the last level.

    >>> logits, u = np.zeros((1, 4), "float32"), np.array([0.6], "float32")
    >>> keras.ops.convert_to_numpy(keras_ar.numerics.inverse_cdf(logits, u)).tolist()
    [2]
    """
    cumulative = ops.cumsum(ops.softmax(logits, axis=-1), axis=-1)  # (..., levels)
    threshold = ops.expand_dims(u, -1) * cumulative[..., -1:]
    return ops.sum(ops.cast(cumulative[..., :-1] <= threshold, "int32"), axis=-1)


def logistic_cdf(x, mean, scale):
    """Probability that a logistic variable is at most `x`.

    >>> float(keras_ar.numerics.logistic_cdf(np.float32(3.0), 3.0, 2.0))
    0.5
    """
    return ops.sigmoid((x - mean) / scale)


def logistic_quantile(u, mean, scale):
    """The point below which a logistic variable falls with probability `u`.

    >>> float(keras_ar.numerics.logistic_quantile(np.float32(0.5), 3.0, 2.0))
    3.0
    """
    return mean + scale * logit(u)


def discretized_logistic_log_prob(x, mean, scale, num_levels):
    """Log-probability that a logistic variable, rounded and clipped to `0, ..., num_levels - 1`, is the level `x`.

    Mean and scale are in levels, so that the edges of a level, half a level
    either side of it, are exact.

    >>> levels = np.arange(4, dtype="float32")
    >>> log_probs = keras_ar.numerics.discretized_logistic_log_prob(levels, 1.5, np.float32(1.0), 4)
    >>> [round(float(p), 3) for p in keras.ops.exp(log_probs)]
    [0.269, 0.231, 0.231, 0.269]
    """
    upper = (x - mean + 0.5) / scale
    lower = (x - mean - 0.5) / scale
    below_upper, above_lower = ops.log_sigmoid(upper), ops.log_sigmoid(-lower)
    # sigmoid(a) - sigmoid(b) = sigmoid(a) sigmoid(-b) (1 - exp(b - a)): no difference of two numbers close together.
    between = below_upper + above_lower + ops.log(-ops.expm1(-1.0 / scale))
    return ops.where(x == 0, below_upper, ops.where(x == num_levels - 1, above_lower, between))

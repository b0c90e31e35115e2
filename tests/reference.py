"""The models once more, straight from the papers' equations: float64 NumPy, one event at a time, in plain loops.

Nothing here knows keras_ar. Weights come in as arrays, events as a vector of
network inputs in the order in which they unroll; out come the parameters of each
step, of shape `(steps, params)`, or the nats of one value.
"""

import math
from statistics import NormalDist

import numpy as np


def sigmoid(a):
    """The logistic function."""
    return 1.0 / (1.0 + np.exp(-np.asarray(a, "float64")))


def relu(a):
    """The positive part."""
    return np.maximum(np.asarray(a, "float64"), 0.0)


# Models.


def fvsbn(x, kernel, bias):
    """Frey et al., 1996: `a_i = b_i + sum_{j<i} W_ij x_j`, from the full matrix.

    Args:
        x: Vector of `n` inputs.
        kernel: `(n, n, params)`: to, from.
        bias: `(n, params)`.
    """
    params = np.array(bias, "float64")
    for i in range(len(x)):
        for j in range(i):
            params[i] += np.asarray(kernel[i, j], "float64") * x[j]
    return params


def nade(x, kernel, bias, output_kernel, output_bias, activation):
    """Larochelle & Murray, 2011, eqs. 1 and 2: `h_i = act(c + W_{<i} x_{<i})`, `a_i = V_i h_i + b_i`.

    Args:
        x: Vector of `n` inputs.
        kernel: W, `(n, units)`: the row that each input adds.
        bias: c, `(units,)`.
        output_kernel: V, `(n, params, units)`.
        output_bias: b, `(n, params)`.
        activation: Function of an array.
    """
    params = np.array(output_bias, "float64")
    for i in range(len(x)):
        total = np.array(bias, "float64")
        for j in range(i):
            total += np.asarray(kernel[j], "float64") * x[j]
        params[i] += np.asarray(output_kernel[i], "float64") @ activation(total)
    return params


def made(x, kernels, biases, degrees, activation, direct=None):
    """Germain et al., 2015: masks by eqs. 8, 9 and 13, activations by eqs. 6 and 7 (and 10 for direct connections).

    Args:
        x: Vector of `n` inputs.
        kernels: One a layer, `(inputs, units)`; the last one gives `n * params` outputs.
        biases: One a layer, `(units,)`.
        degrees: One vector for each hidden layer: how many inputs a unit may see.
        activation: Function of an array.
        direct: Kernel from the inputs to the outputs, `(n, n * params)`, or `None`.
    """
    n = len(x)
    num_params = len(biases[-1]) // n
    inputs_degrees = [d + 1 for d in range(n)]
    outputs_degrees = [d + 1 for d in range(n) for _ in range(num_params)]
    below, h = inputs_degrees, np.asarray(x, "float64")
    for kernel, bias, above in zip(kernels[:-1], biases[:-1], degrees, strict=True):
        h = activation(_masked(h, kernel, bias, below, above, lambda seen, unit: unit >= seen))
        below = above
    a = _masked(h, kernels[-1], biases[-1], below, outputs_degrees, lambda seen, output: output > seen)
    if direct is not None:
        none = np.zeros(len(outputs_degrees))
        a += _masked(x, direct, none, inputs_degrees, outputs_degrees, lambda seen, output: output > seen)
    return a.reshape(n, num_params)


def _masked(x, kernel, bias, degrees_in, degrees_out, may_see):
    y = np.array(bias, "float64")
    for k, to in enumerate(degrees_out):
        for d, seen in enumerate(degrees_in):
            if may_see(seen, to):
                y[k] += float(kernel[d, k]) * x[d]
    return y


# Scores of one value, in nats.


def bernoulli(params, x):
    """`log p` with `p(1) = sigmoid(a)`."""
    return math.log(sigmoid(params[0]) if x == 1 else sigmoid(-params[0]))


def categorical(params, x):
    """`log softmax(a)[x]`."""
    return params[x] - logsumexp(params)


def normal(params, x, loc=0.0, scale=1.0):
    """The textbook density; mean and log-scale are in units of the data's `loc` and `scale`."""
    mean, deviation = loc + scale * params[0], scale * math.exp(params[1])
    return -((x - mean) ** 2) / (2 * deviation**2) - math.log(deviation * math.sqrt(2 * math.pi))


def normal_mixture(params, x, loc=0.0, scale=1.0):
    """Logits, means and log-scales; means are counted from the mid-quantiles of a standard normal."""
    logits, means, log_scales = np.split(np.asarray(params, "float64"), 3)
    k = len(logits)
    terms = [
        categorical(logits, c)
        + normal((means[c] + NormalDist().inv_cdf((c + 0.5) / k), log_scales[c]), x, loc=loc, scale=scale)
        for c in range(k)
    ]
    return logsumexp(terms)


def discretized_logistic(x, mean, scale, num_levels):
    """Salimans et al., 2017, eq. 2, on levels scaled to [-1, 1]: the probability between the edges of a level.

    In the upper half the same difference is taken between the probabilities to lie above the edges.
    """
    half, scaled = 1 / (num_levels - 1), 2 * x / (num_levels - 1) - 1
    upper = math.inf if x == num_levels - 1 else (scaled + half - mean) / scale
    lower = -math.inf if x == 0 else (scaled - half - mean) / scale
    if lower > 0:
        upper, lower = -lower, -upper
    with np.errstate(over="ignore"):  # far out, 1 / inf is the right probability
        return sigmoid(upper) - sigmoid(lower)


def discretized_logistic_mixture(params, x, num_levels, num_components):
    """Salimans et al., 2017, eqs. 1 to 3: one component for all channels, means shifted by the channels before.

    Args:
        params: Logits, then for each channel means, for each channel log-scales, and for each channel and each one
            before it coefficients, yet without their tanh; of each, one for every component.
        x: The channels of one pixel, or one grey value.
        num_levels: Number of levels.
        num_components: Number of components.
    """
    logits, *rest = np.asarray(params, "float64").reshape(-1, num_components)
    x = np.atleast_1d(x).astype("float64")
    n, scaled = len(x), 2 * x / (num_levels - 1) - 1
    total = 0.0
    for k in range(num_components):
        probability = math.exp(categorical(logits, k))
        coefficients = iter(rest[2 * n :])
        for c in range(n):
            anchor = (2 * k + 1) / num_components - 1  # the middle of the k-th part of [-1, 1]
            mean = anchor + rest[c][k] + sum(math.tanh(next(coefficients)[k]) * scaled[earlier] for earlier in range(c))
            probability *= discretized_logistic(x[c], mean, math.exp(rest[n + c][k]), num_levels)
        total += probability
    return math.log(total)


def logsumexp(a):
    """`log sum exp`, shifted by the largest."""
    largest = max(a)
    return largest + math.log(sum(math.exp(value - largest) for value in a))

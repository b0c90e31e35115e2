"""The claims that every head must meet, as functions that raise `AssertionError`.

Which checks apply follows from the head's `support` and its `capabilities`.
"""

import itertools
import math

import keras
import numpy as np
from keras import ops

from keras_ar import backend, noise
from keras_ar.numerics import normal_quantile
from keras_ar.testing import statistics, tools

__all__ = ["HEAD_CHECKS"]

_MOST_VALUES = 2**16  # of one draw from a head
_MANY = 20_000


def check_head_normalized(head):
    """Probabilities of all values sum to one; a density integrates to one, and to what a CDF says."""
    params = tools.random_params(head, 5)
    if head.support.is_discrete:
        total = _probabilities(head, params).sum(axis=0)
        assert np.abs(total - 1).max() < 1e-5, f"The probabilities of {head} sum to {total}."
        return
    nodes, weights, edges = _line(head, params)
    mass = np.exp(_over(head.log_prob, params, nodes).astype("float64")) * weights  # of each cell
    total = mass.sum(axis=0)
    assert np.abs(total - 1).max() < 2e-3, f"The density of {head} integrates to {total}."
    if "cdf" in head.capabilities:
        error = np.abs(mass - np.diff(_over(head.cdf, params, edges).astype("float64"), axis=0))
        # A cell in which the density jumps is off by as much as it holds.
        error = np.sort(error, axis=0)[:-2]
        assert error.max() < 1e-4, f"The density of {head} is not the derivative of its CDF: off by {error.max():.3g}."


def check_head_cdf(head):
    """The CDF of integer levels is the sum of their probabilities."""
    params = tools.random_params(head, 5)
    levels = np.arange(-1, head.support.num_levels + 1, dtype="float32")
    found = _over(head.cdf, params, np.repeat(levels[:, None], 5, axis=1))
    assert np.allclose(found[1:-1], _probabilities(head, params).cumsum(axis=0), atol=1e-5), (
        f"The CDF of {head} is not its sum."
    )
    assert np.allclose(found[[0, -1]], [[0.0], [1.0]], atol=1e-5), (
        f"The CDF of {head} must be 0 below and 1 above the support."
    )


def check_head_draws_what_it_scores(head):
    """Values drawn by many uniforms come as often as the head's own log-probabilities say."""
    params = tools.random_params(head, 1)
    repeated = np.repeat(params, _MANY, axis=0)
    values = tools.computed(head.sample, repeated, noise.uniforms(5, 0, _MANY, (head.num_uniforms,)))
    head.check(values)
    if head.support.is_discrete:
        values = values.astype("int64")  # of which dtype they should be is another check's claim
        probabilities = _probabilities(head, params)[:, 0]
        indices = values.reshape(_MANY, -1) @ (head.support.num_levels or 0) ** np.arange(_size(head))[::-1]
        counts = np.bincount(indices, minlength=len(probabilities))
        probabilities = np.append(probabilities, max(1 - probabilities.sum(), 0.0))  # counts have no end
        counts = np.append(counts[: len(probabilities) - 1], counts[len(probabilities) - 1 :].sum())
        p_value = statistics.g_test(counts, probabilities * _MANY)
    elif "cdf" in head.capabilities:
        p_value = statistics.uniformity_test(tools.computed(head.cdf, repeated, values))
    else:
        nodes, weights, edges = _line(head, params)
        mass = np.exp(_over(head.log_prob, params, nodes).astype("float64"))[:, 0] * weights[:, 0]
        cells = np.array_split(np.arange(len(mass)), 40)
        bounds = np.array([edges[cell[0], 0] for cell in cells[1:]])
        counts = np.bincount(np.searchsorted(bounds, values), minlength=len(cells))
        expected = np.array([mass[cell].sum() for cell in cells])
        p_value = statistics.g_test(counts, _MANY * expected / expected.sum())
    assert p_value > 1e-4, f"Draws from {head} do not follow its own probabilities: p = {p_value:.2g}."
    if "mean" in head.capabilities:
        mean = tools.computed(head.mean, params)[0]
        # Of values drawn together the mean may be an approximation, but one well within their spread.
        allowed = (0.1 if head.event_shape else 5 / math.sqrt(_MANY)) * values.std(axis=0) + 1e-8
        assert (np.abs(values.mean(axis=0) - mean) < allowed).all(), (
            f"`mean` of {head} says {mean}; {_MANY} draws have the mean {values.mean(axis=0)}."
        )


def check_head_shapes(head):
    """Leading axes of parameters are kept, draws have the support's dtype, scores and encoded values are float32."""
    params = tools.random_params(head, 6).reshape(2, 3, head.num_params)
    optional = [name for name in ("mean", "mode") if name in head.capabilities]

    def compute(params, uniforms):
        drawn = head.sample(params, uniforms)
        found = {name: getattr(head, name)(params) for name in optional}
        return {**found, "sample": drawn, "encode": head.encode_draws(drawn), "log_prob": head.log_prob(params, drawn)}

    found = tools.computed(compute, params, noise.uniforms(3, 0, 2, (3, head.num_uniforms)))
    for name, array in found.items():
        shape = (2, 3, *{"log_prob": (), "encode": (head.num_features,)}.get(name, head.event_shape))
        assert array.shape == shape, f"`{name}` of {head} must have shape {shape}. Received: {array.shape}."
        dtype = head.support.dtype if name in ("sample", "mode") else "float32"
        assert array.dtype == dtype, f"`{name}` of {head} must be {dtype}. Received: {array.dtype}."
    if head.support.is_discrete:
        again = tools.computed(head.log_prob, params, found["sample"].astype("uint8"))
        assert np.allclose(again, found["log_prob"], atol=1e-5), f"{head} scores the same values otherwise as uint8."


def check_head_mode(head):
    """No level, and no draw, is much more probable than the mode."""
    params = tools.random_params(head, 50)

    def gap(params, uniforms):
        draws = head.log_prob(params, head.sample(params, uniforms))
        return draws - head.log_prob(params, head.mode(params))

    # All but single integers may peak between the peaks of two components that overlap, or off the peak of each value.
    slack = 1.0 if head.event_shape else 1e-5 if head.support.is_discrete else 0.7
    uniforms = noise.uniforms(0, 0, 20, (50, head.num_uniforms))
    found = tools.computed(gap, np.repeat(params[None], 20, axis=0), uniforms)
    assert found.max() <= slack, f"{head}: a draw is more probable than the mode, by {found.max():.3g} nats."


def check_head_extremes(head):
    """Log-probabilities and their gradients stay finite for extreme parameters; draws stay on the support."""
    values = [0.0, 1.0, -1.0, 30.0, -30.0, 1e4, -1e4]
    rows = list(itertools.product(values, repeat=min(head.num_params, 3)))
    params = np.resize(np.array(rows, "float32"), (len(rows), head.num_params))
    each = np.repeat(_extreme_values(head), len(rows))
    xs = np.broadcast_to(each.reshape(-1, *(1 for _ in head.event_shape)), (len(each), *head.event_shape))
    params = np.tile(params, (len(each) // len(rows), 1))
    variable, xs = keras.Variable(params), ops.convert_to_tensor(xs)

    log_prob = tools.computed(head.log_prob, params, xs)
    (gradient,) = backend.gradients(lambda: ops.sum(head.log_prob(ops.convert_to_tensor(variable), xs)), [variable])
    for what, finite in (("", np.isfinite(log_prob)), ("a gradient of ", np.isfinite(gradient).all(axis=-1))):
        assert finite.all(), (
            f"{head}: {what}log_prob at params = {params[~finite][0]}, x = {each[~finite][0]} is not finite."
        )
    u = np.resize(np.array([2.0**-24, 0.5, 1 - 2.0**-24], "float32"), (len(params), 1))
    for shift in range(3):
        head.check(tools.computed(head.sample, params, np.repeat(np.roll(u, shift), head.num_uniforms, axis=1)))


def check_head_temperature(head):
    """Temperature 1 leaves the distribution as it is; a low one draws close to the mode that it leaves."""
    params = tools.random_params(head, 50)

    def compute(params, uniforms):
        drawn = head.sample(params, uniforms)
        same = head.temper(params, np.float32(1.0))
        scores = head.log_prob(params, drawn), head.log_prob(same, drawn)
        if "mode" not in head.capabilities:
            return scores
        cooled = head.temper(params, np.float32(1e-4))
        draws = drawn, head.sample(cooled, uniforms), head.mode(cooled)
        return *scores, *(ops.cast(x, "float32") for x in draws)

    as_it_is, same, *draws = tools.computed(compute, params, noise.uniforms(0, 0, 50, (head.num_uniforms,)))
    assert np.allclose(same, as_it_is, atol=1e-5), f"{head}: temperature 1 changes it."
    if draws:
        warm, cold, mode = draws
        assert np.abs(cold - mode).mean() <= 0.5 * np.abs(warm - mode).mean(), (
            f"{head}: a low temperature does not cool."
        )


def check_head_noise(head):
    """`to_noise` is increasing, undone by `from_noise`, and as steep as the density says; noise is standard normal."""
    count = 400
    params = tools.random_params(head, count)
    z = noise.normals(count, seed=6).astype("float32").clip(-4.5, 4.5)

    def compute(params, z):
        x, log_slope = head.from_noise(params, z)
        back, same_log_slope = head.to_noise(params, x)
        scored = head.log_prob(params, x) + 0.5 * (ops.square(back) + math.log(2.0 * math.pi))
        further, _ = head.from_noise(params, z + 0.1)
        return x, log_slope, back, same_log_slope, scored, further

    x, log_slope, back, same_log_slope, scored, further = tools.computed(compute, params, z)
    assert x.shape == z.shape == log_slope.shape, f"`from_noise` of {head} must give a value and a number for each."
    assert (further > x).all(), f"`from_noise` of {head} is not increasing."
    for what, found, expected in (
        ("noise, there and back", back, z),
        ("the logarithm of the slope on the way back", same_log_slope, log_slope),
        ("log p(x) - log p(z)", scored, same_log_slope),
    ):
        error = np.abs(found - expected).max()
        assert error < 2e-3 * (1 + np.abs(expected).max()), f"{head}: {what} is off by {error:.3g}."
    if "cdf" in head.capabilities:
        below = [0.5 * (1 + math.erf(value * math.sqrt(0.5))) for value in z]
        error = np.abs(tools.computed(head.cdf, params, x) - below).max()
        assert error < 1e-3, f"{head}: the CDF of noise is not that of its values, by {error:.3g}."
    if head.num_uniforms == 1:
        uniforms = noise.uniforms(3, 0, count, (1,))
        drawn, mapped = tools.computed(
            lambda p, u: (head.sample(p, u), head.from_noise(p, normal_quantile(u[:, 0]))[0]), params, uniforms
        )
        assert np.allclose(drawn, mapped, rtol=1e-4, atol=1e-4), (
            f"`sample` of {head} is not `from_noise` of normal noise."
        )
    _check_gradient_of_noise(head, params[:50], z[:50])
    far = 1e3 * np.sign(z)
    extreme = 100 * params
    found = tools.computed(lambda p, z: (*head.from_noise(p, 5.3 * z), *head.to_noise(p, far)), extreme, np.sign(z))
    assert all(np.isfinite(each).all() for each in found), f"Noise of {head} is not finite for extreme parameters."


def _check_gradient_of_noise(head, params, z):
    """There and back is `z` for any parameters, so its gradient is one by `z` and zero by the parameters."""

    def there_and_back(inputs):
        x, _ = head.from_noise(inputs[:, :-1], inputs[:, -1])
        return ops.sum(head.to_noise(inputs[:, :-1], x)[0])

    gradient = backend.jacobian(there_and_back, np.concatenate([params, z[:, None]], axis=1))
    error = max(np.abs(gradient[:, :-1]).max(), np.abs(gradient[:, -1] - 1.0).max())
    assert error < 0.02, (
        f"`from_noise` of {head} must have the gradient of a function that undoes `to_noise`: a flow that is drawn "
        f"from in training would not learn. It is off by {error:.3g}."
    )


def check_head_round_trip(head):
    """A copy made by the name that Keras serializes a head under has the same config, and scores and draws alike."""
    twin = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(head))
    assert type(twin) is type(head) and twin.get_config() == head.get_config(), f"{head} does not survive a file."
    params = tools.random_params(head, 20)
    uniforms = noise.uniforms(4, 0, 20, (head.num_uniforms,))
    values = tools.computed(head.sample, params, uniforms)
    for what, *arguments in (("sample", params, uniforms), ("log_prob", params, values), ("encode_draws", values)):
        one, other = (tools.computed(getattr(each, what), *arguments) for each in (head, twin))
        assert np.array_equal(one, other), f"`{what}` of {head} is another one after a round trip of its config."


def check_head_refuses(head):
    """NaN, and values off the support, are refused with an error that says where."""
    support = head.support
    wrong_values = [math.nan, *(value for value in (support.low - 1, support.high + 1) if math.isfinite(value))]
    for wrong in wrong_values + ([0.5] if support.is_discrete else []):
        values = np.zeros((2, *head.event_shape))
        values.flat[-1] = wrong
        try:
            head.check(values)
        except ValueError as error:
            assert "`x`" in str(error), f"The error of {head} must name the argument. It says: {error}"
        else:
            raise AssertionError(f"{head} accepts {values}.")


# What the checks are made of.


def _size(head):
    return math.prod(head.event_shape)


def _over(function, params, xs):
    """`function(params, x)` for each of `xs`, an array of shape `(count, rows, ...)`: an array `(count, rows)`."""
    return tools.computed(function, np.repeat(params[None], len(xs), axis=0), xs)


def _probabilities(head, params):
    """The probability of every value that an integer head can draw, in rising order: `(values, rows)`, float64.

    Of counts without end, those of the first that have all but a millionth together.
    """
    if head.support.num_levels is None:
        for count in (2**8, 2**12, 2**16):
            values = np.repeat(np.arange(count)[:, None], len(params), axis=1)
            found = np.exp(_over(head.log_prob, params, values.astype("int32")).astype("float64"))
            if found.sum(axis=0).min() > 1 - 1e-6:
                break
        return found
    values = np.indices((head.support.num_levels,) * _size(head)).reshape(_size(head), -1).T  # (values, size)
    values = np.repeat(values[:, None], len(params), axis=1).reshape(-1, len(params), *head.event_shape)
    return np.exp(_over(head.log_prob, params, values.astype("int32")).astype("float64"))


def _line(head, params, count=20_001):
    """Cells that cover the support: middles, widths and edges, `(cells, rows)`, small where draws are close."""
    low, high = head.support.low, head.support.high
    u = (np.arange(count + 1) / count)[:, None]
    if math.isfinite(low) and math.isfinite(high):
        edges = np.repeat(low + (high - low) * u, len(params), axis=1)
    else:
        uniforms = noise.uniforms(1, 0, 999, (len(params), head.num_uniforms))
        drawn = tools.computed(head.sample, np.repeat(params[None], 999, axis=0), uniforms).astype("float64")
        below, center, above = np.quantile(drawn, [0.1, 0.5, 0.9], axis=0)
        inside = np.clip(u, 1e-6, 1 - 1e-6)
        if math.isfinite(low):
            edges = low + (center - low) * inside / (1 - inside)
            edges[0] = low
        elif math.isfinite(high):
            edges = high - (high - center) * (1 - inside) / inside
            edges[-1] = high
        else:
            edges = center + (above - below) * np.tan(math.pi * (inside - 0.5))
    edges = edges.astype("float32")
    return 0.5 * (edges[1:] + edges[:-1]), np.diff(edges.astype("float64"), axis=0), edges


def _extreme_values(head):
    support = head.support
    if support.num_levels:
        values = sorted({0, support.num_levels // 2, support.num_levels - 1})
    else:
        values = [0, 1, 1000] if support.is_discrete else np.clip([0.0, 1e3, -1e3], support.low, support.high)
    return np.array(values, support.dtype)


# Which checks apply.


def _always(head):
    return True


def _is_summable(head):
    """Whether the values of a head can be gone through: integers, if they are not too many, or a line."""
    if head.support.num_levels is None:
        return not head.event_shape
    return head.support.num_levels ** _size(head) <= _MOST_VALUES


HEAD_CHECKS = {
    check_head_normalized: _is_summable,
    check_head_cdf: lambda head: (
        bool(head.support.num_levels) and not head.event_shape and _is_summable(head) and "cdf" in head.capabilities
    ),
    check_head_draws_what_it_scores: _is_summable,
    check_head_shapes: _always,
    check_head_mode: lambda head: "mode" in head.capabilities,
    check_head_extremes: _always,
    check_head_temperature: lambda head: "temper" in head.capabilities,
    check_head_noise: lambda head: {"to_noise", "from_noise"} <= head.capabilities,
    check_head_round_trip: _always,
    check_head_refuses: _always,
}

"""The claims that every model must meet, as functions that raise `AssertionError`.

Each check takes a model and leaves it as it was. Which checks apply follows from what the model says of itself: its
`support`, `exact`, `steppable`, `num_events`. Models should be small: `2 ** 12` events at most, if all checks are to
apply.
"""

import math
import os
import tempfile

import keras
import numpy as np
from keras import ops

from keras_ar import backend, noise, parts
from keras_ar.any_order import AnyOrderModel
from keras_ar.autoregressive import AutoregressiveModel
from keras_ar.bounded import BoundedModel
from keras_ar.conditionals import ConditionalsModel
from keras_ar.many_orders import ManyOrdersModel
from keras_ar.testing import elsewhere, statistics, tools
from keras_ar.testing.any_order import ANY_ORDER_CHECKS
from keras_ar.testing.bounds import BOUND_CHECKS
from keras_ar.testing.densities import DENSITY_CHECKS
from keras_ar.testing.flows import FLOW_CHECKS
from keras_ar.testing.many_orders import MANY_ORDERS_CHECKS

__all__ = ["MODEL_CHECKS"]

_MANY = 8192  # samples that a test of fit counts
_PARTICLES = 1024
_BFLOAT16 = 2.0**-8  # half the distance between neighbors, relative
_NOISE = (
    keras.layers.AlphaDropout,
    keras.layers.Dropout,
    keras.layers.GaussianDropout,
    keras.layers.GaussianNoise,
)


# Every model.


def check_normalized(model):
    """The probabilities of all events sum to one; the exponentials of lower bounds to one at most."""
    model = tools.prepare(model)
    events = tools.all_events(model)
    _, *condition = model.random_batch(1)
    total = np.exp(tools.score(model, events, tools.repeat(condition, len(events)))).sum()
    what = f"of all {len(events)} events of {model.name} sum to {total:.7f}."
    if model.exact:
        assert abs(total - 1) < 1e-5, f"The probabilities {what}"
    else:
        assert total < 1 + 1e-5, f"The exponentials of the bounds {what} Bounds from below sum to 1 at most."


def check_draws_are_scored(model):
    """`draw` makes of noise what `sample` makes of it, and the log-probabilities are those of `score_samples`."""
    model = tools.prepare(model)
    _, *condition = model.random_batch(12)
    samples = tools.sample(model, 12, condition)
    uniforms = noise.uniforms(tools.SEED, 0, 12, model.noise_shape)
    events, log_prob = tools.computed(model.draw, uniforms, *condition, owner=model)
    assert np.allclose(events, samples, atol=1e-4), f"{model.name}: `draw` and `sample` make other events of one noise."
    if not model.exact:  # a bound may be random
        return
    expected = tools.score(model, events, condition)
    error = np.abs(expected - log_prob).max()
    assert error < 1e-4 * (1 + np.abs(expected).max()), (
        f"{model.name}: the log-probabilities that come with samples are off by {error:.3g}."
    )


def check_draws_repeat(model):
    """An event of a seed is the same whatever the batch size and the number of samples; another seed, other events."""
    model = tools.prepare(model)
    _, *condition = model.random_batch(64)
    together = tools.sample(model, 64, condition)
    some = tools.sample(model, 15, [c[3:18] for c in condition], first_event=3, batch_size=tools.FEW)
    assert np.allclose(some, together[3:18], atol=1e-4), (
        f"{model.name}: events 3 to 17 of a seed are others, drawn in batches of {tools.FEW} from `first_event=3`."
    )
    others = tools.sample(model, 64, condition, seed=tools.SEED + 1)
    assert not np.array_equal(together, others), f"{model.name}: two seeds draw the same 64 events."


def check_honest_draws(model):
    """Samples come as often as their probability says: a G-test of counted events."""
    model = tools.prepare(model)
    _, *condition = model.random_batch(1)
    drawn = tools.sample(model, _MANY, tools.repeat(condition, _MANY)).reshape(_MANY, -1)
    if _is_enumerable(model):
        events = tools.all_events(model)
        counts = np.bincount(drawn @ model.support.num_levels ** np.arange(model.num_dims)[::-1], minlength=len(events))
    else:
        events, counts = np.unique(drawn, axis=0, return_counts=True)
        events = events.reshape(-1, *model.event_shape)
    expected = _MANY * np.exp(tools.score(model, events, tools.repeat(condition, len(events))))
    if not _is_enumerable(model):  # all that is rare, and all that none of the samples is, is one more cell
        often = expected >= 5
        counts = np.append(counts[often], counts[~often].sum())
        expected = np.append(expected[often], max(_MANY - expected[often].sum(), 0.0))
    p_value = statistics.g_test(counts, expected)
    assert p_value > 1e-4, f"{_MANY} samples of {model.name} do not follow its own probabilities: p = {p_value:.2g}."


def check_config_round_trip(model):
    """A copy made from `get_config` has the same config and, with the same weights, the likelihood of the original."""
    copy = tools.prepare(model)
    assert copy.get_config() == model.get_config(), f"{model.name}: `get_config` changes on a round trip."
    weights = model.get_weights()
    model.set_weights(copy.get_weights())
    try:
        _assert_same_scores(model, copy, "A copy of {name} that is made from its config")
    finally:
        model.set_weights(weights)


def check_file_round_trip(model):
    """A `.keras` file opens by plain `keras.saving.load_model`, with the same likelihood and optimizer."""
    model = tools.prepare(model)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model.keras")
        model.save(path)
        twin = keras.saving.load_model(path)
    assert twin.optimizer is not None, f"{model.name} opened from its file has lost its optimizer."
    _assert_same_scores(model, twin, "{name} opened from its file")


def check_opens_on_other_backends(model):
    """Saved here, the same likelihood on every other backend that is installed."""
    model = tools.prepare(model)
    events, *condition = model.random_batch(16)
    expected = tools.score(model, events, condition)
    with tempfile.TemporaryDirectory() as folder:
        path, data = os.path.join(folder, "model.keras"), os.path.join(folder, "data.npz")
        model.save(path)
        np.savez(data, *(events, *condition))
        parts = [model, *model.layers, *([model.head] if isinstance(model, ConditionalsModel) else [])]
        modules = sorted({type(part).__module__ for part in parts})
        for name in elsewhere.other_backends():
            found = elsewhere.scores(name, modules, path, data)
            assert np.allclose(found, expected, rtol=1e-4, atol=1e-4), (
                f"{model.name} scores the same events otherwise on {name}, by {np.abs(found - expected).max():.3g}."
            )


def check_every_weight_learns(model):
    """Every weight has a gradient: a step of training changes it."""
    copy = tools.trainee(model)
    dead = {variable.path for variable in copy.trainable_variables}
    for seed in range(3):  # a few units may be dead by chance
        noise.randomize(copy, seed)
        before = [ops.convert_to_numpy(variable) for variable in copy.trainable_variables]
        tools.train(copy, *model.random_batch(256, seed))
        for variable, old in zip(copy.trainable_variables, before, strict=True):
            new = ops.convert_to_numpy(variable)
            assert np.isfinite(new).all(), f"The gradient of {variable.path} of {model.name} is not finite."
            if not np.array_equal(new, old):
                dead.discard(variable.path)
        if not dead:
            return
    raise AssertionError(f"Weights of {model.name} without a gradient: {', '.join(sorted(dead))}.")


def check_fit_lowers_loss(model):
    """`fit` lowers the loss, in nats per event, that `evaluate` reports with bits per dimension beside it."""
    copy = tools.trainee(model)
    events, *condition = model.random_batch(256)
    if model.support.num_levels and model.exact:  # there is nothing to learn of levels that are all alike
        events = tools.sample(tools.prepare(model), 256, condition)
    before = -tools.score(copy, events, condition).mean()
    tools.train(copy, events, *condition, epochs=4)
    nats = -tools.score(copy, events, condition).mean()
    assert nats < before, f"`fit` does not lower the loss of {model.name}: {before} to {nats}."
    data = (events, *condition) if condition else events
    found = copy.evaluate(data, batch_size=256, verbose=0, return_dict=True)
    if isinstance(copy, AnyOrderModel | BoundedModel | ManyOrdersModel):  # its loss is an estimate
        nats = found["loss"]
    bits = nats / math.log(2) / copy.num_dims - math.log2(copy.support.resolution)
    name = "bits_per_dim" if copy.exact else "bits_per_dim_at_most"
    assert {"loss", name} <= set(found), f"`evaluate` of {model.name} must report loss and {name}: {found}."
    assert abs(found["loss"] - nats) < 1e-3 * (1 + abs(nats)), f"`evaluate` reports {found}; the mean is {nats} nats."
    assert abs(found[name] - bits) < 1e-3 * (1 + abs(bits)), f"`evaluate` reports {found}, not {bits} bits."


def check_dropout_drops(model):
    """What is random in training is active there: two steps that change nothing differ in their loss."""
    copy = tools.trainee(model, learning_rate=0.0)
    copy.set_weights(tools.prepare(model).get_weights())
    first, second = tools.train(copy, *model.random_batch(256), epochs=2)
    assert first != second, f"Dropout in {model.name} is idle in training: does `call` take and pass on `training`?"


def check_batch_of_one(model):
    """An event scores the same alone and in a batch of any size."""
    model = tools.prepare(model)
    events, *condition = model.random_batch(5)
    together = tools.score(model, events, condition)
    alone = tools.computed(model.log_prob, events[:1], *(c[:1] for c in condition), owner=model)
    assert alone.shape == (1,) and together.shape == (5,), f"`log_prob` of {model.name} must have shape (batch,)."
    assert np.allclose(alone, together[:1], rtol=1e-4, atol=1e-4), (
        f"{model.name} scores an event otherwise in another batch."
    )


def check_extreme_weights(model):
    """Log-likelihoods and gradients stay finite when the weights are a hundred times too large; samples are levels.

    Real values may run away: where each depends on those before it, huge weights make values that no float holds.
    """
    weights = [100.0 * w if w.dtype.kind == "f" else w for w in tools.prepare(model).get_weights()]
    copy = tools.trainee(model)
    copy.set_weights(weights)
    events, *condition = model.random_batch(256)
    assert np.isfinite(tools.score(copy, events, condition)).all(), f"{model.name}: a log-likelihood is not finite."
    tools.train(copy, events, *condition)
    assert all(np.isfinite(w).all() for w in copy.get_weights()), f"{model.name}: a gradient is not finite."
    if model.support.num_levels:
        copy.set_weights(weights)
        drawn = tools.sample(copy, 4, [c[:4] for c in condition])
        model.support.check(drawn, f"a sample of {model.name}")


def check_mixed_precision(model):
    """Under `mixed_bfloat16` parts compute in bfloat16, log-likelihoods are float32 and close, and sampling works."""
    model = tools.prepare(model)
    copy = type(model).from_config(tools.with_dtype(model.get_config(), "mixed_bfloat16"))
    copy.set_weights(model.get_weights())
    copy.compile("adam", run_eagerly=backend.prefers_eager())
    assert copy.compute_dtype == "bfloat16", (
        f"{model.name} does not take `dtype`: hand it on to the constructor's base."
    )
    layers = [layer for layer in _without_chains(copy.layers) if layer.trainable_variables]
    idle = [layer.name for layer in layers if layer.compute_dtype != "bfloat16"]
    assert not idle, f"Layers of {model.name} that do not take its `dtype`: {', '.join(idle)}."
    events, *condition = model.random_batch(16)
    log_prob = copy.score_samples(events, *condition, batch_size=16)
    assert log_prob.dtype == "float32", (
        f"`log_prob` of {model.name} must be float32 under mixed_bfloat16. Received: {log_prob.dtype}."
    )
    # Each value's logit, of order one, is rounded some times. How much nats change by that, rounding the weights shows.
    # A density also multiplies errors by how far a real value lies from its mean, of which the nats are the square; and
    # what is hidden of an event are real values, mostly.
    expected = tools.score(model, events, condition)
    sensitivity = np.abs(_score_rounded(model, events, condition) - expected).max()
    allowed = 8 * _BFLOAT16 * math.sqrt(model.num_dims) + 4 * sensitivity
    if not (model.support.is_discrete and model.exact):
        allowed += 8 * _BFLOAT16 * np.abs(expected).max()
    error = np.abs(log_prob - expected).max()
    assert error < allowed, f"{model.name} under mixed_bfloat16 is off by {error:.3g} nats."
    assert tools.sample(copy, 2, [c[:2] for c in condition], batch_size=16).shape == (2, *model.event_shape)


def check_refuses_bad_events(model):
    """Events of another shape, off the support, infinite, or none at all: a `ValueError` before any compute.

    NaN, too, unless the model takes it for a missing value.
    """
    model = tools.prepare(model)
    events, *condition = model.random_batch(2)
    bad = {"of another shape": np.zeros((2, *model.event_shape, 2)), "of an empty batch": events[:0]}
    bad["that are infinite"], bad["that are NaN"] = (np.full(events.shape, value) for value in (np.inf, np.nan))
    for what, value in (("above the support", model.support.high + 1), ("below the support", model.support.low - 1)):
        if math.isfinite(value):
            bad[what] = np.full(events.shape, value)
    if model.support.is_discrete:
        bad["between two levels"] = np.full(events.shape, 0.5)
    for what, x in bad.items():
        try:
            found = model.score_samples(x, *(c[: len(x)] for c in condition))
        except ValueError as error:
            assert "`x`" in str(error), f"The error for events {what} must name `x`. It says: {error}"
        else:
            is_missing = what == "that are NaN" and np.isfinite(found).all()
            assert is_missing, f"{model.name} scores events {what}."


def check_impossible_values(model):
    """In a graph the log-probability of an impossible event is minus infinity, and no other event is affected."""
    model = tools.prepare(model)
    events, *condition = model.random_batch(tools.FEW if backend.prefers_eager() else tools.BATCH)
    events[0].flat[-1] = model.support.num_levels or -1 if model.support.is_discrete else math.inf
    # `score_samples` would refuse them; what it compiles does not.
    scores = ops.convert_to_numpy(model.compiled_function(model.log_prob)(events, *condition))
    assert scores[0] == -math.inf, (
        f"`log_prob` of {model.name} must be -inf for an event with the value {events[0].flat[-1]}, which is off the "
        f"support, {model.support}. Received: {scores[0]}."
    )
    assert np.isfinite(scores[1:]).all(), f"{model.name} scores possible events otherwise beside an impossible one."


# Where small functions run uncompiled, what runs compiled gets a check of its own.


def check_compiled(model):
    """Compiled, the gradients and the samples of a model are those that it has uncompiled."""
    model = tools.prepare(model)
    compiled = type(model).from_config(model.get_config())
    compiled.set_weights(model.get_weights())
    compiled.compile("adam", jit_compile=True)
    batch = model.random_batch(8)

    def mean(*batch, of=compiled):
        return ops.mean(of.log_prob(*batch))

    tensors = [ops.convert_to_tensor(array) for array in batch]
    expected = backend.gradients(lambda: mean(*tensors, of=model), model.trainable_variables)
    found = backend.gradient_function(mean, compiled.trainable_variables)(*batch)
    for variable, one, other in zip(compiled.trainable_variables, found, expected, strict=True):
        error = 0.0 if one is None else np.abs(ops.convert_to_numpy(one) - other).max(initial=0.0)
        assert error < 1e-4 * (1 + np.abs(other).max(initial=0.0)), (
            f"Compiled, the gradient of {variable.path} of {model.name} is off by {error:.3g}."
        )
    expected, found = (tools.sample(m, 8, batch[1:], batch_size=8) for m in (model, compiled))
    assert np.allclose(found, expected, atol=1e-3), f"{model.name} samples otherwise when it is compiled."


# Autoregressive models.


def check_causal(model):
    """Parameters of a step depend on strictly earlier steps only: by gradient, and by changing one value at a time."""
    model = tools.prepare(model)
    events, *condition = model.random_batch(1)
    others, *_ = model.random_batch(1, seed=1)
    steps, others = (ops.convert_to_numpy(model.to_steps(x)).astype("float32") for x in (events, others))

    def params_of(steps):
        repeated = [np.repeat(c, steps.shape[0], axis=0) for c in condition]
        return model.params_to_steps(model(model.from_steps(steps), *repeated))

    n = model.num_steps
    by_gradient = tools.sees_by_gradient(params_of, steps)
    changed = np.repeat(steps, n + 1, axis=0)  # the last row stays as it is
    changed[np.arange(n), np.arange(n)] = _another_value(model.support, steps[0], others[0])
    params = tools.call_params(model, changed, tools.repeat(condition, n + 1))
    by_change = np.abs(params[:n] - params[n:]).max(axis=2).T  # (of step, by step)

    for what, sees in (("its gradient says", by_gradient), ("changing the value shows", by_change)):
        leaks = np.argwhere(np.triu(sees > 1e-6 * max(1.0, sees.max())))
        if len(leaks):
            first = ", ".join(f"step {i} sees step {j}" for i, j in leaks[:5])
            raise AssertionError(
                f"{model.name} is not causal, {what}: {first} ({len(leaks)} leaks in all). Step t draws position "
                f"ordering[t]; its parameters may depend on steps before t only."
            )


def check_step_equals_call(model):
    """`prepare`, `start` and `step` compute what `call` computes; the `previous` of step 0 has no effect."""
    model = tools.prepare(model)
    events, *condition = model.random_batch(3)
    steps = ops.convert_to_numpy(model.to_steps(events))
    expected = tools.call_params(model, steps, condition)
    previous = np.swapaxes(np.roll(steps, 1, axis=1), 0, 1)  # at step 0 the last value, which means nothing there

    def all_steps(previous, *condition):
        constants, state = _begin(model, 3, condition)

        def body(state, xs):
            params, state = model.step(constants, state, *xs)
            assert tuple(params.shape) == (3, model.head.num_params), (
                f"`step` of {model.name} must return parameters of shape {(3, model.head.num_params)}. "
                f"Received: {tuple(params.shape)}."
            )
            return state, ops.cast(params, "float32")

        return backend.scan(body, state, (ops.arange(model.num_steps), previous))[1]

    found = np.swapaxes(tools.computed(all_steps, previous, *condition, owner=model), 0, 1)
    for t in range(model.num_steps):
        error = np.abs(found[:, t] - expected[:, t]).max()
        assert error < 1e-4 * max(1.0, np.abs(expected[:, t]).max()), (
            f"`step` of {model.name} disagrees with `call` at step {t}, by {error:.3g}."
        )


def check_prefill_equals_steps(model):
    """`prefill` of the first values gives the parameters of their steps, and leaves the state for all that follow."""
    model = tools.prepare(model)
    events, *condition = model.random_batch(2)
    steps = ops.convert_to_numpy(model.to_steps(events))
    expected = tools.call_params(model, steps, condition)
    n = model.num_steps
    for count in sorted({1, n // 2, n - 1} - {0}):

        def prefill(steps, *condition, count=count):
            constants, state = _begin(model, 2, condition)
            params, state = model.prefill(constants, state, steps[:, :count])
            following = ops.swapaxes(steps[:, count - 1 : -1], 0, 1)
            _, others = backend.scan(
                lambda state, xs: model.step(constants, state, *xs)[::-1], state, (ops.arange(count, n), following)
            )
            return ops.concatenate([params, ops.swapaxes(others, 0, 1)], axis=1)

        found = tools.computed(prefill, steps, *condition, owner=model)
        for t in range(n):
            error = np.abs(found[:, t] - expected[:, t]).max()
            assert error < 1e-4 * max(1.0, np.abs(expected[:, t]).max()), (
                f"`prefill` of {model.name} with {count} values disagrees with `call` at step {t}, by {error:.3g}."
            )


def check_methods_agree(model):
    """Sampling stepwise, in parallel and by full passes gives the same events, scored as `score_samples` does."""
    model = tools.prepare(model)
    _, *condition = model.random_batch(12)
    methods = ["full", "parallel", *(["stepwise"] if model.steppable else [])]
    draws = {method: tools.sample(model, 12, condition, method=method, return_log_prob=True) for method in methods}
    reference, _ = draws["full"]
    tolerance = 0 if model.support.is_discrete else 1e-3
    for method, (events, log_prob) in draws.items():
        wrong = np.abs(events - reference) > tolerance * (1 + np.abs(reference))
        assert not wrong.any(), (
            f"{model.name}: {wrong.sum()} of {wrong.size} values drawn {method} are not those of full."
        )
        scores = tools.score(model, events, condition)
        error = np.abs(scores - log_prob).max()
        assert error < 1e-3 * (1 + np.abs(scores).max()), (
            f"{model.name}: the log-probabilities that come with {method} samples are off by {error:.3g}."
        )


def check_any_pattern(model):
    """Scores of a beginning are sums over the rest; of any other pattern particles estimate the sum without bias."""
    model = tools.prepare(model)
    events = tools.all_events(model)
    _, *condition = model.random_batch(1)
    n, condition = model.num_steps, tools.repeat(condition, len(events))
    joint = np.exp(tools.score(model, events, condition).astype("float64"))
    rng = np.random.default_rng(tools.SEED)
    hidden = np.arange(n) < n - 1  # by steps: all but the last value are unknown, then those after the first
    for is_known in (~hidden, np.arange(n) < 1):
        known = ops.convert_to_numpy(model.from_steps(ops.convert_to_tensor(np.repeat(is_known[None], 1, axis=0))))
        of_values = np.repeat(known.reshape(1, n, 1), model.step_size, axis=2).reshape(model.event_shape)
        event = events[rng.integers(len(events))]
        expected = joint[(events == event)[:, of_values].all(axis=1)].sum()
        score, size = model.score_samples(
            event[None],
            *(c[:1] for c in condition),
            known=of_values,
            num_particles=_PARTICLES,
            batch_size=_PARTICLES if backend.prefers_eager() else tools.BATCH,
            return_effective_size=True,
        )
        error = np.exp(score[0].astype("float64")) / expected - 1
        bound = 5 * math.sqrt(max(_PARTICLES / size[0] - 1, 0) / _PARTICLES) + 1e-4
        assert abs(error) < bound, (
            f"The particles of {model.name} estimate what is known, {np.flatnonzero(of_values).tolist()}, to be "
            f"{1 + error:.4f} times as probable as it is, and may be off by {bound:.2g}."
        )
    exact = model.score_samples(event[None], *(c[:1] for c in condition), known=of_values, batch_size=tools.FEW)
    assert abs(math.exp(exact[0]) / expected - 1) < 1e-4, f"{model.name} does not score a beginning exactly."


def check_uniform_transform(model):
    """The probability integral transform of samples is uniform, where the head has a `cdf`."""
    model = tools.prepare(model)
    _, *condition = model.random_batch(1)
    condition = tools.repeat(condition, _MANY)
    events = tools.sample(model, _MANY, condition)
    batch_size = _MANY if backend.prefers_eager() else tools.BATCH
    _, transformed = model.map_events(model.conditional_cdf, events, *condition, batch_size=batch_size)
    p_value = statistics.uniformity_test(transformed.reshape(-1))
    assert p_value > 1e-4, f"{_MANY} samples of {model.name} do not follow its own density: p = {p_value:.2g}."


# What the checks above are made of.


def _begin(model, batch_size, condition):
    """Constants and state before the first step."""
    encoded = model.encode_condition(*condition) if condition else [None]
    return model.prepare(*encoded), model.start(batch_size, model.num_steps)


def _another_value(support, steps, others):
    if support.num_levels:
        return (steps + 1) % support.num_levels
    if support.is_discrete:
        return steps + 1
    # Midway to another event, or it itself: on the support of every head, and never the same.
    return np.where(others == steps, 0.5 * others, others)


def _assert_same_scores(model, twin, which):
    events, *condition = model.random_batch(8)
    expected, found = (tools.score(each, events, condition) for each in (model, twin))
    assert np.allclose(found, expected, rtol=1e-5, atol=1e-5), (
        f"{which.format(name=model.name)} scores otherwise, by {np.abs(found - expected).max():.3g} nats."
    )


def _without_chains(layers):
    """Layers, with what they consist of in place of each `keras.Sequential`, which has no dtype of its own."""
    for layer in layers:
        yield from _without_chains(layer.layers) if isinstance(layer, keras.Sequential) else [layer]


def _score_rounded(model, events, condition):
    """The scores with all weights rounded to bfloat16."""
    weights = model.get_weights()
    model.set_weights([_rounded(w) if w.dtype == "float32" else w for w in weights])
    try:
        return tools.score(model, events, condition)
    finally:
        model.set_weights(weights)


def _rounded(x):
    """The bfloat16 numbers closest to those of a float32 array: bfloat16 is the upper half of float32."""
    bits = np.asarray(x).view("uint32")
    return np.asarray((bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000, "uint32").view("float32")


# Which checks apply.


def _always(model):
    return True


def _is_enumerable(model):
    return model.num_events <= tools.MOST_EVENTS


def _is_trainable(model):
    return model.differentiable


def _is_autoregressive(model):
    return isinstance(model, AutoregressiveModel)


def _is_discrete_and_exact(model):
    return model.exact and model.support.is_discrete and (model.support.num_levels is None or _is_enumerable(model))


def _has_dropout(model):
    noisy = [part for part in parts.parts(model) if isinstance(part, _NOISE)]
    # All of these layers but one call it `rate`.
    return bool(getattr(model, "dropout", 0)) or any(getattr(p, "rate", getattr(p, "stddev", 0)) > 0 for p in noisy)


def _has_cdf(model):
    return _is_autoregressive(model) and not model.support.is_discrete and "cdf" in model.head.capabilities


MODEL_CHECKS = {
    check_causal: _is_autoregressive,
    # Bounds by random guesses have a check of their own.
    check_normalized: lambda model: _is_enumerable(model) and not isinstance(model, BoundedModel),
    check_step_equals_call: lambda model: _is_autoregressive(model) and model.steppable,
    # The `prefill` of the base is a loop of steps, which another check compares.
    check_prefill_equals_steps: lambda model: (
        _is_autoregressive(model) and model.steppable and model.has_prefill and model.num_steps > 1
    ),
    check_methods_agree: _is_autoregressive,
    check_any_pattern: lambda model: _is_autoregressive(model) and _is_enumerable(model) and model.num_steps > 1,
    check_draws_are_scored: _always,
    check_draws_repeat: _always,
    check_honest_draws: _is_discrete_and_exact,
    check_uniform_transform: _has_cdf,
    # Compiled, TensorFlow makes other random numbers, and so other guesses.
    check_compiled: lambda model: (
        backend.prefers_eager() and model.differentiable and not isinstance(model, BoundedModel)
    ),
    check_config_round_trip: _always,
    check_file_round_trip: _always,
    check_opens_on_other_backends: lambda model: type(model).__module__ != "__main__",  # another process has no such
    check_every_weight_learns: _is_trainable,
    check_fit_lowers_loss: _is_trainable,
    check_dropout_drops: lambda model: _is_trainable(model) and _has_dropout(model),
    check_batch_of_one: lambda model: not isinstance(model, BoundedModel),  # an event has guesses by its number
    check_extreme_weights: _is_trainable,
    check_mixed_precision: _always,
    check_refuses_bad_events: _always,
    check_impossible_values: _always,
    **ANY_ORDER_CHECKS,
    **BOUND_CHECKS,
    **MANY_ORDERS_CHECKS,
    **DENSITY_CHECKS,
    **FLOW_CHECKS,
}

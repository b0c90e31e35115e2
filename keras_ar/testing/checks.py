"""The claims that every model, head and layer must meet, as functions that raise `AssertionError`.

Each check takes a component and leaves it as it was: models are tried out on
copies with random weights, since fresh ones often start at zero, where
everything is causal. Models should be small: `2 ** 12` events at most, if all
checks are to apply.
"""

import itertools
import math
import os
import tempfile
import weakref

import keras
import numpy as np
from keras import ops, tree

from keras_ar import backend, noise
from keras_ar.autoregressive import AutoregressiveModel
from keras_ar.layers import protocol
from keras_ar.noise import randomise
from keras_ar.testing import elsewhere, statistics

_MOST_EVENTS = 2**12
_MOST_VALUES = 2**16  # of one draw from a head
_BATCH = 512  # one size for nearly all that is compiled: compiling costs more than running
_LEARNING_RATE = 0.01
_prepared, _trainees = weakref.WeakKeyDictionary(), weakref.WeakKeyDictionary()
_gradient_functions = weakref.WeakKeyDictionary()


# Models.


def check_causal(model):
    """Parameters of a step depend on strictly earlier steps only: by Jacobian, and by changing one value at a time."""
    model = prepare(model)
    events, *condition = random_events(model, 1)
    steps = ops.convert_to_numpy(model.to_steps(events)).astype("float32")

    def params_of(steps):
        repeated = [np.repeat(c, steps.shape[0], axis=0) for c in condition]
        return model.to_steps(model(model.from_steps(steps), *repeated), values_in=False)

    n = model.num_steps
    jacobian = backend.jacobian(params_of, steps)  # (1, n, params, 1, n, ...)
    by_gradient = np.abs(jacobian).reshape(n, -1, n, model.step_size).max(axis=(1, 3))

    changed = np.repeat(steps, n + 1, axis=0)  # the last row stays as it is
    changed[np.arange(n), np.arange(n)] = _another_value(model.head, steps[0])
    params = ops.convert_to_numpy(backend.compiled(model, params_of)(changed))
    difference = params[:n] - params[n:]
    by_change = np.abs(difference).max(axis=2).T  # (of step, by step)

    for what, sees in (("its gradient says", by_gradient), ("changing the value shows", by_change)):
        leaks = np.argwhere(np.triu(sees > 1e-6 * max(1.0, sees.max())))
        if len(leaks):
            first = ", ".join(f"step {i} sees step {j}" for i, j in leaks[:5])
            raise AssertionError(
                f"{model.name} is not causal, {what}: {first} ({len(leaks)} leaks in all). Step t draws position "
                f"ordering[t]; its parameters may depend on steps before t only."
            )


def check_normalised(model):
    """The probabilities of all events sum to one."""
    model = prepare(model)
    events = all_events(model)
    _, *condition = random_events(model, 1)
    log_prob = _score(model, events, _repeat(condition, len(events)))
    total = np.exp(log_prob.astype("float64")).sum()
    assert abs(total - 1) < 1e-5, f"The probabilities of all {len(events)} events of {model.name} sum to {total:.7f}."


def check_step_equals_call(model):
    """`start` and `step` compute what `call` computes; the `previous` of step 0 has no effect."""
    model = prepare(model)
    events, *condition = random_events(model, 3)
    expected = ops.convert_to_numpy(model.to_steps(model(events, *condition), values_in=False))
    steps = ops.convert_to_numpy(model.to_steps(events))
    previous = np.roll(steps, 1, axis=1)  # at step 0 the last value, which means nothing there
    buffer = np.zeros(expected.shape, expected.dtype)

    def all_steps(previous, buffer, *condition):
        def body(t, loop):
            found, state = loop
            params, state = model.step(state, t, previous[:, t])
            assert params.shape == found[:, 0].shape, (
                f"`step` of {model.name} must return parameters of shape {tuple(found[:, 0].shape)}. "
                f"Received: {tuple(params.shape)}."
            )
            params = ops.expand_dims(ops.cast(params, found.dtype), 1)
            return ops.slice_update(found, (0, t, 0), params), state

        return ops.fori_loop(0, model.num_steps, body, (buffer, model.start(previous.shape[0], *condition)))[0]

    found = ops.convert_to_numpy(backend.compiled(model, all_steps)(previous, buffer, *condition))
    for t in range(model.num_steps):
        error = np.abs(found[:, t] - expected[:, t]).max()
        assert error < 1e-4 * max(1.0, np.abs(expected[:, t]).max()), (
            f"`step` of {model.name} disagrees with `call` at step {t}, by {error:.3g}."
        )


def check_methods_agree(model):
    """Drawing stepwise, in parallel and by full passes gives the same events, scored as `score_samples` scores them."""
    model = prepare(model)
    _, *condition = random_events(model, 12)
    methods = ["full", "parallel", *(["stepwise"] if model.steppable else [])]
    draws = {method: _draw(model, 12, condition, method=method, return_log_prob=True) for method in methods}
    reference, _ = draws["full"]
    for method, (events, log_prob) in draws.items():
        tolerance = 0 if model.head.num_levels else 1e-3
        wrong = np.abs(events - reference) > tolerance * (1 + np.abs(reference))
        assert not wrong.any(), (
            f"{model.name}: {wrong.sum()} of {wrong.size} values drawn {method} are not those of full."
        )
        scores = _score(model, events, condition)
        error = np.abs(scores - log_prob).max()
        assert error < 1e-3 * (1 + np.abs(scores).max()), (
            f"{model.name}: the log-probabilities that come with {method} draws are off by {error:.3g}."
        )


def check_draws_repeat(model):
    """An event of a seed is the same whatever the batch size and the number of samples; another seed, other events."""
    model = prepare(model)
    _, *condition = random_events(model, 7)
    seven = _draw(model, 7, condition)
    by_threes = _draw(model, 7, condition, batch_size=3)
    two = _draw(model, 2, [c[:2] for c in condition])
    assert np.allclose(seven, by_threes, atol=1e-4), f"{model.name}: the batch size changes what a seed draws."
    assert np.allclose(seven[:2], two, atol=1e-4), f"{model.name}: the number of samples changes what a seed draws."
    many, others = (_draw(model, 64, _repeat([c[:1] for c in condition], 64), seed=seed) for seed in (1, 2))
    assert not np.array_equal(many, others), f"{model.name}: two seeds draw the same 64 events."


def check_honest_draws(model):
    """Draws come as often as their probability says: a G-test, or the probability integral transform of real values."""
    model = prepare(model)
    count = 8192
    _, *condition = random_events(model, 1)
    condition = _repeat(condition, count)
    events = _draw(model, count, condition)
    if model.head.num_levels:
        log_prob = _score(model, all_events(model), _repeat(condition, _num_events(model)))
        indices = events.reshape(count, -1) @ model.head.num_levels ** np.arange(model.num_dims)[::-1]
        found = np.bincount(indices, minlength=len(log_prob))
        p_value = statistics.g_test(found, np.exp(log_prob.astype("float64")) * count)
    else:
        params = ops.cast(model(events, *condition), "float32")
        transformed = ops.convert_to_numpy(model.head.cdf(params, ops.convert_to_tensor(events)))
        p_value = statistics.uniformity_test(transformed.reshape(-1))
    assert p_value > 1e-4, f"{count} draws from {model.name} do not follow its own probabilities: p = {p_value:.2g}."


def check_config_round_trip(model):
    """A model made from `get_config` has the same config and, given the weights, the same likelihood."""
    model = prepare(model)
    twin = type(model).from_config(model.get_config())
    assert twin.get_config() == model.get_config(), f"{model.name}: `get_config` changes on a round trip."
    twin.set_weights(model.get_weights())
    _assert_same_scores(model, twin, "made from its config")


def check_file_round_trip(model):
    """A `.keras` file opens by plain `keras.saving.load_model`, with the same likelihood and optimizer."""
    model = prepare(model)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model.keras")
        model.save(path)
        twin = keras.saving.load_model(path)
    assert twin.optimizer is not None, f"{model.name} opened from its file has lost its optimizer."
    _assert_same_scores(model, twin, "opened from its file")


def check_opens_on_other_backends(model):
    """Saved here, the same likelihood on every other backend that is installed."""
    model = prepare(model)
    events, *condition = random_events(model, 16)
    expected = _score(model, events, condition)
    with tempfile.TemporaryDirectory() as folder:
        path, data = os.path.join(folder, "model.keras"), os.path.join(folder, "data.npz")
        model.save(path)
        np.savez(data, *(events, *condition))
        modules = sorted({type(part).__module__ for part in (model, model.head, *model.layers)})
        for name in elsewhere.other_backends():
            found = elsewhere.scores(name, modules, path, data)
            assert np.allclose(found, expected, rtol=1e-4, atol=1e-4), (
                f"{model.name} scores the same events otherwise on {name}, by {np.abs(found - expected).max():.3g}."
            )


def check_every_weight_learns(model):
    """Every weight has a gradient."""
    model = prepare(model)
    gradients = _gradients(model)
    dead = [v.path for v, g in zip(model.trainable_variables, gradients, strict=True) if not np.any(g)]
    assert not dead, f"Weights of {model.name} without a gradient: {', '.join(dead)}."
    assert all(np.isfinite(g).all() for g in gradients), f"A gradient of {model.name} is not finite."


def check_fit_lowers_loss(model):
    """`fit` lowers the loss that `evaluate` reports, in nats per event, with bits per dimension beside it."""
    copy, events, *condition = _trainee(model)
    if model.head.num_levels:  # there is nothing to learn of uniform levels; real values may run away in draws
        events = _draw(prepare(model), 256, condition)
    batch = (events, *condition) if condition else events
    before = copy.evaluate(batch, verbose=0, return_dict=True)
    copy.fit(batch, epochs=5, verbose=0)
    after = copy.evaluate(batch, verbose=0, return_dict=True)
    assert after["loss"] < before["loss"], f"`fit` does not lower the loss of {model.name}: {before} to {after}."
    nats = -_score(copy, events, condition).astype("float64").mean()
    bits = nats / math.log(2) / copy.num_dims - math.log2(copy.resolution)
    assert abs(after["loss"] - nats) < 1e-3 * (1 + abs(nats)), f"`evaluate` reports {after}; the mean is {nats} nats."
    assert abs(after["bits_per_dim"] - bits) < 1e-3 * (1 + abs(bits)), f"`evaluate` reports {after}, not {bits} bits."


def check_dropout_drops(model):
    """In training, `Dropout` layers are active: two steps that change nothing differ in their loss."""
    copy, *batch = _trainee(model)
    copy.set_weights(prepare(model).get_weights())
    copy.optimizer.learning_rate = 0.0
    batch = batch if len(batch) > 1 else batch[0]
    first, second = (copy.fit(batch, verbose=0, shuffle=False).history["loss"] for _ in range(2))
    copy.optimizer.learning_rate = _LEARNING_RATE
    assert first != second, f"Dropout in {model.name} is idle in training: does `call` take and pass on `training`?"


def check_batch_of_one(model):
    """An event scores the same alone and in a batch of any size."""
    model = prepare(model)
    events, *condition = random_events(model, 5)
    together = _score(model, events, condition)
    alone = _log_prob(model, events[:1], [c[:1] for c in condition])
    assert alone.shape == (1,) and together.shape == (5,), f"`log_prob` of {model.name} must have shape (batch,)."
    assert np.allclose(alone, together[:1], rtol=1e-4, atol=1e-4), (
        f"{model.name} scores an event otherwise in another batch."
    )


def check_extreme_weights(model):
    """Log-likelihoods and gradients stay finite when the weights are a hundred times too large."""
    model = prepare(model)
    events, *condition = random_events(model, 16)
    weights = model.get_weights()
    model.set_weights([100.0 * w if w.dtype.kind == "f" else w for w in weights])
    try:
        assert np.isfinite(_score(model, events, condition)).all(), f"{model.name}: a log-likelihood is not finite."
        assert all(np.isfinite(g).all() for g in _gradients(model)), f"{model.name}: a gradient is not finite."
        assert np.isfinite(_draw(model, 4, [c[:4] for c in condition])).all(), f"{model.name}: a draw is not finite."
    finally:
        model.set_weights(weights)


def check_mixed_precision(model):
    """Under `mixed_bfloat16` log-likelihoods are float32, close to those of float32, and draws work."""
    model = prepare(model)
    copy = type(model).from_config({**model.get_config(), "dtype": "mixed_bfloat16"})
    copy.set_weights(model.get_weights())
    events, *condition = random_events(model, 16)
    log_prob = _log_prob(copy, events, condition)
    assert log_prob.dtype == "float32", (
        f"`log_prob` of {model.name} must be float32 under mixed_bfloat16. Received: {log_prob.dtype}."
    )
    expected = _score(model, events, condition)
    error = np.abs(log_prob - expected).max()
    assert error < 0.05 * (1 + np.abs(expected).max()), f"{model.name} under mixed_bfloat16 is off by {error:.3g} nats."
    assert _draw(copy, 2, [c[:2] for c in condition]).shape == (2, *model.event_shape)


def check_refuses_bad_events(model):
    """Events of another shape, off the support, not finite, or none at all: a `ValueError` before any compute."""
    model = prepare(model)
    events, *condition = random_events(model, 2)
    bad = {"of another shape": np.zeros((2, *model.event_shape, 2)), "of an empty batch": events[:0]}
    bad["that are not finite"] = np.full(events.shape, np.nan)
    if model.head.num_levels:
        bad["off the support"] = np.full(events.shape, model.head.num_levels)
        bad["between two levels"] = np.full(events.shape, 0.5)
    for what, x in bad.items():
        try:
            model.score_samples(x, *(c[: len(x)] for c in condition))
        except ValueError as error:
            assert "`x`" in str(error), f"The error for events {what} must name `x`. It says: {error}"
        else:
            raise AssertionError(f"{model.name} scores events {what}.")


# Heads.


def check_head_normalised(head):
    """Probabilities of all values sum to one; a density integrates to what the CDF says."""
    params = random_params(head, 5)
    if head.num_levels:
        total = _probabilities(head, params).sum(axis=0)
        assert np.abs(total - 1).max() < 1e-5, f"The probabilities of {head} sum to {total}."
        return
    grid, between = _grid(head, params)
    density = np.exp(_over(head.log_prob, params, between).astype("float64"))
    cumulative = _over(head.cdf, params, grid).astype("float64")
    error = np.abs(density * np.diff(grid, axis=0) - np.diff(cumulative, axis=0)).max()
    assert error < 1e-4, f"The density of {head} is not the derivative of its CDF: off by {error:.3g}."
    assert cumulative[0].max() < 1e-3 and cumulative[-1].min() > 0.999, (
        f"The density of {head} does not integrate to 1."
    )


def check_head_cdf(head):
    """The CDF of integer levels is the sum of their probabilities."""
    params = random_params(head, 5)
    levels = np.arange(-1, head.num_levels + 1, dtype="float32")
    found = _over(head.cdf, params, np.repeat(levels[:, None], 5, axis=1))
    assert np.allclose(found[1:-1], _probabilities(head, params).cumsum(axis=0), atol=1e-5), (
        f"The CDF of {head} is not its sum."
    )
    assert np.allclose(found[[0, -1]], [[0.0], [1.0]], atol=1e-5), (
        f"The CDF of {head} must be 0 below and 1 above the support."
    )


def check_head_draws_what_it_scores(head):
    """Values drawn by many uniforms come as often as the head's own log-probabilities say."""
    count = 20_000
    params = random_params(head, 1)
    repeated = np.repeat(params, count, axis=0)

    def compute(params, uniforms):
        return head.sample(params, uniforms), head.mean(params[:1])[0]

    values, mean = _computed(compute, repeated, noise.uniforms(5, 0, count, 1, head.num_uniforms)[0])
    head.check(values)
    if head.num_levels:
        values = values.astype("int64")  # of which dtype they should be is another check's claim
        indices = values.reshape(count, -1) @ head.num_levels ** np.arange(_size(head))[::-1]
        expected = _probabilities(head, params)[:, 0] * count
        p_value = statistics.g_test(np.bincount(indices, minlength=len(expected)), expected)
    else:
        p_value = statistics.uniformity_test(_computed(head.cdf, repeated, values))
    assert p_value > 1e-4, f"Draws from {head} do not follow its own probabilities: p = {p_value:.2g}."
    # Of values drawn together the mean may be an approximation, but one well within their spread.
    allowed = (0.5 if head.event_shape else 5 / math.sqrt(count)) * values.std(axis=0) + 1e-8
    assert (np.abs(values.mean(axis=0) - mean) < allowed).all(), (
        f"`mean` of {head} says {mean}; {count} draws have the mean {values.mean(axis=0)}."
    )


def check_head_shapes(head):
    """Leading axes of the parameters are kept, draws are of the head's dtype, scores and encoded values float32."""
    params = random_params(head, 6).reshape(2, 3, head.num_params)

    def compute(params, uniforms):
        drawn = head.sample(params, uniforms)
        found = {"sample": drawn, "mean": head.mean(params), "mode": head.mode(params), "encode": head.encode(drawn)}
        return {**found, "log_prob": head.log_prob(params, drawn)}

    found = _computed(compute, params, noise.uniforms(3, 0, 3, 2, head.num_uniforms))
    for name, array in found.items():
        shape = (2, 3) if name == "log_prob" else (2, 3, *head.event_shape)
        assert array.shape == shape, f"`{name}` of {head} must have shape {shape}. Received: {array.shape}."
        dtype = {"sample": head.dtype, "mode": head.dtype}.get(name, "float32")
        assert array.dtype == dtype, f"`{name}` of {head} must be {dtype}. Received: {array.dtype}."
    if head.num_levels:
        again = _computed(head.log_prob, params, found["sample"].astype("uint8"))
        assert np.allclose(again, found["log_prob"], atol=1e-5), f"{head} scores the same values otherwise as uint8."


def check_head_mode(head):
    """No level, and no draw, is much more probable than the mode."""
    params = random_params(head, 50)

    def gap(params, uniforms):
        draws = head.log_prob(params, head.sample(params, uniforms))
        return draws - head.log_prob(params, head.mode(params))

    # All but single integers may peak between the peaks of two components that overlap, or off the peak of each value.
    slack = 1.0 if head.event_shape else 1e-5 if head.num_levels else 0.7
    uniforms = noise.uniforms(0, 0, 50, 20, head.num_uniforms)
    found = _computed(gap, np.repeat(params[None], 20, axis=0), uniforms)
    assert found.max() <= slack, f"{head}: a draw is more probable than the mode, by {found.max():.3g} nats."


def check_head_extremes(head):
    """Log-probabilities and their gradients stay finite for extreme parameters; so do draws."""
    values = [0.0, 1.0, -1.0, 30.0, -30.0, 1e4, -1e4]
    rows = list(itertools.product(values, repeat=min(head.num_params, 3)))
    params = np.resize(np.array(rows, "float32"), (len(rows), head.num_params))
    xs = sorted({0, head.num_levels // 2, head.num_levels - 1}) if head.num_levels else [0.0, 1e3, -1e3]
    each = np.repeat(np.array(xs, head.dtype), len(rows))
    xs = np.broadcast_to(each.reshape(-1, *(1 for _ in head.event_shape)), (len(each), *head.event_shape))
    params = np.tile(params, (len(each) // len(rows), 1))
    variable, xs = keras.Variable(params), ops.convert_to_tensor(xs)

    log_prob = _computed(head.log_prob, params, xs)
    (gradient,) = backend.gradients(lambda: ops.sum(head.log_prob(ops.convert_to_tensor(variable), xs)), [variable])
    for what, finite in (("", np.isfinite(log_prob)), ("a gradient of ", np.isfinite(gradient).all(axis=-1))):
        assert finite.all(), (
            f"{head}: {what}log_prob at params = {params[~finite][0]}, x = {each[~finite][0]} is not finite."
        )
    u = np.resize(np.array([2.0**-24, 0.5, 1 - 2.0**-24], "float32"), (len(params), 1))
    for shift in range(3):
        head.check(_computed(head.sample, params, np.repeat(np.roll(u, shift), head.num_uniforms, axis=1)))


def check_head_temperature(head):
    """Temperature 1 changes nothing; a low one draws close to the mode that it leaves."""
    params = random_params(head, 50)

    def compute(params, uniforms):
        cooled = head.temper(params, np.float32(1e-4))
        draws = head.sample(params, uniforms), head.sample(cooled, uniforms), head.mode(cooled)
        return head.temper(params, np.float32(1.0)), *(ops.cast(x, "float32") for x in draws)

    same, warm, cold, mode = _computed(compute, params, noise.uniforms(0, 0, 50, 1, head.num_uniforms)[0])
    assert np.allclose(same, params), f"{head}: temperature 1 changes it."
    assert np.abs(cold - mode).mean() <= 0.5 * np.abs(warm - mode).mean(), f"{head}: a low temperature does not cool."


def check_head_round_trip(head):
    """A head comes back from its config, and by the name that Keras serialises it under."""
    twin = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(head))
    assert type(twin) is type(head) and twin.get_config() == head.get_config(), f"{head} does not survive a file."


def check_head_refuses(head):
    """NaN, and values off the support, are refused with an error that says where."""
    for wrong in (math.nan, *((head.num_levels, -1, 0.5) if head.num_levels else ())):
        values = np.zeros((2, *head.event_shape))
        values.flat[-1] = wrong
        try:
            head.check(values)
        except ValueError as error:
            assert "`x`" in str(error), f"The error of {head} must name the argument. It says: {error}"
        else:
            raise AssertionError(f"{head} accepts {values}.")


# Layers: a causal layer is checked as the model that it makes.


def check_layer_round_trip(layer, input_shape=(6, 2)):
    """A layer comes back from its config with the same config and, given the weights, the same outputs."""
    twins = [type(layer).from_config(layer.get_config()) for _ in range(2)]
    x = np.random.default_rng(0).normal(size=(2, *input_shape)).astype("float32")
    outputs = [ops.convert_to_numpy(twin(x)) for twin in twins]
    twins[1].set_weights(twins[0].get_weights())
    outputs = [ops.convert_to_numpy(twin(x)) for twin in twins]
    assert np.allclose(*outputs, atol=1e-6), f"{layer.name} computes something else after a round trip of its config."
    assert twins[0].compute_output_shape((2, *input_shape)) == outputs[0].shape, (
        f"`compute_output_shape` of {layer.name} must say {outputs[0].shape}."
    )


def check_layer_causal(layer, input_shape=(6, 2)):
    """The output at a position sees earlier ones only, and its own unless the layer is strict."""
    layer = _random_layer(layer, input_shape)
    x = np.random.default_rng(0).normal(size=(1, *input_shape)).astype("float32")
    jacobian = np.abs(backend.jacobian(layer, x))
    n = math.prod(_positions(layer, input_shape))
    sees = jacobian.reshape(n, -1, n, math.prod(input_shape) // n).max(axis=(1, 3))
    leaks = np.argwhere(np.triu(sees > 1e-6 * max(1.0, sees.max()), 0 if getattr(layer, "strict", False) else 1))
    if len(leaks):
        first = ", ".join(f"position {i} sees position {j}" for i, j in leaks[:5])
        raise AssertionError(f"{layer.name} is not causal: {first} ({len(leaks)} leaks in all).")


def check_layer_step_equals_call(layer, input_shape=(6, 2)):
    """`start` and `step` compute what `call` computes; a strict layer is given the input of the position before."""
    layer = _random_layer(layer, input_shape)
    x = np.random.default_rng(0).normal(size=(3, *input_shape)).astype("float32")
    y = ops.convert_to_numpy(layer(x))
    positions = _positions(layer, input_shape)
    inputs, expected = (a.reshape(3, math.prod(positions), *a.shape[1 + len(positions) :]) for a in (x, y))
    state = layer.start(3)
    for t in range(inputs.shape[1]):
        found, state = layer.step(state, ops.convert_to_tensor(inputs[:, t - bool(getattr(layer, "strict", False))]), t)
        error = np.abs(ops.convert_to_numpy(found) - expected[:, t]).max()
        assert error < 1e-4, f"`step` of {layer.name} disagrees with `call` at position {t}, by {error:.3g}."


# What the checks are made of. Compiling costs more than running: whatever is compiled is shared between checks.


def prepare(model):
    """A copy of the model with random weights; made once for each model."""
    if model not in _prepared:
        copy = type(model).from_config(model.get_config())
        randomise(copy)
        copy.compile("adam")
        copy.optimizer.build(copy.trainable_variables)
        _prepared[model] = copy
    return _prepared[model]


def _gradients(model):
    """Gradients of the mean log-likelihood of random events, for all the weights that learn."""
    if model not in _gradient_functions:
        _gradient_functions[model] = backend.gradient_function(
            lambda *events: ops.mean(model.log_prob(*events)), model.trainable_variables
        )
    found = _gradient_functions[model](*random_events(model, 64))
    return [
        np.zeros(variable.shape, "float32") if gradient is None else ops.convert_to_numpy(gradient)
        for gradient, variable in zip(found, model.trainable_variables, strict=True)
    ]


def _trainee(model):
    """A fresh copy of the model, compiled for training, with events and conditions to train on."""
    if model not in _trainees:
        copy = type(model).from_config(model.get_config())
        copy.compile(keras.optimizers.Adam(_LEARNING_RATE))
        copy.optimizer.build(copy.trainable_variables)  # else TensorFlow traces the training step twice
        _trainees[model] = copy, copy.get_weights()
    copy, weights = _trainees[model]
    copy.set_weights(weights)
    return copy, *random_events(model, 256)


def random_events(model, count, seed=0):
    """Random events on the support of the model's head, and conditions if it takes any."""
    rng = np.random.default_rng(seed)
    shape = (count, *model.event_shape)
    levels = model.head.num_levels
    events = rng.integers(0, levels, shape).astype("int32") if levels else rng.normal(size=shape).astype("float32")
    if model.condition_shape is None:
        return (events,)
    return events, rng.normal(size=(count, *model.condition_shape)).astype("float32")


def all_events(model):
    """Every event of a model over integer levels."""
    return (
        np.indices((model.head.num_levels,) * model.num_dims)
        .reshape(model.num_dims, -1)
        .T.reshape(-1, *model.event_shape)
    )


def random_params(head, count, seed=0):
    """Random parameters of a head, as an array of shape `(count, num_params)`."""
    return np.random.default_rng(seed).normal(size=(count, head.num_params)).astype("float32")


def _num_events(model):
    return model.head.num_levels**model.num_dims


def _is_enumerable(model):
    return bool(model.head.num_levels) and _num_events(model) <= _MOST_EVENTS


def _another_value(head, steps):
    return (steps + 1) % head.num_levels if head.num_levels else steps + 1


def _repeat(condition, count):
    return [np.repeat(c[:1], count, axis=0) for c in condition]


def _draw(model, count, condition, seed=11, batch_size=_BATCH, **kwargs):
    return model.sample(count, *condition, seed=seed, batch_size=batch_size, **kwargs)


def _score(model, events, condition, batch_size=_BATCH):
    return model.score_samples(events, *condition, batch_size=batch_size)


def _log_prob(model, events, condition):
    """Scores by `log_prob` itself, not compiled where that would cost more than it saves."""
    return ops.convert_to_numpy(backend.once(model.log_prob, events, *condition, owner=model))


def _assert_same_scores(model, twin, how):
    events, *condition = random_events(model, 8)
    expected, found = _score(model, events, condition), _log_prob(twin, events, condition)
    assert np.allclose(found, expected, rtol=1e-5, atol=1e-5), (
        f"{model.name} {how} scores otherwise, by {np.abs(found - expected).max():.3g} nats."
    )


def _positions(layer, input_shape):
    """Shape of the positions that a layer steps through: all axes but the last, or the rows of an image."""
    return input_shape[:1] if protocol.is_by_row(layer) else input_shape[:-1]


def _random_layer(layer, input_shape):
    copy = type(layer).from_config(layer.get_config())
    copy(np.zeros((1, *input_shape), "float32"))
    randomise(copy)
    return copy


def _computed(function, *args):
    """`function` of arrays, as NumPy arrays."""
    args = tree.map_structure(ops.convert_to_tensor, args)
    return tree.map_structure(ops.convert_to_numpy, backend.once(function, *args))


def _grid(head, params):
    centre = _computed(head.mean, params)
    low, high = (
        _computed(head.sample, params, np.full((len(params), head.num_uniforms), u, "float32"))
        for u in (2.0**-24, 1 - 2.0**-24)
    )
    reach = 2 * np.maximum(np.abs(high - centre), np.abs(low - centre))
    grid = centre + np.linspace(-1, 1, 20_001)[:, None] * reach
    return grid.astype("float32"), (0.5 * (grid[1:] + grid[:-1])).astype("float32")


def _over(function, params, xs):
    """`function(params, x)` for each of `xs`, an array of shape `(count, rows, ...)`: an array `(count, rows)`."""
    return _computed(function, np.repeat(params[None], len(xs), axis=0), xs)


def _probabilities(head, params):
    """The probability of every value that an integer head can draw, in rising order: `(values, rows)`, float64."""
    values = np.indices((head.num_levels,) * _size(head)).reshape(_size(head), -1).T  # (values, size)
    values = np.repeat(values[:, None], len(params), axis=1).reshape(-1, len(params), *head.event_shape)
    return np.exp(_over(head.log_prob, params, values.astype("int32")).astype("float64"))


def _size(head):
    return math.prod(head.event_shape)


def _is_summable(head):
    """Whether the values of a head can be gone through: integers, if they are not too many, or a line."""
    if head.num_levels is None:
        return not head.event_shape
    return head.num_levels ** _size(head) <= _MOST_VALUES


def _always(component):
    return True


MODEL_CHECKS = {
    check_causal: lambda model: isinstance(model, AutoregressiveModel),
    check_normalised: _is_enumerable,
    check_step_equals_call: lambda model: model.steppable,
    check_methods_agree: _always,
    check_draws_repeat: _always,
    check_honest_draws: lambda model: not model.head.num_levels or _is_enumerable(model),
    check_config_round_trip: _always,
    check_file_round_trip: _always,
    check_opens_on_other_backends: lambda model: type(model).__module__ != "__main__",  # another process has no such
    check_every_weight_learns: _always,
    check_fit_lowers_loss: _always,
    check_dropout_drops: lambda model: any(getattr(layer, "rate", 0) for layer in model._flatten_layers()),
    check_batch_of_one: _always,
    check_extreme_weights: _always,
    check_mixed_precision: _always,
    check_refuses_bad_events: _always,
}

HEAD_CHECKS = {
    check_head_normalised: _is_summable,
    check_head_cdf: lambda head: bool(head.num_levels) and not head.event_shape and _is_summable(head),
    check_head_draws_what_it_scores: _is_summable,
    check_head_shapes: _always,
    check_head_mode: _always,
    check_head_extremes: _always,
    check_head_temperature: _always,
    check_head_round_trip: _always,
    check_head_refuses: _always,
}

LAYER_CHECKS = {
    check_layer_round_trip: _always,
    check_layer_causal: _always,
    check_layer_step_equals_call: lambda layer: hasattr(layer, "step"),
}

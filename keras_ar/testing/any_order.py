"""The claims of any order, which an `AnyOrderModel` must meet besides those of all models."""

import itertools
import math

import numpy as np
from keras import ops

from keras_ar import backend, orderings
from keras_ar.any_order import AnyOrderModel
from keras_ar.testing import statistics, tools

__all__ = ["ANY_ORDER_CHECKS"]

_MANY = 8192
_FEW_POSITIONS = 5  # of which all orders and all sets are gone through


def check_normalized_in_any_order(model):
    """The probabilities of all events sum to one in every order, and in a mixture of orders."""
    model = tools.prepare(model)
    events = tools.all_events(model)
    _, *condition = model.random_batch(1)
    condition = tools.repeat(condition, len(events))
    ways = [{"ordering": "reversed"}, {"num_orderings": 3}]
    ways += [{"ordering": order} for order in orderings.several(model.num_steps, 2, tools.SEED)]
    for way in ways:
        total = np.exp(_score(model, events, condition, **way)).sum()
        assert abs(total - 1) < 1e-5, f"{model.name}: all {len(events)} events sum to {total:.7f}, scored by {way}."


def check_blind(model):
    """No parameter of an unknown position changes, in any bit, with a value that is not known; nor if that is NaN."""
    model = tools.prepare(model)
    events, *condition = model.random_batch(tools.FEW)
    others, *_ = model.random_batch(tools.FEW, seed=1)
    known = _patterns(model, tools.FEW)
    of_values = _of_values(model, known)

    def params_of(x):
        return model.conditionals_of(x, of_values, *condition, batch_size=tools.FEW)

    expected = params_of(events)
    seen = np.isfinite(expected).all(axis=-1)
    assert (seen == ~known).all(), f"{model.name}: `conditionals_of` must give parameters of unknown positions only."
    conditionals = backend.compiled(model, model.conditionals, "eager")
    encoded = [ops.convert_to_numpy(c) for c in model.encode_condition(*condition or (None,))]
    before, after = (
        ops.convert_to_numpy(conditionals(x, known, *encoded))[~known].astype("float32")
        for x in (events, np.where(of_values, events, others))
    )
    assert np.array_equal(before, after), (
        f"`conditionals` of {model.name} is not blind: parameters of unknown positions change when unknown values "
        f"do, by {np.abs(after - before).max():.3g}."
    )
    for value in (np.nan, 1e6):
        found = params_of(np.where(of_values, events, value))
        assert np.array_equal(found, expected, equal_nan=True), (
            f"{model.name}: parameters of unknown positions change when unknown values are {value}."
        )


def check_absorb_equals_pass(model):
    """`absorb`, in any sequence, and `absorb_all` lead to what `conditionals` gives for what is known by then."""
    model = tools.prepare(model)
    events, *condition = model.random_batch(4)
    encoded = [ops.convert_to_numpy(c) for c in model.encode_condition(*condition or (None,))]
    n = model.num_steps
    orders = orderings.several(n, 4, tools.SEED)
    flat = ops.convert_to_numpy(model.flat(ops.convert_to_tensor(events)))

    def all_steps(flat, order, *condition):  # `order` has shape `(steps,)` or `(steps, batch)`
        constants = model.prepare(*condition)

        def body(state, xs):
            position, value = xs
            params = model.read(constants, state, position)
            return model.absorb(constants, state, position, value), ops.cast(params, "float32")

        return backend.scan(body, model.start(4), (order, flat))[1]

    def all_at_once(x, known, *condition):
        constants = model.prepare(*condition)
        state = model.absorb_all(constants, model.start(4), x, known)
        return ops.stack(
            [ops.cast(model.read(constants, state, ops.convert_to_tensor(i)), "float32") for i in range(n)]
        )

    for order in (orders[0], orders.T):
        each = np.broadcast_to(order.reshape(n, -1), (n, 4))  # the position of each event at each step
        values = np.stack([flat[np.arange(4), each[t]] for t in range(n)])
        found = tools.computed(all_steps, values, order.astype("int32"), *encoded, owner=model)
        known = np.zeros((4, n), "bool")
        for t in range(n):
            params = _pass(model, events, known, encoded)[np.arange(4), each[t]]
            error = np.abs(found[t] - params).max()
            assert error < 1e-4 * max(1.0, np.abs(params).max()), (
                f"`absorb` and `read` of {model.name} disagree with `conditionals` at step {t}, by {error:.3g}."
            )
            known[np.arange(4), each[t]] = True
    known = _patterns(model, 4).reshape(4, n)
    params = np.swapaxes(_pass(model, events, known, encoded), 0, 1)
    shaped = known.reshape(4, *model.position_shape)
    found = tools.computed(all_at_once, events, shaped, *encoded, owner=model)
    error = np.abs(found - params)[~known.T].max()
    assert error < 1e-4 * max(1.0, np.abs(params).max()), (
        f"`absorb_all` of {model.name} disagrees with `conditionals`, by {error:.3g}."
    )


def check_loss_is_unbiased(model):
    """Over all sets that may be hidden, the mean of the loss is the mean of exact scores over all orders."""
    model = tools.prepare(model)
    events, *condition = model.random_batch(2)
    events = np.array(events, "float32")
    events.reshape(2, model.num_steps, -1)[1, -1] = np.nan  # of the second event a position is missing
    n = model.num_steps
    orders = [np.array(order) for order in itertools.permutations(range(n))]
    scores = [_score(model, events, condition, ordering=order) for order in orders]
    expected = -np.mean(scores, axis=0)
    found = np.zeros(2)
    encoded = [ops.convert_to_numpy(c) for c in model.encode_condition(*condition or (None,))]
    for event, there in enumerate(_there(model, events)):
        positions = np.flatnonzero(there)
        for size in range(len(positions) + 1):
            share = 1.0 / ((len(positions) + 1) * math.comb(len(positions), size))
            for kept in itertools.combinations(positions, size):
                known = np.zeros((2, n), "bool")
                known[event, list(kept)] = True
                found[event] += share * _loss(model, events, known, encoded)[event]
    error = np.abs(found - expected).max()
    assert error < 1e-4 * (1 + np.abs(expected).max()), (
        f"The loss of {model.name} is {found} in the mean over all sets, and must be {expected}, the mean over orders."
    )


def check_sets_are_of_all_sizes(model):
    """In training an event keeps as many positions as any other number of them, and each as often as any other."""
    model = tools.prepare(model)
    n = model.num_steps
    batches = np.stack([ops.convert_to_numpy(model.kept(16, training=True)).reshape(16, n) for _ in range(_MANY // 16)])
    kept = batches.reshape(-1, n)
    sizes = np.bincount(kept.sum(axis=1), minlength=n + 1)
    p_value = statistics.g_test(sizes, np.full(n + 1, len(kept) / (n + 1)))
    assert p_value > 1e-4, f"{model.name} keeps sets of some sizes more often than others: {sizes.tolist()}."
    shares = kept.mean(axis=0)
    assert np.abs(shares - 0.5).max() < 0.03, f"{model.name} keeps some positions more often than others: {shares}."
    shares = batches.mean(axis=(0, 2))
    assert np.abs(shares - 0.5).max() < 0.1, (
        f"{model.name} keeps more of some events of a batch than of others: {shares}."
    )


def check_evaluation_repeats(model):
    """`evaluate` hides the same values each time, so that epochs can be compared."""
    model = tools.prepare(model)
    data = tuple(model.random_batch(64))
    first, second = (model.evaluate(data if len(data) > 1 else data[0], batch_size=64, verbose=0) for _ in range(2))
    assert first == second, f"`evaluate` of {model.name} gives {first}, then {second}."


def check_marginals(model):
    """The score of what is known is the sum over what is not, in the order that takes what is known first."""
    model = tools.prepare(model)
    events = tools.all_events(model)
    _, *condition = model.random_batch(1)
    condition, n = tools.repeat(condition, len(events)), model.num_steps
    for known in _patterns(model, 4).reshape(4, n):
        order = np.concatenate([np.flatnonzero(known), np.flatnonzero(~known)])
        joint = _score(model, events, condition, ordering=order)
        of_values = _of_values(model, known.reshape(1, *model.position_shape))[0]
        found = _score(model, events, condition, known=of_values, ordering=order)
        given = _score(model, events, condition, given=of_values, ordering=order)
        first = events.reshape(len(events), n, -1)[:, known].reshape(len(events), -1)
        _, group = np.unique(first, axis=0, return_inverse=True)
        expected = np.log(np.bincount(group.ravel(), np.exp(joint)))[group.ravel()]
        what = f"given the known positions {np.flatnonzero(known).tolist()}"
        assert np.allclose(found, expected, atol=1e-4), (
            f"{model.name}: the score of what is known is not the sum over what is not, {what}; it is off by "
            f"{np.abs(found - expected).max():.3g}."
        )
        assert np.allclose(found + given, joint, atol=1e-4), (
            f"{model.name}: what is known, and the rest given it, do not score together what the event scores, {what}."
        )


def check_nothing_and_everything_known(model):
    """An event of which nothing is known scores 0, and one of which everything is known is complete."""
    model = tools.prepare(model)
    events, *condition = model.random_batch(4)
    nothing = _score(model, np.full(events.shape, np.nan), condition)
    assert (nothing == 0).all(), f"{model.name} scores {nothing} where nothing is known, and not 0."
    everything = np.ones(model.event_shape, "bool")
    found, log_prob = model.complete(events, everything, *condition, return_log_prob=True)
    assert np.array_equal(found, events), f"`complete` of {model.name} changes events of which all is known."
    assert (log_prob == 0).all(), f"`complete` of {model.name} drew nothing, and has log-probabilities of {log_prob}."


def check_honest_completions(model):
    """Completions come as often as the score of what is missing, given what is known, says: a G-test."""
    model = tools.prepare(model)
    event, *condition = model.random_batch(1)
    condition = tools.repeat(condition, _MANY)
    every = tools.all_events(model)
    for known, order in zip(_patterns(model, 2).reshape(2, -1), (None, "reversed"), strict=True):
        of_values = _of_values(model, known.reshape(1, *model.position_shape))[0]
        drawn, log_prob = model.complete(
            np.repeat(event, _MANY, axis=0),
            of_values,
            *condition,
            ordering=order,
            seed=tools.SEED,
            batch_size=_MANY if backend.prefers_eager() else tools.BATCH,
            return_log_prob=True,
        )
        possible = every[(every == event)[:, of_values].all(axis=1)]
        scores = _score(model, possible, tools.repeat(condition, len(possible)), given=of_values, ordering=order)
        index = {x.tobytes(): i for i, x in enumerate(possible)}
        found = np.array([index[x.tobytes()] for x in drawn.astype(possible.dtype)])
        p_value = statistics.g_test(np.bincount(found, minlength=len(possible)), _MANY * np.exp(scores))
        assert p_value > 1e-4, (
            f"{_MANY} completions by {model.name} do not follow its probabilities: p = {p_value:.2g}."
        )
        assert np.allclose(log_prob, scores[found], atol=1e-4), (
            f"{model.name}: the log-probabilities that come with completions are off by "
            f"{np.abs(log_prob - scores[found]).max():.3g}."
        )


def check_passes(model):
    """What takes several values a pass is a distribution, draws what it scores, and is the model in passes of one."""
    model = tools.prepare(model)
    events = tools.all_events(model)
    _, *condition = model.random_batch(1)
    every, many = (tools.repeat(condition, count) for count in (len(events), _MANY))
    two = min(2, model.num_steps)
    scores = _score(model, events, every, passes=two)
    total = np.exp(scores).sum()
    assert abs(total - 1) < 1e-5, f"{model.name}: all {len(events)} events sum to {total:.7f}, scored in two passes."
    batch_size = _MANY if backend.prefers_eager() else tools.BATCH
    options = {"passes": two, "seed": tools.SEED, "batch_size": batch_size, "return_log_prob": True}
    drawn, log_prob = model.sample(_MANY, *many, **options)
    index = {x.tobytes(): i for i, x in enumerate(events)}
    found = np.array([index[x.tobytes()] for x in drawn.astype(events.dtype)])
    p_value = statistics.g_test(np.bincount(found, minlength=len(events)), _MANY * np.exp(scores))
    assert p_value > 1e-4, f"{_MANY} draws of {model.name} in two passes do not follow their scores: p = {p_value:.2g}."
    error = np.abs(log_prob - scores[found]).max()
    assert error < 1e-4, f"{model.name}: log-probabilities that come with draws in two passes are off by {error:.3g}."
    error = np.abs(_score(model, events, every, passes=model.num_steps) - _score(model, events, every)).max()
    assert error < 1e-4, f"{model.name}: in as many passes as values, scores are off by {error:.3g}."


def check_completions_repeat(model):
    """A draw of an event is the same whatever the batch size and the number of draws, in an order of its own, too."""
    model = tools.prepare(model)
    events, *condition = model.random_batch(15)
    known = _of_values(model, _patterns(model, 15))
    for ordering in (None, "random"):
        options = {"seed": tools.SEED, "ordering": ordering}
        several = model.complete(events, known, *condition, num_draws=2, batch_size=tools.BATCH, **options)
        one = model.complete(events, known, *condition, batch_size=tools.FEW, **options)
        assert np.allclose(several[0], one, atol=1e-4), f"{model.name}: the first of two draws is another one alone."
        assert not np.array_equal(several[0], several[1]), f"{model.name}: two draws of each event are the same."
        assert np.array_equal(one[known], events[known]), f"`complete` of {model.name} changes what is known."


def check_missing_values_train(model):
    """Training on events with missing values, and some of which nothing is known, leaves all weights finite."""
    copy = tools.trainee(model)
    events, *condition = model.random_batch(256)
    known = _of_values(model, _patterns(model, 256))
    known[:3] = False
    losses = tools.train(copy, np.where(known, events, np.nan).astype("float32"), *condition, epochs=2)
    assert np.isfinite(losses).all(), f"{model.name} trained on events with missing values has the losses {losses}."
    wrong = [variable.path for variable in copy.variables if not np.isfinite(ops.convert_to_numpy(variable)).all()]
    assert not wrong, f"{model.name} trained on events with missing values has weights that are not finite: {wrong}."


# What the checks above are made of.


def _score(model, events, condition, **ways):
    batch_size = len(events) if backend.prefers_eager() else tools.BATCH
    return model.score_samples(events, *condition, batch_size=batch_size, **ways).astype("float64")


def _patterns(model, count):
    """Sets of positions, neither empty nor full where that can be: a boolean array `(count, *positions)`."""
    rng = np.random.default_rng(tools.SEED)
    n = model.num_steps
    sizes = rng.integers(1, max(n, 2), count) if n > 1 else np.zeros(count, "int64")
    ranks = np.argsort(np.argsort(rng.random((count, n)), axis=1), axis=1)
    return (ranks < sizes[:, None]).reshape(count, *model.position_shape)


def _of_values(model, known):
    """Sets of positions as sets of values: `(count, *positions)` to `(count, *event_shape)`."""
    count = len(known)
    return np.repeat(known.reshape(count, model.num_steps, 1), model.step_size, 2).reshape(count, *model.event_shape)


def _there(model, events):
    return ~np.isnan(events.reshape(len(events), model.num_steps, -1)).any(axis=2)


def _pass(model, events, known, encoded):
    """What `conditionals` gives: `(batch, steps, num_params)`."""
    known = known.reshape(len(events), *model.position_shape)
    params = backend.compiled(model, model.conditionals, "eager")(events, known, *encoded)
    return ops.convert_to_numpy(params).astype("float32").reshape(len(events), model.num_steps, -1)


def _loss(model, events, known, encoded):
    """The loss of each event, if of it is kept what is known."""
    events, there = ops.convert_to_tensor(events), _there(model, events).reshape(len(events), *model.position_shape)
    known = known.reshape(there.shape)
    x = model.support.replace_impossible(events, model.support.contains(events))
    params = backend.compiled(model, model.conditionals, "eager")(x, known, *encoded)
    outputs = {"params": params, "x": x, "there": ops.convert_to_tensor(there), "known": ops.convert_to_tensor(known)}
    return ops.convert_to_numpy(model.objective(outputs, events, training=True))


# Which checks apply.


def _is_any_order(model):
    return isinstance(model, AnyOrderModel)


def _has_holes(model):
    return _is_any_order(model) and model.num_steps > 1


def _is_enumerable(model):
    return _has_holes(model) and model.num_events <= tools.MOST_EVENTS


ANY_ORDER_CHECKS = {
    check_normalized_in_any_order: _is_enumerable,
    check_blind: _has_holes,
    check_absorb_equals_pass: _has_holes,
    check_loss_is_unbiased: lambda model: _has_holes(model) and model.num_steps <= _FEW_POSITIONS,
    check_sets_are_of_all_sizes: _is_any_order,
    check_evaluation_repeats: _is_any_order,
    check_marginals: _is_enumerable,
    check_nothing_and_everything_known: _is_any_order,
    check_honest_completions: _is_enumerable,
    check_passes: _is_enumerable,
    check_completions_repeat: _has_holes,
    check_missing_values_train: _has_holes,
}

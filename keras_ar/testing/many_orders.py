"""The claims of several orders, which a `ManyOrdersModel` must meet besides those of all models."""

import numpy as np
from keras import ops

from keras_ar import backend
from keras_ar.many_orders import ManyOrdersModel
from keras_ar.testing import statistics, tools

__all__ = ["MANY_ORDERS_CHECKS"]

_MANY = 4096
_FEW_ORDERS = 3


def check_each_order_is_causal(model):
    """In each order no parameter changes, in any bit, with the value of its own position or of a later one."""
    model = tools.prepare(model)
    events, *condition = model.random_batch(tools.FEW)
    others, *_ = model.random_batch(tools.FEW, seed=1)
    for number in range(_count(model)):
        order = _order(model, number)
        expected = _params(model, events, order, condition)
        for t in range(model.num_steps):
            later = np.isin(np.arange(model.num_steps), order["ordering"][t:])
            changed = np.where(_of_values(model, later), others, events)
            found = _params(model, changed, order, condition)
            seen = np.abs(found - expected)[:, order["ordering"][: t + 1]]
            assert (seen == 0).all(), (
                f"{model.name} is not causal in its order {number}: parameters of the first {t + 1} steps change with "
                f"values from step {t} on."
            )


def check_each_order_is_normalized(model):
    """The probabilities of all events sum to one in each order, and differ from order to order."""
    model = tools.prepare(model)
    events = tools.all_events(model)
    _, *condition = model.random_batch(1)
    condition = tools.repeat(condition, len(events))
    scores = [_score(model, events, _order(model, number), condition) for number in range(_count(model))]
    for number, score in enumerate(scores):
        total = np.exp(score).sum()
        assert abs(total - 1) < 1e-5, f"{model.name}: all events sum to {total:.7f} in its order {number}."
    if model.num_steps > 1 and len(scores) > 1:
        assert np.ptp(scores, axis=0).max() > 1e-6, f"All orders of {model.name} are the same model."
    count = len(scores)
    mixture = model.score_samples(events, *condition, num_orderings=count)
    expected = np.logaddexp.reduce(scores, axis=0) - np.log(count)
    assert np.allclose(mixture, expected, atol=1e-4), (
        f"`score_samples` of {model.name} is not the mean of {count} orders."
    )


def check_steps_equal_passes(model):
    """Steps, each event in an order of its own, give what a pass in that order gives."""
    model = tools.prepare(model)
    events, *condition = model.random_batch(tools.FEW)
    numbers = np.arange(tools.FEW) % _count(model)
    everything = np.ones((tools.FEW, model.num_steps), "bool")
    found = _log_known(model, events, everything, model.orders(numbers), condition)
    each = [_score(model, events, _order(model, number), condition) for number in range(_count(model))]
    error = np.abs(found - np.stack(each)[numbers, np.arange(tools.FEW)]).max()
    assert error < 1e-3, f"`step` of {model.name} disagrees with `params_in_order`, by {error:.3g} nats."


def check_beginnings_are_marginals(model):
    """The score of what an order takes first is the sum over the rest; draws of the rest follow it: a G-test."""
    model = tools.prepare(model)
    every = tools.all_events(model)
    _, *condition = model.random_batch(1)
    rng, n = np.random.default_rng(tools.SEED), model.num_steps
    order = model.orders([0])["ordering"][0]
    known = np.isin(np.arange(n), order[: n // 2])
    of_values = _of_values(model, known)
    event = every[rng.integers(len(every))]
    rest = every[(every == event)[:, of_values].all(axis=1)]
    usable = _orders_that_begin_with(model, known)
    few, whole = (np.broadcast_to(of, (len(rest), n)) for of in (known, np.ones(n, "bool")))
    joint, marginal = (
        np.stack(
            [
                _log_known(model, rest, of, _repeat(order, len(rest)), tools.repeat(condition, len(rest)))
                for order in usable
            ]
        ).astype("float64")
        for of in (whole, few)
    )
    assert np.allclose(np.exp(joint).sum(axis=1), np.exp(marginal[:, 0]), rtol=1e-4), (
        f"{model.name}: what is known first does not score the sum over the rest."
    )
    score = model.score_samples(event[None], *(c[:1] for c in condition), known=of_values)
    expected = np.log(np.exp(marginal[:, 0]).mean())
    assert abs(score[0] - expected) < 1e-4, (
        f"`score_samples` of {model.name} with `known=` is off by {score[0] - expected:.3g}."
    )
    drawn, log_prob = model.complete(
        np.repeat(event[None], _MANY, axis=0),
        of_values,
        *tools.repeat(condition, _MANY),
        seed=tools.SEED,
        batch_size=_MANY if backend.prefers_eager() else tools.BATCH,
        return_log_prob=True,
    )
    index = {x.tobytes(): i for i, x in enumerate(rest)}
    found = np.array([index[x.tobytes()] for x in drawn.astype(rest.dtype)])
    given = joint - marginal  # (orders, events): completions take any of the endless orders, or the first that may be
    given = given if model.num_orders is None else given[:1]
    p_value = statistics.g_test(np.bincount(found, minlength=len(rest)), _MANY * np.exp(given).mean(axis=0))
    assert p_value > 1e-4, f"{_MANY} completions by {model.name} do not follow its probabilities: p = {p_value:.2g}."
    nearest = np.abs(log_prob - given[:, found]).min(axis=0).max()
    assert nearest < 1e-3, f"{model.name}: the log-probabilities that come with completions are off by {nearest:.3g}."


def check_completions_of_orders_repeat(model):
    """A draw of an event is the same whatever the batch size and the number of draws, and keeps what is known."""
    model = tools.prepare(model)
    events, *condition = model.random_batch(15)
    order = model.orders([0])["ordering"][0]
    of_values = _of_values(model, np.isin(np.arange(model.num_steps), order[: model.num_steps // 2]))
    several = model.complete(events, of_values, *condition, num_draws=2, seed=tools.SEED, batch_size=tools.BATCH)
    one = model.complete(events, of_values, *condition, seed=tools.SEED, batch_size=tools.FEW)
    assert np.allclose(several[0], one, atol=1e-4), f"{model.name}: the first of two draws is another one alone."
    assert not np.array_equal(several[0], several[1]), f"{model.name}: two draws of each event are the same."
    assert np.array_equal(one[:, of_values], events[:, of_values]), f"`complete` of {model.name} changes what is known."


# What the checks above are made of.


def _count(model):
    """How many orders to look at."""
    return _FEW_ORDERS if model.num_orders is None else min(_FEW_ORDERS, model.num_orders)


def _order(model, number):
    return {name: array[0] for name, array in model.orders([number]).items()}


def _repeat(order, count):
    return {name: np.broadcast_to(array, (count, *array.shape)) for name, array in order.items()}


def _orders_that_begin_with(model, known):
    """All orders by default that take these positions first; of endless ones each, with these moved to the front."""
    if model.num_orders is None:
        orders = model.orders(np.arange(16))
        later = ~known[orders["ordering"]]
        first = np.take_along_axis(orders["ordering"], np.argsort(later, axis=1, kind="stable"), axis=1)
        orders["ordering"] = first
    else:
        orders = model.orders(np.arange(model.num_orders))
    begins = known[orders["ordering"][:, : known.sum()]].all(axis=1)
    return [{name: array[k] for name, array in orders.items()} for k in np.flatnonzero(begins)]


def _of_values(model, positions):
    """Positions as values: `(positions,)` to `event_shape`."""
    return np.repeat(positions.reshape(-1, 1), model.step_size, axis=1).reshape(model.event_shape)


def _encoded(model, condition):
    return [ops.convert_to_numpy(c) for c in model.encode_condition(*condition or (None,))]


def _params(model, events, order, condition):
    """`(events, positions, num_params)`."""
    compiled = backend.compiled(model, model.params_in_order, "eager")
    params = ops.convert_to_numpy(compiled(events, order, *_encoded(model, condition)))
    return params.astype("float32").reshape(len(events), model.num_steps, -1)


def _score(model, events, order, condition):
    """Log-probabilities in one order, by a pass."""
    params = _params(model, events, order, condition).reshape(len(events), *model.position_shape, -1)
    return ops.convert_to_numpy(backend.once(model.log_prob_from, params, events)).astype("float64")


def _log_known(model, events, known, orders, condition):
    """Log-probabilities of what is known, by steps, each event in an order of its own."""
    noise = np.full((len(events), model.num_steps, model.head.num_uniforms), 0.5, "float32")

    def score(events, known, noise, orders, *condition):
        return model.draw_in_orders(events, known, noise, orders, model.num_steps, {}, *condition)[2]

    compiled = backend.compiled(model, score, "eager")
    return ops.convert_to_numpy(compiled(events, known, noise, orders, *_encoded(model, condition)))


def _has_many(model):
    return isinstance(model, ManyOrdersModel)


def _is_enumerable(model):
    return _has_many(model) and model.num_events <= tools.MOST_EVENTS


MANY_ORDERS_CHECKS = {
    check_each_order_is_causal: _has_many,
    check_each_order_is_normalized: _is_enumerable,
    check_steps_equal_passes: _has_many,
    check_beginnings_are_marginals: lambda model: _is_enumerable(model) and model.num_steps > 1,
    check_completions_of_orders_repeat: lambda model: _has_many(model) and model.num_steps > 1,
}

"""The claims of models with hidden randomness: a bound is one, is the same twice, and draws are what it bounds."""

import math
import weakref

import numpy as np

from keras_ar.bounded import BoundedModel
from keras_ar.testing import tools

__all__ = ["BOUND_CHECKS"]

_MANY = 4096  # guesses for each event, or samples
_WILD, _GOOD = 0.5, 0.1  # standard errors of a mean weight, relative to it: that of few guesses, and a useful one
_LARGE = 100.0  # log-weights that are as good as infinite
_MOST_ROUNDS, _STEPS = 6, 50  # of training, until guesses are as good

_good = weakref.WeakKeyDictionary()


def check_bound_sums_to_one(model):
    """The mean over guesses of weights is the likelihood: over all events these means sum to one.

    So a Jacobian that is forgotten is found, and a mean where a sum belongs, and mass that lies on no event. Where a
    few guesses have most of the weight, the means of log-weights say more: their exponentials sum to one at most. Such
    a model then learns to guess what it draws, and is looked at again.
    """
    model = tools.prepare(model)
    for log_weights in (_log_weights(model, *_all_events(model)), _good_guesser(model)[1]):
        bounds = np.exp(log_weights.mean(axis=0).clip(max=_LARGE))
        error = 5 * math.hypot(*(bounds * log_weights.std(axis=0))) / math.sqrt(_MANY)
        assert bounds.sum() < 1 + error + 1e-3, (
            f"The exponentials of mean log-weights of all {len(bounds)} events of {model.name} sum to "
            f"{bounds.sum():.4f}: these are no lower bounds."
        )
    sums = np.exp(log_weights.clip(max=_LARGE)).sum(axis=1)
    error = sums.std() / math.sqrt(_MANY)
    # By Markov's inequality a mean that should be one is above a hundred once in a hundred times, whatever its error.
    assert abs(sums.mean() - 1) < min(5 * error + 1e-3, 99), (
        f"The mean weights of {_MANY} guesses for each of all {len(bounds)} events of {model.name} sum to "
        f"{sums.mean():.4f} ± {error:.4f}, not to 1."
    )


def check_bound_rises_with_draws(model):
    """In the mean, the bound of more draws is no lower: it is the logarithm of their mean weight."""
    model = tools.prepare(model)
    x, *condition = model.random_batch(8)
    means = []
    for count in (1, 8):
        batch = [np.tile(each, (32, *(1 for _ in each.shape[1:]))) for each in (x, *condition)]
        scores = model.score_samples(*batch, num_draws=count, seed=1, batch_size=256).astype("float64")
        means.append((scores.mean(), scores.std() / math.sqrt(len(scores))))
    (one, error), (more, error_of_more) = means
    assert more > one - 5 * math.hypot(error, error_of_more) - 1e-4, (
        f"The bounds of {model.name} fall from {one:.4f} nats by one draw to {more:.4f} by eight."
    )


def check_bound_repeats(model):
    """A bound is the same twice, whatever the batch size and the events beside it; and by another seed another one."""
    model = tools.prepare(model)
    x, *condition = model.random_batch(20)
    found = model.score_samples(x, *condition, num_draws=3, seed=5)
    again = model.score_samples(x, *condition, num_draws=3, seed=5, batch_size=tools.FEW)
    first = model.score_samples(x[:7], *(each[:7] for each in condition), num_draws=3, seed=5)
    for other, what in ((again, "in another batch size"), (first, "without the events after it")):
        error = np.abs(other - found[: len(other)]).max()
        assert error < 1e-4 * (1 + np.abs(found).max()), f"{model.name} scores an event {error:.3g} nats off {what}."
    other = model.score_samples(x, *condition, num_draws=3, seed=6)
    assert (other != found).any(), f"{model.name} makes the same guesses by every seed."


def check_bound_evaluation(model):
    """`evaluate` meets the same guesses each time, and as good ones as `score_samples`."""
    copy = tools.trainee(model)
    x, *condition = model.random_batch(64)
    data = (x, *condition) if condition else x
    found, again = (copy.evaluate(data, batch_size=16, verbose=0, return_dict=True)["loss"] for _ in range(2))
    assert found == again, f"`evaluate` of {model.name} gives {found} nats, and then {again}."
    means = [-copy.score_samples(x, *condition, seed=seed).astype("float64").mean() for seed in range(16)]
    spread = 6 * np.std(means) + 1e-3 * (1 + abs(found))
    assert abs(found - np.mean(means)) < spread, (
        f"`evaluate` of {model.name} gives {found:.4f} nats, `score_samples` {np.mean(means):.4f}."
    )


def check_draws_follow_bound(model):
    """Samples come as often as the mean weights of very many guesses say."""
    model, log_weights = _good_guesser(tools.prepare(model))
    weights = np.exp(log_weights.clip(max=_LARGE))
    expected = weights.mean(axis=0)
    _, *one = model.random_batch(1)
    samples = tools.sample(model, _MANY, tools.repeat(one, _MANY)).reshape(_MANY, -1)
    places = model.support.num_levels ** np.arange(model.num_dims)[::-1]
    shares = np.bincount(samples @ places, minlength=len(expected)) / _MANY
    error = np.sqrt((weights.var(axis=0) + shares.clip(1 / _MANY)) / _MANY)
    worst = int(np.argmax(np.abs(shares - expected) / error))
    assert abs(shares[worst] - expected[worst]) < 5 * error[worst], (
        f"{_MANY} samples of {model.name} do not follow what it bounds: {shares[worst]:.4f} of them are event {worst}, "
        f"whose mean weight is {expected[worst]:.4f} ± {error[worst]:.4f}."
    )


def _all_events(model):
    events = tools.all_events(model)
    _, *condition = model.random_batch(1)
    return events, tools.repeat(condition, len(events))


def _good_guesser(model):
    """A copy of a model that guesses well, and its log-weights of all events, `(guesses, events)`; kept for a model.

    If a few guesses have nearly all of the weight, it is trained on its own samples: so what guesses learns more than
    what draws.
    """
    if model not in _good:
        copy, most = tools.trainee(model, learning_rate=0.03), _WILD
        copy.set_weights(model.get_weights())
        events, condition = _all_events(copy)
        samples = tools.sample(copy, 2 * tools.BATCH, tools.repeat(condition, 2 * tools.BATCH))
        for _ in range(_MOST_ROUNDS):
            log_weights = _log_weights(copy, events, condition)
            weights = np.exp(log_weights - log_weights.max(axis=0))
            if (weights.std(axis=0) < most * math.sqrt(_MANY) * weights.mean(axis=0)).all():
                break
            most = _GOOD
            try:
                tools.train(copy, samples, *tools.repeat(condition, len(samples)), epochs=_STEPS)
            except ValueError as error:
                raise AssertionError(f"{model.name} does not learn to guess what it draws: {error}") from error
        kept = type(model).from_config(model.get_config())
        kept.set_weights(copy.get_weights())
        _good[model] = kept, log_weights
    return _good[model]


def _log_weights(model, events, condition):
    """Log-weights of many guesses, `(guesses, events)`: each event is scored as often, as other events of one guess."""
    batch = [np.tile(each, (_MANY, *(1 for _ in each.shape[1:]))) for each in (events, *condition)]
    found = model.score_samples(*batch, num_draws=1, batch_size=_MANY)
    return found.astype("float64").reshape(_MANY, len(events))


def _is_bounded(model):
    return isinstance(model, BoundedModel)


def _is_small(model):
    return _is_bounded(model) and model.num_events <= 64


BOUND_CHECKS = {
    check_bound_sums_to_one: _is_small,
    check_bound_rises_with_draws: _is_bounded,
    check_bound_repeats: _is_bounded,
    check_bound_evaluation: _is_bounded,
    check_draws_follow_bound: _is_small,
}

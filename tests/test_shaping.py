"""Drawing from the most probable levels only."""

import numpy as np
import pytest
from keras import ops
from variants import on_one_backend

from keras_ar import heads, models, noise

LOGITS = np.log([[0.4, 0.05, 0.3, 0.25], [0.1, 0.2, 0.6, 0.1]]).astype("float32")


def kept(**limits):
    """Which levels keep a probability, and the probabilities."""
    params = heads.Categorical(4).truncate(LOGITS, **limits)
    probabilities = ops.convert_to_numpy(ops.softmax(params, axis=-1))
    return [np.flatnonzero(row).tolist() for row in probabilities], probabilities


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({"top_k": 1}, [[0], [2]]),
        ({"top_k": 2}, [[0, 2], [1, 2]]),
        ({"top_k": 3}, [[0, 2, 3], [0, 1, 2, 3]]),  # the last two of the second are equally probable
        ({"top_k": 9}, [[0, 1, 2, 3], [0, 1, 2, 3]]),
        ({"top_p": 0.39}, [[0], [2]]),
        ({"top_p": 0.5}, [[0, 2], [2]]),
        ({"top_p": 0.75}, [[0, 2, 3], [1, 2]]),
        ({"top_p": 1.0}, [[0, 1, 2, 3], [0, 1, 2, 3]]),
        ({"top_p": 1e-6}, [[0], [2]]),
        ({"top_k": 3, "top_p": 0.9}, [[0, 2, 3], [0, 1, 2, 3]]),
        ({"top_k": 2, "top_p": 0.55}, [[0], [2]]),  # of those two the first has more than that
    ],
    ids=str,
)
def test_the_most_probable_levels_stay_in_proportion(limits, expected):
    levels, probabilities = kept(**limits)
    assert levels == expected
    for row, logits, left in zip(probabilities, LOGITS, expected, strict=True):
        wanted = np.exp(logits[left])
        np.testing.assert_allclose(row[left], wanted / wanted.sum(), rtol=1e-5)


@pytest.mark.parametrize("method", ["stepwise", *on_one_backend(["parallel", "full"])])
def test_draws_stay_within_the_limits(method):
    model = models.NADE(5, units=4, head=heads.Categorical(4))
    noise.randomize(model)
    greedy = model.sample(6, seed=0, top_k=1, method=method)
    assert (greedy == greedy[0]).all(), "the most probable level is one"
    steps, log_prob = model.sample(64, seed=0, top_p=0.6, method=method, return_log_prob=True)
    params = ops.convert_to_numpy(model(steps))
    allowed = ops.convert_to_numpy(heads.Categorical(4).truncate(params, top_p=np.float32(0.6)))
    scores = ops.convert_to_numpy(heads.Categorical(4).log_prob(allowed, steps)).sum(axis=1)
    np.testing.assert_allclose(log_prob, scores, atol=1e-4)
    assert scores.min() > -20.0


@pytest.mark.parametrize("method", ["stepwise", *on_one_backend(["parallel", "full"])])
def test_at_temperature_zero_each_step_takes_its_mode(method):
    model = models.NADE(5, units=4, head=heads.Categorical(4))
    noise.randomize(model)
    found, log_prob = model.sample(3, seed=0, temperature=0, method=method, return_log_prob=True)
    modes = ops.convert_to_numpy(model.head.mode(model(found)))
    np.testing.assert_array_equal(found, modes)
    np.testing.assert_allclose(log_prob, model.score_samples(found), atol=1e-4)


def test_more_than_all_levels_are_all_levels():
    model = models.FVSBN(3, head=heads.Categorical(4))
    assert (model.sample(4, seed=0, top_k=2**31) == model.sample(4, seed=0)).all()


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"top_k": 0}, "`top_k` must be an integer of at least 1. Received: top_k=0"),
        ({"top_k": 1.5}, "`top_k` must be an integer"),
        ({"top_p": 0.0}, "`top_p` must be a finite number above 0"),
        ({"top_p": 1.1}, "`top_p` must be at most 1. Received: top_p=1.1"),
    ],
    ids=str,
)
def test_limits_that_mean_nothing_are_refused(limits, message):
    model = models.FVSBN(3, head=heads.Categorical(4))
    with pytest.raises(ValueError, match=message):
        model.sample(1, **limits)


def test_a_head_without_ranked_levels_is_refused():
    with pytest.raises(ValueError, match=r"`top_k` needs a head with `truncate`. Received: Normal"):
        models.FVSBN(3, head="normal").sample(1, top_k=3)

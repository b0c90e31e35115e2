"""Several values a pass: the schedule that loses least, and what is refused."""

import itertools

import numpy as np
import pytest

from keras_ar import models, noise, passes


@pytest.mark.parametrize("seed", range(5))
def test_the_schedule_is_the_best_of_all(seed):
    loss = np.random.default_rng(seed).exponential(size=9) - seed  # of densities losses may be negative
    for num_passes in (1, 2, 4, 9):
        every = [(0, *rest) for rest in itertools.combinations(range(1, 9), num_passes - 1)]
        lost = [passes.excess(loss, list(starts)) for starts in every]
        found = passes.schedule(loss, num_passes)
        assert len(found) == num_passes
        assert passes.excess(loss, found) == pytest.approx(min(lost), abs=1e-9)


def test_the_excess_is_what_scores_lose():
    """Of a model whose losses fall: the mean over many orders, by enumeration of one event's."""
    model = models.DeepNADE(4, hidden_units=6)
    noise.randomize(model, seed=1)
    x = np.random.default_rng(0).integers(0, 2, (400, 4))
    orders = [np.array(order) for order in itertools.permutations(range(4))]
    nats = {
        starts: -np.mean([model.score_samples(x, ordering=order, passes=starts).mean() for order in orders])
        for starts in ((0,), (0, 1), (0, 2), (0, 1, 2, 3))
    }
    by_step = np.zeros(4)
    for order in orders:
        steps = [model.score_samples(x, known=np.isin(np.arange(4), order[:t]), ordering=order) for t in range(5)]
        by_step -= np.diff([step.mean() for step in steps]) / len(orders)
    for starts, found in nats.items():
        lost = np.repeat(by_step[list(starts)], np.diff([*starts, 4])).sum() - by_step.sum()
        assert found - nats[0, 1, 2, 3] == pytest.approx(lost, abs=1e-4)


def test_what_is_known_counts_as_taken():
    wanted = np.array([[True, False, False, True], [True, True, True, True]])
    given = np.array([[False, True, True, False], [False] * 4])
    found = passes.blocks(np.array([0, 1, 3]), np.array([3, 2, 0, 1]), wanted, given)
    assert found.tolist() == [[2, -1, -1, 1], [1, 2, 1, 0]]
    own = passes.blocks(np.array([0, 1, 3]), np.array([[3, 2, 0, 1], [0, 1, 2, 3]]).T, wanted, given)
    assert own.tolist() == [[2, -1, -1, 1], [0, 1, 1, 2]]


def test_completions_in_passes_keep_what_is_known_and_say_how_probable_they_are():
    model = models.ConvNADE((3, 3), filters=3, num_blocks=1)
    noise.randomize(model)
    x = np.where(np.random.default_rng(0).random((5, 3, 3)) < 0.5, np.nan, 1.0)
    done, log_prob = model.complete(x, passes=[0, 4, 6], seed=0, return_log_prob=True)
    assert (done[~np.isnan(x)] == 1).all()
    given = ~np.isnan(x)
    score = model.score_samples(done, given=given, passes=[0, 4, 6])
    np.testing.assert_allclose(log_prob, score, atol=1e-5)
    one_by_one = model.complete(x, seed=0)
    assert (model.complete(x, passes=9, seed=0) == one_by_one).all()
    model.complete(x, ordering="random", passes=2, seed=0)


@pytest.mark.parametrize("wrong", [0, 5, 1.5, [1, 2], [0, 0], [0, 4], [], [[0]], "two"])
def test_passes_that_make_no_sense_are_refused(wrong):
    model = models.DeepNADE(4, hidden_units=3)
    with pytest.raises(ValueError, match="`passes` must be"):
        model.sample(2, passes=wrong)
    with pytest.raises(ValueError, match="`passes` must be"):
        model.score_samples(np.zeros((2, 4)), passes=wrong)


@pytest.mark.parametrize(("loss", "count"), [([1.0, 2.0], 3), ([[1.0]], 1), ([], 1), ([np.nan, 1.0], 1)])
def test_schedules_that_make_no_sense_are_refused(loss, count):
    with pytest.raises(ValueError, match=r"`(num_passes|loss_by_step)` must be"):
        passes.schedule(loss, count)

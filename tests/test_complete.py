"""Completing events: what is known stays, what is missing is drawn from its distribution given the rest."""

import numpy as np
import pytest
from keras import ops

from keras_ar import heads, models, noise, testing
from keras_ar.testing import statistics

RGB = heads.DiscretizedLogisticMixture(2, num_components=2, num_channels=3)


def randomized(model):
    noise.randomize(model)
    return model


MADE = randomized(models.MADE((3, 4), hidden_units=16, ordering="reversed", head=heads.Categorical(3)))
PIXELS = randomized(models.GatedPixelCNN((3, 2, 3), filters=6, num_blocks=0, head=RGB, condition_shape=2))


def lower_rows(model):
    known = np.zeros(model.event_shape, bool)
    known[1:] = True
    return known


def test_what_is_known_stays_and_every_method_draws_the_same():
    events = MADE.random_batch(6)[0]
    known = lower_rows(MADE)
    x = np.where(known, events, -99)  # what stands at unknown places means nothing
    draws = [MADE.complete(x, known, seed=3, method=method) for method in ("stepwise", "parallel", "full")]
    assert (draws[0][:, known] == events[:, known]).all()
    assert all((draws[0] == other).all() for other in draws[1:])
    assert draws[0].min() >= 0


def test_colors_of_a_pixel_are_known_together_and_conditions_count():
    events, condition = PIXELS.random_batch(5)
    known = ~lower_rows(PIXELS)
    completed, log_prob = PIXELS.complete(events, known, condition, seed=1, return_log_prob=True)
    assert (completed[:, known] == events[:, known]).all()
    known_alone = np.where(known, completed, 0)
    rest = ops.convert_to_numpy(PIXELS.conditional_log_prob(completed, condition))
    expected = rest[:, ~known[..., 0]].sum(axis=1)
    np.testing.assert_allclose(log_prob, expected, atol=1e-4)
    again, log_prob = PIXELS.complete(
        known_alone, known, condition, seed=1, method="parallel", batch_size=2, return_log_prob=True
    )
    assert (again == completed).all()
    np.testing.assert_allclose(log_prob, expected, atol=1e-4)


def test_missing_parts_are_drawn_from_their_distribution_given_the_rest():
    """The rest of a small event, enumerated: its probabilities given what is known, against counted draws."""
    model = randomized(models.NADE(5, units=6))
    known = np.arange(5) < 2
    count = 4096
    draws = model.complete(np.repeat([[1, 0, 0, 0, 0]], count, axis=0), known, seed=0, batch_size=count)
    events = testing.all_events(model)
    events = events[(events[:, :2] == (1, 0)).all(axis=1)]
    joint = np.exp(model.score_samples(events).astype("float64"))
    found = np.bincount(draws[:, 2:] @ (4, 2, 1), minlength=8)
    assert statistics.g_test(found, joint / joint.sum() * count) > 1e-4


def test_all_or_nothing_may_be_known():
    events = MADE.random_batch(2)[0]
    everything, nothing = np.ones(MADE.event_shape, bool), np.zeros(MADE.event_shape, bool)
    assert (MADE.complete(events, everything, seed=0) == events).all()
    assert (MADE.complete(events, nothing, seed=0) == MADE.sample(2, seed=0)).all()


def hole(model, *places):
    known = np.ones(model.event_shape, bool)
    for place in places:
        known[place] = False
    return known


@pytest.mark.parametrize(
    ("known", "message"),
    [
        (~lower_rows(MADE), r"`known` must be what comes first in the model's ordering.*: x\[0, 3\] known, x\[2, 3\]"),
        (hole(MADE, (2, 2)), r"`known` must be what comes first.*draws x\[2, 2\] before x\[2, 1\]"),
        (np.ones((4, 3), bool), r"`known` must be a boolean array of shape \(3, 4\). Received: .*\(4, 3\)"),
        (np.ones((3, 4)), r"`known` must be a boolean array .*known.dtype=float64"),
    ],
)
def test_what_is_known_comes_first_in_the_ordering(known, message):
    with pytest.raises(ValueError, match=message):
        MADE.complete(np.zeros((1, 3, 4), int), known)


def test_a_pixel_is_known_as_a_whole():
    known = np.zeros(PIXELS.event_shape, bool)
    known[0, 0, :2] = True
    with pytest.raises(ValueError, match=r"`known` must be .*: x\[0, 0\] known, x\[0, 0\] not \(or not all of it\)"):
        PIXELS.complete(np.zeros((1, 3, 2, 3), int), known, np.zeros((1, 2)))


@pytest.mark.parametrize("x", [np.zeros((1, 4, 3), int), np.full((1, 3, 4), 3), np.zeros((0, 3, 4), int)])
def test_bad_events_are_refused(x):
    with pytest.raises(ValueError, match="`x`"):
        MADE.complete(x, lower_rows(MADE))

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
        (
            np.ones((4, 3), bool),
            r"`known` must be a boolean array of shape \(3, 4\) or \(1, 3, 4\). Received: .*\(4, 3\)",
        ),
        (np.ones((3, 4)), r"`known` must be a boolean array .*known.dtype=float64"),
    ],
)
def test_what_is_known_comes_first_in_the_ordering(known, message):
    with pytest.raises(ValueError, match=message):
        MADE.complete(np.zeros((1, 3, 4), int), known)


def test_a_pixel_is_known_as_a_whole():
    known = np.zeros(PIXELS.event_shape, bool)
    known[0, 0, :2] = True
    with pytest.raises(ValueError, match="`x` must be NaN in all the values that"):
        PIXELS.complete(np.zeros((1, 3, 2, 3), int), known, np.zeros((1, 2)))


@pytest.mark.parametrize("x", [np.zeros((1, 4, 3), int), np.full((1, 3, 4), 3), np.zeros((0, 3, 4), int)])
def test_bad_events_are_refused(x):
    with pytest.raises(ValueError, match="`x`"):
        MADE.complete(x, lower_rows(MADE))


PIXEL_CNN = randomized(models.PixelCNN((2, 3), filters=4, num_blocks=1, head=heads.Categorical(3), num_classes=2))
RECURRENT = randomized(models.CharRNN(vocabulary="ab", event_shape=(6,), units=5, num_layers=1))


@pytest.mark.parametrize(
    ("model", "method"),
    [(MADE, "stepwise"), (PIXEL_CNN, "parallel"), (RECURRENT, "full")],
    ids=lambda value: getattr(value, "name", value),
)
def test_particles_are_picked_as_the_rest_is_distributed(model, method):
    """Of an event with holes, one of them before what is known: counted picks beside the enumerated joint."""
    if model.num_steps > 6:  # all but five of its values are known
        known = np.ones(model.event_shape, bool)
        known.ravel()[[1, 4, 5, 8, 11]] = False
    else:
        known = np.arange(6).reshape(model.event_shape) % 3 == 2
    event, *condition = model.random_batch(1)
    event = event[:1]
    x = np.where(known, event, np.nan)
    drawn, sizes = model.complete(
        np.repeat(x, 2, axis=0),
        None,
        *(np.repeat(c, 2, axis=0) for c in condition),
        num_draws=1000,
        num_particles=2000,
        seed=4,
        method=method,
        batch_size=1000,
        return_effective_size=True,
    )
    assert drawn.shape == (1000, 2, *model.event_shape)
    assert (drawn[:, :, known] == event[:, known]).all()
    assert (sizes > 500).all()
    assert sizes[0] != sizes[1]  # each event has its own
    levels = model.support.num_levels
    rest = np.stack(np.meshgrid(*[np.arange(levels)] * int((~known).sum()), indexing="ij"), axis=-1)
    rest = rest.reshape(-1, int((~known).sum()))
    events = np.repeat(event, len(rest), axis=0)
    events[:, ~known] = rest
    joint = np.exp(model.score_samples(events, *(np.repeat(c, len(rest), axis=0) for c in condition)).astype("float64"))
    found = drawn[:, :, ~known].reshape(-1, rest.shape[1]) @ levels ** np.arange(rest.shape[1])[::-1]
    counts = np.bincount(found.astype(int), minlength=len(rest))
    # Two clouds of a finite size add their own noise: counts of as many draws as are effective.
    effective = 1 / (1 / counts.sum() + 1 / sizes.sum())
    assert statistics.g_test(counts * effective / counts.sum(), joint / joint.sum() * effective) > 1e-4
    whole = model.score_samples(x, *condition, num_particles=2000, seed=4)
    assert whole[0] == pytest.approx(np.log(joint.sum()), abs=0.2)


def test_what_comes_first_needs_no_particles_and_may_differ_between_events():
    model = randomized(models.NADE(4, units=5))
    x = np.array([[1, np.nan, np.nan, np.nan], [0, 1, 1, np.nan], [1, 0, 1, 1]])
    events = testing.all_events(model)
    joint = np.exp(model.score_samples(events).astype("float64"))
    expected = [np.log(joint[((events == row) | np.isnan(row)).all(axis=1)].sum()) for row in x]
    np.testing.assert_allclose(model.score_samples(x), expected, atol=1e-5)
    scores, sizes = model.score_samples(x, num_particles=20, return_effective_size=True)
    np.testing.assert_allclose(scores, expected, atol=1e-5)
    np.testing.assert_allclose(sizes, 20, rtol=1e-4)
    several = model.complete(x, seed=0, num_draws=2)
    assert (several[0] == model.complete(x, seed=0)).all()
    assert ((several == x) | np.isnan(x)).all()


def test_few_effective_particles_are_said_to_be_few():
    sure = models.FVSBN(6)
    sure.layers[0].kernel.assign(60 * np.ones(sure.layers[0].kernel.shape))
    x = np.array([[np.nan] * 5 + [0.0]])  # as good as impossible, unless all others are zero
    with pytest.warns(UserWarning, match=r"The particles of 1 of 1 events have an effective sample size below 10"):
        sure.score_samples(x, num_particles=100)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m, x: m.score_samples(x), "unless there are `num_particles`"),
        (lambda m, x: m.complete(x), "unless there are `num_particles`"),
        (lambda m, x: m.complete(x, num_particles=0), "`num_particles` must be an integer of at least 1"),
        (lambda m, x: m.score_samples(x, num_particles=2.5), "`num_particles` must be an integer"),
        (
            lambda m, x: m.complete(x, num_particles=9, temperature=0.5),
            "must be left as they are beside `num_particles`",
        ),
        (lambda m, x: m.complete(x, num_particles=9, return_log_prob=True), "must be left as they are beside"),
        (lambda m, x: m.complete(x, [True] * 3, num_particles=9), "`known` must be a boolean array of shape"),
        (lambda m, x: m.score_samples(x[:, ::-1], return_effective_size=True), "must be False without"),
        (lambda m, x: m.evaluate(x), "`x` must"),
    ],
)
def test_without_particles_a_fixed_order_has_no_holes(call, message):
    model = models.FVSBN(4)
    model.compile("adam")
    with pytest.raises(ValueError, match=message):
        call(model, np.array([[np.nan, 1, 0, 1]]))

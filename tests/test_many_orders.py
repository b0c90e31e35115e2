"""Models of many orders: the paper's equations, planted faults, and what is refused."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_ar import heads, models, noise, orderings
from keras_ar.testing import checks_for

ORDER_AGNOSTIC = models.OrderAgnosticMADE


@keras.saving.register_keras_serializable(package="tests")
class SeesItself(ORDER_AGNOSTIC):
    """Ranks of outputs one too high: each sees its own value."""

    def params_in_order(self, x, order, condition=None, training=None):
        params = super().params_in_order(x, order, condition, training=training)
        return params + 0.1 * ops.reshape(ops.cast(x, params.dtype), params.shape)


@keras.saving.register_keras_serializable(package="tests")
class OneOrderForAll(ORDER_AGNOSTIC):
    """Steps that take the order of the first event for that of all."""

    def step(self, constants, state, orders, *args):
        first = {name: ops.broadcast_to(array[:1], array.shape) for name, array in orders.items()}
        return super().step(constants, state, first, *args)


@keras.saving.register_keras_serializable(package="tests")
class RanksForPositions(ORDER_AGNOSTIC):
    """Takes the position of a step for the step of a position: right in orders that are their own inverse."""

    def params_in_order(self, x, order, condition=None, training=None):
        inverse = {**order, "ordering": ops.argsort(order["ordering"])}
        return super().params_in_order(x, inverse, condition, training=training)


@keras.saving.register_keras_serializable(package="tests")
class MeansLogProbabilities(ORDER_AGNOSTIC):
    """Averages log-probabilities over orders, which is no likelihood."""

    def score_samples(self, x, condition=None, **kwargs):
        count = self.num_orders
        each = [
            super(MeansLogProbabilities, self).score_samples(x, condition, num_orderings=k + 1, **kwargs)
            for k in range(count)
        ]
        sums = [np.exp(score.astype("float64")) * (k + 1) for k, score in enumerate(each)]
        return np.mean(np.log(np.diff(sums, axis=0, prepend=0)), axis=0)


@keras.saving.register_keras_serializable(package="tests")
class AveragesLogits(ORDER_AGNOSTIC):
    """Averages the logits of all orders: what comes out is no likelihood."""

    def score_samples(self, x, condition=None, *, num_orderings=None, **kwargs):
        orders = self.orders(np.arange(self.num_orders))
        each = ({name: array[k] for name, array in orders.items()} for k in range(self.num_orders))
        logits = sum(self.params_in_order(ops.convert_to_tensor(x), order) for order in each) / self.num_orders
        return ops.convert_to_numpy(self.log_prob_from(logits, x))


@keras.saving.register_keras_serializable(package="tests")
class DrawsInOneOrder(ORDER_AGNOSTIC):
    """One order for all events of a draw, of a mixture of several."""

    def draw_in_orders(self, x, known, noise, orders, *args):
        first = {name: ops.broadcast_to(array[:1], array.shape) for name, array in orders.items()}
        return super().draw_in_orders(x, known, noise, first, *args)


@keras.saving.register_keras_serializable(package="tests")
class SeesTheCenter(models.LocallyMaskedPixelCNN):
    """The first convolution sees its own pixel, too."""

    def params_in_order(self, x, order, condition=None, training=None):
        params = super().params_in_order(x, order, condition, training=training)
        return params + 0.1 * ops.reshape(ops.cast(x, params.dtype), params.shape)


FAULTS = [
    (SeesItself(4, hidden_units=5, name="sees_itself"), "check_each_order_is_causal"),
    (OneOrderForAll(4, hidden_units=9, name="one_order"), "check_steps_equal_passes"),
    (RanksForPositions(4, hidden_units=9, name="ranks"), "check_each_order_is_causal"),
    (AveragesLogits(3, hidden_units=5, num_masks=3, direct=True, name="logits"), "check_normalized"),
    (MeansLogProbabilities(3, hidden_units=5, num_masks=3, name="means"), "check_normalized"),
    (SeesTheCenter((2, 2), filters=4, num_blocks=1, name="center"), "check_each_order_is_causal"),
    (DrawsInOneOrder(4, hidden_units=9, num_masks=4, direct=True, name="draws"), "check_honest_draws"),
]


@pytest.mark.parametrize(("model", "check"), FAULTS, ids=lambda value: getattr(value, "name", value))
def test_the_kit_finds_the_fault(model, check):
    with pytest.raises(AssertionError):
        checks_for(model)[check]()


def test_scores_are_those_of_the_equations():
    """Germain et al., 2015, equations 8 to 16 and section 4.2, in float64: masks from degrees, mixed over orders."""
    made = ORDER_AGNOSTIC(5, hidden_units=(7, 6), num_masks=3, activation="tanh", direct=True)
    noise.randomize(made)
    weights = {v.path.split("/", 1)[1]: ops.convert_to_numpy(v).astype("float64") for v in made.trainable_variables}
    x = np.array([1.0, 0, 0, 1, 1])
    orders = made.orders(np.arange(3))
    probabilities = []
    for k in range(3):
        m0 = np.empty(5)
        m0[orders["ordering"][k]] = np.arange(1, 6)  # the ordering says which position comes when
        m1, m2 = np.empty(7), np.empty(6)
        m1[orders["units_0"][k]], m2[orders["units_1"][k]] = made.slot_degrees
        h = np.tanh(x @ (weights["kernel_0"] * (m0[:, None] <= m1)) + weights["bias_0"])
        h = np.tanh(h @ (weights["kernel_1"] * (m1[:, None] <= m2)) + weights["bias_1"])
        logits = h @ (weights["kernel_2"] * (m2[:, None] < m0)) + weights["bias_2"]
        logits += x @ (weights["direct_kernel"] * (m0[:, None] < m0))
        p = 1 / (1 + np.exp(-logits))
        probabilities.append(np.prod(np.where(x == 1, p, 1 - p)))
    assert made.score_samples(x[None])[0] == pytest.approx(np.log(np.mean(probabilities)), abs=1e-5)
    assert set(made.slot_degrees[0]) == {1, 2, 3, 4}


def test_in_the_natural_order_a_local_mask_is_that_of_pixel_cnn():
    """The kernels of a PixelCNN, in row-major windows: the same scores, by another way."""
    shape, sizes = (3, 4), {"filters": 6, "num_blocks": 2, "head": heads.Categorical(3)}
    plain = models.PixelCNN(shape, kernel_size=3, **sizes)
    noise.randomize(plain)
    local = models.LocallyMaskedPixelCNN(shape, orders=[orderings.natural(shape)], **sizes)
    x = plain.random_batch(5)[0]
    local.score_samples(x)

    def copy(dense, conv, rest=0):
        kernel = ops.convert_to_numpy(conv.kernel)  # of rows below it holds none
        size = kernel.shape[1]
        kernel = np.pad(kernel, [[0, size - kernel.shape[0]], [0, 0], [0, rest], [0, 0]])
        dense.set_weights([kernel.reshape(-1, kernel.shape[3]), ops.convert_to_numpy(conv.bias)])

    copy(local.stem, plain.stem, rest=1)
    for ours, theirs in zip(local.blocks, plain.blocks, strict=True):
        for dense, conv in zip(ours, [theirs.reduce, theirs.middle, theirs.expand], strict=True):
            copy(dense, conv)
    copy(local.hidden, plain.hidden)
    copy(local.to_params, plain.to_params)
    np.testing.assert_allclose(local.score_samples(x), plain.score_samples(x), atol=1e-5)
    events, log_prob = local.sample(9, seed=0, return_log_prob=True)
    np.testing.assert_allclose(log_prob, plain.score_samples(events), atol=1e-5)


def test_masks_are_those_of_a_seed_whatever_their_number():
    few, many = (ORDER_AGNOSTIC(5, hidden_units=7, num_masks=count, seed=3).orders(np.arange(4)) for count in (4, 9))
    endless = ORDER_AGNOSTIC(5, hidden_units=7, seed=3).orders(np.arange(4))
    for name in few:
        np.testing.assert_array_equal(few[name], many[name])
        np.testing.assert_array_equal(few[name], endless[name])
    order_alone = ORDER_AGNOSTIC(5, hidden_units=7, mask_kind="order").orders([0, 1])
    assert (order_alone["units_0"] == np.arange(7)).all()


def test_training_takes_all_masks_and_no_other():
    """A layer that notes which order it was given: of three masks each of three, of endless ones hardly one twice."""
    for num_masks, expected in ((3, 3), (None, 20)):
        model = ORDER_AGNOSTIC(6, hidden_units=4, num_masks=num_masks)
        seen = set()

        def note(x, order, condition=None, training=None, seen=seen, model=model):
            seen.add(tuple(ops.convert_to_numpy(order["ordering"]).tolist()))
            return ORDER_AGNOSTIC.params_in_order(model, x, order, condition, training=training)

        object.__setattr__(model, "params_in_order", note)
        for _ in range(20):
            model(np.zeros((1, 6)), training=True)
        assert len(seen) == expected
        if num_masks:
            assert seen == {tuple(order) for order in model.orders(np.arange(3))["ordering"].tolist()}


def test_missing_values_are_passed_over_in_endless_orders():
    model = ORDER_AGNOSTIC(4, hidden_units=6)
    noise.randomize(model)
    x = np.array([[1, np.nan, 0, np.nan], [np.nan, np.nan, np.nan, 1]])
    scores = model.score_samples(x, num_orderings=3)
    one_by_one = [model.score_samples(row[None], num_orderings=3)[0] for row in x]
    np.testing.assert_allclose(scores, one_by_one, atol=1e-6)
    masked = np.ma.array(np.nan_to_num(x), mask=np.isnan(x))
    np.testing.assert_array_equal(model.score_samples(masked, num_orderings=3), scores)
    done = model.complete(x, seed=0, num_draws=4)
    assert ((done == x) | np.isnan(x)).all()
    known = ~np.isnan(x)
    np.testing.assert_array_equal(model.complete(np.nan_to_num(x), known, seed=0, num_draws=4), done)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ORDER_AGNOSTIC(4, num_masks=0), "`num_masks` must be an integer of at least 1"),
        (lambda: ORDER_AGNOSTIC(4, mask_kind="none"), "`mask_kind` must be"),
        (lambda: ORDER_AGNOSTIC(4, num_masks=2).score_samples(np.zeros((1, 4)), num_orderings=3), "at most 2"),
        (lambda: ORDER_AGNOSTIC(4).score_samples(np.zeros((1, 4)), num_orderings=0), "`num_orderings` must be"),
        (lambda: models.LocallyMaskedPixelCNN((2, 2), orders=[[0, 1, 2, 2]]), "must be a permutation"),
        (lambda: models.LocallyMaskedPixelCNN((2, 2), orders=[[0, 1]]), "must order the model's 4 positions"),
        (lambda: models.LocallyMaskedPixelCNN((2, 2), orders=[]), "`orders` must hold at least one"),
        (lambda: models.LocallyMaskedPixelCNN((2, 2, 3)), "`head` must draw the 3 colors of a pixel together"),
        (lambda: models.LocallyMaskedPixelCNN((2, 2), kernel_size=2), "`kernel_size` must be odd"),
        (lambda: ORDER_AGNOSTIC(4).sample(2, num_orderings=0), "`num_orderings` must be"),
        (lambda: ORDER_AGNOSTIC(4).complete(np.zeros((1, 4)), [True] * 3), "`known` must be a boolean array"),
        (lambda: ORDER_AGNOSTIC(4).complete(np.zeros((1, 4)), num_draws=0), "`num_draws` must be"),
        (
            lambda: ORDER_AGNOSTIC(6, num_masks=1).complete([[0, np.nan, 0, np.nan, 0, np.nan]]),
            "`known` must come first in one of the 1 orders",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_an_image_is_completed_from_any_side():
    """Of eight S-curves one begins with any half; of a spiral's the middle comes last; a corner alone, nowhere."""
    local = models.LocallyMaskedPixelCNN((4, 4), filters=4, num_blocks=1)
    noise.randomize(local)
    image = np.ones((1, 4, 4))
    for rows, columns in ((slice(2), slice(None)), (slice(2, 4), slice(None)), (slice(None), slice(2, 4))):
        half = image.copy()
        half[:, rows, columns] = np.nan
        done, log_prob = local.complete(half, seed=0, return_log_prob=True)
        assert ((done == half) | np.isnan(half)).all()
        assert log_prob[0] < 0
    middle = image.copy()
    middle[:, 1:3, 1:3] = np.nan
    with pytest.raises(ValueError, match="`known` must come first in one of the 8 orders"):
        local.complete(middle)
    spirals = orderings.symmetries(orderings.spiral, (4, 4))
    models.LocallyMaskedPixelCNN((4, 4), orders=spirals, filters=4, num_blocks=1).complete(middle, seed=0)


def test_a_single_value_and_values_drawn_together():
    single = ORDER_AGNOSTIC(1, hidden_units=3, condition_shape=2)
    noise.randomize(single)
    condition = np.ones((2, 2))
    assert np.exp(single.score_samples([[0], [1]], condition)).sum() == pytest.approx(1, abs=1e-6)
    assert single.sample(5, condition[0], seed=0).shape == (5, 1)
    pairs = ORDER_AGNOSTIC((3, 2), hidden_units=4, head=heads.Independent("bernoulli", 2), num_masks=2)
    assert pairs.sample(3, seed=0).shape == (3, 3, 2)
    assert orderings.several(3, 2, seed=0).tolist() == pairs.orders([0, 1])["ordering"].tolist()

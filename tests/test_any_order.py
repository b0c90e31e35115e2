"""Models for any order: what they refuse, how missing values come, and faults that the kit must find."""

import itertools

import keras
import numpy as np
import pytest
from keras import ops

from keras_ar import AnyOrderModel, heads, models, noise, orderings
from keras_ar.models import DeepNADE
from keras_ar.testing import checks_for, parametrize_with_checks


@keras.saving.register_keras_serializable(package="tests")
class SetMLP(AnyOrderModel):
    """A perceptron over what is known, by whole passes: no more than a subclass must write. With a fault, if asked."""

    def __init__(self, event_shape, *, fault=None, **kwargs):
        super().__init__(event_shape, **kwargs)
        self.fault = fault
        self.hidden = keras.layers.Dense(8, "relu", dtype=self.dtype_policy)
        self.to_params = keras.layers.Dense(self.num_steps * self.head.num_params, dtype=self.dtype_policy)

    def conditionals(self, x, known, condition=None, training=None):
        seen = self.encode_known(x, known)
        if self.fault == "sees what is unknown":
            seen = seen + 0.01 * self.encode_known(x, ops.ones_like(known))
        seen = ops.reshape(seen, (-1, self.num_steps * (self.num_features + 1)))
        if condition is not None:
            seen = ops.concatenate([seen, self.flat_condition(condition)], axis=-1)
        return ops.reshape(self.to_params(self.hidden(seen)), (-1, *self.position_shape, self.head.num_params))

    def get_config(self):
        return {**super().get_config(), "fault": self.fault}


@keras.saving.register_keras_serializable(package="tests")
class WeightsOfThePaperMisread(SetMLP):
    """D / (D - d + 1) with d the number of known values, as ConvNADE's code has it."""

    def objective(self, outputs, x, training):
        count = ops.sum(ops.cast(outputs["known"], "float32"), axis=1)
        right = (self.num_steps + 1.0) / ops.maximum(self.num_steps - count, 1.0)
        return super().objective(outputs, x, training) / right * self.num_steps / (self.num_steps - count + 1.0)


@keras.saving.register_keras_serializable(package="tests")
class NoWeights(SetMLP):
    """The sum over what is hidden, as in masked language models."""

    def objective(self, outputs, x, training):
        count = ops.sum(ops.cast(outputs["known"], "float32"), axis=1)
        right = (self.num_steps + 1.0) / ops.maximum(self.num_steps - count, 1.0)
        return super().objective(outputs, x, training) / right


@keras.saving.register_keras_serializable(package="tests")
class BellShapedSets(SetMLP):
    """Each position by a coin of its own, as NARU's wildcards: sets of half the positions, and hardly any other."""

    def kept(self, batch_size, training):
        kept = keras.random.uniform((batch_size, self.num_steps), seed=self.hiding) < 0.5
        return ops.reshape(kept, (-1, *self.position_shape))


@keras.saving.register_keras_serializable(package="tests")
class ByPlaceInTheBatch(SetMLP):
    """Shares that follow from an event's place in its batch: without shuffling they are the same in every epoch."""

    def kept(self, batch_size, training):
        row = ops.cast(ops.arange(batch_size), "float32")[:, None]
        uniforms = keras.random.uniform((batch_size, self.num_steps + 1), seed=self.hiding)
        kept = uniforms[:, 1:] < (row + uniforms[:, :1]) / ops.cast(batch_size, "float32")
        return ops.reshape(kept, (-1, *self.position_shape))


@keras.saving.register_keras_serializable(package="tests")
class NewSetsEachTime(SetMLP):
    """Other sets at each evaluation: the best of several epochs is then the luckiest."""

    def kept(self, batch_size, training):
        return super().kept(batch_size, training=True)


@keras.saving.register_keras_serializable(package="tests")
class AbsorbsBeforeItDraws(DeepNADE):
    """Adds a value's row twice, as where it is absorbed before it is drawn."""

    def read(self, constants, state, position):
        value = ops.zeros((ops.shape(state["sums"])[0], *self.head.event_shape), self.support.dtype)
        return super().read(constants, self.absorb(constants, state, position, value), position)


@keras.saving.register_keras_serializable(package="tests")
class RanksForPositions(DeepNADE):
    """Takes the rank of a position for the position: right in orders that are their own inverse."""

    def absorb(self, constants, state, position, value):
        return super().absorb(constants, state, ops.take(np.argsort(self.ordering), position), value)


@keras.saving.register_keras_serializable(package="tests")
class LosesZeros(DeepNADE):
    """Without flags: a value of zero is the same as none."""

    def absorb_all(self, constants, state, x, known):
        return super().absorb_all(constants, state, x, ops.logical_and(known, ops.cast(x, "bool")))


@keras.saving.register_keras_serializable(package="tests")
class NaNInTheLoss(SetMLP):
    """Cleans what the network sees, and not what the loss compares with: a gradient that is NaN."""

    def call(self, x, condition=None, training=None):
        return {**super().call(x, condition, training=training), "x": x}


@keras.saving.register_keras_serializable(package="tests")
class AnOrderForEachEvent(SetMLP):
    """Scores each event in a random order of its own: unbiased, and no distribution."""

    def score_samples(self, x, *args, **kwargs):
        orders = orderings.several(self.num_steps, len(x), seed=0)
        ways = [{**kwargs, "ordering": order} for order in orders]
        scores = [super(AnOrderForEachEvent, self).score_samples(x, *args, **way) for way in ways]
        return np.array([score[i] for i, score in enumerate(scores)])


FAULTS = [
    (AnOrderForEachEvent(3, name="own_orders"), "check_normalized"),
    (SetMLP(4, fault="sees what is unknown", name="leak"), "check_blind"),
    (WeightsOfThePaperMisread(4, name="misread"), "check_loss_is_unbiased"),
    (NoWeights(4, name="no_weights"), "check_loss_is_unbiased"),
    (BellShapedSets(6, name="bell"), "check_sets_are_of_all_sizes"),
    (ByPlaceInTheBatch(6, name="place"), "check_sets_are_of_all_sizes"),
    (NewSetsEachTime(4, name="new_sets"), "check_evaluation_repeats"),
    (AbsorbsBeforeItDraws(4, hidden_units=5, name="absorbs"), "check_absorb_equals_pass"),
    (RanksForPositions(4, hidden_units=5, ordering=[1, 2, 3, 0], name="ranks"), "check_absorb_equals_pass"),
    (LosesZeros(4, hidden_units=5, name="loses"), "check_absorb_equals_pass"),
    (LosesZeros(4, hidden_units=5, name="loses"), "check_marginals"),
    (NaNInTheLoss(3, head=heads.Normal(), name="nan"), "check_missing_values_train"),
]


@parametrize_with_checks([SetMLP((2, 2), name="set_mlp"), SetMLP(5, num_classes=2, name="set_mlp-classes")])
def test_a_model_of_one_method_conforms(check):
    check()


@pytest.mark.parametrize(("model", "check"), FAULTS, ids=lambda value: getattr(value, "name", value))
def test_the_kit_finds_the_fault(model, check):
    with pytest.raises((AssertionError, ValueError)):  # a loss that is NaN ends `fit`
        checks_for(model)[check]()


@pytest.fixture(scope="module")
def model():
    made = models.DeepNADE(4, hidden_units=6)
    noise.randomize(made)
    made.compile("adam")
    return made


def test_scores_are_those_of_the_equations():
    """Uria et al., 2014, equations 13 to 16, in float64: a pass for each value, of what is known and flags."""
    deep = models.DeepNADE(5, hidden_units=(7, 6), activation="tanh", direct=True)
    noise.randomize(deep)
    weights = {v.path.split("/", 1)[1]: ops.convert_to_numpy(v).astype("float64") for v in deep.trainable_variables}
    x, order = np.array([1.0, 0, 0, 1, 1]), [3, 0, 4, 2, 1]
    total, known = 0.0, np.zeros(5)
    for position in order:
        seen = np.stack([x * known, known], axis=-1).ravel()
        h = np.tanh(seen @ weights["hidden_0/kernel"] + weights["hidden_0/bias"])
        h = np.tanh(h @ weights["hidden_1/kernel"] + weights["hidden_1/bias"])
        logits = h @ weights["output/kernel"] + weights["output/bias"] + seen @ weights["direct/kernel"]
        probability = 1 / (1 + np.exp(-logits[position]))
        total += np.log(probability if x[position] else 1 - probability)
        known[position] = 1
    assert deep.score_samples(x[None], ordering=order)[0] == pytest.approx(total, abs=1e-5)


def test_missing_values_are_said_in_three_ways(model):
    x = np.array([[0, 1, 1, 0], [1, 1, 0, 0]])
    known = np.array([[True, False, True, True], [False, True, True, False]])
    with_nan = np.where(known, x, np.nan)
    expected = model.score_samples(with_nan)
    np.testing.assert_array_equal(model.score_samples(x, known=known), expected)
    np.testing.assert_array_equal(model.score_samples(np.ma.array(x, mask=~known)), expected)
    draws = [model.complete(with_nan, seed=0), model.complete(x, known, seed=0)]
    draws.append(model.complete(np.ma.array(x, mask=~known), seed=0))
    assert all((draw == draws[0]).all() for draw in draws)
    losses = [model.evaluate(with_nan, verbose=0)[0], model.evaluate(x, known=known, verbose=0)[0]]
    assert losses[0] == losses[1]


def test_the_mean_of_orders_is_of_probabilities_and_the_first_ones_are_the_same(model):
    x = np.array([[0, 1, 1, 0]])
    each = [model.score_samples(x, num_orderings=k)[0].astype("float64") for k in (1, 2)]
    scores = [model.score_samples(x, ordering=order)[0] for order in orderings.several(4, 2, seed=0)]
    assert each[0] == pytest.approx(scores[0], abs=1e-6)
    assert each[1] == pytest.approx(np.log(np.mean(np.exp(scores))), abs=1e-6)


def test_the_losses_of_all_steps_add_up_to_the_mean_over_orders(model):
    x = np.random.default_rng(0).integers(0, 2, (20, 4))
    found = model.loss_by_step(x, num_orderings=3, seed=5)
    scores = [model.score_samples(x, ordering=order).mean() for order in orderings.several(4, 3, seed=5)]
    assert found.sum() == pytest.approx(-np.mean(scores), abs=1e-5)
    with pytest.raises(ValueError, match="`x` must have no missing values"):
        model.loss_by_step(np.full((1, 4), np.nan))


def test_a_dataset_of_batches_with_nan_trains(model):
    x = np.where(np.random.default_rng(0).random((40, 4)) < 0.3, np.nan, 1.0).astype("float32")

    class Batches(keras.utils.PyDataset):
        def __len__(self):
            return 4

        def __getitem__(self, i):
            return (x[10 * i : 10 * i + 10],)

    copy = models.DeepNADE(4, hidden_units=6)
    copy.compile(keras.optimizers.Adam(0.1))
    history = copy.fit(Batches(), epochs=20, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    assert (copy.complete(np.full((20, 4), np.nan), seed=0) == 1).mean() > 0.9
    assert history["bits_per_dim"][-1] < history["bits_per_dim"][0]


def test_scores_of_nltcs_sized_events_are_marginals_of_the_joint(model):
    """Every pair of positions: from its score, and from the sum over all events."""
    events = np.array(list(itertools.product((0, 1), repeat=4)))
    for pair in itertools.combinations(range(4), 2):
        known = np.isin(np.arange(4), pair)
        order = np.concatenate([pair, np.flatnonzero(~known)])
        joint = np.exp(model.score_samples(events, ordering=order).astype("float64"))
        marginal = np.exp(model.score_samples(events, known=known, ordering=order).astype("float64"))
        for values in itertools.product((0, 1), repeat=2):
            here = (events[:, pair] == values).all(axis=1)
            np.testing.assert_allclose(marginal[here], joint[here].sum(), atol=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: m.score_samples(np.zeros((2, 4)), known=np.ones(3, "bool")), "`known` must be a boolean array of"),
        (lambda m: m.score_samples(np.zeros((2, 4)), known=np.ones(4)), "`known` must be a boolean array of"),
        (lambda m: m.score_samples(np.zeros((2, 4)), given=np.ones(3, "bool")), "`given` must be a boolean array of"),
        (lambda m: m.score_samples(np.full((1, 4), np.nan), given=np.ones(4, "bool")), "`given` must be known"),
        (
            lambda m: m.score_samples(np.zeros((2, 4)), num_orderings=0),
            "`num_orderings` must be an integer of at least",
        ),
        (lambda m: m.score_samples(np.zeros((2, 4)), ordering=[0, 1, 1, 2]), "`ordering` must be a permutation"),
        (lambda m: m.score_samples(np.zeros((2, 4)), ordering=[0, 1]), "`ordering` must order the model's 4"),
        (
            lambda m: m.score_samples(np.zeros((2, 4)), ordering=[0, 1, 2, 3], num_orderings=2),
            "`num_orderings` must be",
        ),
        (lambda m: m.score_samples(np.full((2, 4), 0.5)), "`x` must hold integers from 0 to 1"),
        (lambda m: m.score_samples(np.full((2, 4), np.inf)), "`x` must be finite"),
        (lambda m: m.complete(np.zeros((2, 4)), num_draws=0), "`num_draws` must be an integer of at least 1"),
        (lambda m: m.complete(np.zeros((2, 4)), [True] * 3), "`known` must be a boolean array of"),
        (lambda m: m.complete(np.ma.array(np.zeros((1, 4)), mask=[[1, 0, 0, 0]]), [True] * 4), "`known` must be None"),
        (lambda m: m.sample(2, ordering="spiral"), "`ordering` must be 'natural'"),
        (lambda m: m.fit(np.zeros((2, 4)), known=np.ones((3, 4), "bool")), "`known` must be a boolean array of"),
        (lambda m: m.fit(iter([np.zeros((2, 4))]), known=np.ones(4, "bool")), "`known` must be None beside a dataset"),
    ],
)
def test_what_makes_no_sense_is_refused_in_words(model, call, message):
    with pytest.raises(ValueError, match=message):
        call(model)


def test_a_single_value_has_a_distribution_and_nothing_to_know():
    single = models.DeepNADE(1, hidden_units=3, condition_shape=2)
    noise.randomize(single)
    condition = np.ones((2, 2))
    assert np.exp(single.score_samples([[0], [1]], condition)).sum() == pytest.approx(1, abs=1e-6)
    assert single.sample(5, condition[0], seed=0).shape == (5, 1)
    assert single.complete([[np.nan], [1.0]], condition=condition, seed=0)[1].tolist() == [1]


def test_what_a_head_draws_together_is_known_together():
    pairs = models.DeepNADE((3, 2), hidden_units=4, head=heads.Independent("bernoulli", 2))
    x = np.zeros((1, 3, 2))
    x[0, 1, 0] = np.nan
    with pytest.raises(ValueError, match="`x` must be NaN in all the values that"):
        pairs.score_samples(x)

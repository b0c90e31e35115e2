"""Training is Keras' own: every kind of data, weights, callbacks, seeds; and the drivers beside it."""

import math

import keras
import numpy as np
import pytest
from keras import ops
from kinds_of_data import (
    CONDITION,
    EVENTS,
    Batches,
    BatchesOfPairs,
    in_data_loader,
    in_data_loader_of_pairs,
    in_numpy,
    in_tf_data,
    in_tf_data_of_pairs,
)

from keras_ar import AutoregressiveModel, backend, layers, models, noise

RNG = np.random.default_rng(0)
LOSSES = ["bits_per_dim", "loss"]


def random_model(learning_rate, **options):
    model = models.FVSBN(4, **options)
    noise.randomize(model)
    model.compile(keras.optimizers.SGD(learning_rate))
    return model


# Compiling costs most of the time, so the tests share three models.


@pytest.fixture(scope="module")
def model():
    """A model that learns nothing: `fit` leaves its weights alone."""
    return random_model(learning_rate=0.0)


@pytest.fixture(scope="module")
def conditional():
    """The same with a condition."""
    return random_model(learning_rate=0.0, condition_shape=2)


@pytest.fixture(scope="module")
def learner():
    """A model that each test trains a little further."""
    return random_model(learning_rate=0.01)


def nats(model, *batch):
    return -model.score_samples(*batch).astype("float64")


# Every kind of data.

EVERY_KIND_OF_DATA = pytest.mark.parametrize("held", [in_numpy, Batches, in_data_loader, in_tf_data])


@EVERY_KIND_OF_DATA
def test_every_kind_of_data_evaluates_to_the_mean_of_the_scores(held, model):
    found = model.evaluate(held(EVENTS), verbose=0, return_dict=True)
    assert sorted(found) == LOSSES
    assert found["loss"] == pytest.approx(nats(model, EVENTS).mean(), rel=1e-5)
    assert found["bits_per_dim"] == pytest.approx(found["loss"] / 4 / math.log(2), rel=1e-5)


@EVERY_KIND_OF_DATA
def test_a_conditional_model_takes_pairs_in_every_kind_of_data(held, conditional):
    found = conditional.evaluate(held(EVENTS, CONDITION), verbose=0, return_dict=True)
    assert found["loss"] == pytest.approx(nats(conditional, EVENTS, CONDITION).mean(), rel=1e-5)


@pytest.mark.parametrize("held", [BatchesOfPairs, in_data_loader_of_pairs, in_tf_data_of_pairs])
def test_a_dataset_of_pairs_holds_events_and_conditions(held, model, conditional):
    expected = pytest.approx(nats(conditional, EVENTS, CONDITION).mean(), rel=1e-5)
    assert conditional.evaluate(held(EVENTS, CONDITION), verbose=0, return_dict=True)["loss"] == expected
    history = conditional.fit(held(EVENTS, CONDITION), validation_data=held(EVENTS, CONDITION), verbose=0).history
    assert history["val_loss"] == [expected]
    before = model.get_weights()
    with pytest.raises(ValueError, match=r"A dataset `x` must give batches of events, or pairs \(events, conditions\)"):
        model.fit(held(EVENTS, CONDITION), verbose=0)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_conditions_may_come_in_the_place_of_targets(conditional):
    expected = pytest.approx(nats(conditional, EVENTS, CONDITION).mean(), rel=1e-5)
    assert conditional.evaluate(EVENTS, CONDITION, verbose=0, return_dict=True)["loss"] == expected
    lists = (EVENTS, CONDITION.tolist())
    assert conditional.evaluate(lists, verbose=0, return_dict=True)["loss"] == expected


def test_a_frame_of_numbers_is_checked_as_an_array_is(model):
    class Frame:
        """What a table of pandas has in common with arrays."""

        shape = EVENTS.shape

        def __array__(self, dtype=None, copy=None):
            return np.where(EVENTS > 0, EVENTS, -1)

    with pytest.raises(ValueError, match="`x` must hold integers from 0 to 1"):
        model.fit(Frame(), verbose=0)


def test_one_class_may_serve_all_events():
    model = random_model(0.0, num_classes=3)
    np.testing.assert_array_equal(model.score_samples(EVENTS, 2), model.score_samples(EVENTS, np.full(10, 2)))


@EVERY_KIND_OF_DATA
def test_every_kind_of_data_trains(held, learner):
    options = {"validation_data": held(EVENTS), "epochs": 2, "shuffle": False, "verbose": 0}
    history = learner.fit(held(EVENTS), **options).history
    assert sorted(history) == sorted([*LOSSES, *("val_" + name for name in LOSSES)])
    assert history["val_loss"][1] < history["val_loss"][0]


def test_validation_data_come_in_a_tuple_as_in_keras(model, conditional):
    history = model.fit(EVENTS, validation_data=(EVENTS,), verbose=0).history
    assert history["val_loss"] == pytest.approx([nats(model, EVENTS).mean()], rel=1e-5)
    pair = (EVENTS, CONDITION)
    for validation_data in (pair, (pair,)):
        history = conditional.fit(pair, validation_data=validation_data, verbose=0).history
        assert history["val_loss"] == pytest.approx([nats(conditional, *pair).mean()], rel=1e-5)


@pytest.mark.parametrize("dtype", ["uint8", "bool", "float64", ">i4", ">f4"])
def test_events_may_have_any_dtype_of_numbers(dtype, model):
    events = EVENTS.astype(dtype)
    np.testing.assert_allclose(model.score_samples(events), -nats(model, EVENTS), rtol=1e-5)
    assert model.evaluate(events, verbose=0)[0] == pytest.approx(nats(model, EVENTS).mean(), rel=1e-5)


# Sample weights.


def test_sample_weights_weigh_the_nats_of_each_event(model):
    weights = RNG.random(10).astype("float32")
    found = model.evaluate(EVENTS, sample_weight=weights, verbose=0, return_dict=True)
    expected = weights * nats(model, EVENTS)
    assert found["loss"] == pytest.approx(expected.sum() / 10, rel=1e-5)  # Keras divides by the size of the batch
    assert found["bits_per_dim"] == pytest.approx(found["loss"] / 4 / math.log(2), rel=1e-5)


def test_events_of_weight_zero_teach_nothing(learner):
    weights = np.repeat([1.0, 0.0], 5).astype("float32")
    before = learner.get_weights()
    learner.fit(EVENTS, sample_weight=weights, verbose=0)
    after = learner.get_weights()
    learner.set_weights(before)
    learner.fit(EVENTS[:5], verbose=0)
    for start, weighted, half in zip(before, after, learner.get_weights(), strict=True):
        np.testing.assert_allclose(2 * (weighted - start), half - start, atol=1e-6)  # the mean is over twice as many
        assert np.abs(half - start).max() > 1e-3


def test_sample_weights_go_with_conditions_as_well(conditional):
    weights = RNG.random(10).astype("float32")
    pair = (EVENTS, CONDITION)
    found = conditional.evaluate(pair, sample_weight=weights, verbose=0, return_dict=True)
    assert found["loss"] == pytest.approx((weights * nats(conditional, *pair)).mean(), rel=1e-5)


def test_validation_data_may_have_sample_weights(model):
    weights = RNG.random(10).astype("float32")
    history = model.fit(EVENTS, validation_data=(EVENTS, EVENTS, weights), verbose=0).history
    assert history["loss"] == pytest.approx([nats(model, EVENTS).mean()], rel=1e-5)
    assert history["val_loss"] == pytest.approx([(weights * nats(model, EVENTS)).mean()], rel=1e-5)


# Losses and gradients.


def test_the_gradient_of_log_prob_by_the_bias_is_data_minus_prediction(model):
    bias = model.regressions.bias
    (gradient,) = backend.gradients(lambda: ops.sum(model.log_prob(EVENTS)), [bias])
    predict = backend.compiled(model, lambda x: model.head.mean(model(x)))
    predicted = ops.convert_to_numpy(predict(EVENTS))
    np.testing.assert_allclose(gradient[:, 0], (EVENTS - predicted).sum(axis=0), atol=1e-5)


def test_losses_of_sublayers_are_added():
    dense = keras.layers.Dense(3, kernel_regularizer=keras.regularizers.L2(0.5))
    model = AutoregressiveModel.from_layers([layers.TriangularDense(4), dense], event_shape=4)
    model.compile("sgd")
    penalty = 0.5 * np.square(dense.get_weights()[0]).sum()
    found = model.evaluate(EVENTS, verbose=0, return_dict=True)
    likelihood_alone = found["bits_per_dim"] * 4 * math.log(2)
    assert found["loss"] == pytest.approx(likelihood_alone + penalty, rel=1e-5)
    assert penalty > 0.1


# Callbacks and progress.


def test_a_callback_may_draw_and_score_in_the_middle_of_training(learner):
    drawn, scored = [], []

    def at_epoch_end(epoch, logs):
        drawn.append(learner.sample(4, seed=0))
        scored.append(nats(learner, EVENTS).mean())

    callback = keras.callbacks.LambdaCallback(on_epoch_end=at_epoch_end)
    history = learner.fit(EVENTS, validation_data=(EVENTS,), epochs=3, callbacks=[callback], verbose=0).history
    assert [events.shape for events in drawn] == [(4, 4)] * 3
    assert scored == pytest.approx(history["val_loss"], rel=1e-5)
    assert scored[2] < scored[1] < scored[0]


def test_training_goes_on_from_averaged_weights():
    """Keras ends `fit` with the optimizer's averages in the place of the weights, which are one array then on JAX."""
    model = models.FVSBN(2)
    model.compile(keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.5))
    x = np.ones((4, 2), "float32")
    first, second = (model.fit(x, epochs=2).history["loss"][-1] for _ in range(2))
    assert second < first


@pytest.mark.parametrize("moment", ["on_epoch_end", "on_train_batch_end"])
def test_an_error_in_a_callback_leaves_a_model_that_works(moment, learner):
    def fail(*args, **kwargs):
        raise RuntimeError("enough")

    before = nats(learner, EVENTS).mean()
    with pytest.raises(RuntimeError, match="enough"):
        learner.fit(EVENTS, verbose=0, callbacks=[keras.callbacks.LambdaCallback(**{moment: fail})])
    assert nats(learner, EVENTS).mean() < before
    assert learner.sample(2, seed=0).shape == (2, 4)


@pytest.mark.parametrize(
    ("drive", "end"),
    [
        (lambda model: model.fit(EVENTS, verbose=1), "1/1"),
        (lambda model: model.evaluate(EVENTS, verbose=1), "1/1"),
        (lambda model: model.score_samples(EVENTS, verbose=1), "10/10"),
        (lambda model: model.sample(10, verbose=1), "10/10"),
        (lambda model: model.sample(10, method="parallel", verbose=1), "10/10"),
    ],
    ids=["fit", "evaluate", "score_samples", "stepwise", "parallel"],
)
def test_verbose_shows_a_bar_that_arrives(drive, end, model, capsys):
    drive(model)
    shown = capsys.readouterr().out
    assert "━" in shown
    assert end in shown


def test_nothing_is_shown_unless_asked_for(model, capsys):
    model.score_samples(EVENTS)
    model.sample(3)
    assert capsys.readouterr().out == ""


# Seeds.


def test_the_seed_of_keras_makes_draws_repeatable(model):
    keras.utils.set_random_seed(7)
    first, second = model.sample(20), model.sample(20)
    assert not np.array_equal(first, second)
    keras.utils.set_random_seed(7)
    assert np.array_equal(model.sample(20), first)
    assert np.array_equal(model.sample(20), second)


# Compiling.


class Counting(models.FVSBN):
    """Counts how often Python runs the body of `call` and of `step`: once each time a function is traced."""

    traces = 0

    def call(self, x, condition=None):
        type(self).traces += 1
        return super().call(x, condition)

    def step(self, constants, state, t, previous):
        type(self).traces += 1
        return super().step(constants, state, t, previous)


@pytest.fixture(scope="module")
def counting():
    """A model that counts what is compiled."""
    return Counting(3)


@pytest.mark.skipif(keras.backend.backend() == "torch", reason="torch compiles nothing")
@pytest.mark.parametrize("method", ["score", "stepwise", "parallel", "full"])
def test_another_number_of_events_compiles_nothing_anew(method, counting):
    def drive(count):
        if method == "score":
            return counting.score_samples(np.zeros((count, 3)), batch_size=4)
        return counting.sample(count, seed=count, batch_size=4, method=method, temperature=0.5 + count)

    drive(3)
    traces = Counting.traces
    for count in (1, 4, 9):
        assert len(drive(count)) == count
    assert Counting.traces == traces > 0


@pytest.mark.skipif(keras.backend.backend() == "torch", reason="torch compiles nothing")
def test_what_was_compiled_is_dropped_by_compile_and_by_a_new_weight(counting):
    counting.score_samples(np.zeros((2, 3)), batch_size=4)
    traces = Counting.traces
    counting.compile("sgd")
    counting.score_samples(np.zeros((2, 3)), batch_size=4)
    assert Counting.traces > traces
    model, batch = Counting(3, condition_shape=2), (np.zeros((2, 3)), np.zeros((2, 2)))
    model.score_samples(*batch, batch_size=4)
    traces = Counting.traces
    model.condition_bias.enable_lora(1)
    model.score_samples(*batch, batch_size=4)
    assert Counting.traces > traces


@pytest.mark.skipif(keras.backend.backend() == "torch", reason="torch compiles nothing")
@pytest.mark.parametrize("settings", [{"run_eagerly": True}, {"jit_compile": False}], ids=["eager", "no-jit"])
def test_the_drivers_run_as_compile_says(settings):
    model, other = Counting(3), Counting(3)
    model.compile("sgd", **settings)
    noise.randomize(model)
    noise.randomize(other)
    model.score_samples(np.zeros((2, 3)), batch_size=4)
    traces = Counting.traces
    scores = model.score_samples(np.zeros((2, 3)), batch_size=4)
    is_eager = "run_eagerly" in settings or keras.backend.backend() == "jax"
    assert (Counting.traces > traces) == is_eager
    np.testing.assert_allclose(scores, other.score_samples(np.zeros((2, 3))), rtol=1e-5)
    assert (model.sample(5, seed=0) == other.sample(5, seed=0)).all()


@pytest.mark.parametrize(
    ("allowed", "supported", "mode"), [(True, True, "xla"), (False, True, "graph"), (True, False, "graph")]
)
def test_drivers_compile_with_xla_where_layers_support_it_whatever_keras_does_in_training(
    allowed, supported, mode, monkeypatch
):
    modes, compiled = [], backend.compiled
    monkeypatch.setattr(backend, "allows_xla", lambda: allowed)
    monkeypatch.setattr(
        backend, "compiled", lambda owner, function, mode: modes.append(mode) or compiled(owner, function)
    )
    model = models.MADE(3, hidden_units=2)
    model.hidden[0].supports_jit = supported
    for _ in range(2):
        model.sample(1, seed=0)
        model.compile("sgd")  # on the CPU of TensorFlow, Keras trains without XLA
    assert {used for used in modes if used != "eager"} == {mode}  # what runs once is not compiled everywhere


def test_integer_conditions_reach_the_model_as_floats_by_every_way():
    dtypes = []

    class Noting(models.FVSBN):
        def call(self, x, condition=None):
            dtypes.append(keras.backend.standardize_dtype(condition.dtype))
            return super().call(x, condition)

    model = Noting(4, condition_shape=2)
    model.compile("sgd", run_eagerly=True)
    pair = (EVENTS, np.ones((10, 2), "int64"))
    model.fit(pair, verbose=0)
    model.score_samples(*pair)
    model.log_prob(*pair)
    model.sample(2, np.ones(2, "int64"))
    assert set(dtypes) == {"float32"}


def test_a_model_of_classes_takes_integers_by_every_way():
    classes = np.arange(10) % 3
    model = models.FVSBN(4, num_classes=3)
    noise.randomize(model)
    model.compile("sgd")
    twin = models.FVSBN(4, condition_shape=3)
    twin.set_weights(model.get_weights())
    one_hot = np.eye(3)[classes]
    expected = twin.score_samples(EVENTS, one_hot)
    np.testing.assert_allclose(model.score_samples(EVENTS, classes), expected, rtol=1e-5)
    np.testing.assert_allclose(model.evaluate((EVENTS, classes), verbose=0)[0], -expected.mean(), rtol=1e-5)
    assert (model.sample(10, classes, seed=0) == twin.sample(10, one_hot, seed=0)).all()
    assert (model.sample(3, 2, seed=0) == twin.sample(3, one_hot[2], seed=0)).all()

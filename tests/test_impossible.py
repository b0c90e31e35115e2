"""Values off the support, classes that do not exist and losses that are not finite: never scored, never trained on."""

import contextlib
import math
import signal
import warnings
from typing import ClassVar

import keras
import numpy as np
import pytest
from keras import ops
from kinds_of_data import CONDITION, EVENTS, Batches, in_data_loader, in_tf_data

from keras_ar import backend, heads, models, registry, training

OFF_SUPPORT = np.where(EVENTS > 0, EVENTS, -1)  # coins in {-1, +1}
CLASSES = np.arange(10) % 3


def as_generator(*arrays):
    yield from (Batches(*arrays)[i] for i in range(2))


EVERY_KIND_OF_DATASET = pytest.mark.parametrize("held", [Batches, in_data_loader, in_tf_data, as_generator])


@pytest.fixture(scope="module")
def model():
    model = models.FVSBN(4)
    model.compile("adam")
    return model


@pytest.fixture(scope="module")
def of_classes():
    model = models.FVSBN(4, num_classes=3)
    model.compile("adam")
    return model


def have_survived(model):
    return all(np.isfinite(w).all() for w in model.get_weights()) and np.isfinite(model.score_samples(*known(model))[0])


def known(model):
    return [EVENTS[:1], CLASSES[:1]] if model.num_classes else [EVENTS[:1]]


@pytest.mark.parametrize("method", ["fit", "evaluate"])
@EVERY_KIND_OF_DATASET
def test_impossible_values_in_a_dataset_are_an_error_and_the_weights_survive(held, method, model):
    with pytest.raises(ValueError, match=r"`x` must hold integers from 0 to 1.* x\[\d, \d\] = -1 in batch 0"):
        getattr(model, method)(held(OFF_SUPPORT), verbose=0)
    assert have_survived(model)


class Ended(keras.callbacks.Callback):
    """Counts the batches that have ended."""

    num_batches = 0

    def on_train_batch_end(self, batch, logs=None):
        self.num_batches += 1

    on_test_batch_end = on_train_batch_end


@pytest.mark.parametrize("method", ["fit", "evaluate"])
def test_a_bad_batch_ends_an_epoch_long_before_its_end(method, model):
    ended = Ended()
    for _ in range(2):  # each epoch is watched from its beginning
        ended.num_batches = 0
        with pytest.raises(ValueError, match="in batch 0, counted from 0"):
            getattr(model, method)(in_data_loader(np.tile(OFF_SUPPORT, (20, 1))), verbose=0, callbacks=[ended])
        assert ended.num_batches <= 2


def test_no_callback_of_ours_has_keras_wait_for_each_batch():
    ours = {name for name in dir(training.StopAtBadLoss) if name.endswith(("batch_begin", "batch_end"))}
    assert all(getattr(training.StopAtBadLoss, name) is getattr(keras.callbacks.Callback, name) for name in ours)


def test_the_error_names_the_first_bad_batch_and_value(model):
    events = np.tile(EVENTS, (3, 1))
    events[17, 2] = 5
    events[22, 0] = 9
    with pytest.raises(ValueError, match=r"x\[2, 2\] = 5 in batch 3"):
        model.fit(Batches4(events), shuffle=False, verbose=0)
    assert have_survived(model)


class Batches4(Batches):
    def __len__(self):
        return 6


@EVERY_KIND_OF_DATASET
def test_validation_on_impossible_values_is_an_error(held, model):
    with pytest.raises(ValueError, match="`x` must hold integers from 0 to 1"):
        model.fit(EVENTS, validation_data=held(OFF_SUPPORT), verbose=0)
    assert have_survived(model)


ON_BATCH = pytest.mark.parametrize("method", ["train_on_batch", "test_on_batch", "predict_on_batch"])


@ON_BATCH
@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (OFF_SUPPORT, r"`x` must hold integers from 0 to 1.* x\[\d, \d\] = -1"),
        (np.where(EVENTS > 0, 2**32, 0), r"`x` must hold integers from 0 to 1.* = 4294967296"),
        (np.full(EVENTS.shape, "a"), "`x` must hold numbers"),
        (EVENTS[:, :3], "`x` must have shape"),
        (Batches(EVENTS), "`x` must be one batch: an array of events.* Received: x of type Batches"),
    ],
)
def test_a_single_batch_is_checked(method, bad, message, model):
    with pytest.raises(ValueError, match=message):
        getattr(model, method)(bad)
    assert have_survived(model)


@pytest.mark.parametrize("method", ["train_on_batch", "test_on_batch"])
def test_a_single_batch_whose_loss_is_not_finite_is_an_error(method):
    model = models.FVSBN(2, head="normal")
    model.compile("sgd")
    assert np.isfinite(getattr(model, method)(EVENTS[:, :2])).all()
    model.set_weights([np.full_like(w, 1e30) for w in model.get_weights()])
    with pytest.raises(ValueError, match=r"The loss of .* must be finite.* although all values are possible"):
        getattr(model, method)(EVENTS[:, :2])


def test_single_batches_train_and_are_scored_as_elsewhere(of_classes):
    weights = np.linspace(0, 1, 10)
    before = of_classes.get_weights()
    nats = -of_classes.score_samples(EVENTS, CLASSES)
    loss, bits = of_classes.train_on_batch(EVENTS, CLASSES)
    np.testing.assert_allclose([loss, bits], [nats.mean(), nats.mean() / 4 / math.log(2)], rtol=1e-5)
    assert any((a != b).any() for a, b in zip(before, of_classes.get_weights(), strict=True))
    nats = -of_classes.score_samples(EVENTS, CLASSES)
    found = of_classes.test_on_batch((EVENTS, CLASSES), sample_weight=weights, return_dict=True)
    np.testing.assert_allclose(found["loss"], (nats * weights).mean(), rtol=1e-5)


@pytest.mark.filterwarnings("error:.shuffle=True. was passed")
@pytest.mark.parametrize("held", [in_data_loader, in_tf_data, as_generator])
def test_nobody_is_told_that_a_dataset_cannot_be_shuffled_who_has_not_asked_for_it(held, model):
    model.fit(held(EVENTS), verbose=0)


def test_the_batches_of_a_pydataset_are_shuffled_unless_told_otherwise(model):
    class Counted(Batches4):
        order: ClassVar = []

        def __getitem__(self, index):
            self.order.append(index)
            return super().__getitem__(index % 2)

    for shuffle, is_shuffled in (({}, True), ({"shuffle": False}, False)):
        Counted.order.clear()
        model.fit(Counted(EVENTS), epochs=5, verbose=0, **shuffle)
        epochs = np.reshape(Counted.order[-30:], (5, 6))  # before it, Keras looks at the first batches
        assert (np.sort(epochs, axis=1) == np.arange(6)).all()
        assert (epochs != np.arange(6)).any() == is_shuffled


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="Keras moves batches ahead on JAX only")
@pytest.mark.parametrize("method", ["fit", "evaluate", "predict"])
@EVERY_KIND_OF_DATASET
def test_batches_are_checked_before_they_are_moved_to_a_device(held, method, model, monkeypatch):
    import jax

    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    with pytest.raises(ValueError, match=r"32 bits on JAX. Received 4294967296"):
        getattr(model, method)(held(np.where(EVENTS > 0, 2**32, 0)), verbose=0)
    assert have_survived(model)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="other backends know the shapes of batches")
@pytest.mark.parametrize("method", ["fit", "evaluate", "predict"])
def test_batches_whose_shape_is_known_when_they_come_are_checked(method, model, of_classes):
    tf = pytest.importorskip("tensorflow")
    spec = tf.TensorSpec(None, "int32")
    short = tf.data.Dataset.from_generator(lambda: iter([(EVENTS[:, :1],)]), output_signature=(spec,))
    with pytest.raises(ValueError, match=r"`x` must have shape .*4.* Received: x.shape=.10, ?1"):
        getattr(model, method)(short, verbose=0)
    batch = (EVENTS, CLASSES[:, None])
    wrong = tf.data.Dataset.from_generator(lambda: iter([(batch,)]), output_signature=((spec, spec),))
    with pytest.raises(ValueError, match=r"`condition` must have shape .* Received: condition.shape=.10, ?1"):
        getattr(of_classes, method)(wrong, verbose=0)


def test_after_a_first_step_that_fails_a_model_trains():
    tf = pytest.importorskip("tensorflow")
    model = models.FVSBN(4)
    model.compile("adam")
    short = tf.data.Dataset.from_generator(lambda: iter([(EVENTS[:, :1],)]), output_signature=(tf.TensorSpec(None),))
    with pytest.raises(ValueError, match="`x` must have shape"):
        model.fit(short, verbose=0)
    assert np.isfinite(model.fit(Batches(EVENTS), verbose=0).history["loss"]).all()


@pytest.mark.parametrize("value", [3, 99, -1, 2**32])
@EVERY_KIND_OF_DATASET
def test_classes_that_do_not_exist_are_an_error(held, value, of_classes):
    classes = CLASSES.copy()
    classes[1] = value
    with pytest.raises(ValueError, match=rf"classes, integers from 0 to 2.* {value}|32 bits on JAX. Received {value}"):
        of_classes.fit(held(EVENTS, classes), verbose=0)
    assert have_survived(of_classes)


def test_a_condition_that_is_not_a_number_is_an_error():
    model = models.FVSBN(4, condition_shape=2)
    model.compile("adam")
    condition = CONDITION.copy()
    condition[3, 1] = math.nan
    with pytest.raises(ValueError, match=r"`condition` must hold finite numbers. Received condition\[3, 1\] = nan"):
        model.fit(Batches(EVENTS, condition), verbose=0)
    assert all(np.isfinite(w).all() for w in model.get_weights())


OUR_HEADS = [entry.name for entry in registry.entries("heads") if entry.distribution == "keras-ar"]


@pytest.mark.parametrize("name", OUR_HEADS)
def test_an_impossible_value_has_no_probability(name):
    of_levels = {"num_levels": 4}
    options = {
        "categorical": of_levels,
        "discretized_logistic_mixture": of_levels,
        "independent": {"head": "bernoulli", "num_values": 2},
    }
    head = heads.get(name, **options.get(name, {}))
    params = np.zeros((4, head.num_params), "float32")
    values = np.array([0.0, -1.0, 7.0, 0.5] if head.support.is_discrete else [0.0, math.nan, math.inf, -math.inf])
    values = np.broadcast_to(values.reshape(-1, *(1 for _ in head.event_shape)), (4, *head.event_shape))
    found = ops.convert_to_numpy(backend.once(head.log_prob, params, values.astype("float32")))
    assert np.isfinite(found[0])
    assert (found[1:] == -math.inf).all()


def test_in_a_graph_impossible_values_score_minus_infinity(model, of_classes):
    events = EVENTS[:3].copy()
    events[1, 2] = 2
    found = ops.convert_to_numpy(backend.once(model.log_prob, events))
    assert np.isfinite(found).tolist() == [True, False, True]
    assert found[1] == -math.inf
    each = ops.convert_to_numpy(backend.once(model.conditional_log_prob, events))
    assert np.argwhere(~np.isfinite(each)).tolist() == [[1, 2]]
    given_no_class = ops.convert_to_numpy(backend.once(of_classes.log_prob, EVENTS[:3], np.array([0, 3, 2])))
    assert np.isnan(given_no_class).tolist() == [False, True, False]
    each = ops.convert_to_numpy(backend.once(of_classes.conditional_log_prob, EVENTS[:3], np.array([0, 3, 2])))
    assert np.isnan(each).all(axis=1).tolist() == [False, True, False]


def test_training_that_diverges_says_so():
    model = models.FVSBN(2, head="normal")
    model.compile(keras.optimizers.SGD(1e30))
    with pytest.raises(ValueError, match=r"must be finite.*lower learning rate"):
        model.fit(np.random.default_rng(0).normal(size=(64, 2)).astype("float32"), epochs=3, verbose=0)


@pytest.mark.parametrize("fault", [RuntimeError, KeyboardInterrupt])
def test_a_failed_fit_leaves_the_weights(fault, model):
    def failing():
        yield EVENTS[:5]
        raise fault("on purpose")

    with pytest.raises(fault):
        model.fit(failing(), steps_per_epoch=2, verbose=0)
    assert have_survived(model)


def test_data_of_another_shape_leave_the_weights():
    model = models.FVSBN(4)
    model.compile("adam")
    with pytest.raises(ValueError, match="must have shape"):
        model.fit(Batches(EVENTS[:, :3]), verbose=0)
    assert have_survived(model)


@EVERY_KIND_OF_DATASET
@pytest.mark.filterwarnings("ignore:Your input ran out of data")
def test_predict_refuses_impossible_values_in_a_dataset(held, model):
    with pytest.raises(ValueError, match=r"`x` must hold integers from 0 to 1.* event 1, counted from 0"):
        model.predict(held(OFF_SUPPORT), verbose=0)
    assert model.predict(held(EVENTS), verbose=0).shape == (10, 4, 1)
    assert have_survived(model)


def test_predict_refuses_impossible_classes_in_a_dataset(of_classes):
    with pytest.raises(ValueError, match=r"`condition` must hold classes, integers from 0 to 2.* event 7, counted"):
        of_classes.predict(Batches(EVENTS, np.where(np.arange(10) == 7, 3, CLASSES)), verbose=0)


def test_predict_refuses_what_an_embedding_cannot_look_up():
    model = models.MADE(4, hidden_units=4, head=heads.Categorical(3))
    model.compile("adam")
    with pytest.raises(ValueError, match=r"`x` must hold integers from 0 to 2.* event 6, counted from 0"):
        model.predict(Batches(np.where(np.arange(10)[:, None] == 6, 99, EVENTS)), verbose=0)


def test_a_batch_alone_is_predicted_as_it_is_among_others(model):
    np.testing.assert_allclose(model.predict_on_batch(EVENTS), model.predict(EVENTS, verbose=0), rtol=1e-6)
    with pytest.raises(ValueError, match=r"`x` must hold integers from 0 to 1.* x\[\d, \d\] = -1"):
        model.predict_on_batch(OFF_SUPPORT)


@pytest.mark.parametrize("method", ["fit", "evaluate", "predict"])
def test_a_dataset_that_holds_nothing_leaves_the_weights(method):
    model = models.FVSBN(4)
    model.compile("adam")
    with contextlib.suppress(ValueError, UnboundLocalError), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Keras says that the data ran out
        getattr(model, method)(in_data_loader(EVENTS[:0]), verbose=0)
    assert all(np.isfinite(w).all() for w in model.get_weights())


@pytest.fixture
def ctrl_c():
    """Python's own answer to Ctrl-C, which a process in the background may be without."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize("method", ["fit", "evaluate", "predict"])
def test_an_interrupted_step_leaves_the_weights(method, model):
    class Interrupt(keras.callbacks.Callback):
        """Presses Ctrl-C in the middle of a step."""

        def on_train_begin(self, logs=None):
            # On JAX the step of Keras is in one of ours, which holds the interruption back.
            owner, name = model, {"fit": "train", "evaluate": "test"}.get(method, method) + "_function"
            if keras.backend.backend() == "jax":
                owner, name = getattr(model, name), "function"
            step = getattr(owner, name)

            def interrupted(*args):
                setattr(owner, name, step)
                results = step(*args)
                signal.raise_signal(signal.SIGINT)
                return results

            setattr(owner, name, interrupted)

        on_test_begin = on_predict_begin = on_train_begin

    before = model.get_weights()
    with pytest.raises(KeyboardInterrupt):
        getattr(model, method)(EVENTS, callbacks=[Interrupt()], verbose=0)
    assert have_survived(model)
    has_learned = any((a != b).any() for a, b in zip(before, model.get_weights(), strict=True))
    assert has_learned == (method == "fit")


def test_a_score_that_is_no_number_is_an_error():
    model = models.FVSBN(4, head="normal")
    model.set_weights([np.full_like(w, math.nan) for w in model.get_weights()])
    with pytest.raises(ValueError, match=r"Received an event that scores NaN, x\[0\]: a weight of .* is NaN"):
        model.score_samples(np.zeros((2, 4)))


@pytest.mark.parametrize("held", [Batches, as_generator])
def test_a_dataset_of_words_is_refused_and_the_weights_survive(held, model):
    with pytest.raises(ValueError, match=r"`x` must hold numbers|could not convert string|dtype"):
        model.fit(held(np.full(EVENTS.shape, "a")), verbose=0)
    assert have_survived(model)


@pytest.mark.parametrize("value", [math.nan, math.inf])
@EVERY_KIND_OF_DATASET
def test_a_value_that_is_no_number_does_not_reach_the_weights(held, value):
    model = models.FVSBN(4, head="normal")
    model.compile("adam")
    events = EVENTS.astype("float32")
    events[2, 1] = value
    with pytest.raises(ValueError, match=rf"`x` must hold real numbers. Received x\[\d, 1\] = {value} in batch"):
        model.fit(held(events), verbose=0)
    assert all(np.isfinite(w).all() for w in model.get_weights())


@pytest.mark.parametrize("method", ["fit", "evaluate", "predict"])
def test_a_dataset_without_batches_is_refused(method):
    class Empty(keras.utils.PyDataset):
        def __len__(self):
            return 0

    model = models.FVSBN(4)
    model.compile("sgd")
    with pytest.raises(ValueError, match=r"`x` must hold at least one batch. Received: Empty of length 0"):
        getattr(model, method)(Empty())

"""Traced steps of training on torch: the same weights, to the last bit, or the step as it is."""

import logging

import keras
import numpy as np
import pytest

from keras_ar import FlowModel, backend, bijectors, heads, models

pytestmark = pytest.mark.skipif(keras.backend.backend() != "torch", reason="the others compile steps of training")

BITS = np.random.default_rng(0).integers(0, 2, (44, 6))  # the last batch is half of one
REALS = np.random.default_rng(1).normal(size=(44, 6)).astype("float32")
IMAGES = np.random.default_rng(2).integers(0, 2, (44, 4, 4, 1))
CLASSES = np.arange(44) % 3


@pytest.fixture
def traces(monkeypatch):
    """What has traced steps, a list. Steps are traced soon, whether that is faster or not."""
    found, make = [], backend.traced_gradients

    def note(model):
        found.append(make(model))
        return found[-1]

    monkeypatch.setattr(backend, "traced_gradients", note)
    monkeypatch.setattr(backend.training_traced, "FROM_STEPS", 2)
    monkeypatch.setattr(backend.training_traced, "LEAST_GAIN", float("inf"))
    return found


def fitted(make, x, y=None, **options):
    """A model that has trained, and the history."""
    keras.utils.set_random_seed(1)
    model = make()
    model.compile(keras.optimizers.Adam(0.01, clipnorm=1.0, use_ema=True, ema_momentum=0.9))
    return model, model.fit(x, y, batch_size=8, epochs=9, verbose=0, **options).history


def check_the_same(make, traces, monkeypatch, num_graphs, *data, **options):
    """Trains a model with and without traces, and compares all that has come of it; returns the one with traces."""
    model, history = fitted(make, *data, **options)
    assert traces[-1].num_graphs == num_graphs
    with monkeypatch.context() as patch:
        patch.setattr(backend, "traced_gradients", lambda model: None)
        twin, expected = fitted(make, *data, **options)
    assert history["loss"] == expected["loss"]
    np.testing.assert_allclose(history["bits_per_dim"], expected["bits_per_dim"], rtol=1e-6)  # a mean of its own
    for weight, value in zip(model.get_weights(), twin.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, value)
    return model


def flow():
    made = [models.MADE(6, hidden_units=8, head="normal", ordering=order) for order in ("natural", "reversed")]
    return FlowModel(6, bijectors=[bijectors.Autoregressive(each) for each in made])


TRACED = {
    "made": (lambda: models.MADE(6, hidden_units=(8, 8), dropout=0.3), BITS),
    "of_classes": (lambda: models.MADE(6, hidden_units=8, num_classes=3), BITS, CLASSES),
    "nade": (lambda: models.NADE(6, units=5), BITS),
    "mixture": (lambda: models.MADE(6, hidden_units=8, head=heads.NormalMixture(3)), REALS),
    "flow": (flow, REALS),
    "pixel_cnn": (lambda: models.PixelCNN((4, 4, 1), filters=4, num_blocks=1, dropout=0.5), IMAGES),
    "plus_plus": (
        lambda: models.PixelCNNPlusPlus((4, 4, 1), filters=4, num_resnets=1, num_levels=2, head="bernoulli"),
        IMAGES,
    ),
    "transformer": (lambda: models.TransformerDecoder(6, units=8, num_layers=1, num_heads=2, dropout=0.1), BITS),
    "wavenet": (lambda: models.WaveNet(6, filters=4, dilations=(1, 2), head="bernoulli"), BITS),
}


@pytest.mark.parametrize("name", TRACED)
def test_a_model_trains_to_the_same_weights(name, traces, monkeypatch):
    check_the_same(TRACED[name][0], traces, monkeypatch, 2, *TRACED[name][1:])


def test_weights_of_events_and_regularizers_have_a_part_in_it(traces, monkeypatch):
    def made():
        model = models.MADE(6, hidden_units=8)
        model.hidden[0].kernel.regularizer = keras.regularizers.L2(0.1)
        return model

    model = check_the_same(made, traces, monkeypatch, 2, BITS, sample_weight=np.linspace(0.0, 2.0, 44))
    assert not np.allclose(model.get_weights()[0], fitted(made, BITS)[0].get_weights()[0])


def test_what_is_assigned_later_counts(traces):
    model, _ = fitted(lambda: models.FVSBN(6), BITS)
    nats = -model.score_samples(BITS).mean()
    model.set_weights([np.zeros_like(weight) for weight in model.get_weights()])
    first = model.fit(BITS[:8], batch_size=8, verbose=0).history["loss"][0]
    assert nats < first == pytest.approx(6 * np.log(2), rel=1e-5)


def test_what_no_longer_trains_stays(traces):
    model, _ = fitted(lambda: models.MADE(6, hidden_units=(8, 8)), BITS)
    layer = model.hidden[0]
    layer.trainable = False
    before, others = layer.get_weights(), model.hidden[1].get_weights()
    model.compile("adam")
    model.fit(BITS, batch_size=8, epochs=9, verbose=0)
    np.testing.assert_array_equal(layer.get_weights()[0], before[0])
    assert not np.array_equal(model.hidden[1].get_weights()[0], others[0])
    assert traces[-1].num_graphs == 2


def test_an_impossible_value_is_found_as_ever(traces):
    model, _ = fitted(lambda: models.FVSBN(6), BITS)
    wrong = np.where(np.arange(44)[:, None] == 20, 7, BITS)
    before = model.get_weights()
    with pytest.raises(ValueError, match=r"integers from 0 to 1"):
        model.fit(wrong, batch_size=8, verbose=0)
    np.testing.assert_array_equal(model.get_weights()[0], before[0])


@pytest.mark.parametrize("option", ["run_eagerly", "jit_compile"])
def test_who_asks_for_something_else_gets_it(option, traces):
    model = models.FVSBN(6)
    model.compile("adam", **{option: True})
    assert backend.traced_gradients(model) is None


def test_steps_that_draw_stay_as_they_are(traces, monkeypatch, caplog):
    check_the_same(lambda: models.DeepNADE(6, hidden_units=8), traces, monkeypatch, 0, BITS)
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


class Counts(models.FVSBN):
    """A model whose outputs depend on how often it was called."""

    num_calls = 0

    def call(self, x, training=None):
        self.num_calls += 1
        return super().call(x) * (1.0 + self.num_calls / 100)


class Looks(models.FVSBN):
    """A model that looks at its outputs."""

    def call(self, x, training=None):
        outputs = super().call(x)
        return outputs if float(outputs[0, 0, 0]) > 1e6 else 0.5 * outputs


@pytest.mark.parametrize(("kind", "cause"), [(Counts, "gives other values"), (Looks, "RuntimeError")])
def test_what_cannot_be_traced_is_told_and_trains(kind, cause, traces, caplog):
    model, history = fitted(lambda: kind(6), BITS)
    assert history["loss"][-1] < history["loss"][0]
    assert traces[-1].num_graphs == 0
    assert cause in caplog.text
    assert f"Steps of training of {model.name} are not traced." in caplog.text


def test_what_is_slower_traced_is_left(traces, monkeypatch):
    monkeypatch.setattr(backend.training_traced, "LEAST_GAIN", 0.0)
    fitted(lambda: models.FVSBN(6), BITS)
    assert traces[-1].num_graphs == 0

"""Callbacks sample from the weights of their epoch, write what they sample, and leave training as it is."""

import runpy
import sys

import keras
import numpy as np
import pytest
from gaussian_mixture import GaussianMixture
from variants import on_one_backend

from keras_ar import callbacks, heads, models, plots, sound

IMAGES = np.random.default_rng(0).integers(0, 2, (32, 4, 4, 1))
SEQUENCES = np.random.default_rng(0).integers(0, 8, (32, 12))
CONDITIONAL = {"num_classes": 3}


def trained(model, x, *callbacks, epochs=2):
    """The model after some epochs, from one seed."""
    model.compile(keras.optimizers.SGD(0.5))
    keras.utils.set_random_seed(0)
    model.fit(x, epochs=epochs, batch_size=8, verbose=0, callbacks=list(callbacks))
    return model


def made(**kwargs):
    keras.utils.set_random_seed(1)
    return models.MADE((4, 4, 1), hidden_units=8, dropout=0.5, **kwargs)


def wavenet(**kwargs):
    keras.utils.set_random_seed(1)
    return models.WaveNet(12, filters=2, dilations=(1, 2), **{"head": heads.Categorical(8), **kwargs})


def char_rnn():
    keras.utils.set_random_seed(1)
    return models.CharRNN(12, vocabulary="abcdefgh", embedding_dim=2, units=4, num_layers=1)


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


# What is written, and when.


@pytest.mark.one_backend
def test_a_grid_of_images_is_written_every_few_epochs(tmp_path):
    pytest.importorskip("matplotlib")
    trained(made(), IMAGES, callbacks.SampleImages(tmp_path / "new" / "draws", every=2), epochs=5)
    assert names_in(tmp_path / "new" / "draws") == ["epoch_002.png", "epoch_004.png"]


@pytest.mark.one_backend
def test_a_picture_is_of_the_weights_of_its_epoch(tmp_path, monkeypatch):
    matplotlib = pytest.importorskip("matplotlib")
    drawn = []
    monkeypatch.setattr(
        plots, "images", lambda samples, **_: drawn.append(samples) or matplotlib.figure.Figure().subplots()
    )
    condition = np.arange(16) % 3
    callback = callbacks.SampleImages(tmp_path, condition=condition, seed=3, temperature=0.9)
    data = (IMAGES, np.arange(32) % 3)
    trained(made(**CONDITIONAL), data, callback, epochs=2)
    for epoch in (1, 2):
        model = trained(made(**CONDITIONAL), data, epochs=epoch)
        expected = model.sample(16, condition, seed=3, temperature=0.9)
        assert np.array_equal(drawn[epoch - 1], expected)
    assert not np.array_equal(*drawn)


@pytest.mark.parametrize("kind", ["image", *on_one_backend(["sound", "text"])])
def test_training_goes_on_as_if_nothing_were_sampled(kind, tmp_path):
    make, x, callback = {
        "image": (made, IMAGES, callbacks.SampleImages(tmp_path, num_samples=2)),
        "sound": (wavenet, SEQUENCES, callbacks.SampleAudio(tmp_path, rate=100)),
        "text": (char_rnn, SEQUENCES, callbacks.SampleText(tmp_path, length=20)),
    }[kind]
    if kind == "image":
        pytest.importorskip("matplotlib")
    alone, watched = trained(make(), x), trained(make(), x, callback)
    assert len(names_in(tmp_path)) == 2
    for expected, found in zip(alone.get_weights(), watched.get_weights(), strict=True):
        assert np.array_equal(found, expected)


@pytest.mark.one_backend
def test_sound_is_what_the_model_samples(tmp_path):
    pytest.importorskip("soundfile")
    callback = callbacks.SampleAudio(tmp_path, rate=100, length=50, num_samples=2, seed=4)
    model = trained(wavenet(), SEQUENCES, callback, epochs=1)
    assert names_in(tmp_path) == ["epoch_001_0.wav", "epoch_001_1.wav"]
    expected = sound.inverse_mu_law(model.sample(2, length=50, seed=4), 8)
    for i in range(2):
        samples, rate = sound.read_wav(tmp_path / f"epoch_001_{i}.wav")
        assert rate == 100
        np.testing.assert_allclose(samples, expected[i], atol=2**-15)


@pytest.mark.one_backend
@pytest.mark.parametrize("decode", [None, np.tanh])
def test_real_values_are_samples_unless_one_says_how_to_decode_them(decode, tmp_path):
    pytest.importorskip("soundfile")
    callback = callbacks.SampleAudio(tmp_path, rate=100, decode=decode)
    model = trained(wavenet(head="normal"), SEQUENCES, callback, epochs=1)
    samples, _ = sound.read_wav(tmp_path / "epoch_001.wav")
    draws = model.sample(1, seed=0)[0]
    np.testing.assert_allclose(samples, np.clip(draws, -1, 1) if decode is None else np.tanh(draws), atol=2**-15)


@pytest.mark.one_backend
def test_text_is_what_the_model_writes(tmp_path):
    callback = callbacks.SampleText(tmp_path, length=30, prompt="abba", num_samples=2, temperature=0.7)
    model = trained(char_rnn(), SEQUENCES, callback, epochs=1)
    first, second = model.write(30, prompt="abba", num_samples=2, temperature=0.7, seed=0)
    text = (tmp_path / "epoch_001.txt").read_text()
    assert text == f"{first}\n{'-' * 40}\n{second}"
    assert first.startswith("abba")


# TensorBoard.


def read_log(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    return EventAccumulator(str(folder), {"images": 0, "audio": 0, "tensors": 0}).Reload()


@pytest.mark.one_backend
def test_tensorboard_reads_images(tmp_path):
    pytest.importorskip("matplotlib")
    pytest.importorskip("tensorboard")
    callback = callbacks.SampleImages(tmp_path / "draws", num_samples=4, tensorboard=tmp_path / "logs")
    trained(made(), IMAGES, callback)
    events = read_log(tmp_path / "logs").Images("draws")
    assert [event.step for event in events] == [1, 2]
    for event in events:
        png = (tmp_path / "draws" / f"epoch_{event.step:03d}.png").read_bytes()
        assert event.encoded_image_string == png
        assert (event.width, event.height) == tuple(int.from_bytes(png[i : i + 4], "big") for i in (16, 20))


@pytest.mark.one_backend
def test_tensorboard_reads_sound(tmp_path):
    pytest.importorskip("tensorboard")
    callback = callbacks.SampleAudio(tmp_path / "draws", rate=100, length=50, tensorboard=tmp_path / "logs")
    trained(wavenet(), SEQUENCES, callback)
    events = read_log(tmp_path / "logs").Audio("draws")
    assert [event.step for event in events] == [1, 2]
    for event in events:
        assert event.encoded_audio_string == (tmp_path / "draws" / f"epoch_{event.step:03d}.wav").read_bytes()
        assert (event.sample_rate, event.length_frames, event.content_type) == (100, 50, "audio/wav")


@pytest.mark.one_backend
def test_tensorboard_reads_text(tmp_path):
    pytest.importorskip("tensorboard")
    callback = callbacks.SampleText(tmp_path / "draws", num_samples=2, length=10, tensorboard=tmp_path / "logs")
    trained(char_rnn(), SEQUENCES, callback)
    log = read_log(tmp_path / "logs")
    assert log.SummaryMetadata("draws").plugin_data.plugin_name == "text"
    for event in log.Tensors("draws"):
        lines = event.tensor_proto.string_val[0].decode().split("\n")
        assert all(line.startswith("    ") for line in lines), "Markdown would run the lines together"
        expected = (tmp_path / "draws" / f"epoch_{event.step:03d}.txt").read_text()
        assert "\n".join(line[4:] for line in lines) == expected


def test_images_are_those_of_any_density_model_by_their_shape(tmp_path):
    pytest.importorskip("matplotlib")
    model = GaussianMixture((4, 4, 1))
    trained(model, IMAGES.astype("float32"), callbacks.SampleImages(tmp_path / "samples", num_samples=4), epochs=1)
    assert names_in(tmp_path / "samples") == ["epoch_001.png"]


# What cannot be sampled.


@pytest.mark.parametrize(
    ("make", "x", "callback", "message"),
    [
        (wavenet, SEQUENCES, callbacks.SampleImages, r"`SampleImages` is for models of images.* event_shape=\(12,\)"),
        (
            made,
            IMAGES,
            lambda folder: callbacks.SampleAudio(folder, rate=9),
            "`SampleAudio` is for models of sound.* MADE",
        ),
        (char_rnn, SEQUENCES, lambda folder: callbacks.SampleAudio(folder, rate=9), "`SampleAudio` is for .*a CharRNN"),
        (wavenet, SEQUENCES, callbacks.SampleText, "`SampleText` is for models of text, which have a vocabulary"),
        (char_rnn, SEQUENCES, lambda folder: callbacks.SampleText(folder, prompt="xyz"), "`text` must be written in"),
        (
            char_rnn,
            SEQUENCES,
            lambda folder: callbacks.SampleText(folder, prompt="abc", length=2),
            "`prompt` must have",
        ),
        (made, IMAGES, lambda folder: callbacks.SampleImages(folder, condition=1), "`condition` must be given if and"),
        (
            lambda: GaussianMixture((4, 4, 1)),
            IMAGES,
            lambda folder: callbacks.SampleImages(folder, temperature=0.5),
            "`temperature` must be 1: a GaussianMixture samples at no other",
        ),
    ],
)
def test_a_callback_refuses_what_it_cannot_sample_before_training(make, x, callback, message, tmp_path):
    model = make()
    before = model.get_weights()
    with pytest.raises(ValueError, match=message):
        trained(model, x, callback(tmp_path / "draws"))
    assert all(map(np.array_equal, before, model.get_weights()))


def test_a_model_of_anything_else_is_refused(tmp_path):
    model = keras.Sequential([keras.layers.Dense(1)], name="other")
    model.compile("sgd", "mse")
    for callback in (callbacks.SampleImages(tmp_path), callbacks.SampleText(tmp_path)):
        with pytest.raises(ValueError, match=r"Received: other, a Sequential\.$"):
            model.fit(np.ones((4, 2)), np.ones((4, 1)), verbose=0, callbacks=[callback])


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"every": 0}, "every"),
        ({"num_samples": 0}, "num_samples"),
        ({"seed": -1}, "seed"),
        ({"temperature": 0}, "temp"),
    ],
)
def test_options_are_checked(options, name, tmp_path):
    with pytest.raises(ValueError, match=f"`{name}"):
        callbacks.SampleImages(tmp_path, **options)


@pytest.mark.parametrize(
    ("missing", "options", "message"),
    [
        ("matplotlib", {}, r"`pip install keras-ar\[plots\]`"),
        ("tensorboard", {"tensorboard": "logs"}, r"""pip install "keras-ar\[tensorboard\]\""""),
    ],
)
def test_what_is_not_installed_is_missed_before_training(missing, options, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in [name for name in sys.modules if name.split(".")[0] == missing]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ImportError, match=message):
        trained(made(), IMAGES, callbacks.SampleImages(tmp_path, **options))


def test_the_module_itself_does_without_matplotlib_and_tensorboard(monkeypatch):
    for name in ("matplotlib", "tensorboard"):
        monkeypatch.setitem(sys.modules, name, None)
    assert runpy.run_path(callbacks.__file__)["__all__"] == callbacks.__all__


def test_exact_validation_scores_ahead_of_what_watches_it():
    x = np.random.default_rng(0).integers(0, 2, (32, 5))
    model = models.DeepNADE(5, hidden_units=4)
    model.compile(keras.optimizers.SGD(0.1))
    watch = callbacks.ExactValidation(x[:8], every=2, ordering="reversed")
    stop = keras.callbacks.EarlyStopping(monitor="val_nats", mode="min", patience=10)
    found = model.fit(x, epochs=4, verbose=0, callbacks=[watch, stop]).history["val_nats"]
    assert found[2] == found[1] != found[3]
    assert found[3] == pytest.approx(-model.score_samples(x[:8], ordering="reversed").mean(), abs=1e-6)
    with pytest.raises(ValueError, match="`every` must be an integer of at least 1"):
        callbacks.ExactValidation(x, every=0)

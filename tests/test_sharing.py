"""What is shared: models in folders and on the Hub, with their cards, and exported log-likelihoods."""

import importlib.util
import json
import re
import shutil
import sys
import types

import h5py
import keras
import numpy as np
import pytest

import keras_ar
from keras_ar import models, noise, registry

BACKEND = keras.backend.backend()
FIGURES = {"data set": "coins | dice", "test nats": "2.70 ± 0.01", "seconds": 12}


@keras.saving.register_keras_serializable(package="acme_shared")
class Gone(keras_ar.heads.Bernoulli):
    """A head that can be made to look as if its package were not installed."""


@pytest.fixture
def model():
    """A small model with weights that are not those of another."""
    model = models.FVSBN(4, name="coins")
    noise.randomize(model)
    return model


@pytest.fixture
def folder(model, tmp_path):
    """A folder with the model and its card."""
    keras_ar.save_model(model, tmp_path / "coins", FIGURES)
    return tmp_path / "coins"


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """In place of the package `huggingface_hub`: a hub in a folder, whose snapshots have no empty folders."""

    class Api:
        def __init__(self, library_name):
            assert library_name == "keras_ar"

        def create_repo(self, repository, exist_ok):
            assert exist_ok
            (tmp_path / repository).mkdir(parents=True, exist_ok=True)
            return types.SimpleNamespace(repo_id=repository)

        def upload_folder(self, repo_id, folder_path, commit_message):
            shutil.copytree(folder_path, tmp_path / repo_id, dirs_exist_ok=True)
            (tmp_path / repo_id / "assets").rmdir()

    def snapshot_download(repository, allow_patterns):
        assert "README.md" not in allow_patterns
        return str(tmp_path / repository)

    package = types.ModuleType("huggingface_hub")
    package.HfApi, package.snapshot_download = Api, snapshot_download
    package.__spec__ = importlib.util.spec_from_loader("huggingface_hub", None)
    monkeypatch.setitem(sys.modules, "huggingface_hub", package)
    return tmp_path


def without(monkeypatch, *packages):
    """Makes packages look as if they were not installed."""
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in packages else find_spec(name))


# Folders and the Hub.


def test_a_folder_opens_as_the_model_that_it_holds(folder, model):
    x = model.random_batch(5)[0]
    np.testing.assert_array_equal(keras_ar.load_model(folder).score_samples(x), model.score_samples(x))
    assert "coins \\| dice" in (folder / "README.md").read_text(encoding="utf-8")


def test_a_model_goes_to_the_hub_and_comes_back(hub, model):
    keras_ar.save_model(model, "hf://me/coins", FIGURES)
    assert {path.name for path in (hub / "me/coins").iterdir()} == {
        *("README.md", "config.json", "metadata.json", "model.weights.h5")
    }
    x = model.random_batch(5)[0]
    np.testing.assert_array_equal(keras_ar.load_model("hf://me/coins").score_samples(x), model.score_samples(x))


@pytest.mark.one_backend
@pytest.mark.parametrize("path", ["hf://coins", "hf://me/coins/of/mine", "hf://", "hf://me/../coins"])
def test_a_model_on_the_hub_has_a_user_and_a_name(path, hub, model):
    for call in (lambda: keras_ar.load_model(path), lambda: keras_ar.save_model(model, path)):
        with pytest.raises(ValueError, match=f"must be 'hf://user/name' .* Received: filepath='{path}'"):
            call()


@pytest.mark.one_backend
def test_without_the_package_of_the_hub_its_extra_is_named(model, monkeypatch):
    without(monkeypatch, "huggingface_hub")
    for call in (keras_ar.load_model, lambda path: keras_ar.save_model(model, path)):
        with pytest.raises(ImportError, match=r"'hf://me/coins' needs huggingface_hub.*pip install 'keras-ar\[hub\]'"):
            call("hf://me/coins")


def empty(folder):
    (folder / "config.json").unlink()


def of_no_json(folder):
    (folder / "config.json").write_text("{")


def without_weights(folder):
    (folder / "model.weights.h5").unlink()


def truncated(folder):
    path = folder / "model.weights.h5"
    path.write_bytes(path.read_bytes()[:-100])


def with_weights_elsewhere(folder):
    with h5py.File(folder / "model.weights.h5", "a") as weights:
        weights["elsewhere"] = h5py.ExternalLink("/etc/passwd", "/")


def growing(folder):
    with h5py.File(folder / "model.weights.h5", "a") as weights:
        weights.create_dataset("large", (2**20, 2**20), "float32", chunks=True, compression="gzip")


def with_a_large_config(folder):
    (folder / "config.json").write_bytes(bytes(65 * 2**20))


def unreleased(folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "build_config": None}))


@pytest.mark.one_backend
@pytest.mark.parametrize("as_path", [lambda folder: str(folder), lambda _: "hf://me/coins"], ids=["folder", "hub"])
@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (empty, "holds no saved model: it has no 'config.json'"),
        (without_weights, "holds no saved model: it has no 'model.weights.h5'"),
        (of_no_json, "its 'config.json' is not JSON"),
        (truncated, "its member 'model.weights.h5' is no HDF5 file"),
        (with_weights_elsewhere, "must hold all of its weights. It has 'elsewhere' in another place"),
        (growing, "bytes large when it is read"),
        (with_a_large_config, "must have a 'config.json' of at most"),
        (unreleased, "was saved by an unreleased version"),
    ],
)
def test_a_folder_is_checked_as_a_file_is(damage, words, as_path, folder, hub, tmp_path):
    damage(folder)
    shutil.copytree(folder, tmp_path / "me/coins")
    path = as_path(folder)
    with pytest.raises(ValueError, match=f"^{re.escape(repr(path))}.*{re.escape(words)}"):
        keras_ar.load_model(path)


@pytest.mark.one_backend
def test_a_folder_of_something_else_holds_no_model(tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(ValueError, match=r"holds no saved model: it has no 'config.json'"):
        keras_ar.load_model(tmp_path)


@pytest.mark.one_backend
def test_a_plugin_that_is_missing_is_named(hub, monkeypatch):
    keras_ar.save_model(models.FVSBN(3, head=Gone()), "hf://me/coins")
    card = (hub / "me/coins/README.md").read_text(encoding="utf-8")
    assert "- what registers the class acme_shared>Gone, imported first" in card
    monkeypatch.delitem(keras.saving.get_custom_objects(), "acme_shared>Gone")
    with pytest.raises(registry.UnknownNameError, match=r"install the distribution that provides .* 'acme_shared'"):
        keras_ar.load_model("hf://me/coins")


@pytest.mark.one_backend
@pytest.mark.parametrize(
    ("path", "figures", "words"),
    [
        ("model.h5", None, r"`filepath` must be a \.keras file, a folder, or 'hf://user/name'. .*'model\.h5'"),
        ("s3://bucket/model", None, "`filepath` must be .*'s3://bucket/model'"),
        ("model", 80.01, "`figures` must be a dictionary .* Received: figures=80.01"),
        ("model.keras", FIGURES, "`figures` must be None for a file"),
    ],
)
def test_what_cannot_be_saved_so_is_refused(path, figures, words, model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=words):
        keras_ar.save_model(model, path, figures)
    assert not list(tmp_path.iterdir())


@pytest.mark.one_backend
def test_a_model_of_keras_has_no_card(tmp_path):
    with pytest.raises(
        ValueError, match=r"`model` must be a density model of keras_ar. Received: model of type Sequen"
    ):
        keras_ar.save_model(keras.Sequential(), tmp_path / "model")


def test_a_file_is_saved_as_keras_does(model, tmp_path):
    keras_ar.save_model(model, tmp_path / "coins.keras")
    assert keras.saving.load_model(tmp_path / "coins.keras").name == "coins"


# Cards.


@pytest.mark.one_backend
@pytest.mark.parametrize("num_classes", [None, 3])
def test_the_code_of_a_card_runs(num_classes, tmp_path):
    model = models.MADE((2, 3), hidden_units=4, num_classes=num_classes)
    folder = str(tmp_path / "made")
    keras_ar.save_model(model, folder)
    card = (tmp_path / "made/README.md").read_text(encoding="utf-8")
    code = re.search(r"## Use\n\n```python\n(.*?)```", card, flags=re.DOTALL)[1]
    names = {"x": np.zeros((16, 2, 3)), "condition": np.zeros(16, "int32")}
    exec(code, names)
    assert names["model"].count_params() == model.count_params()


@pytest.mark.one_backend
def test_a_card_says_what_is_known_and_no_more(model):
    card = keras_ar.cards.write(model, "coins.keras", {"test nats": 2.7})
    assert card.startswith("---\nlibrary_name: keras\ntags:\n- keras_ar\n")
    assert "| event shape | (4,) |\n| support | integers from 0 to 1 |\n| parameters | 10 |" in card
    assert "    head=Bernoulli(),\n" in card
    assert f"- keras {keras.__version__}\n- keras-ar {keras_ar.__version__}\n" in card
    assert "## Figures\n\n| figure | |\n|---|---|\n| test nats | 2.7 |" in card
    assert "Figures" not in keras_ar.cards.write(model, "coins.keras")
    assert "| condition" not in card


@pytest.mark.one_backend
def test_a_long_setting_is_left_to_the_config():
    card = keras_ar.cards.write(models.FVSBN(100, ordering=np.arange(100)[::-1]), "model.keras")
    assert re.search(r"\n    ordering=\.\.\.,  # \d+ characters, in the saved config", card)


@pytest.mark.one_backend
def test_a_card_names_the_plugins_to_install():
    model = registry.get("models", "nice", event_shape=4)
    assert re.search(r"\n- keras-ar-flows \d", keras_ar.cards.write(model, "model.keras"))


# Export.


def run_exported(path, x):
    """Log-likelihoods by what was exported, without Keras."""
    if BACKEND == "torch":
        session = pytest.importorskip("onnxruntime").InferenceSession(path)
        return session.run(["log_prob"], dict(zip(("x", "condition"), x, strict=False)))[0]
    import tensorflow as tf

    exported = tf.saved_model.load(str(path))
    return exported.serve(*x).numpy()


FORMAT = "onnx" if BACKEND == "torch" else "tf_saved_model"
FEED_FORWARD = {
    "made": lambda: models.MADE(6, hidden_units=4, head="normal", num_classes=3),
    "pixel-cnn": lambda: models.PixelCNN((4, 4, 1), filters=4, num_blocks=1, condition_shape=2),
    "wavenet": lambda: models.WaveNet((8, 1), filters=4, dilations=(1, 2), head=keras_ar.heads.Categorical(8)),
}


@pytest.mark.filterwarnings("ignore:The `native_serialization`:DeprecationWarning")  # of others
@pytest.mark.parametrize("name", FEED_FORWARD)
def test_exported_scores_are_those_of_the_model(name, tmp_path):
    model = FEED_FORWARD[name]()
    noise.randomize(model)
    if FORMAT == "onnx":
        pytest.importorskip("onnxscript")
    model.sample(1, *(condition[0] for condition in model.random_batch(1)[1:]), seed=0)  # which a model may have done
    model.export(tmp_path / "exported", format=FORMAT)
    for num_events in (1, 5):
        batch = model.random_batch(num_events, seed=1)
        expected = model.score_samples(*batch)
        if num_events == 5:
            batch[0][0, 0] = 99 if model.support.is_discrete else np.nan
            expected[0] = -np.inf
        found = run_exported(tmp_path / "exported", batch)
        assert found.dtype == "float32"
        np.testing.assert_allclose(found, expected, atol=1e-4)


LOOPS = {
    "char-rnn": lambda: models.CharRNN(8, vocabulary=keras_ar.text.Vocabulary.of("abc"), units=4),
    "pixel-rnn": lambda: models.PixelRNN((3, 3, 1), units=4),
    "nade": lambda: models.NADE(4, units=4),
    "deep-nade": lambda: models.DeepNADE(4, hidden_units=4),
}


@pytest.mark.parametrize("name", LOOPS)
def test_a_model_that_runs_a_loop_is_not_exported(name, tmp_path):
    model = LOOPS[name]()
    with pytest.raises(ValueError, match=rf"no loop over steps\. That of {model.name} \({type(model).__name__}\) does"):
        model.export(tmp_path / "exported", format=FORMAT)
    assert not list(tmp_path.iterdir())


@pytest.fixture
def nothing_is_computed(monkeypatch):
    monkeypatch.setattr(models.FVSBN, "call", lambda *args, **kwargs: pytest.fail("The model was called."))


@pytest.mark.parametrize("format", ["tflite", None])
def test_an_unknown_format_is_refused(format, model, nothing_is_computed):
    with pytest.raises(ValueError, match=f"`format` must be 'tf_saved_model' or 'onnx'. Received: format={format!r}"):
        model.export("exported", format=format)


def test_a_format_of_other_backends_says_which(model, nothing_is_computed):
    other = "tf_saved_model" if FORMAT == "onnx" else "onnx"
    with pytest.raises(ValueError, match=rf"'{other}'` is written on .* KERAS_BACKEND=.* Received: .* on {BACKEND}"):
        model.export("exported", format=other)


def test_a_package_that_is_missing_for_export_is_named(model, nothing_is_computed, monkeypatch):
    package = "onnxscript" if FORMAT == "onnx" else "tensorflow"
    without(monkeypatch, package)
    with pytest.raises(
        ImportError, match=rf"`format='{FORMAT}'` needs {package}, which cannot be imported: pip install"
    ):
        model.export("exported", format=FORMAT)


@pytest.mark.one_backend
def test_a_model_of_half_floats_is_no_onnx(nothing_is_computed):
    with pytest.raises(ValueError, match=r"is for models that compute in float32\. half computes in bfloat16"):
        models.MADE(3, hidden_units=3, dtype="mixed_bfloat16", name="half").export("exported", format="onnx")


@pytest.mark.one_backend
def test_what_torch_cannot_turn_into_a_graph_is_refused(tmp_path, monkeypatch):
    def looks_at_values(self, x, **kwargs):
        return models.MADE.call(self, x) if float(keras.ops.sum(x)) > -1.0 else x

    model = type("Looking", (models.MADE,), {"call": looks_at_values})(4, hidden_units=3)
    with pytest.raises(ValueError, match=r"looking cannot be exported to ONNX: torch cannot turn its `log_prob` into"):
        model.export(tmp_path / "exported", format="onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.one_backend
@pytest.mark.parametrize(("method", "argument"), [("quantize", "int8"), ("enable_lora", 4)])
def test_what_keras_does_to_layers_of_its_own_is_refused(method, argument, model):
    with pytest.raises(
        ValueError, match=f"`{method}` is not for density models: most of their layers .*coins.{method}"
    ):
        getattr(model, method)(argument)

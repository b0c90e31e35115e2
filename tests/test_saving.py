"""What `keras_ar.saving.load_model` says about a file before Keras opens it."""

import json
import warnings
import zipfile

import h5py
import keras
import numpy as np
import pytest

import keras_ar
from keras_ar import registry, saving


@keras.saving.register_keras_serializable(package="acme_gone")
class Gone(keras.layers.Layer):
    """A layer that can be made to look as if its package were not installed."""

    def call(self, x):
        return x


@keras.saving.register_keras_serializable(package="acme_gone")
class GoneOptimizer(keras.optimizers.SGD):
    """An optimizer, which only a compiled model needs."""


@pytest.fixture
def file(tmp_path):
    """A file with one Keras layer."""
    path = tmp_path / "model.keras"
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(64)]).save(path)
    return path


def forget(monkeypatch, *names):
    for name in names:
        monkeypatch.delitem(keras.saving.get_custom_objects(), f"acme_gone>{name}")


def write_config(path, text):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", text)


def replace_members(path, **changed):
    """Writes other members into a file, deflated, and keeps the rest."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in {**members, **changed}.items():
            archive.writestr(name, content)


def edit_weights(path, folder, change):
    """Changes the weights inside a file."""
    weights = folder / "weights.h5"
    with zipfile.ZipFile(path) as archive:
        weights.write_bytes(archive.read("model.weights.h5"))
    with h5py.File(weights, "a") as opened:
        change(opened)
    replace_members(path, **{"model.weights.h5": weights.read_bytes()})


@pytest.mark.parametrize("as_path", [str, lambda path: path])
def test_a_good_file_opens(as_path, file):
    x = np.ones((3, 2), "float32")
    model = saving.load_model(as_path(file))
    expected = keras.saving.load_model(file)(x)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(model(x)), keras.ops.convert_to_numpy(expected))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"There is no file '.*none\.keras'"):
        saving.load_model(tmp_path / "none.keras")


@pytest.mark.parametrize("fraction", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_named_with_its_size(fraction, file):
    size = int(file.stat().st_size * fraction)
    file.write_bytes(file.read_bytes()[:size])
    with pytest.raises(ValueError, match=rf"model\.keras' \({size} bytes\) is truncated or not a \.keras file"):
        saving.load_model(file)


def test_a_file_of_another_format_is_named(file):
    file.write_text("not a zip archive")
    with pytest.raises(ValueError, match=r"is truncated or not a .keras file"):
        saving.load_model(file)


def test_damaged_weights_are_found_before_they_are_used(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 0xFF
    file.write_bytes(content)
    with pytest.raises(ValueError, match=r"is damaged: its member 'model\.weights\.h5' cannot be read"):
        saving.load_model(file)


def test_an_archive_without_config_is_not_ours(file):
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(ValueError, match=r"a zip archive without 'config\.json'"):
        saving.load_model(file)


def test_a_config_that_is_not_json_is_named(file):
    write_config(file, "{")
    with pytest.raises(ValueError, match=r"its 'config\.json' is not JSON"):
        saving.load_model(file)


@pytest.mark.one_backend
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[" * 100_000 + "]" * 100_000, "its 'config.json' is not JSON"),
        ("[1, 2]", "its 'config.json' must hold an object. It holds a list"),
        ("null", "must hold an object. It holds a NoneType"),
        ("{}", r"model\.keras' holds no model that can be opened"),
        ('{"class_name": 3, "config": [], "module": "keras"}', r"model\.keras' holds no model that can be opened"),
        ('{"a":' * 400 + "1" + "}" * 400, r"model\.keras'"),
    ],
    ids=["deep", "list", "null", "empty", "junk", "nested"],
)
def test_a_config_of_something_else_is_named(text, words, file):
    write_config(file, text)
    with pytest.raises(ValueError, match=words):
        saving.load_model(file)


@pytest.mark.one_backend
@pytest.mark.parametrize("member", ["config.json", "model.weights.h5", "assets/more"])
def test_a_file_that_would_fill_the_memory_is_not_read(member, file):
    replace_members(file, **{member: bytes(150 * 2**20)})
    size = file.stat().st_size
    assert size < 2**19
    with pytest.raises(ValueError, match=r"model\.keras' must (have a 'config\.json' of|be) at most [\d,]+ bytes"):
        saving.load_model(file)


@pytest.mark.one_backend
def test_weights_that_grow_without_end_are_not_read(file, tmp_path):
    def fill(weights):
        weights.create_dataset("large", (2**20, 2**20), "float32", chunks=True, compression="gzip")

    edit_weights(file, tmp_path, fill)
    with pytest.raises(ValueError, match=r"It is 4,398,\d+,\d+,\d+ bytes large"):
        saving.load_model(file)


@pytest.mark.one_backend
@pytest.mark.parametrize("kind", ["external link", "soft link", "external data", "virtual"])
def test_weights_in_other_files_are_not_read(kind, file, tmp_path):
    def move(weights):
        if kind == "external link":
            weights["layers/elsewhere"] = h5py.ExternalLink("/etc/passwd", "/")
        elif kind == "soft link":
            weights["elsewhere"] = h5py.SoftLink("/layers")
        elif kind == "external data":
            weights.create_dataset("elsewhere", (8,), "uint8", external=[(tmp_path / "secret", 0, 8)])
        else:
            layout = h5py.VirtualLayout((8,), "uint8")
            layout[:] = h5py.VirtualSource(tmp_path / "secret.h5", "x", (8,))
            weights.create_virtual_dataset("elsewhere", layout)

    edit_weights(file, tmp_path, move)
    with pytest.raises(ValueError, match=r"must hold all of its weights\. It has '/?elsewhere' in another place"):
        saving.load_model(file)


@pytest.mark.one_backend
def test_damaged_hdf5_in_a_whole_archive_is_named(file):
    replace_members(file, **{"model.weights.h5": b"no HDF5"})
    with pytest.raises(ValueError, match=r"model\.keras' is damaged: its member 'model\.weights\.h5' is no HDF5 file"):
        saving.load_model(file)


def test_a_missing_plugin_says_what_to_install(tmp_path, monkeypatch):
    path = tmp_path / "model.keras"
    keras.Sequential([keras.Input((2,)), Gone()]).save(path)
    forget(monkeypatch, "Gone")
    with pytest.raises(
        registry.UnknownNameError,
        match=r"'Gone' of the package 'acme_gone': install the distribution that provides the module 'acme_gone'",
    ):
        saving.load_model(path)


def test_all_missing_plugins_are_named_at_once(file):
    layers = [{"registered_name": "acme_a>A"}, {"config": {"head": {"registered_name": "acme_b>B"}}}]
    write_config(file, json.dumps({"config": {"layers": layers}}))
    with pytest.raises(
        registry.UnknownNameError, match=r"(?s)provides the module 'acme_a'.*provides the module 'acme_b'"
    ):
        saving.load_model(file)


def test_custom_objects_count_as_known(tmp_path, monkeypatch):
    path = tmp_path / "model.keras"
    keras.Sequential([keras.Input((2,)), Gone()]).save(path)
    forget(monkeypatch, "Gone")
    model = saving.load_model(path, custom_objects={"acme_gone>Gone": Gone})
    assert isinstance(model.layers[0], Gone)


def test_without_compiling_the_optimizer_need_not_be_known(tmp_path, monkeypatch):
    path = tmp_path / "model.keras"
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(optimizer=GoneOptimizer(), loss="mse")
    model.save(path)
    forget(monkeypatch, "GoneOptimizer")
    with pytest.raises(registry.UnknownNameError, match="GoneOptimizer"):
        saving.load_model(path)
    assert not saving.load_model(path, compile=False).compiled


def test_what_is_not_a_keras_file_is_left_to_keras(tmp_path):
    with pytest.raises(ValueError, match="File format not supported"):
        saving.load_model(tmp_path / "model.txt")


# Models of ours.


@pytest.fixture
def model():
    """A small model, trained for a step."""
    model = keras_ar.models.FVSBN(4)
    model.compile(keras.optimizers.Adam(0.01), run_eagerly=False, steps_per_execution=1)
    model.fit(np.ones((8, 4)), verbose=0)
    return model


def edit_config(path, change):
    """Changes the config inside a file, and keeps the rest."""
    with zipfile.ZipFile(path) as archive:
        config = json.loads(archive.read("config.json"))
    change(config)
    replace_members(path, **{"config.json": json.dumps(config)})


@pytest.mark.parametrize("build_config", [{"input_shape": [None, 4]}, None])
def test_a_file_from_before_the_first_release_is_refused(build_config, model, tmp_path):
    path = tmp_path / "model.keras"
    model.save(path)
    edit_config(path, lambda config: config.update(build_config=build_config))
    with pytest.raises(ValueError, match=r"model\.keras' holds a FVSBN .* unreleased version of keras_ar\..* train"):
        saving.load_model(path)


@pytest.mark.parametrize("load", [saving.load_model, keras.saving.load_model])
def test_a_model_opens_compiled_with_its_optimizer_and_no_warning(load, model, tmp_path):
    path = tmp_path / "model.keras"
    model.save(path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        twin = load(path)
    assert twin.compiled
    assert int(twin.optimizer.iterations) == 1
    for ours, theirs in zip(model.optimizer.variables, twin.optimizer.variables, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(ours), keras.ops.convert_to_numpy(theirs))
    twin.fit(np.ones((8, 4)), verbose=0)
    assert int(twin.optimizer.iterations) == 2


def test_a_file_does_not_say_how_one_backend_compiles(model):
    assert model.get_compile_config()["jit_compile"] == "auto"
    assert keras_ar.models.FVSBN(4).get_compile_config() == {}


def test_a_model_that_is_not_compiled_opens_so(tmp_path):
    path = tmp_path / "model.keras"
    keras_ar.models.FVSBN(4).save(path)
    assert not saving.load_model(path).compiled

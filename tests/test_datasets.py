"""Data sets by name and from files, and one clear line where something is wrong with them."""

import gzip
import hashlib
import pathlib
import sys
import urllib.error

import keras
import numpy as np
import pytest

import keras_ar
from keras_ar import datasets, mapped, noise
from keras_ar.datasets import builtin

pytestmark = pytest.mark.one_backend  # nothing here is computed by a backend, except for scores of a CharRNN
RNG = np.random.default_rng(0)
DEBIAN = pathlib.Path("/usr/share/datasets/fashion-mnist")


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A folder of its own for what is downloaded, and no network."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))  # Keras reads it only once
    monkeypatch.setattr("keras.src.backend.config._KERAS_DIR", str(tmp_path))

    def no_network(url, *args):
        raise urllib.error.URLError("no network")

    monkeypatch.setattr("urllib.request.urlopen", no_network)
    return tmp_path / "datasets"


class BytesPath:
    """A path of bytes, which `os.PathLike` allows."""

    def __fspath__(self):
        return b"x.csv"


def write_idx(folder, num_train=12, num_test=3, suffix=".gz"):
    """The four files of a small MNIST; returns the bytes of each, without its header."""
    folder.mkdir(parents=True, exist_ok=True)
    content = {}
    for part, count in (("train", num_train), ("t10k", num_test)):
        for name, shape in ((f"{part}-images-idx3-ubyte", (count, 28, 28)), (f"{part}-labels-idx1-ubyte", (count,))):
            values = (np.arange(np.prod(shape)).reshape(shape) * 7 % (256 if len(shape) > 1 else 10)).astype("uint8")
            data = bytes([0, 0, 8, len(shape)]) + np.array(shape, ">u4").tobytes() + values.tobytes()
            (folder / f"{name}{suffix}").write_bytes(gzip.compress(data, 1) if suffix else data)
            content[f"{name}.gz"] = values
    return content


def write_wav(path, num_samples, rate=8000):
    pytest.importorskip("soundfile")
    keras_ar.sound.write_wav(path, np.linspace(-1, 1, num_samples), rate)


def write_pictures(folder, count, mode="L", size=(5, 4)):
    image = pytest.importorskip("PIL.Image")
    folder.mkdir(parents=True, exist_ok=True)
    channels = (3,) if mode == "RGB" else ()
    pixels = RNG.integers(0, 256, (count, size[1], size[0], *channels), dtype="uint8")
    for i, array in enumerate(pixels):
        image.fromarray(array).convert(mode).save(folder / f"{i:03}.png")
    return pixels


# Built in.


def test_digits_are_split_by_one_permutation_for_ever():
    sklearn_datasets = pytest.importorskip("sklearn.datasets")
    data = datasets.load("digits")
    order = noise.permutation(1797, seed=0)
    assert order[:5].tolist() == [696, 575, 938, 475, 162]
    images = sklearn_datasets.load_digits().images.astype("uint8")[order, :, :, None]
    for part, expected in zip((data.train, data.valid, data.test), np.split(images, [1297, 1547]), strict=True):
        np.testing.assert_array_equal(part, expected)
    labels = sklearn_datasets.load_digits().target[order]
    np.testing.assert_array_equal(np.concatenate([data.train_labels, data.valid_labels, data.test_labels]), labels)
    assert (data.kind, data.num_levels, data.event_shape, data.train.dtype) == ("images", 17, (8, 8, 1), np.uint8)
    assert repr(data) == (
        "Dataset(digits: 1297 train, 250 valid, 250 test: images of shape (8, 8, 1), uint8, 17 levels, with labels)"
    )


def test_binary_cuts_at_one_half_of_the_levels():
    pytest.importorskip("sklearn")
    gray, binary = datasets.load("digits"), datasets.load("digits", binary=True)
    np.testing.assert_array_equal(binary.test, gray.test > 8)  # levels 0 to 16
    assert (binary.num_levels, binary.train.dtype) == (2, np.uint8)
    np.testing.assert_array_equal(binary.test_labels, gray.test_labels)


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "cifar10"])
@pytest.mark.parametrize("image_data_format", ["channels_last", "channels_first"])
def test_the_last_training_images_of_keras_are_valid(name, image_data_format, cache, monkeypatch):
    color, num_valid = ((3,), 5000) if name == "cifar10" else ((), 10_000)
    shape = (num_valid + 7, 4, 5, *color)
    x_train = RNG.integers(0, 256, shape, dtype="uint8")
    x_test, y_test = x_train[:3], np.arange(3, dtype="uint8")
    y_train = np.arange(len(x_train)).astype("uint8")
    given = [(x_train, y_train), (x_test, y_test)]
    if name == "fashion_mnist":
        values = (x_train, y_train, x_test, y_test)
        known = {f: hashlib.sha256(v.tobytes()).hexdigest() for f, v in zip(builtin.SHA256, values, strict=False)}
        monkeypatch.setattr(builtin, "SHA256", known)
    if name == "cifar10":
        given = [(x, y[:, None]) for x, y in given]
        if image_data_format == "channels_first":
            given = [(x.transpose(0, 3, 1, 2), y) for x, y in given]
    monkeypatch.setattr(keras.config, "image_data_format", lambda: image_data_format)
    monkeypatch.setattr(getattr(keras.datasets, name), "load_data", lambda: given)
    data = datasets.load(name)
    np.testing.assert_array_equal(np.concatenate([data.train, data.valid]).reshape(shape), x_train)
    np.testing.assert_array_equal(np.concatenate([data.train_labels, data.valid_labels]), y_train)
    np.testing.assert_array_equal(data.test.reshape(x_test.shape), x_test)
    np.testing.assert_array_equal(data.test_labels, y_test)
    assert (len(data.valid), data.event_shape, data.num_levels) == (num_valid, (4, 5, *(color or (1,))), 256)


def test_fashion_mnist_is_read_from_the_cache_and_checked(cache, monkeypatch):
    content = write_idx(cache / "fashion-mnist", num_train=10_001)
    with pytest.raises(OSError, match=r"train-images-idx3-ubyte.gz is damaged.*SHA-256.*delete or replace it"):
        datasets.load("fashion_mnist")
    known = {name: hashlib.sha256(values.tobytes()).hexdigest() for name, values in content.items()}
    monkeypatch.setattr(builtin, "SHA256", known)
    assert len(datasets.load("fashion_mnist").valid) == 10_000

    file = cache / "fashion-mnist" / "t10k-images-idx3-ubyte.gz"
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(OSError, match=r"t10k-images-idx3-ubyte.gz is damaged, half-downloaded"):
        datasets.load("fashion_mnist")


@pytest.mark.skipif(not DEBIAN.exists(), reason="needs Debian's package dataset-fashion-mnist")
def test_debians_fashion_mnist_has_the_known_values():
    data = datasets.load(DEBIAN)
    found = {
        "train-images-idx3-ubyte.gz": np.concatenate([data.train, data.valid]),
        "train-labels-idx1-ubyte.gz": np.concatenate([data.train_labels, data.valid_labels]).astype("uint8"),
        "t10k-images-idx3-ubyte.gz": data.test,
        "t10k-labels-idx1-ubyte.gz": data.test_labels.astype("uint8"),
    }
    for name, values in found.items():
        assert hashlib.sha256(values.tobytes()).hexdigest() == builtin.SHA256[name]


@pytest.mark.parametrize(
    ("name", "file", "folder"),
    [
        ("mnist", "mnist.npz", ""),
        ("fashion_mnist", "t10k-labels-idx1-ubyte.gz", "fashion-mnist"),
        ("cifar10", "cifar-10-python.tar.gz, renamed cifar-10-batches-py-target_archive", ""),
        ("binarized_mnist", "binarized_mnist.npz", ""),
    ],
)
def test_without_network_the_error_says_which_file_to_put_where(name, file, folder, cache):
    downloading = r"could not be downloaded .*no network.*: connect to the network, or put"
    with pytest.raises(OSError, match=downloading) as caught:
        datasets.load(name)
    message = str(caught.value)
    assert file in message
    assert message.endswith(f"into {cache / folder}.")
    assert "\n" not in message


def test_a_cache_that_cannot_be_written_into_is_named(cache, monkeypatch):
    cache.write_text("a file, where a folder should be")
    with pytest.raises(
        PermissionError, match=r"datasets, for what is downloaded, cannot be written into: .* KERAS_HOME"
    ):
        datasets.load("mnist")
    cache.unlink()
    monkeypatch.setattr("os.access", lambda *args: False)
    with pytest.raises(PermissionError, match="cannot be written into"):
        datasets.load("binarized_mnist")


@pytest.fixture
def bits(monkeypatch):
    """The bits of a small binarized MNIST, whose SHA-256 is the one that is known."""
    parts = {
        part: RNG.integers(0, 2, (count, 784), dtype="uint8")
        for part, count in (("train", 5), ("valid", 2), ("test", 3))
    }
    for part, values in parts.items():
        monkeypatch.setitem(
            builtin.SHA256, f"binarized_mnist_{part}.amat", hashlib.sha256(values.tobytes()).hexdigest()
        )
    return parts


def test_binarized_mnist_is_converted_once(cache, bits):
    cache.mkdir()
    for part, values in bits.items():
        np.savetxt(cache / f"binarized_mnist_{part}.amat", values, fmt="%d")
    first = datasets.load("binarized_mnist")
    for file in cache.glob("*.amat"):
        file.unlink()
    again = datasets.load("binarized_mnist")
    assert [file.name for file in cache.iterdir()] == ["binarized_mnist.npz"]
    for data in (first, again, datasets.load(cache / "binarized_mnist.npz")):
        assert (data.name, data.num_levels, data.event_shape) == ("binarized_mnist", 2, (28, 28, 1))
        for part, values in bits.items():
            np.testing.assert_array_equal(getattr(data, part).reshape(-1, 784), values)


@pytest.mark.parametrize("packed", [True, False])
def test_binarized_mnist_opens_from_a_path_and_is_checked(packed, tmp_path, bits):
    path = tmp_path / "binarized_mnist.npz"
    np.savez(path, **{part: np.packbits(x, axis=1) if packed else x for part, x in bits.items()})
    np.testing.assert_array_equal(datasets.load(path).train.reshape(-1, 784), bits["train"])
    np.savez(path, train=bits["train"], valid=bits["valid"], test=1 - bits["test"])
    with pytest.raises(OSError, match=r"binarized_mnist.npz is damaged.*SHA-256"):
        datasets.load(path)
    np.savez(path, train=bits["train"])
    with pytest.raises(OSError, match=r"it has no array `valid`"):
        datasets.load(path)


def test_a_half_downloaded_text_of_binarized_mnist_is_named(cache, bits):
    cache.mkdir()
    (cache / "binarized_mnist_train.amat").write_text("0 1 0")
    with pytest.raises(OSError, match=r"binarized_mnist_train.amat is damaged.*delete or replace it"):
        datasets.load("binarized_mnist")
    assert not (cache / "binarized_mnist.npz").exists()


def test_names_are_sorted_and_near_ones_are_suggested():
    assert datasets.names() == sorted(datasets.names())
    with pytest.raises(
        ValueError, match=r"one of binarized_mnist, .*Did you mean 'fashion_mnist'\? Received: name='fashoin"
    ):
        datasets.load("fashoin_mnist")


@pytest.mark.parametrize(
    "name", ["here/is/nothing", "nothing.npz", pathlib.Path("digits"), "~nobody/x.csv", "a\0b.csv", "two\nlines.csv"]
)
def test_a_path_to_nothing_is_no_misspelt_name(name):
    with pytest.raises(
        FileNotFoundError, match=r"There is no (file|such home folder).* Received: name='.*'\.$"
    ) as caught:
        datasets.load(name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", [None, 3, "", b"x.csv", BytesPath()])
def test_what_is_neither_name_nor_path_is_refused(name):
    with pytest.raises(ValueError, match="`name` must be the name of a data set, or a path"):
        datasets.load(name)


def test_a_file_of_another_type_is_refused(tmp_path):
    (tmp_path / "data.xml").touch()
    with pytest.raises(
        ValueError,
        match=r"a file of type .arrow, .csv, .feather, .npy, .npz, .parquet, .txt, .wav, or to a folder: of pictures",
    ):
        datasets.load(tmp_path / "data.xml")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"length": 8}, "`length` is for sound and text"),
        ({"labels": "y"}, "`labels` is for csv, Parquet"),
        ({"shape": (8, 8)}, "`shape` is for npz files"),
        ({"columns": ["x"]}, "`columns` is for csv, Parquet and Arrow files"),
    ],
)
def test_options_of_other_files_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        datasets.load("digits", **options)


@pytest.mark.parametrize(
    ("package", "name", "extra"),
    [("sklearn.datasets", "digits", "data"), ("PIL.Image", "", "data"), ("pyarrow.parquet", "x.parquet", "parquet")],
)
def test_a_missing_package_is_named_with_its_extra(package, name, extra, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    (tmp_path / (name or "picture.png")).touch()
    with pytest.raises(ImportError, match=rf'pip install "keras-ar\[{extra}\]"'):
        datasets.load("digits" if name == "digits" else tmp_path / name)


# Arrays.


def test_an_npz_file_keeps_its_units(tmp_path):
    path = tmp_path / "some.npz"
    x = RNG.integers(0, 300, (6, 4, 5)).astype("int64")
    np.savez(
        path, train=x, valid=x[:2] % 7, test=x[:1], train_labels=np.arange(6), valid_labels=[1, 2], test_labels=[3]
    )
    data = datasets.load(str(path))
    np.testing.assert_array_equal(data.train[..., 0], x)
    assert (data.name, data.kind, data.event_shape, data.train.dtype) == ("some", "images", (4, 5, 1), np.int32)
    assert data.num_levels == x.max() + 1
    assert data.valid.dtype == np.int32  # as all the parts
    np.testing.assert_array_equal(data.train_labels, np.arange(6))

    real = RNG.normal(size=(6, 3))
    np.savez(path, train=real, valid=real, test=real)
    data = datasets.load(path)
    assert (data.kind, data.num_levels, data.train.dtype, data.train_labels) == ("table", None, np.float32, None)
    assert str(data).splitlines()[1] == "6 train, 6 valid, 6 test: table of shape (3,), float32, real numbers"


@pytest.mark.parametrize("dtype", ["float16", "longdouble", ">f8"])
def test_real_numbers_become_float32(dtype, tmp_path):
    np.savez(tmp_path / "x.npz", x=np.linspace(-1, 1, 20, dtype=dtype)[:, None])
    data = datasets.load(tmp_path / "x.npz")
    assert (data.train.dtype, data.train.dtype.isnative, data.num_levels) == (np.float32, True, None)


@pytest.mark.parametrize(
    ("x", "num_levels"), [([[True], [False]], 2), ([[0], [0]], 2), ([[0], [16]], 17), ([[-1], [1]], None)]
)
def test_levels_are_counted_from_zero(x, num_levels, tmp_path):
    np.savez(tmp_path / "x.npz", train=x, valid=x, test=x)
    assert datasets.load(tmp_path / "x.npz").num_levels == num_levels


def test_one_array_is_split_at_random_and_by_seed(tmp_path):
    path = tmp_path / "one.npz"
    np.savez(path, x=np.arange(20)[:, None], x_labels=np.arange(20))
    data = datasets.load(path, split=(0.5, 0.25, 0.25), seed=3)
    assert (len(data.train), len(data.valid), len(data.test)) == (10, 5, 5)
    parts = np.concatenate([data.train, data.valid, data.test])[:, 0]
    assert sorted(parts) == list(range(20))
    np.testing.assert_array_equal(np.concatenate([data.train_labels, data.valid_labels, data.test_labels]), parts)
    np.testing.assert_array_equal(datasets.load(path, split=(0.5, 0.25, 0.25), seed=3).train, data.train)
    assert (datasets.load(path, split=(0.5, 0.25, 0.25), seed=4).train != data.train).any()
    assert len(datasets.load(path, split=(1, 0, 0)).test) == 0
    assert len(datasets.load(path, split=(0.98, 0.01, 0.01)).test) == 1


@pytest.mark.parametrize("split", [(0.8, 0.2), (0.8, 0.1, 0.2), (0, 0.5, 0.5), (1.2, -0.1, -0.1), 0.8, ("a", 0, 0)])
def test_shares_that_are_none_are_refused(split, tmp_path):
    np.savez(tmp_path / "x.npz", x=np.zeros((10, 2)))
    with pytest.raises(ValueError, match="`split` must be the shares of train, valid and test: three numbers"):
        datasets.load(tmp_path / "x.npz", split=split)


def test_too_few_events_for_three_parts_are_refused(tmp_path):
    np.savez(tmp_path / "x.npz", x=np.zeros((2, 2)))
    with pytest.raises(ValueError, match=r"x.npz holds 2 events: too few for the parts of split=\(0.8, 0.1, 0.1\)"):
        datasets.load(tmp_path / "x.npz")


@pytest.mark.parametrize("inside", [True, False])
def test_packed_bits_are_unpacked_where_there_is_a_shape(inside, tmp_path):
    path = tmp_path / "bits.npz"
    x = RNG.integers(0, 2, (4, 3, 7, 1), dtype="uint8")
    packed = np.packbits(x.reshape(4, -1), axis=1)
    np.savez(path, train=packed, valid=packed, test=packed, **({"shape": x.shape[1:]} if inside else {}))
    data = datasets.load(path) if inside else datasets.load(path, shape=(3, 7))
    np.testing.assert_array_equal(data.train, x)
    assert data.num_levels == 2
    if not inside:
        assert datasets.load(path).event_shape == (3,)  # bytes, where nothing says otherwise
        with pytest.raises(
            ValueError, match=r"`shape` must fit `train` of .*3 values in an event, or 17 to 24 packed bits"
        ):
            datasets.load(path, shape=(5, 5))
    np.savez(path, x=x.reshape(4, -1))
    assert datasets.load(path, shape=(3, 7), split=(0.5, 0.25, 0.25)).event_shape == (3, 7, 1)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (
            {"train": [[1]], "test": [[1]]},
            "must hold the arrays `train`, `valid` and `test`, or one array `x`. It holds test, t",
        ),
        ({"x": np.zeros(5)}, r"`x` of .* must have shape \(events, ...\), with at least one event"),
        ({"x": np.zeros((0, 5))}, "at least one event"),
        ({"x": np.zeros((2, 2, 2, 2, 2))}, "channels"),
        ({"x": np.array([["a"]])}, "must hold numbers. Received: dtype <U1"),
        ({"x": np.array([[1j]])}, "must hold numbers. Received: dtype complex128"),
        ({"x": np.array([[{}]], dtype=object)}, "must hold numbers. Received: dtype object"),  # a pickle: it never runs
        ({"x": [[1.0], [np.nan]]}, "`x` of .* must be finite, .* Received nan, first in event 1"),
        ({"x": [[1.0, -1e300]]}, r"within the range of float32: .* Received -1e\+300, first in event 0"),
        ({"x": np.array([[1], [np.inf]], "float16")}, "Received inf, first in event 1"),
        ({"train": [[1]], "valid": [[1, 2]], "test": [[1]]}, "must hold events of one shape"),
        ({"x": [[1], [2]], "x_labels": [1]}, "`x_labels` of .* one for each of 2 events"),
        ({"x": [[1], [2]], "x_labels": [-1, 1]}, "must be integers from 0 to .* Received integers from -1 to 1"),
        ({"x": [[1], [2]], "x_labels": [0, 2**32]}, "from 0 to 2147483647, .* Received integers from 0 to 4294967296"),
        ({"x": [[1], [2]], "shape": [0.5]}, "wrong.npz cannot be taken: `shape` must be an integer"),
        (
            {"train": [[1]], "valid": [[1]], "test": [[1]], "test_labels": [1]},
            "labels of all parts or of none. .*those of test",
        ),
    ],
)
def test_arrays_that_are_no_events_are_refused(arrays, message, tmp_path):
    np.savez(tmp_path / "wrong.npz", **arrays)
    with pytest.raises(ValueError, match=message):
        datasets.load(tmp_path / "wrong.npz")


def test_a_truncated_npz_file_is_named(tmp_path):
    path = tmp_path / "half.npz"
    np.savez_compressed(path, x=RNG.normal(size=(100, 10)))
    whole = path.read_bytes()
    middle = len(whole) // 2
    flipped = whole[:middle] + bytes(255 - b for b in whole[middle : middle + 50]) + whole[middle + 50 :]
    for content in (whole[:middle], b"", b"<html>not found</html>", flipped):
        path.write_bytes(content)
        with pytest.raises(
            OSError, match=r"half.npz is damaged, half-downloaded or of another format \(.*\): delete or"
        ):
            datasets.load(path)


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint8", "uint16", "uint32", "int64", "float16", "float64"])
def test_an_npy_file_is_mapped_and_split_by_position(dtype, tmp_path, monkeypatch):
    monkeypatch.setattr("keras_ar.mapped._PIECE", 100)
    x = RNG.integers(0, 100, (50, 6)).astype(dtype)
    np.save(tmp_path / "x.npy", x)
    data = datasets.load(tmp_path / "x.npy")
    assert all(map(mapped.is_mapped, (data.train, data.valid, data.test)))
    np.testing.assert_array_equal(np.concatenate([data.train, data.valid, data.test]), x)
    assert (data.kind, data.train.dtype, data.train_labels) == ("table", dtype, None)
    assert data.num_levels == (None if "float" in dtype else max(int(x.max()) + 1, 2))
    model = keras_ar.models.FVSBN(6, head=keras_ar.heads.Categorical(100))
    np.testing.assert_allclose(model.score_samples(data.train), model.score_samples(x[:40].astype("int32")), rtol=1e-5)
    model.compile("adam")
    model.fit(data.train, validation_data=(data.valid,), verbose=0)


def test_an_npy_file_of_images_is_cut_in_a_file(tmp_path):
    x = RNG.integers(0, 256, (10, 4, 5), dtype="uint8")
    x[0, 0, 0] = 255
    np.save(tmp_path / "x.npy", x)
    data = datasets.load(tmp_path / "x.npy", binary=True)
    assert (data.kind, data.event_shape, data.num_levels) == ("images", (4, 5, 1), 2)
    assert mapped.is_mapped(data.train)
    np.testing.assert_array_equal(data.train[..., 0], x[:8] >= 128)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros(5), r"wrong.npy must have shape \(events, ...\), with at least one event"),
        (np.zeros((0, 5)), "at least one event"),
        (np.array([["a"]]), "wrong.npy must hold numbers. Received: dtype <U1"),
        (np.array([[{}]], dtype=object), "must hold numbers. Received: dtype object"),  # a pickle: it never runs
        (np.array([[1.0], [np.nan]]), "must be finite, .* Received nan, first in event 1"),
        (np.zeros((3, 2)).T, "must be written in C order, .* Received: fortran_order=True, dtype float64"),
        (np.zeros((2, 2), ">i4"), "in the byte order of this machine"),
        (np.zeros((2, 2), "uint64"), "of at most 64 bits with a sign"),
        (np.zeros((2, 2)), "holds 2 events: too few for the parts"),
    ],
)
def test_an_npy_file_of_no_events_is_refused(x, message, tmp_path):
    np.save(tmp_path / "wrong.npy", x)
    with pytest.raises(ValueError, match=message):
        datasets.load(tmp_path / "wrong.npy")


# Tables.


def test_a_table_of_small_integers_stays_one(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("a,b\n" + "\n".join(f"{i},{i % 3}" for i in range(10)) + "\n\n")
    data = datasets.load(path)
    assert (data.kind, data.num_levels, data.train.dtype, data.event_shape) == ("table", 10, np.uint8, (2,))
    assert (len(data.train), len(data.valid), len(data.test)) == (8, 1, 1)
    path.write_text("\n".join(f"{i},{i / 3}" for i in range(10)))  # without a header
    data = datasets.load(path)
    assert (data.num_levels, data.train.dtype) == (None, np.float32)
    parts = np.concatenate([data.train, data.valid, data.test])
    np.testing.assert_allclose(parts[np.argsort(parts[:, 0])], [[i, i / 3] for i in range(10)], rtol=1e-6)


@pytest.mark.parametrize(
    ("header", "labels", "column"),
    [
        ("x,y,kind\n", "kind", ["cat", "dog"]),
        ("", 2, ["cat", "dog"]),
        ("", -1, ["b", "a"]),
        ("", np.int64(2), ["cat", "dog"]),
        ("x,y,kind\n", "kind", [0, 1]),
    ],
)
def test_a_column_of_a_table_may_hold_classes(header, labels, column, tmp_path):
    path = tmp_path / "table.csv"
    path.write_text(header + "\n".join(f"{i}.5,2,{column[i % 2]}" for i in range(10)))
    data = datasets.load(path, labels=labels)
    assert data.event_shape == (2,)
    first = sorted(column)[0] == column[0]
    np.testing.assert_array_equal(data.train_labels, (data.train[:, 0] - 0.5) % 2 == (1 if first else 0))
    assert "2 classes" in data.description


@pytest.mark.parametrize(
    ("text", "labels", "message"),
    [
        ("", None, "It is empty"),
        ("a,b\n", None, "It holds a header at most"),
        ("a,b\n1,2\n1,2,3\n", None, r"Line 3 of .* must have 2 cells, as its first. It has 3"),
        ("a,b\n1,2\n3,\n", None, "Line 3 of .* has '' in column 'b': cells must be .* Fill in missing values first"),
        ("1,2\n3,nan\n", None, "Line 2 of .* has 'nan' in column 1"),
        ("1,2\n3,1e300\n", None, "Line 2 of .* has '1e300' in column 1: .* numbers from -3.4e38 to 3.4e38"),
        ("?,?\n1,2\n", None, "Line 1 of .* has '\\?' in column 0"),
        ("nan,NaN\n1,2\n", None, "Line 1 of .* has 'nan' in column 0"),
        ("NA,N/A\n1,2\n", None, "Line 1 of .* has 'NA' in column 0"),
        (",b\n1,2\n", None, "Line 1 of .* has '' in column 0: .*a header if all of its cells are words"),
        ("a,2\n1,2\n", None, "Line 2 of .* has '1' in column 0: .* Line 1 has 'a' in it. .*a header if all"),
        ("a,b\n1,cat\n2,3\n", None, "Line 3 of .* has '3' in column 'b': .* or words alone. Line 2 has 'cat' in it"),
        ("1;2\n1;2\n", None, "must have commas between its cells. Its first line has ';'"),
        ("1 2 3\n4 5 6\n", None, "Line 1 of .* has '1 2 3' in column 0"),
        ('1,2\n1,"2\n3,4\n', None, "damaged"),  # a quote without an end would swallow the other lines
        (
            "a,a\n1,2\n",
            "a",
            "one column of .*: give its index, from 0 to 1. Received: labels='a', the name of 2 columns",
        ),
        ("a,b\n1,2\n,3\n", "a", "Line 3 of .* has '' in column 'a': a class must not be missing"),
        ("a,b\n4294967296,3\n", "a", "Line 2 of .* has '4294967296' in column 'a': classes are integers from 0 to"),
        ("a,b,c\ncat,0.5,1\n", None, "no head takes both. .* words in column 'a', and other numbers in column 'b'"),
        ("a,a\n" + "cat,dog\n" * 10, None, "one name for each column of words"),
        (
            "a\n" + "\n".join(f"w{i}" for i in range(257)),
            None,
            "at most 256 different words in column 'a'.* It has 257",
        ),
        (
            "a,b\n1,2\n",
            "c",
            "`labels` must be a column of .*: one of a, b, or an index from -2 to 1. Received: labels='c'",
        ),
        ("1,2\n", 2, "an index from -2 to 1. Received: labels=2"),
        ("a\n1\n2\n", "a", "must have another column than that of `labels`"),
    ],
)
def test_a_table_with_holes_is_refused_by_its_line(text, labels, message, tmp_path):
    (tmp_path / "table.csv").write_text(text)
    with pytest.raises((ValueError, OSError), match=message):
        datasets.load(tmp_path / "table.csv", labels=labels)


def test_columns_of_a_table_keep_their_names(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("Na, kind ,Mg\n" + "0.5,cat,3\n" * 10)
    assert datasets.load(path, labels="kind").columns == ("Na", "Mg")
    path.write_text("a,a\n" + "1,2\n" * 10)
    assert datasets.load(path).columns == ("a", "a")
    path.write_text("1,2\n" * 10)
    assert datasets.load(path).columns is None


def test_columns_of_words_are_categories(tmp_path):
    path = tmp_path / "table.csv"
    rows = ["dog,3,no", "cat,0,yes", "eel,1,no"] * 4
    path.write_text("kind,legs,fur\n" + "\n".join(rows))
    data = datasets.load(path, split=(1, 0, 0))
    assert data.categories == {"kind": ("cat", "dog", "eel"), "fur": ("no", "yes")}
    assert (data.num_levels, data.train.dtype, data.columns) == (4, np.uint8, ("kind", "legs", "fur"))
    assert data.description == "3 columns of table.csv, 2 of them categories"
    kinds, furs = data.categories.values()
    assert sorted(f"{kinds[kind]},{legs},{furs[fur]}" for kind, legs, fur in data.train) == sorted(rows)

    path.write_text("\n".join(f"0,{row}" for row in rows))  # without a header
    assert datasets.load(path, labels=1).categories == {"2": ("no", "yes")}  # the index in an event
    path.write_text("\n".join(f"{row},0.5" for row in rows))
    with pytest.raises(ValueError, match="words in column 0, and other numbers in column 3"):
        datasets.load(path)


# Parquet and Arrow. The numbers of a column are of any type, and its words may be encoded already.


ROWS = 12
COLUMNS = {
    "width": np.linspace(-1, 1, ROWS),
    "legs": np.arange(ROWS) % 5,
    "kind": ["dog", "cat", "eel"] * 4,
    "tame": [True, False] * 6,
}


def write_table(path, columns, **types):
    """Writes a table in the format that the suffix of the path names; `stream` is one of Arrow's."""
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    table = pyarrow.table({name: pyarrow.array(values, types.get(name)) for name, values in columns.items()})
    if path.suffix == ".parquet":
        parquet.write_table(table, path, row_group_size=5)
    elif path.suffix == ".feather":
        pytest.importorskip("pyarrow.feather").write_feather(table, str(path))
    else:
        new = pyarrow.ipc.new_stream if path.stem == "stream" else pyarrow.ipc.new_file
        with pyarrow.OSFile(str(path), "wb") as file, new(file, table.schema) as writer:
            writer.write_table(table, max_chunksize=5)


def same_fields(first, second):
    for field in ("kind", "columns", "categories", "num_levels", "event_shape"):
        assert getattr(first, field) == getattr(second, field), field
    for field in ("train", "valid", "test", "train_labels", "valid_labels", "test_labels"):
        np.testing.assert_array_equal(getattr(first, field), getattr(second, field))
        assert getattr(getattr(first, field), "dtype", None) == getattr(getattr(second, field), "dtype", None)


@pytest.mark.parametrize("name", ["table.parquet", "table.feather", "table.arrow", "stream.arrow"])
@pytest.mark.parametrize(
    "options",
    [
        {"labels": "kind"},
        {"labels": 1, "columns": ["width", "tame"]},
        {"columns": ["tame", "kind", "legs"]},
        {"columns": ["legs"], "labels": "tame"},
    ],
)
def test_a_table_is_the_same_in_every_format(name, options, tmp_path):
    write_table(tmp_path / name, COLUMNS)
    rows = zip(*({**COLUMNS, "tame": [1, 0] * 6}).values(), strict=True)
    (tmp_path / "table.csv").write_text("\n".join(",".join(map(str, row)) for row in [tuple(COLUMNS), *rows]))
    same_fields(datasets.load(tmp_path / name, **options), datasets.load(tmp_path / "table.csv", **options))


def test_a_folder_of_parquet_files_is_one_table(tmp_path):
    write_table(tmp_path / "all.parquet", COLUMNS)
    folder = tmp_path / "parts"
    folder.mkdir()
    for part, rows in (("b", slice(7, None)), ("a", slice(7))):
        write_table(folder / f"{part}.parquet", {name: values[rows] for name, values in COLUMNS.items()})
    (folder / "_SUCCESS").touch()
    whole = datasets.load(tmp_path / "all.parquet", labels="kind")
    same_fields(datasets.load(folder, labels="kind"), whole)
    write_table(folder / "c.parquet", {**COLUMNS, "legs": np.arange(ROWS) / 2})
    with pytest.raises(
        ValueError, match=r"All files of .*a.parquet, .*legs \(int64\).*c.parquet has .*legs \(double\)"
    ):
        datasets.load(folder)


def test_types_of_arrow_become_numbers_and_words(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    types = {
        "width": pyarrow.float16(),
        "legs": pyarrow.uint64(),
        "kind": pyarrow.dictionary(pyarrow.int8(), pyarrow.string()),
    }
    columns = {**COLUMNS, "width": (np.arange(ROWS) % 3).astype("float16"), "legs": COLUMNS["legs"].astype("uint64")}
    write_table(tmp_path / "table.parquet", columns, **types)
    data = datasets.load(tmp_path / "table.parquet", split=(1, 0, 0))
    assert (data.num_levels, data.train.dtype, data.categories) == (5, np.uint8, {"kind": ("cat", "dog", "eel")})
    assert sorted(map(tuple, data.train.tolist())) == sorted(
        zip(columns["width"], columns["legs"], [1, 0, 2] * 4, COLUMNS["tame"], strict=True)
    )


@pytest.mark.parametrize("suffix", ["parquet", "arrow"])
@pytest.mark.parametrize(
    ("columns", "options", "message"),
    [
        ({"a": [1, 2], "b": [3, None]}, {}, r"Row 1 \(counted from 0\) of .* has None in column 'b': a value must not"),
        ({"a": [1.0, float("nan")]}, {}, "Row 1 .* has nan in column 'a': a value must not be missing"),
        ({"a": [1.0, 1e300]}, {}, "Row 1 .* has 1e.300 in column 'a': numbers must be from -3.4e38 to 3.4e38"),
        ({"a": ["x", "NA"]}, {}, "Row 1 .* has 'NA' in column 'a': a value must not be missing"),
        ({"a": [1, 2], "b": ["x", None]}, {"labels": "b"}, "Row 1 .* has None in column 'b': a class must not"),
        ({"a": [1, 2], "b": [2**31, 1]}, {"labels": "b"}, "Row 0 .* has 2147483648 in column 'b': classes are"),
        ({"a": [1, 2], "b": [[1], [2]]}, {}, "must hold numbers or words: .* column 'b' is of type list"),
        ({"a": [1, 2]}, {"columns": ["b"]}, r"`columns` must be names of columns of .*: a. Received: columns=\['b'\]"),
        ({"a": [1, 2]}, {"columns": "a"}, "`columns` must be names of columns .* each once: a. Received: columns='a'"),
        ({"a": [1, 2]}, {"columns": [0]}, "`columns` must be names of columns"),
        ({"a": [1, 2]}, {"columns": []}, "`columns` must be names of columns"),
        ({"a": [1, 2]}, {"columns": ["a"], "labels": "a"}, "must have another column than that of `labels`"),
        ({"a": [1, 2], "b": [1, 2]}, {"columns": ["a"], "labels": "a"}, "`columns` must hold another column than"),
        ({"a": [1, 2]}, {"labels": "b"}, "`labels` must be a column of .*: one of a, or an index"),
        ({"a": [f"w{i}" for i in range(257)]}, {}, "at most 256 different words in column 'a'.* It has 257"),
        ({"a": [0.5] * 9, "b": ["x"] * 9}, {}, "no head takes both. .* words in column 'b', and other .* column 'a'"),
        ({"a": np.zeros(0)}, {}, "must hold rows. It holds none"),
        ({}, {}, "must have one name for each column"),
    ],
)
def test_a_table_of_arrow_with_holes_is_refused(suffix, columns, options, message, tmp_path):
    write_table(tmp_path / f"table.{suffix}", columns)
    with pytest.raises(ValueError, match=message):
        datasets.load(tmp_path / f"table.{suffix}", **options)


def test_columns_of_a_csv_file_are_named_by_its_header(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("a,b,c\n" + "1,NA,cat\n" * 10)
    assert datasets.load(path, columns=["c", "a"]).columns == ("c", "a")  # what is in others is nobody's business
    with pytest.raises(ValueError, match=r"names of columns of .*: a, b, c. Received: columns=\['d'\]"):
        datasets.load(path, columns=["d"])
    path.write_text("1,2\n" * 10)
    with pytest.raises(ValueError, match=r"it has no header. Received: columns=\['a'\]"):
        datasets.load(path, columns=["a"])


def test_a_table_in_another_encoding_is_named(tmp_path):
    (tmp_path / "table.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(OSError, match=r"table.csv is damaged.*utf-8"):
        datasets.load(tmp_path / "table.csv")


# Images.


@pytest.mark.parametrize("suffix", [".gz", ""])
def test_a_folder_of_idx_files_has_a_sixth_for_valid(suffix, tmp_path):
    content = write_idx(tmp_path / "small", suffix=suffix)
    data = datasets.load(tmp_path / "small")
    assert (data.name, data.num_levels, data.event_shape) == ("small", 256, (28, 28, 1))
    assert (len(data.train), len(data.valid), len(data.test)) == (10, 2, 3)
    images, labels = content["train-images-idx3-ubyte.gz"], content["train-labels-idx1-ubyte.gz"]
    np.testing.assert_array_equal(data.valid[..., 0], images[10:])
    np.testing.assert_array_equal(data.train_labels, labels[:10])
    assert data.train.flags.writeable  # torch warns of arrays that are not
    np.testing.assert_array_equal(datasets.load(tmp_path / "small", binary=True).train, data.train >= 128)


def test_of_four_idx_files_the_missing_or_damaged_one_is_named(tmp_path):
    write_idx(tmp_path)
    file = tmp_path / "t10k-labels-idx1-ubyte.gz"
    whole = file.read_bytes()
    for content in (
        whole[:-9],
        b"",
        b"<html>",
        gzip.compress(b"\0\0\x08\x01\0\0\0\x07abc"),
        gzip.compress(b"\0\0\x08"),
    ):
        file.write_bytes(content)
        with pytest.raises(OSError, match=r"t10k-labels-idx1-ubyte.gz is damaged, half-downloaded"):
            datasets.load(tmp_path)
    file.write_bytes(gzip.compress(b"\0\0\x08\x01\0\0\0\x01a"))
    with pytest.raises(ValueError, match=r"t10k-labels.* as many labels as t10k-images.* They hold 1, and 3"):
        datasets.load(tmp_path)
    file.unlink()
    with pytest.raises(
        FileNotFoundError, match=r"has no file t10k-labels-idx1-ubyte.gz or t10k-labels-idx1-ubyte: put it"
    ):
        datasets.load(tmp_path)


@pytest.mark.parametrize(("mode", "channels", "num_levels"), [("L", 1, 256), ("RGB", 3, 256), ("1", 1, 2)])
def test_a_folder_of_pictures_is_a_data_set(mode, channels, num_levels, tmp_path):
    pixels = write_pictures(tmp_path / "pictures", 10, mode)
    (tmp_path / "pictures" / "notes.md").touch()
    data = datasets.load(tmp_path / "pictures")
    assert (data.kind, data.event_shape, data.num_levels) == ("images", (4, 5, channels), num_levels)
    assert (data.train.dtype, data.train_labels, len(data.train)) == (np.uint8, None, 8)
    if mode != "1":
        expected = pixels[noise.permutation(10, seed=0)].reshape(10, 4, 5, channels)
        np.testing.assert_array_equal(np.concatenate([data.train, data.valid, data.test]), expected)
    else:
        assert set(np.unique(data.train)) == {0, 1}


def test_idx_files_are_not_empty_and_have_images_of_one_size(tmp_path):
    write_idx(tmp_path, suffix="")
    file = tmp_path / "t10k-images-idx3-ubyte"
    file.write_bytes(bytes([0, 0, 8, 3, *(0, 0, 0, 3) * 3, *range(27)]))
    with pytest.raises(ValueError, match=r"t10k-images.* of the training images, 28 by 28 pixels. It holds .* 3 by 3"):
        datasets.load(tmp_path)
    file.write_bytes(bytes([0, 0, 8, 3, *(0, 0, 0, 0) * 3]))
    with pytest.raises(ValueError, match=r"t10k-images.* at least one value. It holds an array of shape \(0, 0, 0\)"):
        datasets.load(tmp_path)


def test_subfolders_of_pictures_are_classes(tmp_path):
    cats, dogs = write_pictures(tmp_path / "cats", 6), write_pictures(tmp_path / "dogs", 4)
    data = datasets.load(tmp_path)
    for image, label in zip(data.train[..., 0], data.train_labels, strict=True):
        assert (image == (cats, dogs)[label]).all(axis=(1, 2)).any()
    assert "2 classes (cats, dogs)" in data.description


def test_an_odd_picture_is_named(tmp_path):
    write_pictures(tmp_path, 3)
    image = pytest.importorskip("PIL.Image")
    odd = tmp_path / "100.png"
    image.new("L", (6, 4)).save(odd)
    with pytest.raises(ValueError, match=r"000.png, 5 by 4 pixels, L: crop, scale or .*100.png has 6 by 4 pixels, L"):
        datasets.load(tmp_path)
    image.new("RGB", (5, 4)).save(odd)
    with pytest.raises(ValueError, match=r"100.png has 5 by 4 pixels, RGB"):
        datasets.load(tmp_path)
    image.new("RGBA", (5, 4)).save(odd)
    with pytest.raises(ValueError, match=r"100.png must be black and white, gray or RGB .*It has mode RGBA"):
        datasets.load(tmp_path)
    for content in (b"", b"no picture", (tmp_path / "000.png").read_bytes()[:50]):
        odd.write_bytes(content)
        with pytest.raises(OSError, match=r"100.png is damaged, half-downloaded"):
            datasets.load(tmp_path)


@pytest.mark.parametrize("suffix", ["gif", "png", "tiff", "webp"])
def test_a_file_of_several_pictures_is_refused(suffix, tmp_path):
    image = pytest.importorskip("PIL.Image")
    pages = [image.fromarray(pixels).convert("RGB") for pixels in RNG.integers(0, 256, (3, 4, 5), dtype="uint8")]
    pages[0].save(tmp_path / f"three.{suffix}", save_all=True, append_images=pages[1:])
    with pytest.raises(
        ValueError, match=rf"three.{suffix} must hold one picture: save its pages .* It holds 3 of them"
    ):
        datasets.load(tmp_path)


def test_an_empty_folder_says_what_it_may_hold(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"must hold pictures \(.bmp.* or wav files. It holds none of them"):
        datasets.load(tmp_path)


# Sequences.


def test_sound_is_split_by_position(tmp_path):
    write_wav(tmp_path / "ramp.wav", 105)
    data = datasets.load(tmp_path / "ramp.wav", length=10)
    assert (data.kind, data.rate, data.num_levels, data.event_shape) == ("sound", 8000, 256, (10,))
    assert (len(data.train), len(data.valid), len(data.test), data.train.dtype) == (8, 1, 1, np.uint8)
    levels = np.concatenate([data.train, data.valid, data.test]).ravel()
    np.testing.assert_array_equal(levels, keras_ar.sound.mu_law(np.linspace(-1, 1, 105), 256)[:100])


def test_a_folder_of_sound_is_split_by_file(tmp_path):
    for i, num_samples in enumerate((30, 20, 45)):
        write_wav(tmp_path / f"{i}.wav", num_samples)
    data = datasets.load(tmp_path, length=10)
    assert (len(data.train), len(data.valid), len(data.test)) == (3, 2, 4)
    assert datasets.load(tmp_path, length=10, split=(1, 0, 0)).test.shape == (0, 10)
    with pytest.raises(ValueError, match=r"1.wav has 20 samples: take a smaller `length`. Received: length=25"):
        datasets.load(tmp_path, length=25)
    write_wav(tmp_path / "3.wav", 30, rate=16_000)
    with pytest.raises(ValueError, match=r"the rate of .*0.wav, 8000 samples a second: resample .*3.wav has 16000"):
        datasets.load(tmp_path, length=10)
    for i in (1, 2, 3):
        (tmp_path / f"{i}.wav").unlink()
    with pytest.raises(ValueError, match="holds 1 wav files, which are split by file: too few for the parts"):
        datasets.load(tmp_path, length=10)


def test_a_sound_file_that_cannot_be_taken_is_named(tmp_path):
    soundfile = pytest.importorskip("soundfile")
    path = tmp_path / "some.wav"
    path.write_bytes(b"RIFF")
    with pytest.raises(OSError, match=r"some.wav is damaged, half-downloaded"):
        datasets.load(path)
    soundfile.write(path, np.full(100, 1.5), 8000, subtype="FLOAT")
    with pytest.raises(ValueError, match=r"some.wav cannot be taken: `x` must hold real numbers from -1 to 1"):
        datasets.load(path)
    soundfile.write(path, np.zeros((100, 2)), 8000)
    with pytest.raises(ValueError, match=r"some.wav cannot be taken: .*one channel"):
        datasets.load(path)


def test_a_byte_order_mark_is_no_character(tmp_path):
    (tmp_path / "some.txt").write_text("ab" * 500, encoding="utf-8-sig")
    assert datasets.load(tmp_path / "some.txt", length=10).vocabulary.characters == "ab"


def test_a_text_is_split_by_position(tmp_path):
    text = "to be or not to be, that is the question: " * 10
    (tmp_path / "hamlet.txt").write_text(text)
    data = datasets.load(tmp_path / "hamlet.txt", length=20)
    assert (data.kind, data.num_levels, data.event_shape) == ("text", len(set(text)), (20,))
    assert data.vocabulary == keras_ar.text.Vocabulary.of(text)
    assert data.vocabulary.decode(np.concatenate([data.train, data.valid, data.test])) == text
    assert (len(data.train), len(data.valid), len(data.test)) == (17, 2, 2)
    keras_ar.models.CharRNN(data.event_shape, vocabulary=data.vocabulary, units=4).score_samples(data.test)


def test_a_long_text_is_mapped_and_the_same(tmp_path, monkeypatch):
    text = "to be, ört not to 🙂 be\r\n" * 30
    (tmp_path / "some.txt").write_text(text, newline="", encoding="utf-8")
    short = datasets.load(tmp_path / "some.txt", length=7)
    monkeypatch.setattr("keras_ar.datasets.sequences._PIECE", 11)
    monkeypatch.setattr("keras_ar.datasets.sequences._LONG", 500)
    data = datasets.load(tmp_path / "some.txt", length=7)
    assert str(data) == str(short).replace("int32", "uint8")
    assert data.vocabulary == short.vocabulary
    assert mapped.is_mapped(data.train)
    assert not mapped.is_mapped(short.train)
    for part in ("train", "valid", "test"):
        np.testing.assert_array_equal(getattr(data, part), getattr(short, part))
    assert data.vocabulary.decode(data.train[0]) == text[:7]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "must have at least `length` characters, and two different ones. It has 0 characters"),
        (b"short", "It has 5 characters, 5 different. Received: length=128"),
        (b"a" * 1000, "1 different"),
        (b"ab" * 100, "holds 1 windows of 128 characters: too few for the parts"),
        (b"\xff" * 1000, "must be a text in UTF-8: convert it first"),
    ],
)
def test_a_text_that_is_none_is_refused(content, message, tmp_path):
    (tmp_path / "some.txt").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        datasets.load(tmp_path / "some.txt")


@pytest.mark.parametrize("length", [0, -1, 2.5, "8"])
def test_a_length_that_is_none_is_refused(length, tmp_path):
    (tmp_path / "some.txt").write_text("ab" * 100)
    with pytest.raises(ValueError, match="`length` must be an integer of at least 1"):
        datasets.load(tmp_path / "some.txt", length=length)


def test_binary_is_for_images(tmp_path):
    np.savez(tmp_path / "table.npz", x=np.arange(20)[:, None])
    with pytest.raises(ValueError, match=r"`binary` is for images of integer levels. .* table of uint8 in table"):
        datasets.load(tmp_path / "table.npz", binary=True)
    np.savez(tmp_path / "table.npz", x=np.arange(20)[:, None] % 2)
    assert datasets.load(tmp_path / "table.npz", binary=True).num_levels == 2  # it is binary as it comes

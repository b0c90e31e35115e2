"""Whatever is in a file: it becomes a sound data set or one clear error that names it, without much time or memory."""

import gzip
import os
import struct
import tracemalloc
import zipfile
import zlib

import numpy as np
import pytest

import keras_ar
from keras_ar import datasets

pytestmark = pytest.mark.one_backend
IDX_FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def write_npz(path):
    levels, labels = np.random.default_rng(0).integers(0, 9, (20, 4, 5)), np.arange(20)
    parts = dict.fromkeys(("train", "valid", "test"), levels)
    np.savez_compressed(path, **parts, **{f"{part}_labels": labels for part in parts})


def write_npy(path):
    np.save(path, np.random.default_rng(0).integers(0, 9, (20, 4, 5)))


def write_csv(path):
    path.write_text(
        "kind,width,height\n" + "\n".join(f"{'cat' if i % 3 else 'dog'},{i},{i * i % 7}" for i in range(20))
    )


def write_arrow(path):
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    table = pyarrow.table({"kind": ["cat", "dog", "eel", "cat"] * 5, "width": np.arange(20), "height": np.ones(20)})
    if path.suffix == ".parquet":
        parquet.write_table(table, path)
        return
    with pyarrow.OSFile(str(path), "wb") as file, pyarrow.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)


def write_idx(path):
    for name in IDX_FILES:
        shape = (6, 2, 2) if "images" in name else (6,)
        values = np.arange(np.prod(shape), dtype="uint8")
        data = bytes([0, 0, 8, len(shape)]) + np.array(shape, ">u4").tobytes() + values.tobytes()
        path.with_name(name + path.suffix).write_bytes(gzip.compress(data) if path.suffix else data)


def write_png(path):
    image = pytest.importorskip("PIL.Image")
    for i in range(4):
        image.fromarray(np.arange(30, dtype="uint8").reshape(5, 6) + i).save(path.with_name(f"{i}.png"))


def write_wav(path):
    pytest.importorskip("soundfile")
    keras_ar.sound.write_wav(path, np.sin(np.arange(100)), rate=8000)


def write_text(path):
    path.write_text("to be or not to be, that is the question — " * 3, encoding="utf-8")


# Per format: the file that is damaged, what writes it and those beside it, and what is loaded with which options.
FORMATS = {
    "npz": ("some.npz", write_npz, True, {}),
    "npy": ("some.npy", write_npy, True, {}),
    "csv": ("some.csv", write_csv, True, {"labels": 0}),
    "parquet": ("some.parquet", write_arrow, True, {}),
    "arrow": ("some.arrow", write_arrow, True, {"labels": "kind"}),
    "idx images": ("train-images-idx3-ubyte", write_idx, False, {}),
    "idx labels": ("t10k-labels-idx1-ubyte.gz", write_idx, False, {}),
    "png": ("3.png", write_png, False, {}),
    "wav": ("some.wav", write_wav, True, {"length": 10}),
    "txt": ("some.txt", write_text, True, {"length": 10}),
}


def damages(whole, count, rng):
    """Copies of some bytes: cut off, with other bits, or with zeros in between."""
    for i in range(count):
        at = int(rng.integers(len(whole)))
        if i % 3 == 0:
            yield whole[:at]
        elif i % 3 == 1:
            yield whole[:at] + bytes([whole[at] ^ int(rng.integers(1, 256))]) + whole[at + 1 :]
        else:
            yield whole[:at] + bytes(int(rng.integers(1, 9))) + whole[at:]


def load(path, options):
    """The data set or the message of an error of the three kinds that there may be."""
    try:
        return datasets.load(path, **options)
    except (ValueError, OSError, ImportError) as error:
        return str(error)


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("name", FORMATS)
def test_damage_anywhere_is_named_or_harmless(name, tmp_path):
    file_name, write, is_path, options = FORMATS[name]
    path = tmp_path / file_name
    write(path)
    num_errors = 0
    for content in damages(path.read_bytes(), 100, np.random.default_rng(1)):
        path.write_bytes(content)
        data = load(path if is_path else tmp_path, options)
        if isinstance(data, str):
            assert file_name in data
            num_errors += 1
            continue
        for part in (data.train, data.valid, data.test):
            assert np.isfinite(part).all()
            assert data.num_levels is None or (part.size and part.max() < data.num_levels)
    assert num_errors > 0


# Sound.


def wav(num_samples, promised=None, channels=1, rate=8000, a_second=16_000, width=2, before=b""):
    """The bytes of a wav file of 16 bits."""
    promised = 2 * num_samples if promised is None else promised
    header = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, channels, rate, a_second, width, 16)
    body = b"WAVE" + before + header + struct.pack("<4sI", b"data", promised) + bytes(2 * num_samples)
    return struct.pack("<4sI", b"RIFF", len(body)) + body


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (wav(100)[:-20], "its header promises 244 bytes, and it has 224"),
        (wav(100)[:-1], "its header promises 244 bytes, and it has 243"),
        (wav(100, promised=2**31), "promises 2,147,483,692 bytes, and it has 244"),
        (wav(100)[:30], "promises"),
        (wav(100)[:36], "it has no samples"),
        (wav(100, rate=8001), "at odds with itself: 8001 samples a second of 2 bytes .* and 16000 bytes a second"),
        (wav(100, channels=0), "at odds with itself"),
        (b"no sound at all", "Format not recognised"),
        (b"", "Format not recognised"),
    ],
)
def test_a_wav_file_that_is_not_whole_is_named(content, why, tmp_path):
    pytest.importorskip("soundfile")
    path = tmp_path / "some.wav"
    path.write_bytes(content)
    for read in (keras_ar.sound.read_wav, lambda path: datasets.load(path, length=5)):
        with pytest.raises(OSError, match=rf"some.wav is damaged, half-downloaded or no sound file \(.*{why}"):
            read(path)


@pytest.mark.parametrize(
    "content",
    [
        wav(100),
        wav(100) + b"junk",  # as some recorders leave it
        wav(100, before=b"LIST\x03\0\0\0abc\0"),  # a chunk of an odd length has a byte more
        wav(100, promised=2**32 - 1),  # of a stream, whose length was not known when it began
    ],
)
def test_a_wav_file_that_is_whole_is_taken(content, tmp_path):
    pytest.importorskip("soundfile")
    (tmp_path / "some.wav").write_bytes(content)
    samples, rate = keras_ar.sound.read_wav(tmp_path / "some.wav")
    assert (samples[:100].tolist(), rate) == ([0.0] * 100, 8000)


def test_a_compressed_sound_file_that_is_not_whole_is_named(tmp_path):
    soundfile = pytest.importorskip("soundfile")
    path = tmp_path / "some.flac"
    soundfile.write(path, np.sin(np.arange(20_000)) / 2, 8000)
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(OSError, match=r"some.flac is damaged, half-downloaded"):
        keras_ar.sound.read_wav(path)


# What would take all memory, or all time.


def test_arrays_that_nobody_asked_for_are_not_read(tmp_path):
    path = tmp_path / "some.npz"
    x = np.arange(20)[:, None]
    np.savez(path, x=x, objects=np.array([{}], dtype=object))
    with zipfile.ZipFile(path, "a") as file:
        file.writestr("notes.txt", "no array")
        file.writestr("other.npy", "no array either")
    assert len(datasets.load(path).train) == 16


def npz_of(shape, num_bytes):
    """Writes an npz file whose array has a header of one shape, and another number of bytes."""

    def write(path):
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file, file.open("x.npy", "w") as member:
            np.lib.format.write_array_header_1_0(member, {"descr": "|u1", "fortran_order": False, "shape": shape})
            member.write(bytes(num_bytes))

    return write


def idx_of(axis, num_bytes):
    """Writes four idx files; each has a header of three axes of one size, and another number of bytes."""
    data = gzip.compress(struct.pack(">BBBBIII", 0, 0, 8, 3, axis, axis, axis) + bytes(num_bytes), 1)

    def write(path):
        for name in IDX_FILES:
            path.with_name(f"{name}.gz").write_bytes(data)

    return write


@pytest.mark.parametrize(
    ("name", "write", "message"),
    [
        ("some.npz", npz_of((10, 10), 2**24), "'x' should have 100 bytes, but has 16,777,216"),
        ("some.npz", npz_of((10**6, 10**6), 100), "'x' should have 1,000,000,000,000 bytes, but has 100"),
        ("train-images-idx3-ubyte.gz", idx_of(2, 2**24), "its header promises 8 bytes, and it has more"),
        ("train-images-idx3-ubyte.gz", idx_of(2**16, 100), "it promises 281,474,976,710,656 bytes, but has"),
    ],
)
def test_what_inflates_to_more_than_it_promises_is_not_read(name, write, message, tmp_path):
    path = tmp_path / name
    write(path)
    tracemalloc.start()
    try:
        with pytest.raises(OSError, match=rf"{name} is damaged.*{message}"):
            datasets.load(path if name == "some.npz" else tmp_path)
        assert tracemalloc.get_traced_memory()[1] < 2**22
    finally:
        tracemalloc.stop()


def test_an_array_of_many_gigabytes_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("keras_ar.datasets.files.MOST_BYTES", 2**20)
    np.savez(tmp_path / "some.npz", x=np.zeros((2**18, 8), "uint8"))
    with pytest.raises(ValueError, match=r"some.npz must hold arrays of at most .* GiB"):
        datasets.load(tmp_path / "some.npz")


@pytest.mark.parametrize("size", [20_000, 10_000])  # Pillow refuses the former, and only warns of the latter
def test_a_giant_picture_is_refused_before_it_is_read(size, tmp_path):
    pytest.importorskip("PIL")
    header = struct.pack(">4sIIBBBBB", b"IHDR", size, size, 1, 0, 0, 0, 0)
    chunks = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header)) + bytes(4) + b"IDAT" + bytes(4)
    (tmp_path / "giant.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunks)
    with pytest.raises(
        ValueError, match=r"giant.png must be smaller: crop or scale it first. Image size \(\d+ pixels\)"
    ):
        datasets.load(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
@pytest.mark.parametrize(("suffix", "write"), [("png", write_png), ("wav", write_wav)])
def test_a_pipe_in_a_folder_is_left_out_and_one_for_a_file_is_refused(suffix, write, tmp_path):
    for i in range(4):
        write(tmp_path / f"{i}.{suffix}")
    pipe = tmp_path / f"pipe.{suffix}"
    os.mkfifo(pipe)
    (tmp_path / f"folder.{suffix}").mkdir()
    with pytest.warns(UserWarning, match=rf"pipe.{suffix} is left out: it is a pipe"):
        assert len(datasets.load(tmp_path, **({"length": 10} if suffix == "wav" else {})).test) > 0
    with pytest.raises(ValueError, match="`name` must lead to a file or a folder, not to a pipe"):
        datasets.load(pipe)
    with pytest.raises(FileNotFoundError, match=r"`path` must lead to a sound file\. There is no file"):
        keras_ar.sound.read_wav(pipe)

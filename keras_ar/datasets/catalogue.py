"""`load`: a built-in data set by its name, or a file or folder by its path."""

import dataclasses
import difflib
import inspect
import os
import pathlib
from collections.abc import Sequence
from typing import Any

from keras_ar import mapped
from keras_ar.datasets import arrays, arrow, builtin, images, sequences, tables
from keras_ar.datasets.dataset import PARTS, Dataset

__all__ = ["load", "names"]

_BUILTIN = {
    "binarized_mnist": builtin.binarized_mnist,
    "cifar10": builtin.cifar10,
    "digits": builtin.digits,
    "fashion_mnist": builtin.fashion_mnist,
    "mnist": builtin.mnist,
}
_BY_SUFFIX = {
    ".arrow": arrow.read_arrow,
    ".csv": tables.read_csv,
    ".feather": arrow.read_arrow,
    ".npy": arrays.read_npy,
    ".npz": arrays.read_npz,
    ".parquet": arrow.read_parquet,
    ".txt": sequences.read_text,
    ".wav": sequences.read_sound,
}
_MEANT_FOR = {
    "length": "sound and text",
    "labels": "csv, Parquet and Arrow files",
    "columns": "csv, Parquet and Arrow files",
    "shape": "npz files",
}


def names() -> list[str]:
    """Names of the built-in data sets.

    Example:

    >>> keras_ar.datasets.names()
    ['binarized_mnist', 'cifar10', 'digits', 'fashion_mnist', 'mnist']
    """
    return sorted(_BUILTIN)


def load(
    name: str | os.PathLike,
    *,
    binary: bool = False,
    length: int | None = None,
    split: tuple[float, float, float] = (0.8, 0.1, 0.1),
    seed: int = 0,
    labels: str | int | None = None,
    columns: Sequence[str] | None = None,
    shape: int | tuple[int, ...] | None = None,
) -> Dataset:
    """Loads a data set by its name, or from a file or a folder.

    Built in are `"digits"` (scikit-learn's, nothing is downloaded), `"mnist"`,
    `"fashion_mnist"`, `"cifar10"` and `"binarized_mnist"`, the fixed binarization that
    papers compare on. Downloads are kept where Keras keeps its data sets,
    `~/.keras/datasets` or below `KERAS_HOME`, and their SHA-256 is checked whenever they are
    loaded. The last 10,000 training images are `valid` (5,000 of CIFAR-10).

    A path may lead to

    - an `.npz` file of arrays `train`, `valid` and `test`, or of one array `x`, which is
      split at random; `train_labels` etc., or `x_labels`, hold classes. Integers from 0 on
      stay integers, and arrays of three or four axes are images. Binary
      events may be packed by `np.packbits(..., axis=1)`: then `shape` is required, or
      an array `shape` in the file. (A file named `binarized_mnist.npz` must hold the binarized
      MNIST, packed or not, and is checked.)
    - an `.npy` file of one array of events, which may be larger than memory: it is mapped into memory in its own
      dtype, and `fit`, `evaluate` and `score_samples` read it batch by batch. It is split by position, because to
      shuffle it would be to read all of it: so its events should be in a random order. Loading reads it once, in
      pieces, for the number of levels.
    - a folder of the four files of MNIST's format, `train-images-idx3-ubyte.gz` etc., as in
      Debian's Fashion-MNIST; the last sixth of the training images is `valid`.
    - a folder of pictures of one size, or with a subfolder of them for each class; split at random.
    - a `.wav` file, split by position, so that its end is `test`; or a folder of them,
      split by file. Samples are companded by `keras_ar.sound.mu_law` to 256 levels.
    - a `.txt` file, split by position. Of a text of more than 64 million characters, the integers are in an unnamed
      file in the folder for temporary files, mapped into memory.
    - a `.csv` file, with a header, which is a first line of words alone, or without; split at
      random. Integers from 0 to 255 stay integers if there are no other numbers. Columns of
      words become integers, too: see `categories` of the data set.
    - a `.parquet`, `.arrow` or `.feather` file, or a folder of `.parquet` files, as tables of the same kind. A column
      of strings holds words, whatever they are. Needs the package pyarrow: `pip install "keras-ar[parquet]"`.

    A seed means the same split for ever, whatever the version of NumPy.

    Args:
        name: String or `pathlib.Path`: a name from `keras_ar.datasets.names()`, or a path.
        binary: Boolean, whether to make images binary: 1 from one half of their levels on. Defaults to `False`.
        length: Integer, the length of the windows that sound and text are cut into; `None` for 4096
            values of sound and 128 characters of text. Defaults to `None`.
        split: Three numbers that sum to 1, the shares of train, valid and test, where the data
            come in one piece. Defaults to `(0.8, 0.1, 0.1)`.
        seed: Integer, the seed of a random split. Defaults to `0`.
        labels: String or integer, the name or index of the column of a csv, Parquet or Arrow file that holds the
            class of each row, or `None`. Defaults to `None`.
        columns: List of strings, the names of the columns of such a file that make the events, in this order; `None`
            for all but that of `labels`. Of a Parquet or Arrow file no others are read. Defaults to `None`.
        shape: Integer or tuple, the shape of the events of an npz file that are flattened or packed, or
            `None`. Defaults to `None`.

    Returns:
        A `keras_ar.datasets.Dataset`.

    Example:

    >>> data = keras_ar.datasets.load("digits", binary=True)
    >>> data.train.shape, data.num_levels, data.train_labels[:4].tolist()
    ((1297, 8, 8, 1), 2, [2, 3, 5, 3])
    """
    read = _reader(name)
    takes = inspect.signature(read).parameters
    given = {"length": length, "labels": labels, "columns": columns, "shape": shape}
    given = {option: value for option, value in given.items() if value is not None}
    for option, value in given.items():
        if option not in takes:
            raise ValueError(f"`{option}` is for {_MEANT_FOR[option]}. Received: {option}={value!r}, with {name}.")
    always = {"path": pathlib.Path(name).expanduser().absolute(), "split": split, "seed": seed}
    dataset = read(**given, **{option: value for option, value in always.items() if option in takes})
    return _binarized(dataset) if binary else dataset


def _reader(name: Any):
    """The function that reads a data set of this name or path."""
    if not isinstance(name, str | os.PathLike) or not isinstance(os.fspath(name), str) or not os.fspath(name):
        raise ValueError(f"`name` must be the name of a data set, or a path. Received: name={name!r}.")
    if isinstance(name, str) and name in _BUILTIN:
        return _BUILTIN[name]
    try:
        path = pathlib.Path(name).expanduser()
    except RuntimeError as error:
        raise FileNotFoundError(f"There is no such home folder. Received: name={os.fspath(name)!r}.") from error
    if path.is_dir():
        return _reader_of_folder(path)
    if path.is_file():
        if path.name == builtin.BINARIZED_MNIST:
            return builtin.read_binarized_mnist
        if path.suffix.lower() in _BY_SUFFIX:
            return _BY_SUFFIX[path.suffix.lower()]
        raise ValueError(
            f"`name` must lead to a file of type {', '.join(sorted(_BY_SUFFIX))}, or to a folder: of pictures, of wav "
            f"files, of Parquet files, or of the files of MNIST's format. Received: name={os.fspath(name)!r}."
        )
    if path.exists():
        raise ValueError(
            f"`name` must lead to a file or a folder, not to a pipe, a socket or a device. "
            f"Received: name={os.fspath(name)!r}."
        )
    if isinstance(name, os.PathLike) or path.suffix or "/" in name or os.sep in name:
        raise FileNotFoundError(f"There is no file or folder {str(path)!r}. Received: name={os.fspath(name)!r}.")
    near = difflib.get_close_matches(name, _BUILTIN, n=1)
    meant = f" Did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"`name` must be a path, or one of {', '.join(names())}.{meant} Received: name={name!r}.")


def _reader_of_folder(folder):
    if images.is_idx_folder(folder):
        return images.read_idx_folder
    if arrow.parquet_files(folder):
        return arrow.read_parquet
    return sequences.read_sound if sequences.sound_files(folder) else images.read_pictures


def _binarized(dataset):
    if dataset.num_levels == 2:
        return dataset
    if dataset.kind != "images" or dataset.num_levels is None:
        raise ValueError(
            "`binary` is for images of integer levels. "
            f"Received: binary=True, with {dataset.kind} of {dataset.train.dtype} in {dataset.name}."
        )
    half = (dataset.num_levels + 1) // 2
    parts = {part: _cut(getattr(dataset, part), half) for part in PARTS}
    description = f"{dataset.description}, binary: 1 from level {half} on"
    return dataclasses.replace(dataset, num_levels=2, description=description, **parts)


def _cut(events, half):
    """1 from the level `half` on, else 0; in a file if the events are in one."""
    if mapped.is_mapped(events):
        return mapped.temporary((piece >= half for _, piece in mapped.pieces(events)), events.shape, "uint8")
    return (events >= half).astype("uint8")

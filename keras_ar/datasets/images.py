"""Images from folders: four files of the format of MNIST, or pictures."""

import gzip
import math
import zlib

import numpy as np

from keras_ar.datasets.dataset import Dataset, classes, damaged, shuffled

__all__ = ["is_idx_folder", "read_idx", "read_idx_folder", "read_pictures", "with_valid"]

_SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}
_MODES = {"1": 2, "L": 256, "RGB": 256}  # Pillow's names of black and white, gray and color, and their levels


def read_idx_folder(path):
    """Images and labels from four idx files, compressed or not; the last sixth of the training images is `valid`."""
    train, train_labels, test, test_labels = (
        read_idx(_idx_file(path, stem), axes)
        for stem, axes in (("train-images", 3), ("train-labels", 1), ("t10k-images", 3), ("t10k-labels", 1))
    )
    for part, images, labels in (("train", train, train_labels), ("t10k", test, test_labels)):
        if len(images) != len(labels):
            raise ValueError(
                f"The {part} files of {path} must hold as many labels as images: {len(labels)}, and {len(images)}."
            )
    return with_valid(
        ((train, train_labels), (test, test_labels)),
        num_valid=len(train) // 6,
        name=path.name,
        description=f"gray images of {path.name}, {train.shape[1]} by {train.shape[2]} pixels",
    )


def with_valid(parts, num_valid, **fields):
    """A data set of images of 256 levels; the last of the training images become `valid`."""
    (train, train_labels), (test, test_labels) = parts
    # Copied, because arrays made of the bytes of a file are read-only, of which torch warns.
    train, test = (np.array(images).reshape(*images.shape[:3], -1) for images in (train, test))
    train, valid = np.split(train, [len(train) - num_valid])
    train_labels, valid_labels = np.split(train_labels.ravel().astype("int32"), [len(train)])
    return Dataset(
        kind="images",
        train=train,
        valid=valid,
        test=test,
        num_levels=256,
        train_labels=train_labels,
        valid_labels=valid_labels,
        test_labels=test_labels.ravel().astype("int32"),
        **fields,
    )


def is_idx_folder(folder):
    """Whether any of the four files is there: then an error names those that are missing."""
    return any(folder.glob("train-*ubyte*")) or any(folder.glob("t10k-*ubyte*"))


def _idx_file(folder, stem):
    axes = 3 if stem.endswith("images") else 1
    name = f"{stem}-idx{axes}-ubyte"
    # Mirrors unpack `train-images-idx3-ubyte.gz` as `train-images.idx3-ubyte`, too.
    for found in (f"{name}.gz", name, f"{stem}.idx{axes}-ubyte.gz", f"{stem}.idx{axes}-ubyte"):
        if (folder / found).is_file():
            return folder / found
    raise FileNotFoundError(f"{folder} has no file {name}.gz or {name}: put it there, beside the other three.")


def read_idx(path, axes):
    """The bytes of a file in the format of MNIST: type and number of axes, the axes as big-endian integers, bytes."""
    data = path.read_bytes()
    if path.suffix == ".gz":
        try:
            data = gzip.decompress(data)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise damaged(path, error) from error
    if data[:4] != bytes([0, 0, 8, axes]):  # 8 means uint8
        raise damaged(path, f"it does not begin as an idx file of bytes with {axes} axes does")
    shape = np.frombuffer(data[4 : 4 + 4 * axes], ">u4").tolist()
    expected, found = 4 + 4 * axes + math.prod(shape), len(data)
    if len(shape) < axes or found != expected:
        raise damaged(path, f"{expected} bytes were expected, of {found}")
    return np.frombuffer(data, "uint8", offset=4 + 4 * axes).reshape(shape)


def read_pictures(path, split, seed):
    """Pictures of one size and mode; those in subfolders have the subfolder as their class."""
    files, labels, description = _pictures(path), None, ""
    if not files:
        by_class = {sub.name: _pictures(sub) for sub in sorted(path.iterdir()) if sub.is_dir()}
        files = [file for of_class in by_class.values() for file in of_class]
        if not files:
            raise FileNotFoundError(
                f"{path} must hold pictures ({', '.join(sorted(_SUFFIXES))}), itself or in subfolders, one a class, "
                "the four files of MNIST's format, or wav files. It holds none of them."
            )
        labels, words = classes([name for name, of_class in by_class.items() for _ in of_class])
        description = f", {words}"
    pictures, mode = _read_all(files)
    parts = shuffled(pictures, labels, split, seed, f"{path} holds {len(pictures)} pictures")
    words = f"pictures of {path.name}, {pictures.shape[1]} by {pictures.shape[2]} pixels{description}"
    return Dataset(name=path.name, description=words, kind="images", num_levels=_MODES[mode], **parts)


def _pictures(folder):
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in _SUFFIXES and path.name[0] != ".")


def _read_all(files):
    """All pictures as one uint8 array, and their mode, which is that of the first."""
    image = _pillow()
    pictures = []
    for file in files:
        try:
            with image.open(file) as picture:
                size, mode = picture.size, picture.mode
                pixels = np.array(picture)
        except (OSError, SyntaxError, ValueError) as error:  # Pillow raises all of them for a broken file
            raise damaged(file, error) from error
        if mode not in _MODES:
            raise ValueError(
                f"{file} must be black and white, gray or RGB (mode {', '.join(_MODES)}): convert it first. "
                f"It has mode {mode}."
            )
        if not pictures:
            first = (size, mode)
        elif (size, mode) != first:
            raise ValueError(
                f"All pictures must have the size and mode of {files[0]}, {_words(*first)}: crop, scale or convert "
                f"first. {file} has {_words(size, mode)}."
            )
        pictures.append(pixels.astype("uint8"))
    pictures = np.stack(pictures)
    return pictures.reshape(*pictures.shape[:3], -1), mode


def _words(size, mode):
    return f"{size[0]} by {size[1]} pixels, {mode}"


def _pillow():
    try:
        import PIL.Image
    except ImportError as error:
        raise ImportError('Pictures need the package Pillow: pip install "keras-ar[data]".') from error
    return PIL.Image

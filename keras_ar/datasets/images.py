"""Images from folders: four files of the format of MNIST, or pictures."""

import gzip
import math
import warnings

import numpy as np

from keras_ar.datasets.dataset import Dataset, classes, shuffled
from keras_ar.datasets.files import check_size, files_of, reading

__all__ = ["is_idx_folder", "read_idx", "read_idx_folder", "read_pictures", "with_valid"]

_SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}
_MODES = {"1": 2, "L": 256, "RGB": 256}  # Pillow's names of black and white, gray and color, and their levels


def read_idx_folder(path):
    """Images and labels from four idx files, compressed or not; the last sixth of the training images is `valid`."""
    parts = []
    for part in ("train", "t10k"):
        images_file, labels_file = _idx_file(path, f"{part}-images", axes=3), _idx_file(path, f"{part}-labels", axes=1)
        images, labels = read_idx(images_file, axes=3), read_idx(labels_file, axes=1)
        if len(images) != len(labels):
            raise ValueError(
                f"{labels_file} must hold as many labels as {images_file.name} has images. "
                f"They hold {len(labels)}, and {len(images)}."
            )
        parts.append((images, labels))
    sizes = [images.shape[1:] for images, _ in parts]
    if sizes[0] != sizes[1]:
        raise ValueError(
            f"{images_file} must hold images of the size of the training images, {sizes[0][0]} by {sizes[0][1]} "
            f"pixels. It holds images of {sizes[1][0]} by {sizes[1][1]}."
        )
    return with_valid(
        parts,
        num_valid=len(parts[0][0]) // 6,
        name=path.name,
        description=f"gray images of {path.name}, {sizes[0][0]} by {sizes[0][1]} pixels",
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


def _idx_file(folder, stem, axes):
    name = f"{stem}-idx{axes}-ubyte"
    # Mirrors unpack `train-images-idx3-ubyte.gz` as `train-images.idx3-ubyte`, too.
    for found in (f"{name}.gz", name, f"{stem}.idx{axes}-ubyte.gz", f"{stem}.idx{axes}-ubyte"):
        if (folder / found).is_file():
            return folder / found
    raise FileNotFoundError(f"{folder} has no file {name}.gz or {name}: put it there, beside the other three.")


def read_idx(path, axes):
    """The bytes of a file in the format of MNIST: type and number of axes, the axes as big-endian integers, bytes."""
    with reading(path), _open_idx(path) as file:
        header = file.read(4 + 4 * axes)
        if header[:4] != bytes([0, 0, 8, axes]) or len(header) < 4 + 4 * axes:  # 8 means uint8
            raise ValueError(f"it does not begin as an idx file of bytes with {axes} axes does")
    shape = np.frombuffer(header, ">u4", offset=4).tolist()
    if 0 in shape:
        raise ValueError(f"{path} must hold at least one value. It holds an array of shape {tuple(shape)}.")
    size = math.prod(shape)
    check_size(path, size, path.stat().st_size)
    with reading(path), _open_idx(path) as file:
        file.seek(len(header))
        data = file.read(size + 1)  # not all that there is, which may be more than fits into memory
        if len(data) != size:
            raise ValueError(
                f"its header promises {size:,} bytes, and it has {'fewer' if len(data) < size else 'more'}"
            )
    return np.frombuffer(data, "uint8").reshape(shape)


def _open_idx(path):
    return gzip.open(path) if path.suffix == ".gz" else path.open("rb")


def read_pictures(path, split, seed):
    """Pictures of one size and mode; those in subfolders have the subfolder as their class."""
    files, labels, description = files_of(path, _SUFFIXES), None, ""
    if not files:
        by_class = {sub.name: files_of(sub, _SUFFIXES) for sub in sorted(path.iterdir()) if sub.is_dir()}
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


def _read_all(files):
    """All pictures as one uint8 array, and their mode, which is that of the first."""
    image = _pillow()
    pictures = []
    for file in files:
        with _open_picture(image, file) as picture:
            size, mode = picture.size, picture.mode
            with reading(file):
                num_pages = getattr(picture, "n_frames", 1)
            if num_pages > 1:
                raise ValueError(
                    f"{file} must hold one picture: save its pages as files. It holds {num_pages} of them."
                )
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
            with reading(file):
                pictures.append(np.array(picture).astype("uint8"))
    pictures = np.stack(pictures)
    return pictures.reshape(*pictures.shape[:3], -1), mode


def _open_picture(image, file):
    """The picture of a file, whose pixels are not read yet."""
    too_large = (image.DecompressionBombWarning, image.DecompressionBombError)
    try:
        with reading(file, *too_large), warnings.catch_warnings():
            warnings.simplefilter("error", image.DecompressionBombWarning)
            return image.open(file)
    except too_large as error:
        raise ValueError(f"{file} must be smaller: crop or scale it first. {error}") from error


def _words(size, mode):
    return f"{size[0]} by {size[1]} pixels, {mode}"


def _pillow():
    try:
        import PIL.Image
    except ImportError as error:
        raise ImportError('Pictures need the package Pillow: pip install "keras-ar[data]".') from error
    return PIL.Image

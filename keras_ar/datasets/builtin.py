"""Built-in data sets. Downloads are kept in Keras' cache, and checked whenever they are loaded.

Keras itself checks the files of MNIST and CIFAR-10 by their SHA-256. It does not check those of Fashion-MNIST, and
it has no binarized MNIST: for these two the SHA-256 below is that of the values, however they are compressed.
"""

import hashlib
import os
import pathlib

import keras
import numpy as np

from keras_ar.datasets.arrays import NpzFile
from keras_ar.datasets.dataset import PARTS, Dataset, shuffled
from keras_ar.datasets.files import damaged
from keras_ar.datasets.images import read_idx, with_valid

__all__ = [
    "BINARIZED_MNIST",
    "SHA256",
    "binarized_mnist",
    "cifar10",
    "digits",
    "fashion_mnist",
    "mnist",
    "read_binarized_mnist",
]

SHA256 = {
    "train-images-idx3-ubyte.gz": "2e487a6c89124f78f2d7521542223cafe96f7123c3ca13d447772ac6ecbb3012",
    "train-labels-idx1-ubyte.gz": "657fbd221bfc9f4198cc14b5619cc33ec57c58dd0e47af4d99d6650759e869a7",
    "t10k-images-idx3-ubyte.gz": "c867c93ff95360594e8ec3287995350b824dd110b11595c0e13d5423f621867a",
    "t10k-labels-idx1-ubyte.gz": "3d0e6c6ea990b53b6f8f500a41cac93881d981b315f84578b7d915342ade01e9",
    "binarized_mnist_train.amat": "43490d4d6ac9002727af4426d8748609fdb7e4094fa65ad8d681ea60082a7a5a",
    "binarized_mnist_valid.amat": "069b4f0beb389b776478c3e872b4df71c95ac4be64d7cbe6d32e24ebac8e6d5e",
    "binarized_mnist_test.amat": "ca0294c3b8d984c7a1dc891015a8eea6f37bae59a34e35ea0fc8c47110a8dd86",
}
BINARIZED_MNIST = "binarized_mnist.npz"
_BINARIZED_MNIST_URL = "http://www.cs.toronto.edu/~larocheh/public/datasets/binarized_mnist/"


def digits():
    """1797 handwritten digits of scikit-learn, 1297 to train on, 250 to validate with and 250 to test on."""
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise ImportError('The digits need the package scikit-learn: pip install "keras-ar[data]".') from error
    found = load_digits()
    images, labels = found.images.astype("uint8")[..., None], found.target.astype("int32")
    return Dataset(
        name="digits",
        description="handwritten digits of scikit-learn, 8 by 8 pixels",
        kind="images",
        num_levels=17,
        **shuffled(images, labels, split=(1297 / 1797, 250 / 1797, 250 / 1797), seed=0, of="scikit-learn"),
    )


def mnist():
    """70,000 handwritten digits."""
    parts = _fetched("mnist", keras.datasets.mnist.load_data, "the file mnist.npz", _cache())
    description = "handwritten digits, 28 by 28 pixels (LeCun et al., 1998)"
    return with_valid(parts, 10_000, name="mnist", description=description)


def fashion_mnist():
    """70,000 images of clothes."""
    folder = _cache() / "fashion-mnist"
    files = [folder / name for name in SHA256 if name.endswith(".gz")]
    load_data = keras.datasets.fashion_mnist.load_data
    try:
        parts = _fetched("fashion_mnist", load_data, f"the files {', '.join(file.name for file in files)}", folder)
    except OSError:
        for file in files:
            if file.is_file():
                read_idx(file, axes=3 if "images" in file.name else 1)  # says which one is damaged, if one is
        raise
    for file, array in zip(files, (*parts[0], *parts[1]), strict=True):
        _check(array, SHA256[file.name], file)
    description = "clothes in gray, 28 by 28 pixels (Xiao et al., 2017)"
    return with_valid(parts, 10_000, name="fashion_mnist", description=description)


def cifar10():
    """60,000 color images of ten classes."""
    file = "the file cifar-10-python.tar.gz, renamed cifar-10-batches-py-target_archive,"
    parts = _fetched("cifar10", keras.datasets.cifar10.load_data, file, _cache())
    if keras.config.image_data_format() == "channels_first":
        parts = tuple((images.transpose(0, 2, 3, 1), labels) for images, labels in parts)
    description = "color images of ten classes, 32 by 32 pixels (Krizhevsky, 2009)"
    return with_valid(parts, 5000, name="cifar10", description=description)


def binarized_mnist():
    """MNIST in black and white, in the fixed binarization of Larochelle: its text files are converted to bits once."""
    packed = _cache_folder() / BINARIZED_MNIST
    if not packed.is_file():
        parts = {part: _downloaded_bits(part) for part in PARTS}
        unfinished = packed.with_name(f"unfinished-{BINARIZED_MNIST}")
        np.savez(unfinished, shape=(28, 28, 1), **{part: np.packbits(bits, axis=1) for part, bits in parts.items()})
        unfinished.replace(packed)  # so that a file of this name is whole
    return read_binarized_mnist(packed)


def read_binarized_mnist(path):
    """The binarized MNIST from an npz file, of bits or packed bits."""
    arrays = NpzFile(path)
    if missing := [part for part in PARTS if part not in arrays]:
        raise damaged(path, f"it has no array `{missing[0]}`")
    parts = {part: arrays[part] for part in PARTS}
    for part, bits in parts.items():
        if bits.dtype == "uint8" and bits.shape[1:] == (98,):
            parts[part] = np.unpackbits(bits, axis=1)  # 98 * 8 = 784: no bit is left over
        _check(parts[part], SHA256[f"binarized_mnist_{part}.amat"], path)
    return Dataset(
        name="binarized_mnist",
        description="handwritten digits, 28 by 28 pixels, in the fixed binarization of Larochelle",
        kind="images",
        num_levels=2,
        **{part: bits.reshape(-1, 28, 28, 1) for part, bits in parts.items()},
    )


def _downloaded_bits(part):
    """Rows of 784 bits from a text file of zeros and ones."""
    name, folder = f"binarized_mnist_{part}.amat", _cache()
    file = _fetched(
        "binarized_mnist",
        lambda: keras.utils.get_file(name, origin=_BINARIZED_MNIST_URL + name, cache_dir=str(folder.parent)),
        f"{BINARIZED_MNIST}, or the files binarized_mnist_train.amat, ..._valid.amat and ..._test.amat,",
        folder,
    )
    characters = np.fromfile(file, "uint8")
    bits = characters[(characters == ord("0")) | (characters == ord("1"))] - ord("0")
    _check(bits, SHA256[name], file)
    return bits.reshape(-1, 784)


def _fetched(name, fetch, files, folder):
    try:
        return fetch()
    except Exception as error:  # Keras raises a bare `Exception` where a download fails
        raise OSError(
            f"{name} is not in {folder}, and could not be downloaded ({error}): connect to the network, or put {files} "
            f"into {folder}."
        ) from error


def _check(array, sha256, path):
    if array.dtype != "uint8" or hashlib.sha256(array.tobytes()).hexdigest() != sha256:
        raise damaged(path, "the SHA-256 of its values is not the one that is known")


def _cache_folder():
    """Where Keras keeps its data sets."""
    return pathlib.Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser() / "datasets"


def _cache():
    """The same folder, to write into. Where it cannot, Keras would use `/tmp`, which anybody can write into."""
    folder = _cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        writable = os.access(folder.parent, os.W_OK) and os.access(folder, os.W_OK)
    except OSError:
        writable = False
    if not writable:
        raise PermissionError(
            f"The folder {folder}, for what is downloaded, cannot be written into: make it writable, or set the "
            "environment variable KERAS_HOME, before Keras is imported, to a folder that is."
        )
    return folder

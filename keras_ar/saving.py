"""Opens saved models with errors that say what is wrong with the file."""

import contextlib
import json
import os
import zipfile
import zlib
from collections.abc import Iterator
from typing import Any

import keras

from keras_ar import registry

__all__ = ["load_model"]

# What `zipfile` raises over damaged bytes, depending on which they are.
_UNREADABLE = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError)
# Keras stores weights as they are: what grows manyfold when it is read was made to fill the memory.
_LARGEST_CONFIG = 64 * 2**20  # bytes
_MOST_GROWTH = 20


def load_model(filepath: str | os.PathLike, **kwargs) -> keras.Model:
    """Loads a `.keras` file, on any backend, and imports the plugins that it needs.

    Plain `keras.saving.load_model` works as well once `keras_ar` is imported.
    This one looks at the file first, so that a damaged file or a plugin that is
    not installed is reported as such. A file that would fill the memory, or read other
    files, is refused.

    Args:
        filepath: String or path of a `.keras` file. Anything else that
            `keras.saving.load_model` takes is passed to it as it is.
        **kwargs: Arguments of `keras.saving.load_model`: `custom_objects`,
            `compile`, `safe_mode`.

    Returns:
        The model.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is truncated, damaged, not a `.keras` file, or from before the first release;
            or it would fill the memory, or read other files.
        keras_ar.registry.UnknownNameError: Names every class that the file
            needs and nothing provides, and what to install.
        keras_ar.registry.PluginError: A plugin that the file needs is broken.

    Example:

    >>> import os, tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "tiny.keras")
    >>> keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]).save(path)
    >>> keras_ar.saving.load_model(path).output_shape
    (None, 1)
    """
    path = os.fspath(filepath)
    if path.endswith(".keras") and "://" not in path and not os.path.isdir(path):
        config = _read_config(path)
        _check_format(config, path)
        if not kwargs.get("compile", True):
            config["compile_config"] = None  # as Keras does: without it, the optimizer's class need not exist
        with _naming(path):
            registry.load_classes(config, kwargs.get("custom_objects"))
            return keras.saving.load_model(filepath, **kwargs)
    return keras.saving.load_model(filepath, **kwargs)


@contextlib.contextmanager
def _naming(path: str) -> Iterator[None]:
    """Names the file in the errors that Keras and the classes of a file raise over configs and weights of any kind."""
    try:
        yield
    except (registry.UnknownNameError, registry.PluginError, MemoryError):
        raise
    except Exception as error:
        raise ValueError(f"{path!r} holds no model that can be opened. {type(error).__name__}: {error}") from error


def _check_format(config: dict[str, Any], path: str) -> None:
    """Raises a `ValueError` if the file is from before the first release, when weights had other names and shapes."""
    is_ours = str(config.get("registered_name")).startswith("keras_ar>")
    build_config = config.get("build_config")
    if is_ours and not (isinstance(build_config, dict) and "format" in build_config):
        raise ValueError(
            f"{path!r} holds a {config.get('class_name')} that was saved by an unreleased version of keras_ar. "
            f"Such files are not supported: train the model again."
        )


def _read_config(path: str) -> dict[str, Any]:
    if not os.path.exists(path):
        raise FileNotFoundError(f"`filepath` must be a .keras file. There is no file {path!r}.")
    try:
        with zipfile.ZipFile(path) as archive:
            _check_sizes(archive, path)
            _check_members(archive, path)
            _check_weights(archive, path)
            text = archive.read("config.json")
    except _UNREADABLE as error:
        raise ValueError(
            f"{path!r} ({os.path.getsize(path)} bytes) is truncated or not a .keras file: not a whole zip archive."
        ) from error
    except KeyError as error:
        raise ValueError(f"{path!r} is not a .keras file: it is a zip archive without 'config.json'.") from error
    try:
        config = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path!r} is not a .keras file: its 'config.json' is not JSON.") from error
    if not isinstance(config, dict):
        raise ValueError(
            f"{path!r} is not a .keras file: its 'config.json' must hold an object. It holds a {type(config).__name__}."
        )
    return config


def _check_sizes(archive: zipfile.ZipFile, path: str) -> None:
    """Refuses what would fill the memory. `zipfile` reads no more of a member than the size that the archive names."""
    sizes = {member.filename: member.file_size for member in archive.infolist()}
    if sizes.get("config.json", 0) > _LARGEST_CONFIG:
        raise ValueError(
            f"{path!r} must have a 'config.json' of at most {_LARGEST_CONFIG:,} bytes. It has {sizes['config.json']:,}."
        )
    total = sum(member.file_size for member in archive.infolist())
    _check_growth(total, os.path.getsize(path), path)


def _check_growth(size: int, size_in_file: int, path: str) -> None:
    most = _MOST_GROWTH * size_in_file + _LARGEST_CONFIG
    if size > most:
        raise ValueError(
            f"{path!r} must be at most {most:,} bytes large when it is read, by its size of {size_in_file:,} bytes. "
            f"It is {size:,} bytes large."
        )


def _check_members(archive: zipfile.ZipFile, path: str) -> None:
    """Reads every member once, which compares it with its checksum."""
    for member in archive.namelist():
        try:
            with archive.open(member) as stream:
                while stream.read(2**20):
                    pass
        except (*_UNREADABLE, OSError) as error:
            raise ValueError(f"{path!r} is damaged: its member {member!r} cannot be read. {error}") from error


def _check_weights(archive: zipfile.ZipFile, path: str) -> None:
    """Refuses weights that are kept in other files, which HDF5 would read, and those that are larger than they seem."""
    import h5py

    name, total = "model.weights.h5", 0

    def look(_, item):
        nonlocal total
        if isinstance(item, h5py.Group):
            return next((key for key in item if not isinstance(item.get(key, getlink=True), h5py.HardLink)), None)
        total += item.nbytes
        return item.name if item.external or item.is_virtual else None

    if name not in archive.namelist():
        return
    try:
        with archive.open(name) as stream, h5py.File(stream, "r") as weights:
            elsewhere = look("/", weights) or weights.visititems(look)
    except (OSError, RuntimeError, LookupError, ValueError, TypeError) as error:
        raise ValueError(f"{path!r} is damaged: its member {name!r} is no HDF5 file. {error}") from error
    if elsewhere is not None:
        raise ValueError(f"{path!r} must hold all of its weights. It has {elsewhere!r} in another place.")
    _check_growth(total, archive.getinfo(name).file_size, path)

"""Saves models with a model card, and opens saved models with errors that say what is wrong with the file."""

import contextlib
import importlib.util
import json
import os
import pathlib
import re
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from typing import IO, Any

import keras

from keras_ar import cards, registry

__all__ = ["load_model", "save_model"]

# What `zipfile` raises over damaged bytes, depending on which they are.
_UNREADABLE = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError)
# Keras stores weights as they are: what grows manyfold when it is read was made to fill the memory.
_LARGEST_CONFIG = 64 * 2**20  # bytes
_MOST_GROWTH = 20
_CONFIG, _WEIGHTS = "config.json", "model.weights.h5"
_HUB = "hf://"


def load_model(filepath: str | os.PathLike, **kwargs) -> keras.Model:
    """Loads a saved model, on any backend, and imports the plugins that it needs.

    Plain `keras.saving.load_model` works as well once `keras_ar` is imported.
    This one looks at the file first, so that a damaged file or a plugin that is
    not installed is reported as such. A file that would fill the memory, or read other
    files, is refused.

    Args:
        filepath: String or path of a `.keras` file or of the folder of a model; or `"hf://user/name"`, a model on
            the Hugging Face Hub. Anything else that `keras.saving.load_model` takes is passed to it as it is.
        **kwargs: Arguments of `keras.saving.load_model`: `custom_objects`,
            `compile`, `safe_mode`.

    Returns:
        The model.

    Raises:
        FileNotFoundError: There is no such file.
        ImportError: The model is on the Hub, and `huggingface_hub` is not installed.
        ValueError: The file is truncated, damaged, not a saved model, or from before the first release;
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
    if path.startswith(_HUB):
        folder = _download(path)
        return _load(folder, path, _read_folder(folder, path), kwargs)
    if "://" not in path and os.path.isdir(path):
        if os.path.exists(os.path.join(path, _CONFIG)) or not _may_be_a_checkpoint(path):
            return _load(path, path, _read_folder(path, path), kwargs)
    elif path.endswith(".keras") and "://" not in path:
        return _load(path, path, _read_file(path), kwargs)
    return keras.saving.load_model(filepath, **kwargs)


def save_model(model: keras.Model, filepath: str | os.PathLike, figures: Mapping[str, Any] | None = None) -> None:
    """Saves a density model: to a file, or with a model card to a folder or to the Hugging Face Hub.

    The card, `README.md`, says what the model is, how to load it and what to install for that, and the figures.

    Args:
        model: A `keras_ar.DensityModel`.
        filepath: String or path of a `.keras` file, which is what `model.save` writes, or of a folder; or
            `"hf://user/name"`, which needs `huggingface_hub` and a token of that user.
        figures: Dictionary of what is known of the model, such as `{"data set": "digits", "test nats": "15.3 ± 0.2"}`,
            for the card. Defaults to `None`.

    Example:

    >>> import os, tempfile
    >>> folder = os.path.join(tempfile.mkdtemp(), "tiny")
    >>> keras_ar.save_model(keras_ar.models.FVSBN(4), folder, {"data set": "coins"})
    >>> [name for name in sorted(os.listdir(folder)) if "." in name]
    ['README.md', 'config.json', 'metadata.json', 'model.weights.h5']
    >>> keras_ar.load_model(folder).event_shape
    (4,)
    """
    path = os.fspath(filepath)
    if not hasattr(model, "event_shape"):
        raise ValueError(
            f"`model` must be a density model of keras_ar. Received: model of type {type(model).__name__}."
        )
    if figures is not None:
        cards.check_figures(figures)
    if path.startswith(_HUB):
        _upload(model, path, figures)
    elif "://" in path or path.endswith((".h5", ".hdf5")):
        raise ValueError(
            f"`filepath` must be a .keras file, a folder, or 'hf://user/name'. Received: filepath={path!r}."
        )
    elif not path.endswith(".keras"):
        _save_folder(model, path, path, figures)
    elif figures:
        raise ValueError(f"`figures` must be None for a file, which has no card: save to a folder. Received: {path!r}.")
    else:
        model.save(path)


def _save_folder(model, folder, name, figures):
    """Saves a model and its card, which calls it by a name."""
    model.save(folder, zipped=False)
    card = cards.write(model, name, figures)
    pathlib.Path(folder, "README.md").write_text(card, encoding="utf-8")


# The Hugging Face Hub.


def _hub(path):
    """The package `huggingface_hub`, and the name of a repository from a path of the Hub."""
    repository = path.removeprefix(_HUB)
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repository):
        raise ValueError(f"`filepath` must be 'hf://user/name' for a model on the Hub. Received: filepath={path!r}.")
    if importlib.util.find_spec("huggingface_hub") is None:
        raise ImportError(
            f"{path!r} needs huggingface_hub, which cannot be imported: pip install 'keras-ar[hub]'.",
        )
    import huggingface_hub

    return huggingface_hub, repository


def _download(path):
    """The local folder with what is on the Hub of a model; nothing else of its repository is fetched."""
    hub, repository = _hub(path)
    return hub.snapshot_download(repository, allow_patterns=[_CONFIG, "metadata.json", _WEIGHTS, "assets/*"])


def _upload(model, path, figures):
    hub, repository = _hub(path)
    with tempfile.TemporaryDirectory() as folder:
        _save_folder(model, folder, path, figures)
        api = hub.HfApi(library_name="keras_ar")
        repository = api.create_repo(repository, exist_ok=True).repo_id
        api.upload_folder(repo_id=repository, folder_path=folder, commit_message="Save a model of keras_ar")


# What a saved model is checked for.


def _load(path, name, config, kwargs):
    """Opens what has been looked at: a file or a folder, which errors call by a name."""
    _check_format(config, name)
    if not kwargs.get("compile", True):
        config["compile_config"] = None  # as Keras does: without it, the optimizer's class need not exist
    with _naming(name):
        registry.load_classes(config, kwargs.get("custom_objects"))
        return keras.saving.load_model(path, **kwargs)


def _may_be_a_checkpoint(folder):
    """Whether a folder without a config may be one that Keras opens all the same: a checkpoint of Orbax."""
    entries = {entry.name: entry for entry in os.scandir(folder)}
    return _WEIGHTS not in entries and any(e.is_dir() or "checkpoint" in name for name, e in entries.items())


def _read_folder(folder, name):
    """The config of a folder; an error if it is not that of a model, or not to be opened."""
    weights = os.path.join(folder, _WEIGHTS)
    for path, part in ((os.path.join(folder, _CONFIG), _CONFIG), (weights, _WEIGHTS)):
        if not os.path.isfile(path):
            raise ValueError(f"{name!r} holds no saved model: it has no {part!r}.")
    _check_config_size(os.path.getsize(os.path.join(folder, _CONFIG)), name)
    with open(weights, "rb") as stream:
        _check_weights(stream, os.path.getsize(weights), name)
    return _parse(pathlib.Path(folder, _CONFIG).read_bytes(), name)


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


def _read_file(path: str) -> dict[str, Any]:
    """The config of a `.keras` file; an error if it is not such, damaged, or not to be opened."""
    if not os.path.exists(path):
        raise FileNotFoundError(f"`filepath` must be a .keras file. There is no file {path!r}.")
    try:
        with zipfile.ZipFile(path) as archive:
            _check_sizes(archive, path)
            _check_members(archive, path)
            if _WEIGHTS in archive.namelist():
                with archive.open(_WEIGHTS) as stream:
                    _check_weights(stream, archive.getinfo(_WEIGHTS).file_size, path)
            text = archive.read(_CONFIG)
    except _UNREADABLE as error:
        raise ValueError(
            f"{path!r} ({os.path.getsize(path)} bytes) is truncated or not a .keras file: not a whole zip archive."
        ) from error
    except KeyError as error:
        raise ValueError(f"{path!r} is not a .keras file: it is a zip archive without 'config.json'.") from error
    return _parse(text, path)


def _parse(text: bytes, path: str) -> dict[str, Any]:
    try:
        config = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path!r} is not a saved model: its 'config.json' is not JSON.") from error
    if not isinstance(config, dict):
        raise ValueError(
            f"{path!r} is not a saved model: its 'config.json' must hold an object. It holds a {type(config).__name__}."
        )
    return config


def _check_sizes(archive: zipfile.ZipFile, path: str) -> None:
    """Refuses what would fill the memory. `zipfile` reads no more of a member than the size that the archive names."""
    sizes = {member.filename: member.file_size for member in archive.infolist()}
    _check_config_size(sizes.get(_CONFIG, 0), path)
    total = sum(member.file_size for member in archive.infolist())
    _check_growth(total, os.path.getsize(path), path)


def _check_config_size(size: int, path: str) -> None:
    if size > _LARGEST_CONFIG:
        raise ValueError(f"{path!r} must have a 'config.json' of at most {_LARGEST_CONFIG:,} bytes. It has {size:,}.")


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


def _check_weights(stream: IO[bytes], size: int, path: str) -> None:
    """Refuses weights that are kept in other files, which HDF5 would read, and those that are larger than they seem."""
    import h5py

    total = 0

    def look(_, item):
        nonlocal total
        if isinstance(item, h5py.Group):
            return next((key for key in item if not isinstance(item.get(key, getlink=True), h5py.HardLink)), None)
        total += item.nbytes
        return item.name if item.external or item.is_virtual else None

    try:
        with h5py.File(stream, "r") as weights:
            elsewhere = look("/", weights) or weights.visititems(look)
    except (OSError, RuntimeError, LookupError, ValueError, TypeError) as error:
        raise ValueError(f"{path!r} is damaged: its member {_WEIGHTS!r} is no HDF5 file. {error}") from error
    if elsewhere is not None:
        raise ValueError(f"{path!r} must hold all of its weights. It has {elsewhere!r} in another place.")
    _check_growth(total, size, path)

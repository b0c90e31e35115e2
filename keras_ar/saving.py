"""Opens saved models with errors that say what is wrong with the file."""

import json
import os
import zipfile
import zlib
from typing import Any

import keras

from keras_ar import registry

__all__ = ["load_model"]

# What `zipfile` raises over damaged bytes, depending on which they are.
_UNREADABLE = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError)


def load_model(filepath: str | os.PathLike, **kwargs) -> keras.Model:
    """Loads a `.keras` file, on any backend, and imports the plugins that it needs.

    Plain `keras.saving.load_model` works as well once `keras_ar` is imported.
    This one looks at the file first, so that a damaged file or a plugin that is
    not installed is reported as such.

    Args:
        filepath: String or path of a `.keras` file. Anything else that
            `keras.saving.load_model` takes is passed to it as it is.
        **kwargs: Arguments of `keras.saving.load_model`: `custom_objects`,
            `compile`, `safe_mode`.

    Returns:
        The model.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is truncated, damaged, not a `.keras` file, or from before the first release.
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
        registry.load_classes(config, kwargs.get("custom_objects"))
    return keras.saving.load_model(filepath, **kwargs)


def _check_format(config: dict[str, Any], path: str) -> None:
    """Raises a `ValueError` if the file is from before the first release, when weights had other names and shapes."""
    is_ours = str(config.get("registered_name")).startswith("keras_ar>")
    if is_ours and "format" not in (config.get("build_config") or {}):
        raise ValueError(
            f"{path!r} holds a {config.get('class_name')} that was saved by an unreleased version of keras_ar. "
            f"Such files are not supported: train the model again."
        )


def _read_config(path: str) -> dict[str, Any]:
    if not os.path.exists(path):
        raise FileNotFoundError(f"`filepath` must be a .keras file. There is no file {path!r}.")
    try:
        with zipfile.ZipFile(path) as archive:
            _check_members(archive, path)
            return json.loads(archive.read("config.json"))
    except _UNREADABLE as error:
        raise ValueError(
            f"{path!r} ({os.path.getsize(path)} bytes) is truncated or not a .keras file: not a whole zip archive."
        ) from error
    except KeyError as error:
        raise ValueError(f"{path!r} is not a .keras file: it is a zip archive without 'config.json'.") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path!r} is not a .keras file: its 'config.json' is not JSON.") from error


def _check_members(archive: zipfile.ZipFile, path: str) -> None:
    """Reads every member once, which compares it with its checksum."""
    for member in archive.namelist():
        try:
            with archive.open(member) as stream:
                while stream.read(2**20):
                    pass
        except (*_UNREADABLE, OSError) as error:
            raise ValueError(f"{path!r} is damaged: its member {member!r} cannot be read. {error}") from error

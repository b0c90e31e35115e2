"""Trained models by name: what distributions list in the entry-point group `keras_ar.zoo`.

Ours are in the distribution keras-ar-zoo. A trained model is the folder of a run of `keras-ar train`: the model, its
card, the recipe that made it, and what it reached.
"""

import hashlib
import json
import os
from typing import Any

from keras_ar import registry, saving

__all__ = ["card", "load", "metrics", "names"]


def names() -> list[str]:
    """The names of the trained models that are installed, those of plugins with their distribution where it is needed.

    Example:

    >>> "made-digits" in keras_ar.zoo.names()
    True
    """
    found = registry.entries(registry.ZOO)
    bare = [entry.name for entry in found]
    return [entry.name if bare.count(entry.name) == 1 else entry.qualified_name for entry in found]


def load(name: str) -> Any:
    """Loads a trained model by its name, on any backend.

    `keras_ar.load` is the same function. `keras-ar list` shows the names, and what each model reached; nothing is
    downloaded. The file is compared with the SHA-256 of the run that made it.

    Args:
        name: String, one of `keras_ar.zoo.names()`, or `"distribution:name"`.

    Returns:
        A `keras_ar.DensityModel`, not compiled: it scores and samples; `compile` it to train it further.

    Raises:
        keras_ar.registry.UnknownNameError: Nothing that is installed has a trained model of that name.
        ValueError: The file is not the one that the run made.

    Example:

    >>> model = keras_ar.load("made-digits")
    >>> model.sample(2, seed=0).shape
    (2, 8, 8, 1)
    """
    folder = _folder(name)
    path, expected = folder / "model.keras", metrics(name).get("sha256")
    if expected is None:
        raise ValueError(f"{str(folder / 'metrics.json')!r} must have the 'sha256' of the model: train it again.")
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != expected:
        raise ValueError(f"{str(path)!r} is damaged: its SHA-256 must be {expected}. It is {found}.")
    return saving.load_model(path, compile=False)


def metrics(name: str) -> dict[str, Any]:
    """What a trained model reached: the scores of each part of its data, how long it took, on which data.

    Example:

    >>> metrics = keras_ar.zoo.metrics("made-digits")
    >>> metrics["data"]["name"], metrics["test"]["events"]
    ('digits', 250)
    """
    return json.loads((_folder(name) / "metrics.json").read_text(encoding="utf-8"))


def card(name: str) -> str:
    """The card of a trained model, in Markdown: what it is, its data, what it reached, the recipe that made it.

    Example:

    >>> print(keras_ar.zoo.card("made-digits"))
    ---
    library_name: keras
    ...
    # MADE
    ...
    """
    return (_folder(name) / "README.md").read_text(encoding="utf-8")


def _folder(name):
    if not isinstance(name, str) or name.endswith(".keras") or os.path.sep in name:
        raise ValueError(
            f"`name` must be the name of a trained model, one of `keras_ar.zoo.names()`; `keras_ar.load_model` opens "
            f"files. Received: name={name!r}."
        )
    return registry.find(registry.ZOO, name).folder

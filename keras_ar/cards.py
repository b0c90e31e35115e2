"""Model cards: what a saved model is, what is known of it, and how to use it, in Markdown."""

import contextlib
from collections.abc import Mapping
from typing import Any

import keras

from keras_ar import notebook, registry

__all__ = ["check_figures", "facts", "html", "settings", "write"]

_LONGEST_SETTING = 200  # characters


def check_figures(figures: Any) -> None:
    """Raises a `ValueError` unless figures are a dictionary by names.

    Example:

    >>> keras_ar.cards.check_figures(80.01)
    Traceback (most recent call last):
    ...
    ValueError: `figures` must be a dictionary of what is known by name. Received: figures=80.01.
    """
    if not (isinstance(figures, Mapping) and all(isinstance(name, str) for name in figures)):
        raise ValueError(f"`figures` must be a dictionary of what is known by name. Received: figures={figures!r}.")


def write(model: Any, path: str, figures: Mapping[str, Any] | None = None) -> str:
    """The card of a density model, in Markdown with the front matter of the Hugging Face Hub.

    It says what the model itself says, and the figures as they are given; nothing else.

    Args:
        model: A `keras_ar.DensityModel`.
        path: String, what `keras_ar.load_model` is to be given to open it.
        figures: Dictionary of what is known of the model, by name. Defaults to `None`.

    Example:

    >>> card = keras_ar.cards.write(keras_ar.models.FVSBN(4), "bits.keras", {"test nats": "2.7 ± 0.1"})
    >>> [line for line in card.splitlines() if line.startswith("| test")]
    ['| test nats | 2.7 ± 0.1 |']
    """
    check_figures({} if figures is None else figures)
    config = keras.saving.serialize_keras_object(model)
    sections = [
        "---\nlibrary_name: keras\ntags:\n- keras_ar\n- density-estimation\n---",
        f"# {type(model).__name__}",
        f"A density model of keras_ar for Keras: it scores events by {_score(model)}"
        + (", and samples events." if _samples(model) else "."),
        _table("model", facts(model)),
        f"## Settings\n\n```python\n{_settings(config)}\n```",
    ]
    if figures:
        sections.append(f"## Figures\n\n{_table('figure', figures)}")
    sections += [f"## Use\n\n```python\n{_use(model, path)}\n```", _needs(config, path.startswith("hf://"))]
    return "\n\n".join(sections) + "\n"


def _score(model):
    return "their exact log-likelihoods" if model.exact else "lower bounds of their log-likelihoods"


def _samples(model):
    """Whether the model can sample, and not only score."""
    try:
        return model.noise_shape is not None
    except NotImplementedError:
        return False


def facts(model: Any) -> dict[str, Any]:
    """What a model is, by name: its class, its events and their support, its condition, how large it is.

    Example:

    >>> keras_ar.cards.facts(keras_ar.models.FVSBN(4))["parameters"]
    '10'
    """
    facts = {
        "class": f"{type(model).__module__}.{type(model).__qualname__}",
        "event shape": model.event_shape,
        "support": model.support,
    }
    if model.condition_shape is not None:
        shape = "" if model.num_classes is not None else f" of shape {model.condition_shape}"
        facts["condition"] = f"{model.condition_text()}{shape}"
    return {**facts, "parameters": f"{model.count_params():,}"}


def settings(config: Mapping[str, Any]) -> dict[str, str]:
    """The arguments of the constructor in a serialised config, as one would write them in Python.

    Example:

    >>> config = keras.saving.serialize_keras_object(keras_ar.models.MADE(4, hidden_units=8))
    >>> keras_ar.cards.settings(config)["hidden_units"]
    '[8]'
    """
    return {name: _setting(value) for name, value in config["config"].items() if name != "trainable"}


def html(component: Any, known: Mapping[str, Any] | None = None) -> str:
    """What a notebook shows of a Keras object: what is known of it, and the arguments that it was made with.

    Args:
        component: A Keras layer or model.
        known: Dictionary of what is known of it, by name. Defaults to `None`.

    Example:

    >>> keras_ar.cards.html(keras_ar.layers.MaskedDense(2, mask=np.ones((3, 2))))[:18]
    '<b>MaskedDense</b>'
    """
    rows = dict(known or {})
    with contextlib.suppress(NotImplementedError):  # a class of somebody's own that has no config
        rows |= settings(keras.saving.serialize_keras_object(component))
    return notebook.facts(type(component).__name__, rows)


def _table(head, rows):
    lines = [f"| {head} | |", "|---|---|", *(f"| {_cell(name)} | {_cell(value)} |" for name, value in rows.items())]
    return "\n".join(lines)


def _cell(value):
    return " ".join(str(value).split()).replace("|", "\\|")


def _settings(config):
    """The arguments of the constructor, one a line."""
    lines = [f"    {name}={value}," for name, value in settings(config).items()]
    return "\n".join([f"{config['class_name']}(", *lines, ")"])


def _setting(value):
    text = _text(value)
    return text if len(text) <= _LONGEST_SETTING else f"...,  # {len(text):,} characters, in the saved config"


def _text(value):
    """A value of a config as one would write it in Python."""
    if isinstance(value, dict) and "class_name" in value:
        config = value.get("config")
        settings = config.items() if isinstance(config, dict) else ()
        return f"{value['class_name']}({', '.join(f'{name}={_text(part)}' for name, part in settings)})"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_text, value))}]"
    return repr(value)


def _use(model, path):
    shape = "".join(f", {size}" for size in model.event_shape)
    condition = "" if model.condition_shape is None else ", condition"
    lines = [
        "import keras_ar\n",
        f"model = keras_ar.load_model({path!r})",
        f"model.score_samples(x{condition})  # nats of each event, for x of shape (events{shape})",
    ]
    return "\n".join(lines + [f"model.sample(16{condition}, seed=0)"] * _samples(model))


def _needs(config, is_on_hub):
    """What is to be installed, with the versions that the model was saved with."""
    packages = {"keras": keras.__version__, **registry.providers(config)}
    lines = [f"- {name} {version}" for name, version in packages.items()]
    lines.append("- TensorFlow, JAX or torch, as the environment variable `KERAS_BACKEND` says")
    if is_on_hub:
        lines.append("- huggingface_hub, to load it from the Hub")
    lines += [f"- what registers the class {name}, imported first" for name in registry.without_provider(config)]
    return "Saved with these packages, which loading it needs:\n\n" + "\n".join(lines)

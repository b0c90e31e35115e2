"""Samples of a saved model in files: pictures, sound, text, tables."""

import csv
import dataclasses
import pathlib

import numpy as np

import keras_ar
from keras_ar_cli import folder as folders
from keras_ar_cli import incomplete, run, show
from keras_ar_cli import recipe as recipes

__all__ = ["Opened", "about", "after_training", "complete", "model_file", "of_class", "open_file", "sample", "tempered"]

_NUM_COMPLETED = 8  # test events, unless told
_MOST_COMPARED = 50_000  # training events that samples are compared with
_ENDINGS = {"images": ".png", "sound": ".wav", "text": ".txt", "table": ".csv"}


@dataclasses.dataclass(frozen=True)
class Opened:
    """A model, and what its run says of it, if it comes with one."""

    path: pathlib.Path
    model: keras_ar.DensityModel
    recipe: dict | None
    metrics: dict

    @property
    def kind(self):
        """What an event is: images, sound, text or a table."""
        if getattr(self.model, "vocabulary", None) is not None:
            return "text"
        is_image = len(self.model.event_shape) == 3 and self.model.event_shape[-1] in (1, 3)
        found = self.metrics.get("data", {}).get("kind") or ("images" if is_image else "table")
        return "table" if found == "text" else found  # a model without a vocabulary sees integers

    def events(self, name, part):
        """Events of a part of the data, and their classes if the model takes them: a tuple of arrays."""
        model = self.model
        if self.recipe is not None:
            settings = self.recipe["data"]
        elif name is not None:
            settings = {
                "binary": model.support.num_levels == 2,
                "length": model.event_shape[0] if isinstance(model, keras_ar.SequenceModel) else None,
                "labels": model.num_classes is not None,
            }
        else:
            raise ValueError(f"{self.path} does not say what it was trained on: use --data")
        data = run.load_data({"data": {**settings, "name": name or settings["name"]}})
        x, *labels = run.events(data, part, settings["labels"] is not False)
        if getattr(model, "vocabulary", None) is not None and data.vocabulary not in (None, model.vocabulary):
            x = model.vocabulary.encode(data.vocabulary.decode(x)).reshape(x.shape)
        return (x, *labels)


def open_file(path):
    """A `.keras` file, the folder of a finished run, or a trained model by its name."""
    if path.suffix == ".keras" and not path.is_dir():
        return Opened(path, _load_model(path), None, {})
    if not path.is_dir():
        return _open_trained(path)
    metrics = folders.finished(path)
    if metrics is None:
        raise ValueError(
            f"{path} holds no finished run: `keras-ar train --resume --out {path}` finishes one that has begun"
        )
    return Opened(path, _load_model(path / "model.keras"), recipes.find(str(path / "recipe.toml")), metrics)


def model_file(path):
    """The file that holds the model of what `open_file` opens."""
    if path.suffix == ".keras" and not path.is_dir():
        return path
    return (path if path.is_dir() else _trained(path)) / "model.keras"


def _open_trained(path):
    folder = _trained(path)
    recipe = recipes.find(str(folder / "recipe.toml"))
    return Opened(path, keras_ar.load(str(path)), recipe, folders.metrics(folder))


def _trained(name):
    """The folder of a trained model."""
    try:
        return keras_ar.registry.find("zoo", str(name)).folder
    except keras_ar.registry.UnknownNameError as error:
        raise ValueError(
            f"FILE must be a .keras file, the folder of a run, or a trained model. Received: {name}. {error}"
        ) from error


def _load_model(path):
    model = keras_ar.load_model(path, compile=False)
    if not isinstance(model, keras_ar.DensityModel):
        raise ValueError(f"{path} must hold a DensityModel. It holds {model.name}, a {type(model).__name__}")
    return model


def about(opened):
    """What there is to know about a model, a dictionary."""
    model = opened.model
    facts = {
        "model": f"{type(model).__module__.partition('.')[0]}.{type(model).__name__}",
        "event_shape": model.event_shape,
        "support": str(model.support),
        "parameters": model.count_params(),
        "scores": "likelihoods" if model.exact else "lower bounds of likelihoods",
    }
    if isinstance(model, keras_ar.AutoregressiveModel):
        facts["samples_by"] = f"{model.num_steps} steps, {'stepwise' if model.steppable else 'in parallel'}"
    if model.num_classes is not None:
        facts["num_classes"] = model.num_classes
    elif model.condition_shape is not None:
        facts["condition_shape"] = model.condition_shape
    if hasattr(model, "receptive_field"):
        facts["receptive_field"] = model.receptive_field
    if opened.recipe:
        test = opened.metrics["test"]
        facts["trained_on"] = opened.recipe["data"]["name"]
        facts["test"] = f"{show.nats(test)} nats, {show.bits(test)} bits"
    shown = {"name", "dtype", "trainable", "ordering", *facts}
    settings = {key: value for key, value in model.get_config().items() if key not in shown and value is not None}
    return {**facts, "settings": ", ".join(f"{key}={_short(value)}" for key, value in settings.items())}


def _short(value):
    """A value of a config as one would write it in code."""
    if isinstance(value, dict) and "class_name" in value:
        arguments = ", ".join(f"{key}={_short(entry)}" for key, entry in value.get("config", {}).items())
        return f"{value['class_name']}({arguments})"
    return f"[{', '.join(map(_short, value))}]" if isinstance(value, list) else repr(value)


def sample(opened, num, out, seed, temperature, condition, length, prompt):
    """Samples events into a file, and returns what happened, a dictionary."""
    model = opened.model
    options = {"seed": keras_ar.noise.check_seed(seed), **tempered(model, temperature), **of_class(model, condition)}
    out = _check_out(opened, out or _default(opened, "samples"))
    if isinstance(model, keras_ar.SequenceModel):
        options["length"] = length
        if prompt is not None:
            if opened.kind != "text":
                raise ValueError("--prompt is for models of text")
            options["prompt"] = model.vocabulary.encode(prompt)
    elif length or prompt:
        raise ValueError(f"--length and --prompt are for models of sequences. Received a {type(model).__name__}")
    if not model.exact:  # it cannot say how probable its samples are
        return _write(opened, model.sample(num, **options), out, options["seed"])
    samples, log_probs = model.sample(num, return_log_prob=True, **options)
    written = _write(opened, samples, out, options["seed"])
    return {**written, "log_prob_mean": float(log_probs.mean())}


def complete(opened, *, data, num, known, mask, table, draws, particles, out, seed, temperature):
    """Completes test events, or the events of a table, and returns what happened, a dictionary."""
    model = opened.model
    _check_known(model, data, {"--known": known, "--mask": mask, "--input": table})
    options = {"seed": keras_ar.noise.check_seed(seed), **tempered(model, temperature)}
    if draws > 1:
        options["num_draws"] = draws
    if particles is not None:
        if not isinstance(model, keras_ar.AutoregressiveModel):
            raise ValueError(f"--particles is for models of one order. Received a {type(model).__name__}")
        options |= {"num_particles": particles, "return_effective_size": True}
    out = _check_out(opened, out or _default(opened, "completed"))
    if table is not None:
        table = incomplete.read_table(table, model, opened.metrics.get("data", {}), num)
        x, condition = table.x.reshape(-1, *model.event_shape), []
        is_known = ~np.isnan(x)
    else:
        is_known = _first(model, known) if mask is None else incomplete.read_mask(mask, model.event_shape)
        x, *condition = (array[: num or _NUM_COMPLETED] for array in opened.events(data, "test"))
    completed = model.complete(x, is_known, *condition, **options)
    facts = {}
    if particles is not None:
        completed, effective_size = completed
        facts = {"particles": particles, "effective_size_min": float(effective_size.min())}
    picture = None
    if opened.kind == "images" and out.suffix == ".png":
        picture = keras_ar.plots.completions(x, is_known, completed, num_levels=model.support.num_levels)
    return {**_write(opened, completed, out, options["seed"], picture, table), **facts}


def _check_known(model, data, ways):
    """Raises a `ValueError` unless the model can complete, and what is known is said in one way at most."""
    name = type(model).__name__
    if not (isinstance(model, keras_ar.ConditionalsModel) or model.any_order):
        raise ValueError(f"`complete` is for models with an ordering, or for any order. Received a {name}")
    used = [way for way, value in ways.items() if value is not None]
    if len(used) > 1:
        raise ValueError(f"{' and '.join(used)} must not come together: each says what is known")
    if used == ["--input"]:
        if data is not None:
            raise ValueError("--data must not come with --input: it is for test events")
        if model.condition_shape is not None:
            raise ValueError(f"--input is for models without classes or other conditions. Received a {name} with them")


def _first(model, share):
    """What is known of an event where that is a share of it, half unless told, from its beginning on."""
    order, shape = np.arange(model.num_dims), model.event_shape
    if isinstance(model, keras_ar.ConditionalsModel):
        order, shape = model.ordering, model.position_shape
    is_known = np.zeros(model.event_shape, bool)
    is_known[np.unravel_index(order[: round((0.5 if share is None else share) * len(order))], shape)] = True
    return is_known


def tempered(model, temperature):
    """The option `temperature`, for models that take it."""
    return {} if model.check_temperature(temperature) == 1.0 else {"temperature": temperature}


def of_class(model, condition):
    """The option `condition`, for models of events given their class."""
    if model.num_classes is None:
        if condition is not None:
            raise ValueError(f"--condition is for models with classes. Received a {type(model).__name__} without")
        return {}
    if condition is None:
        raise ValueError(f"--condition must be a class, from 0 to {model.num_classes - 1}: the model has classes")
    return {"condition": condition}


def after_training(model, data, folder, recipe):
    """Draws the pictures of a finished run, and returns the names of their files."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        return []  # a run does without pictures
    title = recipe["title"] or type(model).__name__
    _save(keras_ar.plots.learning_curves(folder / "history.csv", title=title), folder / "learning_curves.png")
    opened = Opened(folder, model, None, {"data": run.about(model, data)["data"]})
    classes = model.num_classes or 8
    columns = min(classes, 12)
    num = {"images": 8 * columns, "sound": 2, "text": 3, "table": 64}[opened.kind]
    options = {"seed": recipe["seed"]}
    if model.num_classes:
        options["condition"] = np.arange(num) % classes
    if isinstance(model, keras_ar.SequenceModel):
        options["length"] = {"sound": 2 * (data.rate or 0), "text": 500}.get(opened.kind)
    try:
        samples = model.sample(num, **options)
    except NotImplementedError:
        return ["learning_curves.png"]  # a model that only scores
    if opened.kind != "images":
        name = f"samples{_ENDINGS[opened.kind]}"
        _write(opened, samples, folder / name, options["seed"])
        return ["learning_curves.png", name]
    levels = model.support.num_levels
    grids = {"test": data.test[:num], "samples": samples}
    _save(keras_ar.plots.images(grids, columns, num_levels=levels, title=title), folder / "samples.png")
    nearest = keras_ar.plots.neighbors(samples[:8], data.train[:_MOST_COMPARED], num_levels=levels, title=title)
    _save(nearest, folder / "neighbors.png")
    return ["learning_curves.png", "neighbors.png", "samples.png"]


def _write(opened, samples, out, seed, picture=None, table=None):
    """Writes samples to a file, in the format of its ending, and returns what was written, a dictionary.

    `_check_out` has looked at the ending. Of several draws of each event, shape `(draws, events, ...)`, the first of
    all events comes first. A `table` is what the samples complete.
    """
    model, levels = opened.model, opened.model.support.num_levels
    axes = samples.ndim - len(model.event_shape)
    *draws, num = samples.shape[:axes]
    flat = samples.reshape(-1, *samples.shape[axes:])
    if out.suffix == ".npy":
        with folders.whole(out) as path:
            np.save(path, samples)
    elif out.suffix == ".csv":
        with folders.whole(out) as path:
            _write_csv(flat.reshape(len(flat), -1), path, opened.metrics.get("data", {}), *draws, table=table)
    elif out.suffix == ".png":
        _save(picture or keras_ar.plots.images(flat, num_levels=levels), out)
    elif out.suffix == ".txt":
        texts = map(model.vocabulary.decode, flat)
        with folders.whole(out) as path:
            path.write_text("\n\n---\n\n".join(texts) + "\n", encoding="utf-8")
    elif out.suffix == ".wav":
        rate = opened.metrics["data"]["rate"]
        tracks = keras_ar.sound.to_samples(flat, levels)
        silence = np.zeros((len(tracks), rate // 4), "float32")
        with folders.whole(out) as path:  # one after the other, with a pause between
            keras_ar.sound.write_wav(path, np.concatenate([tracks, silence], axis=1).ravel(), rate)
    facts = {"draws": draws[0]} if draws else {}
    return {"num": num, **facts, "seed": seed, "model": type(model).__name__, "file": str(out)}


def _write_csv(rows, path, data, num_draws=None, table=None):
    """Writes a table as the one that the model was trained on: with its header and its words, if it had any.

    Of several draws, the first column is the number of the draw. Where rows complete a `table`, its cells stay as they
    were written.
    """
    header, categories = table.header if table else data.get("columns"), data.get("categories") or {}
    names = header or map(str, range(rows.shape[1]))
    words = [dict(enumerate(categories.get(name, ()))) for name in names]
    number = "d" if rows.dtype.kind in "iu" else ".9g"
    lines = [[of.get(x, f"{x:{number}}") for x, of in zip(row, words, strict=True)] for row in rows.tolist()]
    if table:
        given = table.cells * (num_draws or 1)
        lines = [[cell or drawn for cell, drawn in zip(*pair, strict=True)] for pair in zip(given, lines, strict=True)]
    if num_draws:
        header = header and ["draw", *header]
        lines = [[i * num_draws // len(lines), *line] for i, line in enumerate(lines)]
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([*([header] if header else []), *lines])


def _check_out(opened, out):
    """The path to write to, if that can be done: before anything is sampled."""
    fitting = dict.fromkeys((".npy", ".csv", _ENDINGS[opened.kind]))
    if out.suffix not in fitting:
        raise ValueError(f"--out must end in {', '.join(fitting)}. Received: {out}")
    if not out.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {out.parent}")
    return out


def _default(opened, name):
    folder = opened.path if opened.path.is_dir() else pathlib.Path(".")
    return folder / f"{name}{_ENDINGS[opened.kind]}"


def _save(axes, out):
    with folders.whole(out) as path:
        axes.figure.savefig(path)
    keras_ar.plots.canvas.close(axes)

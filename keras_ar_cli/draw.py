"""Draws of a saved model in files: pictures, sound, text, tables."""

import dataclasses
import json
import pathlib

import numpy as np

import keras_ar
from keras_ar.sequence import SequenceModel
from keras_ar_cli import recipe as recipes
from keras_ar_cli import run

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
        if hasattr(self.model, "vocabulary"):
            return "text"
        is_image = len(self.model.event_shape) == 3 and self.model.event_shape[-1] in (1, 3)
        found = self.metrics.get("data", {}).get("kind") or ("images" if is_image else "table")
        return "table" if found == "text" else found  # integers, to a model without a vocabulary

    def load(self, name):
        """The data set of that name, or that of the run, as the model takes it, and the recipe that says so."""
        model = self.model
        if name is None and self.recipe is None:
            raise ValueError(f"{self.path} does not say what it was trained on: use --data")
        said = (
            self.recipe["data"]
            if self.recipe
            else {
                "binary": model.head.num_levels == 2,
                "length": model.event_shape[0] if isinstance(model, SequenceModel) else None,
                "labels": model.condition_shape is not None,
            }
        )
        recipe = {"data": {**said, "name": name or said["name"]}}
        data = run.load_data(recipe)
        if hasattr(model, "vocabulary") and data.vocabulary:
            data = _spelled(data, model.vocabulary)
        return data, recipe

    def events(self, name, part):
        """Events of a part of the data, and their classes if the model is told them."""
        data, recipe = self.load(name)
        x = run.events(data, part, recipe)
        return x if isinstance(x, tuple) else (x,)


def open_file(path):
    """A `.keras` file, or the folder of a run that is through."""
    if not path.is_dir():
        return Opened(path, keras_ar.load_model(path, compile=False), None, {})
    if not (path / "metrics.json").exists():
        raise ValueError(f"{path} holds no finished run: `keras-ar train --resume --out {path}` finishes it")
    metrics = json.loads((path / "metrics.json").read_text(encoding="utf-8"))
    model = keras_ar.load_model(path / "model.keras", compile=False)
    return Opened(path, model, recipes.find(str(path / "recipe.toml")), metrics)


def about(opened):
    """What there is to know of a model."""
    model = opened.model
    told = {
        "model": f"{type(model).__module__.partition('.')[0]}.{type(model).__name__}",
        "event_shape": model.event_shape,
        "head": str(model.head),
        "parameters": model.count_params(),
        "draws": f"{model.num_steps} steps, {'stepwise' if model.steppable else 'in parallel'}",
    }
    if model.condition_shape:
        told["condition_shape"] = model.condition_shape
    if hasattr(model, "receptive_field"):
        told["receptive_field"] = model.receptive_field
    if opened.recipe:
        test = opened.metrics["test"]
        told["trained_on"] = opened.recipe["data"]["name"]
        told["test"] = f"{test['nats']:.2f} ± {test['standard_error']:.2f} nats, {test['bits_per_dim']:.3f} bits"
    base = ("name", "dtype", "trainable", "event_shape", "head", "condition_shape", "ordering")
    settings = {key: value for key, value in model.get_config().items() if key not in base and value is not None}
    return {**told, "settings": ", ".join(f"{key}={value!r}" for key, value in settings.items())}


def sample(opened, num, out, seed, temperature, condition, length, prompt):
    """Draws events into a file, and tells where."""
    model = opened.model
    options = {"temperature": temperature, "seed": keras_ar.noise.check_seed(seed)}
    if condition is not None:
        options["condition"] = condition
    if isinstance(model, SequenceModel):
        options["length"] = length
        if prompt is not None:
            if opened.kind != "text":
                raise ValueError("--prompt is for models of text")
            options["prompt"] = model.vocabulary.encode(prompt)
    elif length or prompt:
        raise ValueError(f"--length and --prompt are for models of sequences. Received a {type(model).__name__}")
    draws, log_probs = model.sample(num, return_log_prob=True, **options)
    told = _told(opened, draws, out or _default(opened, "draws"), options)
    return {**told, "log_prob_mean": float(log_probs.mean())}


def complete(opened, name, num, known, out, seed, temperature):
    """Completes test events of which the first part is known, and tells where they are."""
    model = opened.model
    x, *condition = (array[:num] for array in opened.events(name, "test"))
    is_known = np.zeros(x.shape[1:], bool)
    steps = np.unravel_index(model.ordering[: round(known * model.num_steps)], model.position_shape)
    is_known[steps] = True
    seed = keras_ar.noise.check_seed(seed)
    draws = model.complete(x, is_known, *condition, seed=seed, temperature=temperature)
    out = out or _default(opened, "completed")
    picture = None
    if opened.kind == "images" and out.suffix == ".png":
        picture = keras_ar.plots.completions(x, is_known, draws, num_levels=model.head.num_levels)
    return _told(opened, draws, out, {"seed": seed}, picture)


def after_training(model, data, folder, recipe):
    """What a finished run draws: names of files in its folder."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        return []  # numbers do without pictures
    title = recipe["title"] or type(model).__name__
    _save(keras_ar.plots.learning_curves(folder / "history.csv", title=title), folder / "learning_curves.png")
    opened = Opened(folder, model, None, {"data": run.about(model, data)["data"]})
    classes = model.condition_shape[0] if recipe["data"]["labels"] else 8
    columns = min(classes, 12)
    num = {"images": 8 * columns, "sound": 2, "text": 3, "table": 64}[opened.kind]
    options = {"seed": recipe["seed"]}
    if recipe["data"]["labels"]:
        options["condition"] = np.arange(num) % classes
    if isinstance(model, SequenceModel):
        options["length"] = {"sound": 2 * (data.rate or 0), "text": 500}.get(opened.kind)
    draws = model.sample(num, **options)
    if opened.kind != "images":
        name = f"draws{_ENDINGS[opened.kind]}"
        _told(opened, draws, folder / name, options)
        return [name, "learning_curves.png"]
    levels = data.num_levels
    grids = {"Test": data.test[:num], "Drawn": draws}
    _save(keras_ar.plots.images(grids, columns, num_levels=levels, title=title), folder / "draws.png")
    nearest = keras_ar.plots.neighbours(draws[:8], data.train, num_levels=levels, title=title)
    _save(nearest, folder / "neighbours.png")
    return ["draws.png", "learning_curves.png", "neighbours.png"]


def _told(opened, draws, out, options, picture=None):
    """Writes draws to a file, in the format of its ending, and tells of it."""
    model = opened.model
    told = {"num": len(draws), "seed": options["seed"], "model": type(model).__name__, "file": str(out)}
    if not out.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {out.parent}")
    if out.suffix == ".npy":
        with run.whole(out) as path:
            np.save(path, draws)
    elif out.suffix == ".csv":
        with run.whole(out) as path:
            np.savetxt(
                path, draws.reshape(len(draws), -1), fmt="%d" if model.head.num_levels else "%.9g", delimiter=","
            )
    elif out.suffix == ".png" and opened.kind == "images":
        _save(picture or keras_ar.plots.images(draws, num_levels=model.head.num_levels), out)
    elif out.suffix == ".txt" and opened.kind == "text":
        texts = [model.vocabulary.decode(draw) for draw in draws]
        with run.whole(out) as path:
            path.write_text("\n\n---\n\n".join(texts) + "\n", encoding="utf-8")
    elif out.suffix == ".wav" and opened.kind == "sound":
        samples = keras_ar.sound.inverse_mu_law(draws, model.head.num_levels)
        silence = np.zeros((len(samples), opened.metrics["data"]["rate"] // 4), "float32")
        with run.whole(out) as path:  # one after the other, with a pause between
            sound = np.concatenate([samples, silence], axis=1).ravel()
            keras_ar.sound.write_wav(path, sound, opened.metrics["data"]["rate"])
    else:
        fitting = ["npy", "csv", _ENDINGS[opened.kind][1:]]
        raise ValueError(f"--out must end in .{', .'.join(dict.fromkeys(fitting))}. Received: {out}")
    return told


def _default(opened, name):
    folder = opened.path if opened.path.is_dir() else pathlib.Path(".")
    return folder / f"{name}{_ENDINGS[opened.kind]}"


def _save(axes, out):
    with run.whole(out) as path:
        axes.figure.savefig(path)


def _spelled(data, vocabulary):
    """A text in the integers of another vocabulary."""
    if data.vocabulary == vocabulary:
        return data
    parts = {
        part: vocabulary.encode(data.vocabulary.decode(x)).reshape(x.shape)
        for part in ("train", "valid", "test")
        if (x := getattr(data, part)) is not None
    }
    return dataclasses.replace(data, vocabulary=vocabulary, **parts)

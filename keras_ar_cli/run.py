"""A training run: one folder, which may be interrupted at any moment and gone on with to the same result.

- `recipe.toml`: the recipe as run.
- `history.csv`: a line for each epoch, counted from 0, as Keras' CSVLogger writes it.
- `backup/`: the state behind the last epoch, and the best weights so far; gone when the run is through.
- `model.keras`, pictures or what else was drawn, and at the very end `metrics.json`.

Every file is written under another name first and then renamed, which happens as a whole or not at all. What is random
in an epoch follows from the seed and the number of the epoch alone.
"""

import contextlib
import csv
import errno
import inspect
import json
import math
import os
import pathlib
import shutil
import time

import keras
import numpy as np

import keras_ar
from keras_ar_cli import recipe as recipes

_PARTS = ("train", "valid", "test")
_MOST_SCORED = 10_000  # of the training part, which may be large
_UNFINISHED = ".unfinished"
_SEED_STATE = "seed_generator_state"  # Keras' name for the state of each layer's own random numbers


class RunError(ValueError):
    """A run cannot be begun, or gone on with, as it was asked for."""


def begin(recipe, folder, resume):
    """Makes the folder of a run, or finds it again.

    Returns:
        The recipe to run.
    """
    path = folder / "recipe.toml"
    if not path.exists():
        if recipe is None:
            raise RunError(f"{folder} holds no run to resume: name a recipe")
        folder.mkdir(parents=True, exist_ok=True)
        with whole(path) as file:
            file.write_text(recipes.write(recipe), encoding="utf-8")
        return recipe
    if not resume:
        raise RunError(f"{folder} holds a run already: go on with it by --resume, or choose another folder by --out")
    found = recipes.find(str(path))
    if recipe not in (None, found):
        raise RunError(f"{folder} holds a run of another recipe: resume it without naming one, or use another --out")
    return found


def train(recipe, folder, callbacks=()):
    """Trains as the recipe says, from where the folder's run was left.

    Args:
        recipe: A whole recipe.
        folder: Path of the folder, which `begin` has made.
        callbacks: More of Keras' callbacks: they show, and change nothing.

    Returns:
        What `metrics.json` says, a dictionary.
    """
    if (folder / "metrics.json").exists():
        shutil.rmtree(folder / "backup", ignore_errors=True)  # the last that is done
        return json.loads((folder / "metrics.json").read_text(encoding="utf-8"))

    for left in folder.rglob(f"{_UNFINISHED}*"):  # by a process that was killed
        left.unlink()
    keras.utils.set_random_seed(recipe["seed"])
    data = load_data(recipe)
    model = make_model(recipe, data)
    settings = recipe["train"]
    batches = Batches(data, settings["batch_size"], recipe["data"]["labels"], recipe["seed"])
    compile_model(model, settings, steps=settings["epochs"] * len(batches))

    history = History(folder / "history.csv", settings["patience"])
    backup = Backup(folder / "backup", history)
    if not history.is_over(backup.epoch, settings["epochs"]):
        if backup.epoch == 0 and hasattr(model, "initialize_from_data"):
            model.initialize_from_data(data.train[:200])
        averaging = [keras.callbacks.SwapEMAWeights()] if settings["average"] else []
        model.fit(
            batches,
            epochs=settings["epochs"],
            shuffle=False,  # `batches` does
            validation_data=(events(data, "valid", recipe),),
            validation_batch_size=256,
            # The best weights are kept as validation ends, while the averaged ones are in their place.
            callbacks=[
                Seeds(recipe["seed"], batches),
                KeepBest(backup, history),
                *averaging,
                history,
                backup,
                *callbacks,
            ],
            verbose=0,
        )
    model.load_weights(backup.best)
    metrics = {**score(model, data, recipe), **history.told(), **about(model, data)}
    check_space(folder, model)
    with whole(folder / "model.keras") as file:
        model.save(file)
    from keras_ar_cli import draw

    metrics["files"] = draw.after_training(model, data, folder, recipe)
    with whole(folder / "metrics.json") as file:
        file.write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")
    shutil.rmtree(folder / "backup")
    return metrics


# What a recipe speaks of.


def load_data(recipe):
    """The data set of a recipe."""
    said = recipe["data"]
    options = {"length": said["length"]} if said["length"] else {}
    data = keras_ar.datasets.load(said["name"], binary=said["binary"], **options)
    if said["labels"] and data.train_labels is None:
        raise RunError(f"data.labels must be false for {said['name']}: it has no classes")
    return data


def events(data, part, recipe):
    """A part of the data as a model takes it: events, or the pair of them and their classes."""
    x = getattr(data, part)
    return (x, getattr(data, f"{part}_labels")) if recipe["data"]["labels"] else x


def make_model(recipe, data):
    """The model of a recipe, of the shape that the data have."""
    settings = {key: value for key, value in recipe["model"].items() if key not in ("name", "head")}
    component = keras_ar.registry.find("models", recipe["model"]["name"]).load()
    known = _arguments(component)
    for key in settings:
        if key not in known:
            raise RunError(f"unknown key model.{key}: {component.__name__} takes {', '.join(sorted(known))}")
    if "vocabulary" in known:
        if data.vocabulary is None:
            raise RunError(f"{component.__name__} writes text. Received data of another kind: {data.name}")
        settings.setdefault("vocabulary", data.vocabulary)
    elif "head" in known:
        settings["head"] = _head(recipe["model"]["head"], known["head"].default, data)
    if recipe["data"]["labels"]:
        settings["condition_shape"] = (int(data.train_labels.max()) + 1,)
    model = component(data.event_shape, **settings)
    for part in _PARTS:
        model._check_events(getattr(data, part), part)
    return model


def _arguments(component):
    """The keywords that a constructor takes, or hands on to those of its bases."""
    known = {}
    for base in component.__mro__:
        if "__init__" not in vars(base):
            continue
        parameters = inspect.signature(base.__init__).parameters.values()
        known = {**{parameter.name: parameter for parameter in parameters}, **known}
        if base is keras_ar.DensityModel or not any(
            parameter.kind is parameter.VAR_KEYWORD for parameter in parameters
        ):
            break
    return {name: parameter for name, parameter in known.items() if name not in ("self", "event_shape", "kwargs")}


def _head(said, default, data):
    """The head that is asked for, or one that fits, with what the data say of it."""
    if said is None:
        of_many = "categorical" if default == "bernoulli" else default
        said = {None: "normal_mixture", 2: "bernoulli"}.get(data.num_levels, of_many)
    name, settings = (said, {}) if isinstance(said, str) else (said["name"], {**said})
    settings.pop("name", None)
    known = inspect.signature(keras_ar.registry.find("heads", name).load()).parameters
    if "num_levels" in known and data.num_levels:
        settings.setdefault("num_levels", data.num_levels)
    if "num_channels" in known and data.kind == "images":
        settings.setdefault("num_channels", data.event_shape[-1])
    return keras_ar.heads.get(name, **settings)


def compile_model(model, settings, steps):
    """Adam, with what the recipe says of it."""
    rate = settings["learning_rate"]
    optimizer = keras.optimizers.Adam(
        keras.optimizers.schedules.CosineDecay(rate, steps) if settings["schedule"] == "cosine" else rate,
        weight_decay=settings["weight_decay"],
        clipnorm=settings["clip_norm"],
        use_ema=bool(settings["average"]),
        ema_momentum=settings["average"] or 0.99,
    )
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    model.compile(optimizer)
    optimizer.build(model.trainable_variables)  # so that its state can be loaded


def score(model, data, recipe):
    """Nats per event of the three parts, with their standard errors, and bits per dimension."""
    scores = {}
    for part in _PARTS:
        x, *condition = _pair(events(data, part, recipe))
        scores[part] = score_part(model, x[:_MOST_SCORED] if part == "train" else x, *condition)
    return scores


def score_part(model, x, condition=None):
    """Nats per event, their standard error, and bits per dimension."""
    nats = -model.score_samples(x, None if condition is None else condition[: len(x)]).astype("float64")
    bits = nats.mean() / (math.prod(x.shape[1:]) * math.log(2)) - math.log2(model.resolution)
    return {
        "nats": nats.mean(),
        "standard_error": nats.std() / math.sqrt(len(nats)),
        "bits_per_dim": bits,
        "events": len(nats),
    }


def about(model, data):
    """What one wants to know of a run later."""
    return {
        "model": type(model).__name__,
        "parameters": model.count_params(),
        "backend": keras.backend.backend(),
        "versions": {"keras": keras.__version__, "keras_ar": keras_ar.__version__},
        "data": {"name": data.name, "kind": data.kind, "num_levels": data.num_levels, "rate": data.rate},
    }


def _pair(x):
    return x if isinstance(x, tuple) else (x,)


# Training that may be interrupted.


class Batches(keras.utils.PyDataset):
    """The training part in batches, in an order of each epoch's own."""

    def __init__(self, data, batch_size, with_labels, seed):
        super().__init__()
        self.arrays = [data.train, data.train_labels] if with_labels else [data.train]
        self.batch_size, self.seed = batch_size, seed
        self.begin(0)

    def begin(self, epoch):
        seed = np.random.SeedSequence([self.seed, epoch]).generate_state(1, "uint64")[0]
        self.order = keras_ar.noise.permutation(len(self.arrays[0]), int(seed))

    def __len__(self):
        return math.ceil(len(self.order) / self.batch_size)

    def __getitem__(self, index):
        rows = self.order[index * self.batch_size : (index + 1) * self.batch_size]
        arrays = tuple(array[rows] for array in self.arrays)
        return (arrays,) if len(arrays) > 1 else arrays


class Seeds(keras.callbacks.Callback):
    """Gives all that is random in an epoch a seed of the epoch's own: no file of Keras' holds these states."""

    def __init__(self, seed, batches):
        super().__init__()
        self.seed, self.batches = seed, batches

    def on_epoch_begin(self, epoch, logs=None):
        self.batches.begin(epoch)
        general, *each = np.random.SeedSequence([self.seed, epoch]).spawn(1 + len(self.model.non_trainable_variables))
        keras.utils.set_random_seed(int(general.generate_state(1)[0]))  # torch's dropout knows no other seed
        for variable, seed in zip(self.model.non_trainable_variables, each, strict=True):
            if variable.name == _SEED_STATE:
                variable.assign(seed.generate_state(variable.shape[0]).astype(variable.dtype))


class History(keras.callbacks.Callback):
    """The lines of `history.csv`, which say where the best epoch was, and when to stop."""

    def __init__(self, path, patience):
        super().__init__()
        self.path, self.patience = path, patience
        self.rows = []
        if path.exists():
            with path.open(newline="") as file:
                self.rows = [{key: json.loads(value) for key, value in row.items()} for row in csv.DictReader(file)]

    @property
    def best_epoch(self):
        """Counted from 1; 0 before there is one."""
        return min(self.rows, key=lambda row: row["val_loss"])["epoch"] + 1 if self.rows else 0

    @property
    def best(self):
        return min((row["val_loss"] for row in self.rows), default=math.inf)

    def is_over(self, epoch, epochs):
        """Whether nothing is left to train after so many epochs."""
        return epoch >= epochs or (self.patience is not None and epoch - self.best_epoch >= self.patience)

    def told(self):
        return {
            "epochs": len(self.rows),
            "best_epoch": self.best_epoch,
            "seconds": sum(row["seconds"] for row in self.rows),
        }

    def on_epoch_begin(self, epoch, logs=None):
        self._start = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        if not math.isfinite(logs["val_loss"]):
            raise RunError(f"the likelihood was lost in epoch {epoch + 1}: try a lower train.learning_rate")
        self.rows.append({"epoch": epoch, **logs, "seconds": time.perf_counter() - self._start})
        with whole(self.path) as path, path.open("w", newline="") as file:
            writer = csv.DictWriter(file, self.rows[0])
            writer.writeheader()
            writer.writerows(self.rows)
        self.model.stop_training |= self.is_over(epoch + 1, math.inf)


class KeepBest(keras.callbacks.Callback):
    """Keeps the weights with which the validation part was scored best."""

    def __init__(self, backup, history):
        super().__init__()
        self.backup, self.history = backup, history

    def on_test_end(self, logs=None):
        if logs["loss"] < self.history.best:
            check_space(self.backup.folder, self.model)
            with whole(self.backup.best) as path:
                self.model.save_weights(path)


class Backup(keras.callbacks.BackupAndRestore):
    """Keras' backup of the state behind each epoch, made whole: a folder with the epoch's name, or nothing."""

    def __init__(self, folder, history):
        folder.mkdir(exist_ok=True)
        self.folder, self.best = folder, folder / "best.weights.h5"
        self.epoch = max((int(path.name) for path in folder.iterdir() if path.name.isdigit()), default=0)
        history.rows = history.rows[: self.epoch]  # a line may have been written and the backup not
        super().__init__(str(folder / str(self.epoch)), delete_checkpoint=False)

    def _save_model(self):
        check_space(self.folder, self.model)
        unfinished = self.folder / "unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        self._weights_path = str(unfinished / "latest.weights.h5")
        self._training_metadata_path = str(unfinished / "training_metadata.json")
        self.backup_dir = str(unfinished)
        super()._save_model()
        unfinished.rename(self.folder / str(self._current_epoch))
        shutil.rmtree(self.folder / str(self.epoch), ignore_errors=True)
        self.epoch = self._current_epoch


def check_space(folder, model):
    """Raises an `OSError` where the disk has no room for the model: HDF5 may take the process down when it sees."""
    variables = [*model.variables, *model.optimizer.variables]
    needed = 2**20 + 8 * sum(math.prod(variable.shape) for variable in variables)  # at 4 bytes, twice
    if shutil.disk_usage(folder).free < needed:
        raise OSError(errno.ENOSPC, f"no space left on the disk, {needed / 2**20:.0f} MB are needed", str(folder))


@contextlib.contextmanager
def whole(path):
    """A path to write to in place of `path`, which it becomes when all is written."""
    path = pathlib.Path(path)
    suffix = "".join(path.suffixes[-2:] if path.name.endswith(".weights.h5") else path.suffixes[-1:])
    unfinished = path.with_name(f"{_UNFINISHED}-{os.getpid()}{suffix}")
    try:
        yield unfinished
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)

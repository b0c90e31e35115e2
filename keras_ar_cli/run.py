"""A training run. It may be interrupted at any moment, and is resumed to the same result (folder.py says how).

All that is random in an epoch follows from the seed and the number of the epoch alone. What is kept in the middle of a
long epoch holds the states of the random numbers, too.
"""

import contextlib
import csv
import errno
import hashlib
import inspect
import json
import math
import re
import shutil
import time

import keras
import numpy as np

import keras_ar
from keras_ar import backend, mapped, noise
from keras_ar_cli import folder as folders
from keras_ar_cli import recipe as recipes
from keras_ar_cli.folder import RunError, whole

__all__ = [
    "Backup",
    "BackupWithinEpoch",
    "History",
    "about",
    "check_space",
    "doubts",
    "events",
    "load_data",
    "make_model",
    "model_arguments",
    "prepare",
    "score_part",
    "takes_labels",
    "train",
]

_PARTS = ("train", "valid", "test")
_MOST_INITIALIZED_FROM = 200  # events
_MOST_SCORED = 10_000  # events of the training part, which may be large
_SEED_STATE = "seed_generator_state"  # Keras' name for the state of each layer's own random numbers


def prepare(recipe):
    """The data and the model of a recipe. What is wrong with the recipe is an error here, and nothing is written."""
    keras.utils.set_random_seed(recipe["seed"])
    data = load_data(recipe)
    return data, make_model(recipe, data)


def train(recipe, data, model, folder, callbacks=()):
    """Trains as the recipe says, from where the run in the folder was interrupted.

    Args:
        recipe: A whole recipe.
        data: The data of the recipe.
        model: The model of the recipe, as `prepare` makes it.
        folder: Path of the folder, which need not exist.
        callbacks: More Keras callbacks, which may show things but change nothing.

    Returns:
        What is in `metrics.json`, a dictionary.
    """
    with_labels = takes_labels(recipe)
    batches = Batches(events(data, "train", with_labels), recipe["train"]["batch_size"], recipe["seed"])
    compile_model(model, recipe["train"], steps=recipe["train"]["epochs"] * len(batches))
    with folders.held(folder, recipe):
        metrics = folders.finished(folder)
        if metrics is None:
            history = _fit(recipe, data, model, batches, folder, callbacks)
            metrics = {**score(model, data, with_labels), **history.summary(), **about(model, data)}
            _write_results(recipe, data, model, metrics, folder)
        folders.remove_backup(folder)
        return metrics


def _fit(recipe, data, model, batches, folder, callbacks):
    """Trains the model to its best weights, and returns the history."""
    settings = recipe["train"]
    history = History(folders.history(folder), settings["patience"])
    backup = Backup(folders.backup(folder), history)
    within = BackupWithinEpoch(backup, history, batches, settings["backup_minutes"])
    if backup.epoch == 0 and batches.first == 0:
        model.initialize_from_data(*batches.rows[:_MOST_INITIALIZED_FROM])

    def fit(epochs):
        if backup.epoch > 0:
            backup.load(model, backup.path(backup.epoch))
        averaging = [keras.callbacks.SwapEMAWeights()] if settings["average"] else []
        model.fit(
            batches,
            epochs=epochs,
            initial_epoch=backup.epoch,
            shuffle=False,  # `batches` does
            validation_data=events(data, "valid", takes_labels(recipe)),
            validation_batch_size=256,
            # The best weights are kept as validation ends, while the averaged ones are in their place.
            callbacks=[
                Seeds(recipe["seed"], batches),
                KeepBest(backup, history),
                *averaging,
                history,
                backup,
                within,
                *callbacks,
            ],
            verbose=0,
        )

    if batches.first > 0:  # Keras asks for the number of steps only once: an epoch with fewer is trained by itself
        fit(backup.epoch + 1)
    if not history.is_over(backup.epoch, settings["epochs"]):
        fit(settings["epochs"])
    backup.load(model, backup.best)
    return history


def _write_results(recipe, data, model, metrics, folder):
    """The model, its pictures, its card and, at the very end, the metrics, which gain the names of the files."""
    from keras_ar_cli import draw

    check_space(folder, model)
    with whole(folder / "model.keras") as file:
        _without_optimizer(model).save(file)
        metrics["sha256"] = hashlib.sha256(file.read_bytes()).hexdigest()
    with whole(folder / "README.md") as file:
        card = keras_ar.cards.write(model, "model.keras", _figures(metrics))
        file.write_text(f"{card}\n{_how(recipe, metrics)}", encoding="utf-8")
    metrics["files"] = ["README.md", *draw.after_training(model, data, folder, recipe)]
    with whole(folder / "metrics.json") as file:
        file.write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")


def _without_optimizer(model):
    """A copy of the model, not compiled: Adam keeps two numbers for each weight, and nobody goes on from its state."""
    copy = type(model).from_config(model.get_config())
    for variable, value in zip(copy.variables, model.variables, strict=True):
        variable.assign(value)
    return copy


def _how(recipe, metrics):
    """The end of the card: the command and the recipe that made the model."""
    return (
        f"## How it was made\n\n```bash\nkeras-ar train recipe.toml --backend {metrics['backend']}\n```\n\n"
        f"with this `recipe.toml`:\n\n```toml\n{recipes.write(recipe)}```\n"
    )


def _figures(metrics):
    """What the card of the model says of its run."""
    data = metrics["data"]
    split = ", ".join(f"{count:,} {part}" for part, count in data["events"].items())
    figures = {"data set": f"{data['name']}: {data['description']}", "split": split}
    for part in _PARTS:
        scores = metrics[part]
        bits = next(name for name in scores if name.startswith("bits_per_dim"))
        at_most = "" if metrics["exact"] else "at most "
        by = f", draws: {scores['num_draws']}" if "num_draws" in scores else ""
        figures[f"{part} nats"] = f"{at_most}{scores['nats']:.4f} ± {scores['standard_error']:.4f}{by}"
        figures[f"{part} bits/dim"] = f"{at_most}{scores[bits]:.4f}"
        figures[f"{part} events"] = scores["events"]
    figures["epochs"] = f"{metrics['epochs']}, the best is number {metrics['best_epoch']}"
    figures |= {"seconds of training": f"{metrics['seconds']:.1f}", "backend": metrics["backend"]}
    return {**figures, "SHA-256 of model.keras": metrics["sha256"]}


# What a recipe names.


def load_data(recipe):
    """The data set of a recipe."""
    settings = recipe["data"]
    name, labels = settings["name"], settings["labels"]
    column = {} if isinstance(labels, bool) else {"labels": labels}
    with _naming("[data]"):
        data = keras_ar.datasets.load(name, binary=settings["binary"], length=settings["length"], **column)
    if takes_labels(recipe) and data.train_labels is None:
        has_columns = data.kind == "table" and not name.lower().endswith((".npy", ".npz"))
        expected = "the name or the index of a column, or false," if has_columns else "false"
        raise RunError(f"data.labels must be {expected} for {name}: it has no classes. Received: {labels!r}")
    return data


def takes_labels(recipe):
    """Whether the class of an event is its condition."""
    return recipe["data"]["labels"] is not False


def events(data, part, with_labels):
    """A part of the data as a model takes it: a tuple of events, and of their classes if `with_labels`."""
    x = getattr(data, part)
    return (x, getattr(data, f"{part}_labels")) if with_labels else (x,)


def make_model(recipe, data):
    """The model of a recipe, for events of the shape that the data have, and of which it can take all parts."""
    settings = {key: value for key, value in recipe["model"].items() if key not in ("name", "head")}
    component = keras_ar.registry.find("models", recipe["model"]["name"]).load()
    known = model_arguments(component)
    for key in settings:
        if key not in known:
            raise RunError(f"unknown key model.{key}: {component.__name__} takes {', '.join(sorted(known))}")
    for key, parameter in known.items():
        if parameter.default is parameter.empty and key not in (*settings, "vocabulary"):
            raise RunError(f"model.{key} is missing: a {component.__name__} must be given it")
    if "vocabulary" in known and data.vocabulary is not None:
        settings.setdefault("vocabulary", data.vocabulary)
    elif "vocabulary" in known and known["vocabulary"].default is inspect.Parameter.empty:
        raise RunError(f"{component.__name__} is a model of text. Received data of another kind: {data.name}")
    elif "head" in known:
        settings["head"] = _head(recipe["model"]["head"], known["head"].default, data)
    elif recipe["model"]["head"] is not None:
        raise RunError(f"unknown key model.head: {component.__name__} has no head")
    if takes_labels(recipe):
        if "num_classes" not in known:
            raise RunError(f"data.labels must be false for {component.__name__}: it takes no classes")
        classes = 1 + int(max(getattr(data, f"{part}_labels").max(initial=0) for part in _PARTS))
        settings.setdefault("num_classes", classes)
    elif "num_classes" in settings or "condition_shape" in settings:
        raise RunError("data.labels must not be false where the model takes a condition: that is the class of an event")
    shape = [data.event_shape] if _takes_shape(component) else []
    with _naming("[model]"):
        model = component(*shape, **settings)
    for part in _PARTS:
        model.check_batch(*events(data, part, takes_labels(recipe)), name=part)
    return model


def _takes_shape(component):
    """Whether a model is made for events of a shape, and not of other models, which have theirs."""
    first = list(inspect.signature(component.__init__).parameters.values())[1]
    return first.name == "event_shape" or first.kind is not first.POSITIONAL_OR_KEYWORD


def model_arguments(component):
    """The keywords that a model's constructor takes, including those that its `**kwargs` hand on to its base."""
    parameters = inspect.signature(component.__init__).parameters.values()
    hands_on = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)
    of_base = model_arguments(component.__base__) if hands_on and component is not keras_ar.DensityModel else {}
    own = {p.name: p for p in parameters if p.kind is p.KEYWORD_ONLY or p.kind is p.POSITIONAL_OR_KEYWORD}
    return {name: p for name, p in {**of_base, **own}.items() if name not in ("self", "event_shape")}


def _head(wanted, default, data):
    """The head that is wanted, or one that fits the data, with the sizes that the data have."""
    if wanted is None:
        of_many_levels = {"bernoulli": "categorical", None: "discretized_logistic_mixture"}.get(default, default)
        settings = {"name": {None: "normal_mixture", 2: "bernoulli"}.get(data.num_levels, of_many_levels)}
        if data.num_levels is None:
            settings |= _units(data)
    else:
        settings = {"name": wanted} if isinstance(wanted, str) else {**wanted}
    name = settings.pop("name", None)
    if not isinstance(name, str):
        raise RunError(f"model.head must be the name of a head, or a table with its `name`. Received: {wanted!r}")
    component = keras_ar.registry.find("heads", name).load()
    takes = inspect.signature(component).parameters
    for key in settings:
        if key not in takes:
            raise RunError(f"unknown key model.head.{key}: {component.__name__} takes {', '.join(takes) or 'none'}")
    if "num_levels" in takes and data.num_levels:
        settings.setdefault("num_levels", data.num_levels)
    if "num_channels" in takes and data.kind == "images":
        settings.setdefault("num_channels", data.event_shape[-1])
    with _naming("model.head"):
        return component(**settings)


def _units(data):
    """The mean and the standard deviation of real values, to six digits; of a table, those of each column."""
    axis = 0 if data.kind == "table" else None
    count = len(data.train) if data.kind == "table" else data.train.size
    loc = _sum(data.train, lambda x: x, axis) / count
    scale = np.sqrt(_sum(data.train, lambda x: (x - loc) ** 2, axis) / count)
    scale = np.where(scale <= 1e-12 * np.abs(loc), 1.0, scale)  # all values are the same
    loc, scale = (np.vectorize(lambda value: float(f"{value:.6g}"))(values) for values in (loc, scale))
    return {"loc": loc.tolist(), "scale": scale.tolist()}


def _sum(events, function, axis):
    """The sum of a function of all values, in float64."""
    return sum(function(piece.astype("float64")).sum(axis) for _, piece in mapped.pieces(events))


def doubts(model, data):
    """Lines on what is likely to go wrong: a head for real values in units that are far from those of the data."""
    if not isinstance(model, keras_ar.ConditionalsModel) or not isinstance(model.head, keras_ar.heads.RealHead):
        return
    loc, scale = (np.atleast_1d(values) for values in _units(data).values())
    head_loc, head_scale = (np.broadcast_to(values, loc.shape) for values in (model.head.loc, model.head.scale))
    is_far = (np.abs(loc - head_loc) > 3 * head_scale) | (np.abs(np.log10(scale / head_scale)) > 1)
    if is_far.any():
        first = int(np.argmax(is_far))
        where = f"column {data.columns[first] if data.columns else first}" if data.kind == "table" else "the data"
        yield (
            f"the head has loc={head_loc[first]:g} and scale={head_scale[first]:g}, but {where} has mean "
            f"{loc[first]:g} and standard deviation {scale[first]:g}: leave out model.head, or set its loc and scale"
        )


@contextlib.contextmanager
def _naming(part):
    """Names the part of a recipe that an error comes from, whatever somebody else's code raises."""
    try:
        yield
    except (OSError, ImportError):
        raise
    except Exception as error:
        said = f"{error}" if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
        raise RunError(f"{part}: {said}") from error


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


def score(model, data, with_labels):
    """The scores of the three parts."""
    parts = {part: events(data, part, with_labels) for part in _PARTS}
    parts["train"] = tuple(array[:_MOST_SCORED] for array in parts["train"])
    return {part: score_part(model, *arrays) for part, arrays in parts.items()}


def score_part(model, x, condition=None, draws=None):
    """Nats per event, their standard error, and bits per dimension, which may be a bound by a number of draws."""
    options = {}
    if isinstance(model, keras_ar.BoundedModel):
        options["num_draws"] = draws or model.num_draws
    elif draws is not None:
        raise ValueError(f"--draws is for models that guess what is hidden. Received a {type(model).__name__}")
    nats = -model.score_samples(x, condition, **options).astype("float64")
    bits = keras_ar.diagnostics.bits_per_dim(nats.mean(), x.shape[1:], model.support.resolution)
    return {
        "nats": nats.mean(),
        "standard_error": nats.std() / math.sqrt(len(nats)),
        "bits_per_dim" if model.exact else "bits_per_dim_at_most": bits,
        "events": len(nats),
        **options,
    }


def about(model, data):
    """What one wants to know about a run later."""
    return {
        "model": type(model).__name__,
        "exact": model.exact,
        "parameters": model.count_params(),
        "backend": keras.backend.backend(),
        "versions": {"keras": keras.__version__, "keras_ar": keras_ar.__version__},
        "data": {
            "name": data.name,
            "description": data.description,
            "events": {part: len(getattr(data, part)) for part in _PARTS},
            "kind": data.kind,
            "num_levels": data.num_levels,
            "rate": data.rate,
            "columns": data.columns,
            "categories": data.categories,
        },
    }


# Training that may be interrupted.


class Batches(keras.utils.PyDataset):
    """Arrays in batches, in an order that is another one in each epoch.

    Attributes:
        first: Integer, how many batches at the beginning of an epoch to leave out.
    """

    def __init__(self, arrays, batch_size, seed):
        super().__init__()
        self.rows, self.batch_size, self.seed, self.first = mapped.Rows(arrays), batch_size, seed, 0
        # Even the numbers of the events of a mapped array might not fit into memory.
        self.permutation = noise.LongPermutation if mapped.holds_mapped(arrays) else noise.permutation
        self.begin(0)

    def begin(self, epoch):
        seed = np.random.SeedSequence([self.seed, epoch]).generate_state(1, "uint64")[0]
        self.order = self.permutation(len(self.rows.arrays[0]), int(seed))

    def __len__(self):
        return math.ceil(len(self.order) / self.batch_size) - self.first

    def __getitem__(self, index):
        start = (self.first + index) * self.batch_size
        rows = self.order[np.arange(start, min(start + self.batch_size, len(self.order)))]
        arrays = tuple(self.rows[rows])
        return (arrays,) if len(arrays) > 1 else arrays


class Seeds(keras.callbacks.Callback):
    """Seeds all that is random in an epoch by the number of the epoch: Keras' files do not hold these states."""

    def __init__(self, seed, batches):
        super().__init__()
        self.seed, self.batches = seed, batches

    def on_epoch_begin(self, epoch, logs=None):
        self.batches.begin(epoch)
        general, *each = np.random.SeedSequence([self.seed, epoch]).spawn(1 + len(self.model.non_trainable_variables))
        keras.utils.set_random_seed(int(general.generate_state(1)[0]))  # torch's dropout has no other seed
        for variable, seed in zip(self.model.non_trainable_variables, each, strict=True):
            if variable.name == _SEED_STATE:
                variable.assign(seed.generate_state(variable.shape[0]).astype(variable.dtype))


class History(keras.callbacks.Callback):
    """The lines of `history.csv`, which tell the best epoch, and when to stop."""

    def __init__(self, path, patience):
        super().__init__()
        self.path, self.patience = path, patience
        self.rows = []
        if path.exists():
            with folders.reading(path), path.open(newline="", encoding="utf-8") as file:
                self.rows = [{key: json.loads(value) for key, value in row.items()} for row in csv.DictReader(file)]

    @property
    def best_epoch(self):
        """Counted from 1; 0 before there is one."""
        return min(self.rows, key=lambda row: row["val_loss"])["epoch"] + 1 if self.rows else 0

    @property
    def best(self):
        return min((row["val_loss"] for row in self.rows), default=math.inf)

    def is_over(self, epoch, epochs):
        """Whether training ends after epoch number `epoch`."""
        return epoch >= epochs or (self.patience is not None and epoch - self.best_epoch >= self.patience)

    def summary(self):
        """What `metrics.json` says of the training."""
        return {
            "epochs": len(self.rows),
            "best_epoch": self.best_epoch,
            "seconds": sum(row["seconds"] for row in self.rows),
        }

    def on_epoch_begin(self, epoch, logs=None):
        self.started = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        self.rows.append({"epoch": epoch, **logs, "seconds": time.perf_counter() - self.started})
        with whole(self.path) as path, path.open("w", newline="") as file:
            writer = csv.DictWriter(file, self.rows[0])
            writer.writeheader()
            writer.writerows(self.rows)
        self.model.stop_training |= self.is_over(epoch + 1, math.inf)


class KeepBest(keras.callbacks.Callback):
    """Keeps the weights with the best score of the validation part."""

    def __init__(self, backup, history):
        super().__init__()
        self.backup, self.history = backup, history

    def on_test_end(self, logs=None):
        if logs["loss"] < self.history.best:
            check_space(self.backup.folder, self.model)
            with whole(self.backup.best) as path:
                self.model.save_weights(path)


class Backup(keras.callbacks.Callback):
    """Keeps the weights and the state of the optimizer after the last epoch, in a file named by that epoch."""

    def __init__(self, folder, history):
        super().__init__()
        folder.mkdir(exist_ok=True)
        self.folder, self.best = folder, folder / "best.weights.h5"
        self.epoch = max(map(self._epoch_of, self._files()), default=0)
        history.rows = history.rows[: self.epoch]  # a line may have been written and the backup not

    def path(self, epoch):
        """The file of an epoch, counted from 1."""
        return self.folder / f"{epoch}.weights.h5"

    def load(self, model, path):
        """Loads weights that were kept."""
        with folders.reading(path):
            model.load_weights(path)

    def on_epoch_end(self, epoch, logs=None):
        check_space(self.folder, self.model)
        self.epoch = epoch + 1
        with whole(self.path(self.epoch)) as path:
            self.model.save_weights(path)
        for file in self._files():
            if self._epoch_of(file) < self.epoch:
                file.unlink()

    def _files(self):
        return [file for file in self.folder.iterdir() if re.fullmatch(r"\d+\.weights\.h5", file.name)]

    def _epoch_of(self, file):
        return int(file.name.partition(".")[0])


class BackupWithinEpoch(keras.callbacks.Callback):
    """Keeps all that a run is in the middle of an epoch, every few minutes; the next epoch begins where it was kept.

    That is the weights, the optimizer, the states of random numbers and the metrics so far. It is kept before a step:
    a callback that is told of the end of each would have Keras wait for the device.
    """

    def __init__(self, backup, history, batches, minutes):
        super().__init__()
        self.backup, self.history, self.batches, self.minutes = backup, history, batches, minutes
        batches.first = max((step for epoch, step in self._files() if epoch == backup.epoch), default=0)

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch, self.kept = epoch, time.perf_counter()

    def on_train_batch_begin(self, batch, logs=None):
        if batch == 0 and self.batches.first > 0:  # no earlier: at the beginning of an epoch torch draws a number
            self._load(self._path(self.batches.first))
        if batch > 0 and time.perf_counter() - self.kept >= 60 * self.minutes:
            check_space(self.backup.folder, self.model)
            self._keep(self._path(self.batches.first + batch))
            self._remove(lambda epoch, step: (epoch, step) < (self.epoch, self.batches.first + batch))
            self.kept = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):  # after that of `Backup`
        self._remove(lambda begun, step: begun <= epoch)
        self.batches.first = 0

    def _keep(self, path):
        # As bytes: NumPy's files hold no bfloat16.
        values = [np.frombuffer(keras.ops.convert_to_numpy(v).tobytes(), "uint8") for v in self._variables()]
        random = {f"random_{i}": state for i, state in enumerate(backend.random_state())}
        with whole(path) as unfinished:
            np.savez(unfinished, *values, **random, seconds=time.perf_counter() - self.history.started)

    def _load(self, path):
        with folders.reading(path), np.load(path) as file:
            for i, variable in enumerate(self._variables()):
                value = keras.ops.convert_to_numpy(variable)
                variable.assign(np.frombuffer(file[f"arr_{i}"].tobytes(), value.dtype).reshape(value.shape).copy())
            backend.set_random_state([file[f"random_{i}"] for i in range(len(backend.random_state()))])
            self.history.started -= float(file["seconds"])

    def _variables(self):
        """All variables of training, each once."""
        model = self.model
        found = [*model.variables, *model.optimizer.variables, *model.metrics_variables]
        return {id(variable): variable for variable in found}.values()

    def _path(self, step):
        return self.backup.folder / f"{self.epoch}-{step}.npz"

    def _files(self):
        return folders.of_epochs(self.backup.folder)

    def _remove(self, is_old):
        for (epoch, step), path in self._files().items():
            if is_old(epoch, step):
                path.unlink()


def check_space(folder, model):
    """Raises an `OSError` if the disk has no room for the model: HDF5 may crash the process when it runs out."""
    variables = [*model.variables, *model.optimizer.variables]
    needed = 2**20 + 8 * sum(math.prod(variable.shape) for variable in variables)  # at 4 bytes, twice
    if shutil.disk_usage(folder).free < needed:
        raise OSError(errno.ENOSPC, f"no space left on the disk, {needed / 2**20:.0f} MB are needed", str(folder))

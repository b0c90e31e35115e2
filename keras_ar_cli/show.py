"""What the commands print: tables, bars and lines."""

import contextlib
import json as json_format
import sys
import time

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

__all__ = [
    "bits",
    "events",
    "facts",
    "fail",
    "filled",
    "heading",
    "listing",
    "nats",
    "next_steps",
    "nothing",
    "result",
    "scores",
    "training",
    "warn",
    "weights",
    "written",
]

_AT_MOST = "bits_per_dim_at_most"  # in place of `bits_per_dim`, where a model gives bounds

_out = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 160)


def fail(message, json):
    """An error, in one line on stderr; with `json` as an object."""
    print(json_format.dumps({"error": message}) if json else f"error: {message}", file=sys.stderr)


def warn(message):
    """A warning, in one line on stderr."""
    print(f"warning: {message}", file=sys.stderr)


def heading(recipe, folder):
    """Which run begins, and where."""
    title = recipe["title"] or f"{recipe['model']['name']} on {recipe['data']['name']}"
    _out.print(f"[bold]{escape(title)}[/bold], into {escape(str(folder))}")


def weights(model):
    """How large a model is."""
    count = model.count_params()
    _out.print(f"{type(model).__name__} of {count:,} weights, {4 * count / 1e6:,.1f} MB")


def _moves():
    """Whether bars can move. `FORCE_COLOR`, which notebooks set for programs that they run, is about colors only."""
    return _out.is_terminal and sys.stdout.isatty()


@contextlib.contextmanager
def training(epochs):
    """A bar over all steps, or a line for each epoch where there is no terminal; yields a Keras callback."""
    import keras

    columns = ["epoch {task.fields[epoch]}", BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[nats]}")]
    with Progress(*columns, TimeRemainingColumn(), console=_out, disable=not _moves()) as progress:
        task = progress.add_task("", total=None, epoch=f"1/{epochs}", nats="")

        class Show(keras.callbacks.Callback):
            def on_train_begin(self, logs=None):
                self.start, self.has_stepped = time.perf_counter(), False
                progress.update(task, total=epochs * self.params["steps"])

            def on_epoch_begin(self, epoch, logs=None):
                progress.update(task, completed=epoch * self.params["steps"], epoch=f"{epoch + 1}/{epochs}")

            def on_train_batch_end(self, batch, logs=None):
                if not self.has_stepped:
                    self.has_stepped = True
                    seconds = time.perf_counter() - self.start
                    _out.print(f"first step: {seconds:.1f} s, of {self.params['steps']} steps in an epoch")
                progress.advance(task)

            def on_epoch_end(self, epoch, logs=None):
                at_most = "≤ " if _AT_MOST in logs else ""
                losses = f"train {at_most}{logs['loss']:.2f}, valid {at_most}{logs['val_loss']:.2f} nats"
                progress.update(task, nats=losses)
                if not _moves():
                    _out.print(f"epoch {epoch + 1}/{epochs}: {losses}")

        yield Show()


@contextlib.contextmanager
def events(num_events):
    """A bar over events, where there is a terminal; yields a function of how many are done."""
    columns = [BarColumn(), TaskProgressColumn(), TextColumn("{task.completed:,} events")]
    with Progress(*columns, TimeRemainingColumn(), console=_out, disable=not _moves()) as progress:
        task = progress.add_task("", total=num_events)
        yield lambda done: progress.update(task, completed=done)


@contextlib.contextmanager
def nothing(num_events):
    """As `events`, but shows nothing."""
    yield lambda done: None


def filled(result):
    """What is in a folder of results."""
    were = f", of which {result['were_done']:,} were there already" if result["were_done"] else ""
    _out.print(f"{result['num']:,} events{were}: {escape(result['folder'])}")


def result(metrics, recipe, folder):
    """The table at the end of a run."""
    scores({part: metrics[part] for part in ("train", "valid", "test")})
    expected = recipe["result"]
    known = [("this recipe has reached", expected["test_nats"]), ("published", expected["published_nats"])]
    notes = [f"{name}: {value:.2f} nats" for name, value in known if value is not None]
    notes += [escape(expected["note"])] if expected["note"] else []
    _out.print(
        f"{metrics['parameters']:,} parameters, {metrics['epochs']} epochs (best {metrics['best_epoch']}), "
        f"{metrics['seconds']:.0f} s on {metrics['backend']}" + "".join(f"; {note}" for note in notes)
    )
    _out.print(
        f"{escape(str(folder))}: " + ", ".join(["model.keras", "history.csv", "metrics.json", *metrics["files"]])
    )


def nats(scores):
    """Nats per event and their standard error; `≤` says that they are a bound, by so many draws."""
    count = scores.get("num_draws")
    by = f" by {count} draw{'s' * (count > 1)}" if count else ""
    return f"{_at_most(scores)}{scores['nats']:.2f} ± {scores['standard_error']:.2f}{by}"


def bits(scores):
    """Bits per dimension; `≤` says that they are a bound."""
    return f"{_at_most(scores)}{scores[_AT_MOST if _AT_MOST in scores else 'bits_per_dim']:.3f}"


def _at_most(scores):
    return "≤ " if _AT_MOST in scores else ""


def scores(parts):
    """Nats per event and bits per dimension of parts of a data set."""
    table = Table("part", box=box.SIMPLE_HEAD)
    for name in ("events", "nats per event", "bits per dimension"):
        table.add_column(name, justify="right")
    for part, found in parts.items():
        table.add_row(part, f"{found['events']:,}", nats(found), bits(found))
    _out.print(table)


def written(result):
    """Where the samples are."""
    times = f", {result['draws']} draws of each" if "draws" in result else ""
    _out.print(f"{result['num']} events of {result['model']}{times}, seed {result['seed']}: {escape(result['file'])}")
    if "particles" in result:
        least = f"{result['effective_size_min']:.1f}"
        _out.print(f"effective sample size of the {result['particles']} particles of an event: at least {least}")


def listing(found):
    """Components, trained models and recipes."""
    table = Table("kind", "name", "from", box=box.SIMPLE_HEAD)
    for entry in found["components"]:
        table.add_row(entry["kind"], entry["name"], f"{entry['distribution']} {entry['version']}")
    _out.print(table)
    if found["trained"]:
        table = Table(
            "trained model", "weights", "data", "test nats", "bits per dimension", "from", box=box.SIMPLE_HEAD
        )
        for run in found["trained"]:
            of = run["test"]
            source = f"{run['distribution']} {run['version']}"
            levels = run["data"]["num_levels"]
            data = run["data"]["name"] + (f", {levels} levels" if levels else "")
            table.add_row(run["name"], f"{run['parameters']:,}", data, nats(of), bits(of), source)
        _out.print(table)
    table = Table("recipe", "what", "test nats", "published", box=box.SIMPLE_HEAD)
    table.columns[0].no_wrap = True
    for name, recipe in found["recipes"].items():
        values = [recipe["result"][key] for key in ("test_nats", "published_nats")]
        table.add_row(name, recipe["title"], *("" if value is None else f"{value:.2f}" for value in values))
    _out.print(table)


def facts(found):
    """Names and values, line by line."""
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, value in found.items():
        value = f"{value:,}" if isinstance(value, int) else value
        table.add_row(f"[bold]{name.replace('_', ' ')}[/bold]", escape(str(value)))
    _out.print(table)


def next_steps(folder):
    """What to do with a new plugin."""
    _out.print(f"{escape(str(folder))} is made. Install it, find it in the list, and run its tests:\n")
    print(f"    pip install -e {folder}\n    keras-ar list\n    pytest {folder}")

"""What the commands print: tables, bars and lines."""

import contextlib
import json as json_format
import sys

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

_out = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 160)


def fail(message, json):
    """An error, in one line on stderr; with `json` as an object."""
    print(json_format.dumps({"error": message}) if json else f"error: {message}", file=sys.stderr)


def heading(recipe, folder):
    """What begins."""
    title = recipe["title"] or f"{recipe['model']['name']} on {recipe['data']['name']}"
    _out.print(f"[bold]{escape(title)}[/bold], into {escape(str(folder))}")


@contextlib.contextmanager
def training(epochs):
    """A bar over the epochs, or a line for each where there is no terminal; yields a Keras callback."""
    import keras

    columns = ["epoch", MofNCompleteColumn(), BarColumn(), TextColumn("{task.fields[nats]}"), TimeRemainingColumn()]
    with Progress(*columns, console=_out, disable=not _out.is_terminal) as progress:
        task = progress.add_task("epoch", total=epochs, nats="")

        class Show(keras.callbacks.Callback):
            def on_epoch_end(self, epoch, logs=None):
                nats = f"train {logs['loss']:.2f}, valid {logs['val_loss']:.2f} nats"
                progress.update(task, completed=epoch + 1, nats=nats)
                if not _out.is_terminal:
                    _out.print(f"epoch {epoch + 1}/{epochs}: {nats}")

        yield Show()


def result(metrics, recipe, folder):
    """The table at the end of a run."""
    scores({part: metrics[part] for part in ("train", "valid", "test")})
    expected = recipe["result"]
    known = [("this recipe has reached", expected["test_nats"]), ("published", expected["published_nats"])]
    notes = [f"{name}: {nats:.2f} nats" for name, nats in known if nats is not None]
    notes += [escape(expected["note"])] if expected["note"] else []
    _out.print(
        f"{metrics['parameters']:,} parameters, {metrics['epochs']} epochs (best {metrics['best_epoch']}), "
        f"{metrics['seconds']:.0f} s on {metrics['backend']}" + "".join(f"; {note}" for note in notes)
    )
    _out.print(
        f"{escape(str(folder))}: " + ", ".join(["model.keras", "history.csv", "metrics.json", *metrics["files"]])
    )


def scores(parts):
    """Nats per event and bits per dimension of parts of a data set."""
    table = Table("part", box=box.SIMPLE_HEAD)
    for name in ("events", "nats per event", "bits per dimension"):
        table.add_column(name, justify="right")
    for part, found in parts.items():
        nats = f"{found['nats']:.2f} ± {found['standard_error']:.2f}"
        table.add_row(part, f"{found['events']:,}", nats, f"{found['bits_per_dim']:.3f}")
    _out.print(table)


def drawn(told):
    """Where the draws are."""
    _out.print(f"{told['num']} drawn by {told['model']}, seed {told['seed']}: {escape(told['file'])}")


def listing(told):
    """Components and recipes."""
    table = Table("kind", "name", "of", box=box.SIMPLE_HEAD)
    for entry in told["components"]:
        table.add_row(entry["kind"], entry["name"], f"{entry['distribution']} {entry['version']}")
    _out.print(table)
    table = Table("recipe", "what", "test nats", "published", box=box.SIMPLE_HEAD)
    table.columns[0].no_wrap = True
    for name, recipe in told["recipes"].items():
        nats = [recipe["result"][key] for key in ("test_nats", "published_nats")]
        table.add_row(name, recipe["title"], *("" if value is None else f"{value:.2f}" for value in nats))
    _out.print(table)


def facts(told):
    """Names and values, line by line."""
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, value in told.items():
        value = f"{value:,}" if isinstance(value, int) else value
        table.add_row(f"[bold]{name.replace('_', ' ')}[/bold]", escape(str(value)))
    _out.print(table)


def next_steps(folder):
    """What to do with a new plugin."""
    _out.print(f"{escape(str(folder))} is made. Install it, look, and run its tests:\n")
    print(f"    pip install -e {folder}\n    keras-ar list\n    pytest {folder}")

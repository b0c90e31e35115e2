"""The command line of keras_ar.

A package beside the library, because `keras-ar --help` and `keras-ar list` must answer without loading Keras:
only the commands that need `keras_ar` import it.
"""

import contextlib
import enum
import importlib.util
import json as json_format
import os
import pathlib
import sys
from typing import Annotated

try:
    import typer

    from keras_ar_cli import recipe as recipes
    from keras_ar_cli import show
except ModuleNotFoundError as error:
    raise SystemExit(f'error: the command line needs {error.name}: pip install "keras-ar[cli]"') from error

__all__ = ["app", "main"]

app = typer.Typer(
    help="Autoregressive models with exact likelihoods: train, score, sample.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main():
    """What `keras-ar` runs."""
    app()


class Part(enum.StrEnum):
    """A part of a data set."""

    train = "train"
    valid = "valid"
    test = "test"


_Backend = Annotated[
    str | None, typer.Option(help="jax, tensorflow or torch. Default: KERAS_BACKEND, or one that is installed.")
]
_Json = Annotated[bool, typer.Option("--json", help="Print one JSON object, and nothing else.")]
_Seed = Annotated[int | None, typer.Option(help="With the same seed comes the same result.")]
_File = Annotated[pathlib.Path, typer.Argument(help="A .keras file, the folder of a run, or a trained model.")]
_Shard = Annotated[
    str, typer.Option(metavar="I/N", help="Which share of the work, such as 2/4. Processes take one each.")
]
_Size = Annotated[int | None, typer.Option(min=1, help="How many events a file of results holds.")]
_Ray = Annotated[
    int | None, typer.Option(min=1, metavar="WORKERS", help="Compute in so many workers of a Ray cluster, or of here.")
]
_Data = Annotated[
    str | None, typer.Option(help="A data set of keras_ar.datasets, or a path. Default: that of the run.")
]


@app.command()
def train(
    recipe: Annotated[
        str | None, typer.Argument(help="A recipe from `keras-ar list`, a .toml file, or a model.")
    ] = None,
    data: Annotated[str | None, typer.Option(help="A data set of keras_ar.datasets, or a path.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a setting, such as model.hidden_units=[500]."),
    ] = None,
    out: Annotated[pathlib.Path | None, typer.Option(help="Folder of the run. Default: runs/RECIPE.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Resume the run in that folder.")] = False,
    seed: _Seed = None,
    backend: _Backend = None,
    json: _Json = False,
):
    """Train a model by a recipe, or any model on any data. A run writes one folder."""
    with _errors_in_one_line(json, "interrupted: `--resume` goes on from the last epoch, or backup within one"):
        wanted = _recipe(recipe, data, settings or [], seed)
        if recipe is None and out is None:
            raise recipes.RecipeError("name a recipe, or the folder to --resume by --out")
        from keras_ar_cli import folder as folders

        folder = out or pathlib.Path("runs", pathlib.Path(recipe).stem)
        wanted = folders.recipe_for(wanted, folder, resume)
        metrics = folders.finished(folder)
        if metrics is None:
            _choose(backend)
            metrics = _train(wanted, folder, json)
        else:
            folders.remove_backup(folder)  # the last thing that a run does, which may have been killed before
        _print(json, {"folder": str(folder), **metrics}, lambda: show.result(metrics, wanted, folder))


@app.command()
def evaluate(
    file: _File,
    data: _Data = None,
    part: Part = Part.test,
    draws: Annotated[
        int | None, typer.Option(min=1, help="How many guesses a bound takes, of a model that gives bounds.")
    ] = None,
    backend: _Backend = None,
    json: _Json = False,
):
    """Score a part of a data set: nats per event, and bits per dimension."""
    with _errors_in_one_line(json):
        _choose(backend)
        from keras_ar_cli import draw, run

        opened = draw.open_file(file)
        x, *condition = opened.events(data, part.value)
        scores = run.score_part(opened.model, x, *condition, draws=draws)
        _print(json, {"part": part.value, **scores}, lambda: show.scores({part.value: scores}))


@app.command()
def sample(
    file: _File,
    num: Annotated[int | None, typer.Option("--num", "-n", min=1, help="How many. Default: 64.")] = None,
    out: Annotated[
        pathlib.Path | None,
        typer.Option(
            help="A file that ends in png, npy, csv, txt or wav. Default: what fits the model. With --last, a folder."
        ),
    ] = None,
    seed: _Seed = None,
    temperature: Annotated[float, typer.Option(help="Below 1, samples are more typical.")] = 1.0,
    condition: Annotated[int | None, typer.Option(help="The class, for a model with classes.")] = None,
    length: Annotated[int | None, typer.Option(help="How long a sequence is.")] = None,
    prompt: Annotated[str | None, typer.Option(help="The beginning of a text.")] = None,
    first: Annotated[int, typer.Option(min=0, help="With --last: the number of the first event.")] = 0,
    last: Annotated[
        int | None,
        typer.Option(min=1, help="Sample the events of a seed up to this number, less one, into a folder."),
    ] = None,
    shard: _Shard = "1/1",
    size: _Size = None,
    ray: _Ray = None,
    backend: _Backend = None,
    json: _Json = False,
):
    """Sample events from a model into a file; or with --last a range of them into a folder.

    Any number of processes may fill one folder, each another --shard of the range. What is there already is kept.
    """
    with _errors_in_one_line(json):
        _choose(backend)
        from keras_ar_cli import draw

        if last is None:
            if first or size or ray or shard != "1/1":
                raise ValueError("--first, --shard, --size and --ray go with --last")
            result = draw.sample(draw.open_file(file), num or 64, out, seed, temperature, condition, length, prompt)
            _print(json, result, lambda: show.written(result))
            return
        if out is None or num is not None or prompt is not None:
            raise ValueError("--last must come with --out, a folder, and without --num and --prompt")
        from keras_ar_cli import ranges

        options = {"condition": condition, "temperature": temperature, "length": length}
        work = {"shard": shard, "size": size, "ray": ray, "progress": show.nothing if json else show.events}
        result = ranges.sample(file, out, first, last, seed, options, **work)
        _print(json, result, lambda: show.filled(result))


@app.command()
def score(
    file: _File,
    data: Annotated[
        pathlib.Path, typer.Argument(help="Events: a .npy, .npz or .parquet file, or a folder of .parquet files.")
    ],
    out: Annotated[pathlib.Path, typer.Option(help="The folder of the results.")],
    columns: Annotated[
        str | None, typer.Option(metavar="A,B,C", help="Columns of a .parquet file that make an event. Default: all.")
    ] = None,
    condition: Annotated[str | None, typer.Option(help="The column, or array, of conditions or classes.")] = None,
    shard: _Shard = "1/1",
    size: _Size = None,
    ray: _Ray = None,
    backend: _Backend = None,
    json: _Json = False,
):
    """Score the events of a file into a folder: the log-likelihood of each, in nats, beside its number.

    Any number of processes may fill one folder, each another --shard. What is there already is kept.
    """
    with _errors_in_one_line(json):
        _choose(backend)
        from keras_ar_cli import ranges

        work = {"shard": shard, "size": size, "ray": ray, "progress": show.nothing if json else show.events}
        result = ranges.score(file, data, out, columns, condition, **work)
        _print(json, result, lambda: show.filled(result))


@app.command()
def complete(
    file: _File,
    data: _Data = None,
    num: Annotated[
        int | None, typer.Option("--num", "-n", min=1, help="How many events. Default: 8, or all of a table.")
    ] = None,
    known: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Which share of each event is known, from its beginning on. Default: 0.5."),
    ] = None,
    mask: Annotated[
        pathlib.Path | None,
        typer.Option(metavar="PICTURE", help="A picture of the size of an event, white where it is known."),
    ] = None,
    table: Annotated[
        pathlib.Path | None,
        typer.Option(
            "--input",
            metavar="TABLE.csv",
            help="A csv file in the columns of the data, whose empty cells are drawn. Default: test events.",
        ),
    ] = None,
    draws: Annotated[int, typer.Option(min=1, help="How often each event is completed.")] = 1,
    particles: Annotated[
        int | None,
        typer.Option(min=1, help="How many weighted particles stand for an event, in a model of one order."),
    ] = None,
    out: Annotated[pathlib.Path | None, typer.Option(help="As in `sample`.")] = None,
    seed: _Seed = None,
    temperature: Annotated[float, typer.Option(help="As in `sample`.")] = 1.0,
    backend: _Backend = None,
    json: _Json = False,
):
    """Sample what is missing of events, such as the lower halves of images, or the empty cells of a table.

    A model for any order completes any part. A model of one order needs --particles, unless what is known comes first.
    """
    with _errors_in_one_line(json):
        _choose(backend)
        from keras_ar_cli import draw

        result = draw.complete(
            draw.open_file(file),
            data=data,
            num=num,
            known=known,
            mask=mask,
            table=table,
            draws=draws,
            particles=particles,
            out=out,
            seed=seed,
            temperature=temperature,
        )
        _print(json, result, lambda: show.written(result))


@app.command("list")
def list_components(json: _Json = False):
    """List models, heads, layers, trained models and recipes, including those of installed plugins."""
    with _errors_in_one_line(json):
        from keras_ar_cli import folder as folders

        registry = _registry()
        found = {
            "components": [entry.__dict__ for entry in registry.entries()],
            "trained": [{**entry.__dict__, **folders.metrics(entry.folder)} for entry in registry.entries("zoo")],
            "recipes": {name: recipes.find(name) for name in recipes.names()},
        }
        _print(json, found, lambda: show.listing(found))


@app.command()
def info(file: _File, backend: _Backend = None, json: _Json = False):
    """Show what a file holds."""
    with _errors_in_one_line(json):
        _choose(backend)
        from keras_ar_cli import draw

        found = draw.about(draw.open_file(file))
        _print(json, found, lambda: show.facts(found))


@app.command()
def new_plugin(
    name: Annotated[str, typer.Argument(help="Name of the distribution, such as keras-ar-wavelets.")],
    folder: Annotated[pathlib.Path, typer.Option(help="Where to make its folder.")] = pathlib.Path("."),
    json: _Json = False,
):
    """Make a new plugin: a head, a layer and a model, which can be installed and pass their tests."""
    with _errors_in_one_line(json):
        from keras_ar_cli import plugin

        made = plugin.make(name, folder)
        _print(json, {"folder": str(made)}, lambda: show.next_steps(made))


# What the commands share.


@contextlib.contextmanager
def _errors_in_one_line(json, interrupted="interrupted"):
    """Turns what a user can mend into one line and exit code 2; faults of our own keep their traceback."""
    try:
        yield
    except KeyboardInterrupt:
        show.fail(interrupted, json)
        raise typer.Exit(130) from None
    except (ValueError, OSError, LookupError, ImportError, MemoryError, NotImplementedError) as error:
        says_nothing = isinstance(error, KeyError | IndexError) or not str(error)
        show.fail((f"{type(error).__name__}: " if says_nothing else "") + " ".join(str(error).split()), json)
        raise typer.Exit(2) from None


def _train(recipe, folder, json):
    """Trains by a whole recipe, and shows how it goes on, unless only JSON is wanted; returns the metrics."""
    from keras_ar_cli import run

    if not json:
        show.heading(recipe, folder)
    data, model = run.prepare(recipe)
    for line in run.doubts(model, data):
        show.warn(line)
    if json:
        return run.train(recipe, data, model, folder)
    show.weights(model)
    with show.training(recipe["train"]["epochs"]) as callback:
        return run.train(recipe, data, model, folder, [callback])


def _recipe(name, data, settings, seed):
    """The recipe with that name and those changes; `None` without a name."""
    if name is None:
        if data or settings or seed is not None:
            raise recipes.RecipeError("--data, --set and --seed go with a recipe: name one")
        return None
    found = recipes.find(name)
    if found is None:
        models = [entry.name for entry in _registry().entries("models")]
        if name.rpartition(":")[2] not in models:
            import difflib

            near = difflib.get_close_matches(name, [*recipes.names(), *models], 1)
            raise recipes.RecipeError(
                f"unknown recipe or model {name!r}."
                + (f" Did you mean {near[0]!r}?" if near else "")
                + " `keras-ar list` shows all of them"
            )
        found = recipes.of_model(name, data)
    changes = [f"data.name={json_format.dumps(data)}"] if data else []
    changes += [f"seed={seed}"] if seed is not None else []
    return recipes.changed(found, [*changes, *settings])


def _choose(backend):
    """Sets the backend, before Keras is imported: the one asked for, the one configured, or one that is installed."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if backend is not None and backend not in ("jax", "tensorflow", "torch"):
        raise ValueError(f"--backend must be jax, tensorflow or torch. Received: {backend!r}")
    if backend is None and "KERAS_BACKEND" not in os.environ:
        config = pathlib.Path(os.environ.get("KERAS_HOME", pathlib.Path.home() / ".keras"), "keras.json")
        installed = [name for name in ("jax", "tensorflow", "torch") if importlib.util.find_spec(name)]
        if not installed:
            raise ImportError('there is no backend: pip install "keras-ar[jax]", or [tensorflow], or [torch]')
        backend = None if config.exists() else installed[0]
    if backend is not None:
        os.environ["KERAS_BACKEND"] = backend


def _registry():
    """`keras_ar.registry`, without the rest of `keras_ar`: it needs the standard library only."""
    if "keras_ar" in sys.modules:
        return sys.modules["keras_ar"].registry
    folder = pathlib.Path(importlib.util.find_spec("keras_ar").origin).parent
    spec = importlib.util.spec_from_file_location("keras_ar_cli.registry", folder / "registry.py")
    registry = sys.modules[spec.name] = importlib.util.module_from_spec(spec)  # dataclasses look it up there
    spec.loader.exec_module(registry)
    return registry


def _print(json, result, show_result):
    """Prints one JSON object, or what a person reads."""
    if json:
        print(json_format.dumps(result))
    else:
        show_result()

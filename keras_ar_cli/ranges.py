"""`keras-ar score`, and `keras-ar sample --last`: many events, in a folder that any number of processes fill."""

import contextlib

import keras_ar
from keras_ar import scale
from keras_ar_cli import draw

__all__ = ["sample", "score"]

_SCORED = 100_000  # events in a file of results, unless told
_SAMPLED = 10_000


def score(file, data, out, columns, condition, *, shard, size, ray, progress):
    """Scores the events of a file, or a shard of them, and returns what happened, a dictionary.

    Args:
        file: Path of a `.keras` file, or of the folder of a run.
        data: Path of the events.
        out: Path of the folder of results.
        columns: Names of the columns of a Parquet file that make an event, with commas between, or `None`.
        condition: Name of the column of conditions, or `None`.
        shard: String, such as `"1/4"`.
        size: Integer, how many events a file of results holds, or `None`.
        ray: Integer, how many workers of Ray compute, or `None`.
        progress: Function of the number of events in all that returns a context of a function of those that are done.
    """
    rows = scale.Rows(data, columns and [name.strip() for name in columns.split(",")], condition)
    size = size or _SCORED
    task = scale.ScoreRange(scale.Scorer(draw.model_file(file)), rows, out, size)
    return _fill(task, scale.shard(scale.ranges(0, len(rows), size), shard), ray, progress)


def sample(file, out, first, last, seed, options, *, shard, size, ray, progress):
    """Samples the events `first, ..., last - 1` of a seed, or a shard of them, and returns what happened.

    Args:
        file: As in `score`.
        out: As in `score`.
        first: Integer, the number of the first event.
        last: Integer, one more than that of the last event.
        seed: Integer.
        options: Dictionary of `condition`, a class, `temperature` and `length`; `None` for what is not given.
        shard: As in `score`.
        size: As in `score`.
        ray: As in `score`.
        progress: As in `score`.
    """
    if seed is None:
        raise ValueError("--seed must be given with --last: all who draw into one folder must agree on it")
    opened = draw.open_file(file)
    model, length = opened.model, options["length"]
    if length is not None and not isinstance(model, keras_ar.SequenceModel):
        raise ValueError(f"--length is for models of sequences. Received a {type(model).__name__}")
    options = {
        **draw.tempered(model, options["temperature"]),
        **draw.of_class(model, options["condition"]),
        **({} if length is None else {"length": length}),
    }
    size = size or _SAMPLED
    task = scale.SampleRange(scale.Sampler(draw.model_file(file), seed=seed, **options), out, size)
    return {**_fill(task, scale.shard(scale.ranges(first, last, size), shard), ray, progress), "seed": seed}


def _fill(task, pieces, ray, progress):
    """Does what is not done yet."""
    folder = task.folder()
    wanted = sum(last - first for first, last in pieces)
    pieces = [piece for piece in pieces if not folder.is_done(*piece)]
    num_events = sum(last - first for first, last in pieces)
    with progress(num_events) if num_events else contextlib.nullcontext() as done:
        if ray is None:
            scale.fill(task, pieces, *([done] if num_events else []))
        else:
            scale.fill_on_ray(task, pieces, ray, *([done] if num_events else []))
    return {"num": wanted, "were_done": wanted - num_events, "folder": str(folder.path)}

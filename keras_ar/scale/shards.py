"""Folders of results that any number of processes fill, each its share; what a killed one leaves undone is redone.

A file holds a range of events, and its name says which. It is written under another name and then renamed, so it is
there as a whole or not at all; to write it again is to write the same. `manifest.json` says which model and which data
the results are of, and how many events a file holds: with another model, or with other options, the folder is refused.
"""

import contextlib
import dataclasses
import itertools
import json
import logging
import os
import pathlib
import re
import socket
import warnings
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from keras_ar import arguments, backend
from keras_ar.scale.rows import Rows
from keras_ar.scale.workers import Sampler, Scorer, fingerprint

__all__ = ["Folder", "SampleRange", "ScoreRange", "fill", "fill_on_ray", "ranges", "read", "shard"]

_MANIFEST = "manifest.json"
_UNFINISHED = ".unfinished-"
_NAME = re.compile(r"events-(\d{15})-(\d{15})\.(npz|parquet)")


def ranges(first: int, last: int, size: int) -> list[tuple[int, int]]:
    """The range from `first` to `last` cut at the multiples of `size`: so all who cut it meet at the same edges.

    Example:

    >>> keras_ar.scale.ranges(3, 25, 10)
    [(3, 10), (10, 20), (20, 25)]
    """
    size, first = arguments.integer(size, "size"), arguments.integer(first, "first", least=0)
    last = arguments.integer(last, "last", least=first)
    edges = [first, *range((first // size + 1) * size, last, size), last]
    return list(itertools.pairwise(edges)) if last > first else []


def shard(pieces: list, text: str) -> list:
    """The pieces of shard `"i/n"`, the `i`-th of `n` shares that differ by one piece at most; `i` counts from 1.

    Example:

    >>> keras_ar.scale.shard(["a", "b", "c", "d", "e"], "2/3")
    ['b', 'c']
    """
    found = re.fullmatch(r"(\d+)/(\d+)", text) if isinstance(text, str) else None
    i, n = map(int, found.groups()) if found else (0, 0)
    if not 1 <= i <= n:
        raise ValueError(f"`shard` must be 'i/n' with i from 1 to n, such as '1/4'. Received: {text!r}.")
    return pieces[len(pieces) * (i - 1) // n : len(pieces) * i // n]


class Folder:
    """A folder of results by ranges of events.

    Args:
        path: String or path of a folder, which need not exist.
        manifest: Dictionary of what the results are of. A folder of others is an error.

    Example:

    >>> import tempfile
    >>> folder = keras_ar.scale.Folder(tempfile.mkdtemp(), {"what": "scores"})
    >>> folder.write(0, 3, {"log_prob": np.zeros(3, "float32")})
    >>> folder.is_done(0, 3), folder.is_done(3, 5)
    (True, False)
    >>> keras_ar.scale.Folder(folder.path, {"what": "samples"})
    Traceback (most recent call last):
    ...
    ValueError: ... must hold results of the same kind: its manifest has what='scores'. Received: what='samples'.
    """

    def __init__(self, path: str | os.PathLike, manifest: dict[str, Any]):
        self.path = pathlib.Path(path)
        try:
            manifest = json.loads(json.dumps(manifest))
        except TypeError as error:
            raise ValueError(f"`manifest` must hold what JSON can: {error}. Received: {manifest!r}.") from error
        found = _manifest(self.path)
        if found is None:
            if self.path.is_dir() and any(not each.name.startswith(_UNFINISHED) for each in self.path.iterdir()):
                raise ValueError(f"`out` must be a new folder, or one of such results. {self.path} has no {_MANIFEST}.")
            self.path.mkdir(parents=True, exist_ok=True)
            with _whole(self.path / _MANIFEST) as file:
                file.write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
            found = _manifest(self.path)  # another process may have been faster
        for name in sorted({*found, *manifest}):
            if found.get(name) != manifest.get(name):
                raise ValueError(
                    f"{self.path} must hold results of the same kind: its manifest has {name}={found.get(name)!r}. "
                    f"Received: {name}={manifest.get(name)!r}."
                )

    def is_done(self, first: int, last: int) -> bool:
        """Whether there is a file of this range; an error if there is one of a part of it, or of more."""
        done = _files(self.path)
        if (first, last) in done:
            return True
        for begin, end in done:
            if begin < last and first < end:
                raise ValueError(
                    f"{self.path} must hold each event once: it has the events from {begin} to {end - 1}, which "
                    f"overlap those from {first} to {last - 1}. Take ranges that begin and end where these do."
                )
        return False

    def write(self, first: int, last: int, columns: dict[str, np.ndarray]) -> None:
        """Writes the file of a range: arrays with an entry for each event."""
        numbers = {"event": np.arange(first, last, dtype="int64")}
        name = f"events-{first:015d}-{last:015d}"
        if _parquet() is None:
            with _whole(self.path / f"{name}.npz") as path, path.open("wb") as file:
                np.savez(file, **numbers, **columns)
        else:
            with _whole(self.path / f"{name}.parquet") as path:
                _write_parquet(path, {**numbers, **columns})


class _Ranges:
    """Fills a folder by ranges. A subclass has `out` and `size`, and writes `manifest` and `results`."""

    def __post_init__(self):
        arguments.integer(self.size, "size")
        self._manifest = {**self.manifest(), "size": self.size}
        self.folder()

    def manifest(self) -> dict[str, Any]:
        """What the results are of: plain JSON types."""
        raise NotImplementedError

    def results(self, first: int, last: int) -> dict[str, np.ndarray]:
        """The columns of a range of events."""
        raise NotImplementedError

    def folder(self) -> Folder:
        """The folder of results, which is made where there is none."""
        return Folder(self.out, self._manifest)

    def __call__(self, first: int, last: int) -> None:
        folder = self.folder()
        if not folder.is_done(first, last):
            folder.write(first, last, self.results(first, last))


@dataclasses.dataclass
class ScoreRange(_Ranges):
    """Scores ranges of the events of a file into a folder; it can be pickled, and sent to the workers of any engine.

    Args:
        scorer: A `Scorer`.
        rows: `Rows`, the events.
        out: String or path of the folder.
        size: Integer, how many events a file of results holds. Defaults to `100_000`.

    Call arguments:
        first: Integer, the first event.
        last: Integer, one more than the last event.
    """

    scorer: Scorer
    rows: Rows
    out: str | os.PathLike
    size: int = 100_000

    def manifest(self):
        rows = self.rows
        data = {"name": rows.path.name, "events": len(rows), "columns": rows.columns, "condition": rows.condition}
        return {"what": "scores", "model": fingerprint(self.scorer.path), "data": data}

    def results(self, first, last):
        x, *condition = self.rows.read(first, last)
        return {"log_prob": self.scorer.score(x, *condition)}


@dataclasses.dataclass
class SampleRange(_Ranges):
    """Samples ranges of events into a folder; it can be pickled, and sent to the workers of any engine.

    Args:
        sampler: A `Sampler`, whose options are plain numbers and strings.
        out: String or path of the folder.
        size: Integer, how many events a file holds. Defaults to `10_000`.

    Call arguments:
        first: Integer, the first event.
        last: Integer, one more than the last event.
    """

    sampler: Sampler
    out: str | os.PathLike
    size: int = 10_000

    def manifest(self):
        sampler = self.sampler
        condition = None if sampler.condition is None else np.asarray(sampler.condition).tolist()
        options = {name: value for name, value in sampler.options.items() if name != "batch_size"}
        of_seed = {"seed": sampler.seed, "condition": condition, "options": options}
        return {"what": "samples", "model": fingerprint(sampler.path), **of_seed}

    def results(self, first, last):
        return {"x": self.sampler.sample(first, last)}


def fill(task: Callable, pieces: Iterable[tuple[int, int]], progress: Callable = lambda done: None) -> None:
    """Does the ranges of a task one after the other, in this process.

    Args:
        task: A `ScoreRange` or `SampleRange`.
        pieces: Ranges, as from `ranges` and `shard`.
        progress: Function of the number of events that are done. Defaults to none.
    """
    done = 0
    for first, last in pieces:
        task(first, last)
        done += last - first
        progress(done)


def fill_on_ray(
    task: Callable,
    pieces: Iterable[tuple[int, int]],
    num_workers: int,
    progress: Callable = lambda done: None,
    num_gpus: float = 0,
) -> None:
    """Does the ranges of a task in the workers of a Ray cluster, each of which loads the model once.

    A worker that is killed is replaced, and its range is done again. An error in a range leaves the others to be done,
    and is raised at the end. Ray is started on this machine, unless it runs.

    Args:
        task: A `ScoreRange` or `SampleRange`, whose paths all machines of the cluster can reach.
        pieces: Ranges, as from `ranges` and `shard`.
        num_workers: Integer, how many workers there are.
        progress: Function of the number of events that are done. Defaults to none.
        num_gpus: Float, the GPUs of each worker. Defaults to `0`.
    """
    try:
        import ray.data
    except ImportError as error:
        raise ImportError('workers on Ray need the package ray: pip install "keras-ar[ray]"') from error
    num_workers, pieces = arguments.integer(num_workers, "num_workers"), [list(piece) for piece in pieces]
    if not pieces:
        return
    if not ray.is_initialized():
        with warnings.catch_warnings():
            # JAX warns of forks. Ray's are followed by an exec at once.
            warnings.filterwarnings("ignore", r"os\.fork\(\) was called", RuntimeWarning)
            environment = {"env_vars": backend.environment_of_workers()}
            ray.init(runtime_env=environment, log_to_driver=False, logging_level="ERROR")
    logging.getLogger("ray.data").setLevel("ERROR")
    ray.data.DataContext.get_current().enable_progress_bars = False
    data = ray.data.from_items([{"piece": piece} for piece in pieces], override_num_blocks=len(pieces))
    options = {"compute": ray.data.ActorPoolStrategy(size=num_workers), "num_gpus": num_gpus or None}
    found = data.map_batches(_Worker, fn_constructor_args=(task,), batch_size=1, num_cpus=1, **options)
    done, errors = 0, []
    for batch in found.iter_batches(batch_size=1):
        done += int(batch["done"].sum())
        errors += [error for error in batch["error"] if error]
        progress(done)
    if errors:
        raise ValueError(f"{len(errors)} of {len(pieces)} ranges failed; the others are done. {errors[0]}")


class _Worker:
    """An actor of Ray: does ranges of a task."""

    def __init__(self, task):
        self._task = task

    def __call__(self, batch):
        ((first, last),) = batch["piece"]
        try:
            self._task(int(first), int(last))
        except Exception as error:  # for Ray it is a result like others, so that these go on
            return {"done": np.array([0]), "error": np.array([f"{type(error).__name__}: {error}"])}
        return {"done": np.array([last - first]), "error": np.array([""])}


def read(path: str | os.PathLike, first: int = 0, last: int | None = None) -> dict[str, np.ndarray]:
    """What a folder of results holds, in the order of events.

    Args:
        path: String or path of the folder.
        first: Integer, the first event that is expected. Defaults to `0`.
        last: Integer, one more than the last event that is expected. Defaults to `None`: that of the last file.

    Returns:
        Dictionary of arrays with an entry for each event: `event`, its number, and `log_prob` or `x`.

    Example:

    >>> import tempfile
    >>> folder = keras_ar.scale.Folder(tempfile.mkdtemp(), {"what": "scores"})
    >>> folder.write(3, 5, {"log_prob": np.zeros(2, "float32")})
    >>> folder.write(0, 3, {"log_prob": np.ones(3, "float32")})
    >>> keras_ar.scale.read(folder.path)["log_prob"].tolist()
    [1.0, 1.0, 1.0, 0.0, 0.0]
    """
    path = pathlib.Path(path)
    if _manifest(path) is None:
        raise ValueError(f"`path` must be a folder of results. {path} has no {_MANIFEST}.")
    files = _files(path)
    parts, at = [], first
    for (begin, end), file in sorted(files.items()):
        if end <= first or (last is not None and begin >= last):
            continue
        if begin != at:
            what = "no events" if begin > at else "twice the events"
            raise ValueError(f"{path} must hold each event once. It holds {what} from {min(at, begin)} on.")
        parts.append(_read_file(file))
        at = end
    if not parts or (last is not None and at != last):
        raise ValueError(f"{path} must hold the events up to {last}. It ends at {at}.")
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _manifest(path):
    file = path / _MANIFEST
    if not file.is_file():
        return None
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{file} is damaged: {error}.") from error
    if not isinstance(found, dict):
        raise ValueError(f"{file} is damaged: it must hold an object.")
    return found


def _files(path):
    """The files of results, by the first event and one more than the last."""
    found = {}
    for file in path.iterdir():
        match = _NAME.fullmatch(file.name)
        if match:
            found[int(match[1]), int(match[2])] = file
    return found


@contextlib.contextmanager
def _whole(path):
    """A path to write to in place of `path`, of this process alone; what was written is renamed at the end."""
    unfinished = path.with_name(f"{_UNFINISHED}{socket.gethostname()}-{os.getpid()}-{path.name}")
    try:
        yield unfinished
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def _parquet():
    """The module `pyarrow.parquet`, or `None` where it is not installed."""
    try:
        import pyarrow.parquet as parquet
    except ImportError:
        return None
    return parquet


def _write_parquet(path, columns):
    """A column for each array; events of several values are lists, and their shape is kept beside the column."""
    import pyarrow as pa

    arrays, fields = [], []
    for name, values in columns.items():
        array = pa.array(np.ascontiguousarray(values).reshape(-1))
        shape = json.dumps(list(values.shape[1:]))
        if values.ndim > 1:
            array = pa.FixedSizeListArray.from_arrays(array, int(np.prod(values.shape[1:])))
        arrays.append(array)
        fields.append(pa.field(name, array.type, metadata={"shape": shape}))
    _parquet().write_table(pa.Table.from_arrays(arrays, schema=pa.schema(fields)), path)


def _read_file(path):
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as file:
            return dict(file)
    parquet = _parquet()
    if parquet is None:
        raise ImportError(f'{path} needs the package pyarrow: pip install "keras-ar[parquet]"')
    table, found = parquet.read_table(path), {}
    for field in table.schema:
        column = table.column(field.name).combine_chunks()
        shape = json.loads((field.metadata or {}).get(b"shape", b"[]"))
        values = column.flatten() if shape else column
        found[field.name] = values.to_numpy(zero_copy_only=False).reshape(-1, *shape)
    return found

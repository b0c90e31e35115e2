"""The folder of a run. A run writes only to a folder that it made, and one process at a time does.

- `.keras-ar-run` marks the folder. Its lock is the operating system's, and ends with the process, however that ends.
- `recipe.toml`: the recipe as run.
- `history.csv`: a line for each epoch, counted from 0, as Keras' CSVLogger writes it.
- `backup/`: weights and optimizer after the last epoch, and the best weights so far; in a long epoch, all that a run is
  in the middle of it, in a file named by the epochs and the steps that are done. Removed when the run is finished.
- `model.keras`, its card `README.md`, pictures or other samples, and at the very end `metrics.json`.

Every file is first written under another name and then renamed, so it is there as a whole or not at all. What a killed
process leaves unfinished is written over by the process that resumes its run.
"""

import contextlib
import json
import os
import pathlib
import re
import socket

from keras_ar_cli import recipe as recipes

try:
    import fcntl
except ImportError:  # on Windows nothing keeps two processes apart
    fcntl = None

__all__ = [
    "MARKER",
    "RunError",
    "backup",
    "finished",
    "held",
    "history",
    "metrics",
    "of_epochs",
    "reading",
    "recipe_for",
    "remove_backup",
    "whole",
]

MARKER = ".keras-ar-run"
_UNFINISHED = ".unfinished-"
_SCORES = {"nats": float, "standard_error": float, "events": int}
_METRICS = {  # what is read from `metrics.json`
    **dict.fromkeys(("train", "valid", "test"), _SCORES),
    **dict.fromkeys(("parameters", "epochs", "best_epoch"), int),
    "seconds": float,
    "backend": str,
    "data": {"name": str, "kind": str},
    "files": list,
}
_WITHIN_EPOCH = re.compile(r"(\d+)-(\d+)\.npz")
_OF_BACKUP = re.compile(rf"({re.escape(_UNFINISHED)})?((best|\d+)\.weights\.h5|{_WITHIN_EPOCH.pattern})")


class RunError(ValueError):
    """A run cannot be begun, or resumed, as it was asked for."""


def backup(folder):
    """The path of the weights of a run that is not finished."""
    return folder / "backup"


def of_epochs(folder):
    """The files of epochs that have begun, by pairs: how many epochs were done, and how many steps of the next."""
    found = [(_WITHIN_EPOCH.fullmatch(path.name), path) for path in folder.iterdir()] if folder.is_dir() else []
    return {(int(name[1]), int(name[2])): path for name, path in found if name}


def history(folder):
    """The path of the history of a run."""
    return folder / "history.csv"


def recipe_for(wanted, folder, resume):
    """The recipe to run in a folder: the one that is wanted, or that of the run to resume. Writes nothing.

    Args:
        wanted: A whole recipe; `None` for that of the run in the folder.
        folder: Path of the folder, which need not exist.
        resume: Boolean, whether a run in the folder may be resumed.

    Returns:
        A whole recipe.
    """
    if not _is_run(folder):
        _check_is_free(folder)
    found = _recorded(folder)
    if found is None or not (_has_begun(folder) or resume):
        if wanted is None:
            raise RunError(f"{folder} holds no run to resume: name a recipe")
        return wanted
    if not resume:
        raise RunError(f"{folder} holds a run already: resume it by --resume, or choose another folder by --out")
    if wanted not in (None, found):
        raise RunError(f"{folder} holds a run of another recipe: resume it without naming one, or use another --out")
    return found


@contextlib.contextmanager
def held(folder, recipe):
    """Makes the folder of a run where there is none, and keeps other processes from running in it."""
    folder.mkdir(parents=True, exist_ok=True)
    if not _is_run(folder):
        _check_is_free(folder)
    with (folder / MARKER).open("a+", encoding="utf-8") as marker:
        _lock(marker, folder)
        if _recorded(folder) != recipe:
            if _has_begun(folder):
                raise RunError(f"{folder} holds a run of another recipe, which has begun just now: use another --out")
            remove_backup(folder)
            with whole(folder / "recipe.toml") as file:
                file.write_text(recipes.write(recipe), encoding="utf-8")
        yield


def finished(folder):
    """What `metrics.json` of a finished run says; `None` where there is no finished run."""
    return metrics(folder) if _is_run(folder) and (folder / "metrics.json").is_file() else None


def metrics(folder):
    """What `metrics.json` in a folder says, which may be a copy of that of a run."""
    path = folder / "metrics.json"
    with reading(path):
        found = json.loads(path.read_text(encoding="utf-8"))
        _check_metrics(found, _METRICS)
    return found


def remove_backup(folder):
    """Removes the files of `backup/` by their names, and the folder, if nothing else is in it."""
    if backup(folder).is_dir():
        for file in backup(folder).iterdir():
            if _OF_BACKUP.fullmatch(file.name):
                file.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            backup(folder).rmdir()


@contextlib.contextmanager
def reading(path):
    """Names the file of a run that cannot be read, in whatever way."""
    try:
        yield
    except Exception as error:
        raise RunError(f"{path} cannot be read, it may be damaged. {type(error).__name__}: {error}") from error


@contextlib.contextmanager
def whole(path):
    """A path to write to in place of `path`; what was written there is renamed to `path` at the end."""
    path = pathlib.Path(path)
    unfinished = path.with_name(f"{_UNFINISHED}{path.name}")
    try:
        yield unfinished
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def _check_metrics(found, expected, where="what it holds"):
    if not isinstance(expected, dict):
        if not isinstance(found, expected):
            raise ValueError(f"{where} must be of type {expected.__name__}. Received: {found!r}")
        return
    if not isinstance(found, dict):
        raise ValueError(f"{where} must be an object. Received: {found!r}")
    for key, value in expected.items():
        _check_metrics(found.get(key), value, key)


def _is_run(folder):
    return (folder / MARKER).is_file()


def _has_begun(folder):
    """Whether there is anything to resume: an epoch that is finished, or was kept in the middle."""
    return any(
        path.exists() for path in (history(folder), folder / "metrics.json", *of_epochs(backup(folder)).values())
    )


def _recorded(folder):
    """The recipe of the run in a folder, or `None` before it is written."""
    path = folder / "recipe.toml"
    return recipes.find(str(path)) if _is_run(folder) and path.exists() else None


def _check_is_free(folder):
    if folder.exists() and not folder.is_dir():
        raise RunError(f"--out must be a folder. Received: {folder}, a file")
    if folder.is_dir() and any(folder.iterdir()):
        raise RunError(
            f"{folder} is not empty, and holds no run of keras-ar, which has a file {MARKER}: "
            "choose a new or an empty folder by --out"
        )


def _lock(marker, folder):
    """Locks the marker until it is closed, and writes into it who holds it."""
    if fcntl is not None:
        try:
            fcntl.flock(marker, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            marker.seek(0)
            holder = marker.read().strip() or "another process"
            raise RunError(f"{folder} is in use by {holder}: wait for it, or choose another folder by --out") from error
        except OSError:
            pass  # a file system without locks
    marker.truncate(0)
    marker.write(f"process {os.getpid()} on {socket.gethostname()}\n")
    marker.flush()

"""Models in workers of any engine: objects that can be pickled, and load their model once in each process."""

import functools
import hashlib
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_ar import arguments, noise
from keras_ar.saving import load_model

__all__ = ["Sampler", "Scorer", "fingerprint", "opened"]


def fingerprint(path: str | os.PathLike) -> str:
    """The SHA-256 of a file, in hexadecimal digits.

    Example:

    >>> import os, tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "empty")
    >>> open(path, "w").close()
    >>> keras_ar.scale.workers.fingerprint(path)[:8]
    'e3b0c442'
    """
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def opened(path: str | os.PathLike) -> Any:
    """The model in a `.keras` file, loaded once by each process, and again if the file has changed."""
    path = os.path.abspath(path)
    status = os.stat(path)
    return _opened(path, status.st_mtime_ns, status.st_size)


@functools.lru_cache(maxsize=4)
def _opened(path, *changes):
    return load_model(path, compile=False)


class Scorer:
    """The log-likelihood of events, for the workers of Ray, Dask, Spark or any other engine.

    It is made of a path: it can be pickled and sent to other machines that find the file there. A worker loads the
    model when it scores its first batch.

    Args:
        path: String or path of a `.keras` file.
        columns: List of strings, the columns of a batch that make an event; one column may hold whole events. Defaults
            to `("x",)`.
        condition: String, the column of conditions. Defaults to `None`.
        batch_size: As in `score_samples`. Defaults to `None`.

    Call arguments:
        batch: Array of events; or a dictionary of columns, such as `ray.data.Dataset.map_batches` gives.

    Returns:
        float32 array of log-likelihoods; of a dictionary, the dictionary with this array as the column `log_prob`, and
        without the columns of the event.

    Example:

    >>> import os, tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "coins.keras")
    >>> keras_ar.models.FVSBN(3).save(path)
    >>> scorer = keras_ar.scale.Scorer(path)
    >>> scorer(np.zeros((2, 3))).round(3).tolist()
    [-2.0789999961853027, -2.0789999961853027]
    >>> sorted(scorer({"x": np.zeros((2, 3)), "id": np.array([7, 8])}))
    ['id', 'log_prob']
    """

    def __init__(
        self,
        path: str | os.PathLike,
        *,
        columns: Sequence[str] = ("x",),
        condition: str | None = None,
        batch_size: int | None = None,
    ):
        self.path, self.columns, self.condition = os.path.abspath(path), tuple(columns), condition
        self.batch_size = None if batch_size is None else arguments.integer(batch_size, "batch_size")
        if not os.path.exists(self.path):
            raise FileNotFoundError(f"`path` must be a .keras file. There is no file {self.path!r}.")

    def __call__(self, batch: Any) -> Any:
        if not isinstance(batch, Mapping):
            return self.score(batch)
        wanted = [*self.columns, *([] if self.condition is None else [self.condition])]
        missing = [name for name in wanted if name not in batch]
        if missing:
            raise ValueError(f"`batch` must have the columns {missing}. It has {list(batch)}.")
        events = [np.stack(batch[name]) for name in self.columns]
        events = events[0] if len(events) == 1 else np.stack(events, axis=1)
        scores = self.score(events, None if self.condition is None else batch[self.condition])
        return {**{name: array for name, array in batch.items() if name not in wanted}, "log_prob": scores}

    def score(self, x: Any, condition: Any = None) -> np.ndarray:
        """Log-likelihoods of events, which may be flattened: float32 array of shape `(events,)`."""
        model, x = opened(self.path), np.asarray(x)
        if len(x) == 0:
            return np.zeros(0, "float32")
        if x[0].size == model.num_dims:
            x = x.reshape(-1, *model.event_shape)
        return model.score_samples(x, condition, batch_size=self.batch_size)


class Sampler:
    """Samples by their numbers, for the workers of any engine: event 7 of a seed is the same wherever it is drawn.

    So a billion events can be divided among workers in any way, and what a worker has lost is drawn again. Like
    `Scorer`, it can be pickled.

    Args:
        path: String or path of a `.keras` file.
        seed: Integer, the seed of all events.
        condition: The condition of all events, or `None`. Defaults to `None`.
        **options: More arguments of the model's `sample`, such as `temperature` and `batch_size`.

    Call arguments:
        batch: Array of the numbers of events; or a dictionary with a column of them, `"id"` as `ray.data.range` has it.

    Returns:
        Array of shape `(events, *event_shape)`; of a dictionary, the dictionary with it as the column `x`.

    Example:

    >>> import os, tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "coins.keras")
    >>> keras_ar.models.FVSBN(3).save(path)
    >>> sampler = keras_ar.scale.Sampler(path, seed=0)
    >>> sampler(np.array([2, 3, 7])).tolist()
    [[1, 0, 0], [0, 0, 1], [1, 1, 0]]
    """

    def __init__(self, path: str | os.PathLike, *, seed: int, condition: Any = None, **options):
        self.path, self.condition, self.options = os.path.abspath(path), condition, options
        if seed is None:
            raise ValueError("`seed` must be an integer: workers must agree on it. Received: seed=None.")
        self.seed = noise.check_seed(seed)
        if not os.path.exists(self.path):
            raise FileNotFoundError(f"`path` must be a .keras file. There is no file {self.path!r}.")

    def __call__(self, batch: Any) -> Any:
        if not isinstance(batch, Mapping):
            return self._draw(np.asarray(batch))
        if "id" not in batch:
            raise ValueError(f"`batch` must have a column 'id', the numbers of events. It has {list(batch)}.")
        return {**batch, "x": self._draw(np.asarray(batch["id"]))}

    def _draw(self, numbers):
        begins = np.flatnonzero(np.diff(numbers, prepend=-2) != 1)  # where the numbers do not go on by one
        runs = np.split(numbers, begins[1:]) if len(numbers) else []
        drawn = [self.sample(int(run[0]), int(run[-1]) + 1) for run in runs]
        return np.concatenate(drawn) if drawn else self.sample(0, 0)

    def sample(self, first: int, last: int) -> np.ndarray:
        """The events `first, ..., last - 1`."""
        return opened(self.path).sample(last - first, self.condition, seed=self.seed, first_event=first, **self.options)

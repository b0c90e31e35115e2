"""Many events as batches of one size, and a progress bar over them."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import tree

from keras_ar import arguments, backend, mapped

__all__ = ["Progress", "fitting", "run"]

_ON_ACCELERATOR = 1024  # events in a batch: one at a time they take as long as a few hundred together
_LEAST_ON_ACCELERATOR, _LEAST_ON_CPU = 256, 4  # a CPU takes longer for more events


class Progress:
    """A bar over the events of a driver.

    Args:
        num_events: Integer, how many events there are in all.
        verbose: `1` for a bar, `0` for silence.

    Example:

    >>> progress = keras_ar.batches.Progress(10, verbose=0)
    >>> progress.add(4)
    >>> progress.is_shown
    False
    """

    def __init__(self, num_events: int, verbose: int):
        arguments.integer(int(verbose) if isinstance(verbose, bool) else verbose, "verbose", least=0)
        self.is_shown = bool(verbose)
        self._bar = keras.utils.Progbar(num_events, unit_name="event") if verbose else None
        self._num_events = num_events
        self._done = 0.0

    def add(self, num_events: float) -> None:
        """Moves on by a number of events, which may be a fraction."""
        before = int(self._done + 1e-6)
        self._done = min(self._done + num_events, self._num_events)
        now = int(self._done + 1e-6)
        if self._bar and now > before:  # Keras prints the finished bar at each update
            self._bar.update(now)


def fitting(batch_size: int | None, num_events: int, on_cpu: int) -> int:
    """The size of the batches that events are cut into: `batch_size`, or less where that would be mostly padding.

    Whatever the number of events, there are few sizes, because each is compiled for: 4, 8, 16, ... on a CPU.

    Args:
        batch_size: Integer, the size that is asked for; `None` for what suits the device.
        num_events: Integer, how many events there are.
        on_cpu: Integer, the size that suits a CPU.

    Example:

    >>> keras_ar.batches.fitting(100_000, num_events=300, on_cpu=64)
    512
    """
    if batch_size is None:
        batch_size = _ON_ACCELERATOR if backend.on_accelerator() else on_cpu
    batch_size = arguments.integer(batch_size, "batch_size")
    least = _LEAST_ON_ACCELERATOR if backend.on_accelerator() else _LEAST_ON_CPU
    fitting = min(batch_size, max(least, 2 ** (max(num_events, 1) - 1).bit_length()))
    return fitting + -fitting % backend.num_shares()  # so that devices can divide it


def run(function: Callable, arrays: Sequence[np.ndarray], num_events: int, batch_size: int, progress: Progress) -> Any:
    """Calls `function(first, *batch)` for each batch of events, and puts together what it returns.

    The last batch is padded, so that no number of events compiles anything anew; what the
    padding gives is cut off. With no events at all one batch is run, for shapes and dtypes.

    Args:
        function: Takes the index of the batch's first event and a batch of each of `arrays`, and
            returns a nest of tensors or arrays whose first axis is the batch. It reports to `progress`.
        arrays: Arrays with an entry for each event.
        num_events: Integer, how many events there are.
        batch_size: Integer, how many events are in a batch.
        progress: A `Progress`.

    Returns:
        The nest, of NumPy arrays with `num_events` entries each.

    Example:

    >>> silent = keras_ar.batches.Progress(5, verbose=0)
    >>> keras_ar.batches.run(lambda first, x: 10 * x, [np.arange(5)], 5, 2, silent).tolist()
    [0, 10, 20, 30, 40]
    """
    parts, rows = [], mapped.Rows(arrays)
    for first in range(0, max(num_events, 1), batch_size):
        size = min(batch_size, num_events - first)
        found = function(first, *(_pad(array, batch_size) for array in rows[first : first + batch_size]))
        parts.append(tree.map_structure(lambda x: keras.ops.convert_to_numpy(x)[:size], found))  # noqa: B023
    return tree.map_structure(lambda *batches: np.concatenate(batches), *parts)


def _pad(array, length):
    missing = length - len(array)
    if missing == 0:
        return array
    filler = array[-1:] if len(array) else np.zeros((1, *array.shape[1:]), array.dtype)
    return np.concatenate([array, np.repeat(filler, missing, axis=0)])

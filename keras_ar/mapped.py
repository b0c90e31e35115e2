"""Arrays that are mapped into memory from a file (`np.memmap`), which may be larger than memory.

They are never read at once: what goes through them takes rows, and gives back the pages that it has read.
"""

import math
import mmap
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import keras
import numpy as np

from keras_ar import noise

__all__ = ["Batches", "Rows", "holds_mapped", "is_mapped", "over_pieces", "pieces", "temporary"]

_PIECE = 2**26  # bytes of a piece
_MOST_READ = 2**28  # bytes of mapped files that may be read before their pages are given back
_AROUND = 2**21  # bytes: with one byte, Linux maps the whole block of its cache that it is in, of up to so many
_PLACES = _MOST_READ // _AROUND


def is_mapped(array: Any) -> bool:
    """Whether an array is an `np.memmap`, or a view of one.

    Example:

    >>> x = keras_ar.mapped.temporary([np.arange(6)], (3, 2), "uint8")
    >>> keras_ar.mapped.is_mapped(x[1:]), keras_ar.mapped.is_mapped(np.array(x))
    (True, False)
    """
    return _mapping(array)[0] is not None


def holds_mapped(x: Any) -> bool:
    """Whether data are a mapped array, or a pair with one.

    Example:

    >>> x = keras_ar.mapped.temporary([np.arange(6)], (3, 2), "uint8")
    >>> keras_ar.mapped.holds_mapped((x, np.zeros(3)))
    True
    """
    return any(map(is_mapped, x)) if isinstance(x, tuple | list) else is_mapped(x)


def temporary(chunks: Iterable[np.ndarray], shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """An array mapped from an unnamed file, in the folder for temporary files, that ends with the array.

    Args:
        chunks: The values of the array in order, in arrays of any shape.
        shape: Tuple of integers.
        dtype: The dtype of the array, and of the file.

    Example:

    >>> keras_ar.mapped.temporary([np.arange(2), np.arange(4)], (2, 3), "uint8").tolist()
    [[0, 1, 0], [1, 2, 3]]
    """
    with tempfile.TemporaryFile() as file:
        for chunk in chunks:
            file.write(np.ascontiguousarray(chunk, dtype).data)
        file.flush()
        return np.memmap(file, dtype, "r", shape=shape)


def pieces(array: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """The rows of any array, in pieces of some 64 MB: pairs of the index of the first row and a view.

    Example:

    >>> [(first, piece.shape) for first, piece in keras_ar.mapped.pieces(np.zeros((3, 2**24)))]
    [(0, (1, 16777216)), (1, (1, 16777216)), (2, (1, 16777216))]
    """
    if array.nbytes <= _PIECE or len(array) == 0:
        yield 0, array
        return
    pages, size = _Pages([array]), max(1, _PIECE * len(array) // array.nbytes)
    for first in range(0, len(array), size):
        piece = array[first : first + size]
        yield first, piece
        pages.read(piece.nbytes)


def over_pieces(function: Callable, array: np.ndarray, *others: np.ndarray) -> np.ndarray:
    """What a function makes of the pieces of an array, and of the same rows of other arrays, put together again.

    Example:

    >>> keras_ar.mapped.over_pieces(np.add, np.array([1, 2]), np.array([3, 4])).tolist()
    [4, 6]
    """
    found = []
    for first, piece in pieces(array):
        try:
            found.append(function(np.array(piece), *(other[first : first + len(piece)] for other in others)))
        except ValueError as error:
            if first == 0:
                raise
            raise ValueError(f"{error} (Counted from event {first} on.)") from error
    return np.concatenate(found)


class Rows:
    """Rows of some arrays of one length. Those of mapped arrays are copies, and their files do not stay in memory.

    Args:
        arrays: Arrays.

    Example:

    >>> rows = keras_ar.mapped.Rows([np.arange(5), np.arange(5) ** 2])
    >>> [array.tolist() for array in rows[np.array([3, 1])]]
    [[3, 1], [9, 1]]
    """

    def __init__(self, arrays: Sequence[np.ndarray]):
        self.arrays = [np.asarray(array) for array in arrays]
        self._are_mapped = [is_mapped(array) for array in self.arrays]
        self._pages = _Pages(self.arrays)

    def __getitem__(self, rows: Any) -> list[np.ndarray]:
        pairs = zip(self.arrays, self._are_mapped, strict=True)
        return [self._read(array, rows) if of_file else array[rows] for array, of_file in pairs]

    def _read(self, array, rows):
        """Rows of a mapped array: those in many places a few at a time, each of which may map all that is around it."""
        if isinstance(rows, slice):
            found = np.array(array[rows])
            self._pages.read(found.nbytes)
            return found
        found = np.empty((len(rows), *array.shape[1:]), array.dtype)
        for first in range(0, len(rows), _PLACES):
            few = slice(first, first + _PLACES)
            found[few] = array[rows[few]]
            self._pages.read(found[few].nbytes + len(found[few]) * _AROUND)
        return found


class _Pages:
    """Gives back the pages of mapped files, again and again while one goes through them.

    The system would take them back when memory is short; but until then they count as memory of this process, and are
    taken for such by whoever limits or watches it. What is read again is mapped again.
    """

    def __init__(self, arrays):
        found = [_mapping(array) for array in arrays]
        # Of a private map ("c"), pages that were written to are nowhere else.
        self._maps = [pages for pages, mode in found if pages is not None and mode != "c"]
        self._read = 0

    def read(self, num_bytes):
        """Notes that so much was read."""
        self._read += num_bytes
        if self._read > _MOST_READ:
            self._read = 0
            for pages in self._maps:
                if hasattr(mmap, "MADV_DONTNEED"):  # not on Windows
                    pages.madvise(mmap.MADV_DONTNEED)


def _mapping(array):
    """The `mmap.mmap` below an array and the mode of its `np.memmap`; twice `None` if there is none."""
    mode = None
    while isinstance(array, np.ndarray):
        mode = array.mode if isinstance(array, np.memmap) else mode
        array = array.base
    return (array, mode) if isinstance(array, mmap.mmap) and mode is not None else (None, None)


class Batches(keras.utils.PyDataset):
    """Arrays in batches for Keras' trainers, which would read arrays at once. The last batch may be smaller.

    Args:
        events: Array of shape `(events, ...)`.
        condition: Array with an entry for each event, or `None`.
        weights: Array with a number for each event, or `None`.
        batch_size: Integer.
        shuffle: Boolean, whether each pass takes the events in another order, which follows the seed of Keras.

    Example:

    >>> batches = keras_ar.mapped.Batches(np.arange(5), None, None, batch_size=2, shuffle=False)
    >>> [events.tolist() for (events,) in batches]
    [[0, 1], [2, 3], [4]]
    """

    def __init__(self, events, condition, weights, batch_size, shuffle):
        super().__init__()
        self._names = ["events", *(["condition"] * (condition is not None)), *(["weights"] * (weights is not None))]
        self._rows = Rows([array for array in (events, condition, weights) if array is not None])
        self._num_events, self._batch_size = len(events), batch_size
        self._seeds = np.random.SeedSequence(noise.check_seed(None)) if shuffle else None

    def __len__(self):
        return math.ceil(self._num_events / self._batch_size)

    def __getitem__(self, index):
        # Keras tells of epochs, which may be a part of the data or several passes. A pass begins with the first batch.
        if index == 0 and self._seeds is not None:
            seed = self._seeds.spawn(1)[0].generate_state(1, "uint64")[0]
            self._order = noise.LongPermutation(self._num_events, int(seed))
        rows = slice(index * self._batch_size, min((index + 1) * self._batch_size, self._num_events))
        if self._seeds is not None:
            rows = self._order[np.arange(rows.start, rows.stop)]
        parts = dict(zip(self._names, self._rows[rows], strict=True))
        x = (parts["events"], parts["condition"]) if "condition" in parts else parts["events"]
        # Keras drops sample weights that come without targets.
        return (x, parts["events"], parts["weights"]) if "weights" in parts else (x,)

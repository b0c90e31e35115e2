"""Events in a file, read by ranges of rows: what is not asked for stays on disk."""

import bisect
import itertools
import os
import pathlib
from collections.abc import Sequence

import numpy as np

from keras_ar import mapped

__all__ = ["Rows"]


class Rows:
    """Events in a file or a folder, in their order, of which any range can be read.

    Args:
        path: String or path: a `.npy` file, which holds one array; an `.npz` file, which holds the array `x`; a
            `.parquet` file, or a folder of such, taken by name.
        columns: List of strings, the columns of a Parquet file that make an event. Defaults to `None`: all.
        condition: String, a column of a Parquet file, or an array in an `.npz` file, that holds the condition of each
            event. Defaults to `None`.

    Example:

    >>> import os, tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "events.npy")
    >>> np.save(path, np.arange(10).reshape(5, 2))
    >>> rows = keras_ar.scale.Rows(path)
    >>> len(rows), rows.read(2, 4)[0].tolist()
    (5, [[4, 5], [6, 7]])
    """

    def __init__(self, path: str | os.PathLike, columns: Sequence[str] | None = None, condition: str | None = None):
        self.path = pathlib.Path(path).absolute()
        self.columns, self.condition = None if columns is None else list(columns), condition
        if not self.path.exists():
            raise FileNotFoundError(f"`path` must be a file of events, or a folder. There is no {self.path}.")
        if self.path.is_dir() or self.path.suffix == ".parquet":
            self._source = _Parquet(self.path, self.columns, condition)
        elif self.path.suffix in (".npy", ".npz"):
            if columns is not None:
                raise ValueError(f"`columns` must be None for a {self.path.suffix} file: it has none.")
            self._source = _Arrays(self.path, condition)
        else:
            raise ValueError(f"`path` must end in .npy, .npz or .parquet, or be a folder. Received: {self.path}.")

    def __len__(self) -> int:
        return self._source.length

    def __reduce__(self):
        return Rows, (self.path, self.columns, self.condition)  # a worker opens the file anew

    def read(self, first: int, last: int) -> list[np.ndarray]:
        """The events `first, ..., last - 1`, and their conditions if there are any: a list of one or two arrays."""
        if not 0 <= first <= last <= len(self):
            raise ValueError(f"`first` and `last` must be from 0 to {len(self)}. Received: {first} and {last}.")
        return self._source.read(first, last)


class _Arrays:
    """Arrays of NumPy: that of a `.npy` file is mapped into memory."""

    def __init__(self, path, condition):
        if path.suffix == ".npy":
            if condition is not None:
                raise ValueError("`condition` must be None for a .npy file, which holds one array.")
            arrays = [np.load(path, mmap_mode="r", allow_pickle=False)]
        else:
            with np.load(path, allow_pickle=False) as file:
                for name in ("x", *([] if condition is None else [condition])):
                    if name not in file:
                        raise ValueError(f"{path} must hold an array {name!r}. It holds {', '.join(file.files)}.")
                arrays = [file["x"], *([] if condition is None else [file[condition]])]
        self.length, self._rows = len(arrays[0]), mapped.Rows(arrays)

    def read(self, first, last):
        return self._rows[first:last]


class _Parquet:
    """Columns of Parquet files, of which the groups of rows that are needed are read."""

    def __init__(self, path, columns, condition):
        try:
            import pyarrow.parquet as parquet
        except ImportError as error:
            raise ImportError('Parquet files need the package pyarrow: pip install "keras-ar[parquet]"') from error
        paths = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
        if not paths:
            raise ValueError(f"`path` must hold .parquet files. Received: {path}, a folder without any.")
        self._files = [parquet.ParquetFile(each) for each in paths]
        names = self._files[0].schema_arrow.names
        self._columns = columns or [name for name in names if name != condition]
        self._condition = [] if condition is None else [condition]
        for each, file in zip(paths, self._files, strict=True):
            missing = [name for name in (*self._columns, *self._condition) if name not in file.schema_arrow.names]
            if missing:
                raise ValueError(f"{each} must have the columns {missing}. It has {file.schema_arrow.names}.")
        groups = [(file, i) for file in self._files for i in range(file.num_row_groups)]
        ends = itertools.accumulate(file.metadata.row_group(i).num_rows for file, i in groups)
        self._groups, self._begins = groups, [0, *ends]
        self.length = self._begins[-1]

    def read(self, first, last):
        begin = max(bisect.bisect_right(self._begins, first) - 1, 0)
        end = bisect.bisect_left(self._begins, last)
        parts = [self._group(*group) for group in self._groups[begin : max(end, begin + 1)]]
        cut = slice(first - self._begins[begin], last - self._begins[begin])
        return [np.concatenate(arrays)[cut] for arrays in zip(*parts, strict=True)]

    def _group(self, file, number):
        table = file.read_row_group(number, columns=[*self._columns, *self._condition])
        events = [_numbers(table, name) for name in self._columns]
        events = np.concatenate([array if array.ndim > 1 else array[:, None] for array in events], axis=1)
        return [events, *(_numbers(table, name) for name in self._condition)]


def _numbers(table, name):
    """A column of numbers as an array of one axis; one of lists of numbers, all of one length, as an array of two."""
    column, kind = table.column(name).combine_chunks(), table.schema.field(name).type
    is_list = "list" in str(kind)
    array = (column.flatten() if is_list else column).to_numpy(zero_copy_only=False)
    if array.dtype.kind not in "biuf":
        raise ValueError(f"Column {name!r} must hold numbers. It holds {kind}.")
    if column.null_count and array.dtype.kind != "f":
        raise ValueError(f"Column {name!r} must have no missing values: it holds {kind}.")
    return array.reshape(len(column), -1) if is_list else array

"""Tables from Parquet and Arrow files, by the package pyarrow: column by column, so that others are not read."""

import numpy as np

from keras_ar.datasets.files import files_of, reading
from keras_ar.datasets.tables import LARGEST, MISSING, Table, dataset

__all__ = ["parquet_files", "read_arrow", "read_parquet"]


def read_parquet(path, split, seed, labels=None, columns=None):
    """A table from a Parquet file, or from all of a folder, by their names."""
    pyarrow = _pyarrow()
    files = parquet_files(path) if path.is_dir() else [path]
    return dataset(_ArrowTable(path, [_Parquet(pyarrow, file) for file in files]), split, seed, labels, columns)


def read_arrow(path, split, seed, labels=None, columns=None):
    """A table from a file in the format of Arrow, which is that of Feather, too."""
    return dataset(_ArrowTable(path, [_Arrow(_pyarrow(), path)]), split, seed, labels, columns)


def parquet_files(folder):
    """The Parquet files of a folder, by name."""
    return files_of(folder, {".parquet"})


def _pyarrow():
    try:
        import pyarrow.compute
        import pyarrow.parquet
    except ImportError as error:
        raise ImportError(
            'Parquet and Arrow files need the package pyarrow: pip install "keras-ar[parquet]".'
        ) from error
    return pyarrow


class _Parquet:
    """A Parquet file, of which one column is read at a time."""

    def __init__(self, pyarrow, path):
        self._pyarrow, self.path = pyarrow, path
        with reading(path), self._open() as file:
            self.schema, self.names = file.schema_arrow, file.schema_arrow.names

    def column(self, index):
        with reading(self.path), self._open() as file:
            return file.read([self.names[index]])

    def _open(self):
        return self._pyarrow.parquet.ParquetFile(self.path)


class _Arrow:
    """A file of Arrow's format, or one of its streams, of which one column is read at a time."""

    def __init__(self, pyarrow, path):
        self._pyarrow, self.path = pyarrow, path
        with reading(path), pyarrow.OSFile(str(path)) as file:
            self.schema = self._open(file).schema
            self.names = self.schema.names  # decoded only now

    def column(self, index):
        with reading(self.path), self._pyarrow.OSFile(str(self.path)) as file:
            return self._open(file, included_fields=[index]).read_all()

    def _open(self, file, **options):
        options = self._pyarrow.ipc.IpcReadOptions(**options)
        is_stream = file.read(6) != b"ARROW1"
        file.seek(0)
        return (self._pyarrow.ipc.open_stream if is_stream else self._pyarrow.ipc.open_file)(file, options=options)


class _ArrowTable(Table):
    """The columns of files that have the same ones."""

    def __init__(self, path, files):
        schema = files[0].schema
        for file in files:
            if not file.schema.equals(schema):
                raise ValueError(
                    f"All files of {path} must have the columns of {files[0].path}, {_words(schema)}. "
                    f"{file.path} has {_words(file.schema)}."
                )
        names = files[0].names
        super().__init__(path, names, len(names))
        if len(set(names)) < len(names) or not names:
            raise ValueError(f"{path} must have one name for each column. It has columns of the names {names}.")
        self._files, self._pyarrow = files, _pyarrow()

    def where(self, row):
        return f"Row {row} (counted from 0)"

    def cell(self, column, row):
        return self._values(column)[row].as_py()

    def read(self, column):
        values, types = self._values(column), self._pyarrow.types
        self._check_is_there(column, values, "a value must not be missing. Fill it in first, or drop the row.")
        if _is_text(types, values.type):
            return self._indices(column, values)
        if not (_is_integer(types, values.type) or types.is_floating(values.type) or types.is_decimal(values.type)):
            raise ValueError(
                f"{self.path} must hold numbers or words: name the columns to read in `columns`. "
                f"{self.name(column)} is of type {values.type}."
            )
        numbers = values.cast("float64", safe=False).to_numpy()
        is_wrong = ~(np.abs(numbers) <= LARGEST)  # NaN is, too
        if is_wrong.any():
            raise self.wrong(column, int(is_wrong.argmax()), "numbers must be from -3.4e38 to 3.4e38.")
        return numbers, None

    def classes(self, column):
        values = self._values(column)
        self._check_is_there(column, values, "a class must not be missing. Fill it in first, or drop the row.")
        if not _is_integer(self._pyarrow.types, values.type):
            return values.to_pylist()
        return self.checked_classes(column, values.cast("int64").to_numpy())

    def _values(self, column):
        """A column of all files: a `pyarrow.ChunkedArray`, whose buffers are checked."""
        chunks = []
        for file in self._files:
            try:
                found = file.column(column)
            except MemoryError as error:
                raise ValueError(
                    f"{file.path} must have columns that fit into memory, and is damaged if they should. "
                    f"Reading {self.name(column)}: {error}"
                ) from error
            with reading(file.path):
                found.validate(full=True)  # pyarrow itself trusts what is in a file
                chunks += found.column(0).chunks
        values = self._pyarrow.chunked_array(chunks, self._files[0].schema.field(column).type)
        if len(values) == 0:
            raise ValueError(f"{self.path} must hold rows. It holds none.")
        if self._pyarrow.types.is_dictionary(values.type):
            values = values.cast(values.type.value_type)
        return values

    def _check_is_there(self, column, values, expected):
        compute = self._pyarrow.compute
        is_missing = compute.is_null(values, nan_is_null=True)
        if _is_text(self._pyarrow.types, values.type):
            signs = self._pyarrow.array(sorted(MISSING), values.type)
            is_missing = compute.or_(is_missing, compute.is_in(values, signs))
        is_missing = is_missing.to_numpy()
        if is_missing.any():
            raise self.wrong(column, int(is_missing.argmax()), expected)

    def _indices(self, column, values):
        compute = self._pyarrow.compute
        words = self.checked_words(column, compute.unique(values).to_pylist())
        return compute.index_in(values, self._pyarrow.array(words, values.type)).to_numpy(), words


def _is_text(types, dtype):
    return types.is_string(dtype) or types.is_large_string(dtype)


def _is_integer(types, dtype):
    return types.is_integer(dtype) or types.is_boolean(dtype)


def _words(schema):
    return ", ".join(f"{field.name} ({field.type})" for field in schema)

"""Tables: an event is a line of a csv file, or a row of another table, and has a value in each column.

A kind of file is a subclass of `Table`; what is made of its columns is the same for all.
"""

import csv
import numbers

import numpy as np

from keras_ar.datasets.dataset import MOST_CLASSES, Dataset, classes, shuffled
from keras_ar.datasets.files import reading

__all__ = ["LARGEST", "MISSING", "Table", "dataset", "read_csv"]

MISSING = {"", "?", "#N/A", "<NA>", "N/A", "NA", "NULL", "NaN", "n/a", "nan", "null"}  # "Na" may be sodium
LARGEST = float(np.finfo("float32").max)
_MOST_LEVELS = 256


class Table:
    """The columns of a file. A subclass writes `read`, `classes`, `where` and `cell`.

    Attributes:
        path: Path of the file.
        header: List of the names of the columns, or `None`.
        num_columns: Integer.
    """

    def __init__(self, path, header, num_columns):
        self.path, self.header, self.num_columns = path, header, num_columns

    def read(self, column):
        """The values of a column, checked: pairs of an array of numbers and `None`, or of indices and sorted words."""
        raise NotImplementedError

    def classes(self, column):
        """The values of a column of classes, checked: a sequence of integers, or of anything else that is there."""
        raise NotImplementedError

    def where(self, row):
        """What an error calls a row, such as `Line 3`."""
        raise NotImplementedError

    def cell(self, column, row):
        """A cell, for errors."""
        raise NotImplementedError

    def name(self, column):
        """What an error calls a column."""
        return f"column {column if self.header is None else repr(self.header[column])}"

    def wrong(self, column, row, expected):
        """The error for a cell that is not as expected."""
        cell = self.cell(column, row)
        return ValueError(f"{self.where(row)} of {self.path} has {cell!r} in {self.name(column)}: {expected}")

    def checked_words(self, column, words):
        """Different words of a column, sorted; a `ValueError` if they are too many."""
        if len(words) > _MOST_LEVELS:
            raise ValueError(
                f"{self.path} must have at most {_MOST_LEVELS} different words in {self.name(column)}: leave it out, "
                f"or give it to `labels`. It has {len(words)}."
            )
        return tuple(sorted(words))

    def checked_classes(self, column, integers):
        """Classes that are integers; a `ValueError` if one is too large."""
        largest = max(integers)
        if largest >= MOST_CLASSES:
            row = list(integers).index(largest)
            expected = f"classes are integers from 0 to {MOST_CLASSES - 1}, or words. Number them in order."
            raise self.wrong(column, row, expected)
        return integers


def dataset(table, split, seed, labels=None, columns=None):
    """A table of integer levels if all columns hold words or integers from 0 to 255, otherwise of real numbers.

    Args:
        table: A `Table`.
        split: As in `load`.
        seed: As in `load`.
        labels: As in `load`. Defaults to `None`.
        columns: As in `load`. Defaults to `None`.

    Returns:
        A `Dataset`.
    """
    indices = _columns(table, columns)
    labels_of_rows, of_classes = None, ""
    if labels is not None:
        target = _target(table, labels)
        labels_of_rows, words = classes(table.classes(target))
        indices = [index for index in indices if index != target]
        of_classes = f", {words}"
        if not indices:
            raise ValueError(f"`columns` must hold another column than that of `labels`. Received: columns={columns}.")
    events, num_levels, categories = _events(table, indices)
    of_words = f", {len(categories)} of them categories" if categories else ""
    parts = shuffled(events, labels_of_rows, split, seed, f"{table.path} holds {len(events)} events")
    return Dataset(
        name=table.path.stem,
        description=f"{len(indices)} columns of {table.path.name}{of_words}{of_classes}",
        kind="table",
        num_levels=num_levels,
        columns=table.header and tuple(table.header[column] for column in indices),
        categories=_by_name(table, indices, categories) or None,
        **parts,
    )


# Which columns.


def _columns(table, names):
    """Indices of the columns of these names, in their order; of all columns if it is `None`."""
    if names is None:
        return list(range(table.num_columns))
    header = table.header or []
    known = f"names of columns of {table.path}, each once: " + (", ".join(header) or "it has no header")
    are_names = isinstance(names, list | tuple) and names and all(isinstance(name, str) for name in names)
    if not are_names or len(set(names)) < len(names) or any(header.count(name) != 1 for name in names):
        raise ValueError(f"`columns` must be {known}. Received: columns={names!r}.")
    return [header.index(name) for name in names]


def _target(table, labels):
    """Index of the column of labels, given by its name or its index."""
    count, header = table.num_columns, table.header or []
    if header.count(labels) > 1:
        raise ValueError(
            f"`labels` must be the name of one column of {table.path}: give its index, from 0 to {count - 1}. "
            f"Received: labels={labels!r}, the name of {header.count(labels)} columns."
        )
    if labels in header:
        found = header.index(labels)
    elif isinstance(labels, numbers.Integral) and not isinstance(labels, bool) and -count <= labels < count:
        found = int(labels) % count
    else:
        named = f"one of {', '.join(header)}, or " if header else ""
        raise ValueError(
            f"`labels` must be a column of {table.path}: {named}an index from {-count} to {count - 1}. "
            f"Received: labels={labels!r}."
        )
    if count == 1:
        raise ValueError(f"{table.path} must have another column than that of `labels`. It has none.")
    return found


# Their values.


def _events(table, columns):
    """Events of these columns, the number of their levels, and the words of each column that holds words."""
    values, categories = [], {}
    for column in columns:
        found, words = table.read(column)
        if words is not None:
            categories[column] = words
        is_levels = ((found >= 0) & (found < _MOST_LEVELS) & (found == np.floor(found))).all()
        values.append(found.astype("uint8" if is_levels else "float32"))
    others = [column for column, array in zip(columns, values, strict=True) if array.dtype != "uint8"]
    if categories and others:
        raise ValueError(
            f"{table.path} must hold words and integers from 0 to {_MOST_LEVELS - 1}, or real numbers alone: no head "
            f"takes both. Received words in {table.name(next(iter(categories)))}, and other numbers in "
            f"{table.name(others[0])}. Give the words to `labels`, leave them out, or replace them by numbers."
        )
    events = np.stack(values, axis=1)  # in float32 if one of them is
    return events, None if others else max(int(events.max()) + 1, 2), categories


def _by_name(table, columns, categories):
    """Categories by the name of their column, or by its index in an event, as a string."""
    names = [str(i) for i in range(len(columns))] if table.header is None else [table.header[i] for i in columns]
    named = [(name, categories[column]) for name, column in zip(names, columns, strict=True) if column in categories]
    if len(dict(named)) < len(named):
        raise ValueError(
            f"{table.path} must have one name for each column of words. It has columns of one name: {names}."
        )
    return dict(named)


# Csv files.


class _CsvTable(Table):
    """The cells of a csv file by column, and the numbers of their lines."""

    def __init__(self, path, header, lines, columns):
        super().__init__(path, header, len(columns))
        self.lines, self.columns = lines, columns

    def where(self, row):
        return f"Line {self.lines[row]}"

    def cell(self, column, row):
        return self.columns[column][row]

    def read(self, column):
        self._check_cells(column)
        cells = self.columns[column]
        if not _is_word(cells[0]):
            return np.array([float(cell) for cell in cells]), None
        words = self.checked_words(column, set(cells))
        index = {word: i for i, word in enumerate(words)}
        return np.array([index[cell] for cell in cells]), words

    def classes(self, column):
        cells = self.columns[column]
        for row, cell in enumerate(cells):
            if cell in MISSING:
                raise self.wrong(column, row, "a class must not be missing. Fill it in first, or drop the line.")
        try:
            integers = [int(cell) for cell in cells]
        except ValueError:
            return cells
        return self.checked_classes(column, integers)

    def _check_cells(self, column):
        """All cells of a column must be words, or all must be numbers."""
        cells = self.columns[column]
        is_right = _is_word if _is_word(cells[0]) else _is_number
        row = next((row for row, cell in enumerate(cells) if not is_right(cell)), None)
        if row is None:
            return
        if _is_number(cells[row]) or _is_word(cells[row]):
            expected = f"a column must hold numbers alone, or words alone. {self.where(0)} has {cells[0]!r} in it."
        else:
            expected = "cells must be words, or numbers from -3.4e38 to 3.4e38. Fill in missing values first."
        if self.header is None:
            expected += " (A first line is a header if all of its cells are words.)"
        raise self.wrong(column, row, expected)


def read_csv(path, split, seed, labels=None, columns=None):
    """A table from a csv file."""
    with reading(path), path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.reader(file, skipinitialspace=True, strict=True)
        rows = [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader if cells]
    if not rows:
        raise ValueError(f"{path} must hold lines of cells, separated by commas. It is empty.")
    first = rows[0][1]
    for other in ";\t":
        if any(other in cell for cell in first):
            raise ValueError(f"{path} must have commas between its cells. Its first line has {other!r}.")
    header = first if all(map(_is_word, first)) else None
    if header:
        del rows[0]
    for line, cells in rows:
        if len(cells) != len(first):
            raise ValueError(f"Line {line} of {path} must have {len(first)} cells, as its first. It has {len(cells)}.")
    if not rows:
        raise ValueError(f"{path} must hold lines of cells, separated by commas. It holds a header at most.")
    lines, cells = zip(*rows, strict=True)
    table = _CsvTable(path, header, lines, list(zip(*cells, strict=True)))
    return dataset(table, split, seed, labels, columns)


def _is_number(cell):
    """Whether a cell is a number that float32 can hold."""
    try:
        return abs(float(cell)) <= LARGEST
    except ValueError:
        return False


def _is_word(cell):
    """Whether a cell has a letter, and is neither a number, be it infinity or NaN, nor a sign for a missing value.

    Without a letter are numbers between which there is no comma, too, such as `1;2`.
    """
    try:
        float(cell)
    except ValueError:
        return cell not in MISSING and any(map(str.isalpha, cell))
    return False

"""Events from csv files: a line for each event, a column for each of its values."""

import csv
import dataclasses
import numbers
import pathlib

import numpy as np

from keras_ar.datasets.dataset import MOST_CLASSES, Dataset, classes, shuffled
from keras_ar.datasets.files import reading

__all__ = ["read_csv"]

_MISSING = {"", "?", "#N/A", "<NA>", "N/A", "NA", "NULL", "NaN", "n/a", "nan", "null"}  # "Na" may be sodium
_MOST_LEVELS = 256
_LARGEST = float(np.finfo("float32").max)


def read_csv(path, split, seed, labels=None):
    """A table of integer levels if all columns hold words or integers from 0 to 255, otherwise of real numbers."""
    table = _read(path)
    columns = list(range(len(table.columns)))
    classes_of_lines, of_classes = None, ""
    if labels is not None:
        target = _index(table, labels)
        classes_of_lines, words = _labels(table, target)
        columns.remove(target)
        of_classes = f", {words}"
    events, num_levels, categories = _events(table, columns)
    of_words = f", {len(categories)} of them categories" if categories else ""
    parts = shuffled(events, classes_of_lines, split, seed, f"{path} holds {len(events)} events")
    return Dataset(
        name=path.stem,
        description=f"{len(columns)} columns of {path.name}{of_words}{of_classes}",
        kind="table",
        num_levels=num_levels,
        columns=table.header and tuple(table.header[column] for column in columns),
        categories=_by_name(table, columns, categories) or None,
        **parts,
    )


# The file.


@dataclasses.dataclass(frozen=True)
class _Table:
    """The cells of a csv file by column, and the numbers of their lines."""

    path: pathlib.Path
    header: list[str] | None
    lines: list[int]
    columns: list[tuple[str, ...]]

    def name(self, column):
        """What an error calls a column."""
        return f"column {column if self.header is None else repr(self.header[column])}"

    def wrong(self, column, row, expected):
        """The error for a cell that is not as expected."""
        cell = self.columns[column][row]
        return ValueError(f"Line {self.lines[row]} of {self.path} has {cell!r} in {self.name(column)}: {expected}")


def _read(path):
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
    return _Table(path, header, list(lines), list(zip(*cells, strict=True)))


def _is_number(cell):
    """Whether a cell is a number that float32 can hold."""
    try:
        return abs(float(cell)) <= _LARGEST
    except ValueError:
        return False


def _is_word(cell):
    """Whether a cell has a letter, and is neither a number, be it infinity or NaN, nor a sign for a missing value.

    Without a letter are numbers between which there is no comma, too, such as `1;2`.
    """
    try:
        float(cell)
    except ValueError:
        return cell not in _MISSING and any(map(str.isalpha, cell))
    return False


# Its columns.


def _check_cells(table, column):
    """All cells of a column must be words, or all must be numbers."""
    cells = table.columns[column]
    is_right = _is_word if _is_word(cells[0]) else _is_number
    row = next((row for row, cell in enumerate(cells) if not is_right(cell)), None)
    if row is None:
        return
    if _is_number(cells[row]) or _is_word(cells[row]):
        expected = f"a column must hold numbers alone, or words alone. Line {table.lines[0]} has {cells[0]!r} in it."
    else:
        expected = "cells must be words, or numbers from -3.4e38 to 3.4e38. Fill in missing values first."
    if table.header is None:
        expected += " (A first line is a header if all of its cells are words.)"
    raise table.wrong(column, row, expected)


def _events(table, columns):
    """Events of these columns, the number of their levels, and the words of each column that holds words."""
    for column in columns:
        _check_cells(table, column)
    categories = {column: _words(table, column) for column in columns if _is_word(table.columns[column][0])}
    events = np.stack([_numbers(table, column, categories.get(column)) for column in columns], axis=1)
    are_levels = ((events >= 0) & (events < _MOST_LEVELS) & (events == np.floor(events))).all(axis=0)
    if are_levels.all():
        return events.astype("uint8"), max(int(events.max()) + 1, 2), categories
    if categories:
        words, numbers = next(iter(categories)), columns[are_levels.argmin()]
        raise ValueError(
            f"{table.path} must hold words and integers from 0 to {_MOST_LEVELS - 1}, or real numbers alone: no head "
            f"takes both. Received words in {table.name(words)}, and other numbers in {table.name(numbers)}. Give the "
            "words to `labels`, leave them out, or replace them by numbers."
        )
    return events.astype("float32"), None, categories


def _words(table, column):
    """The different words of a column, sorted."""
    words = tuple(sorted(set(table.columns[column])))
    if len(words) > _MOST_LEVELS:
        raise ValueError(
            f"{table.path} must have at most {_MOST_LEVELS} different words in {table.name(column)}: leave it out, or "
            f"give it to `labels`. It has {len(words)}."
        )
    return words


def _numbers(table, column, words):
    """The numbers of a column, which are indices of its words if it holds words."""
    if words is None:
        return np.array([float(cell) for cell in table.columns[column]])
    index = {word: float(i) for i, word in enumerate(words)}
    return np.array([index[cell] for cell in table.columns[column]])


def _by_name(table, columns, categories):
    """Categories by the name of their column, or by its index in an event, as a string."""
    names = [str(i) for i in range(len(columns))] if table.header is None else [table.header[i] for i in columns]
    named = [(name, categories[column]) for name, column in zip(names, columns, strict=True) if column in categories]
    if len(dict(named)) < len(named):
        raise ValueError(
            f"{table.path} must have one name for each column of words. It has columns of one name: {names}."
        )
    return dict(named)


# Labels.


def _index(table, labels):
    """Index of the column of labels, given by its name or its index."""
    count, header = len(table.columns), table.header or []
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


def _labels(table, column):
    """Classes of integers or of anything else that is there, and a few words on them."""
    cells = table.columns[column]
    for row, cell in enumerate(cells):
        if cell in _MISSING:
            raise table.wrong(column, row, "a class must not be missing. Fill it in first, or drop the line.")
    try:
        integers = [int(cell) for cell in cells]
    except ValueError:
        return classes(cells)
    largest = max(integers)
    if largest >= MOST_CLASSES:
        expected = f"classes are integers from 0 to {MOST_CLASSES - 1}, or words. Number them in order."
        raise table.wrong(column, integers.index(largest), expected)
    return classes(integers)

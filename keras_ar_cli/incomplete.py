"""What is known of the events that `keras-ar complete` completes: a picture, or a table with empty cells."""

import contextlib
import csv
import dataclasses
import math

import keras
import numpy as np

__all__ = ["Table", "read_mask", "read_table"]


def read_mask(path, event_shape):
    """A boolean array of the shape of an event, true where a picture is brighter than half."""
    if len(event_shape) not in (2, 3):
        raise ValueError(f"--mask is for models of images. Received a model of events of shape {event_shape}")
    rows, columns, *channels = event_shape
    expected = f"--mask must be a picture of {rows} rows and {columns} columns of pixels, the size of an event"
    image = _pillow()
    with _reading(path, expected), image.open(path) as picture:
        if picture.mode not in ("L", "I;16"):
            picture = picture.convert("L")
        pixels, white = np.asarray(picture), 255 if picture.mode == "L" else 65535
    if pixels.shape != (rows, columns):
        raise ValueError(f"{expected}. {path} has {pixels.shape[0]} rows and {pixels.shape[1]} columns")
    is_known = (pixels > white / 2).reshape(rows, columns, *(1 for _ in channels))
    return np.broadcast_to(is_known, event_shape)


def _pillow():
    try:
        import PIL.Image
    except ImportError as error:
        raise ImportError('--mask needs the package Pillow: pip install "keras-ar[data]"') from error
    return PIL.Image


@dataclasses.dataclass(frozen=True)
class Table:
    """Lines of a csv file.

    Attributes:
        header: List of the names of the columns, or `None`.
        cells: List of the cells of each line, as they are written; empty where a value is missing.
        x: float32 array of shape `(lines, columns)`, NaN where a value is missing.
    """

    header: list[str] | None
    cells: list[list[str]]
    x: np.ndarray


def read_table(path, model, data, num=None):
    """A table in the columns of the data that a model was trained on; its empty cells, and NaN, are missing.

    Args:
        path: Path of a csv file.
        model: The model, which says how many columns there are, and what values they may have.
        data: What the run of the model says of its data, a dictionary: `columns` and `categories`, if there are any.
        num: Integer, how many lines to take, or `None` for all. Defaults to `None`.

    Returns:
        A `Table`.
    """
    header, numbers, cells = _header_and_cells(path, data.get("columns"), model.num_dims)
    cells = [["" if cell.lower() == "nan" else cell for cell in line] for line in cells[:num]]
    names = header or [str(column) for column in range(model.num_dims)]
    words = [(data.get("categories") or {}).get(name) for name in names]
    x = np.array([[_value(cell, of) for cell, of in zip(line, words, strict=True)] for line in cells])
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and is found below
        x = x.astype("float32")
    wrong = ~(keras.ops.convert_to_numpy(model.support.contains(x)) | np.isnan(x))
    if wrong.any():
        line, column = np.argwhere(wrong)[0]
        expected = f"one of {', '.join(words[column])}" if words[column] else str(model.support)
        raise ValueError(
            f"Line {numbers[line]} of {path} has {cells[line][column]!r} in column {names[column]}: "
            f"expected {expected}, or an empty cell"
        )
    return Table(header, cells, x)


def _header_and_cells(path, columns, count):
    """The header of a csv file or `None`, the numbers of the lines after it, and their cells."""
    with _reading(path, "--input must be a csv file"), path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.reader(file, skipinitialspace=True, strict=True)
        lines = [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader if cells]
    header = lines.pop(0)[1] if lines and (columns or all(map(_is_word, lines[0][1]))) else None
    if columns and header != list(columns):
        raise ValueError(
            f"--input must have the columns of the data that the model was trained on: {', '.join(columns)}. "
            f"The first line of {path} has {', '.join(header or ['nothing'])}"
        )
    if not lines:
        raise ValueError(f"--input must have a line for each event. {path} has none")
    for number, cells in lines:
        if len(cells) != count:
            raise ValueError(
                f"Line {number} of {path} must have {count} cells, as many as an event. It has {len(cells)}"
            )
    return header, *zip(*lines, strict=True)


def _is_word(cell):
    """Whether a cell can be part of a header: it is neither empty nor a number."""
    return cell != "" and math.isinf(_value(cell, None))


def _value(cell, words):
    """The number that a cell means, NaN if it is empty; infinity, which no event holds, if it means none."""
    if cell == "":
        return math.nan
    if words:
        return words.index(cell) if cell in words else math.inf
    try:
        return float(cell)
    except ValueError:
        return math.inf


@contextlib.contextmanager
def _reading(path, expected):
    """Says what was expected of a file that cannot be read, in whatever way."""
    try:
        yield
    except Exception as error:
        raise ValueError(f"{expected}. {path} cannot be read: {error}") from error

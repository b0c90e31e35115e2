"""Events from npz and csv files."""

import csv
import math
import zipfile
import zlib

import numpy as np

from keras_ar import arguments
from keras_ar.datasets.dataset import PARTS, Dataset, classes, damaged, shuffled

__all__ = ["open_npz", "read_csv", "read_npz"]


def read_npz(path, split, seed, shape=None):
    """A file of the arrays `train`, `valid` and `test`, or of one array `x`, with or without `..._labels`."""
    arrays = open_npz(path)
    found = PARTS if all(part in arrays for part in PARTS) else ("x",)
    if found[0] not in arrays:
        raise ValueError(
            f"{path} must hold the arrays `train`, `valid` and `test`, or one array `x`. "
            f"It holds {', '.join(sorted(arrays)) or 'none'}."
        )
    shape = arrays.get("shape") if shape is None else shape
    if shape is not None:
        shape = arguments.integers(np.asarray(shape).tolist(), "shape")
    parts = {part: _shaped(arrays[part], shape, f"`{part}` of {path}") for part in found}
    parts, num_levels = _in_units(parts, path)
    labels = {part: _labels(arrays, part, path) for part in found if f"{part}_labels" in arrays}
    if labels and len(labels) < len(found):
        raise ValueError(f"{path} must hold labels of all parts or of none. It holds those of {', '.join(labels)}.")
    if found == ("x",):
        parts = shuffled(parts["x"], labels.get("x"), split, seed, f"{path} holds {len(parts['x'])} events")
    else:
        parts |= {f"{part}_labels": values for part, values in labels.items()}
    kind = "images" if parts["train"].ndim == 4 else "table"
    return Dataset(name=path.stem, description=f"arrays of {path.name}", kind=kind, num_levels=num_levels, **parts)


def open_npz(path):
    """All arrays of an npz file."""
    if not zipfile.is_zipfile(path):  # `np.load` would try other formats
        raise damaged(path, "no npz file")
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, KeyError) as error:
        raise damaged(path, error) from error


def _shaped(array, shape, what):
    """The array with events of `shape`: reshaped, or unpacked where rows are as `np.packbits` makes them.

    Packed bits look like any other bytes, so they are unpacked only where there is a `shape`. With it there is no
    doubt: the packed bits of an event take fewer bytes than the event has values (unless it has one).
    """
    if array.ndim < 2 or 0 in array.shape:
        raise ValueError(f"{what} must have shape (events, ...), with at least one event. Received: {array.shape}.")
    if shape is not None:
        size, width = math.prod(shape), math.prod(array.shape[1:])
        if width == size:
            array = array.reshape(-1, *shape)
        elif array.dtype == "uint8" and array.ndim == 2 and width == math.ceil(size / 8):
            array = np.unpackbits(array, axis=1, count=size).reshape(-1, *shape)
        else:
            raise ValueError(
                f"`shape` must fit {what}: {width} values in an event, or {8 * width - 7} to {8 * width} packed bits. "
                f"Received: shape={shape}, of {size} values."
            )
    if array.ndim > 4:
        raise ValueError(
            f"{what} must have shape (events, values), (events, rows, columns) or (events, rows, columns, channels). "
            f"Received: {array.shape}."
        )
    return array[..., None] if array.ndim == 3 else array


def _in_units(parts, source):
    """Arrays of one event shape, in one dtype that holds them all, and the number of levels."""
    shapes = {part: array.shape[1:] for part, array in parts.items()}
    if len(set(shapes.values())) > 1:
        raise ValueError(f"{source} must hold events of one shape. It holds {shapes}.")
    for part, array in parts.items():
        if array.dtype.kind not in "biuf":
            raise ValueError(f"`{part}` of {source} must hold numbers. Received: dtype {array.dtype}.")
        if not np.isfinite(array).all():
            row = np.argwhere(~np.isfinite(array))[0, 0]
            raise ValueError(f"`{part}` of {source} must be finite. Received NaN or infinity, first in event {row}.")
    arrays = parts.values()
    lowest, highest = min(array.min() for array in arrays), max(array.max() for array in arrays)
    if any(array.dtype.kind == "f" for array in arrays) or lowest < 0 or highest >= 2**31:
        return {part: array.astype("float32", copy=False) for part, array in parts.items()}, None
    dtype = "uint8" if highest < 256 else "int32"
    return {part: array.astype(dtype, copy=False) for part, array in parts.items()}, max(int(highest) + 1, 2)


def _labels(arrays, part, path):
    labels = arrays[f"{part}_labels"]
    if labels.shape != (len(arrays[part]),) or labels.dtype.kind not in "iu" or labels.min() < 0:
        raise ValueError(
            f"`{part}_labels` of {path} must be integers from 0 on, one for each of {len(arrays[part])} events. "
            f"Received: shape {labels.shape}, dtype {labels.dtype}."
        )
    return labels.astype("int32")


def read_csv(path, split, seed, labels=None):
    """A table with a line for each event: small integers if all cells are, otherwise real numbers."""
    rows = _rows(path)
    header = None
    if not any(_is_number(cell) for cell in rows[0][1]):
        (_, header), *rows = rows
    width = len(header or rows[0][1])
    for line, cells in rows:
        if len(cells) != width:
            raise ValueError(f"Line {line} of {path} must have {width} cells, as its first. It has {len(cells)}.")
    if not rows:
        raise ValueError(f"{path} must hold lines of numbers, separated by commas. It holds a header at most.")

    target = None if labels is None else _column(labels, header, width, path)
    description = f"{width - (target is not None)} columns of {path.name}"
    found = None
    if target is not None:
        if width == 1:
            raise ValueError(f"{path} must have another column than that of `labels`. It has none.")
        found, words = classes(_as_numbers([cells.pop(target) for _, cells in rows]))
        description += f", {words}"
    events = _table(rows, path)
    parts, num_levels = _in_units({"x": events}, path)
    parts = shuffled(parts["x"], found, split, seed, f"{path} holds {len(events)} events")
    return Dataset(name=path.stem, description=description, kind="table", num_levels=num_levels, **parts)


def _rows(path):
    """Pairs of the number of a line and its cells, without empty lines."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, skipinitialspace=True)
            rows = [(reader.line_num, cells) for cells in reader if cells]
    except (UnicodeDecodeError, csv.Error) as error:
        raise damaged(path, error) from error
    if not rows:
        raise ValueError(f"{path} must hold lines of numbers, separated by commas. It is empty.")
    return rows


def _column(labels, header, width, path):
    """Index of the column of labels, given by its name or its index."""
    if header is not None and labels in header:
        return header.index(labels)
    if isinstance(labels, int) and not isinstance(labels, bool) and -width <= labels < width:
        return labels % width
    named = f"one of {', '.join(header)}, or " if header else ""
    raise ValueError(
        f"`labels` must be a column of {path}: {named}an index from {-width} to {width - 1}. "
        f"Received: labels={labels!r}."
    )


def _is_number(text):
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _as_numbers(cells):
    """Integers where all cells are, otherwise strings."""
    try:
        return np.array([int(cell) for cell in cells])
    except ValueError:
        return np.array(cells)


def _table(rows, path):
    """Cells as an array of uint8 if all are integers from 0 to 255, otherwise of real numbers."""
    try:
        values = np.array([cells for _, cells in rows], "float64")
    except ValueError:
        values = None
    if values is None or not np.isfinite(values).all():
        line, cell = next((line, cell) for line, cells in rows for cell in cells if not _is_number(cell))
        raise ValueError(
            f"{path} must hold numbers, separated by commas. Line {line} has {cell!r}: a column of classes is for "
            "`labels`, and what is missing has to be filled in first."
        )
    are_levels = (values >= 0) & (values <= 255) & (values == np.floor(values))
    return values.astype("uint8") if are_levels.all() else values

"""Events from npz files and npy files."""

import contextlib
import math
import zipfile

import numpy as np

from keras_ar import arguments, mapped
from keras_ar.datasets.dataset import MOST_CLASSES, PARTS, Dataset, in_order, shuffled
from keras_ar.datasets.files import check_size, damaged, reading

__all__ = ["NpzFile", "read_npy", "read_npz"]

_NOT_OF_MODELS = {("u", 8), ("f", 12), ("f", 16)}  # torch has none of them


def read_npz(path, split, seed, shape=None):
    """A file of the arrays `train`, `valid` and `test`, or of one array `x`, with or without `..._labels`."""
    arrays = NpzFile(path)
    found = PARTS if all(part in arrays for part in PARTS) else ("x",)
    if found[0] not in arrays:
        raise ValueError(
            f"{path} must hold the arrays `train`, `valid` and `test`, or one array `x`. "
            f"It holds {', '.join(sorted(arrays.names)) or 'none'}."
        )
    labeled = [part for part in found if f"{part}_labels" in arrays]
    if labeled and len(labeled) < len(found):
        raise ValueError(f"{path} must hold labels of all parts or of none. It holds those of {', '.join(labeled)}.")
    shape = _event_shape(arrays) if shape is None else arguments.integers(np.asarray(shape).tolist(), "shape")
    parts = {part: _shaped(arrays[part], shape, f"`{part}` of {path}") for part in found}
    parts, num_levels = _in_units(parts, path)
    labels = {part: _labels(arrays, part, len(parts[part])) for part in labeled}
    if found == ("x",):
        parts = shuffled(parts["x"], labels.get("x"), split, seed, f"{path} holds {len(parts['x'])} events")
    else:
        parts |= {f"{part}_labels": values for part, values in labels.items()}
    kind = "images" if parts["train"].ndim == 4 else "table"
    return Dataset(name=path.stem, description=f"arrays of {path.name}", kind=kind, num_levels=num_levels, **parts)


def read_npy(path, split):
    """One array of events, which is mapped into memory and not read, so that it may be larger. Split by position."""
    with reading(path), path.open("rb") as file:
        shape, is_fortran, dtype = _header(file)
        offset, found = file.tell(), path.stat().st_size - file.tell()
    _check_dtype(dtype, f"{path}")
    _check_size(found, shape, dtype, path, "the array")
    if is_fortran or not dtype.isnative or (dtype.kind, dtype.itemsize) in _NOT_OF_MODELS:
        raise ValueError(
            f"{path} must be written in C order, in the byte order of this machine, of at most 64 bits with a sign, "
            f"because it is not converted. Received: fortran_order={is_fortran}, dtype {dtype}."
        )
    with reading(path):
        array = np.memmap(path, dtype, "r", offset, shape) if found else np.empty(shape, dtype)
    array = _shaped(array, None, f"{path}")
    lowest, highest = _span(array, f"{path}")
    is_levels = dtype.kind != "f" and lowest >= 0 and highest < 2**31
    return Dataset(
        name=path.stem,
        description=f"the array of {path.name}, mapped into memory",
        kind="images" if array.ndim == 4 else "table",
        num_levels=max(int(highest) + 1, 2) if is_levels else None,
        **in_order(array, split, f"{path} holds {len(array)} events"),
    )


class NpzFile:
    """The arrays of numbers in an npz file, by name. Each is read when it is asked for, and checked before."""

    def __init__(self, path):
        self.path = path
        if not zipfile.is_zipfile(path):
            raise damaged(path, "no npz file")
        with reading(path), zipfile.ZipFile(path) as file:
            self.names = [name.removesuffix(".npy") for name in file.namelist()]

    def __contains__(self, name):
        return name in self.names

    def __getitem__(self, name):
        with self._open(name) as (member, info):
            shape, _, dtype = _header(member)
            found = info.file_size - member.tell()
        _check_dtype(dtype, f"`{name}` of {self.path}")
        _check_size(found, shape, dtype, self.path, f"the array {name!r}")
        check_size(self.path, found, info.compress_size)
        with self._open(name) as (member, _):
            return np.lib.format.read_array(member, allow_pickle=False)

    @contextlib.contextmanager
    def _open(self, name):
        """The file of an array, and what the directory of the npz file says of it."""
        with reading(self.path), zipfile.ZipFile(self.path) as file:
            info = file.getinfo(f"{name}.npy")
            with file.open(info) as member:
                yield member, info


def _header(file):
    """Shape, whether in Fortran's order, and dtype of an array in npy format."""
    version = np.lib.format.read_magic(file)
    if version != (1, 0):  # later ones are for arrays with names in them
        raise ValueError(f"version {version} of the npy format, not (1, 0)")
    return np.lib.format.read_array_header_1_0(file)


def _check_dtype(dtype, what):
    if dtype.kind not in "biuf":
        raise ValueError(f"{what} must hold numbers. Received: dtype {dtype}.")


def _check_size(found, shape, dtype, path, what):
    expected = math.prod(shape) * dtype.itemsize
    if found != expected:
        raise damaged(path, f"{what} should have {expected:,} bytes, but has {found:,}")


def _event_shape(arrays):
    """The array `shape` of a file as a tuple; `None` if there is none."""
    if "shape" not in arrays:
        return None
    try:
        return arguments.integers(arrays["shape"].tolist(), "shape")
    except ValueError as error:
        raise ValueError(f"{arrays.path} cannot be taken: {error}") from error


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


def _in_units(parts, path):
    """Arrays of one event shape, in one dtype that holds them all, and the number of levels."""
    shapes = {part: array.shape[1:] for part, array in parts.items()}
    if len(set(shapes.values())) > 1:
        raise ValueError(f"{path} must hold events of one shape. It holds {shapes}.")
    lows, highs = zip(*(_span(array, f"`{part}` of {path}") for part, array in parts.items()), strict=True)
    lowest, highest = min(lows), max(highs)
    if any(array.dtype.kind == "f" for array in parts.values()) or lowest < 0 or highest >= 2**31:
        return {part: array.astype("float32", copy=False) for part, array in parts.items()}, None
    dtype = "uint8" if highest < 256 else "int32"
    return {part: array.astype(dtype, copy=False) for part, array in parts.items()}, max(int(highest) + 1, 2)


def _span(array, what):
    """The smallest and the largest value of an array, all of which must be finite in float32."""
    lows, highs, largest = [], [], np.finfo("float32").max
    for first, piece in mapped.pieces(array):
        low, high = piece.min(), piece.max()
        if not (low >= -largest and high <= largest):  # NaN is neither
            row, *rest = np.argwhere(~(np.abs(piece) <= largest))[0]
            raise ValueError(
                f"{what} must be finite, within the range of float32: -3.4e38 to 3.4e38. "
                f"Received {piece[(row, *rest)]}, first in event {first + row}."
            )
        lows.append(low)
        highs.append(high)
    return min(lows), max(highs)


def _labels(arrays, part, num_events):
    labels = arrays[f"{part}_labels"]
    expected = f"integers from 0 to {MOST_CLASSES - 1}, one for each of {num_events} events"
    what = f"`{part}_labels` of {arrays.path}"
    if labels.shape != (num_events,) or labels.dtype.kind not in "iu":
        raise ValueError(f"{what} must be {expected}. Received: shape {labels.shape}, dtype {labels.dtype}.")
    if labels.min() < 0 or labels.max() >= MOST_CLASSES:
        raise ValueError(f"{what} must be {expected}. Received integers from {labels.min()} to {labels.max()}.")
    return labels.astype("int32")

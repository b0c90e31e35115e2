"""Sound and text from files: windows of one length, in their order, so that the end is for testing."""

import numpy as np

from keras_ar import arguments, mapped, sound
from keras_ar.datasets.dataset import PARTS, Dataset, in_order, shares
from keras_ar.datasets.files import files_of
from keras_ar.text import Vocabulary

__all__ = ["read_sound", "read_text", "sound_files"]

_NUM_LEVELS = 256
_PIECE = 2**22  # characters that are read at a time
_LONG = 2**26  # characters: a longer text is mapped into memory


def read_sound(path, split, length=4096):
    """A wav file, split by position, or a folder of them, split by file, in windows of companded samples."""
    if path.is_file():
        windows, rate = _windows_of_sound(path, length)
        parts = in_order(windows, split, f"{path} holds {len(windows)} windows of {length} samples")
        seconds = len(windows) * length / rate
    else:
        parts, rate, seconds = _folder_of_sound(path, split, length)
    description = f"{seconds:.1f} seconds of sound at {rate} samples a second, companded by mu-law"
    return Dataset(name=path.stem, description=description, kind="sound", num_levels=_NUM_LEVELS, rate=rate, **parts)


def sound_files(folder):
    """The wav files of a folder, by name."""
    return files_of(folder, {".wav"})


def _folder_of_sound(folder, split, length):
    files = sound_files(folder)
    train, valid, _ = shares(len(files), split, f"{folder} holds {len(files)} wav files, which are split by file")
    windows, rates = zip(*(_windows_of_sound(file, length) for file in files), strict=True)
    for file, rate in zip(files, rates, strict=True):
        if rate != rates[0]:
            raise ValueError(
                f"All wav files must have the rate of {files[0]}, {rates[0]} samples a second: resample them first. "
                f"{file} has {rate}."
            )
    divided = (windows[:train], windows[train : train + valid], windows[train + valid :])
    nothing = windows[0][:0]  # for a part whose share is 0
    parts = {part: np.concatenate([*of_part, nothing]) for part, of_part in zip(PARTS, divided, strict=True)}
    return parts, rates[0], sum(map(len, windows)) * length / rates[0]


def _windows_of_sound(path, length):
    length = arguments.integer(length, "length")
    try:
        samples, rate = sound.read_wav(path)
        levels = sound.mu_law(samples, _NUM_LEVELS).astype("uint8")
    except ValueError as error:
        raise ValueError(f"{path} cannot be taken: {error}") from error
    if len(levels) < length:
        raise ValueError(f"{path} has {len(levels)} samples: take a smaller `length`. Received: length={length}.")
    return levels[: len(levels) // length * length].reshape(-1, length), rate


def read_text(path, split, length=128):
    """A text in windows of characters, split by position. It is read in pieces, twice."""
    length = arguments.integer(length, "length")
    characters, count = set(), 0
    for piece in _pieces(path):
        characters.update(piece)
        count += len(piece)
    if count < length or len(characters) < 2:
        raise ValueError(
            f"{path} must have at least `length` characters, and two different ones. It has {count} characters, "
            f"{len(characters)} different. Received: length={length}."
        )
    vocabulary = Vocabulary("".join(sorted(characters)))
    integers = _integers(path, vocabulary, count)
    windows = integers[: count // length * length].reshape(-1, length)
    parts = in_order(windows, split, f"{path} holds {len(windows)} windows of {length} characters")
    return Dataset(
        name=path.stem,
        description=f"{count:,} characters of {path.name}, {len(vocabulary)} different ones",
        kind="text",
        num_levels=len(vocabulary),
        vocabulary=vocabulary,
        **parts,
    )


def _pieces(path):
    """A text in pieces of one length."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            while piece := file.read(_PIECE):
                yield piece
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} must be a text in UTF-8: convert it first ({error}).") from error


def _integers(path, vocabulary, count):
    """A text of so many characters as integers; a long one as bytes, where they suffice, in a file of its own."""
    encoded = map(vocabulary.encode, _pieces(path))
    if count <= _LONG:
        return np.concatenate(list(encoded))
    return mapped.temporary(encoded, (count,), "uint8" if len(vocabulary) <= 256 else "int32")

"""Files that somebody else wrote: which of a folder are read, how much, and one error for those that are damaged."""

import contextlib
import os
import pathlib
import warnings
from collections.abc import Collection, Iterator
from typing import Any

__all__ = ["MOST_BYTES", "check_size", "damaged", "files_of", "reading"]

MOST_BYTES = 16 * 2**30
_MOST_INFLATION = 1032  # of deflate, in gzip and zip: from one byte it makes no more than these


def damaged(path: str | os.PathLike, why: Any) -> OSError:
    """The error for a file that exists, but is not what it should be."""
    return OSError(
        f"{path} is damaged, half-downloaded or of another format ({why}): delete or replace it, and try again."
    )


@contextlib.contextmanager
def reading(path: str | os.PathLike, *others: type[BaseException]) -> Iterator[None]:
    """Turns whatever goes wrong in its block into the error of `damaged`.

    Libraries raise dozens of exceptions over bytes that they do not expect, and document few of them. Left as they are:
    `others`, missing memory, and errors of the system, which name the file themselves.
    """
    try:
        yield
    except Exception as error:
        names_it = isinstance(error, OSError) and error.filename is not None
        if names_it or isinstance(error, (MemoryError, *others)):
            raise
        raise damaged(path, error) from error


def check_size(path: str | os.PathLike, num_bytes: int, compressed: int) -> None:
    """Refuses an array that is too large, or larger than its compressed bytes can be, before memory is taken for it."""
    if num_bytes > _MOST_INFLATION * compressed:
        raise damaged(path, f"it promises {num_bytes:,} bytes, but has {compressed:,}, compressed")
    if num_bytes > MOST_BYTES:
        raise ValueError(
            f"{path} must hold arrays of at most {MOST_BYTES / 2**30:.0f} GiB: take a part of it. "
            f"Received one of {num_bytes / 2**30:.1f} GiB."
        )


def files_of(folder: pathlib.Path, suffixes: Collection[str]) -> list[pathlib.Path]:
    """The files of a folder with one of these suffixes, by name; pipes and the like are left out with a warning."""
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in suffixes and path.name[0] != ".")
    for path in found:
        if not path.is_file() and not path.is_dir():
            warnings.warn(f"{path} is left out: it is a pipe, a device or a link to nothing.", stacklevel=2)
    return [path for path in found if path.is_file()]

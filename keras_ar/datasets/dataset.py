"""What `load` returns, and how events are divided into its three parts."""

import dataclasses
import math
import numbers
from typing import Any

import numpy as np

from keras_ar import noise, notebook
from keras_ar.datasets.preview import preview
from keras_ar.text import Vocabulary

__all__ = ["MOST_CLASSES", "PARTS", "Dataset", "classes", "in_order", "shares", "shuffled"]

PARTS = ("train", "valid", "test")
MOST_CLASSES = 2**31  # as labels are int32


@dataclasses.dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Dataset:
    """Events to train on, to validate with, and to test on; `keras_ar.datasets.load` makes it.

    Events are in their own units, as models take them: integers from 0 to
    `num_levels - 1`, uint8 or int32, or real numbers, float32. Those of an npy file are in its dtype.

    Attributes:
        name: String, the name of the data set.
        description: String, a line on what it is.
        kind: `"images"`, `"sound"`, `"text"` or `"table"`.
        train: Array of shape `(n, *event_shape)`; that of images is always `(n, rows, columns, channels)`.
        valid: The same, to choose settings by and to decide when to stop.
        test: The same, to be scored once, at the end.
        num_levels: Integer, how many values an integer can have; `None` for real numbers.
        train_labels: int32 array of the class of each event, or `None`.
        valid_labels: The same for `valid`.
        test_labels: The same for `test`.
        rate: Integer, how many samples are in a second of sound, or `None`.
        vocabulary: The `keras_ar.text.Vocabulary` of a text, or `None`.
        columns: Names of the values of an event, in order, for a table that has a header; otherwise `None`.
        categories: Dictionary of the words of each column that holds words: level `i` is the word of index `i`. Its
            keys are names of columns, or without a header, their indices in an event as strings. `None` if there
            are no words.

    Example:

    >>> data = keras_ar.datasets.load("digits")
    >>> print(data)
    digits: handwritten digits of scikit-learn, 8 by 8 pixels
    1297 train, 250 valid, 250 test: images of shape (8, 8, 1), uint8, 17 levels, with labels
    >>> model = keras_ar.models.MADE(data.event_shape, head=keras_ar.heads.Categorical(data.num_levels))
    """

    name: str
    description: str
    kind: str
    train: np.ndarray
    valid: np.ndarray
    test: np.ndarray
    num_levels: int | None = None
    train_labels: np.ndarray | None = None
    valid_labels: np.ndarray | None = None
    test_labels: np.ndarray | None = None
    rate: int | None = None
    vocabulary: Vocabulary | None = None
    columns: tuple[str, ...] | None = None
    categories: dict[str, tuple[str, ...]] | None = None

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one event, as models take it."""
        return self.train.shape[1:]

    def __str__(self) -> str:
        return f"{self.name}: {self.description}\n{self._summary()}"

    def __repr__(self) -> str:
        return f"Dataset({self.name}: {self._summary()})"

    def _repr_html_(self) -> str:
        """What a notebook shows: what there is, and the first events."""
        what, _, rest = self._summary().partition(": ")
        rows = {"what": self.description, "parts": what, "events": rest}
        return notebook.facts(self.name, rows) + preview(self)

    def _summary(self) -> str:
        counts = ", ".join(f"{len(getattr(self, part))} {part}" for part in PARTS)
        values = f"{self.train.dtype}, " + (f"{self.num_levels} levels" if self.num_levels else "real numbers")
        labels = "" if self.train_labels is None else ", with labels"
        return f"{counts}: {self.kind} of shape {self.event_shape}, {values}{labels}"


def shares(count: int, split: Any, of: str) -> tuple[int, int, int]:
    """How many of `count` things go to train, valid and test: at least one to each whose share is above 0.

    `of` is what an error says that there is.
    """
    is_split = (
        isinstance(split, list | tuple)
        and len(split) == 3
        and all(isinstance(share, numbers.Real) and float(share) >= 0 for share in split)
        and split[0] > 0
        and math.isclose(sum(split), 1, abs_tol=1e-6)
    )
    if not is_split:
        raise ValueError(
            "`split` must be the shares of train, valid and test: three numbers from 0 to 1 that sum to 1, the first "
            f"above 0. Received: split={split!r}."
        )
    valid, test = (max(1, round(count * share)) if share else 0 for share in split[1:])
    if count <= valid + test:
        raise ValueError(f"{of}: too few for the parts of split={tuple(split)}.")
    return count - valid - test, valid, test


def in_order(events: np.ndarray, split: Any, of: str) -> dict[str, np.ndarray]:
    """Events divided by position, the first to train, the last to test: fields of a `Dataset`."""
    train, valid, _ = shares(len(events), split, of)
    return dict(zip(PARTS, np.split(events, [train, train + valid]), strict=True))


def shuffled(events: np.ndarray, labels: np.ndarray | None, split: Any, seed: int, of: str) -> dict[str, np.ndarray]:
    """Events and their labels, if there are any, divided at random: fields of a `Dataset`."""
    order = noise.permutation(len(events), noise.check_seed(seed))
    fields = in_order(events[order], split, of)
    if labels is not None:
        fields |= {f"{part}_labels": found for part, found in in_order(labels[order], split, of).items()}
    return fields


def classes(values: Any) -> tuple[np.ndarray, str]:
    """Labels as int32, and a few words on them: integers from 0 on stay as they are, others are numbered in order."""
    values = np.asarray(values)
    if values.dtype.kind in "iu" and values.min() >= 0:
        return values.astype("int32"), f"{values.max() + 1} classes"
    named, labels = np.unique(values, return_inverse=True)
    shown = ", ".join(map(str, named[:4])) + (", ..." if len(named) > 4 else "")
    return labels.astype("int32"), f"{len(named)} classes ({shown})"

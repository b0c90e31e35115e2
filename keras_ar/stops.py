"""Sequences that end early: what comes after a stop is padding, which is certain and costs nothing."""

import numpy as np
from keras import ops

from keras_ar import arguments

__all__ = ["cut", "ended_before", "lengths", "padded", "settle"]

_NEVER = -1e30  # the logit of what is impossible


def ended_before(values, stop):
    """Whether a stop came before each step: a boolean tensor of the shape of `values`, `(batch, steps)`.

    Example:

    >>> values = keras.ops.convert_to_tensor([[3, 0, 0, 0]])
    >>> keras.ops.convert_to_numpy(keras_ar.stops.ended_before(values, stop=0))[0].tolist()
    [False, False, True, True]
    """
    is_stop = ops.cast(ops.equal(ops.cast(values, "int32"), stop), "int32")
    return ops.cumsum(is_stop, axis=1) - is_stop > 0


def settle(logits, has_ended, stop):
    """Logits that leave nothing but the stop where a sequence has ended.

    Args:
        logits: Tensor of shape `(..., levels)`.
        has_ended: Boolean tensor of shape `(...)`.
        stop: Integer, the level that ends a sequence.

    Example:

    >>> logits = keras_ar.stops.settle(keras.ops.zeros((2, 3)), keras.ops.convert_to_tensor([False, True]), stop=0)
    >>> keras.ops.convert_to_numpy(keras.ops.softmax(logits))[1].tolist()
    [1.0, 0.0, 0.0]
    """
    is_stop = ops.arange(logits.shape[-1]) == stop
    certain = ops.where(is_stop, ops.cast(0.0, logits.dtype), ops.cast(_NEVER, logits.dtype))
    return ops.where(ops.expand_dims(has_ended, -1), certain, logits)


def cut(sequence, stop):
    """A sequence, a NumPy array, up to its first stop; the whole of it where `stop` is `None`.

    Example:

    >>> keras_ar.stops.cut(np.array([1, 2, 0, 0]), stop=0).tolist()
    [1, 2]
    """
    return sequence[: int(lengths(sequence, stop))]


def lengths(sequences, stop):
    """How many steps come before the first stop, along the last axis of a NumPy array; all where `stop` is `None`.

    Example:

    >>> keras_ar.stops.lengths(np.array([[1, 2, 0, 0], [1, 1, 1, 1]]), stop=0).tolist()
    [2, 4]
    """
    length = sequences.shape[-1]
    if stop is None:
        return np.full(sequences.shape[:-1], length)
    is_stop = sequences == stop
    return np.where(is_stop.any(axis=-1), is_stop.argmax(axis=-1), length)


def padded(sequences, stop, length=None):
    """Sequences of differing length as one array, each with at least one stop after its end.

    Args:
        sequences: List of sequences of integers, without stops.
        stop: Integer, the level that ends a sequence.
        length: Integer, the length of the array; `None`: one more than that of the longest sequence. Defaults to
            `None`.

    Returns:
        int32 array of shape `(sequences, length)`.

    Example:

    >>> keras_ar.stops.padded([[1, 2, 3], [4]], stop=0).tolist()
    [[1, 2, 3, 0], [4, 0, 0, 0]]
    """
    rows = [arguments.array(sequence, f"sequences[{i}]") for i, sequence in enumerate(sequences)]
    longest = max((len(row) for row in rows), default=0)
    length = longest + 1 if length is None else arguments.integer(length, "length")
    if longest >= length:
        raise ValueError(
            f"`length` must be at least {longest + 1}: the longest sequence and a stop. Received: length={length}."
        )
    found = np.full((len(rows), length), stop, "int32")
    for i, row in enumerate(rows):
        if row.ndim != 1 or (len(row) and row.dtype.kind not in "iu") or (row == stop).any():
            raise ValueError(
                f"`sequences` must hold sequences of integers without the stop, {stop}. Received sequences[{i}] = "
                f"{row.tolist()}."
            )
        found[i, : len(row)] = row
    return found

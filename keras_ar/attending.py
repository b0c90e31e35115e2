"""Attention as functions: which keys a query sees, and the mean of their values."""

import math

import numpy as np
from keras import ops

from keras_ar import backend

__all__ = ["attend", "attend_in_window", "heads_apart", "heads_together", "ring", "ring_size", "rotate", "weights"]

_NEVER = -1e30  # the score of a key that is not seen


def heads_apart(x, num_heads):
    """`(batch, length, heads * size) -> (batch, heads, length, size)`."""
    size = x.shape[-1] // num_heads
    return ops.swapaxes(ops.reshape(x, (-1, _length(x, 1), num_heads, size)), 1, 2)


def heads_together(x):
    """Undoes `heads_apart`."""
    _, num_heads, _, size = x.shape
    return ops.reshape(ops.swapaxes(x, 1, 2), (-1, _length(x, 2), num_heads * size))


def attend(queries, keys, values, is_seen=None, drop=None):
    """For each query the mean of the values, weighted by the softmax of the products of query and keys.

    Products, softmax and mean are computed in float32, whatever the dtype of the operands.

    Args:
        queries: Tensor of shape `(batch, heads, queries, size)`.
        keys: Tensor of shape `(batch, heads, keys, size)`.
        values: Tensor of shape `(batch, heads, keys, size of values)`.
        is_seen: Boolean tensor that broadcasts to `(batch, heads, queries, keys)`; each query must see a key.
            Defaults to `None`: all are seen.
        drop: Function that is applied to the weights, such as dropout. Defaults to `None`.

    Returns:
        Tensor of shape `(batch, heads, queries, size of values)`, of the dtype of the values.

    Example:

    >>> queries, keys = keras.ops.zeros((1, 1, 2, 3)), keras.ops.zeros((1, 1, 4, 3))
    >>> values = keras.ops.reshape(keras.ops.arange(4, dtype="float32"), (1, 1, 4, 1))
    >>> keras.ops.convert_to_numpy(keras_ar.attending.attend(queries, keys, values)).ravel().tolist()
    [1.5, 1.5]
    """
    found = weights(queries, keys, is_seen)
    if drop is not None:
        found = drop(found)
    return ops.cast(ops.matmul(found, ops.cast(values, "float32")), values.dtype)


def weights(queries, keys, is_seen=None):
    """How much each query attends to each key: float32 tensor `(batch, heads, queries, keys)` that sums to one.

    Args:
        queries: As in `attend`.
        keys: As in `attend`.
        is_seen: As in `attend`. Defaults to `None`.

    Example:

    >>> keys = keras.ops.convert_to_tensor(np.array([0.0, 0.0, 9.0]).reshape(1, 1, 3, 1), "float32")
    >>> found = keras_ar.attending.weights(keras.ops.ones((1, 1, 1, 1)), keys)
    >>> [round(float(weight), 4) for weight in found[0, 0, 0]]
    [0.0001, 0.0001, 0.9998]
    """
    queries = ops.cast(queries, "float32") * (1.0 / math.sqrt(queries.shape[-1]))
    scores = ops.matmul(queries, ops.swapaxes(ops.cast(keys, "float32"), -1, -2))
    if is_seen is not None:
        scores = ops.where(is_seen, scores, _NEVER)
    # Of a single key Keras' softmax warns: that is what the first step of a sequence has.
    return ops.softmax(scores, axis=-1) if scores.shape[-1] != 1 else ops.ones_like(scores)


def attend_in_window(queries, keys, values, window, drop=None):
    """`attend`, where a query sees the keys of its own position and of the `window - 1` before it.

    A sequence of more than two windows is cut into blocks of one window, each of which sees itself and the block
    before: what it costs grows with the window, not with the length.

    Without a window and without dropout it is one operation where that is faster (`backend.has_fused_attention`).

    Args:
        queries: Tensor of shape `(batch, heads, length, size)`.
        keys: Tensor of the same shape.
        values: Tensor of shape `(batch, heads, length, size of values)`.
        window: Integer, or `None`: all positions up to its own are seen.
        drop: As in `attend`. Defaults to `None`.
    """
    length = queries.shape[2]
    if length is None:
        t = ops.arange(ops.shape(queries)[2])
        return attend(queries, keys, values, _sees(t[:, None], t[None, :], window), drop)
    sees_all = window is None or length <= window
    if sees_all and drop is None and backend.has_fused_attention():
        fused = backend.fused_attention(*(ops.cast(x, "float32") for x in (queries, keys, values)))
        return ops.cast(fused, values.dtype)
    if sees_all or length <= 2 * window:
        t = np.arange(length)
        return attend(queries, keys, values, _sees(t[:, None], t[None, :], window), drop)

    num_blocks = -(-length // window)
    rest = num_blocks * window - length
    queries, keys, values = (
        ops.reshape(ops.pad(x, [[0, 0], [0, 0], [0, rest], [0, 0]]), (-1, x.shape[1], num_blocks, window, x.shape[3]))
        for x in (queries, keys, values)
    )
    keys, values = (_with_block_before(x) for x in (keys, values))  # (batch, heads, blocks, 2 * window, size)
    here, there = np.arange(window)[:, None], np.arange(-window, window)
    begins = np.arange(num_blocks)[:, None, None] * window
    is_seen = _sees(here, there, window) & (begins + there >= 0)  # (blocks, window, 2 * window)
    found = attend(queries, keys, values, is_seen, drop)
    return ops.reshape(found, (-1, found.shape[1], num_blocks * window, found.shape[4]))[:, :, :length]


def _sees(query, key, window):
    """Whether the query of one position sees the key of another: arrays of positions."""
    return (key <= query) if window is None else (key <= query) & (key > query - window)


def _with_block_before(x):
    before = ops.pad(x[:, :, :-1], [[0, 0], [0, 0], [1, 0], [0, 0], [0, 0]])
    return ops.concatenate([before, x], axis=3)


def ring(x, num_slots):
    """The last of `x`, `(batch, heads, length, size)`, in a ring: position `t` lies in slot `t` modulo its length.

    Args:
        x: Tensor whose third axis are positions from the first on.
        num_slots: Integer, the length of the ring. Slots of positions that are yet to come hold zeros.

    Example:

    >>> x = keras.ops.reshape(keras.ops.arange(5), (1, 1, 5, 1))
    >>> keras.ops.convert_to_numpy(keras_ar.attending.ring(x, 3)).ravel().tolist()
    [3, 4, 2]
    """
    length = x.shape[2]
    if length > num_slots:
        return ops.roll(x[:, :, -num_slots:], length % num_slots, axis=2)
    return ops.pad(x, [[0, 0], [0, 0], [0, num_slots - length], [0, 0]])


def ring_size(window, num_steps, name):
    """How many steps are kept: those of the window, or of the whole sequence where it is shorter.

    Args:
        window: Integer, or `None` for all steps.
        num_steps: Integer, or `None` for a stream, which has no last step.
        name: String, the name of the layer, for the error where both are `None`.

    Example:

    >>> keras_ar.attending.ring_size(16, 10, "attention"), keras_ar.attending.ring_size(16, None, "attention")
    (10, 16)
    """
    sizes = [size for size in (window, num_steps) if size is not None]
    if not sizes:
        raise ValueError(
            f"`window` must be an integer for a stream, which has no last step: without, {name} sees all steps. "
            f"Received: window=None."
        )
    return min(sizes)


def rotate(x, cosines, sines):
    """Turns each pair of features of `x`, `(..., 2 * size)`, by the angles of `(..., size)`: the halves are the pairs.

    The product of two that are turned by the angles of their positions depends on the difference of these alone.

    Reference:
        [Su et al., 2021](https://arxiv.org/abs/2104.09864), section 3.
    """
    size = cosines.shape[-1]
    cosines, sines = ops.cast(cosines, x.dtype), ops.cast(sines, x.dtype)
    one, other = x[..., :size], x[..., size:]
    return ops.concatenate([one * cosines - other * sines, other * cosines + one * sines], axis=-1)


def _length(x, axis):
    return ops.shape(x)[axis] if x.shape[axis] is None else x.shape[axis]

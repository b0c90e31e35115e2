"""Which position comes when.

An ordering is a permutation, as an int64 array: `ordering[t]` is the (flattened)
position that is drawn at step `t`.
"""

import math

import numpy as np

from keras_ar import arguments, noise

__all__ = ["from_permutation", "get", "natural", "random", "reversed", "several"]


def natural(shape):
    """First position first, in the order in which NumPy flattens.

    Example:

    >>> keras_ar.orderings.natural((2, 2)).tolist()
    [0, 1, 2, 3]
    """
    return np.arange(_size(shape))


def reversed(shape):
    """Last position first.

    Example:

    >>> keras_ar.orderings.reversed(3).tolist()
    [2, 1, 0]
    """
    return natural(shape)[::-1].copy()


def random(shape, seed):
    """A random order, the same for a seed on every machine.

    Example:

    >>> sorted(keras_ar.orderings.random(4, seed=0).tolist())
    [0, 1, 2, 3]
    """
    return noise.permutation(_size(shape), noise.check_seed(seed))


def several(shape, count, seed):
    """A number of random orders, of which the first ones of a seed are always the same.

    Args:
        shape: Integer or tuple, the shape of the positions.
        count: Integer, how many orders.
        seed: Integer.

    Returns:
        int64 array of shape `(count, positions)`.

    Example:

    >>> keras_ar.orderings.several(3, count=2, seed=0).shape
    (2, 3)
    """
    keys = noise.uniforms(noise.check_seed(seed), noise.OTHER_STREAMS, count, (_size(shape),))
    return np.argsort(keys, axis=1, kind="stable")


def from_permutation(permutation):
    """One's own order, checked.

    Example:

    >>> keras_ar.orderings.from_permutation([2, 0, 1]).tolist()
    [2, 0, 1]
    """
    array = np.asarray(permutation)
    if array.ndim != 1 or not np.array_equal(np.sort(array), np.arange(array.size)):
        raise ValueError(
            f"`ordering` must be a permutation of 0, 1, ..., n - 1, each once. Received: ordering={permutation}."
        )
    return array.astype("int64")


def get(ordering, num_positions, seed=0):
    """The ordering of `num_positions` positions that a model's `ordering` argument means.

    Args:
        ordering: `None` or `"natural"`, `"reversed"`, `"random"`, or a permutation.
        num_positions: Integer, number of positions.
        seed: Integer, the seed of `"random"`. Defaults to `0`.

    Returns:
        int64 array of shape `(num_positions,)`.

    Example:

    >>> keras_ar.orderings.get("reversed", 3).tolist()
    [2, 1, 0]
    """
    if ordering is None:
        return natural(num_positions)
    if isinstance(ordering, str):
        if ordering not in ("natural", "reversed", "random"):
            raise ValueError(
                f"`ordering` must be 'natural', 'reversed', 'random', or a permutation of the positions. "
                f"Received: ordering={ordering!r}."
            )
        if ordering == "random":
            return random(num_positions, seed)
        return natural(num_positions) if ordering == "natural" else reversed(num_positions)
    array = from_permutation(ordering)
    if array.size != num_positions:
        raise ValueError(
            f"`ordering` must order the model's {num_positions} positions. Received an ordering of {array.size}."
        )
    return array


def _size(shape):
    return math.prod(arguments.integers(shape, "shape"))

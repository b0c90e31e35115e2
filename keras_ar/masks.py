"""Degrees and 0/1 masks of dense autoregressive networks: plain NumPy, made from a model's config.

A unit's degree says how many of the first steps it may see. An input of step
`t` becomes visible with degree `t + 1`; the output of step `t` may see degrees up to `t`.
"""

import numpy as np

from keras_ar import noise

__all__ = [
    "blocks_by_degree",
    "connect",
    "even_degrees",
    "input_degrees",
    "output_degrees",
    "random_degrees",
]

_SLACK = 1.25  # how many slots there may be for each unit


def input_degrees(num_steps, step_size=1):
    """Degrees of the inputs: 1, 2, ..., each `step_size` times.

    >>> keras_ar.masks.input_degrees(3).tolist()
    [1, 2, 3]
    """
    return np.repeat(np.arange(1, num_steps + 1), step_size)


def output_degrees(num_steps, num_params=1):
    """Degrees of the outputs: 0, 1, ..., each `num_params` times.

    >>> keras_ar.masks.output_degrees(2, num_params=2).tolist()
    [0, 0, 1, 1]
    """
    return np.repeat(np.arange(num_steps), num_params)


def even_degrees(units, lowest, highest):
    """Degrees spread evenly from `highest` down to `lowest`, in rising order.

    Counted from the top, so that a layer with a single unit sees all it may.

    >>> keras_ar.masks.even_degrees(4, lowest=1, highest=3).tolist()
    [1, 2, 2, 3]
    """
    return np.floor(np.linspace(highest, lowest, units) + 0.5).astype("int64")[::-1].copy()


def random_degrees(units, lowest, highest, seed, stream):
    """Degrees drawn uniformly from `lowest` to `highest`, as in the MADE paper.

    One of the units with the largest degree is given `highest`: otherwise the
    last inputs of a narrow layer would have no path to any output.

    >>> int(keras_ar.masks.random_degrees(5, lowest=1, highest=3, seed=0, stream=0).max())
    3
    """
    degrees = noise.integers(lowest, highest, units, seed, stream)
    degrees[np.argmax(degrees)] = highest
    return degrees


def connect(degrees_in, degrees_out):
    """Mask of shape `(inputs, outputs)`: 1 where a unit may see what has at most its own degree.

    Example:

    >>> keras_ar.masks.connect(np.array([1, 2]), np.array([0, 1, 2])).astype(int).tolist()
    [[0, 1, 1], [0, 0, 1]]
    """
    return (degrees_in[:, None] <= degrees_out[None, :]).astype("float32")


def blocks_by_degree(degrees, num_steps):
    """Cuts units into blocks of equal width, each of one degree, for finishing them degree by degree.

    Blocks are as wide as they can be while the padding of those that are not
    full costs at most a quarter more in arithmetic.

    Args:
        degrees: Degrees of the units, from 0 to `num_steps - 1`.
        num_steps: Number of steps.

    Returns:
        `units`, of shape `(num_blocks, width)`: unit numbers, -1 in empty slots;
        and `first`, of shape `(num_steps + 1,)`: the blocks of degree `t` are
        `first[t], ..., first[t + 1] - 1`.

    Example:

    >>> units, first = keras_ar.masks.blocks_by_degree(np.array([0, 1, 1]), num_steps=2)
    >>> units.tolist(), first.tolist()
    ([[0], [1], [2]], [0, 1, 3])
    """
    counts = np.bincount(degrees, minlength=num_steps)
    for width in range(counts.max(), 0, -1):
        blocks = -(-counts // width)  # rounded up
        if blocks.sum() * width <= _SLACK * len(degrees):
            break
    first = np.concatenate([[0], np.cumsum(blocks)])
    units = np.full(blocks.sum() * width, -1)
    members = np.argsort(degrees, kind="stable")
    slots = np.concatenate([first[t] * width + np.arange(count) for t, count in enumerate(counts)])
    units[slots] = members
    return units.reshape(-1, width), first

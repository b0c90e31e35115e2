"""Which position comes when.

An ordering is a permutation, as an int64 array: `ordering[t]` is the (flattened)
position that is drawn at step `t`.
"""

import math

import numpy as np

from keras_ar import arguments, noise

__all__ = [
    "by_distance",
    "from_permutation",
    "get",
    "hilbert",
    "natural",
    "random",
    "reversed",
    "s_curve",
    "several",
    "spiral",
    "symmetries",
]


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


# Orders of the pixels of an image.


def s_curve(shape):
    """Row by row, every second row backwards: each pixel is next to the one before it.

    Args:
        shape: `(rows, columns)`, perhaps with axes of length 1 after them.

    Example:

    >>> keras_ar.orderings.s_curve((2, 3)).tolist()
    [0, 1, 2, 5, 4, 3]
    """
    pixels = _pixels(shape)
    pixels[1::2] = pixels[1::2, ::-1].copy()
    return pixels.ravel()


def hilbert(shape):
    """Along a Hilbert curve, on which pixels that come soon after each other are near each other.

    The curve is that of the smallest square of 2, 4, 8, ... pixels that holds the image; what lies outside is passed
    over.

    Args:
        shape: As in `s_curve`.

    Example:

    >>> keras_ar.orderings.hilbert((2, 2)).tolist()
    [0, 2, 3, 1]
    """
    pixels = _pixels(shape)
    side = 1 << (max(pixels.shape) - 1).bit_length()
    steps = np.arange(side * side)
    row, column, size = np.zeros_like(steps), np.zeros_like(steps), 1
    while size < side:  # puts together curves of half the size, of which the first and the last are turned
        quarter = steps // (size * size) % 4
        down, right = (quarter == 1) | (quarter == 2), quarter >= 2
        turned = ~down
        back = turned & right
        row, column = np.where(back, size - 1 - row, row), np.where(back, size - 1 - column, column)
        row, column = np.where(turned, column, row), np.where(turned, row, column)
        row, column, size = row + size * down, column + size * right, 2 * size
    inside = (row < pixels.shape[0]) & (column < pixels.shape[1])
    return pixels[row[inside], column[inside]]


def spiral(shape):
    """Around the edge and then inwards: what lies in the middle comes last.

    Args:
        shape: As in `s_curve`.

    Example:

    >>> keras_ar.orderings.spiral((3, 3)).tolist()
    [0, 1, 2, 5, 8, 7, 6, 3, 4]
    """
    pixels, found = _pixels(shape), []
    while pixels.size:
        found.append(pixels[0])
        pixels = np.rot90(pixels[1:])
    return np.concatenate(found)


def by_distance(shape, pixel):
    """The pixels near one of them first.

    Args:
        shape: As in `s_curve`.
        pixel: Pair of integers, its row and column.

    Example:

    >>> keras_ar.orderings.by_distance((2, 3), pixel=(0, 2)).tolist()
    [2, 1, 5, 4, 0, 3]
    """
    pixels = _pixels(shape)
    pixel = np.asarray(pixel)
    if pixel.shape != (2,) or pixel.dtype.kind not in "iu" or (pixel < 0).any() or (pixel >= pixels.shape).any():
        raise ValueError(f"`pixel` must be the row and the column of one of {pixels.shape} pixels. Received: {pixel}.")
    rows, columns = np.indices(pixels.shape)
    distance = (rows - pixel[0]) ** 2 + (columns - pixel[1]) ** 2
    return np.argsort(distance.ravel(), kind="stable")


def symmetries(order, shape):
    """An order of pixels, from each corner and along both axes: up to eight of them.

    Args:
        order: Function of a shape, such as `s_curve`.
        shape: As in `s_curve`.

    Returns:
        int64 array of shape `(orders, pixels)`.

    Example:

    >>> keras_ar.orderings.symmetries(keras_ar.orderings.s_curve, (2, 3)).shape
    (8, 6)
    """
    pixels, found = _pixels(shape), []
    for image in (pixels, pixels.T):
        along = order(image.shape)
        for turned in (image, image[:, ::-1], image[::-1], image[::-1, ::-1]):
            found.append(turned.ravel()[along])
    return np.array(list(dict.fromkeys(map(tuple, found))))


def _pixels(shape):
    """The numbers of the pixels: an array of shape `(rows, columns)`."""
    sizes = arguments.integers(shape, "shape")
    if len(sizes) < 2 or set(sizes[2:]) - {1}:
        raise ValueError(f"`shape` must be (rows, columns), or (rows, columns, 1). Received: shape={shape!r}.")
    return natural(sizes).reshape(sizes[:2])

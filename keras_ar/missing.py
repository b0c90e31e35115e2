"""Arrays in which values are missing: NaN, a mask of NumPy's, or a boolean array beside them."""

import numpy as np

from keras_ar import arguments

__all__ = ["positions", "with_nan"]

_LARGEST_FLOAT_INTEGER = 2**24  # up to here float32 holds every integer


def with_nan(x, known=None):
    """Events with NaN where they are not known, from arrays that say so in another way; all else as it is.

    Args:
        x: Array of shape `(events, ...)`, perhaps a masked one; the pair of it and a condition; or any other data.
        known: Boolean array of the shape of one event or of all; `None`: where `x` is neither NaN nor masked.
            Defaults to `None`.

    Example:

    >>> keras_ar.missing.with_nan(np.array([[1, 2]]), [True, False]).tolist()
    [[1.0, nan]]
    """
    if isinstance(x, tuple) and len(x) == 2:
        return with_nan(x[0], known), x[1]
    if isinstance(x, np.ma.MaskedArray) and np.ma.is_masked(x):
        if known is not None:
            raise ValueError("`known` must be None beside a masked array. Received both.")
        known, x = ~np.ma.getmaskarray(x), np.ma.getdata(x)
    if known is None:
        return x
    if not hasattr(x, "__array__") and not isinstance(x, list | tuple):
        raise ValueError(
            f"`known` must be None beside a dataset: batches hold NaN where a value is missing. "
            f"Received: x of type {type(x).__name__}."
        )
    x = arguments.array(x, "x")
    known = positions(known, "known", x)
    largest = np.abs(x[known].astype("int64")).max(initial=0) if x.dtype.kind in "iu" else 0
    if largest > _LARGEST_FLOAT_INTEGER:
        raise ValueError(
            f"`x` must hold integers of at most {_LARGEST_FLOAT_INTEGER} beside `known`: values become float32, so "
            f"that those that are missing can be NaN. Received one of size {largest}."
        )
    return np.where(known, x, np.nan).astype("float32")


def positions(which, name, x):
    """A boolean array of the shape of `x`, from one of that shape or of the shape of one event.

    Args:
        which: The array.
        name: String, what an error calls it.
        x: Array of shape `(events, ...)`.

    Example:

    >>> keras_ar.missing.positions([True, False], "known", np.zeros((2, 2))).tolist()
    [[True, False], [True, False]]
    """
    array = arguments.array(which, name)
    if array.dtype != bool or array.shape not in (x.shape, x.shape[1:]):
        raise ValueError(
            f"`{name}` must be a boolean array of shape {x.shape[1:]} or {x.shape}. "
            f"Received: {name}.shape={array.shape}, {name}.dtype={array.dtype}."
        )
    return np.broadcast_to(array, x.shape)

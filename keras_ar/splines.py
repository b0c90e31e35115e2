"""Rational-quadratic splines through given knots: plain functions of `keras.ops`. https://arxiv.org/abs/1906.04032

Knots are a dictionary of tensors: `"x"` and `"z"`, the edges of the bins on both axes, and `"slope"`, the slopes there,
all of shape `(..., num_bins + 1)`; `"width"` and `"height"`, the sizes of the bins, `(..., num_bins)`. Their first axes
are those of the values, or such that they broadcast. Between its edges a bin is a ratio of two quadratic polynomials,
increasing, whose inverse is known.
"""

from keras import ops

__all__ = ["backward", "forward"]


def forward(knots, x):
    """What a spline makes of values between its first edge and its last, and the logarithm of its slope.

    Args:
        knots: Dictionary of tensors, as above.
        x: Tensor of the shape that the knots have but for their last axis.

    Example:

    >>> edges, widths = keras.ops.array([[0.0, 1.0, 2.0]]), keras.ops.ones((1, 2))
    >>> knots = {"x": edges, "z": 3.0 * edges, "slope": 3.0 + 0.0 * edges, "width": widths, "height": 3.0 * widths}
    >>> z, log_slope = keras_ar.splines.forward(knots, keras.ops.array([1.5]))
    >>> round(float(z[0]), 4), round(float(log_slope[0]), 4)
    (4.5, 1.0986)
    """
    bin_ = _bin(x, "x", knots)
    return _at(ops.clip((x - bin_["x"]) / bin_["width"], 0.0, 1.0), bin_)


def backward(knots, z):
    """The values that a spline maps to these, and the logarithm of its slope there, not of the inverse's.

    Args:
        knots: Dictionary of tensors, as above.
        z: Tensor of the shape that the knots have but for their last axis.

    Example:

    >>> edges, widths = keras.ops.array([[0.0, 1.0, 2.0]]), keras.ops.ones((1, 2))
    >>> knots = {"x": edges, "z": 3.0 * edges, "slope": 3.0 + 0.0 * edges, "width": widths, "height": 3.0 * widths}
    >>> x, _ = keras_ar.splines.backward(knots, keras.ops.array([4.5]))
    >>> round(float(x[0]), 4)
    1.5
    """
    # The share of the bin solves a quadratic equation: equations 6 to 8 of the paper.
    bin_ = _bin(z, "z", knots)
    height, steep, first, excess = bin_["height"], bin_["steep"], bin_["first"], bin_["excess"]
    above = z - bin_["z"]
    a, b, c = height * (steep - first) + above * excess, height * first - above * excess, -steep * above
    root = ops.sqrt(ops.maximum(ops.square(b) - 4.0 * a * c, 0.0))
    share = ops.clip(2.0 * c / (-b - root), 0.0, 1.0)
    _, log_slope = _at(share, bin_)
    return bin_["x"] + share * bin_["width"], log_slope


def _bin(value, axis, knots):
    """The bin in which values of an axis lie: where it begins, its size, and slopes."""
    inner = knots[axis][..., 1:-1]
    index = ops.sum(ops.cast(ops.expand_dims(value, -1) >= inner, "int32"), axis=-1, keepdims=True)

    def take(name, shift=0):
        return ops.take_along_axis(knots[name], index + shift, axis=-1)[..., 0]

    bin_ = {name: take(name) for name in ("x", "z", "width", "height")}
    first, last, steep = take("slope"), take("slope", 1), bin_["height"] / bin_["width"]
    return {**bin_, "first": first, "last": last, "steep": steep, "excess": first + last - 2.0 * steep}


def _at(share, bin_):
    """Where the spline is after a share of a bin, and the logarithm of its slope: equations 4 and 5 of the paper."""
    steep, first, last, middle = bin_["steep"], bin_["first"], bin_["last"], share * (1.0 - share)
    below = steep + bin_["excess"] * middle
    z = bin_["z"] + bin_["height"] * (steep * ops.square(share) + first * middle) / below
    above = last * ops.square(share) + 2.0 * steep * middle + first * ops.square(1.0 - share)
    return z, 2.0 * ops.log(steep) + ops.log(above) - 2.0 * ops.log(below)

"""Gates and nonlinearities that several layers share: plain functions of `keras.ops`."""

from keras import ops

from keras_ar import backend

__all__ = ["concat_elu", "gated_linear", "gated_tanh", "lstm"]


def gated_tanh(x):
    """`tanh(a) * sigmoid(b)`, where the last axis of `x` holds `a` and `b` side by side."""
    value, gate = ops.split(x, 2, axis=-1)
    return ops.tanh(value) * ops.sigmoid(gate)


def gated_linear(x):
    """`a * sigmoid(b)`, where the last axis of `x` holds `a` and `b` side by side."""
    value, gate = ops.split(x, 2, axis=-1)
    return value * ops.sigmoid(gate)


def concat_elu(x):
    """`elu` of `x` and of `-x`, side by side: twice the features, none of them cut off."""
    return backend.elu_of_both(x)


def lstm(gates, cell):
    """One step of a long short-term memory: its output and its next cell.

    `gates` holds the pre-activations of the output, forget and input gate and of
    the content, side by side on the last axis.
    """
    o, f, i, g = ops.split(gates, 4, axis=-1)
    cell = ops.sigmoid(f) * cell + ops.sigmoid(i) * ops.tanh(g)
    return ops.sigmoid(o) * ops.tanh(cell), cell

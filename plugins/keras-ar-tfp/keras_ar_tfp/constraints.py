"""From any output of a network to a parameter that is possible: plain functions of `keras.ops`."""

from keras import ops

from keras_ar.numerics import bounded_exp

_LEAST = 1e-3  # of a parameter that must be positive
_NEAREST = 1e-6  # that a probability comes to 0 and 1


def _linear(x):
    return x


def _bounded(x):
    return ops.clip(x, -7.0, 7.0)


def _softplus(x):
    return ops.softplus(x) + _LEAST


def _above_one(x):
    return 1.0 + _softplus(x)


def _sigmoid(x):
    return _NEAREST + (1.0 - 2.0 * _NEAREST) * ops.sigmoid(x)


def _tanh(x):
    return 2.0 * _sigmoid(2.0 * x) - 1.0


CONSTRAINTS = {
    "linear": _linear,
    "bounded": _bounded,
    "softplus": _softplus,
    "above_one": _above_one,
    "exp": bounded_exp,
    "sigmoid": _sigmoid,
    "tanh": _tanh,
}

"""What runs on one backend only.

Torch compiles nothing, so it is by far the fastest in tests, and it runs all of them. JAX and TensorFlow leave out what
is least likely to fail there and pass on torch:

- tests marked `one_backend`, of what the drivers, files and pictures do with the arrays that a backend returns,
- variants of a component: `made-binary` is a variant of `made`, the same class under other settings. Each class has a
  form that runs everywhere, and on torch `check_opens_on_other_backends` scores every variant on the others.

`pytest --everything` leaves nothing out.
"""

import pytest

from keras_ar.testing import parametrize_with_checks

__all__ = ["is_variant", "on_one_backend", "parametrize_by_shape", "variants"]


def is_variant(name):
    """Whether a component is a variant of another, by its name."""
    return "-" in name


def on_one_backend(values):
    """Parameters of tests or fixtures, all marked."""
    return [pytest.param(value, marks=pytest.mark.one_backend) for value in values]


def variants(names):
    """Names of components as parameters of tests or fixtures, the variants among them marked."""
    names = list(names)
    return [*(n for n in names if not is_variant(n)), *on_one_backend(n for n in names if is_variant(n))]


def parametrize_by_shape(groups):
    """Runs a test for each check of layers, which come as pairs of an input shape and a list."""
    marks = [parametrize_with_checks(layers, input_shape=shape) for shape, layers in groups]
    return pytest.mark.parametrize("check", [case for mark in marks for case in mark.args[1]])

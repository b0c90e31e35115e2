"""What runs on one backend only.

Torch compiles nothing, so it is by far the fastest in tests, and it runs all of them. JAX and TensorFlow leave out what
cannot fail there and pass on torch:

- tests marked `one_backend`, of what the drivers, files and pictures do with the arrays that a backend returns,
- variants of a component: `made-random` is a variant of `made`, the same class under other settings. Each class has a
  form that runs everywhere, and on torch `check_opens_on_other_backends` scores every variant on the others.

`pytest --everything` leaves nothing out.
"""

import pytest

__all__ = ["is_variant", "variants"]


def is_variant(name):
    """Whether a component is a variant of another, by its name.

    >>> is_variant("made"), is_variant("made-random")
    (False, True)
    """
    return "-" in name


def variants(names):
    """Names as parameters of tests or fixtures, the variants among them marked."""
    return [pytest.param(name, marks=[pytest.mark.one_backend] if is_variant(name) else []) for name in names]

"""Characters as integers and back, and what is neither."""

import numpy as np
import pytest

from keras_ar.text import Vocabulary

pytestmark = pytest.mark.one_backend
VOCABULARY = Vocabulary("abc")


@pytest.mark.parametrize("integers", [[0, 2, 1], np.array([[0], [2], [1]], "uint8"), range(0, 0), []])
def test_integers_of_any_shape_become_a_text(integers):
    assert VOCABULARY.decode(integers) == ("acb" if len(integers) else "")


@pytest.mark.parametrize("wrong", [-1, 3, 2**40])
def test_an_integer_of_no_character_is_named(wrong):
    with pytest.raises(ValueError, match=rf"`integers` must hold integers from 0 to 2. Received {wrong}\."):
        VOCABULARY.decode([0, wrong])


@pytest.mark.parametrize("integers", [[0.0, 1.0], [True], ["a"], [None]])
def test_what_is_no_integer_is_not_decoded(integers):
    with pytest.raises(ValueError, match=r"`integers` must hold .*integers.dtype="):
        VOCABULARY.decode(integers)


def test_windows_may_overlap():
    assert list(map(VOCABULARY.decode, VOCABULARY.windows("abcab", length=3, step=1))) == ["abc", "bca", "cab"]


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"length": 2, "step": 0}, "`step` must be an integer of at least 1. Received: step=0"),
        ({"length": 2, "step": -1}, "`step` must be an integer of at least 1"),
        ({"length": 0}, "`length` must be an integer of at least 1"),
        ({"length": 4}, "`length` must be at most 3"),
    ],
)
def test_sizes_of_no_window_are_refused(sizes, message):
    with pytest.raises(ValueError, match=message):
        VOCABULARY.windows("abc", **sizes)

"""Orderings are permutations, and say so when they are not."""

import numpy as np
import pytest

from keras_ar import orderings


def test_curves_go_from_pixel_to_pixel():
    """Each pixel once, and each next to the one before: the Hilbert curve on squares, the others on any image."""
    for order, shape in [
        (orderings.s_curve, (4, 5)),
        (orderings.spiral, (4, 5)),
        (orderings.spiral, (5, 1)),
        (orderings.hilbert, (2, 2)),
        (orderings.hilbert, (16, 16, 1)),
    ]:
        places = np.stack(np.unravel_index(order(shape), shape[:2]), axis=1)
        assert len(np.unique(places, axis=0)) == np.prod(shape)
        assert (np.abs(np.diff(places, axis=0)).sum(axis=1) == 1).all()
    # Each quarter of a Hilbert curve fills a quarter of the square.
    places = np.stack(np.unravel_index(orderings.hilbert((8, 8)), (8, 8)), axis=1).reshape(4, 16, 2) // 4
    assert (np.ptp(places, axis=1) == 0).all()
    assert sorted(orderings.hilbert((5, 3)).tolist()) == list(range(15))


def test_symmetries_are_all_different_and_begin_in_all_corners():
    found = orderings.symmetries(orderings.s_curve, (3, 4))
    assert len(found) == 8
    assert sorted({int(order[0]) for order in found}) == [0, 3, 8, 11]
    assert (np.sort(found, axis=1) == np.arange(12)).all()
    assert len(orderings.symmetries(orderings.s_curve, (1, 3))) == 2  # there is but one row


def test_pixels_come_by_their_distance():
    found = orderings.by_distance((3, 3), pixel=(1, 1)).tolist()
    assert found[0] == 4
    assert sorted(found[1:5]) == [1, 3, 5, 7]
    with pytest.raises(ValueError, match="`pixel` must be"):
        orderings.by_distance((3, 3), pixel=(0, 3))
    with pytest.raises(ValueError, match="`shape` must be"):
        orderings.spiral((3, 3, 2))


@pytest.mark.parametrize("shape", [1, 7, (2, 3), (3, 2, 2)])
@pytest.mark.parametrize(
    "make",
    [orderings.natural, orderings.reversed, lambda shape: orderings.random(shape, seed=2)],
    ids=["natural", "reversed", "random"],
)
def test_an_ordering_has_each_position_once(make, shape):
    ordering = make(shape)
    assert ordering.dtype == "int64"
    assert sorted(ordering) == list(range(np.prod(shape)))


def test_a_random_ordering_depends_on_its_seed_alone():
    assert orderings.random(6, seed=3).tolist() == [2, 1, 3, 4, 5, 0]  # for ever
    assert orderings.random((2, 3), seed=3).tolist() == [2, 1, 3, 4, 5, 0]
    assert len({tuple(orderings.random(20, seed)) for seed in range(10)}) == 10


def test_a_random_ordering_puts_every_position_everywhere():
    counts = np.zeros((3, 3), int)
    for seed in range(300):
        counts[np.arange(3), orderings.random(3, seed)] += 1
    assert (counts > 70).all()


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        (None, [0, 1, 2]),
        ("natural", [0, 1, 2]),
        ("reversed", [2, 1, 0]),
        ("random", orderings.random(3, seed=0).tolist()),
        ([1, 2, 0], [1, 2, 0]),
        (np.array([1, 2, 0], "uint8"), [1, 2, 0]),
    ],
)
def test_a_model_takes_a_name_or_a_permutation(argument, expected):
    ordering = orderings.get(argument, 3)
    assert ordering.tolist() == expected
    assert ordering.dtype == "int64"


@pytest.mark.parametrize("ordering", [[0, 0, 1], [1, 2, 3], [0, 2], [-1, 0, 1], [0.5, 1, 2], [[0, 1], [2, 3]], 3])
def test_what_is_no_permutation_is_refused(ordering):
    with pytest.raises(ValueError, match=r"`ordering` must be a permutation of 0, 1, \.\.\., n - 1, each once"):
        orderings.from_permutation(ordering)


def test_a_permutation_of_another_size_is_refused():
    with pytest.raises(ValueError, match=r"`ordering` must order the model's 4 positions. Received an ordering of 3"):
        orderings.get([0, 1, 2], 4)


def test_an_unknown_name_is_refused_with_those_that_exist():
    with pytest.raises(
        ValueError, match=r"'natural', 'reversed', 'random', or a permutation.*Received: ordering='spiral'"
    ):
        orderings.get("spiral", 4)


@pytest.mark.parametrize("seed", [-1, 0.5])
def test_a_random_ordering_takes_a_seed_as_all_of_keras_ar_does(seed):
    with pytest.raises(ValueError, match="`seed` must be an integer"):
        orderings.random(4, seed)

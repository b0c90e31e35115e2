"""Degrees keep their bounds, masks lose no input, and blocks hold every unit once."""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest

from keras_ar import masks, models


def test_each_value_of_a_step_has_the_degree_of_the_step():
    assert masks.input_degrees(3).tolist() == [1, 2, 3]
    assert masks.input_degrees(2, step_size=3).tolist() == [1, 1, 1, 2, 2, 2]
    assert masks.output_degrees(3).tolist() == [0, 1, 2]
    assert masks.output_degrees(2, num_params=2).tolist() == [0, 0, 1, 1]


BOUNDS = [(units, *bounds) for units in (1, 2, 3, 10, 100) for bounds in ((0, 0), (1, 1), (0, 7), (3, 8))]


@pytest.mark.parametrize(("units", "lowest", "highest"), BOUNDS)
def test_even_degrees_rise_from_bound_to_bound(units, lowest, highest):
    degrees = masks.even_degrees(units, lowest, highest)
    assert degrees.dtype == "int64"
    assert degrees.shape == (units,)
    assert (np.diff(degrees) >= 0).all()
    assert degrees[-1] == highest
    assert degrees[0] == (lowest if units > 1 else highest)


@pytest.mark.parametrize(("units", "lowest", "highest"), BOUNDS)
def test_even_degrees_repeat_none_before_all_are_used(units, lowest, highest):
    degrees = masks.even_degrees(units, lowest, highest)
    assert len(np.unique(degrees)) == min(units, highest - lowest + 1)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("units", "lowest", "highest"), BOUNDS)
def test_random_degrees_keep_their_bounds_and_reach_the_highest(units, lowest, highest, seed):
    degrees = masks.random_degrees(units, lowest, highest, seed, stream=0)
    assert degrees.shape == (units,)
    assert lowest <= degrees.min() <= degrees.max() == highest


def test_random_degrees_depend_on_the_seed_and_the_layer_alone():
    assert masks.random_degrees(6, 1, 9, seed=0, stream=0).tolist() == [3, 4, 5, 9, 3, 4]  # for ever
    drawn = {tuple(masks.random_degrees(20, 1, 9, seed, stream)) for seed in range(3) for stream in range(3)}
    assert len(drawn) == 9


def test_a_unit_sees_what_has_at_most_its_degree():
    mask = masks.connect(np.array([1, 3, 2]), np.array([0, 1, 2, 3]))
    assert mask.dtype == "float32"
    assert mask.tolist() == [[0, 1, 1, 1], [0, 0, 0, 1], [0, 0, 1, 1]]


@pytest.mark.parametrize("n", [1, 2, 3, 9])
@pytest.mark.parametrize("hidden_units", [(1,), (2, 1), (5, 3, 4), (20, 20)])
@pytest.mark.parametrize("degrees", ["even", "random"])
@pytest.mark.parametrize("condition_shape", [None, 2])
def test_the_masks_of_made_keep_the_order_and_lose_no_path(n, hidden_units, degrees, condition_shape):
    lowest = 0 if condition_shape else min(1, n - 1)
    for seed in range(3):
        found = hidden_degrees(n, hidden_units, degrees, condition_shape, seed)
        assert all(lowest <= d.min() <= d.max() == n - 1 for d in found)
        every = [masks.input_degrees(n), *found, masks.output_degrees(n)]
        chain = [masks.connect(a, b) for a, b in itertools.pairwise(every)]
        paths = np.linalg.multi_dot(chain)
        assert not np.tril(paths).any(), "an output sees its own step, or a later one"
        assert n == 1 or paths[n - 2, n - 1] > 0, "the last input has no path to the last output"
        if condition_shape is None and n > 1:
            assert all(mask.any(axis=0).all() for mask in chain[:-1]), "a hidden unit sees nothing"
        if degrees == "even" and min(hidden_units) >= n - 1:
            assert (np.triu(np.ones((n, n)), 1) <= paths).all(), "an output misses an earlier step"


def hidden_degrees(n, hidden_units, degrees, condition_shape, seed):
    """The degrees that MADE gives its units, without building its weights."""
    model = SimpleNamespace(
        num_steps=n, hidden_units=hidden_units, degrees=degrees, condition_shape=condition_shape, seed=seed
    )
    return models.MADE.make_hidden_degrees(model)


DEGREES = {
    "even": masks.even_degrees(50, 1, 9),
    "random": masks.random_degrees(60, 0, 9, seed=0, stream=0),
    "one unit": np.array([9]),
    "all of one degree": np.full(7, 4),
    "one of each, and a crowd": np.array([*range(10), *[3] * 40]),
    "falling": np.arange(10)[::-1],
}


@pytest.mark.parametrize("degrees", DEGREES.values(), ids=DEGREES.keys())
def test_blocks_hold_every_unit_once_by_its_degree_with_few_empty_slots(degrees):
    units, first = masks.blocks_by_degree(degrees, num_steps=10)
    assert sorted(units[units >= 0]) == list(range(len(degrees)))
    assert units.min() >= -1
    assert units.size <= 1.25 * len(degrees)
    assert first[0] == 0
    assert first[-1] == len(units)
    for t in range(10):
        block = units[first[t] : first[t + 1]]
        assert (degrees[block[block >= 0]] == t).all()


def test_blocks_are_as_wide_as_few_empty_slots_allow():
    assert masks.blocks_by_degree(np.repeat([0, 1, 2], [4, 4, 3]), 3)[0].shape == (3, 4)
    assert masks.blocks_by_degree(np.repeat([0, 1, 2], [5, 5, 1]), 3)[0].shape == (11, 1)

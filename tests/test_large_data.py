"""Data that do not fit into memory: mapped arrays are read batch by batch, and give the same as arrays do."""

import os
import tracemalloc

import keras
import numpy as np
import pytest
from variants import on_one_backend

import keras_ar
from keras_ar import mapped, models, noise

EVENTS = np.random.default_rng(0).integers(0, 2, (70, 5)).astype("uint8")
CLASSES = np.arange(70) % 3


@pytest.fixture
def x(tmp_path):
    """The events, in a file."""
    np.save(tmp_path / "x.npy", EVENTS)
    return np.load(tmp_path / "x.npy", mmap_mode="r")


@pytest.fixture
def small_pieces(monkeypatch):
    """Pieces of a few rows, and pages that are given back after each."""
    monkeypatch.setattr("keras_ar.mapped._PIECE", 40)
    monkeypatch.setattr("keras_ar.mapped._MOST_READ", 0)


def model(**options):
    keras.utils.set_random_seed(0)
    made = models.MADE(5, hidden_units=(4,), **options)
    made.compile(keras.optimizers.SGD(0.1))
    return made


# The same as of arrays.


@pytest.mark.parametrize("name", ["MADE", *on_one_backend(["DeepNADE", "OrderAgnosticMADE"])])
def test_a_mapped_array_scores_as_an_array(name, x, small_pieces):
    made = getattr(models, name)(5, hidden_units=4)
    np.testing.assert_allclose(made.score_samples(x), made.score_samples(EVENTS), rtol=1e-5)


def test_it_is_evaluated_as_an_array(x, small_pieces):
    made = model(num_classes=3)
    weights = np.linspace(0, 1, 70)
    for options in ({}, {"sample_weight": weights}, {"batch_size": 100}):
        expected = made.evaluate((EVENTS, CLASSES), verbose=0, **options)
        np.testing.assert_allclose(made.evaluate((x, CLASSES), verbose=0, **options), expected, rtol=1e-5)
        np.testing.assert_allclose(made.evaluate(x, CLASSES, verbose=0, **options), expected, rtol=1e-5)
    np.testing.assert_allclose(
        made.predict((x, CLASSES), verbose=0), made.predict((EVENTS, CLASSES), verbose=0), rtol=1e-5
    )
    assert made.train_on_batch((x[:3], CLASSES[:3])) == pytest.approx(made.test_on_batch((x[:3], CLASSES[:3])), rel=0.1)


@pytest.mark.one_backend
def test_missing_values_stay_missing(tmp_path):
    events = np.where(np.arange(350).reshape(70, 5) % 3 == 0, np.nan, EVENTS).astype("float32")
    np.save(tmp_path / "x.npy", events)
    x = np.load(tmp_path / "x.npy", mmap_mode="r")
    made = models.DeepNADE(5, hidden_units=4)
    made.compile("sgd")
    np.testing.assert_allclose(made.score_samples(x), made.score_samples(events), rtol=1e-5)
    np.testing.assert_allclose(made.evaluate(x, verbose=0), made.evaluate(events, verbose=0), rtol=1e-5)
    made.fit(x, verbose=0)


def test_in_order_it_trains_as_an_array(x):
    histories = []
    for events in (EVENTS, x):
        made = model()
        options = {"validation_data": (events[:20],), "batch_size": 16, "epochs": 2}
        histories.append(made.fit(events, shuffle=False, verbose=0, **options).history)
    for name, values in histories[0].items():
        np.testing.assert_allclose(histories[1][name], values, rtol=1e-5)


def test_each_epoch_has_all_events_in_an_order_of_its_own_that_follows_the_seed(x):
    def trained():
        made = model()
        made.fit(x, batch_size=16, epochs=2, verbose=0)
        return made.get_weights()

    for first, second in zip(trained(), trained(), strict=True):
        np.testing.assert_array_equal(first, second)
    batches = mapped.Batches(np.arange(70), None, None, batch_size=16, shuffle=True)
    passes = [np.concatenate([events for (events,) in batches]).tolist() for _ in range(2)]
    assert passes[0] != passes[1]
    assert [sorted(order) for order in passes] == [list(range(70))] * 2


@pytest.mark.parametrize("value", [2, 255])
def test_an_impossible_value_is_named(value, tmp_path, small_pieces):
    events = EVENTS.copy()
    events[66, 3] = value
    np.save(tmp_path / "x.npy", events)
    x, made = np.load(tmp_path / "x.npy", mmap_mode="r"), model()
    with pytest.raises(ValueError, match=rf"`x` must hold integers from 0 to 1.* Received x\[66, 3\] = {value}\."):
        made.score_samples(x)
    with pytest.raises(ValueError, match=rf"Received x\[2, 3\] = {value} in batch 2"):
        made.evaluate(x, verbose=0)
    with pytest.raises(ValueError, match=rf"`x` must hold integers from 0 to 1.* Received .* = {value} in batch"):
        made.fit(x, verbose=0)


def test_what_does_not_fit_is_refused_at_once(x):
    made = model()
    with pytest.raises(ValueError, match=r"`validation_split` must be 0 where `x` is mapped into memory"):
        made.fit(x, validation_split=0.5)
    with pytest.raises(ValueError, match=r"`x` must have shape \(batch, 5\)"):
        made.fit(x[:, 1:])
    with pytest.raises(ValueError, match="`y` must be None"):
        made.fit(x, x)
    with pytest.raises(ValueError, match="`condition` must be given if and only if"):
        made.fit((x, x))
    with pytest.raises(ValueError, match=r"`condition` must have shape \(70,\)"):
        model(num_classes=3).fit((x, x))


# Memory.


def most_allocated(function):
    """Bytes that a function allocates at most."""
    tracemalloc.start()
    function()
    found = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return found


def test_little_memory_is_taken(tmp_path):
    x = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", "uint8", (2**17, 2**10))  # 128 MB, most of it a hole
    x[::1000] = 1
    made = models.FVSBN(2**10)
    made.compile("sgd")
    for options in ({"steps_per_epoch": 2}, {"steps_per_epoch": 2, "shuffle": False}):
        assert most_allocated(lambda options=options: made.fit(x, verbose=0, **options)) < 2**24
    assert most_allocated(lambda: keras_ar.Support.levels(2).check(x)) < 2**28


@pytest.mark.one_backend
@pytest.mark.skipif(not os.path.exists("/proc/self/smaps_rollup"), reason="needs Linux")
def test_pages_that_were_read_are_given_back(tmp_path, monkeypatch):
    def resident():
        with open("/proc/self/status") as file:
            (line,) = (line for line in file if line.startswith("RssFile"))
        return int(line.split()[1]) * 2**10

    monkeypatch.setattr("keras_ar.mapped._MOST_READ", 2**22)
    monkeypatch.setattr("keras_ar.mapped._PIECE", 2**22)
    x = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", "uint8", (2**14, 2**12))  # 64 MB
    before, most = resident(), 0
    for _, piece in mapped.pieces(x):
        assert not piece.any()
        most = max(most, resident() - before)
    rows = mapped.Rows([x])
    for first in range(0, 2**14, 64):
        assert not rows[noise.LongPermutation(2**14, seed=0)[np.arange(first, first + 64)]][0].any()
        most = max(most, resident() - before)
    assert 0 < most < 2**25


@pytest.mark.one_backend
def test_what_was_written_to_a_private_map_stays(x, tmp_path, small_pieces):
    private = np.load(tmp_path / "x.npy", mmap_mode="c")
    private[3] = 7
    for _ in mapped.pieces(private):
        pass
    assert (private[3] == 7).all()
    assert (x[3] < 7).all()


@pytest.mark.one_backend
@pytest.mark.parametrize("n", [1, 2, 3, 64, 65, 1000])
def test_a_long_permutation_is_one(n):
    orders = [noise.LongPermutation(n, seed)[np.arange(n)] for seed in range(2)]
    assert [sorted(order) for order in orders] == [list(range(n))] * 2
    assert n < 64 or (orders[0] != orders[1]).any()


@pytest.mark.one_backend
def test_what_is_a_copy_is_not_mapped(x):
    for view in (x, x[3:], x[0], np.asarray(x)[None], x.T, x.reshape(-1)):
        assert mapped.is_mapped(view)
    for copy in (x[[1, 2]], x + 1, np.array(x), EVENTS, None, 3, [1]):
        assert not mapped.is_mapped(copy)

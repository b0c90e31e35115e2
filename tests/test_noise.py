"""A seed means the same noise for ever, on every backend, whatever the batch."""

import keras
import numpy as np
import pytest

from keras_ar import noise


def test_uniforms_lie_strictly_between_zero_and_one_on_a_grid_that_float32_holds():
    uniforms = noise.uniforms(seed=1, first_event=0, num_events=100, shape=(50, 2))
    assert uniforms.shape == (100, 50, 2)
    assert uniforms.dtype == "float32"
    assert uniforms.min() > 0
    assert uniforms.max() < 1
    multiples = uniforms.astype("float64") * 2**24
    assert (multiples % 2 == 1).all()


@pytest.mark.parametrize("bits", [0, 2**64 - 1])
def test_not_even_the_outermost_bits_make_a_zero_or_a_one(bits, monkeypatch):
    class Extreme:
        """Philox, if all of its bits were alike."""

        def __init__(self, **options):
            pass

        def random_raw(self, count):
            return np.full(count, bits, "uint64")

    monkeypatch.setattr(np.random, "Philox", Extreme)
    expected = 2.0**-24 if bits == 0 else 1 - 2.0**-24
    assert (noise.uniforms(0, 0, 1, (300,)) == expected).all()  # of a stream so long that NumPy draws it


def test_an_event_has_the_same_noise_in_every_batch():
    together = noise.uniforms(seed=5, first_event=0, num_events=8, shape=(4, 3))
    for first, count in ((0, 8), (3, 2), (7, 1)):
        batch = noise.uniforms(seed=5, first_event=first, num_events=count, shape=(4, 3))
        assert np.array_equal(batch, together[first : first + count])


def test_events_and_seeds_have_noise_of_their_own():
    drawn = [noise.uniforms(seed, event, 1, (8,)).tobytes() for seed in (0, 1, 2**64 - 1) for event in (0, 1, 2)]
    assert len(set(drawn)) == len(drawn)


@pytest.mark.parametrize("seed", [0, 123_456_789_012_345, 2**64 - 1])
@pytest.mark.parametrize("first_event", [0, 7, noise.OTHER_STREAMS])
def test_short_and_long_streams_are_those_of_numpy(seed, first_event):
    for count in (1, 4, 5, 255, 256, 300):
        for skip in (0, 1, 3, 4, 1_000_003):
            found = noise.uniforms(seed, first_event, 3, (count,), skip)
            for i in range(3):
                counter = np.array([skip // 4, 0, 0, 0], "uint64")
                generator = np.random.Philox(key=np.array([seed, first_event + i], "uint64"), counter=counter)
                bits = generator.random_raw(skip % 4 + count)[skip % 4 :]
                assert np.array_equal(found[i] * 2.0**24, 2.0 * (bits >> np.uint64(41)) + 1.0)


def test_no_events_make_an_empty_array():
    assert noise.uniforms(0, 0, num_events=0, shape=(4, 2)).shape == (0, 4, 2)


# These literals must never change: a seed in somebody's config or paper means them.


def test_uniforms_are_the_same_for_ever():
    def multiples(*arguments):
        return (noise.uniforms(*arguments) * 2.0**24).tolist()

    assert multiples(0, 0, 2, (2,)) == [[193723, 4052523], [13645817, 12605249]]
    assert multiples(2**64 - 1, 7, 1, (4, 1)) == [[[1256295], [14248579], [15609855], [1182353]]]
    assert multiples(3, 0, 1, (2, 2)) == [[[15674651, 1328109], [6422787, 13404403]]]


def test_permutations_are_the_same_for_ever():
    assert noise.permutation(8, seed=0).tolist() == [7, 5, 0, 2, 4, 3, 6, 1]
    assert noise.permutation(8, seed=1).tolist() == [3, 6, 7, 0, 5, 2, 4, 1]


def test_integers_are_the_same_for_ever():
    assert noise.integers(1, 100, count=6, seed=0, stream=0).tolist() == [32, 43, 50, 67, 31, 45]
    assert noise.integers(1, 100, count=6, seed=0, stream=1).tolist() == [35, 53, 10, 15, 10, 18]


def test_integers_fill_their_range_both_ends_included():
    assert np.bincount(noise.integers(2, 4, count=3000, seed=0, stream=0)).tolist() == [0, 0, 1030, 978, 992]
    assert noise.integers(5, 5, count=3, seed=0, stream=0).tolist() == [5, 5, 5]


@pytest.mark.parametrize("seed", [-1, 2**64, 0.5, 1.0, True, "0", [0]])
def test_a_seed_is_an_integer_of_64_bits(seed):
    with pytest.raises(ValueError, match=r"`seed` must be an integer from 0 to 2\*\*64 - 1, or None. Received: seed="):
        noise.check_seed(seed)


def test_every_seed_of_64_bits_makes_noise():
    for seed in (0, 2**63, 2**64 - 1, np.int64(3), np.uint64(2**64 - 1)):
        assert type(noise.check_seed(seed)) is int
        assert noise.uniforms(noise.check_seed(seed), 0, 1, (1, 1)).shape == (1, 1, 1)


def test_a_fresh_seed_follows_the_seed_of_keras():
    keras.utils.set_random_seed(0)
    first, second = noise.check_seed(None), noise.check_seed(None)
    keras.utils.set_random_seed(0)
    assert first == noise.check_seed(None) != second


def test_an_event_goes_on_where_it_was_left():
    whole = noise.uniforms(5, 2, 3, (46,))
    parts = [noise.uniforms(5, 2, 3, (last - first,), skip=first) for first, last in ((0, 1), (1, 10), (10, 46))]
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), whole)


def test_normals_are_normal_and_the_same_for_ever():
    assert noise.normals(3, seed=0).round(6).tolist() == [-0.758908, -0.451862, -1.102895]
    values = noise.normals(20_000, seed=1)
    moments = [np.mean(values**k) for k in (1, 2, 3, 4)]
    np.testing.assert_allclose(moments, [0, 1, 0, 3], atol=0.1)
    assert not np.array_equal(noise.normals(5, seed=1, stream=1), values[:5])


def test_random_weights_depend_on_the_seed_alone():
    layers = [keras.layers.Dense(3) for _ in range(3)]
    for layer, seed in zip(layers, (0, 0, 1), strict=True):
        layer.build((None, 4))
        noise.randomize(layer, seed)
    first, again, other = (layer.get_weights()[0] for layer in layers)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("size", [3, 300])  # short streams are drawn all at once, long ones one by one
def test_streams_may_be_taken_in_any_sequence(size):
    some = np.array([5, 2**40 + 1, 0, 5], "uint64")
    found = noise.of_streams(7, some, (size,), skip=2)
    expected = [noise.uniforms(7, int(stream), 1, (size,), skip=2)[0] for stream in some]
    np.testing.assert_array_equal(found, expected)

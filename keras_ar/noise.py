"""What is random, from integer seeds and Philox's raw bits; only initial weights are Keras' own.

NumPy promises the raw bits of a bit generator across its versions, but not what
`Generator` makes of them. So a seed in a config means the same draws, orderings
and masks for ever, on every backend.
"""

import math
import random

import numpy as np

__all__ = [
    "OTHER_STREAMS",
    "STREAMS_OF_A_DRAW",
    "LongPermutation",
    "check_seed",
    "integers",
    "normals",
    "of_streams",
    "permutation",
    "randomize",
    "uniforms",
]

# Samples use the streams 0, 1, 2, ... of a seed; what scores events by noise uses those from here on, so that an event
# and the noise that scores it are never made of the same numbers.
OTHER_STREAMS = 2**63
# From one draw of an event to the next: event `i` is drawn again by stream `i + STREAMS_OF_A_DRAW`.
STREAMS_OF_A_DRAW = 2**40
# What a model is made of uses streams counted from the other end.
_LAST_STREAM = 2**64 - 1
# Of `LongPermutation`.
_ROUNDS, _ODD = 8, np.uint64(0x9E3779B97F4A7C15)
# Streams of so many numbers are drawn faster one by one than all at once.
_LONG = 256


def check_seed(seed):
    """Returns `seed` as an integer; `None` becomes a fresh one, which follows `keras.utils.set_random_seed`.

    >>> keras_ar.noise.check_seed(7)
    7
    """
    if seed is None:
        return random.getrandbits(63)
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or not 0 <= seed < 2**64:
        raise ValueError(f"`seed` must be an integer from 0 to 2**64 - 1, or None. Received: seed={seed!r}.")
    return int(seed)


def _raw_bits(seed, stream, count, first=0):
    # Philox makes four numbers at each value of its counter.
    counter = np.array([first // 4, 0, 0, 0], dtype="uint64")
    bits = np.random.Philox(key=np.array([seed, stream], dtype="uint64"), counter=counter)
    return bits.random_raw(first % 4 + count)[first % 4 :]


def _raw_bits_of_streams(seed, streams, count, first):
    """What `_raw_bits` makes of each of many streams, in a few operations on whole arrays.

    For short streams, to which NumPy gives more time to set up than to draw.
    """
    # NumPy counts on before it draws.
    counters = np.arange(first // 4 + 1, (first + count + 3) // 4 + 1, dtype="uint64")
    a = np.broadcast_to(counters, (len(streams), len(counters)))
    b = c = d = np.zeros_like(a)
    streams = streams[:, None]
    for i in range(10):  # rounds of Philox 4x64: Salmon et al., 2011
        key = np.uint64((seed + i * 0x9E3779B97F4A7C15) % 2**64)
        key_of_stream = streams + np.uint64(i * 0xBB67AE8584CAA73B % 2**64)
        (high_a, low_a), (high_c, low_c) = _product(0xD2E7470EE14C6C93, a), _product(0xCA5A826395121157, c)
        a, b, c, d = high_c ^ b ^ key, low_c, high_a ^ d ^ key_of_stream, low_a
    bits = np.stack([a, b, c, d], axis=-1).reshape(len(streams), 4 * len(counters))
    return bits[:, first % 4 : first % 4 + count]


def _product(factor, x):
    """The high and the low half of the 128 bits of an integer times each entry of a uint64 array."""
    half, low_half = np.uint64(32), np.uint64(2**32 - 1)
    factor_high, factor_low = np.uint64(factor >> 32), np.uint64(factor % 2**32)
    high, low = x >> half, x & low_half
    crossed = factor_low * high
    middle = (factor_low * low >> half) + (crossed & low_half) + factor_high * low
    return factor_high * high + (crossed >> half) + (middle >> half), np.uint64(factor) * x


def uniforms(seed, first_event, num_events, shape, skip=0):
    """The noise that draws events `first_event, first_event + 1, ...` of a seed.

    Each event has a stream of its own, so it is the same event whatever the
    batch that it is drawn in.

    Args:
        seed: Integer from 0 to 2**64 - 1.
        first_event: Integer, index of the first event.
        num_events: Integer, how many events.
        shape: Tuple of integers, the shape of one event's noise.
        skip: Integer, how many numbers at the beginning of each stream to pass over:
            a sequence may go on for ever. Defaults to `0`.

    Returns:
        float32 array of shape `(num_events, *shape)`, strictly between 0 and 1:
        odd multiples of 2**-24, which float32 holds exactly.

    Example:

    >>> noise = keras_ar.noise.uniforms(seed=0, first_event=0, num_events=3, shape=(5,))
    >>> [round(float(u), 3) for u in noise[2]]
    [0.814, 0.44, 0.3, 0.612, 0.82]
    >>> later = keras_ar.noise.uniforms(seed=0, first_event=2, num_events=1, shape=(2,), skip=3)
    >>> [round(float(u), 3) for u in later[0]]
    [0.612, 0.82]
    """
    streams = np.uint64(first_event) + np.arange(num_events, dtype="uint64")
    return of_streams(seed, streams, shape, skip)


def of_streams(seed, streams, shape, skip=0):
    """The noise of any streams of a seed; event `i` of a seed is drawn by stream `i`.

    Args:
        seed: Integer from 0 to 2**64 - 1.
        streams: uint64 array, the numbers of the streams.
        shape: Tuple of integers, the shape of one stream's noise.
        skip: As in `uniforms`. Defaults to `0`.

    Returns:
        float32 array of shape `(len(streams), *shape)`, as from `uniforms`.

    Example:

    >>> noise = keras_ar.noise.of_streams(seed=0, streams=np.array([2, 7], "uint64"), shape=(2,))
    >>> [round(float(u), 3) for u in noise[0]]
    [0.814, 0.44]
    """
    count = math.prod(shape)
    if count < _LONG:
        bits = _raw_bits_of_streams(seed, streams, count, skip)
    else:
        bits = np.array([_raw_bits(seed, stream, count, skip) for stream in streams.tolist()], "uint64")
    bits = bits.reshape(len(streams), *shape)
    return (((bits >> np.uint64(41)).astype("float64") + 0.5) * 2.0**-23).astype("float32")


def permutation(n, seed):
    """A random permutation of `range(n)`, as an int64 array.

    >>> keras_ar.noise.permutation(8, seed=0).tolist()
    [7, 5, 0, 2, 4, 3, 6, 1]
    """
    return np.argsort(_raw_bits(seed, _LAST_STREAM, n), kind="stable")


class LongPermutation:
    """A random permutation of `range(n)` that takes no memory: entries are computed when they are asked for.

    For data of which even the numbers of the events would fill the memory. It is a Feistel cipher of the bits of a
    number: two halves, one of which is changed in each round by a function of the other, so that each round can be
    undone. What leads out of the range is enciphered again until it is back.

    Args:
        n: Integer, up to 2**62.
        seed: Integer from 0 to 2**64 - 1.

    Example:

    >>> keras_ar.noise.LongPermutation(10**12, seed=0)[np.arange(3)].tolist()
    [728853377414, 93021765658, 372232174144]

    Reference:
        [Black and Rogaway, 2002](https://web.cs.ucdavis.edu/~rogaway/papers/subset.pdf), section 3.
    """

    def __init__(self, n, seed):
        self.n = n
        self._half = np.uint64(max(1, math.ceil((n - 1).bit_length() / 2)))  # bits
        self._keys = _raw_bits(seed, _LAST_STREAM, _ROUNDS)

    def __len__(self):
        return self.n

    def __getitem__(self, indices):
        found = np.asarray(indices, "uint64")
        found = self._enciphered(found)
        while (outside := found >= self.n).any():
            found[outside] = self._enciphered(found[outside])
        return found.astype("int64")

    def _enciphered(self, numbers):
        mask = (np.uint64(1) << self._half) - np.uint64(1)
        left, right = numbers >> self._half, numbers & mask
        for key in self._keys:
            mixed = (right + key) * _ODD  # modulo 2**64: the high bits depend on all the others
            mixed = (mixed ^ (mixed >> np.uint64(32))) * _ODD
            left, right = right, left ^ ((mixed >> np.uint64(32)) & mask)
        return (left << self._half) | right


def integers(low, high, count, seed, stream):
    """`count` integers drawn uniformly from `low` to `high` inclusive; each `stream` of a seed is independent.

    >>> keras_ar.noise.integers(1, 100, count=3, seed=0, stream=0).tolist()
    [32, 43, 50]
    """
    fraction = (_raw_bits(seed, _LAST_STREAM - 1 - stream, count) >> np.uint64(11)).astype("float64") * 2.0**-53
    return low + np.floor(fraction * (high - low + 1)).astype("int64")


def normals(count, seed, stream=0):
    """`count` standard normal numbers, from Philox's raw bits by Box and Muller's formula: a float64 array.

    Example:

    >>> [round(float(z), 3) for z in keras_ar.noise.normals(3, seed=0)]
    [-0.759, -0.452, -1.103]
    """
    bits = _raw_bits(seed, _LAST_STREAM - 1 - stream, 2 * count)
    radius, angle = (((bits >> np.uint64(11)).astype("float64") + 0.5) * 2.0**-53).reshape(2, count)
    return np.sqrt(-2.0 * np.log(radius)) * np.cos(2.0 * math.pi * angle)


def randomize(layer, seed=0):
    """Gives every weight of a layer or model random values, of about the size that trained weights have.

    For looking at what an architecture can do: fresh weights may be zero, and hide it.

    Args:
        layer: A Keras layer or model.
        seed: Integer. Defaults to `0`.

    Example:

    >>> model = keras_ar.models.FVSBN(3)
    >>> keras_ar.noise.randomize(model)
    >>> bool(model.get_weights()[0].any())
    True
    """
    for stream, variable in enumerate(layer.trainable_variables):
        inputs = math.prod(variable.shape[:-1])
        size = 1.0 / math.sqrt(inputs) if len(variable.shape) > 1 and inputs else 0.5
        values = normals(math.prod(variable.shape), seed, stream).reshape(variable.shape)
        variable.assign((values * size).astype("float32"))

"""What is random, from integer seeds and Philox's raw bits; only initial weights are Keras' own.

NumPy promises the raw bits of a bit generator across its versions, but not what
`Generator` makes of them. So a seed in a config means the same draws, orderings
and masks for ever, on every backend.
"""

import math
import random

import numpy as np

# Events use the streams 0, 1, 2, ... of a seed; what a model is made of uses streams counted from the other end.
_LAST_STREAM = 2**64 - 1


def check_seed(seed):
    """Returns `seed` as an integer; `None` becomes a fresh one, which follows `keras.utils.set_random_seed`."""
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


def uniforms(seed, first_event, num_events, num_steps, num_uniforms, first_step=0):
    """The noise that draws events `first_event, first_event + 1, ...` of a seed.

    Each event has a stream of its own, so it is the same event whatever the
    batch that it is drawn in.

    Args:
        seed: Integer from 0 to 2**64 - 1.
        first_event: Index of the first event.
        num_events: How many events.
        num_steps: Steps in an event.
        num_uniforms: Uniforms that a step consumes.
        first_step: Index of the first step; an event may go on for ever.

    Returns:
        float32 array of shape `(num_steps, num_events, num_uniforms)`, strictly
        between 0 and 1: odd multiples of 2**-24, which float32 holds exactly.

    Example:

    >>> noise = keras_ar.noise.uniforms(seed=0, first_event=0, num_events=3, num_steps=5, num_uniforms=1)
    >>> later = keras_ar.noise.uniforms(seed=0, first_event=2, num_events=1, num_steps=5, num_uniforms=1)
    >>> bool((noise[:, 2:] == later).all())
    True
    >>> rest = keras_ar.noise.uniforms(0, 0, num_events=3, num_steps=2, num_uniforms=1, first_step=3)
    >>> bool((noise[3:] == rest).all())
    True
    """
    count, first = num_steps * num_uniforms, first_step * num_uniforms
    bits = [_raw_bits(seed, first_event + i, count, first) for i in range(num_events)]
    bits = np.reshape(bits, (num_events, num_steps, num_uniforms)).astype("uint64", copy=False)
    centred = ((bits >> np.uint64(41)).astype("float64") + 0.5) * 2.0**-23
    return np.ascontiguousarray(centred.transpose(1, 0, 2), dtype="float32")


def permutation(n, seed):
    """A random permutation of `range(n)`, as an int64 array."""
    return np.argsort(_raw_bits(seed, _LAST_STREAM, n), kind="stable")


def integers(low, high, count, seed, stream):
    """`count` integers drawn uniformly from `low` to `high` inclusive; each `stream` of a seed is independent."""
    fraction = (_raw_bits(seed, _LAST_STREAM - 1 - stream, count) >> np.uint64(11)).astype("float64") * 2.0**-53
    return low + np.floor(fraction * (high - low + 1)).astype("int64")


def randomise(layer, seed=0):
    """Gives every weight of a layer or model random values, of about the size that trained weights have.

    For looking at what an architecture can do: fresh weights may be zero, and hide it.
    """
    rng = np.random.default_rng(seed)
    for variable in layer.trainable_variables:
        inputs = math.prod(variable.shape[:-1])
        size = 1.0 / math.sqrt(inputs) if len(variable.shape) > 1 and inputs else 0.5
        variable.assign(rng.normal(size=variable.shape).astype("float32") * size)

"""What a layer sees: found by changing its inputs."""

import numpy as np
from keras import ops

from keras_ar import backend, noise

__all__ = ["sees_earlier", "sees_later"]

_MOST_POSITIONS, _MOST_NUMBERS = 32, 2**23  # that are tried


def sees_later(layer, shape):
    """A position whose output changes with the inputs at later positions, in raster order; `None` if there is none.

    The layer is tried with random weights, and gets its own back.

    Args:
        layer: A Keras layer that is built.
        shape: Tuple, the shape of one input, `(*positions, features)`.

    Example:

    >>> layer = keras.layers.Conv1D(2, 3, padding="same")
    >>> layer.build((None, 5, 4))
    >>> keras_ar.layers.sees_later(layer, (5, 4))
    (0,)
    """
    return _sees(layer, shape, lambda positions, tried: positions > tried)


def sees_earlier(layer, shape):
    """A position whose output changes with the inputs at earlier positions; `None` if there is none.

    Args:
        layer: A Keras layer that is built.
        shape: Tuple, the shape of one input, `(*positions, features)`.

    Example:

    >>> layer = keras.layers.Dense(2)
    >>> layer.build((None, 5, 4))
    >>> keras_ar.layers.sees_earlier(layer, (5, 4)) is None
    True
    """
    return _sees(layer, shape, lambda positions, tried: positions < tried)


def _sees(layer, shape, others):
    *positions, num_features = shape
    num_positions = int(np.prod(positions))
    most = min(num_positions, _MOST_POSITIONS, max(4, _MOST_NUMBERS // (num_positions * num_features)))
    tried = np.unique(np.linspace(0, num_positions - 1, most).round().astype(int))
    rng = np.random.default_rng(0)
    x, other = rng.normal(size=(2, 1, num_positions, num_features)).astype("float32")
    changes = others(np.arange(num_positions), tried[:, None])[..., None]  # (tried, positions, 1)
    batch = np.concatenate([x, np.where(changes, other, x)]).reshape(-1, *shape)

    weights = layer.get_weights()
    noise.randomize(layer)
    try:
        y = ops.convert_to_numpy(backend.once(lambda x: layer(x), batch, owner=layer))
    finally:
        layer.set_weights(weights)
    y = y.reshape(len(batch), num_positions, -1)
    rows = np.arange(len(tried))
    error = np.abs(y[1 + rows, tried] - y[0, tried]).max(axis=-1)
    wrong = ~(error <= 1e-4 * (1 + np.abs(y[0]).max()))
    return tuple(int(i) for i in np.unravel_index(tried[wrong.argmax()], positions)) if wrong.any() else None

"""Keras' GRU, which can step."""

import keras

from keras_ar.layers.causal_rnn import CausalRNN

__all__ = ["CausalGRU"]


@keras.saving.register_keras_serializable(package="keras_ar")
class CausalGRU(CausalRNN):
    """A layer of gated recurrent units: `keras.layers.GRU`, whose cell computes one step.

    Args:
        units: Integer, number of units.
        strict: Boolean, whether to hide each time from itself. Defaults to `False`.
        **kwargs: Initializers, regularizers and constraints, as in `keras.layers.GRU`; `name` and `dtype`.

    Call arguments:
        inputs: Tensor of shape `(batch, length, channels)`.

    Returns:
        Tensor of shape `(batch, length, units)`.

    Example:

    >>> layer = keras_ar.layers.CausalGRU(units=4, recurrent_initializer="glorot_uniform")
    >>> tuple(layer(np.ones((1, 6, 3))).shape)
    (1, 6, 4)

    Reference:
        [Cho et al., 2014](https://arxiv.org/abs/1406.1078).
    """

    def make(self, units, **kwargs):
        return keras.layers.GRU(units, **kwargs)

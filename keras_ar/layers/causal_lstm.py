"""Keras' LSTM, which can step."""

import keras

from keras_ar.layers.causal_rnn import CausalRNN

__all__ = ["CausalLSTM"]


@keras.saving.register_keras_serializable(package="keras_ar")
class CausalLSTM(CausalRNN):
    """A layer of long short-term memory: `keras.layers.LSTM`, whose cell computes one step.

    Args:
        units: Integer, number of units.
        strict: Boolean, whether to hide each time from itself. Defaults to `False`.
        **kwargs: Initializers, regularizers and constraints, as in `keras.layers.LSTM`; `name` and `dtype`.

    Call arguments:
        inputs: Tensor of shape `(batch, length, channels)`.

    Returns:
        Tensor of shape `(batch, length, units)`.

    Example:

    >>> layer = keras_ar.layers.CausalLSTM(units=4, recurrent_regularizer="l2")
    >>> tuple(layer(np.ones((1, 6, 3))).shape)
    (1, 6, 4)

    Reference:
        [Hochreiter & Schmidhuber, 1997](https://doi.org/10.1162/neco.1997.9.8.1735).
    """

    def make(self, units, **kwargs):
        # On JAX the LSTM of cuDNN knows no bfloat16.
        use_cudnn = False if self.compute_dtype == "bfloat16" else "auto"
        return keras.layers.LSTM(units, use_cudnn=use_cudnn, **kwargs)

"""Each position is given what the one before it had."""

import math

import keras
from keras import ops

from keras_ar.layers.causal_layer import CausalLayer

__all__ = ["Shift"]


@keras.saving.register_keras_serializable(package="keras_ar")
class Shift(CausalLayer):
    """Moves every position to the next one, in raster order; the first is given zeros.

    With this layer first, all others may see their own position, as Transformers do.

    Args:
        **kwargs: `name` and `dtype`.

    Call arguments:
        inputs: Tensor of shape `(batch, *positions, features)`.

    Returns:
        Tensor of the shape of `inputs`.

    Example:

    >>> layer = keras_ar.layers.Shift()
    >>> np.array(layer(np.array([[[1.0], [2.0], [3.0]]]))).ravel().tolist()
    [0.0, 1.0, 2.0]
    """

    strict = True

    def call(self, inputs):
        positions = inputs.shape[1:-1]
        x = ops.cast(inputs, self.compute_dtype)
        if len(positions) > 1:
            x = ops.reshape(x, (-1, math.prod(positions), x.shape[-1]))
        x = ops.pad(x[:, :-1], [[0, 0], [1, 0], [0, 0]])
        return ops.reshape(x, (-1, *positions, x.shape[-1])) if len(positions) > 1 else x

    def step(self, constants, state, t, x):
        x = ops.cast(x, self.compute_dtype)
        return ops.where(t > 0, x, ops.zeros_like(x)), state

    def prefill(self, constants, state, inputs):
        return ops.pad(ops.cast(inputs[:, :-1], self.compute_dtype), [[0, 0], [1, 0], [0, 0]]), state

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

"""Any Keras layer that treats every position alike, as a causal layer."""

import keras
from keras import ops

from keras_ar import registry
from keras_ar.layers.causal_layer import CausalLayer

__all__ = ["PositionWise", "is_position_wise"]

# These compute the same for `(batch, features)` as for `(batch, 1, features)`, and faster.
_OF_ANY_RANK = (
    keras.layers.Activation,
    keras.layers.Dense,
    keras.layers.Dropout,
    keras.layers.ELU,
    keras.layers.GaussianNoise,
    keras.layers.Identity,
    keras.layers.LeakyReLU,
    keras.layers.ReLU,
    keras.layers.Rescaling,
)
# These do so where they work on the last axis alone.
_OF_FEATURES = (keras.layers.LayerNormalization, keras.layers.RMSNormalization, keras.layers.Softmax)


def is_position_wise(layer):
    """Whether a layer of Keras is known to treat every position alike, and alone.

    Args:
        layer: A Keras layer.

    Example:

    >>> keras_ar.layers.is_position_wise(keras.layers.Dense(3))
    True
    >>> keras_ar.layers.is_position_wise(keras.layers.Conv1D(3, 2))
    False
    """
    if type(layer) in _OF_FEATURES:
        return layer.axis in (-1, [-1])
    return type(layer) in _OF_ANY_RANK


@keras.saving.register_keras_serializable(package="keras_ar")
class PositionWise(CausalLayer):
    """Runs a Keras layer that treats every position alike, and alone, one position at a time.

    `Dense`, activations, `Dropout`, `LayerNormalization` over features, `EinsumDense`, `PReLU`
    with shared axes, …: what such a layer gives at a position depends on nothing else. `CausalSequential` wraps
    those that are known to be so (`is_position_wise`); of any other layer it is for the user to know.

    Args:
        layer: A Keras layer, its name in `keras_ar.layers`, or its config.
        **kwargs: `name` and `dtype`.

    Call arguments:
        inputs: Tensor of shape `(batch, *positions, features)`.

    Returns:
        Tensor of shape `(batch, *positions, units)`.

    Example:

    >>> layer = keras_ar.layers.PositionWise(keras.layers.Dense(3))
    >>> tuple(layer(np.ones((2, 6, 4))).shape)
    (2, 6, 3)
    """

    def __init__(self, layer, **kwargs):
        layer = registry.get("layers", layer)
        kwargs = {"name": layer.name, "dtype": layer.dtype_policy, **kwargs}
        super().__init__(**kwargs)
        self.layer = layer

    def build(self, input_shape):
        if not self.layer.built:
            self.layer.build(input_shape)
        self._num_axes = len(input_shape) - 2  # of positions

    def call(self, inputs, training=None):
        # Keras hands `training` to the layers below by itself.
        return ops.cast(self.layer(inputs), self.compute_dtype)

    def step(self, constants, state, t, x):
        if type(self.layer) in _OF_ANY_RANK:
            return self(x), state
        axes = tuple(range(1, 1 + self._num_axes))
        return ops.squeeze(self(ops.expand_dims(x, axes)), axes), state

    def prefill(self, constants, state, inputs):
        if self._num_axes == 1:
            return self(inputs), state
        axes = tuple(range(1, self._num_axes))
        return ops.squeeze(self(ops.expand_dims(inputs, axes)), axes), state

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.layer.compute_output_shape(input_shape)[-1])

    def get_config(self):
        return {**super().get_config(), "layer": keras.saving.serialize_keras_object(self.layer)}

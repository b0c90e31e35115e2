"""A chain of causal layers, and a way around it."""

import keras
from keras import ops

from keras_ar import registry
from keras_ar.layers.causal_layer import CausalLayer
from keras_ar.layers.position_wise import PositionWise, is_position_wise

__all__ = ["Residual"]


@keras.saving.register_keras_serializable(package="keras_ar")
class Residual(CausalLayer):
    """Adds what a chain of causal layers makes of its inputs to the inputs.

    Args:
        layers: List of causal layers that see their own position, and of Keras layers that treat every position alike.
            The last one gives as many features as the inputs have.
        **kwargs: `name` and `dtype`; the layers keep their own.

    Call arguments:
        inputs: Tensor of shape `(batch, *positions, features)`.

    Returns:
        Tensor of the shape of `inputs`.

    Example:

    >>> block = keras_ar.layers.Residual([keras.layers.LayerNormalization(), keras_ar.layers.CausalAttention(8, 2)])
    >>> tuple(block(np.ones((1, 5, 8))).shape)
    (1, 5, 8)
    """

    def __init__(self, layers, **kwargs):
        super().__init__(**kwargs)
        if not isinstance(layers, list | tuple) or not layers:
            raise ValueError(f"`layers` must be a list of layers. Received: layers={layers!r}.")
        self.chain = [_causal(layer) for layer in layers]
        if strict := [layer.name for layer in self.chain if layer.strict]:
            raise ValueError(f"`layers` must see their own position, which goes around them. Received: {strict}.")
        if len({layer.by_row for layer in self.chain}) > 1:
            raise ValueError("`layers` must all step row by row, or all position by position. Received some of each.")

    @property
    def by_row(self):
        """Whether the layers step row by row."""
        return self.chain[0].by_row

    @property
    def steppable(self):
        return all(layer.steppable for layer in self.chain)

    def build(self, input_shape):
        shape = tuple(input_shape)
        for layer in self.chain:
            if not layer.built:
                layer.build(shape)
            shape = tuple(layer.compute_output_shape(shape))
        if shape[1:] != tuple(input_shape[1:]):
            raise ValueError(
                f"`layers` must give the shape of the inputs, {tuple(input_shape[1:])} without the batch. "
                f"Received layers that give {shape[1:]}."
            )

    def call(self, inputs, training=None):
        h = inputs = ops.cast(inputs, self.compute_dtype)
        for layer in self.chain:
            h = layer(h, training=training)
        return inputs + h

    def prepare(self, condition=None):
        return [layer.prepare(condition) for layer in self.chain]

    def start(self, batch_size, num_steps):
        return [layer.start(batch_size, num_steps) for layer in self.chain]

    def step(self, constants, state, t, x):
        h, states = x, []
        for layer, of_layer, layer_state in zip(self.chain, constants, state, strict=True):
            h, layer_state = layer.step(of_layer, layer_state, t, h)
            states.append(layer_state)
        return ops.cast(x, self.compute_dtype) + h, states

    def prefill(self, constants, state, inputs):
        h, states = inputs, []
        for layer, of_layer, layer_state in zip(self.chain, constants, state, strict=True):
            h, layer_state = layer.prefill(of_layer, layer_state, h)
            states.append(layer_state)
        return ops.cast(inputs, self.compute_dtype) + h, states

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def get_config(self):
        return {**super().get_config(), "layers": [keras.saving.serialize_keras_object(layer) for layer in self.chain]}


def _causal(layer):
    layer = registry.get("layers", layer)
    if is_position_wise(layer):
        return PositionWise(layer)
    if not isinstance(layer, CausalLayer):
        raise ValueError(
            f"`layers` must be causal layers, or layers of Keras that treat every position alike. Received: "
            f"{layer.name}. If it treats positions alike, wrap it by `PositionWise`."
        )
    return layer

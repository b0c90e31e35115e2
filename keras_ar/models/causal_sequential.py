"""CausalSequential: a chain of causal layers as a model."""

import math

import keras
import numpy as np
from keras import ops

from keras_ar import registry
from keras_ar.autoregressive import AutoregressiveModel
from keras_ar.layers import CausalLayer, MaskedConv2D, PositionWise, is_position_wise, sees_earlier, sees_later

__all__ = ["CausalSequential"]


@keras.saving.register_keras_serializable(package="keras_ar")
class CausalSequential(AutoregressiveModel):
    """A chain of causal layers, exactly one of which hides each position from itself.

    The layers see the encoded event with its positions first and features last,
    `(batch, *positions, features)`: a trailing axis of one channel, or of the
    channels that the head draws together, holds the features; otherwise
    there is one. A last `Dense` layer makes the head's parameters. A condition enters as
    a learned bias after the layer that hides each position from itself. Positions
    come in raster order.

    Args:
        event_shape: Integer or tuple, the shape of one event.
        layers: List of causal layers, and of Keras layers that treat every position alike. Exactly one of them
            is strict (mask type A). With a Keras layer that is neither a `CausalLayer` nor known to be position-wise,
            such as `Conv1D(padding="causal")`, the model scores, but cannot sample stepwise; wrap it by
            `PositionWise` if it treats positions alike. Of such layers it is tried out that they do not see
            later positions, and of what is wrapped that it sees no other ones.
        head: Name, instance, class or config of a head. Defaults to `"bernoulli"`.
        condition_shape: Integer or tuple, the shape of the condition of one event, or `None`. Defaults to `None`.
        num_classes: Integer, the number of classes that a condition may be, or `None`. Defaults to `None`.
        **kwargs: `name` and `dtype`; the layers keep their own.

    Example:

    >>> model = keras_ar.models.CausalSequential(
    ...     (8, 8, 1), layers=[keras_ar.layers.MaskedConv2D(16, 5, mask_type="A"), keras.layers.ReLU()])
    >>> model.sample(2, seed=0).shape
    (2, 8, 8, 1)
    """

    def __init__(self, event_shape, *, layers, head="bernoulli", condition_shape=None, num_classes=None, **kwargs):
        super().__init__(event_shape, head=head, condition_shape=condition_shape, num_classes=num_classes, **kwargs)
        if not isinstance(layers, list | tuple):
            raise ValueError(f"`layers` must be a list of layers. Received: layers={layers!r}.")
        self.chain = [_causal(layer) for layer in layers]
        self._strict_index = self._find_strict()

        # The shape that the layers see: positions, then features.
        has_channels = self.step_size > 1 or (len(self.event_shape) > 1 and self.event_shape[-1] == 1)
        positions = self.position_shape
        if has_channels and self.step_size == 1:
            positions = positions[:-1]
        self._inner_shape = (*positions, self.num_features)

        shape = (None, *self._inner_shape)
        for i, layer in enumerate(self.chain):
            shape = self._build_layer(layer, shape)
            if i == self._strict_index and self.condition_shape:
                # One for each feature; and for each color, where these come one after the other.
                self._bias_shape = (*self._inner_shape[2:-1], shape[-1])
                self.condition_bias = keras.layers.Dense(
                    math.prod(self._bias_shape), use_bias=False, dtype=layer.dtype_policy, name="condition_bias"
                )
        self.to_params = self._make_to_params()

    def _find_strict(self):
        causal = [layer for layer in self.chain if isinstance(layer, CausalLayer)]
        strict = [i for i, layer in enumerate(self.chain) if layer in causal and layer.strict]
        if len(strict) != 1:
            raise ValueError(
                "`layers` must have exactly one strict layer (mask type A), which hides each position from itself. "
                f"Received {len(strict)} of them in {[layer.name for layer in self.chain]}."
            )
        by_row = [layer.name for layer in causal if layer.by_row]
        if by_row:
            raise ValueError(f"`layers` must not see a row of an image as a whole. Received such layers: {by_row}.")
        return strict[0]

    def _build_layer(self, layer, shape):
        """Builds a layer for inputs of that shape, and returns the shape of its outputs."""
        try:
            if not layer.built:
                layer.build(shape)
            output_shape = layer.compute_output_shape(shape)
        except (NotImplementedError, TypeError) as error:
            raise ValueError(
                f"`layers` must be built from the shape of one input, here {shape}, and say by `compute_output_shape` "
                f"what they make of it. {layer.name} cannot: {error}"
            ) from error
        if len(output_shape) != len(shape) or tuple(output_shape[1:-1]) != shape[1:-1]:
            raise ValueError(
                f"`layers` must keep the positions as they are, {shape[1:-1]}. Received: {layer.name}, which gives "
                f"the shape {output_shape} for inputs of shape {shape}."
            )
        self._check_sight(layer, shape[1:])
        return tuple(output_shape)

    def _check_sight(self, layer, shape):
        """Tries a layer that is not known to be causal or position-wise."""
        is_wrapped = isinstance(layer, PositionWise)
        if is_position_wise(layer.layer) if is_wrapped else isinstance(layer, CausalLayer):
            return
        position = sees_later(layer, shape)
        if position is not None:
            raise ValueError(
                f"`layers` must not see what comes later. Received: {layer.name}, whose output at position {position} "
                f"changes with inputs at later positions. A convolution needs `padding='causal'` or a mask, a "
                f"recurrent layer runs forward only, a normalization is over features."
            )
        position = sees_earlier(layer, shape) if is_wrapped else None
        if position is not None:
            raise ValueError(
                f"`PositionWise` must hold a layer that treats each position alone. Received: {layer.name}, whose "
                f"output at position {position} changes with inputs at earlier positions. Remove `PositionWise`."
            )

    def _make_to_params(self):
        options = {"dtype": self.dtype_policy, "name": "to_params"}
        if len(self._inner_shape) < 4:
            return PositionWise(keras.layers.Dense(self.head.num_params, **options), **options)
        # Colors that come one after the other: each has parameters of its own, and sees those before it.
        num_colors = self._inner_shape[2]
        return MaskedConv2D(num_colors * self.head.num_params, 1, num_colors=num_colors, **options)

    def call(self, x, condition=None, training=None):
        h = ops.reshape(self.head.encode_draws(x), (-1, *self._inner_shape))  # (batch, *positions, features)
        for i, layer in enumerate(self.chain):
            h = layer(h, training=training)
            if i == self._strict_index and condition is not None:
                ones = (1 for _ in h.shape[1 : -len(self._bias_shape)])
                h = h + ops.reshape(self._bias_from(condition), (-1, *ones, *self._bias_shape))
        return ops.reshape(self.to_params(h), (-1, *self.position_shape, self.head.num_params))

    def _bias_from(self, condition):
        return self.condition_bias(self.flat_condition(condition))

    # One step at a time: each layer's own.

    @property
    def steppable(self):
        # Ahead of the strict layer a step runs one position late: only layers that do not count positions can.
        ahead, others = self.chain[: self._strict_index], self.chain[self._strict_index :]
        return all(isinstance(layer, PositionWise) for layer in ahead) and all(
            isinstance(layer, CausalLayer) and layer.steppable for layer in others
        )

    def prepare(self, condition=None):
        layers = [layer.prepare() for layer in (*self.chain, self.to_params)]
        if condition is None:
            return {"layers": layers}
        num_colors, num_features = math.prod(self._bias_shape[:-1]), self._bias_shape[-1]
        return {"layers": layers, "bias": ops.reshape(self._bias_from(condition), (-1, num_colors, num_features))}

    def start(self, batch_size, num_steps):
        return [layer.start(batch_size, num_steps) for layer in (*self.chain, self.to_params)]

    def step(self, constants, state, t, previous):
        h = self.encode_previous(previous, t)  # (batch, features)
        states = []
        for i, layer in enumerate((*self.chain, self.to_params)):
            h, layer_state = layer.step(constants["layers"][i], state[i], t, h)
            states.append(layer_state)
            if i == self._strict_index and "bias" in constants:
                h = h + constants["bias"][:, t % constants["bias"].shape[1]]
        return h, states

    @property
    def has_prefill(self):
        # Where a layer has none of its own, a loop of steps of all layers is as good.
        return all(
            isinstance(layer, CausalLayer) and type(layer).prefill is not CausalLayer.prefill for layer in self.chain
        )

    def prefill(self, constants, state, values):
        if not self.has_prefill:
            return super().prefill(constants, state, values)
        h = self.encode_first_steps(values)  # (batch, steps, features)
        states = []
        for i, layer in enumerate((*self.chain, self.to_params)):
            h, layer_state = layer.prefill(constants["layers"][i], state[i], h)
            states.append(layer_state)
            if i == self._strict_index and "bias" in constants:
                h = h + ops.take(constants["bias"], np.arange(h.shape[1]) % constants["bias"].shape[1], axis=1)
        return h, states

    def get_config(self):
        config = super().get_config()
        del config["ordering"]  # raster order, always
        return {**config, "layers": [keras.saving.serialize_keras_object(layer) for layer in self.chain]}


def _causal(layer):
    layer = registry.get("layers", layer)
    return PositionWise(layer) if is_position_wise(layer) else layer

"""Factorized: every value by itself, given a condition."""

import math

import keras
import numpy as np
from keras import ops

from keras_ar import arguments, backend
from keras_ar.autoregressive import AutoregressiveModel

__all__ = ["Factorized"]


@keras.saving.register_keras_serializable(package="keras_ar")
class Factorized(AutoregressiveModel):
    """Values that say nothing of each other: each has its own distribution, given the condition if there is one.

    Without a condition it is the baseline that every other model must beat, the frequencies of the columns of a table.
    With one it is a decoder, `p(x | z)` of a latent variable, a conditional base of a flow, or a classifier.

    Args:
        event_shape: Integer or tuple, the shape of one event.
        hidden_units: Integer or tuple, number of units of each hidden layer of the network that the condition goes
            through; `()` for a linear one. Defaults to `()`.
        activation: Activation of the hidden units. Defaults to `"relu"`.
        dropout: Float in [0, 1). Dropout rate after each hidden layer, active in training. Defaults to `0.0`.
        network: Keras layer from conditions to the parameters of all values, `(batch, *event_shape, num_params)` or
            anything with as many entries in this order, in place of hidden layers: transposed convolutions, mostly.
            Defaults to `None`.
        head: Name, instance, class or config of a head. Defaults to `"bernoulli"`.
        condition_shape: Integer or tuple, the shape of the condition of one event, or `None`. Defaults to `None`.
        num_classes: Integer, the number of classes that a condition may be, or `None`. Defaults to `None`.
        **kwargs: `name` and `dtype`.

    Example:

    >>> decoder = keras_ar.models.Factorized((4, 4, 1), hidden_units=16, condition_shape=2)
    >>> decoder.sample(3, condition=np.zeros(2), seed=0).shape
    (3, 4, 4, 1)

    With a network of your own:

    >>> layers = keras.layers
    >>> network = keras.Sequential(
    ...     [layers.Dense(8), layers.Reshape((2, 2, 2)), layers.Conv2DTranspose(1, 3, strides=2, padding="same")]
    ... )
    >>> decoder = keras_ar.models.Factorized((4, 4, 1), network=network, condition_shape=2)
    >>> decoder.sample(3, condition=np.zeros(2), seed=0).shape
    (3, 4, 4, 1)
    """

    def __init__(
        self,
        event_shape,
        *,
        hidden_units=(),
        activation="relu",
        dropout=0.0,
        network=None,
        head="bernoulli",
        condition_shape=None,
        num_classes=None,
        **kwargs,
    ):
        # Check and store.
        super().__init__(event_shape, head=head, condition_shape=condition_shape, num_classes=num_classes, **kwargs)
        self.hidden_units = arguments.integers(hidden_units, "hidden_units") if np.size(hidden_units) else ()
        if self.hidden_units and not self.condition_shape:
            raise ValueError(
                f"`hidden_units` must be () for a model without a condition, which has nothing to compute from. "
                f"Received: hidden_units={hidden_units!r}."
            )
        self.activation = keras.activations.get(activation)
        self.dropout = arguments.rate(dropout, "dropout")
        self.network = keras.saving.deserialize_keras_object(network) if isinstance(network, dict) else network
        self.network_config = None
        if network is not None:
            self._check_network()
            self.network_config = keras.saving.serialize_keras_object(self.network)  # as it was before it was built

        # Layers.
        dtype = {"dtype": self.dtype_policy}
        num_outputs = self.num_steps * self.head.num_params
        if not self.condition_shape:
            self.params = self.add_weight((num_outputs,), "zeros", name="params")
        self.hidden = [
            keras.layers.Dense(units, name=f"hidden_{i}", **dtype) for i, units in enumerate(self.hidden_units)
        ]
        self.dropout_layers = [keras.layers.Dropout(dropout, **dtype) for _ in self.hidden_units]
        if self.network is not None:
            self._build_network(num_outputs)
        elif self.condition_shape:
            self.output_layer = keras.layers.Dense(num_outputs, name="output", **dtype)

    def _check_network(self):
        if not isinstance(self.network, keras.layers.Layer):
            raise ValueError(f"`network` must be a Keras layer. Received: network={self.network!r}.")
        if not self.condition_shape:
            raise ValueError(
                f"`network` must be None for a model without a condition, which has nothing to compute from. "
                f"Received: network={self.network.name}."
            )
        if self.hidden_units or self.dropout or self.activation is not keras.activations.relu:
            raise ValueError(
                f"`network` must be None where `hidden_units`, `dropout` or `activation` describe one. Received: "
                f"network={self.network.name}, hidden_units={self.hidden_units}, dropout={self.dropout}, "
                f"activation={self.activation.__name__}."
            )

    def _build_network(self, num_outputs):
        found = backend.output_shape(self.network, self.condition_shape)
        if math.prod(found) != num_outputs:
            raise ValueError(
                f"`network` must return {num_outputs} parameters for an event, {self.head.num_params} for each value. "
                f"Received: outputs of shape {found}, {math.prod(found)} entries."
            )

    def call(self, x, condition=None, training=None):
        params = self._params(condition, training)
        params = ops.broadcast_to(params, (ops.shape(x)[0], *params.shape[1:]))
        return ops.reshape(params, (-1, *self.position_shape, self.head.num_params))

    def _params(self, condition, training=None):
        """The parameters of all positions, `(1 or batch, positions, num_params)`."""
        if condition is None:
            params = ops.cast(ops.expand_dims(ops.convert_to_tensor(self.params), 0), self.compute_dtype)
        elif self.network is not None:
            params = self.network(ops.cast(condition, self.compute_dtype))
        else:
            h = self.flat_condition(condition)
            for layer, dropout in zip(self.hidden, self.dropout_layers, strict=True):
                h = dropout(self.activation(layer(h)), training=training)
            params = self.output_layer(h)
        return ops.reshape(params, (-1, self.num_steps, self.head.num_params))

    # One value at a time: all parameters are known from the beginning.

    def prepare(self, condition=None):
        return (self._params(condition),)

    def start(self, batch_size, num_steps):
        return ops.zeros((batch_size, 1), self.compute_dtype)

    def step(self, constants, state, t, previous):
        return constants[0][:, t] + state, state  # adds the axis of the batch

    def get_config(self):
        config = super().get_config()
        del config["ordering"]  # any order is the same
        return {
            **config,
            "hidden_units": self.hidden_units,
            "activation": keras.activations.serialize(self.activation),
            "dropout": self.dropout,
            "network": self.network_config,
        }

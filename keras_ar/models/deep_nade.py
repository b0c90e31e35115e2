"""DeepNADE: one network that answers for every set of known values. https://proceedings.mlr.press/v32/uria14.html"""

import keras
from keras import ops

from keras_ar import arguments
from keras_ar.any_order import AnyOrderModel

__all__ = ["DeepNADE"]


@keras.saving.register_keras_serializable(package="keras_ar")
class DeepNADE(AnyOrderModel):
    """Deep, order-agnostic NADE: a dense network over what is known, and which values these are.

    It scores and draws in any order, and given any set of known values. Scores of several orders mixed,
    `score_samples(x, num_orderings=16)`, are those of EoNADE.

    With one hidden layer, a draw or a score in one order costs the arithmetic of about one pass: a value adds a row to
    what the hidden units sum up. Each deeper layer is computed again for each value.

    Values may be missing in training, as NaN, if they are missing at random: whether one is missing must say nothing of
    it that the others do not say.

    Args:
        event_shape: Integer or tuple, the shape of one event; an image is flattened inside.
        hidden_units: Integer or tuple, number of units of each hidden layer. Defaults to `(500,)`.
        activation: Activation of the hidden units. Defaults to `"relu"`.
        direct: Boolean, whether the outputs also see the inputs by direct, linear connections. Defaults to `False`.
        dropout: Float in [0, 1). Dropout rate after each hidden layer, active in training. Defaults to `0.0`.
        head: Name, instance, class or config of a head. Defaults to `"bernoulli"`.
        ordering: In which order positions are taken unless another one is asked for; see `keras_ar.orderings`.
            Defaults to `None`, the natural order.
        condition_shape: Integer or tuple, the shape of the condition of one event, or `None`. Defaults to `None`.
        num_classes: Integer, the number of classes that a condition may be, or `None`. Defaults to `None`.
        seed: Integer, the seed of what is hidden in training, and of `ordering="random"`. Defaults to `0`.
        **kwargs: `name` and `dtype`.

    Example:

    >>> model = keras_ar.models.DeepNADE(event_shape=(4, 4), hidden_units=(32, 32))
    >>> image = np.zeros((1, 4, 4))
    >>> image[0, 1:3, 1:3] = np.nan  # a hole
    >>> model.complete(image, num_draws=5, seed=0).shape
    (5, 1, 4, 4)

    Reference:
        [Uria, Murray & Larochelle, 2014](https://proceedings.mlr.press/v32/uria14.html).
    """

    def __init__(
        self,
        event_shape,
        *,
        hidden_units=(500,),
        activation="relu",
        direct=False,
        dropout=0.0,
        head="bernoulli",
        ordering=None,
        condition_shape=None,
        num_classes=None,
        seed=0,
        **kwargs,
    ):
        # Check and store.
        super().__init__(
            event_shape,
            head=head,
            ordering=ordering,
            condition_shape=condition_shape,
            num_classes=num_classes,
            seed=seed,
            **kwargs,
        )
        self.hidden_units = arguments.integers(hidden_units, "hidden_units")
        self.activation = keras.activations.get(activation)
        self.direct = arguments.boolean(direct, "direct")
        self.dropout = arguments.rate(dropout, "dropout")

        # Layers.
        dtype = {"dtype": self.dtype_policy}
        num_outputs = self.num_steps * self.head.num_params
        self.hidden = [
            keras.layers.Dense(units, name=f"hidden_{i}", **dtype) for i, units in enumerate(self.hidden_units)
        ]
        self.dropout_layers = [keras.layers.Dropout(dropout, **dtype) for _ in self.hidden_units]
        self.output_layer = keras.layers.Dense(num_outputs, name="output", **dtype)
        if direct:
            self.direct_layer = keras.layers.Dense(num_outputs, use_bias=False, name="direct", **dtype)
        if self.condition_shape:
            self.condition_bias = keras.layers.Dense(
                self.hidden_units[0], use_bias=False, name="condition_bias", **dtype
            )

    def conditionals(self, x, known, condition=None, training=None):
        inputs = self._inputs(x, known)
        h = self.hidden[0](inputs)
        if condition is not None:
            h = h + self.condition_bias(self.flat_condition(condition))
        h = self.dropout_layers[0](self.activation(h), training=training)
        params = self.output_layer(self._deeper(h, training))
        if self.direct:
            params = params + self.direct_layer(inputs)
        return ops.reshape(params, (-1, *self.position_shape, self.head.num_params))

    def _inputs(self, x, known):
        """`(batch, positions * (num_features + 1))`: of each position what it holds, and whether that is known."""
        return ops.reshape(self.encode_known(x, known), (-1, self.num_steps * (self.num_features + 1)))

    def _deeper(self, h, training=None):
        """The last hidden layer, from the first."""
        for layer, dropout in zip(self.hidden[1:], self.dropout_layers[1:], strict=True):
            h = dropout(self.activation(layer(h)), training=training)
        return h

    # One position at a time: the state is what the first hidden units sum up, to which a position adds its rows.

    def prepare(self, condition=None):
        n, f, p = self.num_steps, self.num_features + 1, self.head.num_params
        first = self.hidden[0]
        bias = self._cast(first.bias)
        if condition is not None:
            bias = bias + self.condition_bias(self.flat_condition(condition))
        constants = {
            "bias": bias,  # (units,) or (batch, units)
            "kernel": ops.reshape(self._cast(first.kernel), (n, f, -1)),  # (positions, features, units)
            "output_kernel": ops.swapaxes(ops.reshape(self._cast(self.output_layer.kernel), (-1, n, p)), 0, 1),
            "output_bias": ops.reshape(self._cast(self.output_layer.bias), (n, p)),
        }
        if self.direct:
            constants["direct"] = ops.swapaxes(ops.reshape(self._cast(self.direct_layer.kernel), (-1, n, p)), 0, 1)
        return constants

    def start(self, batch_size):
        state = {"sums": ops.zeros((batch_size, self.hidden_units[0]), self.compute_dtype)}
        if self.direct:
            state["inputs"] = ops.zeros((batch_size, self.num_steps, self.num_features + 1), self.compute_dtype)
        return state

    def absorb(self, constants, state, position, value):
        features = self.head.at(position).encode_draws(value)
        inputs = self._cast(ops.concatenate([features, ops.ones_like(features[:, :1])], axis=-1))
        rows = ops.take(constants["kernel"], position, axis=0)  # (features, units), or one for each event
        state = {**state, "sums": state["sums"] + _product(inputs, rows)}
        if self.direct:
            here = ops.equal(ops.arange(self.num_steps), ops.reshape(position, (-1, 1)))  # (1 or batch, positions)
            state["inputs"] = ops.where(here[:, :, None], inputs[:, None], state["inputs"])
        return state

    def absorb_all(self, constants, state, x, known):
        inputs = self._cast(self._inputs(x, known))
        kernel = ops.reshape(constants["kernel"], (-1, self.hidden_units[0]))
        state = {**state, "sums": ops.matmul(inputs, kernel)}
        if self.direct:
            state["inputs"] = ops.reshape(inputs, (-1, self.num_steps, self.num_features + 1))
        return state

    def read(self, constants, state, position):
        h = self._deeper(self.activation(state["sums"] + constants["bias"]))
        kernel, bias = (ops.take(constants[name], position, axis=0) for name in ("output_kernel", "output_bias"))
        params = _product(h, kernel) + bias
        if self.direct:
            inputs = ops.reshape(state["inputs"], (-1, self.num_steps * (self.num_features + 1)))
            params = params + _product(inputs, ops.take(constants["direct"], position, axis=0))
        return params

    def _cast(self, x):
        return ops.cast(ops.convert_to_tensor(x), self.compute_dtype)

    def get_config(self):
        return {
            **super().get_config(),
            "hidden_units": self.hidden_units,
            "activation": keras.activations.serialize(self.activation),
            "direct": self.direct,
            "dropout": self.dropout,
        }


def _product(x, kernel):
    """`(batch, inputs)` times one matrix for all, or one for each of the batch."""
    return ops.matmul(x, kernel) if len(kernel.shape) == 2 else ops.matmul(x[:, None], kernel)[:, 0]

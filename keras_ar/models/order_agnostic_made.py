"""MADE in many orders: masks that change from batch to batch. https://arxiv.org/abs/1502.03509"""

import itertools

import keras
import numpy as np
from keras import ops

from keras_ar import arguments, masks, noise
from keras_ar.many_orders import ManyOrdersModel

__all__ = ["OrderAgnosticMADE"]

_STREAMS_OF_A_LAYER = 2**40  # streams of noise from one layer's permutations to those of the next


@keras.saving.register_keras_serializable(package="keras_ar")
class OrderAgnosticMADE(ManyOrdersModel):
    """A MADE whose masks are drawn anew for each batch: of its inputs, and of its hidden units.

    Each mask makes an autoregressive model of its own, in an order of its own; all of them share the weights. The
    model is the mixture of these, at one pass for each. It holds the best published likelihood of small data sets.

    Hidden units are given the evenly spread degrees of `MADE` in a random order. With certain masks, `num_masks=32`,
    the model is trained with these and scored with these. Without end, it completes any pattern of known values.

    Args:
        event_shape: Integer or tuple, the shape of one event; an image is flattened inside.
        hidden_units: Integer or tuple, number of units of each hidden layer. Defaults to `(500,)`.
        activation: Activation of the hidden units. Defaults to `"relu"`.
        num_masks: Integer, how many masks there are; `None`: a new one for each batch. Defaults to `None`.
        mask_kind: `"both"`: order and connections differ from mask to mask. `"order"`: the order alone. Defaults to
            `"both"`.
        direct: Boolean, whether the outputs also see earlier inputs by direct, linear connections. Defaults to `False`.
        dropout: Float in [0, 1). Dropout rate after each hidden layer, active in training. Defaults to `0.0`.
        head: Name, instance, class or config of a head. Defaults to `"bernoulli"`.
        condition_shape: Integer or tuple, the shape of the condition of one event, or `None`. Defaults to `None`.
        num_classes: Integer, the number of classes that a condition may be, or `None`. Defaults to `None`.
        seed: Integer, the seed of the masks. Defaults to `0`.
        **kwargs: `name` and `dtype`.

    Example:

    >>> model = keras_ar.models.OrderAgnosticMADE(event_shape=12, hidden_units=(32, 32), direct=True)
    >>> model.score_samples(np.zeros((2, 12)), num_orderings=100).shape
    (2,)

    Reference:
        [Germain et al., 2015](https://arxiv.org/abs/1502.03509), sections 4.2 and 4.3.
    """

    def __init__(
        self,
        event_shape,
        *,
        hidden_units=(500,),
        activation="relu",
        num_masks=None,
        mask_kind="both",
        direct=False,
        dropout=0.0,
        head="bernoulli",
        condition_shape=None,
        num_classes=None,
        seed=0,
        **kwargs,
    ):
        # Check and store.
        super().__init__(
            event_shape,
            num_orders=None if num_masks is None else arguments.integer(num_masks, "num_masks"),
            head=head,
            condition_shape=condition_shape,
            num_classes=num_classes,
            seed=seed,
            **kwargs,
        )
        self.hidden_units = arguments.integers(hidden_units, "hidden_units")
        self.activation = keras.activations.get(activation)
        self.mask_kind = arguments.one_of(mask_kind, "mask_kind", ("both", "order"))
        self.direct = arguments.boolean(direct, "direct")
        self.dropout = arguments.rate(dropout, "dropout")

        # Degrees: how many of the first steps a unit may see. Slot `i` of a layer has degree `degrees[i]`, and an
        # order says which unit stands in it.
        highest = self.num_steps - 1
        lowest = 0 if self.condition_shape else min(1, highest)
        self.slot_degrees = [masks.even_degrees(units, lowest, highest) for units in self.hidden_units]
        self._slots_of_degree = [_slots_of_degree(degrees, self.num_steps) for degrees in self.slot_degrees]

        # Layers.
        n, f, p = self.num_steps, self.num_features, self.head.num_params
        sizes = [n * f, *self.hidden_units, n * p]
        self.kernels = [self._weight((a, b), f"kernel_{i}") for i, (a, b) in enumerate(itertools.pairwise(sizes))]
        self.biases = [self.add_weight((b,), "zeros", name=f"bias_{i}") for i, b in enumerate(sizes[1:])]
        self.direct_kernel = self._weight((n * f, n * p), "direct_kernel") if direct else None
        dtype = {"dtype": self.dtype_policy}
        self.dropout_layers = [keras.layers.Dropout(dropout, **dtype) for _ in self.hidden_units]
        if self.condition_shape:
            self.condition_biases = [
                keras.layers.Dense(units, use_bias=False, name=f"condition_bias_{i}", **dtype)
                for i, units in enumerate(sizes[1:])
            ]

    def _weight(self, shape, name):
        return self.add_weight(shape, "glorot_uniform", name=name)

    # Orders: besides that of the positions, which hidden unit stands in which slot.

    def arrangements(self, numbers):
        found = {}
        for layer, units in enumerate(self.hidden_units):
            table = np.broadcast_to(np.arange(units), (len(numbers), units))
            if self.mask_kind == "both":
                streams = noise.OTHER_STREAMS + (layer + 1) * _STREAMS_OF_A_LAYER + numbers.astype("uint64")
                table = np.argsort(noise.of_streams(self.seed, streams, (units,)), axis=1, kind="stable")
            found[f"units_{layer}"] = table.astype("int32")
        return found

    def random_order(self):
        order = super().random_order()
        for layer, units in enumerate(self.hidden_units):
            is_new = self.mask_kind == "both"
            order[f"units_{layer}"] = self.random_permutation(units) if is_new else ops.arange(units, dtype="int32")
        return order

    # All positions at once, in one order.

    def params_in_order(self, x, order, condition=None, training=None):
        ranks = ops.argsort(order["ordering"])  # the step of each position
        features = self.head.at(np.arange(self.num_steps)).encode_draws(self.flat(x))
        inputs = ops.cast(ops.reshape(features, (-1, self.num_steps * self.num_features)), self.compute_dtype)
        biases, seen = self._biases_from(condition), ops.repeat(ranks + 1, self.num_features)
        first, last, h = seen, ops.repeat(ranks, self.head.num_params), inputs
        for layer, dropout in enumerate(self.dropout_layers):
            degrees = ops.take(self.slot_degrees[layer].astype("int32"), ops.argsort(order[f"units_{layer}"]))
            h = self._masked(h, self.kernels[layer], seen, degrees) + biases[layer]
            h, seen = dropout(self.activation(h), training=training), degrees  # (batch, units)
        params = self._masked(h, self.kernels[-1], seen, last) + biases[-1]
        if self.direct:
            params = params + self._masked(inputs, self.direct_kernel, first, last)
        return ops.reshape(params, (-1, *self.position_shape, self.head.num_params))

    def _masked(self, x, kernel, degrees_in, degrees_out):
        mask = ops.cast(degrees_in[:, None] <= degrees_out[None, :], self.compute_dtype)
        return ops.matmul(x, ops.cast(ops.convert_to_tensor(kernel), self.compute_dtype) * mask)

    def _biases_from(self, condition):
        """The bias of each layer, with what the condition adds to it: `(units,)` or `(batch, units)`."""
        biases = [ops.cast(ops.convert_to_tensor(bias), self.compute_dtype) for bias in self.biases]
        if condition is None:
            return biases
        flat = self.flat_condition(condition)
        return [bias + dense(flat) for bias, dense in zip(biases, self.condition_biases, strict=True)]

    # One position at a time, each event in an order of its own. Masks are a matter of time: a unit of degree `t` is
    # computed at step `t`, from what its inputs have added to its sum by then, and adds its row to the next layer.

    def prepare(self, condition=None):
        n, f, p = self.num_steps, self.num_features, self.head.num_params
        kernels = [ops.cast(ops.convert_to_tensor(kernel), self.compute_dtype) for kernel in self.kernels]
        kernels[1:] = [ops.pad(kernel, [[0, 1], [0, 0]]) for kernel in kernels[1:]]  # zeros for slots without a unit
        constants = {
            "input_kernel": ops.reshape(kernels[0], (n, f, -1)),  # (positions, features, units)
            "kernels": kernels[1:-1],
            "output_kernel": ops.swapaxes(ops.reshape(kernels[-1], (-1, n, p)), 0, 1),  # (positions, units, params)
            "biases": self._biases_from(condition),
        }
        if self.direct:
            kernel = ops.cast(ops.convert_to_tensor(self.direct_kernel), self.compute_dtype)
            constants["direct_kernel"] = ops.swapaxes(ops.reshape(kernel, (-1, n, p)), 0, 1)
        return constants

    def start(self, batch_size):
        def zeros(*shape):
            return ops.zeros((batch_size, *shape), self.compute_dtype)

        state = {"sums": [zeros(units) for units in self.hidden_units], "last": zeros(self.hidden_units[-1] + 1)}
        if self.direct:
            state["inputs"] = zeros(self.num_steps, self.num_features)
        return state

    def step(self, constants, state, orders, t, before, previous, position):
        x = ops.cast(self.head.at(before).encode_draws(previous), self.compute_dtype)
        x = x * ops.cast(t > 0, self.compute_dtype)  # (batch, features)
        sums, state = list(state["sums"]), dict(state)
        sums[0] = sums[0] + _products(x, ops.take(constants["input_kernel"], before, axis=0))
        for layer, size in enumerate(self.hidden_units):
            units = self._units_of_degree(layer, t, orders[f"units_{layer}"])  # (batch, width)
            h = sums[layer] + constants["biases"][layer]
            h = self.activation(ops.take_along_axis(h, ops.minimum(units, size - 1), axis=1))
            if layer + 1 < len(self.hidden_units):
                rows = ops.take(constants["kernels"][layer], units, axis=0)
                sums[layer + 1] = sums[layer + 1] + _products(h, rows)
            else:
                event = ops.broadcast_to(ops.arange(ops.shape(h)[0], dtype="int32")[:, None], ops.shape(h))
                places = ops.reshape(ops.stack([event, units], axis=-1), (-1, 2))
                state["last"] = ops.scatter_update(state["last"], places, ops.reshape(h, (-1,)))
        state["sums"] = sums
        params = _products(state["last"], ops.take(constants["output_kernel"], position, axis=0))
        params = params + self._at_position(constants["biases"][-1], position)
        if self.direct:
            here = ops.equal(ops.arange(self.num_steps), before[:, None])[..., None]  # (batch, positions, 1)
            state["inputs"] = state["inputs"] + ops.cast(here, self.compute_dtype) * x[:, None]
            inputs = ops.reshape(state["inputs"], (-1, self.num_steps * self.num_features))
            params = params + _products(inputs, ops.take(constants["direct_kernel"], position, axis=0))
        return params, state

    def _units_of_degree(self, layer, t, units):
        """Which units have degree `t`, `(batch, width)`; one more than the last where a slot has none."""
        slots = ops.take(self._slots_of_degree[layer], t, axis=0)  # (width,)
        units = ops.pad(units, [[0, 0], [0, 1]], constant_values=self.hidden_units[layer])
        return ops.take(units, slots, axis=1)

    def _at_position(self, bias, position):
        """The bias of each event at its position: `(batch, num_params)`."""
        if len(bias.shape) == 1:
            return ops.take(ops.reshape(bias, (self.num_steps, -1)), position, axis=0)
        bias = ops.reshape(bias, (-1, self.num_steps, self.head.num_params))
        return ops.take_along_axis(bias, position[:, None, None], axis=1)[:, 0]

    def get_config(self):
        return {
            **super().get_config(),
            "hidden_units": self.hidden_units,
            "activation": keras.activations.serialize(self.activation),
            "num_masks": self.num_orders,
            "mask_kind": self.mask_kind,
            "direct": self.direct,
            "dropout": self.dropout,
        }


def _slots_of_degree(degrees, num_steps):
    """Which slots have which degree: `(num_steps, width)`, one more than the last where there are fewer."""
    counts = np.bincount(degrees, minlength=num_steps)
    table = np.full((num_steps, counts.max()), len(degrees), "int32")
    for degree, count in enumerate(counts):
        table[degree, :count] = np.flatnonzero(degrees == degree)
    return table


def _products(x, matrices):
    """`(batch, inputs)` times a matrix for each of the batch."""
    return ops.matmul(x[:, None], matrices)[:, 0]

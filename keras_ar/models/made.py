"""MADE: masked autoencoder for distribution estimation. https://arxiv.org/abs/1502.03509"""

import itertools

import keras
import numpy as np
from keras import ops

from keras_ar import arguments, backend, masks, noise
from keras_ar.autoregressive import AutoregressiveModel
from keras_ar.layers import MaskedDense

__all__ = ["MADE"]


@keras.saving.register_keras_serializable(package="keras_ar")
class MADE(AutoregressiveModel):
    """Masked autoencoder: a dense network whose masks let each output see only earlier values.

    Every hidden unit has a degree, the number of steps that it may see. A sample
    finishes, at step `t`, only the units of degree `t`: in total the arithmetic
    of one pass.

    Args:
        event_shape: Integer or tuple, the shape of one event; an image is flattened inside.
        hidden_units: Integer or tuple, number of units of each hidden layer. Defaults to `(500,)`.
        activation: Activation of the hidden units. Defaults to `"relu"`.
        degrees: `"even"`: spread evenly. `"random"`: drawn uniformly, as in the paper. Defaults to `"even"`.
        direct: Boolean, whether the outputs also see earlier inputs by direct, linear connections. Defaults to `False`.
        dropout: Float in [0, 1). Dropout rate after each hidden layer, active in training. Defaults to `0.0`.
        head: Name, instance, class or config of a head. Defaults to `"bernoulli"`.
        ordering: Which position comes when; see `keras_ar.orderings`. Defaults to `None`, the natural order.
        condition_shape: Integer or tuple, the shape of the condition of one event, or `None`. Defaults to `None`.
        num_classes: Integer, the number of classes that a condition may be, or `None`. Defaults to `None`.
        seed: Integer, the seed of random degrees and of `ordering="random"`. Defaults to `0`.
        **kwargs: `name` and `dtype`.

    Example:

    >>> model = keras_ar.models.MADE(event_shape=(4, 4, 1), hidden_units=(32, 32))
    >>> model.sample(3, seed=0).shape
    (3, 4, 4, 1)

    Reference:
        [Germain et al., 2015](https://arxiv.org/abs/1502.03509).
    """

    def __init__(
        self,
        event_shape,
        *,
        hidden_units=(500,),
        activation="relu",
        degrees="even",
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
        self.degrees = arguments.one_of(degrees, "degrees", ("even", "random"))
        self.direct = arguments.boolean(direct, "direct")
        self.dropout = arguments.rate(dropout, "dropout")
        self.seed = noise.check_seed(seed)

        # Degrees, from which the masks follow.
        n, num_outputs = self.num_steps, self.num_steps * self.head.num_params
        input_degrees = masks.input_degrees(n, self.num_features)
        output_degrees = masks.output_degrees(n, self.head.num_params)
        self.hidden_degrees = self.make_hidden_degrees()
        self._blocks = [masks.blocks_by_degree(of_layer, n) for of_layer in self.hidden_degrees]
        layer_degrees = [input_degrees, *self.hidden_degrees]

        # Layers.
        dtype = {"dtype": self.dtype_policy}
        self.hidden = [
            MaskedDense(len(b), masks.connect(a, b), name=f"hidden_{i}", **dtype)
            for i, (a, b) in enumerate(itertools.pairwise(layer_degrees))
        ]
        mask = masks.connect(layer_degrees[-1], output_degrees)
        self.output_layer = MaskedDense(num_outputs, mask, name="output", **dtype)
        if direct:
            mask = masks.connect(input_degrees, output_degrees)
            self.direct_layer = MaskedDense(num_outputs, mask, use_bias=False, name="direct", **dtype)
        self.dropout_layers = [keras.layers.Dropout(dropout, **dtype) for _ in self.hidden_units]
        if self.condition_shape:
            self.condition_biases = [
                keras.layers.Dense(units, use_bias=False, name=f"condition_bias_{i}", **dtype)
                for i, units in enumerate((*self.hidden_units, num_outputs))
            ]

    def make_hidden_degrees(self):
        """The degrees of each hidden layer, from the lowest that the layer below has."""
        highest = self.num_steps - 1
        # Units that see no value are of use only where there is a condition to see.
        lowest = 0 if self.condition_shape else min(1, highest)
        hidden_degrees = []
        for layer, units in enumerate(self.hidden_units):
            if self.degrees == "even":
                hidden_degrees.append(masks.even_degrees(units, lowest, highest))
            else:
                hidden_degrees.append(masks.random_degrees(units, lowest, highest, self.seed, layer))
            lowest = hidden_degrees[-1].min()
        return hidden_degrees

    def call(self, x, condition=None, training=None):
        inputs = ops.reshape(self.encode_steps(x), (-1, self.num_steps * self.num_features))
        biases = self._biases_from(condition)
        h = inputs
        for layer, dropout, bias in zip(self.hidden, self.dropout_layers, biases, strict=False):
            h = dropout(self.activation(_plus(layer(h), bias)), training=training)  # (batch, units)
        params = _plus(self.output_layer(h), biases[-1])  # (batch, steps * num_params)
        if self.direct:
            params = params + self.direct_layer(inputs)
        return self.from_steps(ops.reshape(params, (-1, self.num_steps, self.head.num_params)))

    # One step at a time. What each layer knows so far is in a buffer of shape (slots, batch). What is not known yet is
    # zero there, so a product with the whole buffer is masked without a mask. Hidden units are sorted by degree into
    # blocks of equal width; the first slots of the inputs are "before the first step", and have no weights.

    def prepare(self, condition=None):
        biases = self._biases_from(condition)
        input_slots = np.arange(-self.num_features, self.num_steps * self.num_features).clip(-1)
        slots, layers = input_slots, []
        for layer, bias, (units, _) in zip(self.hidden, biases, self._blocks, strict=False):
            bias = _plus(self._row(layer.bias), bias)  # (1 or batch, units)
            layers.append(
                {
                    "kernel": self._arrange(layer.kernel, slots, units),  # (blocks, width, slots of the layer below)
                    "bias": self._arrange(bias, np.arange(bias.shape[0]), units),  # (blocks, width, 1 or batch)
                }
            )
            slots = units.reshape(-1)
        outputs = np.arange(self.num_steps * self.head.num_params).reshape(self.num_steps, -1)
        bias = _plus(self._row(self.output_layer.bias), biases[-1])
        constants = {
            "hidden": layers,
            "output_kernel": self._arrange(self.output_layer.kernel, slots, outputs),  # (steps, num_params, slots)
            "output_bias": self._arrange(bias, np.arange(bias.shape[0]), outputs),  # (steps, num_params, 1 or batch)
        }
        if self.direct:
            constants["direct_kernel"] = self._arrange(self.direct_layer.kernel, input_slots, outputs)
        return constants

    def start(self, batch_size, num_steps):
        return {
            "inputs": ops.zeros((self.num_steps + 1, self.num_features, batch_size), self.compute_dtype),
            "hidden": [ops.zeros((units.size, batch_size), self.compute_dtype) for units, _ in self._blocks],
        }

    def step(self, constants, state, t, previous):
        x = ops.transpose(ops.cast(self.encode_previous(previous, t), self.compute_dtype))  # (num_features, batch)
        inputs = ops.slice_update(state["inputs"], (t, 0, 0), ops.expand_dims(x, 0))
        below = known_inputs = ops.reshape(inputs, (-1, x.shape[1]))
        hidden = []
        for of_layer, blocks, known in zip(constants["hidden"], self._blocks, state["hidden"], strict=True):
            below = self._finish_degree(of_layer, blocks, t, below, known)
            hidden.append(below)
        params = ops.matmul(constants["output_kernel"][t], below) + constants["output_bias"][t]  # (num_params, batch)
        if self.direct:
            params = params + ops.matmul(constants["direct_kernel"][t], known_inputs)
        return ops.transpose(params), {"inputs": inputs, "hidden": hidden}

    def _finish_degree(self, constants, blocks, t, below, known):
        """What a layer knows after step `t`: its units of degree `t` are computed from what the layer below knows."""
        units, first = blocks

        def finish(block, known):
            h = self.activation(ops.matmul(constants["kernel"][block], below) + constants["bias"][block])
            return ops.slice_update(known, (block * units.shape[1], 0), h)  # (width, batch) into its slots

        begin = backend.lookup(first, t)
        count = backend.lookup(first, t + 1) - begin
        if not backend.wants_known_lengths():
            return ops.fori_loop(0, count, lambda i, known: finish(begin + i, known), known)
        for i in range(int(np.diff(first).max())):
            known = ops.where(i < count, finish(ops.minimum(begin + i, len(units) - 1), known), known)
        return known

    def _row(self, bias):
        return ops.cast(ops.expand_dims(ops.convert_to_tensor(bias), 0), self.compute_dtype)

    def _arrange(self, kernel, rows, columns):
        """`kernel[rows, columns].T` in the shape of `columns` by that of `rows`; index -1 stands for zeros."""
        kernel = ops.pad(ops.cast(ops.convert_to_tensor(kernel), self.compute_dtype), [[0, 1], [0, 1]])
        rows, columns = rows % kernel.shape[0], columns % kernel.shape[1]  # -1 becomes the padding
        kernel = ops.take(ops.take(kernel, rows, axis=0), columns.reshape(-1), axis=1)
        return ops.reshape(ops.transpose(kernel), (*columns.shape, len(rows)))

    def _biases_from(self, condition):
        """What the condition adds to each layer: one tensor a layer, or `None`."""
        if condition is None:
            return [None] * (len(self.hidden) + 1)
        return [dense(self.flat_condition(condition)) for dense in self.condition_biases]

    def get_config(self):
        return {
            **super().get_config(),
            "hidden_units": self.hidden_units,
            "activation": keras.activations.serialize(self.activation),
            "degrees": self.degrees,
            "direct": self.direct,
            "dropout": self.dropout,
            "seed": self.seed,
        }


def _plus(x, bias):
    return x if bias is None else x + bias

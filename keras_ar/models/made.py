"""MADE: masked autoencoder for distribution estimation. https://arxiv.org/abs/1502.03509"""

import itertools
import math

import keras
import numpy as np
from keras import ops

from keras_ar import arguments, backend, masks, noise
from keras_ar.autoregressive import AutoregressiveModel
from keras_ar.layers import MaskedDense


@keras.saving.register_keras_serializable(package="keras_ar")
class MADE(AutoregressiveModel):
    """Masked autoencoder: a dense network whose masks let each output see only earlier values.

    Every hidden unit has a degree, the number of steps that it may see. A draw
    finishes, at step `t`, just the units of degree `t`: all in all the arithmetic
    of one pass.

    Args:
        event_shape: Shape of one event; an image is flattened inside.
        hidden_units: Number of units of each hidden layer.
        activation: Activation of the hidden units.
        head: Name, instance, class or config of a head.
        ordering: Which position comes when; see `keras_ar.orderings`.
        degrees: `"even"`: spread evenly. `"random"`: drawn uniformly, as in the paper.
        direct: Whether the outputs also see earlier inputs by direct, linear connections.
        dropout: Rate of dropout behind each hidden layer, in training.
        seed: Integer, the seed of random degrees.
        condition_shape: Shape of the condition of one event, or `None`.
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
        head="bernoulli",
        ordering=None,
        degrees="even",
        direct=False,
        dropout=0.0,
        seed=0,
        condition_shape=None,
        **kwargs,
    ):
        super().__init__(event_shape, head=head, ordering=ordering, condition_shape=condition_shape, **kwargs)
        if degrees not in ("even", "random"):
            raise ValueError(f"`degrees` must be 'even' or 'random'. Received: degrees={degrees!r}.")
        self.hidden_units = hidden_units = arguments.integers(hidden_units, "hidden_units")
        self.activation = keras.activations.get(activation)
        self.degrees = degrees
        self.direct = direct
        self.dropout = arguments.number(dropout, "dropout")
        self.seed = noise.check_seed(seed)

        # Degrees, and the masks that follow from them.
        n, num_params = self.num_steps, self.head.num_params
        degrees_in = masks.input_degrees(n, self.step_size)
        degrees_out = masks.output_degrees(n, num_params)
        self.hidden_degrees = self._hidden_degrees()
        self._blocks = [masks.blocks_by_degree(degrees, n) for degrees in self.hidden_degrees]
        layer_degrees = [degrees_in, *self.hidden_degrees]

        # Layers.
        self.hidden = [
            MaskedDense(len(b), masks.connect(a, b), dtype=self.dtype_policy, name=f"hidden_{i}")
            for i, (a, b) in enumerate(itertools.pairwise(layer_degrees))
        ]
        self.output_layer = self._reader(layer_degrees[-1], degrees_out, "output")
        self.direct_layer = self._reader(degrees_in, degrees_out, "direct") if direct else None
        self.dropouts = [keras.layers.Dropout(dropout, dtype=self.dtype_policy) for _ in hidden_units]
        if self.condition_shape:
            self.condition_biases = [
                keras.layers.Dense(units, use_bias=False, dtype=self.dtype_policy, name=f"condition_{i}")
                for i, units in enumerate((*hidden_units, n * num_params))
            ]

    def _reader(self, degrees_in, degrees_out, name):
        mask = masks.connect(degrees_in, degrees_out)
        return MaskedDense(len(degrees_out), mask, use_bias=name == "output", dtype=self.dtype_policy, name=name)

    def _hidden_degrees(self):
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
        inputs = ops.reshape(self.encode_steps(x), (-1, self.num_steps * self.step_size))
        biases = self._biases_from(condition)
        h = inputs
        for layer, dropout, bias in zip(self.hidden, self.dropouts, biases, strict=False):
            h = dropout(self.activation(_plus(layer(h), bias)), training=training)  # (batch, units)
        params = _plus(self.output_layer(h), biases[-1])  # (batch, steps * num_params)
        if self.direct:
            params = params + self.direct_layer(inputs)
        return self.from_steps(ops.reshape(params, (-1, self.num_steps, self.head.num_params)))

    # One step at a time. What each layer knows so far stands in a buffer of shape (slots, batch). What is not known yet
    # is zero there, so a product with the whole buffer is masked without a mask. Hidden units are sorted by degree into
    # blocks of equal width; slot 0 of the inputs is "before the first step", and has no weights.

    def start(self, batch_size, condition=None):
        biases = self._biases_from(condition)
        input_slots = np.arange(-self.step_size, self.num_steps * self.step_size).clip(-1)
        slots, layers = input_slots, []
        for layer, bias, (units, _) in zip(self.hidden, biases, self._blocks, strict=False):
            bias = _plus(self._row(layer.bias), bias)  # (1 or batch, units)
            layers.append(
                {
                    "kernel": self._arrange(layer.kernel, slots, units),  # (blocks, width, slots of the layer below)
                    "bias": self._arrange(bias, np.arange(bias.shape[0]), units),  # (blocks, width, 1 or batch)
                    "known": ops.zeros((units.size, batch_size), self.compute_dtype),
                }
            )
            slots = units.reshape(-1)
        outputs = np.arange(self.num_steps * self.head.num_params).reshape(self.num_steps, -1)
        bias = _plus(self._row(self.output_layer.bias), biases[-1])
        state = {
            "inputs": ops.zeros((self.num_steps + 1, self.step_size, batch_size), self.compute_dtype),
            "hidden": layers,
            "output_kernel": self._arrange(self.output_layer.kernel, slots, outputs),  # (steps, num_params, slots)
            "output_bias": self._arrange(bias, np.arange(bias.shape[0]), outputs),  # (steps, num_params, 1 or batch)
        }
        if self.direct:
            state["direct_kernel"] = self._arrange(self.direct_layer.kernel, input_slots, outputs)
        return state

    def step(self, state, t, previous):
        x = ops.transpose(ops.cast(self.encode_previous(previous), self.compute_dtype))  # (step_size, batch)
        inputs = ops.slice_update(state["inputs"], (t, 0, 0), ops.expand_dims(x, 0))
        below = known_inputs = ops.reshape(inputs, (-1, x.shape[1]))
        hidden = []
        for layer, blocks in zip(state["hidden"], self._blocks, strict=True):
            below = self._finish_degree(layer, blocks, t, below)
            hidden.append({**layer, "known": below})
        params = ops.matmul(state["output_kernel"][t], below) + state["output_bias"][t]  # (num_params, batch)
        if self.direct:
            params = params + ops.matmul(state["direct_kernel"][t], known_inputs)
        return ops.transpose(params), {**state, "inputs": inputs, "hidden": hidden}

    def _finish_degree(self, layer, blocks, t, below):
        """What a layer knows after step `t`: its units of degree `t` are computed from what the layer below knows."""
        units, first = blocks

        def finish(block, known):
            h = self.activation(ops.matmul(layer["kernel"][block], below) + layer["bias"][block])  # (width, batch)
            return ops.slice_update(known, (block * units.shape[1], 0), h)

        return ops.fori_loop(backend.lookup(first, t), backend.lookup(first, t + 1), finish, layer["known"])

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
        condition = ops.reshape(condition, (-1, math.prod(self.condition_shape)))
        return [dense(condition) for dense in self.condition_biases]

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

"""The layers of NADE: one small network for each position, all sharing one kernel."""

import keras
import numpy as np
from keras import ops

from keras_ar import arguments, backend


@keras.saving.register_keras_serializable(package="keras_ar")
class NADEDense(keras.layers.Layer):
    """One hidden layer for each position, over all strictly earlier positions, and its outputs.

    Position `i` has the hidden units `h_i = activation(c + sum_{j<i} x_j W_j)` and
    the outputs `h_i V_i + b_i`. Because `W` and `c` are shared, the activation of
    a position is that of the one before plus one row: a likelihood costs what a
    single hidden layer costs.

    In `call` the positions are taken in blocks: inside a block the running sums
    are one product with a strictly triangular matrix, and only the activation at
    the block's end is carried on. So the hidden units of a block stay in the
    processor's cache: they are what costs, not the arithmetic of the product.

    Args:
        units: Positive integer, the number of hidden units.
        outputs: Positive integer, the number of outputs of each position.
        activation: Activation function of the hidden units.
        block: How many positions are computed together.
        kernel_initializer: Initializer of `W` and `V`.

    Call arguments:
        inputs: Tensor of shape `(batch, positions, features)`.
        context: Optional tensor of shape `(batch, units)`, added to the activation
            before the first position.

    Returns:
        Tensor of shape `(batch, positions, outputs)`.

    Example:

    >>> layer = keras_ar.layers.NADEDense(units=8, outputs=1)
    >>> layer(np.ones((1, 6, 1))).shape[1:] == (6, 1)
    True
    >>> layer.count_params()  # 2 n d + n + d for d = 6 positions and n = 8 units
    110

    Reference:
        [Larochelle & Murray, 2011](https://proceedings.mlr.press/v15/larochelle11a.html).
    """

    strict = True

    def __init__(self, units, outputs, activation="sigmoid", block=16, kernel_initializer="glorot_uniform", **kwargs):
        super().__init__(**kwargs)
        self.units = arguments.integer(units, "units")
        self.outputs = arguments.integer(outputs, "outputs")
        self.activation = keras.activations.get(activation)
        self.block = arguments.integer(block, "block")
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    def build(self, inputs_shape, context_shape=None):
        if len(inputs_shape) != 3:
            raise ValueError(
                f"`inputs` must have shape (batch, positions, features). Received: inputs.shape={tuple(inputs_shape)}."
            )
        _, n, f = inputs_shape
        self.positions, self.features = n, f
        # Drawn as matrices, so that an initializer counts the right fans.
        into, out = (n * f, self.units), (n * self.outputs, self.units)
        self.kernel = self.add_weight(into, self.kernel_initializer, name="kernel")  # W
        self.bias = self.add_weight((self.units,), "zeros", name="bias")  # c
        self.output_kernel = self.add_weight(out, self.kernel_initializer, name="output_kernel")  # V
        self.output_bias = self.add_weight((n, self.outputs), "zeros", name="output_bias")  # b

    def call(self, inputs, context=None):
        n, f, h, size = self.positions, self.features, self.units, self.block
        num_blocks = -(-n // size)  # rounded up; positions beyond the last are cut off in the end

        def in_blocks(x, *shape):
            x = ops.cast(ops.convert_to_tensor(x), self.compute_dtype)
            x = ops.pad(x, [[0, num_blocks * size - n], *([0, 0] for _ in x.shape[1:])])
            return ops.reshape(x, (num_blocks, *shape))

        earlier = ops.cast(np.tri(size, k=-1)[None, :, :, None], self.compute_dtype)  # (1, to, from, 1)

        def block(activation, xs):
            x, rows, output_kernel = xs  # (size, batch, features), (size * features, units), (size, outputs, units)
            x = ops.swapaxes(x, 0, 1)
            seen = ops.expand_dims(x, 1) * earlier  # (batch, to, from, features)
            inside = ops.reshape(ops.matmul(ops.reshape(seen, (-1, size * f)), rows), (-1, size, h))
            hidden = self.activation(ops.expand_dims(activation, 1) + inside)  # (batch, size, units)
            activation = activation + ops.matmul(ops.reshape(x, (-1, size * f)), rows)
            return activation, self._read_out(hidden, output_kernel)

        activation = ops.zeros((ops.shape(inputs)[0], h), self.compute_dtype) + self.bias
        if context is not None:
            activation = activation + context
        x = in_blocks(ops.swapaxes(inputs, 0, 1), size, -1, f)
        rows = in_blocks(ops.reshape(self.kernel, (n, f, h)), size * f, h)
        output_kernel = in_blocks(ops.reshape(self.output_kernel, (n, self.outputs, h)), size, self.outputs, h)
        _, outputs = backend.scan(block, activation, (x, rows, output_kernel), recompute=True)
        outputs = ops.reshape(ops.swapaxes(outputs, 0, 1), (-1, num_blocks * size, self.outputs))
        return outputs[:, :n] + self.output_bias

    def _read_out(self, hidden, kernel):
        """`(batch, size, units), (size, outputs, units) -> (batch, size, outputs)`."""
        if self.outputs == 1:  # fuses with what made `hidden`, where compiled
            return ops.sum(hidden * kernel[:, 0], axis=-1, keepdims=True)
        return ops.einsum("bsh,soh->bso", hidden, kernel)

    def start(self, batch_size, context=None):
        n, f, h = self.positions, self.features, self.units
        kernel, bias, output_kernel, output_bias = (
            ops.cast(ops.convert_to_tensor(weight), self.compute_dtype) for weight in self.weights
        )
        activation = ops.broadcast_to(bias, (batch_size, h))
        if context is not None:
            activation = activation + context
        return {
            "activation": activation,
            # Row 0 stands for "before the first position": there is nothing to add yet.
            "kernel": ops.pad(ops.reshape(kernel, (n, f, h)), [[1, 0], [0, 0], [0, 0]]),
            "output_kernel": ops.swapaxes(ops.reshape(output_kernel, (n, self.outputs, h)), 1, 2),
            "output_bias": output_bias,
        }

    def step(self, state, x, t):
        x = ops.cast(x, self.compute_dtype)  # (batch, features)
        activation = state["activation"] + ops.matmul(x, state["kernel"][t])
        outputs = ops.matmul(self.activation(activation), state["output_kernel"][t]) + state["output_bias"][t]
        return outputs, {**state, "activation": activation}

    def compute_output_shape(self, inputs_shape, context_shape=None):
        return (*inputs_shape[:-1], self.outputs)

    def get_config(self):
        return {
            **super().get_config(),
            "units": self.units,
            "outputs": self.outputs,
            "activation": keras.activations.serialize(self.activation),
            "block": self.block,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }

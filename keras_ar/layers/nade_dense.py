"""The layers of NADE: one small network for each position, all sharing one kernel."""

import keras
import numpy as np
from keras import ops

from keras_ar import arguments, backend
from keras_ar.layers.kernel_layer import KernelLayer

__all__ = ["NADEDense"]


@keras.saving.register_keras_serializable(package="keras_ar")
class NADEDense(KernelLayer):
    """One hidden layer for each position, over all strictly earlier positions, and its outputs.

    Position `i` has the hidden units `h_i = activation(c + sum_{j<i} x_j W_j)` and
    the outputs `h_i V_i + b_i`. Because `W` and `c` are shared, the activation of
    a position is that of the one before plus one row: a likelihood costs what a
    single hidden layer costs.

    Where nobody asks for gradients, positions are taken one after the other. Else they are taken in blocks: inside a
    block the running sums are one product with a strictly triangular matrix, and only the activation at the block's end
    is carried on. So there are few activations to keep, and on a CPU the hidden units of a block stay in its cache.

    Args:
        units: Integer, the number of hidden units.
        outputs: Integer, the number of outputs of each position.
        activation: Activation function of the hidden units. Defaults to `"sigmoid"`.
        **kwargs: Initializers, regularizers and constraints of `W`, `V` (kernels), `c` and `b` (biases),
            as in `keras.layers.Dense`; `name` and `dtype`.

    Call arguments:
        inputs: Tensor of shape `(batch, positions, features)`.
        condition_bias: Optional tensor of shape `(batch, units)`, added to the activation
            before the first position.

    Returns:
        Tensor of shape `(batch, positions, outputs)`.

    Example:

    >>> layer = keras_ar.layers.NADEDense(units=8, outputs=1)
    >>> tuple(layer(np.ones((1, 6, 1))).shape)
    (1, 6, 1)
    >>> layer.count_params()  # 2 n d + n + d for d = 6 positions and n = 8 units
    110

    Reference:
        [Larochelle & Murray, 2011](https://proceedings.mlr.press/v15/larochelle11a.html).
    """

    strict = True

    def __init__(self, units, outputs, activation="sigmoid", **kwargs):
        super().__init__(**kwargs)
        self.units = arguments.integer(units, "units")
        self.outputs = arguments.integer(outputs, "outputs")
        self.activation = keras.activations.get(activation)
        self._loop = backend.Loop(self)

    def build(self, inputs_shape, condition_bias_shape=None):
        if len(inputs_shape) != 3:
            raise ValueError(
                f"`inputs` must have shape (batch, positions, features). Received: inputs.shape={tuple(inputs_shape)}."
            )
        _, n, f = inputs_shape
        self.positions, self.features = n, f
        self.input_spec = keras.layers.InputSpec(shape=(None, n, f))
        # Drawn as matrices, so that an initializer counts the right fans.
        self.kernel = self.add_kernel((n * f, self.units))  # W
        self.bias = self.add_bias((self.units,))  # c
        self.output_kernel = self.add_kernel((n * self.outputs, self.units), name="output_kernel")  # V
        self.output_bias = self.add_bias((n, self.outputs), name="output_bias")  # b

    def call(self, inputs, condition_bias=None):
        activation = ops.zeros((ops.shape(inputs)[0], self.units), self.compute_dtype) + self.bias
        if condition_bias is not None:
            activation = activation + condition_bias
        x = self.cast_weight(ops.swapaxes(inputs, 0, 1))  # (positions, batch, features)
        rows = ops.reshape(self.cast_weight(self.kernel), (self.positions, self.features, self.units))
        shape = (self.positions, self.outputs, self.units)
        output_kernel = ops.reshape(self.cast_weight(self.output_kernel), shape)
        run = self._in_blocks if backend.needs_gradients() else self._one_by_one
        return run(activation, x, rows, output_kernel) + self.output_bias

    def _one_by_one(self, activation, x, rows, output_kernel):
        rows = (x, rows, ops.swapaxes(output_kernel, 1, 2))
        values = ops.zeros((self.positions, ops.shape(activation)[0], self.outputs), self.compute_dtype)
        outputs, _ = self._loop(self._position, 0, self.positions, activation, rows, values)
        return ops.swapaxes(outputs, 0, 1)

    def _position(self, t, activation, xs):
        x, row, output_kernel = xs  # (batch, features), (features, units), (units, outputs)
        outputs = ops.matmul(self.activation(activation), output_kernel)
        return activation + ops.matmul(x, row), outputs

    def _in_blocks(self, activation, x, rows, output_kernel):
        n, f, h, size = self.positions, self.features, self.units, min(backend.positions_at_once(), self.positions)
        num_blocks = -(-n // size)  # rounded up; positions beyond the last are cut off in the end

        def in_blocks(x, *shape):
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

        x = in_blocks(x, size, -1, f)
        rows = in_blocks(rows, size * f, h)
        output_kernel = in_blocks(output_kernel, size, self.outputs, h)
        _, outputs = backend.scan(block, activation, (x, rows, output_kernel), recompute=True)
        return ops.reshape(ops.swapaxes(outputs, 0, 1), (-1, num_blocks * size, self.outputs))[:, :n]

    def _read_out(self, hidden, kernel):
        """`(batch, size, units), (size, outputs, units) -> (batch, size, outputs)`."""
        if self.outputs == 1:  # fuses with what made `hidden`, where compiled
            return ops.sum(hidden * kernel[:, 0], axis=-1, keepdims=True)
        return ops.einsum("bsh,soh->bso", hidden, kernel)

    # One position at a time: the activation is carried, and begins with the bias.

    def prepare(self, condition=None):
        """What all steps share. `condition` is the `condition_bias` of `call`."""
        n, f, h = self.positions, self.features, self.units
        output_kernel = ops.reshape(self.cast_weight(self.output_kernel), (n, self.outputs, h))
        constants = {
            # Row 0 stands for "before the first position": there is nothing to add yet.
            "kernel": ops.pad(ops.reshape(self.cast_weight(self.kernel), (n, f, h)), [[1, 0], [0, 0], [0, 0]]),
            "output_kernel": ops.swapaxes(output_kernel, 1, 2),
            "output_bias": self.cast_weight(self.output_bias),
        }
        return constants if condition is None else {**constants, "condition_bias": condition}

    def start(self, batch_size, num_steps):
        return ops.broadcast_to(self.cast_weight(self.bias), (batch_size, self.units))

    def step(self, constants, state, t, x):
        state = state + ops.matmul(ops.cast(x, self.compute_dtype), constants["kernel"][t])
        activation = state + constants["condition_bias"] if "condition_bias" in constants else state
        hidden = self.activation(activation)  # (batch, units)
        return ops.matmul(hidden, constants["output_kernel"][t]) + constants["output_bias"][t], state

    def prefill(self, constants, state, inputs):
        count = inputs.shape[1]
        whole = ops.pad(inputs, [[0, 0], [0, self.positions - count], [0, 0]])
        outputs = self.call(whole, constants.get("condition_bias"))[:, :count]
        # The last input comes with the next step.
        x = ops.reshape(ops.cast(inputs[:, :-1], self.compute_dtype), (state.shape[0], (count - 1) * self.features))
        rows = ops.reshape(constants["kernel"][1:count], ((count - 1) * self.features, self.units))
        return outputs, state + ops.matmul(x, rows)

    def compute_output_shape(self, inputs_shape, condition_bias_shape=None):
        return (*inputs_shape[:-1], self.outputs)

    def get_config(self):
        return {
            **super().get_config(),
            "units": self.units,
            "outputs": self.outputs,
            "activation": keras.activations.serialize(self.activation),
        }

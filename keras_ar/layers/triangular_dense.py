"""Dense layer over positions that sees strictly earlier ones, without a wasted weight."""

import keras
import numpy as np
from keras import ops

from keras_ar import arguments
from keras_ar.layers.kernel_layer import KernelLayer

__all__ = ["TriangularDense"]


@keras.saving.register_keras_serializable(package="keras_ar")
class TriangularDense(KernelLayer):
    """Dense layer over positions: each sees all features of all strictly earlier positions.

    This is a fully visible sigmoid belief network as a layer. For `n` positions
    the kernel of `n (n - 1) / 2` entries (times features times units) is held
    folded: row `i` of a strict triangle has `i` entries, so rows `i` and
    `n - i` (or `n - 1 - i`) together fill one row of a rectangle.

    Args:
        units: Integer, the number of outputs of each position.
        **kwargs: Initializers, regularizers and constraints, as in `keras.layers.Dense`;
            `name` and `dtype`.

    Call arguments:
        inputs: Tensor of shape `(batch, positions, features)`.

    Returns:
        Tensor of shape `(batch, positions, units)`.

    Example:

    >>> layer = keras_ar.layers.TriangularDense(1)
    >>> tuple(layer(np.ones((1, 6, 1))).shape)
    (1, 6, 1)
    >>> layer.count_params()  # 6 * 7 / 2
    21

    Reference:
        [Frey et al., 1996](https://papers.nips.cc/paper/1153), fully visible networks.
    """

    strict = True

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = arguments.integer(units, "units")

    def build(self, input_shape):
        if len(input_shape) != 3:
            raise ValueError(
                f"`inputs` must have shape (batch, positions, features). Received: inputs.shape={tuple(input_shape)}."
            )
        _, self.positions, self.features = input_shape
        self.input_spec = keras.layers.InputSpec(shape=(None, self.positions, self.features))
        n = self.positions
        # With an even number of positions the empty row 0 is folded along with the last; else it is left out.
        self._long = n - 1 if n % 2 == 0 else n
        self.kernel = self.add_kernel((n // 2, self._long, self.features * self.units), initializer=self._draw_kernel)
        self.bias = self.add_bias((n, self.units))
        self._columns = np.arange(self._long)[None, :, None]
        self._cut = self._long - np.arange(n // 2)[:, None, None] - n % 2  # where a row of the rectangle changes owner

    def _draw_kernel(self, shape, dtype=None):
        # Drawn as a matrix from inputs to outputs, so that the initializer counts the right fans.
        half, long, _ = shape
        return ops.reshape(self.kernel_initializer((long * self.features, half * self.units), dtype), shape)

    def unfolded_kernel(self):
        """The kernel as a tensor of shape `(positions, features, positions, units)`: from, to."""
        n, f, u = self.positions, self.features, self.units
        kernel = self.cast_weight(self.kernel)
        belongs_below = ops.cast(self._columns < self._cut, kernel.dtype)
        below = ops.flip(kernel * belongs_below, axis=0)  # the longer rows, rising
        above = ops.flip(kernel * (1 - belongs_below), axis=1)  # the shorter rows, rising
        rows = ops.concatenate([above, below], axis=0)
        rows = ops.pad(rows, [[n % 2, 0], [0, n - self._long], [0, 0]])  # (to, from, features * units)
        return ops.transpose(ops.reshape(rows, (n, n, f, u)), (1, 2, 0, 3))

    def call(self, inputs):
        n, f, u = self.positions, self.features, self.units
        kernel = ops.reshape(self.unfolded_kernel(), (n * f, n * u))
        outputs = ops.matmul(ops.reshape(inputs, (-1, n * f)), kernel)
        return ops.reshape(outputs, (-1, n, u)) + self.bias

    # One position at a time: all inputs so far, against the rows of the kernel that belong to the position.

    def prepare(self, condition=None):
        n, f, u = self.positions, self.features, self.units
        # Slot 0 of the inputs stands for "before the first position": its weights are zero.
        kernel = ops.pad(ops.transpose(self.unfolded_kernel(), (2, 3, 0, 1)), [[0, 0], [0, 0], [1, 0], [0, 0]])
        return {"kernel": ops.reshape(kernel, (n, u, (n + 1) * f)), "bias": self.cast_weight(self.bias)}

    def start(self, batch_size, num_steps):
        return ops.zeros((self.positions + 1, self.features, batch_size), self.compute_dtype)

    def step(self, constants, state, t, x):
        kernel = constants["kernel"]
        x = ops.expand_dims(ops.transpose(ops.cast(x, self.compute_dtype)), 0)  # (1, features, batch)
        seen = ops.slice_update(state, (t, 0, 0), x)
        outputs = ops.transpose(ops.matmul(kernel[t], ops.reshape(seen, (kernel.shape[2], -1))))
        return outputs + constants["bias"][t], seen

    def prefill(self, constants, state, inputs):
        x = ops.transpose(ops.cast(inputs, self.compute_dtype), (1, 2, 0))  # (positions, features, batch)
        whole = ops.slice_update(state, (1, 0, 0), x)
        n = x.shape[0]
        outputs = ops.matmul(constants["kernel"][:n], ops.reshape(whole, (constants["kernel"].shape[2], -1)))
        outputs = ops.transpose(outputs, (2, 0, 1)) + constants["bias"][:n]
        return outputs, ops.slice_update(state, (1, 0, 0), x[:-1])  # the last input comes with the next step

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.units)

    def get_config(self):
        return {**super().get_config(), "units": self.units}

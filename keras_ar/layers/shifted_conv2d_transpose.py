"""Transposed convolutions that undo the strides of shifted ones, and see only what comes earlier."""

import keras
from keras import ops

from keras_ar import arguments, backend
from keras_ar.layers.weight_norm import WeightNorm

__all__ = ["ShiftedConv2DTranspose"]


@keras.saving.register_keras_serializable(package="keras_ar")
class ShiftedConv2DTranspose(WeightNorm):
    """Transposed 2D convolution from a coarse image to a fine one.

    The input at `(i, j)` belongs to the output at `(strides * i, strides * j)`. Only outputs from there
    on see it: those of its rows (`"down"`), or of its rows and columns (`"down_right"`). So a fine row comes
    from one coarse row, whatever the size.

    Steps count the rows or pixels of the output. Step `t` is given the coarse input that it belongs to:
    `take(inputs, t)`.

    Args:
        filters: Integer, number of output channels.
        kernel_size: Integer, or a pair (rows, columns). Rows are `strides`; columns are `strides`
            for `"down_right"`, and odd for `"down"`.
        direction: `"down"`, which steps row by row, or `"down_right"`, pixel by pixel.
        size: Integer, or a pair (rows, columns): the size of the output, which need not be a multiple of `strides`.
        strides: Integer, the number of outputs for one input, in each direction. Defaults to `2`.
        **kwargs: Initializers, regularizers and constraints, as in `keras.layers.Dense`, except that
            `kernel_initializer` defaults to `"random_normal"`; `name` and `dtype`.

    Call arguments:
        inputs: Tensor of shape `(batch, rows / strides, columns / strides, channels)`, rounded up.

    Returns:
        Tensor of shape `(batch, rows, columns, filters)`.

    Example:

    >>> layer = keras_ar.layers.ShiftedConv2DTranspose(4, (2, 3), direction="down", size=(7, 9))
    >>> tuple(layer(np.ones((1, 4, 5, 1))).shape)
    (1, 7, 9, 4)

    Reference:
        [Salimans et al., 2017](https://arxiv.org/abs/1701.05517), section 2.
    """

    def __init__(self, filters, kernel_size, direction, size, strides=2, **kwargs):
        super().__init__(**kwargs)
        self.filters = arguments.integer(filters, "filters")
        self.kernel_size = rows, columns = arguments.pair(kernel_size, "kernel_size")
        self.direction = arguments.one_of(direction, "direction", ("down", "down_right"))
        self.size = arguments.pair(size, "size")
        self.strides = arguments.integer(strides, "strides")
        fits = columns % 2 == 1 if self.by_row else columns == strides
        if rows != strides or not fits:
            expected = "odd columns" if self.by_row else f"{strides} columns"
            raise ValueError(
                f"`kernel_size` must have `strides` = {strides} rows and {expected} for {direction!r}. "
                f"Received: kernel_size={kernel_size}."
            )

    @property
    def by_row(self):
        """Whether a step takes a whole row."""
        return self.direction == "down"

    def build(self, input_shape):
        expected = tuple(-(-n // self.strides) for n in self.size)
        if tuple(input_shape[1:3]) != expected:
            raise ValueError(
                f"`inputs` must have {expected} rows and columns, for an output of size {self.size}. "
                f"Received: inputs.shape={tuple(input_shape)}."
            )
        self.add_normalized_kernel((*self.kernel_size, self.filters, input_shape[-1]), outputs_axis=2)

    def call(self, inputs):
        x = ops.cast(inputs, self.compute_dtype)
        return self.rescale(self._spread(x, self.unit_kernel(), self.strides))

    def _spread(self, x, kernel, row_stride):
        rows, columns = row_stride * x.shape[1], self.size[1]
        first = self.kernel_size[1] // 2 if self.by_row else 0
        strides = (row_stride, self.strides)
        y = backend.transposed_convolution(x, kernel, strides)
        return y[:, : min(rows, self.size[0]), first : first + columns]

    # One fine row, or one fine pixel, at a time: each comes from one coarse input, so nothing is carried.

    def prepare(self, condition=None):
        return {"kernel": self.normalized_kernel(), "bias": self.cast_weight(self.bias)}

    def step(self, constants, state, t, x):
        x, kernel = ops.cast(x, self.compute_dtype), constants["kernel"]
        if self.by_row:
            kernel = kernel[t % self.strides]  # (columns, filters, channels)
            y = self._spread(ops.expand_dims(x, 1), ops.expand_dims(kernel, 0), row_stride=1)[:, 0]
        else:
            row, column = t // self.size[1], t % self.size[1]
            kernel = kernel[row % self.strides][column % self.strides]  # (filters, channels)
            y = ops.matmul(x, ops.transpose(kernel))
        return y + constants["bias"], state

    def take(self, x, t):
        stride = 1 if tuple(x.shape[1:3]) == self.size else self.strides  # of whole outputs, or of whole inputs
        if self.by_row:
            return x[:, t // stride]
        row, column = t // self.size[1], t % self.size[1]
        return x[:, row // stride, column // stride]

    def compute_output_shape(self, input_shape):
        return (input_shape[0], *self.size, self.filters)

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "direction": self.direction,
            "size": self.size,
            "strides": self.strides,
        }

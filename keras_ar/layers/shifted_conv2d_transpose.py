"""Transposed convolutions that undo the strides of shifted ones, and see only what comes earlier."""

import keras
from keras import ops

from keras_ar import arguments
from keras_ar.layers.weight_norm import WeightNorm


@keras.saving.register_keras_serializable(package="keras_ar")
class ShiftedConv2DTranspose(WeightNorm):
    """Transposed 2D convolution from a coarse image to a fine one.

    The input at `(i, j)` belongs to the output at `(strides * i, strides * j)`, and only outputs from there
    on see it: those of its rows (`"down"`), or of its rows and columns (`"down_right"`). So a fine row comes
    from one coarse row, whatever the size.

    Args:
        filters: Number of output channels.
        kernel_size: Pair (rows, columns): rows are `strides`; columns are `strides`
            for `"down_right"`, and odd for `"down"`.
        direction: `"down"`, which steps row by row, or `"down_right"`, pixel by pixel.
        size: Pair (rows, columns): the size of the output; odd ones, too.
        strides: How many outputs there are for an input, in each direction.

    Call arguments:
        inputs: Tensor of shape `(batch, rows / strides, columns / strides, channels)`, rounded up.

    Returns:
        Tensor of shape `(batch, rows, columns, filters)`.

    Example:

    >>> layer = keras_ar.layers.ShiftedConv2DTranspose(4, (2, 3), direction="down", size=(7, 9))
    >>> layer(np.ones((1, 4, 5, 1))).shape[1:] == (7, 9, 4)
    True

    Reference:
        [Salimans et al., 2017](https://arxiv.org/abs/1701.05517), section 2.
    """

    def __init__(self, filters, kernel_size, direction, size, strides=2, **kwargs):
        super().__init__(**kwargs)
        self.filters = arguments.integer(filters, "filters")
        self.kernel_size = rows, columns = arguments.pair(kernel_size, "kernel_size")
        self.strides = arguments.integer(strides, "strides")
        self.size = arguments.pair(size, "size")
        if direction not in ("down", "down_right"):
            raise ValueError(f"`direction` must be 'down' or 'down_right'. Received: direction={direction!r}.")
        fits = columns % 2 == 1 if direction == "down" else columns == strides
        if rows != strides or not fits:
            expected = "odd columns" if direction == "down" else f"{strides} columns"
            raise ValueError(
                f"`kernel_size` must have `strides` = {strides} rows and {expected} for {direction!r}. "
                f"Received: kernel_size={kernel_size}."
            )
        self.direction = direction

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
        self.add_kernel((*self.kernel_size, self.filters, input_shape[-1]), outputs_axis=2)

    def call(self, inputs):
        x = ops.cast(inputs, self.compute_dtype)
        return self.scaled(self._spread(x, self.unit_kernel(), self.strides))

    def _spread(self, x, kernel, row_stride):
        rows, columns = row_stride * x.shape[1], self.size[1]
        first = self.kernel_size[1] // 2 if self.by_row else 0
        strides = (row_stride, self.strides)
        y = ops.conv_transpose(x, kernel, strides, padding="valid", data_format="channels_last")
        return y[:, : min(rows, self.size[0]), first : first + columns]

    def start(self, batch_size):
        gain = ops.expand_dims(self._cast(self.gain), -1)
        return {"kernel": self.unit_kernel() * gain, "bias": self._cast(self.bias)}

    def step(self, state, x, t):
        """The output of step `t` from the coarse input that it belongs to: a row, or a pixel."""
        x = ops.cast(x, self.compute_dtype)
        if self.by_row:
            kernel = state["kernel"][t % self.strides]  # (columns, filters, channels)
            y = self._spread(ops.expand_dims(x, 1), ops.expand_dims(kernel, 0), row_stride=1)[:, 0]
        else:
            row, column = t // self.size[1], t % self.size[1]
            kernel = state["kernel"][row % self.strides][column % self.strides]
            y = ops.matmul(x, ops.transpose(kernel))
        return y + state["bias"], state

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

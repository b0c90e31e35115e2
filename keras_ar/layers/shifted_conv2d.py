"""Convolutions without masks: an image shifted down, or down and to the right, sees only what comes earlier."""

import keras
import numpy as np
from keras import ops

from keras_ar import arguments
from keras_ar.layers.weight_norm import WeightNorm
from keras_ar.windows import PixelWindow, Window


@keras.saving.register_keras_serializable(package="keras_ar")
class ShiftedConv2D(WeightNorm):
    """2D convolution of the rows above and the own one (`"down"`), or of what stands above and to the left.

    `"down"` sees the own row as a whole and the rows above it: it belongs into a
    stack that carries what was seen in earlier rows, and steps row by row.
    `"down_right"` sees no column to the right of its own, and steps pixel by pixel.

    With `strict=True` the inputs are shifted once more, by a row or by a column:
    the output sees earlier rows only, or earlier pixels only.

    With strides the output at `(i, j)` belongs to the input at `(strides * i, strides * j)`; images of
    any size will do. A step then is taken in two: `record` for each input, `look` where an output is due.

    Args:
        filters: Number of output channels.
        kernel_size: Integer, or a pair (rows, columns); columns are odd for `"down"`.
        direction: `"down"` or `"down_right"`.
        strides: Every how many rows and columns there is an output.
        strict: Whether to shift by one row or column.
        weight_norm: Whether the kernel is `gain * kernel / |kernel|`.

    Call arguments:
        inputs: Tensor of shape `(batch, rows, columns, channels)`.

    Returns:
        Tensor of shape `(batch, rows / strides, columns / strides, filters)`, rounded up.

    Example:

    >>> layer = keras_ar.layers.ShiftedConv2D(4, (2, 3), direction="down", strides=2)
    >>> layer(np.ones((1, 7, 9, 1))).shape[1:] == (4, 5, 4)
    True

    Reference:
        [Salimans et al., 2017](https://arxiv.org/abs/1701.05517), section 2.
    """

    def __init__(self, filters, kernel_size, direction, strides=1, strict=False, weight_norm=True, **kwargs):
        super().__init__(**kwargs)
        self.filters = arguments.integer(filters, "filters")
        self.kernel_size = rows, columns = arguments.pair(kernel_size, "kernel_size")
        self.strides = arguments.integer(strides, "strides")
        self.strict = bool(strict)
        self.weight_norm = bool(weight_norm)
        if direction not in ("down", "down_right"):
            raise ValueError(f"`direction` must be 'down' or 'down_right'. Received: direction={direction!r}.")
        if direction == "down" and columns % 2 == 0:
            raise ValueError(f"`kernel_size` must have odd columns for 'down'. Received: kernel_size={kernel_size}.")
        if self.strict and self.strides > 1:
            raise ValueError(f"`strides` must be 1 where `strict` is true. Received: strides={strides}.")
        self.direction = direction
        if direction == "down":
            self.window = Window((1 - rows - strict, -strict), (-(columns // 2), columns // 2))
        else:
            self.window = Window((1 - rows, 0), (1 - columns - strict, -strict))

    @property
    def by_row(self):
        """Whether a step takes a whole row."""
        return self.direction == "down"

    def build(self, input_shape):
        _, _, self._columns, self._channels = input_shape
        shape = (*self.window.shape, self._channels, self.filters)
        if self.weight_norm:
            self.add_kernel(shape)
        else:
            self.kernel = self.add_weight(shape, "glorot_uniform", name="kernel")
            self.bias = self.add_weight((self.filters,), "zeros", name="bias")
        if not self.by_row:
            self._pixels = PixelWindow(self.window, np.ones(self.window.shape, bool), self._columns, 1, self._channels)

    def call(self, inputs):
        x = ops.cast(inputs, self.compute_dtype)
        if self.weight_norm:
            return self.scaled(self.window.convolve(x, self.unit_kernel(), self.strides))
        return self.window.convolve(x, self._cast(self.kernel), self.strides) + self._cast(self.bias)

    def start(self, batch_size):
        kernel = self.unit_kernel() * self._cast(self.gain) if self.weight_norm else self._cast(self.kernel)
        if self.by_row:
            seen = self.window.start_rows(batch_size, self._columns, self._channels, self.compute_dtype)
        else:
            kernel = self._pixels.arrange(kernel)[0]
            seen = self._pixels.start(batch_size, self.compute_dtype)
        return {"kernel": kernel, "bias": self._cast(self.bias), "seen": seen}

    def step(self, state, x, t):
        state = self.record(state, x, t)
        return self.look(state, t), state

    def record(self, state, x, t):
        """State once the input of step `t` has come: a row `(batch, columns, channels)`, or a pixel."""
        if self.by_row:
            if self.strict:  # before the first row there is none
                x = ops.where(t > 0, x, ops.zeros_like(x))
            return {**state, "seen": self.window.push_row(state["seen"], x)}
        write = self._pixels.write_late if self.strict else self._pixels.write
        return {**state, "seen": write(state["seen"], x, t)}

    def look(self, state, t):
        """The output that is due at step `t` of the inputs."""
        if self.by_row:
            return self.window.convolve_row(state["seen"], state["kernel"], self.strides) + state["bias"]
        seen = self._pixels.read(state["seen"], t)
        return ops.transpose(ops.matmul(state["kernel"], seen)) + state["bias"]

    def compute_output_shape(self, input_shape):
        batch, *size, _ = input_shape
        return (batch, *(-(-n // self.strides) for n in size), self.filters)

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "direction": self.direction,
            "strides": self.strides,
            "strict": self.strict,
            "weight_norm": self.weight_norm,
        }

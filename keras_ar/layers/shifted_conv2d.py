"""Convolutions without masks: an image shifted down, or down and to the right, sees only what comes earlier."""

import keras
import numpy as np
from keras import ops

from keras_ar import arguments
from keras_ar.layers.weight_norm import WeightNorm
from keras_ar.windows import PixelWindow, Window

__all__ = ["ShiftedConv2D"]


@keras.saving.register_keras_serializable(package="keras_ar")
class ShiftedConv2D(WeightNorm):
    """2D convolution that sees the rows above and the current one (`"down"`), or what is above and to the left.

    `"down"` sees the current row as a whole: use it in the vertical stack, which steps row by row.
    `"down_right"` sees no column to the right of the pixel, and steps pixel by pixel.

    With `strict=True` the inputs are shifted once more, by a row (`"down"`) or by a column
    (`"down_right"`): the output sees earlier rows only, or earlier pixels only.

    With strides the output at `(i, j)` belongs to the input at `(strides * i, strides * j)`, in images of
    any size. A step then has two parts: `write` for each input, `read` where an output is due.

    Args:
        filters: Integer, number of output channels.
        kernel_size: Integer, or a pair (rows, columns); columns are odd for `"down"`.
        direction: `"down"` or `"down_right"`.
        strides: Integer, the number of rows and columns from one output to the next. Defaults to `1`.
        strict: Boolean, whether to hide a position from itself. Defaults to `False`.
        weight_norm: Boolean, whether the kernel is `gain * kernel / |kernel|`. Defaults to `True`.
        kernel_initializer: Initializer of the kernel. Defaults to `None`: `"random_normal"` with
            weight normalization, `"glorot_uniform"` without.
        **kwargs: Initializers, regularizers and constraints, as in `keras.layers.Dense`; `name` and `dtype`.

    Call arguments:
        inputs: Tensor of shape `(batch, rows, columns, channels)`.

    Returns:
        Tensor of shape `(batch, rows / strides, columns / strides, filters)`, rounded up.

    Example:

    >>> layer = keras_ar.layers.ShiftedConv2D(4, (2, 3), direction="down", strides=2)
    >>> tuple(layer(np.ones((1, 7, 9, 1))).shape)
    (1, 4, 5, 4)

    Reference:
        [Salimans et al., 2017](https://arxiv.org/abs/1701.05517), section 2.
    """

    def __init__(
        self,
        filters,
        kernel_size,
        direction,
        strides=1,
        strict=False,
        weight_norm=True,
        kernel_initializer=None,
        **kwargs,
    ):
        default_initializer = "random_normal" if weight_norm else "glorot_uniform"
        super().__init__(kernel_initializer=kernel_initializer or default_initializer, **kwargs)
        self.filters = arguments.integer(filters, "filters")
        self.kernel_size = rows, columns = arguments.pair(kernel_size, "kernel_size")
        self.direction = arguments.one_of(direction, "direction", ("down", "down_right"))
        self.strides = arguments.integer(strides, "strides")
        self.strict = arguments.boolean(strict, "strict")
        self.weight_norm = arguments.boolean(weight_norm, "weight_norm")
        if self.by_row and columns % 2 == 0:
            raise ValueError(f"`kernel_size` must have odd columns for 'down'. Received: kernel_size={kernel_size}.")
        if self.strict and self.strides > 1:
            raise ValueError(f"`strides` must be 1 where `strict` is true. Received: strides={strides}.")
        if self.by_row:
            self.window = Window((1 - rows - strict, -strict), (-(columns // 2), columns // 2))
        else:
            self.window = Window((1 - rows, 0), (1 - columns - strict, -strict))

    @property
    def by_row(self):
        """Whether a step takes a whole row."""
        return self.direction == "down"

    def build(self, input_shape):
        _, _, self._columns, self._channels = input_shape
        self.input_spec = keras.layers.InputSpec(ndim=4, axes={2: self._columns, 3: self._channels})
        shape = (*self.window.shape, self._channels, self.filters)
        if self.weight_norm:
            self.add_normalized_kernel(shape)
        else:
            self.kernel, self.bias = self.add_kernel(shape), self.add_bias((self.filters,))
        if not self.by_row:
            self._pixels = PixelWindow(self.window, np.ones(self.window.shape, bool), self._columns, 1, self._channels)

    def call(self, inputs):
        x = ops.cast(inputs, self.compute_dtype)
        if self.weight_norm:
            return self.rescale(self.window.convolve(x, self.unit_kernel(), self.strides))
        return self.window.convolve(x, self.cast_weight(self.kernel), self.strides) + self.cast_weight(self.bias)

    # One row, or one pixel, at a time: the state holds the inputs that the window sees.

    def prepare(self, condition=None):
        kernel = self.normalized_kernel() if self.weight_norm else self.cast_weight(self.kernel)
        if not self.by_row:
            kernel = self._pixels.arrange(kernel)[0]  # (filters, taps * channels)
        return {"kernel": kernel, "bias": self.cast_weight(self.bias)}

    def start(self, batch_size, num_steps):
        if self.by_row:
            return self.window.start_rows(batch_size, self._columns, self._channels, self.compute_dtype)
        return self._pixels.start(batch_size, self.compute_dtype)

    def step(self, constants, state, t, x):
        state = self.write(state, t, x)
        return self.read(constants, state, t), state

    def write(self, state, t, x):
        """The state after the input of step `t`: a row `(batch, columns, channels)`, or a pixel `(batch, channels)`."""
        if not self.by_row:
            return (self._pixels.write_late if self.strict else self._pixels.write)(state, x, t)
        if self.strict:  # there is no row before the first
            x = ops.where(t > 0, x, ops.zeros_like(x))
        return self.window.push_row(state, x)

    def read(self, constants, state, t):
        """The output that is due at step `t` of the inputs."""
        if self.by_row:
            return self.window.convolve_row(state, constants["kernel"], self.strides) + constants["bias"]
        seen = self._pixels.read(state, t)  # (taps * channels, batch)
        return ops.transpose(ops.matmul(constants["kernel"], seen)) + constants["bias"]

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

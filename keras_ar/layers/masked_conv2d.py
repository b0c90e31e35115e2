"""Convolution that sees only what comes earlier in raster order."""

import keras
import numpy as np
from keras import ops

from keras_ar import arguments, backend
from keras_ar.layers.kernel_layer import KernelLayer
from keras_ar.windows import PixelWindow, Window

__all__ = ["MaskedConv2D"]


@keras.saving.register_keras_serializable(package="keras_ar")
class MaskedConv2D(KernelLayer):
    """2D convolution that sees earlier pixels in raster order, and with mask type B the current one.

    Only the upper rows of the kernel are stored, down to the current one. The mask removes the
    remaining taps of the current row and, where colors come one after the other,
    the later colors of the current pixel.

    With `num_colors=3` the features of a pixel are three equal parts, in the order R,
    G, B: in the current pixel those of R see R (with mask type A: nothing), those of G see
    R and G (R), those of B see R, G and B (R and G). The parts may also lie on an axis of
    their own, which makes the colors positions; a step always takes one color.

    Args:
        filters: Integer, number of output channels, a multiple of `num_colors`.
        kernel_size: Odd integer, or a pair of odd integers (rows, columns).
        mask_type: `"A"`: strictly earlier positions; `"B"`: the current one as well. Defaults to `"B"`.
        dilation_rate: Integer, spacing of the kernel's taps. Defaults to `1`.
        num_colors: Integer, number of colors of a pixel that come one after the other. Defaults to `1`.
        activation: Activation function, as in `keras.layers.Conv2D`. Defaults to `None`.
        use_bias: Boolean, whether to add a bias. Defaults to `True`.
        **kwargs: Initializers, regularizers and constraints, as in `keras.layers.Dense`; `name` and `dtype`.

    Call arguments:
        inputs: Tensor of shape `(batch, rows, columns, channels)`, or
            `(batch, rows, columns, num_colors, channels / num_colors)`.

    Returns:
        Tensor in the layout of the inputs.

    Example:

    >>> layer = keras_ar.layers.MaskedConv2D(16, 7, mask_type="A")
    >>> tuple(layer(np.ones((1, 5, 6, 1))).shape)
    (1, 5, 6, 16)

    Reference:
        [van den Oord et al., 2016](https://arxiv.org/abs/1601.06759), section 3.4.
    """

    def __init__(
        self,
        filters,
        kernel_size,
        mask_type="B",
        dilation_rate=1,
        num_colors=1,
        activation=None,
        use_bias=True,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.filters = arguments.integer(filters, "filters")
        self.kernel_size = arguments.pair(kernel_size, "kernel_size")
        if any(size % 2 == 0 for size in self.kernel_size):
            raise ValueError(f"`kernel_size` must be odd: a kernel has a center. Received: kernel_size={kernel_size}.")
        self.mask_type = arguments.one_of(mask_type, "mask_type", ("A", "B"))
        self.dilation_rate = arguments.integer(dilation_rate, "dilation_rate")
        self.num_colors = arguments.integer(num_colors, "num_colors")
        arguments.multiple(self.filters, "filters", self.num_colors, "num_colors")
        if self.strict and num_colors == 1 and self.kernel_size == (1, 1):
            raise ValueError(
                f"`kernel_size` must be more than 1 with mask type 'A': such a kernel sees nothing at all. "
                f"Received: kernel_size={kernel_size!r}."
            )
        self.activation = keras.activations.get(activation)
        self.use_bias = arguments.boolean(use_bias, "use_bias")

        above, aside = self.kernel_size[0] // 2, self.kernel_size[1] // 2
        sees_current = not self.strict or num_colors > 1
        last_column = aside if above else (0 if sees_current else -1)
        self.window = Window((-above, 0), (-aside, last_column), self.dilation_rate)
        self._sees_current_alone = self.window.shape == (1, 1) and num_colors == 1 and not self.strict

    @property
    def strict(self):
        """Whether a position is hidden from itself."""
        return self.mask_type == "A"

    def build(self, input_shape):
        channels = self.merged_shape(input_shape)[-1]
        self.input_spec = keras.layers.InputSpec(axes={2: input_shape[2]})  # features may have an axis of colors
        arguments.multiple(channels, "inputs.shape[-1]", self.num_colors, "num_colors")
        self.mask = self._make_mask(channels)
        self._pixels = PixelWindow(
            self.window, self.mask.any(axis=(2, 3)), input_shape[2], self.num_colors, channels // self.num_colors
        )
        self._zeros_and_ones = None if self.mask.all() else backend.Constant(self.mask, self.compute_dtype)
        self.kernel = self.add_kernel(self.mask.shape)
        self.bias = self.add_bias((self.filters,)) if self.use_bias else None

    def _make_mask(self, channels):
        """Zeros and ones, in the shape of the kernel: `(rows, columns, channels, filters)`."""
        mask = np.ones((*self.window.shape, channels, self.filters), "float32")
        center = self.kernel_size[1] // 2
        mask[-1, center + 1 :] = 0
        if center < mask.shape[1]:
            source = np.arange(channels) // (channels // self.num_colors)
            target = np.arange(self.filters) // (self.filters // self.num_colors)
            mask[-1, center] = source[:, None] < target if self.strict else source[:, None] <= target
        return mask

    def call(self, inputs):
        x = ops.cast(inputs, self.compute_dtype)
        has_color_axis = len(x.shape) == 5
        if has_color_axis:
            x = ops.reshape(x, (-1, *self.merged_shape(x.shape)[1:]))
        y = self.window.convolve(x, self._masked_kernel())
        if self.use_bias:
            y = y + self.bias
        if has_color_axis:
            y = ops.reshape(y, (-1, *y.shape[1:3], self.num_colors, self.filters // self.num_colors))
        return self.activation(y)

    def _masked_kernel(self):
        kernel = self.cast_weight(self.kernel)
        return kernel if self._zeros_and_ones is None else ops.multiply(kernel, self._zeros_and_ones())

    # One pixel, or one color of it, at a time: inputs of shape `(batch, channels / num_colors)`.

    def prepare(self, condition=None):
        constants = {"kernel": self._pixels.arrange(self._masked_kernel())}  # (num_colors, outputs, taps)
        if self.use_bias:
            constants["bias"] = ops.reshape(self.cast_weight(self.bias), (self.num_colors, -1))
        return constants

    def start(self, batch_size, num_steps):
        return () if self._sees_current_alone else self._pixels.start(batch_size, self.compute_dtype)

    def step(self, constants, state, t, x):
        color = 0 if self.num_colors == 1 else t % self.num_colors
        kernel = constants["kernel"][color]
        if self._sees_current_alone:
            y = ops.matmul(ops.cast(x, self.compute_dtype), ops.transpose(kernel))
        else:
            state = (self._pixels.write_late if self.strict else self._pixels.write)(state, x, t)
            y = ops.transpose(ops.matmul(kernel, self._pixels.read(state, t)))
        if self.use_bias:
            y = y + constants["bias"][color]
        return self.activation(y), state  # (batch, filters / num_colors)

    def prefill(self, constants, state, inputs):
        # Zeros complete the last row: they come after every output that is kept.
        _, num_steps, features = inputs.shape
        row_length = self._pixels.columns * self.num_colors
        x = ops.pad(inputs, [[0, 0], [0, -num_steps % row_length], [0, 0]])
        x = ops.reshape(x, (-1, x.shape[1] // row_length, self._pixels.columns, self.num_colors, features))
        y = ops.reshape(self(x), (-1, x.shape[1] * row_length, self.filters // self.num_colors))
        return y[:, :num_steps], state if self._sees_current_alone else self._pixels.filled(x, self.compute_dtype)

    def merged_shape(self, shape):
        """The shape `(batch, rows, columns, channels)` of inputs or outputs: all colors of a pixel side by side."""
        if len(shape) == 4:
            return tuple(shape)
        if len(shape) == 5 and shape[3] == self.num_colors:
            return (*shape[:3], self.num_colors * shape[4])
        raise ValueError(
            f"`inputs` must have shape (batch, rows, columns, channels), or (batch, rows, columns, {self.num_colors}, "
            f"channels / {self.num_colors}) with an axis of colors. Received: inputs.shape={tuple(shape)}."
        )

    def compute_output_shape(self, input_shape):
        self.merged_shape(input_shape)
        if len(input_shape) == 4:
            return (*input_shape[:3], self.filters)
        return (*input_shape[:4], self.filters // self.num_colors)

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "mask_type": self.mask_type,
            "dilation_rate": self.dilation_rate,
            "num_colors": self.num_colors,
            "activation": keras.activations.serialize(self.activation),
            "use_bias": self.use_bias,
        }

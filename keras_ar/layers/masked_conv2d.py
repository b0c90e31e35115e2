"""Convolution that sees only what comes earlier in raster order."""

import keras
import numpy as np
from keras import ops

from keras_ar import arguments
from keras_ar.windows import PixelWindow, Window


@keras.saving.register_keras_serializable(package="keras_ar")
class MaskedConv2D(keras.layers.Layer):
    """2D convolution that sees earlier pixels in raster order, and with mask type B its own.

    Only the part of the kernel that may see something exists: the rows above and
    the own one. What is masked are a few taps of the own row, and, where colours
    come one after the other, what the own pixel's later channels would tell.

    With `groups=3` the features of a pixel are three equal parts, in the order R,
    G, B: those of R see nothing of their own pixel but R (with mask type A:
    nothing), those of G see R and G (R), those of B see R, G and B (R and G).
    The parts may also stand on an axis of their own.

    Args:
        filters: Number of output channels, a multiple of `groups`.
        kernel_size: Odd integer, or a pair of odd integers (rows, columns).
        mask_type: `"A"`: strictly earlier positions; `"B"`: the own one as well.
        dilation_rate: Spacing of the kernel's taps.
        groups: Number of colours that come one after the other.
        activation: Activation function, as in `keras.layers.Conv2D`.
        use_bias: Whether to add a bias.
        kernel_initializer: Initializer of the kernel.
        bias_initializer: Initializer of the bias.

    Call arguments:
        inputs: Tensor of shape `(batch, rows, columns, channels)`, or
            `(batch, rows, columns, groups, channels / groups)`.

    Returns:
        Tensor in the layout of the inputs.

    Example:

    >>> layer = keras_ar.layers.MaskedConv2D(16, 7, mask_type="A")
    >>> layer(np.ones((1, 5, 6, 1))).shape[1:] == (5, 6, 16)
    True

    Reference:
        [van den Oord et al., 2016](https://arxiv.org/abs/1601.06759), section 3.4.
    """

    def __init__(
        self,
        filters,
        kernel_size,
        mask_type="B",
        dilation_rate=1,
        groups=1,
        activation=None,
        use_bias=True,
        kernel_initializer="glorot_uniform",
        bias_initializer="zeros",
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.filters = arguments.integer(filters, "filters")
        self.kernel_size = arguments.pair(kernel_size, "kernel_size")
        if any(size % 2 == 0 for size in self.kernel_size):
            raise ValueError(f"`kernel_size` must be odd: a kernel has a centre. Received: kernel_size={kernel_size}.")
        if mask_type not in ("A", "B"):
            raise ValueError(f"`mask_type` must be 'A' or 'B'. Received: mask_type={mask_type!r}.")
        self.mask_type = mask_type
        self.dilation_rate = arguments.integer(dilation_rate, "dilation_rate")
        self.groups = arguments.integer(groups, "groups")
        arguments.multiple(self.filters, "filters", self.groups, "groups")
        if mask_type == "A" and groups == 1 and self.kernel_size == (1, 1):
            raise ValueError("`kernel_size` must be more than 1 with mask type 'A': such a kernel sees nothing at all.")
        self.activation = keras.activations.get(activation)
        self.use_bias = use_bias
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)

        above, aside = self.kernel_size[0] // 2, self.kernel_size[1] // 2
        sees_itself = mask_type == "B" or groups > 1
        last_column = aside if above else (0 if sees_itself else -1)
        self.window = Window((-above, 0), (-aside, last_column), self.dilation_rate)

    @property
    def strict(self):
        """Whether a position is hidden from itself."""
        return self.mask_type == "A"

    def build(self, input_shape):
        channels = self.merged_shape(input_shape)[-1]
        arguments.multiple(channels, "inputs.shape[-1]", self.groups, "groups")
        self.mask = self._make_mask(channels)
        self._pixels = PixelWindow(
            self.window, self.mask.any(axis=(2, 3)), input_shape[2], self.groups, channels // self.groups
        )
        self.kernel = self.add_weight(self.mask.shape, self.kernel_initializer, name="kernel")
        self.bias = self.add_weight((self.filters,), self.bias_initializer, name="bias") if self.use_bias else None

    def _make_mask(self, channels):
        """Zeros and ones, in the shape of the kernel: `(rows, columns, channels, filters)`."""
        mask = np.ones((*self.window.shape, channels, self.filters), "float32")
        own = self.kernel_size[1] // 2
        mask[-1, own + 1 :] = 0
        if own < mask.shape[1]:
            source = np.arange(channels) // (channels // self.groups)
            target = np.arange(self.filters) // (self.filters // self.groups)
            mask[-1, own] = source[:, None] < target if self.strict else source[:, None] <= target
        return mask

    def call(self, inputs):
        x = ops.cast(inputs, self.compute_dtype)
        has_groups_apart = len(x.shape) == 5
        if has_groups_apart:
            x = ops.reshape(x, (-1, *self.merged_shape(x.shape)[1:]))
        y = self.window.convolve(x, self._masked_kernel())
        if self.use_bias:
            y = y + self.bias
        if has_groups_apart:
            y = ops.reshape(y, (-1, *y.shape[1:3], self.groups, self.filters // self.groups))
        return self.activation(y)

    def _masked_kernel(self):
        kernel = ops.cast(ops.convert_to_tensor(self.kernel), self.compute_dtype)
        return kernel if self.mask.all() else ops.multiply(kernel, ops.cast(self.mask, self.compute_dtype))

    def start(self, batch_size):
        state = {"kernel": self._pixels.arrange(self._masked_kernel())}  # (groups, outputs, taps)
        if self.use_bias:
            bias = ops.cast(ops.convert_to_tensor(self.bias), self.compute_dtype)
            state["bias"] = ops.reshape(bias, (self.groups, -1))
        if not self._sees_itself_alone:
            state["seen"] = self._pixels.start(batch_size, self.compute_dtype)
        return state

    def step(self, state, x, t):
        group = 0 if self.groups == 1 else t % self.groups
        if self._sees_itself_alone:
            y = ops.matmul(ops.cast(x, self.compute_dtype), ops.transpose(state["kernel"][0]))
        else:
            write = self._pixels.write_late if self.strict else self._pixels.write
            seen = write(state["seen"], x, t)
            state = {**state, "seen": seen}
            y = ops.transpose(ops.matmul(state["kernel"][group], self._pixels.read(seen, t)))
        if self.use_bias:
            y = y + state["bias"][group]
        return self.activation(y), state  # (batch, filters / groups)

    @property
    def _sees_itself_alone(self):
        return self.groups == 1 and self.window.shape == (1, 1) and not self.strict

    def merged_shape(self, shape):
        if len(shape) == 4:
            return tuple(shape)
        if len(shape) == 5 and shape[3] == self.groups:
            return (*shape[:3], self.groups * shape[4])
        raise ValueError(
            f"`inputs` must have shape (batch, rows, columns, channels), or (batch, rows, columns, {self.groups}, "
            f"channels / {self.groups}) with `groups` apart. Received: inputs.shape={tuple(shape)}."
        )

    def compute_output_shape(self, input_shape):
        self.merged_shape(input_shape)
        if len(input_shape) == 4:
            return (*input_shape[:3], self.filters)
        return (*input_shape[:4], self.filters // self.groups)

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "mask_type": self.mask_type,
            "dilation_rate": self.dilation_rate,
            "groups": self.groups,
            "activation": keras.activations.serialize(self.activation),
            "use_bias": self.use_bias,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
        }

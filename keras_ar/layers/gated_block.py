"""The block of Gated PixelCNN: two stacks that leave no blind spot."""

import math

import keras
from keras import ops

from keras_ar import arguments, backend
from keras_ar.layers.activations import gated_tanh
from keras_ar.layers.kernel_layer import KernelLayer
from keras_ar.layers.masked_conv2d import MaskedConv2D
from keras_ar.layers.shifted_conv2d import ShiftedConv2D

__all__ = ["GatedBlock"]


@keras.saving.register_keras_serializable(package="keras_ar")
class GatedBlock(KernelLayer):
    """A vertical stack sees the rows above; a horizontal stack sees the vertical one and the current row up to here.

    The first block has mask type A and takes an image: its vertical stack sees
    the rows above the current one, its horizontal stack the pixels to the left.
    Blocks of type B take the pair `(vertical, horizontal)`, of what a block returns.

    The vertical features of a row depend on earlier rows alone. So a step has two
    parts: `begin_row` at the first pixel of a row, for the row as a whole, then
    `step_pixel` for each pixel, or each color of it. A block of type A is given the image pixel at
    `t - 1`; one of type B the pair of the current row of vertical features and the horizontal ones at `t`.
    The output of a step is the triple of the row of vertical features, the horizontal and the skip features.

    Args:
        filters: Integer, number of channels of each stack, a multiple of `num_colors`.
        kernel_size: Odd integer: the vertical kernel covers half of its square. Defaults to `3`.
        mask_type: `"A"` for the first block, `"B"` for the others. Defaults to `"B"`.
        num_colors: Integer, number of colors of a pixel that come one after the other; see `MaskedConv2D`.
            With more than one, the horizontal stack has them on an axis of their own. Defaults to `1`.
        dropout: Float in [0, 1). Dropout rate in the horizontal stack, active in training. Defaults to `0.0`.
        **kwargs: Initializers, regularizers and constraints, as in `keras.layers.Dense`; `name` and `dtype`.

    Call arguments:
        inputs: With mask type A a tensor of shape `(batch, rows, columns, channels)`, with B the first two
            of the three that a block returns, the vertical and the horizontal features.
        condition: Optional tensor of shape `(batch, features)`, or a map over the image
            of shape `(batch, rows, columns, features)`.

    Returns:
        The triple of vertical features, horizontal features, and skip features, which go to the head.

    Example:

    >>> block = keras_ar.layers.GatedBlock(8, 3, mask_type="A")
    >>> vertical, horizontal, skip = block(np.ones((1, 5, 6, 1)))
    >>> tuple(skip.shape)
    (1, 5, 6, 8)

    Reference:
        [van den Oord et al., 2016](https://arxiv.org/abs/1606.05328), figure 2.
    """

    def __init__(self, filters, kernel_size=3, mask_type="B", num_colors=1, dropout=0.0, **kwargs):
        super().__init__(**kwargs)
        self.filters = arguments.integer(filters, "filters")
        self.kernel_size = arguments.integer(kernel_size, "kernel_size")
        self.mask_type = arguments.one_of(mask_type, "mask_type", ("A", "B"))
        self.num_colors = arguments.integer(num_colors, "num_colors")
        self.dropout = arguments.rate(dropout, "dropout")

        dtype, masked = {"dtype": self.dtype_policy}, {"dtype": self.dtype_policy, "num_colors": num_colors}
        self.horizontal = MaskedConv2D(
            2 * filters, (1, kernel_size), mask_type, name="horizontal", **masked, **self.weight_options
        )
        self.vertical = ShiftedConv2D(
            2 * filters,
            (kernel_size // 2 + 1, kernel_size),
            "down",
            strict=self.strict,
            weight_norm=False,
            name="vertical",
            **dtype,
            **self.weight_options,
        )
        self.vertical_to_horizontal = keras.layers.Dense(
            2 * filters, use_bias=False, name="vertical_to_horizontal", **dtype, **self.weight_options
        )
        self.skip = MaskedConv2D(filters, 1, name="skip", **masked, **self.weight_options)
        self.out = MaskedConv2D(filters, 1, name="out", **masked, **self.weight_options)
        self.condition_biases = [
            keras.layers.Dense(
                2 * filters, use_bias=False, name=f"{stack}_condition_bias", **dtype, **self.weight_options
            )
            for stack in ("vertical", "horizontal")
        ]
        self.dropout_layer = keras.layers.Dropout(dropout, **dtype)

    @property
    def strict(self):
        """Whether a position is hidden from itself: in the block that takes the image."""
        return self.mask_type == "A"

    def build(self, inputs_shape, condition_shape=None):
        is_pair = len(inputs_shape) == 2 and all(isinstance(shape, tuple | list) for shape in inputs_shape)
        if is_pair == self.strict:
            expected = "an image" if self.strict else "the pair of vertical and horizontal features"
            raise ValueError(
                f"`inputs` must be {expected} with mask type {self.mask_type!r}. Received shape {inputs_shape}."
            )
        vertical, horizontal = (inputs_shape, inputs_shape) if self.strict else inputs_shape
        batch, rows, columns, channels = vertical
        if self.strict and self.num_colors > 1:
            horizontal = (batch, rows, columns, self.num_colors, channels // self.num_colors)
        self._columns, self._row_length = columns, columns and columns * self.num_colors
        self._channels = channels

        self.vertical.build(vertical)
        self.horizontal.build(horizontal)
        self.vertical_to_horizontal.build((batch, rows, columns, 2 * self.filters))
        gated = (*horizontal[:-1], self.filters // self.num_colors)
        self.skip.build(gated)
        self.out.build(gated)
        if condition_shape is not None:
            for dense in self.condition_biases:
                dense.build(condition_shape)

    def call(self, inputs, condition=None, training=None):
        v, h = (inputs, self._split_colors(inputs)) if self.strict else inputs
        v, horizontal_bias = self.vertical(v), 0.0  # (batch, rows, columns, 2 * filters)
        if condition is not None:
            vertical_bias, horizontal_bias = self._biases_from(condition)
            v = v + vertical_bias
        from_vertical = self._split_colors(self.vertical_to_horizontal(v) + horizontal_bias)
        gated = self.dropout_layer(gated_tanh(self.horizontal(h) + from_vertical), training=training)
        out = self.out(gated)
        return gated_tanh(v), out if self.strict else h + out, self.skip(gated)

    def _split_colors(self, x):
        """The features of a pixel, with those of each color on an axis of their own if there are several colors."""
        if self.num_colors == 1:
            return x
        return ops.reshape(x, (-1, *x.shape[1:-1], self.num_colors, x.shape[-1] // self.num_colors))

    def _biases_from(self, condition):
        """What the condition adds to each stack, `(batch, rows or 1, columns or 1, 2 * filters)`."""
        biases = [dense(condition) for dense in self.condition_biases]
        return biases if len(condition.shape) == 4 else [ops.expand_dims(bias, (1, 2)) for bias in biases]

    # One row, then one pixel of it, or one color of a pixel, at a time.

    @property
    def _parts(self):
        return {"vertical": self.vertical, "horizontal": self.horizontal, "skip": self.skip, "out": self.out}

    def prepare(self, condition=None):
        constants = {name: part.prepare() for name, part in self._parts.items()}
        if condition is not None:
            constants["condition_biases"] = self._biases_from(condition)
        return constants

    def start(self, batch_size, num_steps):
        row = ops.zeros((batch_size, self._columns, self.filters), self.compute_dtype)
        return {**self.start_pixels(batch_size, num_steps), "row": row}

    def start_pixels(self, batch_size, num_steps):
        """The initial state for `begin_row` and `step_pixel`."""
        state = {name: part.start(batch_size, num_steps) for name, part in self._parts.items()}
        shapes = {"from_vertical": (self._columns, 2 * self.filters)}
        if self.strict:  # the image row up to this pixel, then the row above
            shapes["image_row"] = (self._row_length, self._channels // self.num_colors)
        zeros = {name: ops.zeros((batch_size, *shape), self.compute_dtype) for name, shape in shapes.items()}
        return {**state, **zeros}

    def step(self, constants, state, t, x):
        below, x = (x, x) if self.strict else x

        def begin_row(changing):
            row, begun = self.begin_row(constants, state, below, t // self._row_length)
            return {**begun, "row": row}

        changing = {name: state[name] for name in ("vertical", "from_vertical", "row")}
        state = {**state, **backend.when(t % self._row_length == 0, begin_row, changing)}
        (h, skip), state = self.step_pixel(constants, state, t, x)
        return (state["row"], h, skip), state

    def begin_row(self, constants, state, below, r):
        """Moves the vertical stack on to row `r`, before the first pixel of it.

        Args:
            constants: From `prepare`.
            state: From `start_pixels`, or from the step before.
            below: With mask type B, row `r` of the vertical features of the block below, `(batch, columns, filters)`;
                with A, the last pixel of the image row above, or the last color of it.
            r: Integer or scalar tensor, the row.

        Returns:
            The row of vertical features, `(batch, columns, filters)`, and what of the state is new.
        """
        if self.strict:
            below = ops.reshape(self._with_pixel(state["image_row"], below, -1), (-1, self._columns, self._channels))
        v, vertical = self.vertical.step(constants["vertical"], state["vertical"], r, below)
        horizontal_bias = 0.0
        if "condition_biases" in constants:
            vertical_bias, horizontal_bias = (
                bias[:, r if bias.shape[1] > 1 else 0] for bias in constants["condition_biases"]
            )
            v = v + vertical_bias
        return gated_tanh(v), {"vertical": vertical, "from_vertical": self.vertical_to_horizontal(v) + horizontal_bias}

    def step_pixel(self, constants, state, t, x):
        """The horizontal and the skip features at step `t`, in the row that has been begun.

        Args:
            constants: From `prepare`.
            state: From the step before, with what `begin_row` has made new.
            t: Integer or scalar tensor, the position.
            x: Tensor of shape `(batch, features)`: with mask type B the horizontal features of the block
                below at `t`, with A the image pixel at `t - 1`, or a color of it.

        Returns:
            The pair of horizontal and skip features, `(batch, filters / num_colors)`, and the next state.
        """
        if self.strict:
            state = {**state, "image_row": self._with_pixel(state["image_row"], x, t - 1)}
        column, color = t // self.num_colors % self._columns, t % self.num_colors
        from_vertical = ops.reshape(
            state["from_vertical"], (-1, self._columns, self.num_colors, 2 * self.filters // self.num_colors)
        )
        h, horizontal = self.horizontal.step(constants["horizontal"], state["horizontal"], t, x)
        gated = gated_tanh(h + from_vertical[:, column, color])
        h, out = self.out.step(constants["out"], state["out"], t, gated)
        skip, skip_state = self.skip.step(constants["skip"], state["skip"], t, gated)
        if not self.strict:
            h = ops.cast(x, self.compute_dtype) + h
        return (h, skip), {**state, "horizontal": horizontal, "out": out, "skip": skip_state}

    def _with_pixel(self, row, x, t):
        """The image row, with the pixel (or the color) of step `t` in its place."""
        x = ops.expand_dims(ops.cast(x, row.dtype), 1)
        return ops.slice_update(row, (0, t % self._row_length, 0), x)

    def take(self, x, t):
        if not isinstance(x, tuple | list):
            return self._take_pixel(x, t)
        vertical, *others = x
        return (vertical[:, t // self._row_length], *(self._take_pixel(other, t) for other in others))

    def _take_pixel(self, x, t):
        features = x.shape[-1] if len(x.shape) == 5 else x.shape[-1] // self.num_colors
        num_steps = math.prod(x.shape[1:]) // features
        return ops.reshape(x, (-1, num_steps, features))[:, t]

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "mask_type": self.mask_type,
            "num_colors": self.num_colors,
            "dropout": self.dropout,
        }

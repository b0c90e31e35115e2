"""The block of Gated PixelCNN: two stacks that leave no blind spot."""

import keras
from keras import ops

from keras_ar import arguments
from keras_ar.layers.masked_conv2d import MaskedConv2D
from keras_ar.layers.shifted_conv2d import ShiftedConv2D


@keras.saving.register_keras_serializable(package="keras_ar")
class GatedBlock(keras.layers.Layer):
    """A vertical stack that sees the rows above, and a horizontal one that sees it and the own row up to here.

    A block of mask type A takes an image and comes first: its vertical stack sees
    rows above the own one only, its horizontal stack what stands to the left.
    Blocks of type B take what a block gives: `(vertical, horizontal)`.

    The vertical features of a row depend on earlier rows alone. So stepping has two
    parts: `begin_row` at the first pixel of a row, for the row as a whole, then
    `step` for each pixel, or for each colour of it.

    Args:
        filters: Number of channels of each stack, a multiple of `groups`.
        kernel_size: Odd integer: the vertical kernel covers half of its square.
        mask_type: `"A"` for the first block, `"B"` for the others.
        groups: Number of colours that come one after the other; see `MaskedConv2D`.
            With more than one, the horizontal stack has them on an axis of their own.
        dropout: Rate of dropout in the horizontal stack, in training.

    Call arguments:
        inputs: With mask type A a tensor of shape `(batch, rows, columns, channels)`, with B the pair of
            vertical and horizontal features.
        condition: Optional tensor of shape `(batch, features)`, or a map over the image
            of shape `(batch, rows, columns, features)`.

    Returns:
        The triple of vertical features, horizontal features, and what the block
        hands to the head (skip).

    Example:

    >>> block = keras_ar.layers.GatedBlock(8, 3, mask_type="A")
    >>> vertical, horizontal, skip = block(np.ones((1, 5, 6, 1)))
    >>> skip.shape[1:] == (5, 6, 8)
    True

    Reference:
        [van den Oord et al., 2016](https://arxiv.org/abs/1606.05328), figure 2.
    """

    def __init__(self, filters, kernel_size=3, mask_type="B", groups=1, dropout=0.0, **kwargs):
        super().__init__(**kwargs)
        self.filters = arguments.integer(filters, "filters")
        self.kernel_size = arguments.integer(kernel_size, "kernel_size")
        self.mask_type = mask_type
        self.groups = arguments.integer(groups, "groups")
        self.rate = arguments.number(dropout, "dropout")
        dtype = {"dtype": self.dtype_policy}
        masked = {"groups": groups, **dtype}
        self.horizontal = MaskedConv2D(2 * filters, (1, kernel_size), mask_type, name="horizontal", **masked)
        self.vertical = ShiftedConv2D(
            2 * filters,
            (kernel_size // 2 + 1, kernel_size),
            "down",
            strict=mask_type == "A",
            weight_norm=False,
            name="vertical",
            **dtype,
        )
        self.link = keras.layers.Dense(2 * filters, use_bias=False, name="link", **dtype)
        self.skip = MaskedConv2D(filters, 1, name="skip", **masked)
        self.out = MaskedConv2D(filters, 1, name="out", **masked)
        self.dropout = keras.layers.Dropout(dropout, **dtype)
        self.conditions = [
            keras.layers.Dense(2 * filters, use_bias=False, name=f"condition_{stack}", **dtype)
            for stack in ("vertical", "horizontal")
        ]

    def build(self, inputs_shape, condition_shape=None):
        is_pair = len(inputs_shape) == 2 and all(isinstance(shape, tuple | list) for shape in inputs_shape)
        if is_pair != (self.mask_type == "B"):
            expected = "the pair of vertical and horizontal features" if self.mask_type == "B" else "an image"
            raise ValueError(
                f"`inputs` must be {expected} with mask type {self.mask_type!r}. Received shape {inputs_shape}."
            )
        vertical, horizontal = (inputs_shape, inputs_shape) if self.mask_type == "A" else inputs_shape
        batch, rows, columns = vertical[:3]
        if self.mask_type == "A" and self.groups > 1:
            horizontal = (batch, rows, columns, self.groups, vertical[-1] // self.groups)
        self._columns = columns
        gated = (batch, rows, columns, self.filters)
        apart = (*horizontal[:-1], self.filters // self.groups)
        self.vertical.build(vertical)
        self.horizontal.build(horizontal)
        self.link.build((*gated[:-1], 2 * self.filters))
        self.skip.build(apart)
        self.out.build(apart)
        if condition_shape is not None:
            for dense in self.conditions:
                dense.build(condition_shape)

    def call(self, inputs, condition=None, training=None):
        v, h = (inputs, self._apart(inputs)) if self.mask_type == "A" else inputs
        v, for_horizontal = self.vertical(v), 0.0  # (batch, rows, columns, 2 * filters)
        if condition is not None:
            for_vertical, for_horizontal = self._biases_from(condition)
            v = v + for_vertical
        across = self.link(v) + for_horizontal
        gated = self.dropout(_gated(self.horizontal(h) + self._apart(across)), training=training)
        out = self.out(gated)
        return _gated(v), out if self.mask_type == "A" else h + out, self.skip(gated)

    def _apart(self, x):
        """The channels, with those of each colour on an axis of their own if there are several."""
        if self.groups == 1:
            return x
        return ops.reshape(x, (-1, *x.shape[1:-1], self.groups, x.shape[-1] // self.groups))

    def _biases_from(self, condition):
        """What the condition adds to each stack, `(batch, rows or 1, columns or 1, 2 * filters)`."""
        biases = [dense(condition) for dense in self.conditions]
        return biases if len(condition.shape) == 4 else [ops.expand_dims(bias, (1, 2)) for bias in biases]

    def start(self, batch_size, condition=None):
        layers = {"vertical": self.vertical, "horizontal": self.horizontal, "skip": self.skip, "out": self.out}
        state = {name: layer.start(batch_size) for name, layer in layers.items()}
        state["across"] = ops.zeros((batch_size, self._columns, 2 * self.filters), self.compute_dtype)
        if condition is not None:
            state["biases"] = self._biases_from(condition)
        return state

    def begin_row(self, state, row, r):
        """The vertical features of row `r`, and the state for its pixels.

        `row` holds the features below, of shape `(batch, columns, channels)`: of row
        `r`, or for mask type A of row `r - 1` of the image.
        """
        v, vertical = self.vertical.step(state["vertical"], row, r)
        for_horizontal = 0.0
        if "biases" in state:
            for_vertical, for_horizontal = (bias[:, r if bias.shape[1] > 1 else 0] for bias in state["biases"])
            v = v + for_vertical
        return _gated(v), {**state, "vertical": vertical, "across": self.link(v) + for_horizontal}

    def step(self, state, x, t):
        """Horizontal features, skip and state at step `t`, all of shape `(batch, features / groups)`."""
        column, colour = t // self.groups % self._columns, t % self.groups
        across = ops.reshape(state["across"], (-1, self._columns, self.groups, 2 * self.filters // self.groups))
        h, horizontal = self.horizontal.step(state["horizontal"], x, t)
        gated = _gated(h + across[:, column, colour])
        out, out_state = self.out.step(state["out"], gated, t)
        skip, skip_state = self.skip.step(state["skip"], gated, t)
        if self.mask_type == "B":
            out = ops.cast(x, self.compute_dtype) + out
        return out, skip, {**state, "horizontal": horizontal, "out": out_state, "skip": skip_state}

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "mask_type": self.mask_type,
            "groups": self.groups,
            "dropout": self.rate,
        }


def _gated(x):
    value, gate = ops.split(x, 2, axis=-1)
    return ops.tanh(value) * ops.sigmoid(gate)

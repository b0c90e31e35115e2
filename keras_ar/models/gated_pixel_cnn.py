"""Gated PixelCNN: two stacks of gated convolutions without a blind spot. https://arxiv.org/abs/1606.05328"""

import keras
from keras import ops

from keras_ar import arguments, backend
from keras_ar.image import ImageModel
from keras_ar.layers import GatedBlock, MaskedConv2D

__all__ = ["GatedPixelCNN"]


@keras.saving.register_keras_serializable(package="keras_ar")
class GatedPixelCNN(ImageModel):
    """Gated convolutions in two stacks, so that a pixel may see all pixels above it and to its left.

    The vertical stack sees the rows above; sampling advances it once a row. The
    horizontal stack adds the current row up to this pixel. Every block has a skip connection
    to the head. With a head of single values the colors of a pixel come
    one after the other, R, G, B; a head that draws a pixel's colors together takes a pixel in one step.

    Args:
        event_shape: `(rows, columns)`, `(rows, columns, 1)` or `(rows, columns, colors)`.
        filters: Integer, number of features of each stack; a multiple of the number of
            colors, where these come one after the other. Defaults to `64`.
        num_blocks: Integer, number of blocks after the first one. Defaults to `5`.
        kernel_size: Odd integer, kernel size of each block. Defaults to `3`.
        dropout: Float in [0, 1). Dropout rate in each block, active in training. Defaults to `0.0`.
        head: Name, instance, class or config of a head. Defaults to `"bernoulli"`.
        condition_shape: Integer or tuple, the shape of the condition of one event, or `None`. A condition of
            shape `(rows, columns, features)` is a map: each pixel has its own. Defaults to `None`.
        num_classes: Integer, the number of classes that a condition may be, or `None`. Defaults to `None`.
        **kwargs: `name` and `dtype`.

    Example:

    >>> model = keras_ar.models.GatedPixelCNN(event_shape=(8, 8, 1), filters=16, num_blocks=2)
    >>> model.sample(3, seed=0).shape
    (3, 8, 8, 1)

    Reference:
        [van den Oord et al., 2016](https://arxiv.org/abs/1606.05328).
    """

    def __init__(
        self,
        event_shape,
        *,
        filters=64,
        num_blocks=5,
        kernel_size=3,
        dropout=0.0,
        head="bernoulli",
        condition_shape=None,
        num_classes=None,
        **kwargs,
    ):
        # Check and store.
        super().__init__(event_shape, head=head, condition_shape=condition_shape, num_classes=num_classes, **kwargs)
        self.filters = arguments.integer(filters, "filters")
        self.num_blocks = arguments.integer(num_blocks, "num_blocks", least=0)
        self.kernel_size = kernel_size
        self.dropout = arguments.rate(dropout, "dropout")
        arguments.multiple(filters, "filters", self.num_colors, "num_colors")

        # Layers.
        options = {"num_colors": self.num_colors, "dtype": self.dtype_policy}
        self.blocks = [
            GatedBlock(filters, kernel_size, "A" if i == 0 else "B", dropout=dropout, name=f"block_{i}", **options)
            for i in range(num_blocks + 1)
        ]
        self.hidden = MaskedConv2D(filters, 1, activation="relu", name="hidden", **options)
        self.to_params = MaskedConv2D(self.num_colors * self.head.num_params, 1, name="to_params", **options)

    def call(self, x, condition=None, training=None):
        condition = self.layer_condition(condition)
        v, h, total = self.blocks[0](self.encode_image(x), condition, training=training)
        for block in self.blocks[1:]:
            v, h, skip = block((v, h), condition, training=training)
            total = total + skip
        params = self.to_params(self.hidden(ops.relu(total + h)))
        return ops.reshape(params, (-1, *self.position_shape, self.head.num_params))

    # One pixel, or one color of it, at a time; at the first of a row all vertical stacks move on to that row.

    def prepare(self, condition=None):
        condition = self.layer_condition(condition)
        return {
            "blocks": [block.prepare(condition) for block in self.blocks],
            "hidden": self.hidden.prepare(),
            "to_params": self.to_params.prepare(),
        }

    def start(self, batch_size, num_steps):
        return {
            "blocks": [block.start_pixels(batch_size, num_steps) for block in self.blocks],
            "hidden": self.hidden.start(batch_size, num_steps),
            "to_params": self.to_params.start(batch_size, num_steps),
        }

    def step(self, constants, state, t, previous):
        h = self.encode_previous(previous, t)  # (batch, features)
        row_length = self.columns * self.num_colors

        def begin_row(rows):
            return self._begin_row(constants["blocks"], state["blocks"], h, t // row_length)

        rows = [{name: block[name] for name in ("vertical", "from_vertical")} for block in state["blocks"]]
        rows = backend.when(t % row_length == 0, begin_row, rows)
        blocks, total, x = [], 0.0, h
        for i, block in enumerate(self.blocks):
            block_state = {**state["blocks"][i], **rows[i]}
            (x, skip), block_state = block.step_pixel(constants["blocks"][i], block_state, t, x)
            total = total + skip
            blocks.append(block_state)
        x, hidden = self.hidden.step(constants["hidden"], state["hidden"], t, ops.relu(total + x))
        params, to_params = self.to_params.step(constants["to_params"], state["to_params"], t, x)
        return params, {"blocks": blocks, "hidden": hidden, "to_params": to_params}

    def _begin_row(self, constants, states, below, r):
        """What is new of the blocks' states at row `r`; `below` is the last pixel of the row above."""
        rows = []
        for block, block_constants, state in zip(self.blocks, constants, states, strict=True):
            below, row = block.begin_row(block_constants, state, below, r)
            rows.append(row)
        return rows

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.filters,
            "num_blocks": self.num_blocks,
            "kernel_size": self.kernel_size,
            "dropout": self.dropout,
        }

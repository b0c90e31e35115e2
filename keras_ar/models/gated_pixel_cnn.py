"""Gated PixelCNN: two stacks of gated convolutions without a blind spot. https://arxiv.org/abs/1606.05328"""

import keras
from keras import ops

from keras_ar import arguments, backend
from keras_ar.image import ImageModel
from keras_ar.layers import GatedBlock, MaskedConv2D


@keras.saving.register_keras_serializable(package="keras_ar")
class GatedPixelCNN(ImageModel):
    """Gated convolutions in two stacks, so that a pixel may see all that is above it and to its left.

    The vertical stack carries what was seen in the rows above; a draw advances it
    once a row. The horizontal stack adds what was seen in the own row. Every
    block hands something to the head. With a head of single values the colours of a pixel come
    one after the other; a head that draws them together takes a pixel in one step.

    Args:
        event_shape: `(rows, columns)`, `(rows, columns, 1)` or `(rows, columns, colours)`.
        filters: Number of features of each stack; a multiple of the number of
            colours, where these come one after the other.
        num_blocks: Number of blocks behind the first one.
        kernel_size: Odd integer.
        dropout: Rate of dropout in each block, in training.
        head: Name, instance, class or config of a head.
        condition_shape: Shape of the condition of one event, or `None`. A condition of
            shape `(rows, columns, features)` is a map: each pixel has its own.
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
        **kwargs,
    ):
        super().__init__(event_shape, head=head, condition_shape=condition_shape, **kwargs)
        self.filters = arguments.integer(filters, "filters")
        self.num_blocks = arguments.integer(num_blocks, "num_blocks", least=0)
        self.kernel_size = kernel_size
        self.dropout = arguments.number(dropout, "dropout")
        arguments.multiple(filters, "filters", self.colours, "colours")

        each = {"groups": self.colours, "dtype": self.dtype_policy}
        self.blocks = [
            GatedBlock(filters, kernel_size, "A" if i == 0 else "B", dropout=dropout, name=f"block_{i}", **each)
            for i in range(num_blocks + 1)
        ]
        self.mix = MaskedConv2D(filters, 1, activation="relu", name="mix", **each)
        self.to_params = MaskedConv2D(self.colours * self.head.num_params, 1, name="to_params", **each)

    def call(self, x, condition=None, training=None):
        condition = self.shaped(condition)
        v, h, total = self.blocks[0](self.encode_image(x), condition, training=training)
        for block in self.blocks[1:]:
            v, h, skip = block((v, h), condition, training=training)
            total = total + skip
        params = self.to_params(self.mix(ops.relu(total + h)))
        return ops.reshape(params, (-1, *self.position_shape, self.head.num_params))

    # One pixel, or one colour of it, at a time; at the first of a row the vertical stack moves on to that row.

    def start(self, batch_size, condition=None):
        condition = self.shaped(condition)
        return {
            "above": ops.zeros((batch_size, self.columns * self.colours, self.step_size), self.compute_dtype),
            "blocks": [block.start(batch_size, condition) for block in self.blocks],
            "mix": self.mix.start(batch_size),
            "to_params": self.to_params.start(batch_size),
        }

    def step(self, state, t, previous):
        h = ops.cast(self.encode_previous(previous), self.compute_dtype)  # (batch, step_size)
        length = self.columns * self.colours  # of a row, in steps
        above = ops.slice_update(state["above"], (0, (t - 1) % length, 0), ops.expand_dims(h, 1))
        blocks = backend.when(
            t % length == 0, lambda blocks: self._begin_row(blocks, above, t // length), state["blocks"]
        )
        states, total = [], 0.0
        for block, block_state in zip(self.blocks, blocks, strict=True):
            h, skip, block_state = block.step(block_state, h, t)
            total = total + skip
            states.append(block_state)
        h, mix = self.mix.step(state["mix"], ops.relu(total + h), t)
        params, to_params = self.to_params.step(state["to_params"], h, t)
        return params, {"above": above, "blocks": states, "mix": mix, "to_params": to_params}

    def _begin_row(self, states, above, r):
        """Takes the vertical stack to row `r`; `above` is the row of the image before it."""
        v, begun = ops.reshape(above, (-1, self.columns, self.colours * self.step_size)), []
        for block, state in zip(self.blocks, states, strict=True):
            v, state = block.begin_row(state, v, r)
            begun.append(state)
        return begun

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.filters,
            "num_blocks": self.num_blocks,
            "kernel_size": self.kernel_size,
            "dropout": self.dropout,
        }

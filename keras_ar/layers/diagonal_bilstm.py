"""The Diagonal BiLSTM of PixelRNN: two LSTMs that run over the diagonals of an image."""

import math

import keras
import numpy as np
from keras import ops

from keras_ar import backend
from keras_ar.layers.activations import lstm
from keras_ar.layers.image_lstm import ImageLSTM

__all__ = ["DiagonalBiLSTM"]


@keras.saving.register_keras_serializable(package="keras_ar")
class DiagonalBiLSTM(ImageLSTM):
    """Two LSTMs over the diagonals of an image, from both upper corners: a pixel sees all earlier pixels.

    In each, the gates of a pixel follow from the inputs of the pixel and from the
    hidden states of its neighbors above and to the side; its cell follows from that of
    the neighbor to the side. Outside of the image the states are learned. The LSTM from the right sees
    pixels to the right of the current one; so its output is added a row later.
    The number of sequential steps is the number of diagonals, `rows + columns - 1`.

    Args:
        units: Integer, number of units of each of the two, a multiple of `num_colors`.
        num_colors: Integer, number of colors of a pixel that come one after the other; see `MaskedConv2D`.
            Defaults to `1`.
        residual: Boolean, whether the hidden states are mapped to the features of the inputs, by a 1×1 convolution,
            and the inputs, which must have `2 * units` channels then, are added. Defaults to `True`.
        dropout: Float in [0, 1). Dropout rate of the hidden states as the next layer sees them, active
            in training. Defaults to `0.0`.
        **kwargs: Initializers, regularizers and constraints, as in `keras.layers.Dense`; `name` and `dtype`.

    Call arguments:
        inputs: Tensor of shape `(batch, rows, columns, channels)`, or
            `(batch, rows, columns, num_colors, channels / num_colors)`.
        condition: Optional tensor of shape `(batch, features)`, or a map over the image
            of shape `(batch, rows, columns, features)`; it adds to the gates.

    Returns:
        Tensor in the layout of the inputs, with `2 * units` channels, or `units` without residual connection.

    Example:

    >>> layer = keras_ar.layers.DiagonalBiLSTM(units=4)
    >>> tuple(layer(np.ones((1, 5, 6, 8))).shape)
    (1, 5, 6, 8)

    Reference:
        [van den Oord et al., 2016](https://arxiv.org/abs/1601.06759), section 3.2.
    """

    def __init__(self, units, num_colors=1, residual=True, dropout=0.0, **kwargs):
        options = {"num_colors": num_colors, "residual": residual, "dropout": dropout, **kwargs}
        super().__init__(units, directions=2, **options)

    def build_recurrence(self):
        # Of the neighbor to the side, then of the one above.
        shape = (2 * self.units, 4 * self.units)
        sides = ("left", "right")
        self.state_to_state = [self.add_kernel(shape, name=f"{side}_state_to_state") for side in sides]
        self.initial_h, self.initial_cell = (
            [self.add_weight((self.units,), "zeros", name=f"{side}_{name}") for side in sides]
            for name in ("initial_h", "initial_cell")
        )

    def recur(self, gates):
        batch_size, rows, columns = ops.shape(gates)[0], *gates.shape[1:3]
        left, right = ops.split(gates, 2, axis=-1)
        gates = _skew(ops.stack([left, ops.flip(right, axis=2)]))  # (diagonals, 2, batch, rows, num_colors, gates)
        outside = tuple(
            ops.stack([self.initial(weight, batch_size, rows) for weight in weights])
            for weights in (self.initial_h, self.initial_cell)
        )
        kernel = ops.stack([self.cast_weight(weight) for weight in self.state_to_state])
        # Row r enters at diagonal r; before that its states are those outside of the image.
        has_entered = np.arange(rows + columns - 1)[:, None] >= np.arange(rows)
        has_entered = ops.convert_to_tensor(has_entered[:, :, None, None])

        def diagonal(state, xs):
            (gates, has_entered), (h, cell) = xs, state
            above = ops.concatenate([outside[0][:, :, :1], h[:, :, :-1]], axis=2)
            neighbors = [ops.reshape(states, (2, -1, self.units)) for states in (h, above)]
            from_neighbors = ops.matmul(ops.concatenate(neighbors, axis=-1), kernel)
            new = lstm(gates + ops.reshape(from_neighbors, (2, -1, *gates.shape[2:])), cell)
            h, cell = (ops.where(has_entered, *pair) for pair in zip(new, outside, strict=True))
            return (h, cell), h

        _, h = backend.scan(diagonal, outside, (gates, has_entered))
        left, right = ops.unstack(_unskew(h, columns), 2)  # (batch, rows, columns, num_colors, units / num_colors)
        late = ops.pad(ops.flip(right, axis=2)[:, :-1], [[0, 0], [1, 0], [0, 0], [0, 0], [0, 0]])
        return left + late

    # The LSTM from the left moves on with each pixel; the one from the right with each row, over the row above.

    def prepare_recurrence(self):
        kernel, h, cell = (
            [self.cast_weight(weight) for weight in weights]
            for weights in (self.state_to_state, self.initial_h, self.initial_cell)
        )
        shape = (1, self.num_colors, self.units // self.num_colors)
        return {
            side: {"kernel": kernel[i], "h": ops.reshape(h[i], shape), "cell": ops.reshape(cell[i], shape)}
            for i, side in enumerate(("left", "right"))
        }

    def start_recurrence(self, batch_size):
        left, right = (self.initial(weight, batch_size, self.columns) for weight in self.initial_h)
        gates = ops.zeros((*left.shape[:-1], 4 * left.shape[-1]), self.compute_dtype)
        return {
            "h": left,  # of the current row up to this pixel, then of the row above
            "cell": ops.zeros_like(left[:, 0]),
            "from_neighbors": gates[:, 0],
            "right_h": right,  # of the row above
            "right_gates": gates,  # of the current row up to this pixel
        }

    def recur_step(self, constants, state, t, gates):
        row, column, color = self.position(t)
        is_new_row = t % (self.columns * self.num_colors) == 0
        right_h = backend.when(
            (t > 0) & is_new_row,
            lambda h: self._right_row(constants["right"], h, state["right_gates"]),
            state["right_h"],
        )
        from_neighbors, cells = backend.when(
            color == 0,
            lambda _: self._begin_pixel(constants["left"], state, column),
            (state["from_neighbors"], state["cell"]),
        )
        for_left, for_right = ops.split(gates, 2, axis=-1)
        h, cell = lstm(for_left + from_neighbors[:, color], cells[:, color])
        late = ops.where(row > 0, right_h[:, column, color], 0.0)

        def put(states, new):
            return ops.slice_update(states, (0, column, color, 0), ops.expand_dims(new, (1, 2)))

        return h + late, {
            "h": put(state["h"], h),
            "cell": ops.slice_update(cells, (0, color, 0), ops.expand_dims(cell, 1)),
            "from_neighbors": from_neighbors,
            "right_h": right_h,
            "right_gates": put(state["right_gates"], for_right),
        }

    def _begin_pixel(self, constants, state, column):
        """What the neighbors add to the gates of all colors of a pixel, and the cells that these follow from."""
        side = ops.where(column > 0, state["h"][:, column - 1], constants["h"])
        neighbors = [ops.reshape(states, (-1, self.units)) for states in (side, state["h"][:, column])]
        from_neighbors = ops.matmul(ops.concatenate(neighbors, axis=-1), constants["kernel"])
        cells = ops.where(column > 0, state["cell"], constants["cell"])
        return ops.reshape(from_neighbors, state["from_neighbors"].shape), cells

    def _right_row(self, constants, above, gates):
        """Hidden states of the row that has just been completed, from right to left."""
        of_side, of_above = ops.split(constants["kernel"], 2, axis=0)
        from_above = ops.matmul(ops.reshape(above, (-1, self.columns, self.units)), of_above)
        gates = gates + ops.reshape(from_above, gates.shape)

        def pixel(neighbor, gates):
            h, cell = neighbor
            from_side = ops.matmul(ops.reshape(h, (-1, self.units)), of_side)
            h, cell = lstm(gates + ops.reshape(from_side, gates.shape), cell)
            return (h, cell), h

        outside = tuple(ops.zeros_like(above[:, 0]) + constants[name] for name in ("h", "cell"))
        _, h = backend.scan(pixel, outside, ops.flip(ops.moveaxis(gates, 1, 0), axis=0))
        return ops.moveaxis(ops.flip(h, axis=0), 0, 1)


def _skew(x):
    """Moves row `r` to the right by `r`: `(2, batch, rows, columns, ...) -> (diagonals, 2, batch, rows, ...)`."""
    (sides, _, rows, columns), features = x.shape[:4], x.shape[4:]
    length, diagonals = math.prod(features), rows + columns - 1
    x = ops.reshape(x, (-1, rows, columns, length))
    x = ops.pad(x, [[0, 0], [0, 0], [0, rows], [0, 0]])
    x = ops.reshape(x, (-1, rows * (diagonals + 1), length))[:, : rows * diagonals]
    x = ops.transpose(ops.reshape(x, (-1, rows, diagonals, length)), (2, 0, 1, 3))
    return ops.reshape(x, (diagonals, sides, -1, rows, *features))


def _unskew(x, columns):
    """Undoes `_skew`."""
    (diagonals, sides, _, rows), features = x.shape[:4], x.shape[4:]
    length = math.prod(features)
    x = ops.transpose(ops.reshape(x, (diagonals, -1, rows, length)), (1, 2, 0, 3))
    x = ops.pad(ops.reshape(x, (-1, rows * diagonals, length)), [[0, 0], [0, rows], [0, 0]])
    x = ops.reshape(x, (-1, rows, diagonals + 1, length))[:, :, :columns]
    return ops.reshape(x, (sides, -1, rows, columns, *features))

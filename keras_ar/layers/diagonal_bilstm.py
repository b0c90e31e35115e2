"""The Diagonal BiLSTM of PixelRNN: two LSTMs that run over the diagonals of an image."""

import math

import keras
import numpy as np
from keras import ops

from keras_ar import backend
from keras_ar.layers.image_lstm import ImageLSTM
from keras_ar.numerics import lstm


@keras.saving.register_keras_serializable(package="keras_ar")
class DiagonalBiLSTM(ImageLSTM):
    """Two LSTMs over the diagonals of an image, from both upper corners: a pixel sees all that comes before it.

    In each, the gates of a pixel follow from the inputs of the pixel, and from the
    states of its neighbours above and to the side; its cell follows from that of
    the side. Outside of the image stand learned states. The LSTM from the right sees pixels
    to the right of its own; so what it tells comes a row late, and is added there.
    The number of steps is that of the diagonals, `rows + columns - 1`.

    Args:
        units: Number of units of each of the two, a multiple of `groups`.
        groups: Number of colours that come one after the other; see `MaskedConv2D`.
        residual: Whether the states grow to the features of the inputs, by a 1×1 convolution, and
            are added to them. The inputs must have `2 * units` channels then.
        dropout: Rate of dropout of the states, as the next layer sees them, in training.

    Call arguments:
        inputs: Tensor of shape `(batch, rows, columns, channels)`, or
            `(batch, rows, columns, groups, channels / groups)`.
        condition: Optional tensor of shape `(batch, features)`, or a map over the image
            of shape `(batch, rows, columns, features)`; it adds to the gates.

    Returns:
        Tensor in the layout of the inputs, with `2 * units` channels, or `units` without residual connection.

    Example:

    >>> layer = keras_ar.layers.DiagonalBiLSTM(units=4)
    >>> layer(np.ones((1, 5, 6, 8))).shape[1:] == (5, 6, 8)
    True

    Reference:
        [van den Oord et al., 2016](https://arxiv.org/abs/1601.06759), section 3.2.
    """

    def __init__(self, units, groups=1, residual=True, dropout=0.0, **kwargs):
        super().__init__(units, directions=2, groups=groups, residual=residual, dropout=dropout, **kwargs)

    def build_recurrence(self):
        def weights(name, shape, initializer):
            return [self.add_weight(shape, initializer, name=f"{side}_{name}") for side in ("left", "right")]

        # Of the neighbour to the side, then of the one above.
        self.state_to_state = weights("state_to_state", (2 * self.units, 4 * self.units), "glorot_uniform")
        self.initial_h = weights("initial_h", (self.units,), "zeros")
        self.initial_cell = weights("initial_cell", (self.units,), "zeros")

    def recur(self, gates):
        batch_size, rows, columns = ops.shape(gates)[0], *gates.shape[1:3]
        left, right = ops.split(gates, 2, axis=-1)
        gates = _skew(ops.stack([left, ops.flip(right, axis=2)]))  # (diagonals, 2, batch, rows, groups, gates)
        outside = tuple(
            ops.stack([self.initial(state, batch_size, rows) for state in states])
            for states in (self.initial_h, self.initial_cell)
        )
        kernel = ops.stack([self._kernel(0), self._kernel(1)])
        # Row r enters at diagonal r; before that it stands outside of the image.
        entered = np.arange(rows + columns - 1)[:, None] >= np.arange(rows)
        entered = ops.convert_to_tensor(entered[:, :, None, None])

        def diagonal(state, xs):
            (gates, entered), (h, cell) = xs, state
            above = ops.concatenate([outside[0][:, :, :1], h[:, :, :-1]], axis=2)
            seen = [ops.reshape(states, (2, -1, self.units)) for states in (h, above)]
            told = ops.matmul(ops.concatenate(seen, axis=-1), kernel)
            new = lstm(gates + ops.reshape(told, (2, -1, *gates.shape[2:])), cell)
            h, cell = (ops.where(entered, *pair) for pair in zip(new, outside, strict=True))
            return (h, cell), h

        _, h = backend.scan(diagonal, outside, (gates, entered))
        left, right = ops.unstack(_unskew(h, columns), 2)  # (batch, rows, columns, groups, units / groups)
        late = ops.pad(ops.flip(right, axis=2)[:, :-1], [[0, 0], [1, 0], [0, 0], [0, 0], [0, 0]])
        return left + late

    def _kernel(self, side):
        return ops.cast(ops.convert_to_tensor(self.state_to_state[side]), self.compute_dtype)

    # The LSTM from the left moves on with each pixel, the other one with each row, over the row that is complete.

    def start_recurrence(self, batch_size):
        (h, right_h), (cell, right_cell) = (
            [self.initial(state, batch_size, self._columns) for state in states]
            for states in (self.initial_h, self.initial_cell)
        )
        gates = ops.zeros((*h.shape[:-1], 4 * h.shape[-1]), self.compute_dtype)
        return {
            "kernel": self._kernel(0),
            "outside": {"h": h[:, 0], "cell": cell[:, 0]},
            "h": h,  # of the own row up to here, behind that of the row above
            "cell": cell[:, 0],
            "told": gates[:, 0],
            "right": {
                "kernel": self._kernel(1),
                "outside": {"h": right_h[:, 0], "cell": right_cell[:, 0]},
                "h": right_h,
                "gates": gates,  # of the own row up to here
            },
        }

    def recur_step(self, state, gates, t):
        row, column, colour = self.position(t)
        is_new_row = t % (self._columns * self.groups) == 0
        right = backend.when((t > 0) & is_new_row, self._right_row, state["right"])
        state = backend.when(colour == 0, lambda state: self._begin_pixel(state, column), state)

        for_left, for_right = ops.split(gates, 2, axis=-1)
        h, cell = lstm(for_left + state["told"][:, colour], state["cell"][:, colour])
        late = ops.where(row > 0, right["h"][:, column, colour], 0.0)

        def put(states, new):
            return ops.slice_update(states, (0, column, colour, 0), ops.expand_dims(new, (1, 2)))

        state = {
            **state,
            "h": put(state["h"], h),
            "cell": ops.slice_update(state["cell"], (0, colour, 0), ops.expand_dims(cell, 1)),
            "right": {**right, "gates": put(right["gates"], for_right)},
        }
        return h + late, state

    def _begin_pixel(self, state, column):
        """What the neighbours tell to all colours of a pixel."""
        outside, batch_size = state["outside"], state["cell"].shape[0]
        side = ops.where(column > 0, state["h"][:, column - 1], outside["h"])
        seen = [ops.reshape(states, (batch_size, -1)) for states in (side, state["h"][:, column])]
        told = ops.matmul(ops.concatenate(seen, axis=-1), state["kernel"])
        cell = ops.where(column > 0, state["cell"], outside["cell"])
        return {**state, "told": ops.reshape(told, (batch_size, self.groups, -1)), "cell": cell}

    def _right_row(self, state):
        """Runs from right to left over the row that has just been completed."""
        batch_size, columns = state["h"].shape[:2]
        of_side, of_above = ops.split(state["kernel"], 2, axis=0)
        above = ops.matmul(ops.reshape(state["h"], (batch_size, columns, -1)), of_above)
        gates = state["gates"] + ops.reshape(above, state["gates"].shape)

        def pixel(neighbour, gates):
            h, cell = neighbour
            told = ops.matmul(ops.reshape(h, (batch_size, -1)), of_side)
            h, cell = lstm(gates + ops.reshape(told, gates.shape), cell)
            return (h, cell), h

        outside = (state["outside"]["h"], state["outside"]["cell"])
        _, h = backend.scan(pixel, outside, ops.flip(ops.moveaxis(gates, 1, 0), axis=0))
        return {**state, "h": ops.moveaxis(ops.flip(h, axis=0), 0, 1)}


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

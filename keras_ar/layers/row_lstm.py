"""The Row LSTM of PixelRNN: an LSTM that runs down the image, a row at a time."""

import keras
from keras import ops

from keras_ar import arguments, backend
from keras_ar.layers.image_lstm import ImageLSTM
from keras_ar.numerics import lstm


@keras.saving.register_keras_serializable(package="keras_ar")
class RowLSTM(ImageLSTM):
    """LSTM over the rows of an image, all columns of a row at once: a pixel sees a triangle above it.

    `o, f, i, g = input_to_state(x)[r] + state_to_state(h[r - 1])` with convolutions
    along the row, of which the first is masked; then the cell of a pixel follows
    from that of the pixel above, and so on down. Above the first row stand learned
    states. The number of steps is that of the rows.

    Args:
        units: Number of units, a multiple of `groups`.
        kernel_size: Odd integer, the columns of both convolutions.
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

    >>> layer = keras_ar.layers.RowLSTM(units=4)
    >>> layer(np.ones((1, 5, 6, 8))).shape[1:] == (5, 6, 8)
    True

    Reference:
        [van den Oord et al., 2016](https://arxiv.org/abs/1601.06759), section 3.1.
    """

    def __init__(self, units, kernel_size=3, groups=1, residual=True, dropout=0.0, **kwargs):
        self.kernel_size = arguments.integer(kernel_size, "kernel_size")
        super().__init__(units, kernel_size=kernel_size, groups=groups, residual=residual, dropout=dropout, **kwargs)

    def build_recurrence(self):
        shape = (self.kernel_size * self.units, 4 * self.units)  # of all taps, from left to right
        self.state_to_state = self.add_weight(shape, "glorot_uniform", name="state_to_state")
        self.initial_h = self.add_weight((self.units,), "zeros", name="initial_h")
        self.initial_cell = self.add_weight((self.units,), "zeros", name="initial_cell")

    def recur(self, gates):
        def row(state, gates):
            h, cell = state
            h, cell = lstm(gates + self._from_above(h, kernel), cell)
            return (h, cell), h

        kernel = self._kernel()
        gates = ops.moveaxis(gates, 1, 0)  # (rows, batch, columns, groups, gates)
        _, h = backend.scan(row, self._initial(ops.shape(gates)[1]), gates)
        return ops.moveaxis(h, 0, 1)

    def _kernel(self):
        return ops.cast(ops.convert_to_tensor(self.state_to_state), self.compute_dtype)

    def _initial(self, batch_size):
        """What stands above the first row: states and cells `(batch, columns, groups, units / groups)`."""
        return tuple(self.initial(state, batch_size, self._columns) for state in (self.initial_h, self.initial_cell))

    def _from_above(self, h, kernel):
        """What a row of states adds to the gates of the next row: a convolution, as one product of all taps."""
        row, aside = ops.reshape(h, (-1, self._columns, self.units)), self.kernel_size // 2
        row = ops.pad(row, [[0, 0], [aside, aside], [0, 0]])
        taps = [row[:, tap : tap + self._columns] for tap in range(self.kernel_size)]
        gates = ops.matmul(ops.concatenate(taps, axis=-1), kernel)
        return ops.reshape(gates, (-1, self._columns, self.groups, 4 * self.units // self.groups))

    # At the first pixel of a row, the row above is complete and tells what it has to tell to all of them.

    def start_recurrence(self, batch_size):
        h, cell = self._initial(batch_size)
        above = ops.zeros((*h.shape[:-1], 4 * h.shape[-1]), self.compute_dtype)
        return {"kernel": self._kernel(), "h": h, "cell": cell, "above": above}

    def recur_step(self, state, gates, t):
        _, column, colour = self.position(t)
        state = backend.when(t % (self._columns * self.groups) == 0, self._begin_row, state)
        h, cell = lstm(gates + state["above"][:, column, colour], state["cell"][:, column, colour])
        put = {
            name: ops.slice_update(state[name], (0, column, colour, 0), ops.expand_dims(new, (1, 2)))
            for name, new in (("h", h), ("cell", cell))
        }
        return h, {**state, **put}

    def _begin_row(self, state):
        return {**state, "above": self._from_above(state["h"], state["kernel"])}

    def get_config(self):
        return {**super().get_config(), "kernel_size": self.kernel_size}

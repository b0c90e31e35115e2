"""The Row LSTM of PixelRNN: an LSTM that runs down the image, a row at a time."""

import keras
from keras import ops

from keras_ar import arguments, backend
from keras_ar.layers.activations import lstm
from keras_ar.layers.image_lstm import ImageLSTM

__all__ = ["RowLSTM"]


@keras.saving.register_keras_serializable(package="keras_ar")
class RowLSTM(ImageLSTM):
    """LSTM over the rows of an image, all columns of a row at once: a pixel sees a triangle above it.

    `o, f, i, g = input_to_state(x)[r] + state_to_state(h[r - 1])` with convolutions
    along the row, of which the first is masked; the cell of a pixel follows
    from that of the pixel above. Above the first row the states are learned. The
    number of sequential steps is the number of rows.

    Args:
        units: Integer, number of units, a multiple of `num_colors`.
        kernel_size: Odd integer, the columns of both convolutions. Defaults to `3`.
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

    >>> layer = keras_ar.layers.RowLSTM(units=4)
    >>> tuple(layer(np.ones((1, 5, 6, 8))).shape)
    (1, 5, 6, 8)

    Reference:
        [van den Oord et al., 2016](https://arxiv.org/abs/1601.06759), section 3.1.
    """

    def __init__(self, units, kernel_size=3, num_colors=1, residual=True, dropout=0.0, **kwargs):
        options = {"num_colors": num_colors, "residual": residual, "dropout": dropout, **kwargs}
        super().__init__(units, kernel_size=arguments.integer(kernel_size, "kernel_size"), **options)
        self.kernel_size = kernel_size

    def build_recurrence(self):
        shape = (self.kernel_size * self.units, 4 * self.units)  # of all taps, from left to right
        self.state_to_state = self.add_kernel(shape, name="state_to_state")
        self.initial_h = self.add_weight((self.units,), "zeros", name="initial_h")
        self.initial_cell = self.add_weight((self.units,), "zeros", name="initial_cell")

    def recur(self, gates):
        def row(state, gates):
            h, cell = state
            h, cell = lstm(gates + self._from_above(h, kernel), cell)
            return (h, cell), h

        kernel = self.cast_weight(self.state_to_state)
        gates = ops.moveaxis(gates, 1, 0)  # (rows, batch, columns, num_colors, gates / num_colors)
        _, h = backend.scan(row, self._initial(ops.shape(gates)[1]), gates)
        return ops.moveaxis(h, 0, 1)

    def _initial(self, batch_size):
        """Hidden states and cells above the first row: `(batch, columns, num_colors, units / num_colors)`."""
        return tuple(self.initial(weight, batch_size, self.columns) for weight in (self.initial_h, self.initial_cell))

    def _from_above(self, h, kernel):
        """What a row of hidden states adds to the gates of the next: a convolution, as one product of all taps."""
        row, aside = ops.reshape(h, (-1, self.columns, self.units)), self.kernel_size // 2
        row = ops.pad(row, [[0, 0], [aside, aside], [0, 0]])
        taps = [row[:, tap : tap + self.columns] for tap in range(self.kernel_size)]
        gates = ops.matmul(ops.concatenate(taps, axis=-1), kernel)
        return ops.reshape(gates, (-1, self.columns, self.num_colors, 4 * self.units // self.num_colors))

    # At the first pixel of a row the row above is complete: its convolution is computed once, for the whole row.

    def prepare_recurrence(self):
        return self.cast_weight(self.state_to_state)

    def start_recurrence(self, batch_size):
        h, cell = self._initial(batch_size)
        from_above = ops.zeros((*h.shape[:-1], 4 * h.shape[-1]), self.compute_dtype)
        return {"h": h, "cell": cell, "from_above": from_above}

    def recur_step(self, constants, state, t, gates):
        _, column, color = self.position(t)
        is_new_row = t % (self.columns * self.num_colors) == 0
        from_above = backend.when(is_new_row, lambda _: self._from_above(state["h"], constants), state["from_above"])
        h, cell = lstm(gates + from_above[:, column, color], state["cell"][:, column, color])

        def put(states, new):
            return ops.slice_update(states, (0, column, color, 0), ops.expand_dims(new, (1, 2)))

        return h, {"h": put(state["h"], h), "cell": put(state["cell"], cell), "from_above": from_above}

    def get_config(self):
        return {**super().get_config(), "kernel_size": self.kernel_size}

"""What an output of a causal convolution sees: in whole images, row by row, pixel by pixel, and over time."""

import numpy as np
from keras import ops

__all__ = ["PixelWindow", "TimeWindow", "Window"]


class Window:
    """The rectangle of inputs that an output of a causal convolution sees.

    Outside of the image there are zeros.

    Args:
        rows: Pair of integers, the first and the last row that is seen, counted from the
            row of the output: `(-2, 0)` for the two rows above and the current one.
        columns: Pair of integers, the first and the last column that is seen, counted from that of the output.
        dilation: Integer, the spacing of the rows and columns. Defaults to `1`.

    Example:

    >>> window = keras_ar.windows.Window(rows=(-1, 0), columns=(-1, 1))
    >>> window.shape
    (2, 3)
    >>> y = window.convolve(keras.ops.ones((1, 2, 4, 1)), keras.ops.ones((2, 3, 1, 1)))
    >>> keras.ops.convert_to_numpy(y)[0, :, :, 0].tolist()  # how many pixels each output sees
    [[2.0, 3.0, 3.0, 2.0], [4.0, 6.0, 6.0, 4.0]]
    """

    def __init__(self, rows, columns, dilation=1):
        self.rows, self.columns, self.dilation = rows, columns, dilation
        self.shape = (rows[1] - rows[0] + 1, columns[1] - columns[0] + 1)

    def convolve(self, x, kernel, stride=1):
        """The convolution of whole images, `(batch, rows, columns, channels)`."""
        if self.rows == self.columns == (0, 0) and stride == 1:
            return ops.matmul(x, kernel[0, 0])  # several times faster under XLA than a convolution of one tap
        return self._valid(self._padded(x, axes=(1, 2)), kernel, stride)

    # Row by row: the rows that the window sees are kept.

    def start_rows(self, batch_size, columns, channels, dtype):
        """The rows that are seen before the first: zeros, `(batch, rows, columns, channels)`."""
        _check_size(columns)
        return ops.zeros((batch_size, (self.shape[0] - 1) * self.dilation + 1, columns, channels), dtype)

    def push_row(self, seen, row):
        """The rows that are seen once `row` has come; the oldest is dropped."""
        return ops.concatenate([seen[:, 1:], ops.expand_dims(ops.cast(row, seen.dtype), 1)], axis=1)

    def convolve_row(self, seen, kernel, stride=1):
        """One row of the convolution, from the rows that are seen."""
        return self._valid(self._padded(seen, axes=(2,)), kernel, stride)[:, 0]

    def _valid(self, x, kernel, stride):
        # Strides and dilation are never used together: TensorFlow cannot.
        return ops.conv(
            x, kernel, strides=stride, padding="valid", data_format="channels_last", dilation_rate=self.dilation
        )

    def _padded(self, x, axes):
        """Pads before the first row or column, and pads or cuts after the last."""
        pads, cuts = [[0, 0] for _ in x.shape], [slice(None) for _ in x.shape]
        for axis, (first, last) in ((1, self.rows), (2, self.columns)):
            if axis in axes:
                pads[axis] = [-first * self.dilation, max(last, 0) * self.dilation]
                cuts[axis] = slice(None, min(last, 0) * self.dilation or None)
        return ops.pad(x, pads)[tuple(cuts)]


class PixelWindow:
    """A window that moves over an image in raster order, one pixel (or one color of it) at a time.

    The inputs so far are kept in a ring of rows: as many as the window sees, each with
    zeros on both sides for the padding. One pixel is one slot; the taps of the
    window are gathered from their slots, in the layout of a matrix product.

    Args:
        window: The `Window`.
        used: Boolean array of the shape of the window: the taps that matter.
        columns: Integer, number of columns of the image; `None` where it is left open.
        num_colors: Integer, number of colors of a pixel that come one after the other.
        features: Integer, number of features of each of them.

    Example:

    >>> window = keras_ar.windows.Window(rows=(-1, 0), columns=(-1, 1))
    >>> pixels = keras_ar.windows.PixelWindow(window, np.ones((2, 3), bool), columns=5, num_colors=1, features=4)
    >>> tuple(pixels.start(batch_size=8, dtype="float32").shape)  # two rows of 5 + 2 pixels
    (14, 1, 4, 8)
    """

    def __init__(self, window, used, columns, num_colors, features):
        self.window, self.columns, self.num_colors, self.features = window, columns, num_colors, features
        row, column = np.nonzero(used)
        self.used = used
        self._row = ((row + window.rows[0]) * window.dilation).astype("int32")
        self._column = ((column + window.columns[0]) * window.dilation).astype("int32")
        self._left = max(0, -int(self._column.min()))
        self._right = max(0, int(self._column.max()))
        # Where the image's size is left open, there is no stepping through it.
        self._width = columns and self._left + columns + self._right
        self._num_rows = 1 - int(self._row.min())

    def arrange(self, kernel):
        """The kernel as one matrix for each color of a pixel: `(num_colors, outputs, taps * num_colors * features)`."""
        c, f, outputs = self.num_colors, self.features, kernel.shape[-1] // self.num_colors
        kernel = ops.reshape(kernel, (self.used.size, c * f, c, outputs))
        kernel = ops.take(kernel, np.flatnonzero(self.used), axis=0)
        return ops.reshape(ops.transpose(kernel, (2, 3, 0, 1)), (c, outputs, -1))

    def start(self, batch_size, dtype):
        """The ring before the first pixel."""
        _check_size(self.columns)
        return ops.zeros((self._num_rows * self._width, self.num_colors, self.features, batch_size), dtype)

    def position(self, t):
        """Row, column and color of step `t`."""
        pixel = t // self.num_colors
        return pixel // self.columns, pixel % self.columns, t % self.num_colors

    def write(self, ring, x, t):
        """Puts the features of step `t`, of shape `(batch, features)`, into the ring."""
        row, column, color = self.position(t)
        slot = (row % self._num_rows) * self._width + self._left + column
        x = ops.reshape(ops.transpose(ops.cast(x, ring.dtype)), (1, 1, self.features, -1))
        return ops.slice_update(ring, (slot, color, 0, 0), x)

    def write_late(self, ring, x, t):
        """At step `t`, puts the features of step `t - 1` into the ring; at the first zeros, where zeros are."""
        return self.write(ring, ops.where(t > 0, x, ops.zeros_like(x)), t - 1)

    def read(self, ring, t):
        """What the window sees at step `t`, tap by tap: `(taps * num_colors * features, batch)`."""
        row, column, _ = self.position(t)
        rows, columns = self._row, self._column
        if not isinstance(t, int):  # NumPy adds no tensors of torch; where it can, it is the fastest
            rows, columns = ops.convert_to_tensor(rows), ops.convert_to_tensor(columns)
        slots = ((rows + row) % self._num_rows) * self._width + self._left + columns + column
        return ops.reshape(ops.take(ring, slots, axis=0), (-1, ring.shape[-1]))

    def filled(self, x, dtype):
        """The ring after whole rows of an image, `(batch, rows, columns, num_colors, features)`."""
        rows = x.shape[1]
        pads = [[0, 0], [self._num_rows, 0], [self._left, self._right], [0, 0], [0, 0]]
        x = ops.pad(ops.cast(x, dtype), pads)[:, -self._num_rows :]
        x = ops.roll(x, rows % self._num_rows, axis=1)  # row r lies at r modulo the length of the ring
        x = ops.reshape(x, (-1, self._num_rows * self._width, self.num_colors, self.features))
        return ops.transpose(x, (1, 2, 3, 0))


class TimeWindow:
    """The past inputs that several causal convolutions over time see, one frame at a time.

    Each convolution has a ring of its past inputs, as long as it reaches back. All
    rings are parts of one array, so that a step is one gather and one scatter, however
    many convolutions there are.

    Args:
        kernel_size: Integer, number of taps of each convolution.
        dilations: Tuple of integers, the spacing of the taps of each convolution.

    Example:

    >>> window = keras_ar.windows.TimeWindow(kernel_size=2, dilations=(1, 2, 4))
    >>> tuple(window.start(batch_size=5, features=3, dtype="float32").shape)  # 1 + 2 + 4 past frames
    (7, 5, 3)
    """

    def __init__(self, kernel_size, dilations):
        self.num_past = kernel_size - 1  # taps before the current frame
        self._delays = np.outer(dilations, np.arange(self.num_past, 0, -1)).astype("int32")  # from the earliest tap on
        self._lengths = self.num_past * np.asarray(dilations, "int32")
        self._offsets = (np.cumsum(self._lengths) - self._lengths).astype("int32")

    def start(self, batch_size, features, dtype):
        """The rings before the first frame: zeros, `(slots, batch, features)`."""
        return ops.zeros((int(self._lengths.sum()), batch_size, features), dtype)

    def read(self, rings, t):
        """The past that each convolution sees at step `t`: `(convolutions, batch, past taps * features)`."""
        ages = ops.mod(ops.subtract(t, self._delays), self._lengths[:, None])
        # Not by `ops.add`: on TensorFlow it takes a column for the bias of a last axis of the same length.
        slots = ages + ops.convert_to_tensor(self._offsets[:, None])
        taps = ops.take(rings, slots, axis=0)
        _, _, batch_size, features = taps.shape
        return ops.reshape(ops.swapaxes(taps, 1, 2), (-1, batch_size, self.num_past * features))

    def write(self, rings, frames, t):
        """Puts the inputs of step `t`, `(convolutions, batch, features)`, in place of the oldest ones."""
        slots = ops.mod(t, self._lengths) + ops.convert_to_tensor(self._offsets)
        return ops.scatter_update(rings, ops.expand_dims(slots, -1), ops.cast(frames, rings.dtype))

    def filled(self, inputs):
        """The rings after the steps `0, ..., length - 1`.

        Args:
            inputs: For each convolution its inputs at these steps, a tensor of shape `(batch, length, features)`.
        """
        rings = []
        for x, length in zip(inputs, self._lengths, strict=True):
            last = x.shape[1] - 1
            steps = last - (last - np.arange(length)) % length  # the last one that was put into each slot
            x = ops.take(x, np.maximum(steps, 0), axis=1)
            x = ops.where((steps >= 0)[None, :, None], x, ops.zeros_like(x))
            rings.append(ops.swapaxes(x, 0, 1))
        return ops.concatenate(rings)


def _check_size(columns):
    if columns is None:
        raise ValueError("The layer was built for images of any size; to step, it must be built for one size.")

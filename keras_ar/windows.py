"""What one output of a causal convolution sees: over whole events at once, row by row, pixel by pixel, in time."""

import numpy as np
from keras import ops

from keras_ar import backend


class Window:
    """A rectangle of inputs that lies on or before an output's own position.

    Args:
        rows: Pair of the first and the last row that is seen, relative to the
            output's own: `(-2, 0)` for two rows above and the own one.
        columns: Pair of the first and the last column that is seen.
        dilation: Spacing of the rows and columns.

    Example:

    >>> window = keras_ar.windows.Window(rows=(-1, 0), columns=(-1, 1))
    >>> window.shape
    (2, 3)
    """

    def __init__(self, rows, columns, dilation=1):
        self.rows, self.columns, self.dilation = rows, columns, dilation
        self.shape = (rows[1] - rows[0] + 1, columns[1] - columns[0] + 1)

    def convolve(self, x, kernel, stride=1):
        """Convolution of whole images: `(batch, rows, columns, channels)`."""
        if self.rows == self.columns == (0, 0) and stride == 1:
            return ops.matmul(x, kernel[0, 0])  # which XLA runs several times faster than a convolution of one tap
        return self._valid(self._padded(x, axes=(1, 2)), kernel, stride)

    # Row by row: what is kept are the rows that the window sees.

    def start_rows(self, batch_size, columns, channels, dtype):
        """What is seen before the first row: zeros, as in the padding, `(batch, rows, columns, channels)`."""
        return ops.zeros((batch_size, (self.shape[0] - 1) * self.dilation + 1, columns, channels), dtype)

    def push_row(self, seen, row):
        """What is seen once `row` has come: the oldest row is forgotten."""
        return ops.concatenate([seen[:, 1:], ops.expand_dims(ops.cast(row, seen.dtype), 1)], axis=1)

    def convolve_row(self, seen, kernel, stride=1):
        """One row of the convolution, from the rows that are seen."""
        return self._valid(self._padded(seen, axes=(2,)), kernel, stride)[:, 0]

    def _valid(self, x, kernel, stride):
        # Strides and dilation never come together, which TensorFlow would refuse.
        return ops.conv(
            x, kernel, strides=stride, padding="valid", data_format="channels_last", dilation_rate=self.dilation
        )

    def _padded(self, x, axes):
        """Pads ahead of the first row or column, and pads or cuts behind the last."""
        pads, cuts = [[0, 0] for _ in x.shape], [slice(None) for _ in x.shape]
        for axis, (first, last) in ((1, self.rows), (2, self.columns)):
            if axis in axes:
                pads[axis] = [-first * self.dilation, max(last, 0) * self.dilation]
                cuts[axis] = slice(None, min(last, 0) * self.dilation or None)
        return ops.pad(x, pads)[tuple(cuts)]


class PixelWindow:
    """A window that moves over an image in raster order, one pixel (or one channel of it) at a time.

    What it has seen lies in a ring of rows: as many as the window sees, each with
    zeros on both sides for the padding. One pixel is one slot; the taps of the
    window are gathered from their slots, in the layout of a matrix product.

    Args:
        window: The `Window`.
        used: Boolean array of the shape of the window: taps that are looked at.
        columns: Number of columns of the image.
        groups: Into how many channels, coming one after the other, a pixel is split.
        features: Number of features of each of them.
    """

    def __init__(self, window, used, columns, groups, features):
        self.window, self.columns, self.groups, self.features = window, columns, groups, features
        row, column = np.nonzero(used)
        self.used = used
        self._row = ((row + window.rows[0]) * window.dilation).astype("int32")
        self._column = ((column + window.columns[0]) * window.dilation).astype("int32")
        self._left = max(0, -int(self._column.min()))
        # Where the image's size is left open, there is no stepping through it.
        self._width = columns and self._left + columns + max(0, int(self._column.max()))
        self._num_rows = 1 - int(self._row.min())

    def arrange(self, kernel):
        """The kernel as one matrix for each channel of a pixel: `(groups, outputs, taps * groups * features)`."""
        g, f, outputs = self.groups, self.features, kernel.shape[-1] // self.groups
        kernel = ops.reshape(kernel, (self.used.size, g * f, g, outputs))
        kernel = ops.take(kernel, np.flatnonzero(self.used), axis=0)
        return ops.reshape(ops.transpose(kernel, (2, 3, 0, 1)), (g, outputs, -1))

    def start(self, batch_size, dtype):
        """The ring before the first pixel."""
        if self.columns is None:
            raise ValueError("The layer was built for images of any size; to step, it must be built for one size.")
        return ops.zeros((self._num_rows * self._width, self.groups, self.features, batch_size), dtype)

    def position(self, t):
        """Row, column and channel of step `t`."""
        pixel = t // self.groups
        return pixel // self.columns, pixel % self.columns, t % self.groups

    def write(self, ring, x, t):
        """Puts the features of step `t`, of shape `(batch, features)`, into the ring."""
        row, column, group = self.position(t)
        slot = (row % self._num_rows) * self._width + self._left + column
        x = ops.reshape(ops.transpose(ops.cast(x, ring.dtype)), (1, 1, self.features, -1))
        return ops.slice_update(ring, (slot, group, 0, 0), x)

    def write_late(self, ring, x, t):
        """At step `t`, puts the features of step `t - 1` into the ring; at the first there are none."""
        return backend.when(t > 0, lambda ring: self.write(ring, x, t - 1), ring)

    def read(self, ring, t):
        """What the window sees at step `t`, tap by tap: `(taps * groups * features, batch)`."""
        row, column, _ = self.position(t)
        slots = ((self._row + row) % self._num_rows) * self._width + self._left + self._column + column
        return ops.reshape(ops.take(ring, slots, axis=0), (-1, ring.shape[-1]))


class TimeWindow:
    """What several causal convolutions over time see of the past, of one frame each at a time.

    The past inputs of each convolution lie in a ring of its own, as long as it
    reaches back; all rings lie in one array, so that a step is one gather and one
    scatter, however many convolutions there are.

    Args:
        kernel_size: Number of taps of each convolution.
        dilations: Spacing of the taps, one for each convolution.

    Example:

    >>> window = keras_ar.windows.TimeWindow(kernel_size=2, dilations=(1, 2, 4))
    >>> window.start(batch_size=5, features=3, dtype="float32").shape == (7, 5, 3)
    True
    """

    def __init__(self, kernel_size, dilations):
        self.num_past = kernel_size - 1  # taps that look back
        self._delays = np.outer(dilations, np.arange(self.num_past, 0, -1)).astype("int32")  # from the earliest tap on
        self._lengths = self.num_past * np.asarray(dilations, "int32")
        self._offsets = (np.cumsum(self._lengths) - self._lengths).astype("int32")

    def start(self, batch_size, features, dtype):
        """The rings before the first frame: zeros, as in the padding."""
        return ops.zeros((int(self._lengths.sum()), batch_size, features), dtype)

    def read(self, rings, t):
        """What each convolution sees of the past at step `t`: `(convolutions, batch, past taps * features)`."""
        ages = ops.mod(ops.subtract(t, self._delays), self._lengths[:, None])
        # Not by `ops.add`: on TensorFlow it takes a column for a bias of the last axis, if that is as long.
        slots = ages + ops.convert_to_tensor(self._offsets[:, None])
        taps = ops.take(rings, slots, axis=0)
        _, _, batch_size, features = taps.shape
        return ops.reshape(ops.swapaxes(taps, 1, 2), (-1, batch_size, self.num_past * features))

    def write(self, rings, frames, t):
        """Puts the inputs of step `t`, of shape `(convolutions, batch, features)`, in place of what is seen no more."""
        slots = ops.mod(t, self._lengths) + ops.convert_to_tensor(self._offsets)
        return ops.scatter_update(rings, ops.expand_dims(slots, -1), ops.cast(frames, rings.dtype))

    def filled(self, inputs):
        """The rings after the steps `0, ..., length - 1`, from the inputs of all of them.

        `inputs` has a tensor of shape `(batch, length, features)` for each convolution.
        """
        rings = []
        for x, length in zip(inputs, self._lengths, strict=True):
            last = x.shape[1] - 1
            steps = last - (last - np.arange(length)) % length  # the last one that went into each slot
            x = ops.take(x, np.maximum(steps, 0), axis=1)
            x = ops.where((steps >= 0)[None, :, None], x, ops.zeros_like(x))
            rings.append(ops.swapaxes(x, 0, 1))
        return ops.concatenate(rings)

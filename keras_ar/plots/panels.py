"""Values over an event as pictures: one, or one for each channel, side by side in the same Axes."""

import math

import numpy as np

from keras_ar.plots import canvas

__all__ = ["channel_names", "extents", "figure_size", "finish", "split"]


def split(values):
    """An array over an event as `(rows, columns, panels)`; one axis makes a picture of one row."""
    return np.atleast_3d(values[..., 0] if values.shape[-1] == 1 else values)


def figure_size(shape):
    """Width and height in inches."""
    rows, columns, count = shape
    if rows == 1:
        return min(max(7.0, 0.4 * columns * count), 12.0), 2.4
    width = 4.6 if count == 1 else 3.2
    return width * count + 1.4, min(width * rows / columns, 8.0) + 1.0


def extents(shape):
    """Left, right, lower and upper edge of each panel; the first cell of the first has its center at the origin."""
    rows, columns, count = shape
    return [(start - 0.5, start + columns - 0.5, rows - 0.5, -0.5) for start in _starts(columns, count)]


def finish(ax, shape):
    """Frames, the names of channels, and ticks that begin anew with each panel."""
    rows, columns, count = shape
    starts, names = _starts(columns, count), channel_names(count)
    for start, name in zip(starts, names, strict=True):
        frame = canvas.load_matplotlib().patches.Rectangle(
            (start - 0.5, -0.5), columns, rows, fill=False, edgecolor="0.2", linewidth=0.8, clip_on=False
        )
        ax.add_patch(frame)
        ax.text(start + (columns - 1) / 2, -0.5 - 0.02 * rows, name, ha="center", va="bottom")
    above = 0.1 * rows if count > 1 else 0.0  # for the names
    ax.set(xlim=(-0.5, starts[-1] + columns - 0.5), ylim=(rows - 0.5, -0.5 - above), frame_on=False)
    ax.set_aspect("auto" if rows == 1 else "equal")
    ax.set_xticks(*canvas.panel_ticks(0, columns - 1, starts, 8 if count == 1 else 4, integer=True))
    ax.set_yticks(*(canvas.panel_ticks(0, rows - 1, [0], 8, integer=True) if rows > 1 else ((), ())))


def channel_names(count):
    """What the channels of a picture are called; a single one needs no name."""
    return {1: [""], 3: ["R", "G", "B"]}.get(count, [f"channel {i}" for i in range(count)])


def _starts(columns, count):
    return (columns + max(1, math.ceil(0.08 * columns))) * np.arange(count)

"""Images side by side in one raster of colors, each pixel a square of dots."""

import math

import numpy as np

from keras_ar import arguments
from keras_ar.plots import canvas

__all__ = ["check_images", "colored", "grid", "join", "scale_for", "show"]

_WHITE = 255
_GAP = 40  # dots between grids


def check_images(images, name):
    """Images as a float32 array of shape `(n, rows, columns, channels)`, or a `ValueError` that names them."""
    images = np.asarray(images)
    shape = images.shape if images.ndim == 4 else (*images.shape, 1)
    if len(shape) != 4 or shape[-1] not in (1, 3) or 0 in shape:
        raise ValueError(
            f"`{name}` must have shape (n, rows, columns), (n, rows, columns, 1) or (n, rows, columns, 3), and hold at "
            f"least one image. Received: {name}.shape={images.shape}."
        )
    if images.dtype.kind not in "biuf":
        raise ValueError(f"`{name}` must hold numbers. Received: {name}.dtype={images.dtype}.")
    if not np.isfinite(images).all():
        raise ValueError(f"`{name}` must be finite. Received NaN or infinite entries.")
    return images.reshape(shape).astype("float32")


def colored(batches, num_levels, cmap):
    """Each batch in colors, `(n, rows, columns, 3)` of uint8, all on one scale."""
    lowest, highest = min(batch.min() for batch in batches), max(batch.max() for batch in batches)
    black, white = min(lowest, 0), highest
    if num_levels is not None:
        black, white = 0, arguments.integer(num_levels, "num_levels", least=2) - 1
        if lowest < black or highest > white:
            raise ValueError(
                f"`images` must lie between 0 and `num_levels` - 1 = {white}. "
                f"Received: values from {lowest:g} to {highest:g}."
            )
    color_map = canvas.load_matplotlib().colormaps.get_cmap(cmap)
    batches = [(batch - black) / ((white - black) or 1) for batch in batches]
    return [
        color_map(batch[..., 0], bytes=True)[..., :3] if batch.shape[-1] == 1 else np.round(255 * batch).astype("uint8")
        for batch in batches
    ]


def scale_for(rows, columns, most=16):
    """How many dots wide a pixel is, at most `most`, such that the picture is at most about 8 inches long."""
    return min(max(1, 8 * canvas.DPI // max(rows, columns)), most)


def grid(images, columns, scale, margin=2):
    """Images `(n, rows, columns, 3)` beside and below each other in one raster; places left over are blank."""
    rows = math.ceil(len(images) / columns)
    tiles = images.repeat(scale, axis=1).repeat(scale, axis=2)
    tiles = np.pad(
        tiles, [(0, rows * columns - len(images)), (margin, margin), (margin, margin), (0, 0)], constant_values=_WHITE
    )
    height, width = tiles.shape[1:3]
    tiles = tiles.reshape(rows, columns, height, width, 3).swapaxes(1, 2)
    return tiles.reshape(rows * height, columns * width, 3)


def join(rasters, axis, gap=_GAP):
    """Rasters put together along an axis, and where along it each has its center."""
    size = max(raster.shape[1 - axis] for raster in rasters)
    parts, centers, begin = [], [], 0
    for raster in rasters:
        length = raster.shape[axis]
        missing = [[0, 0], [0, 0], [0, 0]]
        missing[1 - axis][1] = size - raster.shape[1 - axis]
        missing[axis][1] = gap
        parts.append(np.pad(raster, missing, constant_values=_WHITE))
        centers.append(begin + (length - 1) / 2)
        begin += length + gap
    return np.delete(np.concatenate(parts, axis), np.s_[begin - gap :], axis), centers


def show(raster, ax, *, title=None, columns=((), ()), rows=((), ()), colors=None, extend="neither"):
    """Draws a raster; in a new figure, dot by dot.

    Args:
        raster: uint8 array of shape `(rows, columns, 3)`.
        ax: A matplotlib Axes, or `None` for that of a new figure.
        title: String, or `None`. Defaults to `None`.
        columns: Pair of places along the upper edge, and what to write there. Defaults to none.
        rows: Pair of places along the left edge, and what to write there. Defaults to none.
        colors: Pair of what a color bar explains, and its label; `None` for no bar. Defaults to `None`.
        extend: String, at which ends of the color bar there are values beyond it, as matplotlib has it. Defaults to
            `"neither"`.
    """
    is_new = ax is None
    ax = canvas.new_or_given(ax, 1, 1)
    if is_new:
        ax.figure.set_layout_engine("none")
        ax.figure.set_size_inches(raster.shape[1] / canvas.DPI, raster.shape[0] / canvas.DPI)
    # As large as the raster it is drawn dot by dot; shrunk, its dots are averaged.
    ax.imshow(raster, aspect="auto" if is_new else "equal", interpolation="auto")
    ax.set_frame_on(False)
    ax.set_xticks(*columns)
    ax.set_yticks(*rows)
    ax.tick_params(
        length=0, labelsize="large" if is_new else "medium", top=True, labeltop=True, bottom=False, labelbottom=False
    )
    if colors:
        canvas.color_bar(ax, *colors, is_new, extend=extend)
    if title:
        ax.set_title(title, pad=10)
    if is_new:
        canvas.fit_figure(ax, *raster.shape[:2])
    return ax

"""Events of which parts were missing: how a model completed them, and how sure it was."""

import math
import textwrap

import numpy as np

from keras_ar import arguments
from keras_ar.plots import canvas, mosaic

__all__ = ["completions", "imputations"]

_UNKNOWN = (188, 203, 224)  # a bluish gray, which no gray image holds
_PALE_BLUE = "#9ecae1"
_MOST_BARS = 16  # levels for which there is room in a cell
_HEIGHT = 0.86  # of a cell
_MARGIN = 0.1  # of a cell, on either side of its values
_LETTER, _LEGEND_ENTRY = 0.068, 1.15  # inches, of small text
_FEWEST_LETTERS = 8  # in a line of a column's name
_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


def completions(truth, known, completed, *, num_levels=None, cmap="gray", title=None, ax=None):
    """Images, what was known of them, and how a model completed them; a column for each.

    Args:
        truth: Array of images, as in `images`. If it has NaN, because nobody knows the truth, it is not shown.
        known: Boolean array of the shape of one image, or of all: what was given, as in `model.complete`.
        completed: Array of the shape of `truth`, or `(completions, *truth.shape)` for several of each.
        num_levels: As in `images`. Defaults to `None`.
        cmap: As in `images`. Defaults to `"gray"`.
        title: String above all, or `None`. Defaults to `None`.
        ax: A matplotlib Axes to draw in, or `None` for that of a new figure. Defaults to `None`.

    Returns:
        The `matplotlib.axes.Axes`.

    Example:

    >>> model = keras_ar.models.MADE((4, 4), hidden_units=8)
    >>> x, known = model.sample(3, seed=0), np.arange(16).reshape(4, 4) < 8
    >>> completed = [model.complete(x, known, seed=seed) for seed in range(2)]
    >>> ax = keras_ar.plots.completions(x, known, completed, num_levels=2)
    """
    truth, known, completed = _check(truth, known, completed)
    images, completed = _as_images(truth, completed)
    images, completed = mosaic.colored([images, completed], num_levels, cmap)
    return _below_each_other({**_given(truth, known, images), "completed": completed}, title, ax)


def imputations(truth, known, completed, *, num_levels=None, names=None, cmap="gray", title=None, ax=None):
    """Events, what was known of them, and how far completions differ: where a model is sure, and where it is not.

    Vectors are lines of a table. In a cell the values of its column go from left to right: it
    shows the known value, or what was drawn in its place. Of up to 16 levels that is how often
    each was drawn; of other numbers, between which values 50% and 90% of the draws are.

    Images show the mean of what was drawn, and its standard deviation; of colors, the mean of those of the channels.

    Args:
        truth: Array of vectors, `(n, dims)`, or of images, as in `images`. NaN where nobody knows the truth.
        known: Boolean array of the shape of one event, or of all: what was given, as in `model.complete`.
        completed: Array of shape `(completions, *truth.shape)`, with at least two completions of each event.
        num_levels: Integer, the number of levels, such as `model.support.num_levels`; `None` for real numbers. Of
            images, as in `images`. Defaults to `None`.
        names: Sequence of strings, the names of the columns of vectors; `None` for their indices. Defaults to `None`.
        cmap: As in `images`. Defaults to `"gray"`.
        title: String above all, or `None`. Defaults to `None`.
        ax: A matplotlib Axes to draw in, or `None` for that of a new figure. Defaults to `None`.

    Returns:
        The `matplotlib.axes.Axes`.

    Example:

    >>> model = keras_ar.models.DeepNADE(3, hidden_units=8, head="normal")
    >>> x = np.array([[0.5, np.nan, -1.0], [np.nan, np.nan, 2.0]])
    >>> completed = model.complete(x, num_draws=100, seed=0)
    >>> ax = keras_ar.plots.imputations(x, ~np.isnan(x), completed, names=["width", "length", "weight"])
    """
    truth, known, completed = _check(truth, known, completed)
    if completed.ndim == truth.ndim or len(completed) < 2:
        raise ValueError(
            f"`completed` must hold at least two completions of each event: one has no spread. "
            f"Received: completed.shape={completed.shape}."
        )
    if truth.ndim == 2:
        return _table(truth, known, completed, num_levels, names, title, ax)
    if names is not None:
        raise ValueError(f"`names` must be None for images: only columns of vectors have names. Received: {names!r}.")
    images, drawn = _as_images(truth, completed)
    drawn = drawn.reshape(-1, *images.shape)
    deviation, colors = _colored_deviation(np.ma.masked_array(drawn.std(axis=0), known.reshape(images.shape)))
    images, mean = mosaic.colored([images, drawn.mean(axis=0)], num_levels, cmap)
    rows = {**_given(truth, known, images), "mean": mean, "deviation": deviation}
    return _below_each_other(rows, title, ax, colors=(colors, "standard deviation"))


def _check(truth, known, completed):
    """The arguments as arrays; `known` of the shape of `truth`."""
    truth, completed = arguments.array(truth, "truth"), arguments.array(completed, "completed")
    shape, known = truth.shape, np.asarray(known)
    if truth.ndim < 2 or truth.size == 0:
        raise ValueError(f"`truth` must hold events, one at least. Received: truth.shape={shape}.")
    if known.shape not in (shape, shape[1:]) or known.dtype != bool:
        raise ValueError(
            f"`known` must be a boolean array of shape {shape[1:]}, that of an event of `truth`, or of that of all. "
            f"Received: known.shape={known.shape}, known.dtype={known.dtype}."
        )
    if completed.shape[-len(shape) :] != shape or completed.ndim > len(shape) + 1 or completed.size == 0:
        raise ValueError(
            f"`completed` must have the shape of `truth`, {shape}, or (completions, *{shape}). "
            f"Received: completed.shape={completed.shape}."
        )
    known = np.broadcast_to(known, shape)
    if np.isinf(truth).any() or np.isnan(truth[known]).any():
        raise ValueError("`truth` must be finite, or NaN where it is not known. Received NaN or infinite entries.")
    if not np.isfinite(completed).all():
        raise ValueError("`completed` must be finite. Received NaN or infinite entries.")
    return truth, known, completed


# Images.


def _as_images(truth, completed):
    """Images and all completions, `(n, rows, columns, channels)`; a completion is in place of a truth that is NaN."""
    several = completed.reshape(-1, *truth.shape)
    images = mosaic.check_images(np.where(np.isnan(truth), several[0], truth), "truth")
    return images, mosaic.check_images(several.reshape(-1, *truth.shape[1:]), "completed")


def _given(truth, known, images):
    """The rows of the truth, if that is there, and of what was known."""
    given = np.where(known.reshape(*images.shape[:3], -1), images, np.array(_UNKNOWN, "uint8"))
    return {"known": given} if np.isnan(truth).any() else {"truth": images, "known": given}


def _colored_deviation(deviation):
    """Standard deviations in colors, and what explains these; masked where nothing was drawn."""
    deviation = deviation.mean(axis=-1)
    mpl = canvas.load_matplotlib()
    color_map = mpl.colormaps["viridis"].with_extremes(bad="0.93")
    colors = mpl.cm.ScalarMappable(mpl.colors.Normalize(0, deviation.max() or 1.0), color_map)
    flat = colors.to_rgba(deviation.reshape(len(deviation), -1), bytes=True)
    return flat[..., :3].reshape(*deviation.shape, 3), colors


def _below_each_other(rows, title, ax, **options):
    """Rows of images under their names; there is a column for each image of the row `known`."""
    count, height, width, _ = rows["known"].shape
    scale = mosaic.scale_for(sum(map(len, rows.values())) // count * height, count * width)
    rasters = [mosaic.grid(images, count, scale) for images in rows.values()]
    raster, centers = mosaic.join(rasters, axis=0, gap=12)
    return mosaic.show(raster, ax, title=title, rows=(centers, list(rows)), **options)


# Vectors.


def _table(truth, known, completed, num_levels, names, title, ax):
    """A cell for each value of each event."""
    count, dims = truth.shape
    names = list(map(str, range(dims) if names is None else names))
    if len(names) != dims:
        raise ValueError(f"`names` must hold a name for each of {dims} columns. Received: {len(names)} names.")
    has_bars = num_levels is not None and arguments.integer(num_levels, "num_levels", least=2) <= _MOST_BARS
    ax = canvas.new_or_given(ax, min(max(1.3 * dims, 6.0), 16.0), 0.45 * count + 1.6)
    for row, column in np.ndindex(count, dims):
        cell = (column + 0.02, row - _HEIGHT / 2), 0.96, _HEIGHT
        ax.add_patch(canvas.load_matplotlib().patches.Rectangle(*cell, facecolor="0.95"))
    if has_bars:
        low, high = np.zeros(dims), np.full(dims, num_levels - 1.0)
        place = _placer(low - 0.5, high + 0.5)
        _draw_shares(ax, place, ~known, completed, num_levels)
    else:
        quantiles = np.quantile(completed, _QUANTILES, axis=0)
        values = np.stack([truth, *np.where(known, truth, quantiles[[0, -1]])])
        low, high = np.nanmin(values, axis=(0, 1)), np.nanmax(values, axis=(0, 1))
        place = _placer(low, high)
        _draw_quantiles(ax, place(quantiles), ~known)
    _draw_points(ax, place(truth), known, marker="o", color="0.25", label="known")
    _draw_points(ax, place(truth), ~known & ~np.isnan(truth), marker="x", color="tab:red", label="truth")
    limits = [f"{a:.4g} to {b:.4g}" if a < b else f"{a:.4g}" for a, b in zip(low, high, strict=True)]
    ax.set(xlim=(0, dims), ylim=(count - 0.5, -0.5), ylabel="event", frame_on=False)
    ax.set_yticks(range(count))
    ax.tick_params(length=0)
    ax.figure.draw_without_rendering()  # settles how wide the Axes are
    _label_columns(ax, names, limits)
    lines = _legend_above(ax)
    ax.set_title(title, pad=10 + 15 * lines)
    return ax


def _label_columns(ax, names, limits):
    """The names of the columns, and from which value to which they go; upright, where they would meet."""
    letters = int(ax.bbox.width / ax.figure.dpi / len(names) / _LETTER)
    wrapped = [textwrap.fill(name, letters) for name in names] if letters >= _FEWEST_LETTERS else names
    longest = max(len(line) for line in "\n".join([*wrapped, *limits]).split("\n"))
    labels = [f"{name}\n{limit}" for name, limit in zip(names if longest > letters else wrapped, limits, strict=True)]
    ax.set_xticks(np.arange(len(names)) + 0.5, labels, fontsize="small", rotation=90 if longest > letters else 0)


def _legend_above(ax):
    """A legend between the Axes and its title; returns how many lines it has."""
    handles, labels = ax.get_legend_handles_labels()
    columns = max(1, min(len(labels), int(ax.bbox.width / ax.figure.dpi / _LEGEND_ENTRY)))
    place = {"loc": "lower center", "bbox_to_anchor": (0.5, 1.0), "borderaxespad": 0.2}
    ax.legend(handles, labels, ncols=columns, frameon=False, fontsize="small", columnspacing=1.2, **place)
    return math.ceil(len(labels) / columns)


def _placer(low, high):
    """A function of arrays whose last axis is the columns: where in their cells values stand."""
    first = np.arange(len(low)) + _MARGIN

    def place(values):
        share = np.where(high > low, (values - low) / np.where(high > low, high - low, 1.0), 0.5)
        return first + (1 - 2 * _MARGIN) * share

    return place


def _draw_points(ax, x, is_here, **look):
    if is_here.any():
        ax.plot(x[is_here], np.nonzero(is_here)[0], linestyle="none", **look)


def _draw_shares(ax, place, is_missing, completed, num_levels):
    """A bar for each level, as high as the share of the draws that have it."""
    levels = np.arange(num_levels)
    shares = np.stack([(completed == level).mean(axis=0) for level in levels])[:, is_missing]  # (levels, cells)
    x = place(np.ones(is_missing.shape) * levels[:, None, None])[:, is_missing]
    bottom = np.broadcast_to(np.nonzero(is_missing)[0] + _HEIGHT / 2, shares.shape)
    width = 0.9 * (1 - 2 * _MARGIN) / num_levels
    ax.bar(x.ravel(), -_HEIGHT * shares.ravel(), width, bottom.ravel(), color=_PALE_BLUE, label="share of draws")


def _draw_quantiles(ax, x, is_missing):
    """A line that holds 90% of the draws, a bar that holds half of them, and their median."""
    rows = np.nonzero(is_missing)[0]
    lowest, lower, middle, upper, highest = x[:, is_missing]
    ax.hlines(rows, lowest, highest, color="tab:blue", linewidth=1.5, label="90% of draws")
    ax.hlines(rows, lower, upper, color=_PALE_BLUE, linewidth=9, label="50% of draws")
    ax.plot(middle, rows, "|", color="tab:blue", markersize=9, markeredgewidth=2, label="median")

"""Images in a grid, beside the training images that they resemble, and completed."""

import math
import textwrap

import numpy as np

from keras_ar import arguments, diagnostics
from keras_ar.plots import canvas, mosaic

__all__ = ["completions", "images", "neighbors"]

_UNKNOWN = (188, 203, 224)  # a bluish gray, which no gray image holds


def images(images, columns=None, *, num_levels=None, cmap="gray", title=None, ax=None):
    """Images in a grid, every pixel a sharp square.

    Args:
        images: Array of shape `(n, rows, columns)`, `(n, rows, columns, 1)` or, in color,
            `(n, rows, columns, 3)`. Or a dictionary from titles to such arrays: grids
            side by side, all on one scale.
        columns: Integer, how many images are in a row of a grid; `None` for a grid that is
            square, or nearly. Defaults to `None`.
        num_levels: Integer, the number of levels, such as `model.support.num_levels`: 0 is
            black and `num_levels - 1` white. With `None` the largest value is white,
            and black is 0, or the smallest value if that is negative. Defaults to `None`.
        cmap: String, matplotlib's name of the color map of gray images; `"gray_r"` is ink on
            paper. Defaults to `"gray"`.
        title: String above all, or `None`. Defaults to `None`.
        ax: A matplotlib Axes to draw in; by default that of a new figure, as large as the grids.

    Returns:
        The `matplotlib.axes.Axes`.

    Example:

    >>> samples = keras_ar.models.MADE((8, 8, 1), hidden_units=8).sample(10, seed=0)
    >>> ax = keras_ar.plots.images(samples, columns=5, num_levels=2)
    >>> ax.figure.savefig("samples.png")  # doctest: +SKIP
    """
    batches = images if isinstance(images, dict) else {"": images}
    if not batches:
        raise ValueError("`images` must hold at least one grid. Received an empty dictionary.")
    if columns is not None:
        columns = arguments.integer(columns, "columns")
    batches = [_check_images(batch, "images") for batch in batches.values()]
    layouts = [columns or math.ceil(math.sqrt(len(batch))) for batch in batches]
    names = list(images) if isinstance(images, dict) else [""]
    return _side_by_side(_colored(batches, num_levels, cmap), layouts, names, title, ax)


def neighbors(samples, train, count=4, *, num_levels=None, cmap="gray", title=None, ax=None):
    """Samples, each beside the training images nearest to it: whether a model has learned images by heart.

    The nearest are those of `keras_ar.diagnostics.nearest_neighbors`.

    Args:
        samples: Array of images, as in `images`; a row for each.
        train: Array of the images that the model was trained on, of the same size.
        count: Integer, how many of the nearest to show, the nearest first. Defaults to `4`.
        num_levels: As in `images`. Defaults to `None`.
        cmap: As in `images`. Defaults to `"gray"`.
        title: String above all, or `None`. Defaults to `None`.
        ax: A matplotlib Axes to draw in, or `None` for that of a new figure. Defaults to `None`.

    Returns:
        The `matplotlib.axes.Axes`.

    Example:

    >>> train = np.random.default_rng(0).integers(0, 2, (50, 4, 4))
    >>> model = keras_ar.models.MADE((4, 4), hidden_units=8)
    >>> ax = keras_ar.plots.neighbors(model.sample(5, seed=0), train, num_levels=2)
    """
    samples, train = _check_images(samples, "samples"), _check_images(train, "train")
    if samples.shape[1:] != train.shape[1:]:
        raise ValueError(
            f"`train` must hold images like `samples`, of shape {samples.shape[1:]}. "
            f"Received: of shape {train.shape[1:]}."
        )
    nearest = diagnostics.nearest_neighbors(samples, train, count)
    colored = _colored([samples, train[nearest.ravel()]], num_levels, cmap)
    return _side_by_side(colored, [1, nearest.shape[1]], ["samples", "nearest in training"], title, ax)


def completions(truth, known, completed, *, num_levels=None, cmap="gray", title=None, ax=None):
    """Images, what was known of them, and how a model completed them; a column for each.

    Args:
        truth: Array of images, as in `images`.
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
    shape = np.shape(truth)
    truth, known, completed = _check_images(truth, "truth"), np.asarray(known), np.asarray(completed)
    if known.shape not in (shape, shape[1:]) or known.dtype != bool:
        raise ValueError(
            f"`known` must be a boolean array of shape {shape[1:]}, that of an image of `truth`, or of that of all. "
            f"Received: known.shape={known.shape}, known.dtype={known.dtype}."
        )
    if completed.shape[-len(shape) :] != shape or completed.ndim > len(shape) + 1:
        raise ValueError(
            f"`completed` must have the shape of `truth`, {shape}, or (completions, *{shape}). "
            f"Received: completed.shape={completed.shape}."
        )
    completed = _check_images(completed.reshape(-1, *shape[1:]), "completed")
    truth, completed = _colored([truth, completed], num_levels, cmap)
    known = known.reshape(-1, *shape[1:3], math.prod(shape[3:]))
    given = np.where(known, truth, np.array(_UNKNOWN, "uint8"))

    rows, columns = (2 + len(completed) // len(truth)) * truth.shape[1], len(truth) * truth.shape[2]
    scale = mosaic.scale_for(rows, columns)
    rasters = [mosaic.grid(batch, len(truth), scale) for batch in (truth, given, completed)]
    raster, centers = mosaic.join(rasters, axis=0, gap=12)
    return mosaic.show(raster, ax, title=title, rows=(centers, ["truth", "known", "completed"]))


def _check_images(images, name):
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


def _colored(batches, num_levels, cmap):
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


def _side_by_side(batches, layouts, names, title, ax):
    """Grids beside each other, each with its number of columns, and their names above them."""
    rows = max(
        math.ceil(len(batch) / columns) * batch.shape[1] for batch, columns in zip(batches, layouts, strict=True)
    )
    columns = sum(columns * batch.shape[2] for batch, columns in zip(batches, layouts, strict=True))
    scale = mosaic.scale_for(rows, columns)
    grids = [mosaic.grid(batch, columns, scale) for batch, columns in zip(batches, layouts, strict=True)]
    raster, centers = mosaic.join(grids, axis=1)
    # A large letter is some 13 dots wide: names above neighbors must not meet.
    names = [textwrap.fill(name, max(grid.shape[1] // 13, 8)) for name, grid in zip(names, grids, strict=True)]
    return mosaic.show(raster, ax, title=title, columns=(centers, names) if any(names) else ((), ()))

"""Images in a grid, beside the training images that they resemble, and completed."""

import math
import textwrap

import numpy as np

from keras_ar import arguments
from keras_ar.plots import canvas, mosaic

_UNKNOWN = (188, 203, 224)  # a blue grey, that no grey image holds


def images(images, columns=None, *, num_levels=None, cmap="gray", title=None, ax=None):
    """Images in a grid, every pixel a sharp square.

    Args:
        images: Array of shape `(n, rows, columns)`, `(n, rows, columns, 1)` or, in colour,
            `(n, rows, columns, 3)`. Or a dictionary from titles to such arrays: grids
            side by side, all on one scale.
        columns: Number of images in a row of a grid; by default the grid is square, or nearly.
        num_levels: Number of integer levels, such as `model.head.num_levels`: 0 is
            black and `num_levels - 1` white. With `None` the largest value is white,
            and black is 0, or the smallest value if that is negative.
        cmap: matplotlib's name of the colour map of grey images: `"gray_r"` is ink on paper.
        title: Title above all.
        ax: A matplotlib Axes to draw in; by default that of a new figure, as large as the grids.

    Returns:
        The `matplotlib.axes.Axes`.

    Example:

    >>> draws = keras_ar.models.MADE((8, 8, 1), hidden_units=8).sample(10, seed=0)
    >>> ax = keras_ar.plots.images(draws, columns=5, num_levels=2)
    >>> ax.figure.savefig("draws.png")  # doctest: +SKIP
    """
    batches = images if isinstance(images, dict) else {"": images}
    if not batches:
        raise ValueError("`images` must hold at least one grid. Received an empty dictionary.")
    if columns is not None:
        columns = arguments.integer(columns, "columns")
    batches = [_check_images(batch, "images") for batch in batches.values()]
    layouts = [columns or math.ceil(math.sqrt(len(batch))) for batch in batches]
    names = list(images) if isinstance(images, dict) else [""]
    return _side_by_side(_coloured(batches, num_levels, cmap), layouts, names, title, ax)


def neighbours(draws, train, count=4, *, num_levels=None, cmap="gray", title=None, ax=None):
    """Draws, each beside the training images nearest to it: whether a model has learned images by heart.

    The distance is the Euclidean one between all the values of two images.

    Args:
        draws: Array of images, as in `images`; a row for each.
        train: Array of the images that the model was trained on, of the same size.
        count: How many of the nearest to show, from the nearest on.
        num_levels: As in `images`.
        cmap: As in `images`.
        title: Title above all.
        ax: A matplotlib Axes to draw in; by default that of a new figure.

    Returns:
        The `matplotlib.axes.Axes`.

    Example:

    >>> train = np.random.default_rng(0).integers(0, 2, (50, 4, 4))
    >>> model = keras_ar.models.MADE((4, 4), hidden_units=8)
    >>> ax = keras_ar.plots.neighbours(model.sample(5, seed=0), train, num_levels=2)
    """
    draws, train = _check_images(draws, "draws"), _check_images(train, "train")
    if draws.shape[1:] != train.shape[1:]:
        raise ValueError(
            f"`train` must hold images like `draws`, of shape {draws.shape[1:]}. Received: of shape {train.shape[1:]}."
        )
    count = min(arguments.integer(count, "count"), len(train))
    nearest = train[_nearest(draws, train, count).ravel()]
    coloured = _coloured([draws, nearest], num_levels, cmap)
    return _side_by_side(coloured, [1, count], ["draws", "nearest in training"], title, ax)


def _nearest(draws, train, count):
    """Indices of the training images nearest to each draw, `(draws, count)`."""
    draws = draws.reshape(len(draws), -1).astype("float64")
    distances = np.empty((len(draws), len(train)))
    for first in range(0, len(train), 4096):  # float64 copies of a part at a time
        part = train[first : first + 4096].reshape(-1, draws.shape[1]).astype("float64")
        squares = np.sum(part**2, axis=1) - 2 * draws @ part.T  # the draw's own square changes no order
        distances[:, first : first + len(part)] = squares
    return np.argsort(distances, axis=1, kind="stable")[:, :count]


def completions(truth, known, completed, *, num_levels=None, cmap="gray", title=None, ax=None):
    """Images, what was known of them, and how a model completed them; a column for each.

    Args:
        truth: Array of images, as in `images`.
        known: Boolean array of the shape of one image: what the model was told, as in `model.complete`.
        completed: Array of the shape of `truth`, or `(completions, *truth.shape)` for several of each.
        num_levels: As in `images`.
        cmap: As in `images`.
        title: Title above all.
        ax: A matplotlib Axes to draw in; by default that of a new figure.

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
    if known.shape != shape[1:] or known.dtype != bool:
        raise ValueError(
            f"`known` must be a boolean array of shape {shape[1:]}, that of an image of `truth`. "
            f"Received: known.shape={known.shape}, known.dtype={known.dtype}."
        )
    if completed.shape[-len(shape) :] != shape or completed.ndim > len(shape) + 1:
        raise ValueError(
            f"`completed` must have the shape of `truth`, {shape}, or (completions, *{shape}). "
            f"Received: completed.shape={completed.shape}."
        )
    completed = _check_images(completed.reshape(-1, *shape[1:]), "completed")
    truth, completed = _coloured([truth, completed], num_levels, cmap)
    told = np.where(known.reshape(*truth.shape[1:3], -1), truth, np.array(_UNKNOWN, "uint8"))

    rows, columns = (2 + len(completed) // len(truth)) * truth.shape[1], len(truth) * truth.shape[2]
    scale = mosaic.scale_for(rows, columns)
    rasters = [mosaic.grid(batch, len(truth), scale) for batch in (truth, told, completed)]
    raster, centres = mosaic.join(rasters, axis=0, gap=12)
    return mosaic.show(raster, ax, title=title, rows=(centres, ["truth", "known", "completed"]))


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


def _coloured(batches, num_levels, cmap):
    """Each batch in colours, `(n, rows, columns, 3)` of uint8; black and white are the same in all."""
    lowest, highest = min(batch.min() for batch in batches), max(batch.max() for batch in batches)
    black, white = min(lowest, 0), highest
    if num_levels is not None:
        black, white = 0, arguments.integer(num_levels, "num_levels", least=2) - 1
        if lowest < black or highest > white:
            raise ValueError(
                f"`images` must lie between 0 and `num_levels` - 1 = {white}. "
                f"Received: values from {lowest:g} to {highest:g}."
            )
    colour_map = canvas.load_matplotlib().colormaps.get_cmap(cmap)
    batches = [(batch - black) / ((white - black) or 1) for batch in batches]
    return [
        colour_map(batch[..., 0], bytes=True)[..., :3]
        if batch.shape[-1] == 1
        else np.round(255 * batch).astype("uint8")
        for batch in batches
    ]


def _side_by_side(batches, layouts, names, title, ax):
    """Grids with so many columns each, beside each other, and their names above them."""
    rows = max(
        math.ceil(len(batch) / columns) * batch.shape[1] for batch, columns in zip(batches, layouts, strict=True)
    )
    columns = sum(columns * batch.shape[2] for batch, columns in zip(batches, layouts, strict=True))
    scale = mosaic.scale_for(rows, columns)
    grids = [mosaic.grid(batch, columns, scale) for batch, columns in zip(batches, layouts, strict=True)]
    raster, centres = mosaic.join(grids, axis=1)
    # A large letter is some 13 dots wide: names above neighbours shall not meet.
    names = [textwrap.fill(name, max(grid.shape[1] // 13, 8)) for name, grid in zip(names, grids, strict=True)]
    return mosaic.show(raster, ax, title=title, columns=(centres, names) if any(names) else ((), ()))

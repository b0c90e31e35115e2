"""Images in a grid, and beside the training images that they resemble."""

import math
import textwrap

from keras_ar import arguments, diagnostics
from keras_ar.plots import mosaic

__all__ = ["images", "neighbors"]


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
    batches = [mosaic.check_images(batch, "images") for batch in batches.values()]
    layouts = [columns or math.ceil(math.sqrt(len(batch))) for batch in batches]
    names = list(images) if isinstance(images, dict) else [""]
    return _side_by_side(mosaic.colored(batches, num_levels, cmap), layouts, names, title, ax)


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
    samples, train = mosaic.check_images(samples, "samples"), mosaic.check_images(train, "train")
    if samples.shape[1:] != train.shape[1:]:
        raise ValueError(
            f"`train` must hold images like `samples`, of shape {samples.shape[1:]}. "
            f"Received: of shape {train.shape[1:]}."
        )
    nearest = diagnostics.nearest_neighbors(samples, train, count)
    colored = mosaic.colored([samples, train[nearest.ravel()]], num_levels, cmap)
    return _side_by_side(colored, [1, nearest.shape[1]], ["samples", "nearest in training"], title, ax)


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

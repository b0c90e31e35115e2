"""What layers may see, and what they have learned to see."""

import math

import numpy as np
from keras import ops

from keras_ar import arguments, parts
from keras_ar.autoregressive import AutoregressiveModel
from keras_ar.plots import canvas, mosaic, panels

__all__ = ["features", "masks"]

_SHADES = {"cmap": "Blues", "vmin": -0.1, "vmax": 1.2}  # of masks: 0 is pale and 1 dark
_MASKED = "0.85"
_PITCH = (1.3, 1.45)  # from one picture of a mask to the next, to the right and down


def masks(layer, *, title=None, ax=None):
    """The masks of a layer, or of all layers of a model: dark where an output may see an input.

    A dense mask is one picture, inputs down, units to the right. The mask of a
    convolution is a kernel for each pair of colors, its center framed;
    convolutions whose kernels are masked alike share a picture.

    Args:
        layer: A built layer or model. What is drawn is the attribute `mask` of it and of every layer in its public
            attributes: an array of shape `(inputs, units)`, or `(rows, columns, inputs, filters)`; then an
            attribute `num_colors` may say how many colors the channels are divided into.
        title: String, or `None` for one that names the layer or model. Defaults to `None`.
        ax: A matplotlib Axes to draw in, or `None` for that of a new figure. Defaults to `None`.

    Returns:
        The `matplotlib.axes.Axes`, in which each picture is one unit wide and high.

    Example:

    >>> ax = keras_ar.plots.masks(keras_ar.models.MADE(6, hidden_units=(12, 12)))
    """
    pictures = _pictures(layer)
    if not pictures:
        raise ValueError(
            f"`layer` must have masks: parts, already built, with an attribute `mask` of two or four axes. Received: "
            f"{layer.name}, a {type(layer).__name__}, with none in it."
        )
    rows = math.ceil(len(pictures) / 4)
    columns = math.ceil(len(pictures) / rows)
    ax = canvas.new_or_given(ax, max(2.6 * columns, 4.5), 2.9 * rows + 0.9)
    for i, (picture, names) in enumerate(pictures):
        left, top = _PITCH[0] * (i % columns), _PITCH[1] * (i // columns)
        name = names[0] if len(names) == 1 else f"{names[0]} ({len(names)} alike)"
        ax.text(left + 0.5, top - 0.04, name, ha="center", va="bottom", fontsize="large")
        (_draw_dense if picture.ndim == 2 else _draw_kernels)(ax, picture, left, top)
    width, height = (pitch * (count - 1) for pitch, count in zip(_PITCH, (columns, rows), strict=True))
    ax.set(xlim=(-0.15, width + 1.05), ylim=(height + 1.15, -0.15), aspect="equal")
    ax.set_axis_off()
    ax.set_title(title or f"Masks of {layer.name}")
    canvas.legend_below(ax, _explain_masks(any(picture.ndim == 4 for picture, _ in pictures)))
    return ax


def _explain_masks(has_kernels):
    mpl = canvas.load_matplotlib()
    colors = mpl.colormaps[_SHADES["cmap"]]
    itself = mpl.patches.Patch(facecolor="none", edgecolor="tab:red", linewidth=2, label="the pixel itself")
    return [
        mpl.patches.Patch(facecolor=colors(0.85), label="sees"),
        mpl.patches.Patch(facecolor=colors(0.08), edgecolor="0.6", label="masked"),
        *([itself] if has_kernels else []),
    ]


def _pictures(layer):
    """A picture of each mask in a layer, with the names of the layers that have it."""
    pictures = {}
    for part in parts.parts(layer):
        axes = np.ndim(getattr(part, "mask", None))
        if axes == 2:
            pictures[part] = (np.asarray(part.mask), [part.name])
        elif axes == 4:
            kernels = _kernels(part)
            pictures.setdefault((kernels.shape, kernels.tobytes()), (kernels, []))[1].append(part.name)
    return list(pictures.values())


def _kernels(layer):
    """A kernel for each pair of colors: `(colors that see, rows, colors that are seen, columns)`."""
    colors = getattr(layer, "num_colors", 1)
    rows, columns, channels, filters = np.shape(layer.mask)
    kernels = np.reshape(layer.mask, (rows, columns, colors, channels // colors, colors, filters // colors))
    kernels = kernels.mean(axis=(3, 5)).transpose(3, 0, 2, 1)
    below, aside = _cut_off(layer, rows, columns)
    return np.pad(kernels, [(0, 0), (0, below), (0, 0), (0, aside)])


def _cut_off(layer, rows, columns):
    """Rows and columns at the end of a kernel that a layer does not store, because they see nothing."""
    whole = np.broadcast_to(getattr(layer, "kernel_size", (rows, columns)), 2)
    return max(whole[0] - rows, 0), max(whole[1] - columns, 0)


def _draw_dense(ax, mask, left, top):
    ax.imshow(mask, extent=(left, left + 1, top + 1, top), **_SHADES)
    ax.text(left + 0.5, top + 1.03, f"{mask.shape[1]} units", ha="center", va="top")
    ax.text(left - 0.03, top + 0.5, f"{mask.shape[0]} inputs", ha="right", va="center", rotation="vertical")


def _draw_kernels(ax, kernels, left, top):
    colors, rows, _, columns = kernels.shape
    cell = 1 / ((1.2 * colors - 0.2) * max(rows, columns))  # the larger side fills the picture
    x = left + 0.5 + cell * (np.arange(columns + 1) - (1.2 * colors - 0.2) * columns / 2)
    y = top + cell * np.arange(rows + 1)
    names = panels.channel_names(colors)
    for i, j in np.ndindex(colors, colors):
        to_right, down = 1.2 * columns * cell * j, 1.2 * rows * cell * i
        ax.pcolor(x + to_right, y + down, kernels[i, :, j], edgecolors="0.7", linewidth=0.5, **_SHADES)
        center = x[columns // 2 :][:2] + to_right, y[rows // 2 :][:2] + down
        ax.pcolor(*center, [[0]], facecolor="none", edgecolors="tab:red", linewidth=2)
        if i == colors - 1 and colors > 1:
            ax.text(x.mean() + to_right, y[-1] + down + 0.03, f"sees {names[j]}", ha="center", va="top")
        if j == 0 and colors > 1:
            ax.text(x[0] - 0.03, y.mean() + down, names[i], ha="right", va="center")


def features(layer, shape=None, *, count=100, columns=None, title=None, ax=None):
    """The weights of a first layer as images: what each of its units responds to, red for more and blue for less.

    Dense weights are images over the event, every weight at its pixel whatever the
    model's ordering; what a mask hides from a unit is gray. Kernels of convolutions are
    small images. With several channels each has an image, those of a unit side by side.

    Args:
        layer: A model, of which the first layer is drawn that looks at more than one position; or a built
            layer with a `kernel`: of shape `(inputs, units)`, or that of a convolution.
        shape: `(rows, columns)`, or `(rows, columns, channels)`, of an image of dense weights; `None` for the
            model's `event_shape`, which a layer does not know. Defaults to `None`.
        count: Integer, how many units to show, evenly spread among all. Defaults to `100`.
        columns: Integer, how many images are in a row of the grid; `None` for a grid that is square, or
            nearly. Defaults to `None`.
        title: String, or `None` for one that names the layer. Defaults to `None`.
        ax: A matplotlib Axes to draw in, or `None` for that of a new figure. Defaults to `None`.

    Returns:
        The `matplotlib.axes.Axes`.

    Example:

    >>> model = keras_ar.models.NADE((8, 8, 1), units=50)
    >>> ax = keras_ar.plots.features(model)
    """
    images, part = _weight_images(layer, shape)  # (units, rows, columns, channels), NaN where masked
    count = min(arguments.integer(count, "count"), len(images))
    chosen = images[np.linspace(0, len(images) - 1, count).round().astype(int)]
    channels = images.shape[-1]
    tiles = np.moveaxis(chosen, -1, 1).reshape(-1, *images.shape[1:3])
    if columns is None:  # a row holds all channels of its units
        columns = channels * math.ceil(math.sqrt(count / channels))
    columns = min(arguments.integer(columns, "columns"), len(tiles))

    mpl = canvas.load_matplotlib()
    largest = float(np.nanquantile(np.abs(tiles), 0.995)) or 1.0  # a few large weights must not make all others pale
    colors = mpl.cm.ScalarMappable(
        mpl.colors.Normalize(-largest, largest), mpl.colormaps["RdBu_r"].with_extremes(bad=_MASKED)
    )
    # Kernels are small: their pixels may be large.
    rows = math.ceil(len(tiles) / columns)
    scale = mosaic.scale_for(rows * tiles.shape[1], columns * tiles.shape[2], most=32)
    tiles = colors.to_rgba(np.ma.masked_invalid(tiles).reshape(len(tiles), -1), bytes=True)[..., :3]
    raster = mosaic.grid(tiles.reshape(-1, *images.shape[1:3], 3), columns, scale, margin=max(2, scale // 5))
    shown = f"{count} of {len(images)}" if count < len(images) else f"all {count}"
    title = title or f"{layer.name}: weights of {part.name}, {shown} units"
    return mosaic.show(raster, ax, title=title, colors=(colors, "weight"), extend="both")


def _weight_images(layer, shape):
    """The weights of a first layer, `(units, rows, columns, channels)`, and that layer."""
    is_model = isinstance(layer, AutoregressiveModel)
    for part in parts.parts(layer):
        weights = _convolution(part)
        if weights is None and (weights := _dense(part)) is not None:
            weights = _over_image(weights, layer if is_model else None, shape)
        if weights is not None:
            return weights, part
    raise ValueError(
        f"`layer` must be a built layer with a `kernel`, or a model with one that looks at more than one position. "
        f"Received: {layer.name}, a {type(layer).__name__}."
    )


def _convolution(part):
    """The kernels of a convolution with more than one tap: `(filters, rows, columns, channels)`."""
    kernel = getattr(part, "kernel", None)
    if kernel is None or len(kernel.shape) not in (3, 4) or math.prod(kernel.shape[:-2]) == 1 or _is_folded(part):
        return None
    if hasattr(part, "normalized_kernel"):  # weight normalization: the kernel is only a direction
        kernel = part.normalized_kernel()
    kernel = _masked(_array(kernel), part)
    kernel = kernel[None] if kernel.ndim == 3 else kernel  # over time: a single row
    below, aside = _cut_off(part, *kernel.shape[:2]) if hasattr(part, "mask") else (0, 0)
    kernel = np.pad(kernel, [(0, below), (0, aside), (0, 0), (0, 0)], constant_values=np.nan)
    return np.moveaxis(kernel, -1, 0)


def _dense(part):
    """The kernel of a dense layer, `(inputs, units)`."""
    if _is_folded(part):
        kernel = _array(part.unfolded_kernel())  # (from, features, to, units)
        n, features, _, units = kernel.shape
        hidden = np.arange(n)[:, None, None, None] >= np.arange(n)[:, None]
        return np.where(hidden, np.nan, kernel).reshape(n * features, n * units)
    kernel = getattr(part, "kernel", None)
    return _masked(_array(kernel), part) if kernel is not None and len(kernel.shape) == 2 else None


def _is_folded(part):
    return hasattr(part, "unfolded_kernel")


def _array(tensor):
    return ops.convert_to_numpy(ops.cast(ops.convert_to_tensor(tensor), "float32"))


def _masked(kernel, part):
    mask = getattr(part, "mask", None)
    return kernel if mask is None else np.where(np.asarray(mask) > 0, kernel, np.nan)


def _over_image(weights, model, shape):
    """Dense weights `(inputs, units)` as images; `None` if they are not weights over the model's event."""
    if model is not None:
        if len(weights) != model.num_dims:
            return None
        steps = weights.T.reshape(-1, model.num_steps, *model.event_shape[len(model.position_shape) :])
        weights = _array(model.from_steps(ops.convert_to_tensor(steps))).reshape(len(steps), -1).T
        shape = model.event_shape if shape is None else shape
    if shape is None:
        raise ValueError(
            "`shape` must be (rows, columns): a dense layer does not know it. "
            f"Received None, for {len(weights)} inputs."
        )
    shape = arguments.integers(shape, "shape")
    rows, columns, channels = {1: (1, *shape, 1), 2: (*shape, 1), 3: shape}.get(len(shape), (0, 0, 0))
    if rows * columns * channels != len(weights):
        raise ValueError(
            f"`shape` must be (rows, columns) or (rows, columns, channels), of {len(weights)} values. "
            f"Received: shape={shape}."
        )
    return weights.T.reshape(-1, rows, columns, channels)

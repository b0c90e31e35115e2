"""Pictures: images in a grid, what a position sees, masks, sound; each a matplotlib `Figure`, for `figure.savefig`.

matplotlib is an extra, `keras-ar[plots]`, and loaded with the first picture. Nothing goes through pyplot: no window
opens, and its backend and settings stay what they are.
"""

import math

import numpy as np
from keras import ops

from keras_ar import arguments, backend, noise
from keras_ar.autoregressive import AutoregressiveModel

__all__ = ["images", "masks", "receptive_field", "sensitivity", "spectrogram", "waveform"]

_DPI = 128  # a power of two: a whole number of dots, in inches, is again the same number of dots
_SEEN = {"cmap": "Blues", "vmin": -0.1, "vmax": 1.2}  # of masks: 0 is pale and 1 dark


def _matplotlib():
    try:
        import matplotlib.colors
        import matplotlib.figure
        import matplotlib.patches
    except ImportError as error:
        raise ImportError("Pictures need matplotlib: `pip install keras-ar[plots]`.") from error
    return matplotlib


# Images in a grid.


def images(images, columns=None, *, num_levels=None, cmap="gray", title=None):
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
        title: Title of the figure.

    Returns:
        A `matplotlib.figure.Figure`, as large as its grids.

    Example:

    >>> draws = keras_ar.models.MADE((8, 8, 1), hidden_units=8).sample(10, seed=0)
    >>> figure = keras_ar.plots.images(draws, columns=5, num_levels=2)
    >>> figure.savefig("draws.png")  # doctest: +SKIP
    """
    batches = images if isinstance(images, dict) else {"": images}
    batches = _to_unit_range({name: _check_images(batch) for name, batch in batches.items()}, num_levels)
    grids = _grids(batches, columns)

    # All in dots, so that each pixel of an image is a whole number of them.
    gap, header = 40, 40 * any(grids) + 48 * bool(title)
    width = sum(grid.shape[1] + gap for grid in grids.values()) - gap
    height = max(grid.shape[0] for grid in grids.values()) + header
    figure = _matplotlib().figure.Figure((width / _DPI, height / _DPI), dpi=_DPI)
    left = 0
    for name, grid in grids.items():
        rows, dots = grid.shape[:2]
        place = (left / width, 1 - (header + rows) / height, dots / width, rows / height)
        axis = figure.add_axes(place, title=name, xticks=[], yticks=[], frame_on=False)
        axis.imshow(grid, cmap=cmap, vmin=0, vmax=1, interpolation="nearest", aspect="auto")
        left += dots + gap
    if title:
        figure.suptitle(title, y=1 - 12 / height, va="top")
    return figure


def _check_images(images):
    images = np.asarray(images)
    shape = images.shape if images.ndim == 4 else (*images.shape, 1)
    if len(shape) != 4 or shape[-1] not in (1, 3) or 0 in shape:
        raise ValueError(
            f"`images` must have shape (n, rows, columns), (n, rows, columns, 1) or (n, rows, columns, 3), and hold at "
            f"least one image. Received: images.shape={images.shape}."
        )
    if images.dtype.kind not in "biuf":
        raise ValueError(f"`images` must hold numbers. Received: images.dtype={images.dtype}.")
    if not np.isfinite(images).all():
        raise ValueError("`images` must be finite. Received NaN or infinite entries.")
    return images.reshape(shape).astype("float32")


def _to_unit_range(batches, num_levels):
    """Black becomes 0 and white 1, the same in all batches."""
    lowest = min(batch.min() for batch in batches.values())
    highest = max(batch.max() for batch in batches.values())
    black, white = min(lowest, 0), highest
    if num_levels is not None:
        black, white = 0, arguments.integer(num_levels, "num_levels", least=2) - 1
        if lowest < black or highest > white:
            raise ValueError(
                f"`images` must lie between 0 and `num_levels` - 1 = {white}. "
                f"Received: values from {lowest:g} to {highest:g}."
            )
    return {name: (batch - black) / ((white - black) or 1) for name, batch in batches.items()}


def _grids(batches, columns):
    """Each batch as one picture, about 8 inches of them in all."""
    if columns is not None:
        columns = arguments.integer(columns, "columns")
    layouts = {name: columns or math.ceil(math.sqrt(len(batch))) for name, batch in batches.items()}
    wide = sum(layouts[name] * batch.shape[2] for name, batch in batches.items())
    high = max(math.ceil(len(batch) / layouts[name]) * batch.shape[1] for name, batch in batches.items())
    scale = min(max(1, 8 * _DPI // max(wide, high)), 16)
    return {name: _grid(batch, layouts[name], scale) for name, batch in batches.items()}


def _grid(batch, columns, scale):
    """The images beside and below each other, pixels of `scale` dots, thin margins and what is left over blank."""
    channels, blank = batch.shape[-1], np.nan if batch.shape[-1] == 1 else 1.0  # a colour map knows NaN, a colour not
    rows = math.ceil(len(batch) / columns)
    tiles = batch.repeat(scale, axis=1).repeat(scale, axis=2)
    tiles = np.pad(tiles, [(0, rows * columns - len(batch)), (2, 2), (2, 2), (0, 0)], constant_values=blank)
    height, width = tiles.shape[1:3]
    tiles = tiles.reshape(rows, columns, height, width, channels).swapaxes(1, 2)
    return tiles.reshape(rows * height, columns * width, channels)


# What a position sees.


def sensitivity(model, position=None, x=None, condition=None, *, random_weights=False, seed=0):
    """How strongly the parameters of one position react to each value of an event: `|d params / d x|`.

    Summed over the position's parameters and averaged over events. Zero on the
    position itself and on all that come later, in any model that is causal. Values
    that a model looks up in a table, instead of computing with them, have no
    derivative: zero here. Costs a backward pass over all events for each parameter;
    with 256 of them and a large network, a few events are enough.

    Args:
        model: An `AutoregressiveModel`.
        position: Index into `model.position_shape`: an integer or a tuple; axes of
            size 1 at its end may be left out. The middle by default.
        x: Array of shape `(events, *event_shape)`: the events at which to
            differentiate; random ones by default.
        condition: Array of shape `(events, *condition_shape)`, or of shape `condition_shape`: one
            for all; random by default.
        random_weights: Whether to look at a copy with random weights. It shows what
            the architecture lets a position see: the weights of a fresh model may be
            zero, and trained ones show what the model has come to look at.
        seed: Integer, the seed of all that is random here.

    Returns:
        float32 array of shape `event_shape`.

    Example:

    >>> model = keras_ar.models.FVSBN(5)
    >>> (keras_ar.plots.sensitivity(model, position=3, random_weights=True) > 0).tolist()
    [True, True, True, False, False]
    """
    position = _check_position(model, position)
    seed = noise.check_seed(seed)
    rng = np.random.default_rng(seed)
    events = _random_events(model, 8, seed) if x is None else np.asarray(x)
    model._check_events(events)
    if condition is None and model.condition_shape:
        condition = rng.normal(size=(len(events), *model.condition_shape))
    condition = model._check_condition(condition, len(events), broadcast=True)
    if random_weights:
        model = type(model).from_config(model.get_config())
        noise.randomise(model, seed)

    def params_of_position(events):
        params = ops.cast(model(events, *condition), "float32")[(slice(None), *position)]  # (batch, num_params)
        # Events do not meet in a model: the derivative of their sum by an event is that event's own.
        return ops.sum(params, axis=0)

    jacobian = backend.jacobian(params_of_position, events)  # (num_params, batch, *event_shape)
    return np.abs(jacobian).sum(axis=0).mean(axis=0)


def receptive_field(model, position=None, *, title=None, **options):
    """A picture of `sensitivity`: what a position sees, what it is blind to, and what comes later.

    Strengths are relative to the strongest, in a logarithmic scale: what has any
    influence at all has a colour.

    Args:
        model: An `AutoregressiveModel` whose events have up to three axes.
        position: Index into `model.position_shape`; the middle by default.
        title: Title of the figure.
        **options: `x`, `condition`, `random_weights` and `seed`, as in `sensitivity`.

    Returns:
        A `matplotlib.figure.Figure`; with channels on the last axis, a panel for each.

    Example:

    >>> model = keras_ar.models.MADE((8, 8, 1), ordering="reversed")
    >>> figure = keras_ar.plots.receptive_field(model, position=(5, 2))
    """
    position = _check_position(model, position)
    if len(model.event_shape) > 3:
        raise ValueError(f"`model` must have events of up to three axes. Received: event_shape={model.event_shape}.")
    mpl = _matplotlib()
    strength = sensitivity(model, position, **options)
    strength = strength / (strength.max() or 1.0)
    steps = _over_event(model, np.argsort(model.ordering))
    step = steps[position].flat[0]
    strength, earlier, own = map(_panels, (strength, steps < step, steps == step))  # (rows, columns, panels)

    rows, columns, count = strength.shape
    figure = mpl.figure.Figure(_field_size(rows, columns, count), dpi=_DPI, layout="constrained")
    axes = figure.subplots(1, count, squeeze=False)[0]
    scale = mpl.colors.LogNorm(_weakest(strength), 1.0)
    for i, axis in enumerate(axes):
        drawn = _draw_field(axis, strength[:, :, i], earlier[:, :, i], own[:, :, i], scale, mpl)
        axis.set_title(_channel_names(count)[i])
    figure.suptitle(title or f"{model.name}: what x[{', '.join(map(str, position))}] sees")
    extend = "min" if ((strength > 0) & (strength < scale.vmin)).any() else "neither"
    label = "|d params / d x|, relative to the strongest"
    figure.colorbar(drawn, ax=axes, location="bottom", label=label, extend=extend, aspect=40, shrink=0.8)
    _add_legend(
        figure,
        mpl.patches.Patch(facecolor="tab:red", label="itself"),
        mpl.patches.Patch(facecolor="white", edgecolor="0.6", label="earlier, but not seen"),
        mpl.patches.Patch(facecolor="0.9", edgecolor="0.6", hatch="////", label="later: may not be seen"),
    )
    return figure


def _check_position(model, position):
    if not isinstance(model, AutoregressiveModel):
        raise ValueError(f"`model` must be an AutoregressiveModel. Received: model={model!r}.")
    shape = model.position_shape
    if position is None:
        return tuple(n // 2 for n in shape)
    found = arguments.integers(position, "position", least=0)
    if all(n == 1 for n in shape[len(found) :]):
        found += (0,) * (len(shape) - len(found))
    if len(found) != len(shape) or any(i >= n for i, n in zip(found, shape, strict=True)):
        raise ValueError(
            f"`position` must be an index into the positions of {model.name}, of shape {shape}. "
            f"Received: position={position!r}."
        )
    return found


def _random_events(model, count, seed):
    """Events on the support of the head, in its units: what it draws from parameters that are all zero."""
    uniforms = noise.uniforms(seed, 0, count, model.num_steps, model.head.num_uniforms)  # (steps, batch, num_uniforms)
    params = np.zeros((*uniforms.shape[:2], model.head.num_params), "float32")
    steps = model.head.sample(ops.convert_to_tensor(params), ops.convert_to_tensor(uniforms))
    return ops.convert_to_numpy(model.from_steps(ops.swapaxes(steps, 0, 1)))


def _over_event(model, of_positions):
    """An array over positions, in order, as one over the values of an event."""
    drawn_together = (1,) * len(model.head.event_shape)
    return np.broadcast_to(of_positions.reshape(*model.position_shape, *drawn_together), model.event_shape)


def _panels(values):
    """An array over an event as pictures `(rows, columns, panels)`; what has one axis is a picture of one row."""
    return np.atleast_3d(values[..., 0] if values.shape[-1] == 1 else values)


def _field_size(rows, columns, count):
    """Inches."""
    if rows == 1:
        return min(max(6.0, 0.4 * columns), 12.0), 2.6
    width = 5.0 if count == 1 else 3.6
    return max(6.0, width * count), min(width * rows / columns, 8.0) + 1.8


def _weakest(strength):
    """The strength of the palest colour: the power of ten below the weakest, but not below 1e-4."""
    weakest = strength[strength > 0].min(initial=0.1)
    return 10.0 ** max(math.floor(math.log10(weakest)), -4)


def _draw_field(axis, strength, earlier, own, scale, mpl):
    """Strengths lie on top: where a model sees what it may not, it shows."""
    axis.set_facecolor("0.9")
    axis.patch.set(hatch="////", edgecolor="0.75")  # later positions are what nothing covers
    cells = {"interpolation": "nearest", "aspect": "auto" if len(strength) == 1 else "equal"}
    for covered, colour in ((earlier, "white"), (own, "tab:red")):
        axis.imshow(np.ma.masked_equal(covered, False), cmap=mpl.colors.ListedColormap([colour]), **cells)
    axis.locator_params(integer=True, nbins=8)
    if len(strength) == 1:
        axis.set_yticks([])
    return axis.imshow(np.ma.masked_equal(strength, 0.0), cmap="viridis_r", norm=scale, **cells)


def _channel_names(count):
    return {1: [""], 3: ["R", "G", "B"]}.get(count, [f"channel {i}" for i in range(count)])


def _add_legend(figure, *patches):
    figure.legend(handles=patches, loc="outside lower center", ncols=len(patches), frameon=False)


# Masks.


def masks(layer, title=None):
    """The masks of a layer, or of all layers of a model: dark where an output may see an input.

    A dense mask is one picture, inputs down, units to the right. The mask of a
    convolution is a kernel for each pair of channel groups, its centre framed;
    convolutions whose kernels are masked alike share a picture.

    Args:
        layer: A layer or a model. Every layer in it counts that has an attribute
            `mask`, an array of shape `(inputs, units)` or `(rows, columns, inputs, filters)`, and in
            the latter case perhaps an attribute `groups`, the number of its channel groups.
        title: Title of the figure.

    Returns:
        A `matplotlib.figure.Figure`.

    Example:

    >>> figure = keras_ar.plots.masks(keras_ar.models.MADE(6, hidden_units=(12, 12)))
    """
    pictures = _pictures(layer)
    if not pictures:
        raise ValueError(
            f"`layer` must have masks: parts, already built, with an attribute `mask` of two or four axes. Received: "
            f"{layer.name}, a {type(layer).__name__}, with none in it."
        )
    mpl = _matplotlib()
    rows = math.ceil(len(pictures) / 4)
    columns = math.ceil(len(pictures) / rows)
    figure = mpl.figure.Figure((3.2 * columns, 3.5 * rows + 0.5), dpi=_DPI, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).flat
    for axis, (picture, names) in zip(axes, pictures, strict=False):
        axis.set_title(names[0] if len(names) == 1 else f"{names[0]} ({len(names)} alike)")
        (_draw_dense if picture.ndim == 2 else _draw_kernels)(axis, picture)
    for axis in axes[len(pictures) :]:
        axis.set_axis_off()
    keys = [
        mpl.patches.Patch(facecolor=mpl.colormaps["Blues"](0.85), label="sees"),
        mpl.patches.Patch(facecolor=mpl.colormaps["Blues"](0.08), edgecolor="0.6", label="masked"),
    ]
    if any(picture.ndim == 4 for picture, _ in pictures):
        keys.append(mpl.patches.Patch(facecolor="none", edgecolor="tab:red", linewidth=2, label="the pixel itself"))
    _add_legend(figure, *keys)
    if title:
        figure.suptitle(title)
    return figure


def _pictures(layer):
    """A picture of each mask in a layer, with the names of the layers that have it."""
    pictures = {}
    for part in dict.fromkeys(_parts(layer)):  # each once, though it be used twice
        axes = np.ndim(getattr(part, "mask", None))
        if axes == 2:
            pictures[part] = (np.asarray(part.mask), [part.name])
        elif axes == 4:
            kernels = _kernels(part)
            pictures.setdefault((kernels.shape, kernels.tobytes()), (kernels, []))[1].append(part.name)
    return list(pictures.values())


def _parts(layer):
    """The layer and all layers in it, as they were made (Keras' own walk goes through inner ones from the back)."""
    yield layer
    for part in layer._layers:
        yield from _parts(part)


def _kernels(layer):
    """A kernel for each pair of channel groups: `(groups of filters, rows, groups of channels, columns)`."""
    groups = getattr(layer, "groups", 1)
    rows, columns, channels, filters = np.shape(layer.mask)
    kernels = np.reshape(layer.mask, (rows, columns, groups, channels // groups, groups, filters // groups))
    kernels = kernels.mean(axis=(3, 5)).transpose(3, 0, 2, 1)
    # A layer may keep just the part of its kernel that sees anything; the rest is below and to the right.
    whole = np.broadcast_to(getattr(layer, "kernel_size", (rows, columns)), 2)
    return np.pad(kernels, [(0, 0), (0, whole[0] - rows), (0, 0), (0, whole[1] - columns)])


def _draw_dense(axis, mask):
    axis.imshow(mask, aspect="auto", **_SEEN)
    axis.set(xlabel=f"{mask.shape[1]} units", ylabel=f"{mask.shape[0]} inputs", xticks=[], yticks=[])


def _draw_kernels(axis, kernels):
    groups, rows, _, columns = kernels.shape
    axis.use_sticky_edges = False  # frames need the margin
    centre_row, centre_column = rows // 2, columns // 2
    for i, j in np.ndindex(groups, groups):
        x, y = np.arange(columns + 1) + 1.2 * columns * j, np.arange(rows + 1) + 1.2 * rows * i
        axis.pcolor(x, y, kernels[i, :, j], edgecolors="0.7", linewidth=0.5, **_SEEN)
        corners = x[[centre_column, centre_column + 1]], y[[centre_row, centre_row + 1]]
        axis.pcolor(*corners, [[0]], facecolor="none", edgecolors="tab:red", linewidth=2)
    axis.set(aspect="equal", frame_on=False, xticks=[], yticks=[], xmargin=0.02, ymargin=0.02)
    axis.invert_yaxis()
    if groups > 1:
        places, names = 1.2 * np.arange(groups) + 0.5, _channel_names(groups)
        axis.set(xlabel="sees", ylabel="output")
        axis.set_xticks(columns * places, names)
        axis.set_yticks(rows * places, names)
        axis.tick_params(length=0)


# Sound.


def waveform(samples, rate, *, title=None):
    """Samples over time, a panel for each sequence, all on one scale.

    Args:
        samples: Array of shape `(samples,)` or `(sequences, samples)`, from -1 to 1.
        rate: Samples in a second.
        title: Title of the figure.

    Returns:
        A `matplotlib.figure.Figure`.

    Example:

    >>> figure = keras_ar.plots.waveform(np.sin(np.arange(800) / 5), rate=8000)
    """
    sequences = _check_sound(samples, rate)
    figure, axes = _panels_of_sound(len(sequences), title)
    seconds = np.arange(sequences.shape[1]) / rate
    largest = max(np.abs(sequences).max(), 1e-6)
    for axis, sequence in zip(axes, sequences, strict=True):
        axis.plot(seconds, sequence, linewidth=0.6)
        axis.set(xlim=(0, sequences.shape[1] / rate), ylim=(-1.05 * largest, 1.05 * largest), ylabel="sample")
        axis.axhline(0.0, color="0.7", linewidth=0.5, zorder=0)
    axes[-1].set_xlabel("time in seconds")
    return figure


def spectrogram(samples, rate, *, window=0.025, title=None):
    """How loud each frequency is over time, in decibels below the loudest, a panel for each sequence.

    Args:
        samples: Array of shape `(samples,)` or `(sequences, samples)`.
        rate: Samples in a second.
        window: Length of the windows that are transformed, in seconds; they overlap by three quarters.
        title: Title of the figure.

    Returns:
        A `matplotlib.figure.Figure`.

    Example:

    >>> figure = keras_ar.plots.spectrogram(np.sin(np.arange(800) / 5), rate=8000)
    """
    sequences = _check_sound(samples, rate)
    length = max(4, round(arguments.number(window, "window", above=0) * rate))
    if length > sequences.shape[1]:
        raise ValueError(
            f"`samples` must be at least as long as a `window`, {length} samples. "
            f"Received: samples.shape={np.shape(samples)}."
        )
    frames = np.lib.stride_tricks.sliding_window_view(sequences, length, axis=1)[:, :: length // 4]
    power = np.abs(np.fft.rfft(frames * np.hanning(length), axis=-1)) ** 2  # (sequences, windows, frequencies)
    loudest = power.max() or 1.0
    decibels = 10 * np.log10(np.maximum(power / loudest, 1e-8))
    figure, axes = _panels_of_sound(len(sequences), title)
    end = (length + (frames.shape[1] - 1) * (length // 4)) / rate
    for axis, picture in zip(axes, decibels, strict=True):
        drawn = axis.imshow(
            picture.T, origin="lower", aspect="auto", extent=(0, end, 0, rate / 2000), vmin=-80, vmax=0, cmap="magma"
        )
        axis.set_ylabel("frequency in kHz")
    axes[-1].set_xlabel("time in seconds")
    figure.colorbar(drawn, ax=list(axes), label="decibels below the loudest")
    return figure


def _check_sound(samples, rate):
    arguments.number(rate, "rate", above=0)
    samples = np.asarray(samples, "float64")
    if samples.ndim not in (1, 2) or samples.size == 0 or not np.isfinite(samples).all():
        raise ValueError(
            f"`samples` must be a finite array of shape (samples,) or (sequences, samples). "
            f"Received: samples.shape={samples.shape}."
        )
    return np.atleast_2d(samples)


def _panels_of_sound(count, title):
    figure = _matplotlib().figure.Figure((9, 1.2 + 1.8 * count), dpi=_DPI, layout="constrained")
    axes = figure.subplots(count, 1, sharex=True, squeeze=False)[:, 0]
    if title:
        figure.suptitle(title)
    return figure, axes

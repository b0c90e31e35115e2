"""How well a model does: while it learns, position by position, and in its probabilities themselves."""

import csv
import math
import pathlib

import numpy as np
from keras import ops

from keras_ar import arguments, noise
from keras_ar.autoregressive import AutoregressiveModel
from keras_ar.plots import canvas, panels

_UNITS = {"nats": ("loss", "nats per event"), "bits": ("bits_per_dim", "bits per dimension")}
_PALE_BLUE = "#9ecae1"
_BAND = 1.96  # standard deviations on either side that hold 95% of normal draws
_FAR_OFF = 2**63  # a stream of noise that no draw has used: else a value and its uniform number may be one
_KS_BAND = 1.358  # times 1 / sqrt(n): 95% of Kolmogorov-Smirnov distances are below, for many values


# Learning curves.


def learning_curves(history, *, unit="nats", title="Learning curves", ax=None):
    """The loss of each epoch, in training and in validation, with a mark where it is best.

    Args:
        history: What `fit` returns, or its `history`, or the path of a file that
            `keras.callbacks.CSVLogger` has written.
        unit: `"nats"` per event, or `"bits"` per dimension.
        title: Title.
        ax: A matplotlib Axes to draw in; by default that of a new figure.

    Returns:
        The `matplotlib.axes.Axes`.

    Example:

    >>> history = {"loss": [120.0, 100.0, 95.0], "val_loss": [115.0, 103.0, 104.0]}
    >>> ax = keras_ar.plots.learning_curves(history)
    """
    key, label = _check_unit(unit)
    epochs, curves = _curves(history, key)
    ax = canvas.new_or_given(ax, 7, 4.2)
    for (name, values), colour in zip(curves.items(), ("tab:blue", "tab:orange"), strict=False):
        ax.plot(epochs, values, color=colour, label=name, marker="." if len(epochs) < 30 else None)
    name, values = list(curves.items())[-1]  # validation, if there is any
    best = int(np.nanargmin(values))
    at = f"epoch {epochs[best]}: {values[best]:.4g}"
    ax.axvline(epochs[best], color="0.6", linestyle="--", linewidth=1, zorder=0)
    ax.plot(epochs[best], values[best], "o", color="tab:red", label=f"best {name}, {at}", zorder=3)
    canvas.integer_ticks(ax.xaxis)
    ax.set(title=title, xlabel="epoch", ylabel=label)
    ax.grid(color="0.9")
    ax.legend()
    return ax


def _check_unit(unit):
    if unit not in _UNITS:
        raise ValueError(f"`unit` must be 'nats' or 'bits'. Received: unit={unit!r}.")
    return _UNITS[unit]


def _curves(history, key):
    """The numbers of the epochs, from 1, and a curve for training and for validation, if there is one."""
    table = _table(history)
    if not len(table.get(key, ())):
        raise ValueError(
            f"`history` must hold {key!r} of one epoch at least: what `fit` returns, its `history`, or a CSVLogger's "
            f"file. Received: {sorted(table)}."
        )
    columns = {"training": key, "validation": f"val_{key}"}
    curves = {name: np.asarray(table[column], float) for name, column in columns.items() if column in table}
    epochs = np.asarray(table.get("epoch", range(len(table[key]))), int) + 1
    for name, values in curves.items():
        if values.shape != epochs.shape or not np.isfinite(values).any():
            raise ValueError(
                f"`history` must hold a number for each of {len(epochs)} epochs. Received {len(values)} for {name}, "
                f"{np.isfinite(values).sum()} of them finite."
            )
    return epochs, curves


def _table(history):
    """Columns by name."""
    if isinstance(history, str | pathlib.Path):
        with open(history, newline="") as file:
            rows = list(csv.DictReader(file))
        numbers = [{k: float("nan" if v in ("", "NA", None) else v) for k, v in row.items()} for row in rows]
        return {k: [row[k] for row in numbers] for k in (numbers[0] if numbers else ())}
    if isinstance(history, dict):
        return history
    if isinstance(getattr(history, "history", None), dict):
        return {"epoch": history.epoch, **history.history}
    raise ValueError(
        f"`history` must be what `fit` returns, its `history`, or the path of a CSVLogger's file. "
        f"Received: history={history!r}."
    )


# Position by position.


def position_nats(model, x, condition=None, *, unit="nats", batch_size=256, title=None, ax=None):
    """How hard each position is to predict from those before it: its mean negative log-likelihood.

    A heat map for images, a line for sequences.

    Args:
        model: An `AutoregressiveModel` whose events have up to three axes.
        x: Array of shape `(events, *event_shape)`: the events to average over.
        condition: Array of shape `(events, *condition_shape)`, if the model takes one.
        unit: `"nats"` or `"bits"`.
        batch_size: How many events are scored at a time.
        title: Title; by default it names the model and its sum over all positions.
        ax: A matplotlib Axes to draw in; by default that of a new figure.

    Returns:
        The `matplotlib.axes.Axes`.

    Example:

    >>> model = keras_ar.models.MADE((8, 8), hidden_units=8)
    >>> ax = keras_ar.plots.position_nats(model, model.sample(20, seed=0), unit="bits")
    """
    _check_model(model)
    _check_unit(unit)
    if len(model.position_shape) > 3:
        raise ValueError(f"`model` must have events of up to three axes. Received: event_shape={model.event_shape}.")
    nats = -model.score_conditionals(x, condition, batch_size=batch_size).mean(axis=0)
    values = nats if unit == "nats" else nats / math.log(2) - model.step_size * math.log2(model.resolution)
    title = title or f"{model.name}: {values.sum():.4g} {unit} per event"
    label = f"{unit} per position"
    if math.prod(values.shape) == len(values):
        return _draw_line(values.ravel(), label, title, ax)
    values, is_new = panels.split(values), ax is None
    ax = canvas.new_or_given(ax, *panels.figure_size(values.shape))
    limits = {"vmin": min(values.min(), 0.0), "vmax": values.max()}
    for i, extent in enumerate(panels.extents(values.shape)):
        drawn = ax.imshow(values[:, :, i], extent=extent, cmap="viridis", interpolation="nearest", **limits)
    panels.finish(ax, values.shape)
    ax.set_title(title)
    canvas.colour_bar(ax, drawn, label, is_new)
    return ax


def _draw_line(values, label, title, ax):
    ax = canvas.new_or_given(ax, 8, 3.2)
    ax.plot(values, color="tab:blue", linewidth=1, marker="." if len(values) < 100 else None)
    ax.axhline(values.mean(), color="0.6", linestyle="--", linewidth=1, label=f"mean, {values.mean():.4g}")
    ax.set(title=title, xlabel="position", ylabel=label, xmargin=0.01)
    canvas.integer_ticks(ax.xaxis)
    if values.min() >= 0:
        ax.set_ylim(bottom=0)
    ax.grid(color="0.9")
    ax.legend()
    return ax


def _check_model(model):
    if not isinstance(model, AutoregressiveModel):
        raise ValueError(f"`model` must be an AutoregressiveModel. Received: model={model!r}.")


# Calibration.


def pit_values(model, x, condition=None, *, seed=0, batch_size=256):
    """The probability integral transform of each value: what its conditional distribution says of values below it.

    For real values `F(x)`, where `F` is the cumulative distribution function of `x_i`
    given what comes before. For integers a uniform number between `F(x - 1)` and
    `F(x)`. If the model is right, these are independent and uniform from 0 to 1.

    Args:
        model: An `AutoregressiveModel` whose head has a `cdf`.
        x: Array of shape `(events, *event_shape)`.
        condition: Array of shape `(events, *condition_shape)`, if the model takes one.
        seed: Integer, the seed of the uniform numbers.
        batch_size: How many events are scored at a time.

    Returns:
        float32 array of shape `(events, *position_shape)`.

    Example:

    >>> model = keras_ar.models.FVSBN(3)  # starts with equal odds
    >>> u = keras_ar.plots.pit_values(model, np.array([[0, 1, 1]]))
    >>> (u > 0.5).tolist()
    [[False, True, True]]
    """
    _check_model(model)
    head = model.head

    def bounds(x, condition=None):
        params = ops.cast(model(x, condition), "float32")
        values = ops.cast(x, "float32")
        above = head.cdf(params, values)
        return ops.stack([above if head.num_levels is None else head.cdf(params, values - 1.0), above], axis=-1)

    try:
        found = model._score("bounds_of_cdf", bounds, x, condition, batch_size, verbose=0)
    except NotImplementedError as error:
        raise ValueError(f"`model` must have a head with a `cdf`. Received: {head}. {error}") from error
    below, above = found[..., 0], found[..., 1]
    uniforms = noise.uniforms(noise.check_seed(seed), _FAR_OFF, len(below), math.prod(below.shape[1:]), 1)
    return below + np.swapaxes(uniforms, 0, 1).reshape(below.shape) * (above - below)


def calibration(model, x, condition=None, *, bins=20, seed=0, batch_size=256, title=None, ax=None):
    """Whether a model's probabilities can be trusted: a histogram of `pit_values`, flat if it is right.

    A hump in the middle means that the model is less sure than it could be, two horns
    that it is too sure, a slope that its values are too high or too low. The band
    holds 95% of the columns of a model that is right; so does the bound, in the title,
    of its Kolmogorov-Smirnov distances from the uniform distribution.

    Args:
        model: An `AutoregressiveModel` whose head has a `cdf`.
        x: Array of shape `(events, *event_shape)`; events that it was not trained on.
        condition: Array of shape `(events, *condition_shape)`, if the model takes one.
        bins: Number of columns.
        seed: Integer, the seed of what `pit_values` draws.
        batch_size: How many events are scored at a time.
        title: Title; by default it names the model and tells the distance.
        ax: A matplotlib Axes to draw in; by default that of a new figure.

    Returns:
        The `matplotlib.axes.Axes`.

    Example:

    >>> model = keras_ar.models.MADE((8, 8), hidden_units=8)
    >>> ax = keras_ar.plots.calibration(model, model.sample(20, seed=0))
    """
    bins = arguments.integer(bins, "bins", least=2)
    values = np.sort(pit_values(model, x, condition, seed=seed, batch_size=batch_size).ravel().astype("float64"))
    count = len(values)
    heights = np.histogram(values, bins, range=(0, 1))[0] * bins / count
    spread = _BAND * math.sqrt((bins - 1) / count)  # of a binomial count, relative to its mean

    ax = canvas.new_or_given(ax, 7, 4.2)
    ax.bar((np.arange(bins) + 0.5) / bins, heights, width=1 / bins, color=_PALE_BLUE, edgecolor="white", linewidth=0.8)
    ax.axhspan(1 - spread, 1 + spread, color="tab:orange", alpha=0.3, linewidth=0, label="95% if calibrated")
    ax.axhline(1, color="tab:orange", linewidth=1.5, label="uniform")
    distance, bound = _distance_from_uniform(values), _KS_BAND / math.sqrt(count)
    told = f"{model.name}: KS distance {distance:.3f} (if calibrated: below {bound:.3f})"
    ax.set(title=title or told, xlabel="probability integral transform", ylabel="density", xlim=(0, 1))
    ax.set_ylim(0, 1.35 * max(heights.max(), 1 + spread))
    ax.legend(loc="upper right", ncols=2, title=f"{count:,} values")
    return ax


def _distance_from_uniform(ordered):
    """Kolmogorov and Smirnov's: the largest between the empirical distribution function and the diagonal."""
    ranks = np.arange(len(ordered) + 1) / len(ordered)
    return max((ranks[1:] - ordered).max(), (ordered - ranks[:-1]).max())

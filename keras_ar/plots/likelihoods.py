"""How well a model does: while it learns, position by position, and in its probabilities themselves."""

import csv
import math
import pathlib

import numpy as np

from keras_ar import arguments, diagnostics
from keras_ar.plots import canvas, panels

__all__ = ["calibration", "learning_curves", "position_nats"]

_PALE_BLUE = "#9ecae1"
_BAND = 1.96  # standard deviations on either side that hold 95% of normal values
_KS_BAND = 1.358  # times 1 / sqrt(n): 95% of Kolmogorov-Smirnov distances are below, for many values


# Learning curves.


def learning_curves(history, *, unit="nats", title="Learning curves", ax=None):
    """The loss of each epoch, in training and in validation, with a mark where it is best.

    Args:
        history: What `fit` returns, or its `history`, or the path of a file that
            `keras.callbacks.CSVLogger` has written.
        unit: `"nats"` per event, or `"bits"` per dimension. Defaults to `"nats"`.
        title: String. Defaults to `"Learning curves"`.
        ax: A matplotlib Axes to draw in, or `None` for that of a new figure. Defaults to `None`.

    Returns:
        The `matplotlib.axes.Axes`.

    Example:

    >>> history = {"loss": [120.0, 100.0, 95.0], "val_loss": [115.0, 103.0, 104.0]}
    >>> ax = keras_ar.plots.learning_curves(history)
    """
    table = _table(history)
    key, label = _column(unit, table)
    epochs, curves = _curves(table, key)
    ax = canvas.new_or_given(ax, 7, 4.2)
    for (name, values), color in zip(curves.items(), ("tab:blue", "tab:orange"), strict=False):
        ax.plot(epochs, values, color=color, label=name, marker="." if len(epochs) < 30 else None)
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


def _column(unit, table):
    """The column of a history that is drawn, and how the axis is called: of a bound it says so."""
    is_bound = "bits_per_dim_at_most" in table
    unit = arguments.one_of(unit, "unit", ("nats", "bits"))
    key = {"nats": "loss", "bits": "bits_per_dim_at_most" if is_bound else "bits_per_dim"}[unit]
    label = {"nats": "nats per event", "bits": "bits per dimension"}[unit]
    return key, f"{label}, at most" if is_bound else label


def _curves(table, key):
    """The numbers of the epochs, from 1, and a curve for training and for validation, if there is one."""
    if not len(table.get(key, ())):
        raise ValueError(
            f"`history` must hold {key!r} of at least one epoch: what `fit` returns, its `history`, or a CSVLogger's "
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


def position_nats(model, x, condition=None, *, unit="nats", batch_size=None, title=None, ax=None):
    """How hard each position is to predict from those before it: its mean negative log-likelihood.

    A heat map for images, a line for sequences.

    Args:
        model: An `AutoregressiveModel` whose events have up to three axes.
        x: Array of shape `(events, *event_shape)`: the events to average over.
        condition: Array of shape `(events, *condition_shape)`, or of classes. Defaults to `None`.
        unit: `"nats"` or `"bits"`. Defaults to `"nats"`.
        batch_size: Integer, how many events are scored at a time; `None`: 256 on a CPU, 1,024 elsewhere.
            Defaults to `None`.
        title: String, or `None` for one that names the model and its sum over all positions. Defaults to `None`.
        ax: A matplotlib Axes to draw in, or `None` for that of a new figure. Defaults to `None`.

    Returns:
        The `matplotlib.axes.Axes`.

    Example:

    >>> model = keras_ar.models.MADE((8, 8), hidden_units=8)
    >>> ax = keras_ar.plots.position_nats(model, model.sample(20, seed=0), unit="bits")
    """
    diagnostics.check_model(model)
    arguments.one_of(unit, "unit", ("nats", "bits"))
    if len(model.position_shape) > 3:
        raise ValueError(f"`model` must have events of up to three axes. Received: event_shape={model.event_shape}.")
    values = -model.score_conditionals(x, condition, batch_size=batch_size).mean(axis=0)
    if unit == "bits":
        values = model.step_size * diagnostics.bits_per_dim(values, model.step_size, model.support.resolution)
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
    canvas.color_bar(ax, drawn, label, is_new)
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


# Calibration.


def calibration(model, x, condition=None, *, bins=20, seed=0, batch_size=None, title=None, ax=None):
    """Whether a model's probabilities can be trusted: a histogram of `pit_values`, flat if the model is right.

    A hump in the middle means that the model is less sure than it could be, two horns
    that it is too sure, a slope that its values are too high or too low. If the model is
    right, 95% of the columns end in the band, and in 95% of all cases the
    Kolmogorov-Smirnov distance from the uniform distribution is below the bound in the title.

    Args:
        model: An `AutoregressiveModel` whose head has a `cdf`.
        x: Array of shape `(events, *event_shape)`; events that it was not trained on.
        condition: Array of shape `(events, *condition_shape)`, or of classes. Defaults to `None`.
        bins: Integer, how many columns there are. Defaults to `20`.
        seed: Integer, the seed of the uniform numbers in `keras_ar.diagnostics.pit_values`. Defaults to `0`.
        batch_size: Integer, how many events are scored at a time; `None`: 256 on a CPU, 1,024 elsewhere.
            Defaults to `None`.
        title: String, or `None` for one that names the model and its distance. Defaults to `None`.
        ax: A matplotlib Axes to draw in, or `None` for that of a new figure. Defaults to `None`.

    Returns:
        The `matplotlib.axes.Axes`.

    Example:

    >>> model = keras_ar.models.MADE((8, 8), hidden_units=8)
    >>> ax = keras_ar.plots.calibration(model, model.sample(20, seed=0))
    """
    bins = arguments.integer(bins, "bins", least=2)
    values = diagnostics.pit_values(model, x, condition, seed=seed, batch_size=batch_size).ravel()
    count = len(values)
    heights = np.histogram(values, bins, range=(0, 1))[0] * bins / count
    spread = _BAND * math.sqrt((bins - 1) / count)  # of a binomial count, relative to its mean

    ax = canvas.new_or_given(ax, 7, 4.2)
    ax.bar((np.arange(bins) + 0.5) / bins, heights, width=1 / bins, color=_PALE_BLUE, edgecolor="white", linewidth=0.8)
    ax.axhspan(1 - spread, 1 + spread, color="tab:orange", alpha=0.3, linewidth=0, label="95% if calibrated")
    ax.axhline(1, color="tab:orange", linewidth=1.5, label="uniform")
    distance, bound = diagnostics.ks_distance(values), _KS_BAND / math.sqrt(count)
    title = title or f"{model.name}: KS distance {distance:.3f} (if calibrated: below {bound:.3f})"
    ax.set(title=title, xlabel="probability integral transform", ylabel="density", xlim=(0, 1))
    ax.set_ylim(0, 1.35 * max(heights.max(), 1 + spread))
    ax.legend(loc="upper right", ncols=2, title=f"{count:,} values")
    return ax

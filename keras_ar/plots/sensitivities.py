"""What a position of an event sees of the others."""

import math

import numpy as np

from keras_ar import diagnostics
from keras_ar.plots import canvas, panels

__all__ = ["receptive_field"]

_ITSELF = "tab:red"
_LATER = {"facecolor": "0.9", "edgecolor": "0.75", "hatch": "////"}


def receptive_field(model, position=None, *, x=None, condition=None, random_weights=False, seed=0, title=None, ax=None):
    """A picture of `keras_ar.diagnostics.sensitivity`: what a position sees, what it is blind to, and what comes later.

    Strengths are relative to the strongest, on a logarithmic scale: whatever has any
    influence at all has a color. With channels on the last axis there is a panel for each.

    Args:
        model: An `AutoregressiveModel` whose events have up to three axes.
        position: Index into `model.position_shape`, or `None` for the middle. Defaults to `None`.
        x: As in `sensitivity`. Defaults to `None`.
        condition: As in `sensitivity`. Defaults to `None`.
        random_weights: As in `sensitivity`. Defaults to `False`.
        seed: As in `sensitivity`. Defaults to `0`.
        title: String, or `None` for one that names model and position. Defaults to `None`.
        ax: A matplotlib Axes to draw in, or `None` for that of a new figure. Defaults to `None`.

    Returns:
        The `matplotlib.axes.Axes`.

    Example:

    >>> model = keras_ar.models.MADE((8, 8, 1), ordering="reversed", name="made")
    >>> ax = keras_ar.plots.receptive_field(model, position=(5, 2))
    >>> ax.get_title()
    'made: what x[5, 2, 0] sees'
    """
    position = diagnostics.check_position(model, position)
    if len(model.event_shape) > 3:
        raise ValueError(f"`model` must have events of up to three axes. Received: event_shape={model.event_shape}.")
    mpl = canvas.load_matplotlib()
    strength = diagnostics.sensitivity(model, position, x, condition, random_weights=random_weights, seed=seed)
    strength = strength / (strength.max() or 1.0)
    steps = _step_of_each_value(model)
    step = steps[position].flat[0]
    strength, earlier, itself = map(panels.split, (strength, steps < step, steps == step))  # (rows, columns, panels)

    is_new = ax is None
    ax = canvas.new_or_given(ax, *panels.figure_size(strength.shape))
    scale = mpl.colors.LogNorm(_weakest(strength), 1.0)
    for i, extent in enumerate(panels.extents(strength.shape)):
        drawn = _draw_field(ax, strength[:, :, i], earlier[:, :, i], itself[:, :, i], scale, extent)
    panels.finish(ax, strength.shape)
    ax.set_title(title or f"{model.name}: what x[{', '.join(map(str, position))}] sees")
    extend = "min" if ((strength > 0) & (strength < scale.vmin)).any() else "neither"
    canvas.color_bar(ax, drawn, "relative |d params / d x|", is_new, extend=extend)
    canvas.legend_below(
        ax,
        [
            mpl.patches.Patch(facecolor=_ITSELF, label="itself"),
            mpl.patches.Patch(facecolor="white", edgecolor="0.6", label="earlier, but not seen"),
            mpl.patches.Patch(**_LATER, label="later: may not be seen"),
        ],
    )
    return ax


def _step_of_each_value(model):
    """At which step each value of an event is drawn."""
    drawn_together = (1,) * (len(model.event_shape) - len(model.position_shape))
    steps = np.argsort(model.ordering).reshape(*model.position_shape, *drawn_together)
    return np.broadcast_to(steps, model.event_shape)


def _weakest(strength):
    """The strength of the palest color: the power of ten below the weakest, but not below 1e-4."""
    weakest = strength[strength > 0].min(initial=0.1)
    return 10.0 ** max(math.floor(math.log10(weakest)), -4)


def _draw_field(ax, strength, earlier, itself, scale, extent):
    """Strengths lie on top: where a model sees what it may not, it shows."""
    mpl = canvas.load_matplotlib()
    left, right, bottom, top = extent
    # Later positions are what nothing covers.
    ax.add_patch(mpl.patches.Rectangle((left, top), right - left, bottom - top, linewidth=0, zorder=0, **_LATER))
    cells = {"interpolation": "nearest", "extent": extent}
    for covered, color in ((earlier, "white"), (itself, _ITSELF)):
        ax.imshow(np.ma.masked_equal(covered, False), cmap=mpl.colors.ListedColormap([color]), **cells)
    return ax.imshow(np.ma.masked_equal(strength, 0.0), cmap="viridis_r", norm=scale, **cells)

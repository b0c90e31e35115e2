"""Distributions on the plane: where a density is high, and how a flow unfolds it."""

import numpy as np
from keras import ops

from keras_ar import arguments
from keras_ar.flow import FlowModel
from keras_ar.plots import canvas

__all__ = ["density", "unfolding"]

_MOST_PANELS = 6
_GAP = 0.15  # between panels, as a part of their width
_WIDEST = 0.995  # the quantile of distances that a panel has room for


def density(model, low=None, high=None, *, condition=None, num_points=200, cmap="viridis", title=None, ax=None):
    """The density of events of two values, as the color of each point of the plane.

    Args:
        model: A `DensityModel` of events of two real values.
        low: Float, or a pair of them: the lower ends of both axes. Defaults to `None`: around a thousand samples.
        high: Float, or a pair of them: the upper ends. Defaults to `None`.
        condition: The condition of one event, if the model takes any. Defaults to `None`.
        num_points: Integer, points on each axis. Defaults to `200`.
        cmap: Name of a matplotlib color map. Defaults to `"viridis"`.
        title: String, or `None` for the model's name. Defaults to `None`.
        ax: A matplotlib Axes to draw in, or `None` for that of a new figure. Defaults to `None`.

    Returns:
        The `matplotlib.axes.Axes`.

    Example:

    >>> model = keras_ar.models.MADE(2, hidden_units=8, head="normal", name="made")
    >>> ax = keras_ar.plots.density(model, -3.0, 3.0, num_points=20)
    >>> ax.get_title()
    'made'
    """
    _check_plane(model, "model")
    num_points = arguments.integer(num_points, "num_points", least=2)
    low, high = _ends(model, low, high, condition)
    canvas.load_matplotlib()
    # The middles of cells that fill the rectangle.
    share = (np.arange(num_points) + 0.5) / num_points
    axes = [a + (b - a) * share for a, b in zip(low, high, strict=True)]
    grid = np.stack(np.meshgrid(*axes), axis=-1).reshape(-1, *model.event_shape).astype("float32")
    inside = ((grid >= model.support.low) & (grid <= model.support.high)).reshape(len(grid), -1).all(axis=1)
    heights = np.zeros(len(grid))
    heights[inside] = np.exp(_scores(model, grid[inside], condition))

    is_new = ax is None
    ax = canvas.new_or_given(ax, 4.0, 4.0)
    picture = ax.imshow(
        heights.reshape(num_points, num_points),
        origin="lower",
        extent=(low[0], high[0], low[1], high[1]),
        cmap=cmap,
        vmin=0.0,
        aspect="auto",
    )
    ax.set(xlabel="x[0]", ylabel="x[1]", title=model.name if title is None else title)
    if is_new:
        canvas.color_bar(ax, picture, "density", is_new)
    return ax


def unfolding(flow, x, *, condition=None, labels=None, title=None, ax=None):
    """Points of the plane, and where each bijector of a flow moves them: from events to noise, side by side.

    Points keep their color. Each panel shows what lies within the distance of almost all points from their middle; the
    circle in the last one has the radius two: of normal noise, 86 % lie within.

    Args:
        flow: A `FlowModel` of events of two values.
        x: Array of shape `(n, 2)`, the events.
        condition: As in `score_samples`. Defaults to `None`.
        labels: Array of shape `(n,)`, which says what color a point has; `None` for its direction from the middle.
            Defaults to `None`.
        title: String, or `None` for the flow's name. Defaults to `None`.
        ax: A matplotlib Axes to draw in, or `None` for that of a new figure. Defaults to `None`.

    Returns:
        The `matplotlib.axes.Axes`.

    Example:

    >>> layers = [
    ...     keras_ar.bijectors.Autoregressive(keras_ar.models.MADE(2, hidden_units=8, head="normal", ordering=ordering))
    ...     for ordering in ("natural", "reversed")
    ... ]
    >>> flow = keras_ar.FlowModel(2, bijectors=layers, name="maf")
    >>> ax = keras_ar.plots.unfolding(flow, np.random.default_rng(0).normal(size=(100, 2)))
    >>> [text.get_text() for text in ax.texts]
    ['events', 'after 1', 'noise']
    """
    if not isinstance(flow, FlowModel):
        raise ValueError(f"`flow` must be a FlowModel. Received: flow={flow!r}.")
    _check_plane(flow, "flow")
    mpl = canvas.load_matplotlib()
    stages = _stages(flow, x, condition)
    count = len(stages)
    shown = sorted({round(i) for i in np.linspace(0, count - 1, min(count, _MOST_PANELS))})
    names = ["events", *(f"after {i}" for i in range(1, count - 1)), "noise"] if count > 1 else ["events"]
    middle = stages[0] - np.median(stages[0], axis=0)
    labels = np.arctan2(middle[:, 1], middle[:, 0]) if labels is None else arguments.array(labels, "labels")
    if labels.shape != (len(stages[0]),):
        raise ValueError(f"`labels` must have shape ({len(stages[0])},). Received: shape {labels.shape}.")

    ax = canvas.new_or_given(ax, 2.2 * len(shown), 2.5)
    for panel, i in enumerate(shown):
        center = np.median(stages[i], axis=0)
        radius = np.quantile(np.abs(stages[i] - center).max(axis=1), _WIDEST) or 1.0
        points = (stages[i] - center) / (2.0 * radius)  # in a square of side one
        is_inside = np.abs(points).max(axis=1) <= 0.5
        left = panel * (1.0 + _GAP)
        ax.scatter(
            points[is_inside, 0] + left + 0.5,
            points[is_inside, 1] + 0.5,
            s=2.0,
            c=labels[is_inside],
            cmap="hsv",
            vmin=labels.min(),
            vmax=labels.max(),
            linewidths=0,
        )
        ax.add_patch(mpl.patches.Rectangle((left, 0.0), 1.0, 1.0, fill=False, edgecolor="0.6"))
        if i == count - 1 and count > 1:
            place = -center / (2.0 * radius) + (left + 0.5, 0.5)
            ax.add_patch(mpl.patches.Circle(place, 1.0 / radius, fill=False, edgecolor="0.4", linestyle=":"))
        ax.text(left + 0.5, -0.04, names[i], ha="center", va="top")
    ax.set(xlim=(-0.02, len(shown) * (1.0 + _GAP) - _GAP + 0.02), ylim=(-0.16, 1.02), aspect="equal")
    ax.set_axis_off()
    ax.set_title(flow.name if title is None else title)
    return ax


def _check_plane(model, name):
    if model.num_dims != 2 or model.support.is_discrete:
        raise ValueError(
            f"`{name}` must have events of two real values. Received: {model.name}, with event_shape="
            f"{model.event_shape} and {model.support}."
        )


def _ends(model, low, high, condition):
    """The rectangle that is asked for; by default it holds nearly all of a thousand samples."""
    if low is None or high is None:
        drawn = model.sample(1000, **({} if condition is None else {"condition": condition}), seed=0).reshape(-1, 2)
        found = np.quantile(drawn, [0.005, 0.995], axis=0)
        found = found + 0.1 * (found[1] - found[0]) * np.array([[-1.0], [1.0]])
    ends = [found[i] if end is None else np.broadcast_to(end, 2) for i, end in enumerate((low, high))]
    if not (ends[0] < ends[1]).all():
        raise ValueError(f"`low` must be below `high`. Received: low={low}, high={high}.")
    return ends


def _scores(model, x, condition):
    if condition is None:
        return model.score_samples(x)
    return model.score_samples(x, np.repeat(np.asarray(condition)[None], len(x), axis=0))


def _stages(flow, x, condition):
    """The points before and after each bijector."""
    x, condition = flow.checked_pair(x, condition)
    z, condition = ops.cast(x, "float32"), flow.encode_condition(condition)
    found = [z]
    for bijector in flow.bijectors:
        z, _ = bijector(z, *condition)
        found.append(z)
    return [ops.convert_to_numpy(z).reshape(-1, 2).astype("float64") for z in found]

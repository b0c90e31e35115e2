"""What a position of an event sees of the others."""

import math

import numpy as np
from keras import ops

from keras_ar import arguments, backend, noise
from keras_ar.autoregressive import AutoregressiveModel
from keras_ar.plots import canvas, panels


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


def receptive_field(model, position=None, *, title=None, ax=None, **options):
    """A picture of `sensitivity`: what a position sees, what it is blind to, and what comes later.

    Strengths are relative to the strongest, in a logarithmic scale: what has any
    influence at all has a colour. With channels on the last axis there is a panel for each.

    Args:
        model: An `AutoregressiveModel` whose events have up to three axes.
        position: Index into `model.position_shape`; the middle by default.
        title: Title; by default it names model and position.
        ax: A matplotlib Axes to draw in; by default that of a new figure.
        **options: `x`, `condition`, `random_weights` and `seed`, as in `sensitivity`.

    Returns:
        The `matplotlib.axes.Axes`.

    Example:

    >>> model = keras_ar.models.MADE((8, 8, 1), ordering="reversed")
    >>> ax = keras_ar.plots.receptive_field(model, position=(5, 2))
    """
    position = _check_position(model, position)
    if len(model.event_shape) > 3:
        raise ValueError(f"`model` must have events of up to three axes. Received: event_shape={model.event_shape}.")
    mpl = canvas.load_matplotlib()
    strength = sensitivity(model, position, **options)
    strength = strength / (strength.max() or 1.0)
    steps = _over_event(model, np.argsort(model.ordering))
    step = steps[position].flat[0]
    strength, earlier, own = map(panels.split, (strength, steps < step, steps == step))  # (rows, columns, panels)

    is_new = ax is None
    ax = canvas.new_or_given(ax, *panels.figure_size(strength.shape))
    scale = mpl.colors.LogNorm(_weakest(strength), 1.0)
    for i, extent in enumerate(panels.extents(strength.shape)):
        drawn = _draw_field(ax, strength[:, :, i], earlier[:, :, i], own[:, :, i], scale, extent)
    panels.finish(ax, strength.shape)
    ax.set_title(title or f"{model.name}: what x[{', '.join(map(str, position))}] sees")
    extend = "min" if ((strength > 0) & (strength < scale.vmin)).any() else "neither"
    canvas.colour_bar(ax, drawn, "relative |d params / d x|", is_new, extend=extend)
    canvas.legend_below(
        ax,
        [
            mpl.patches.Patch(facecolor=_OWN, label="itself"),
            mpl.patches.Patch(facecolor="white", edgecolor="0.6", label="earlier, but not seen"),
            mpl.patches.Patch(**_LATER, label="later: may not be seen"),
        ],
    )
    return ax


_OWN = "tab:red"
_LATER = {"facecolor": "0.9", "edgecolor": "0.75", "hatch": "////"}


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


def _weakest(strength):
    """The strength of the palest colour: the power of ten below the weakest, but not below 1e-4."""
    weakest = strength[strength > 0].min(initial=0.1)
    return 10.0 ** max(math.floor(math.log10(weakest)), -4)


def _draw_field(ax, strength, earlier, own, scale, extent):
    """Strengths lie on top: where a model sees what it may not, it shows."""
    mpl = canvas.load_matplotlib()
    left, right, bottom, top = extent
    # Later positions are what nothing covers.
    ax.add_patch(mpl.patches.Rectangle((left, top), right - left, bottom - top, linewidth=0, zorder=0, **_LATER))
    cells = {"interpolation": "nearest", "extent": extent}
    for covered, colour in ((earlier, "white"), (own, _OWN)):
        ax.imshow(np.ma.masked_equal(covered, False), cmap=mpl.colors.ListedColormap([colour]), **cells)
    return ax.imshow(np.ma.masked_equal(strength, 0.0), cmap="viridis_r", norm=scale, **cells)

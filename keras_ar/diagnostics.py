"""Numbers about a model: what its positions see, and how far its probabilities can be trusted."""

import math
from typing import Any

import numpy as np
from keras import ops

from keras_ar import arguments, backend, noise
from keras_ar.autoregressive import AutoregressiveModel

__all__ = ["bits_per_dim", "ks_distance", "nearest_neighbors", "pit_values", "sensitivity"]


def bits_per_dim(nats: Any, event_shape: int | tuple[int, ...], resolution: float = 1.0) -> Any:
    """Bits for each value of an event, from the nats of the whole event.

    Real values were measured on a grid. Their density counts for a cell of it, so that bits
    of real values and of integers can be compared.

    Args:
        nats: Number, array or tensor of negative log-likelihoods.
        event_shape: Integer or tuple, the shape of an event; its number of values is as good.
        resolution: Float, the spacing of the grid: `model.support.resolution`. Defaults to `1.0`.

    Returns:
        What `nats` is.

    Example:

    >>> round(keras_ar.diagnostics.bits_per_dim(100.0, (8, 8, 1)), 3)
    2.254
    >>> keras_ar.diagnostics.bits_per_dim(0.0, 10, resolution=0.25)
    2.0
    """
    num_dims = math.prod(arguments.integers(event_shape, "event_shape"))
    return nats / (num_dims * math.log(2.0)) - math.log2(resolution)


def sensitivity(
    model: AutoregressiveModel,
    position: int | tuple[int, ...] | None = None,
    x: Any = None,
    condition: Any = None,
    *,
    random_weights: bool = False,
    seed: int = 0,
) -> np.ndarray:
    """How strongly the parameters of one position react to each value of an event: `|d params / d x|`.

    The result is summed over the position's parameters and averaged over events. It is zero at the
    position itself and at all later ones, in every model that is causal. Values
    that a model looks up in a table, in place of computing with them, have no
    derivative: zero here. The cost is a backward pass over all events for each parameter;
    with 256 of them and a large network, a few events are enough.

    Args:
        model: An `AutoregressiveModel`.
        position: Index into `model.position_shape`, an integer or a tuple; axes of size 1 at its
            end may be left out. `None` for the middle. Defaults to `None`.
        x: Array of shape `(events, *event_shape)`, the events at which to differentiate; `None` for
            random ones. Defaults to `None`.
        condition: Array of shape `(events, *condition_shape)`, one for all, or classes; `None` for random
            ones, if the model takes any. Defaults to `None`.
        random_weights: Boolean, whether to look at a copy with random weights. It shows what
            the architecture lets a position see: the weights of a fresh model may be
            zero, and those of a trained one show what it has come to look at. Defaults to `False`.
        seed: Integer, the seed of all that is random here. Defaults to `0`.

    Returns:
        float32 array of shape `event_shape`.

    Example:

    >>> model = keras_ar.models.FVSBN(5)
    >>> (keras_ar.diagnostics.sensitivity(model, position=3, random_weights=True) > 0).tolist()
    [True, True, True, False, False]
    """
    position = check_position(model, position)
    seed = noise.check_seed(seed)
    events, *random_condition = model.random_batch(8 if x is None else len(x), seed)
    if x is not None:
        events = np.asarray(x)
        model.check_events(events)
    if condition is not None or not random_condition:
        random_condition = model.check_condition(condition, len(events), broadcast=True)
    if random_weights:
        model = type(model).from_config(model.get_config())
        noise.randomize(model, seed)

    def params_of_position(events):
        params = ops.cast(model(events, *random_condition), "float32")[(slice(None), *position)]  # (batch, num_params)
        # Events do not meet in a model: the derivative of their sum by an event is that event's own.
        return ops.sum(params, axis=0)

    jacobian = backend.jacobian(params_of_position, events)  # (num_params, batch, *event_shape)
    return np.abs(jacobian).sum(axis=0).mean(axis=0)


def check_position(model: AutoregressiveModel, position: int | tuple[int, ...] | None) -> tuple[int, ...]:
    """An index into the positions of a model, with all its axes; that of the middle for `None`."""
    check_model(model)
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


def check_model(model: Any) -> None:
    """Raises a `ValueError` unless the model has conditionals."""
    if not isinstance(model, AutoregressiveModel):
        raise ValueError(f"`model` must be an AutoregressiveModel. Received: model={model!r}.")


def pit_values(
    model: AutoregressiveModel, x: Any, condition: Any = None, *, seed: int = 0, batch_size: int | None = None
) -> np.ndarray:
    """The probability integral transform of each value: how probable the model finds smaller ones.

    For real values it is `F(x)`, where `F` is the cumulative distribution function of `x_i`
    given what comes before. For integers it is a uniform number between `F(x - 1)` and
    `F(x)`. If the model is right, these are independent and uniform from 0 to 1.

    Args:
        model: An `AutoregressiveModel` whose head has a `cdf`.
        x: Array of shape `(events, *event_shape)`.
        condition: Array of shape `(events, *condition_shape)`, or of classes. Defaults to `None`.
        seed: Integer, the seed of the uniform numbers. Defaults to `0`.
        batch_size: Integer, how many events are scored at a time; `None`: 256 on a CPU, 1,024 elsewhere.
            Defaults to `None`.

    Returns:
        float32 array of shape `(events, *position_shape)`.

    Example:

    >>> model = keras_ar.models.FVSBN(3)  # starts with equal odds
    >>> u = keras_ar.diagnostics.pit_values(model, np.array([[0, 1, 1]]))
    >>> (u > 0.5).tolist()
    [[False, True, True]]
    """
    check_model(model)
    below, up_to = model.map_events(model.conditional_cdf, x, condition, batch_size=batch_size)
    uniforms = noise.uniforms(noise.check_seed(seed), noise.OTHER_STREAMS, len(below), below.shape[1:])
    return below + uniforms * (up_to - below)


def ks_distance(values: Any) -> float:
    """The Kolmogorov-Smirnov distance of values from the uniform distribution on 0 to 1.

    It is the largest difference between their empirical distribution function and the diagonal. Of
    `n` independent uniform values it is below `1.358 / sqrt(n)` in 95% of all cases, if `n` is large.

    Args:
        values: Array of any shape.

    Example:

    >>> keras_ar.diagnostics.ks_distance([0.25, 0.75])
    0.25
    """
    ordered = np.sort(np.ravel(values).astype("float64"))
    ranks = np.arange(len(ordered) + 1) / len(ordered)
    return float(max((ranks[1:] - ordered).max(), (ordered - ranks[:-1]).max()))


def nearest_neighbors(x: Any, train: Any, count: int = 1) -> np.ndarray:
    """Indices of the training events nearest to each event, by the Euclidean distance between all their values.

    A sample that is nearly a copy of its nearest neighbor was learned by heart.

    Args:
        x: Array of shape `(events, *event_shape)`.
        train: Array of shape `(n, *event_shape)`.
        count: Integer, how many neighbors to find; at most `n` are. Defaults to `1`.

    Returns:
        int64 array of shape `(events, count)`, the nearest first.

    Example:

    >>> train = np.array([[0, 0], [1, 1], [5, 5]])
    >>> keras_ar.diagnostics.nearest_neighbors([[4, 5]], train, count=2).tolist()
    [[2, 1]]
    """
    x, train = np.asarray(x), np.asarray(train)
    if x.shape[1:] != train.shape[1:]:
        raise ValueError(
            f"`train` must hold events like `x`, of shape {x.shape[1:]}. Received: of shape {train.shape[1:]}."
        )
    count = min(arguments.integer(count, "count"), len(train))
    x = x.reshape(len(x), -1).astype("float64")
    distances = np.empty((len(x), len(train)))
    for first in range(0, len(train), 4096):  # float64 copies of a part at a time
        part = train[first : first + 4096].reshape(-1, x.shape[1]).astype("float64")
        distances[:, first : first + len(part)] = np.sum(part**2, axis=1) - 2 * x @ part.T  # `x**2` changes no order
    return np.argsort(distances, axis=1, kind="stable")[:, :count]

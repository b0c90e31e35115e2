"""Any set of known values for a model of one fixed order: likelihood weighting.

A particle is a draw of an event by steps, in which what is known stands where it must, and is not drawn. Its weight is
the probability that the model gives to what is known, each value given what came before it in this particle. The mean
of the weights is an unbiased estimate of the probability of what is known, and a particle that is picked in proportion
to its weight is a draw of the rest given that, the better the more particles there are.
"""

import math
import warnings

import numpy as np
from keras import ops

from keras_ar import batches, noise

__all__ = ["complete", "effective_size", "score"]

_FEW = 10  # effective particles, below which there is a warning
_STREAMS_OF_PICKS = 2**62  # where those begin by which particles are picked


def score(model, known, condition, num_particles, seed, batch_size=None, verbose=0):
    """Log-probability of what is known of events, estimated: the driver of `AutoregressiveModel.score_samples`.

    Args:
        model: An `AutoregressiveModel`.
        known: List of values by steps, `(events, steps, ...)`, and of which are known, `(events, steps)`.
        condition: List of one array with an entry for each event, or of none.
        num_particles: Integer, how many particles each event has.
        seed: Integer.
        batch_size: Integer, how many particles are drawn at a time, or `None`. Defaults to `None`.
        verbose: `1` for a progress bar. Defaults to `0`.

    Returns:
        The pair of float32 arrays of scores and of effective sample sizes.

    Example:

    >>> model = keras_ar.models.FVSBN(2)
    >>> known = [np.array([[0, 1]]), np.array([[False, True]])]
    >>> keras_ar.particles.score(model, known, [], num_particles=4, seed=0)[1].tolist()
    [4.0]
    """
    seed = noise.check_seed(seed)
    last = int(np.flatnonzero(known[1].any(axis=0)).max(initial=0)) + 1  # nothing that is known comes later
    log_weights = _log_weights(model, known, condition, num_particles, seed, "auto", batch_size, verbose, last)
    sizes = effective_size(log_weights)
    _warn(sizes, num_particles)
    scores = np.logaddexp.reduce(log_weights.astype("float64"), axis=1) - math.log(num_particles)
    return model.check_scores(scores.astype("float32")), sizes


def complete(model, known, condition, num_draws, num_particles, seed, method="auto", batch_size=None, verbose=0):
    """Events completed by particles: the driver of `AutoregressiveModel.complete`.

    Args:
        model: An `AutoregressiveModel`.
        known: As in `score`.
        condition: As in `score`.
        num_draws: Integer, how many particles to pick for each event.
        num_particles: As in `score`.
        seed: As in `score`.
        method: As in `AutoregressiveModel.sample`. Defaults to `"auto"`.
        batch_size: As in `score`. Defaults to `None`.
        verbose: As in `score`. Defaults to `0`.

    Returns:
        Array of shape `(num_draws, events, *event_shape)`, and the effective sample sizes.

    Example:

    >>> model = keras_ar.models.FVSBN(2)
    >>> known = [np.array([[0, 1]]), np.array([[False, True]])]
    >>> events, sizes = keras_ar.particles.complete(model, known, [], 3, num_particles=4, seed=0)
    >>> events[:, 0, 1].tolist()
    [1, 1, 1]
    """
    log_weights = _log_weights(model, known, condition, num_particles, seed, method, batch_size, verbose)
    sizes = effective_size(log_weights)
    _warn(sizes, num_particles)
    cumulative = np.cumsum(np.exp(log_weights - log_weights.max(axis=1, keepdims=True), dtype="float64"), axis=1)
    streams = _STREAMS_OF_PICKS + np.arange(len(cumulative))
    uniforms = noise.of_streams(seed, streams.astype("uint64"), (num_draws,))
    below = cumulative < uniforms.T[:, :, None] * cumulative[:, -1:]
    picked = np.minimum(below.sum(axis=2), num_particles - 1)  # (draws, events)
    # The picked particles once more: to keep all of them would take as many times the memory.
    every = np.broadcast_to(np.arange(len(sizes)), picked.shape).ravel()
    steps, _ = _draw(model, every, picked.ravel(), known, condition, seed, method, batch_size, verbose)
    events = ops.convert_to_numpy(model.from_steps(ops.convert_to_tensor(steps)))
    return events.reshape(*picked.shape, *events.shape[1:]), sizes


def effective_size(log_weights):
    """How many equal weights would say as much as these: the squared sum over the sum of squares.

    Args:
        log_weights: Array of shape `(..., particles)`.

    Example:

    >>> keras_ar.particles.effective_size(np.log([[0.5, 0.5], [1.0, 1e-9]])).round(3).tolist()
    [2.0, 1.0]
    """
    weights = np.exp(log_weights - log_weights.max(axis=-1, keepdims=True), dtype="float64")
    return (weights.sum(axis=-1) ** 2 / np.square(weights).sum(axis=-1)).astype("float32")


def _log_weights(model, known, condition, num_particles, seed, method, batch_size, verbose, last=None):
    """Of each particle of each event: `(events, particles)`."""
    events, numbers = np.divmod(np.arange(len(known[0]) * num_particles), num_particles)
    found = _draw(model, events, numbers, known, condition, seed, method, batch_size, verbose, last)
    return found[-1].reshape(-1, num_particles)


def _draw(model, events, numbers, known, condition, seed, method, batch_size, verbose, last=None):
    """Particles by steps, and the log-probabilities of what is known.

    Particle `j` of an event is the same whatever the batch and the number of particles.
    """
    batch_size = batches.fitting(batch_size, len(events), on_cpu=256)
    progress = batches.Progress(len(events), verbose)
    draw = model.drawer(method, math.ceil(len(events) / batch_size), progress, last=last)
    shape = (known[0].shape[1], model.head.num_uniforms)
    streams = (events + numbers * noise.STREAMS_OF_A_DRAW).astype("uint64")

    def draw_batch(first, events, streams):
        uniforms = noise.of_streams(seed, streams, shape)
        given, of_events = ([each[events] for each in arrays] for arrays in (known, condition))
        values, _, log_weight = draw({}, uniforms, given, of_events)
        return np.swapaxes(ops.convert_to_numpy(values), 0, 1), log_weight

    return batches.run(draw_batch, [events, streams], len(events), batch_size, progress)


def _warn(sizes, num_particles):
    few = int((sizes < min(_FEW, num_particles)).sum())
    if few:
        warnings.warn(
            f"The particles of {few} of {len(sizes)} events have an effective sample size below "
            f"{min(_FEW, num_particles)} (the least is {sizes.min():.1f} of {num_particles}): what is known surprises "
            f"the model where few particles went. Draws and scores of them may be far off; raise `num_particles`, or "
            f"use an `AnyOrderModel`.",
            stacklevel=4,
        )

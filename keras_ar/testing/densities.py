"""The claims about densities of real values: they integrate to one, and samples follow them.

In up to three dimensions both are tested by importance sampling. Kernels around a part of the samples make another
density `q`, from which points are drawn; `p / q` then weighs how much of `p` lies in any region: all of it must be one,
and in each cell it must be the share of the other samples there.
"""

import math
import weakref

import numpy as np

from keras_ar.autoregressive import AutoregressiveModel
from keras_ar.flow import FlowModel
from keras_ar.testing import tools

__all__ = ["DENSITY_CHECKS"]

_MANY = 8192
_CENTERS = 1024
_CELLS = 32
_MOST_DIMS = 3
_FREEDOM = 3  # of Student's kernels, which reach farther than the tails of what is tested

_weighed = weakref.WeakKeyDictionary()


def check_density_integrates(model):
    """A density of up to three dimensions integrates to one."""
    model = tools.prepare(model)
    _, _, _, weights = _weigh(model)
    total, error = weights.mean(), weights.std() / math.sqrt(_MANY)
    assert abs(total - 1) < 6 * error + 0.005 and error < 0.1, (
        f"The density of {model.name} integrates to {total:.4f} ± {error:.4f}."
    )


def check_draws_follow_density(model):
    """Samples come as often as the density says: in cells, or by the mean of q / p for a density q where p lies."""
    model = tools.prepare(model)
    if model.num_dims > _MOST_DIMS:
        _check_ratio(model)
        return
    centers, others, points, weights = _weigh(model)
    edges = _cells(centers)
    shares = np.bincount(_find(others, edges), minlength=_CELLS) / len(others)
    cells = _find(points, edges)
    masses = np.bincount(cells, weights, _CELLS) / _MANY
    squares = np.bincount(cells, weights**2, _CELLS) / _MANY
    error = np.sqrt((squares - masses**2) / _MANY + shares.clip(1 / len(others)) / len(others))
    worst = int(np.argmax(np.abs(shares - masses) / error))
    assert abs(shares[worst] - masses[worst]) < 6 * error[worst], (
        f"{len(others)} samples of {model.name} do not follow its own density: in a cell that holds "
        f"{masses[worst]:.4f} ± {error[worst]:.4f} of it lie {shares[worst]:.4f} of them."
    )


def _weigh(model):
    """Samples as centers and others, points drawn around the centers, and p / q of these points; kept for a model."""
    if model not in _weighed:
        _, *condition = model.random_batch(1)
        count = _CENTERS + _MANY
        drawn = tools.sample(model, count, tools.repeat(condition, count)).reshape(count, -1).astype("float64")
        centers, others = drawn[:_CENTERS], drawn[_CENTERS:]
        kernels = _kernels(centers)
        rng = np.random.default_rng(0)
        chosen = rng.integers(0, _CENTERS, _MANY)
        away = rng.normal(size=(_MANY, model.num_dims)) / np.sqrt(rng.chisquare(_FREEDOM, (_MANY, 1)) / _FREEDOM)
        points = (centers[chosen] + np.einsum("nij,nj->ni", kernels[chosen], away)).astype("float32")
        # What is scored are points in float32; those off the support have no density.
        is_inside = ((points >= model.support.low) & (points <= model.support.high)).all(axis=1)
        events = np.where(is_inside[:, None], points, drawn[0].astype("float32")).reshape(-1, *model.event_shape)
        log_p = tools.score(model, events, tools.repeat(condition, _MANY)).astype("float64")
        log_q = _log_density(points.astype("float64"), centers, kernels)
        _weighed[model] = centers, others, points, np.where(is_inside, np.exp(log_p - log_q), 0.0)
    return _weighed[model]


def _kernels(centers, count=16):
    """A matrix for each center, the Cholesky factor of the covariance of the centers nearest to it."""
    white = (centers - centers.mean(axis=0)) @ np.linalg.cholesky(np.linalg.inv(_covariance(centers)))
    squares = ((white[:, None] - white[None]) ** 2).sum(axis=-1)
    nearest = centers[np.argpartition(squares, count, axis=1)[:, :count]]  # (centers, count, dims)
    away = nearest - centers[:, None]
    return np.linalg.cholesky(away.transpose(0, 2, 1) @ away / count + 1e-8 * _covariance(centers))


def _covariance(x):
    return np.cov(x, rowvar=False).reshape(x.shape[1], x.shape[1])


def _log_density(points, centers, kernels):
    """Of an equal mixture of Student's distributions around the centers."""
    n, freedom = points.shape[1], _FREEDOM
    log_sizes = np.log(np.diagonal(kernels, axis1=1, axis2=2)).sum(axis=1)
    constants = math.lgamma((freedom + n) / 2) - math.lgamma(freedom / 2) - 0.5 * n * math.log(freedom * math.pi)
    inverses, found = np.linalg.inv(kernels), []
    for some in np.array_split(points, 16):
        away = np.einsum("kij,nkj->nki", inverses, some[:, None] - centers[None])
        logs = constants - log_sizes - 0.5 * (freedom + n) * np.log1p((away**2).sum(axis=-1) / freedom)
        most = logs.max(axis=1, keepdims=True)
        found.append((most + np.log(np.exp(logs - most).mean(axis=1, keepdims=True)))[:, 0])
    return np.concatenate(found)


def _cells(centers):
    """Boxes that hold equally many centers, by halving along one axis after the other: a tree of thresholds."""
    return _halve(centers, 0, int(math.log2(_CELLS)))


def _halve(centers, axis, depth):
    if depth == 0:
        return None
    # Of samples that are clamped all may lie on one side.
    threshold = np.median(centers[:, axis]) if len(centers) else 0.0
    following = (axis + 1) % centers.shape[1]
    is_low = centers[:, axis] <= threshold
    return axis, threshold, *(_halve(centers[side], following, depth - 1) for side in (is_low, ~is_low))


def _find(points, tree):
    """The number of the box that each point lies in."""
    if tree is None:
        return np.zeros(len(points), "int64")
    axis, threshold, low, high = tree
    is_low = points[:, axis] <= threshold
    found = np.empty(len(points), "int64")
    found[is_low], found[~is_low] = 2 * _find(points[is_low], low), 2 * _find(points[~is_low], high) + 1
    return found


def _check_ratio(model):
    """The mean over samples of q / p is one, for a density q that lies where p does."""
    _, *condition = model.random_batch(1)
    condition = tools.repeat(condition, _MANY)
    events = tools.sample(model, _MANY, condition).astype("float64")
    log_ratio = _other_log_density(model, events) - tools.score(model, events.astype("float32"), condition)
    ratio = np.exp(log_ratio)
    error = ratio.std() / math.sqrt(_MANY)
    assert abs(ratio.mean() - 1) < 6 * error + 0.01, (
        f"{_MANY} samples of {model.name} do not follow its own density: "
        f"the mean of q / p is {ratio.mean():.3f} ± {error:.3f}, not 1."
    )


def _other_log_density(model, events):
    """A density with lighter tails than the samples', on the same support; of whole events."""
    support, events = model.support, events.reshape(len(events), -1)
    if math.isfinite(support.low) and math.isfinite(support.high):
        return np.full(len(events), -model.num_dims * math.log(support.high - support.low))
    if math.isfinite(support.low):
        scale = 0.5 * np.median(events - support.low, axis=0)
        return (-(events - support.low) / scale - np.log(scale)).sum(axis=1)
    low, center, high = np.quantile(events, [0.16, 0.5, 0.84], axis=0)
    scale = 0.35 * (high - low)
    return (-0.5 * ((events - center) / scale) ** 2 - np.log(scale) - 0.5 * math.log(2 * math.pi)).sum(axis=1)


def _is_density(model):
    return model.exact and not model.support.is_discrete


def _is_small(model):
    return _is_density(model) and model.num_dims <= _MOST_DIMS


def _is_mild(model):
    """Whether each value is about normal, given the others: where q / p has a variance."""
    return _is_density(model) and not isinstance(model, FlowModel)


def _has_cdf(model):
    return isinstance(model, AutoregressiveModel) and "cdf" in model.head.capabilities


DENSITY_CHECKS = {
    check_density_integrates: _is_small,
    check_draws_follow_density: lambda model: (_is_small(model) or _is_mild(model)) and not _has_cdf(model),
}

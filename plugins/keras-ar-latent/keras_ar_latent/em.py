"""EM for mixtures of normal distributions, in NumPy and float64."""

import math

import numpy as np

__all__ = ["cluster", "expectation_maximization", "log_densities", "weighted_covariances"]

_LLOYD_STEPS = 10


def expectation_maximization(x, num_components, estimate, num_iterations, tolerance, seed):
    """Fits a mixture of normal distributions by turns: who drew each event, and what they then are.

    Args:
        x: float64 array of shape `(events, dims)`.
        num_components: Integer.
        estimate: Function of `(x, means, shares)`, `shares` being how far each event counts for each component, an
            array of shape `(events, components)` whose columns sum to one. Returns covariances as `log_densities`
            takes them.
        num_iterations: Integer, the most turns there are.
        tolerance: Float. The end is where the mean log-likelihood rises by less.
        seed: Integer, of the clusters that it starts from.

    Returns:
        Weights, means, covariances, and the mean log-likelihood before each turn but the first.

    Example:

    >>> x = np.array([[0.0], [2.0]])
    >>> estimate = keras_ar_latent.em.weighted_covariances
    >>> weights, means, covariances, nats = keras_ar_latent.em.expectation_maximization(x, 1, estimate, 5, 0.0, 0)
    >>> means.round(6).tolist(), covariances.round(6).tolist()
    ([[1.0]], [[[1.0]]])
    """
    center = x.mean(axis=0)
    x = x - center  # so that little is lost to rounding
    found, history = cluster(x, num_components, seed), []
    for _ in range(num_iterations):
        totals = found.sum(axis=0) + 10 * np.finfo("float64").eps
        shares = found / totals
        weights, means = totals / totals.sum(), shares.T @ x
        covariances = estimate(x, means, shares)
        terms = log_densities(x, means, covariances) + np.log(weights)
        nats = np.logaddexp.reduce(terms, axis=1)
        found = np.exp(terms - nats[:, None])
        history.append(nats.mean())
        if len(history) > 1 and history[-1] - history[-2] < tolerance:
            break
    return weights, means + center, covariances, np.array(history)


def weighted_covariances(x, means, shares):
    """The covariance matrix of events around each mean, as shares of them count: `(components, dims, dims)`."""
    found = []
    for mean, share in zip(means, shares.T, strict=True):
        away = x - mean
        found.append((share[:, None] * away).T @ away)
    return np.stack(found)


def log_densities(x, means, covariances):
    """Log-density of each event under each normal distribution, `(events, components)`.

    Args:
        x: Array of shape `(events, dims)`.
        means: Array of shape `(components, dims)`.
        covariances: Array of shape `(components, dims, dims)`, or `(components, dims)` of variances.
    """
    found = np.empty((len(x), len(means)))
    for k, (mean, covariance) in enumerate(zip(means, covariances, strict=True)):
        if covariance.ndim == 1:
            whiten, log_det = covariance**-0.5, np.log(covariance).sum()
            z = (x - mean) * whiten
        else:
            factor = np.linalg.cholesky(covariance)
            whiten, log_det = np.linalg.inv(factor).T, 2 * np.log(np.diag(factor)).sum()
            z = x @ whiten - mean @ whiten
        found[:, k] = -0.5 * (np.einsum("nd,nd->n", z, z) + log_det)
    return found - 0.5 * x.shape[1] * math.log(2 * math.pi)


def cluster(x, num_clusters, seed):
    """Which cluster each event is in, as ones in rows of zeros: k-means from distant centers."""
    rng = np.random.default_rng(seed)
    centers = x[rng.integers(len(x), size=1)]
    nearest = _squares(x, centers)[:, 0]
    for _ in range(1, num_clusters):  # k-means++
        odds = nearest / nearest.sum() if nearest.sum() > 0 else None
        centers = np.append(centers, x[rng.choice(len(x), size=1, p=odds)], axis=0)
        nearest = np.minimum(nearest, _squares(x, centers[-1:])[:, 0])
    for _ in range(_LLOYD_STEPS):
        members = np.eye(num_clusters)[_squares(x, centers).argmin(axis=1)]
        sizes = members.sum(axis=0)[:, None]
        centers = np.where(sizes > 0, members.T @ x / np.maximum(sizes, 1), centers)
    return members


def _squares(x, centers):
    """Squared distances of events from centers."""
    squares = np.einsum("nd,nd->n", x, x)[:, None] - 2 * x @ centers.T + np.einsum("kd,kd->k", centers, centers)
    return np.maximum(squares, 0.0)

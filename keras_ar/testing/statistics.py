"""Two tests of fit, without SciPy."""

import math
from statistics import NormalDist

import numpy as np

__all__ = ["chi_squared_tail", "g_test", "uniformity_test"]

_LEAST = 5.0  # counts that a cell must expect


def g_test(found, expected):
    """p-value of a G-test of counts against expected counts; cells that expect fewer than five are pooled."""
    order = np.argsort(expected)
    found, expected = np.asarray(found, "float64")[order], np.asarray(expected, "float64")[order]
    # Rare cells are pooled until a pool expects enough; what is left over at the end joins the last pool.
    pool = np.floor(np.cumsum(np.where(expected < _LEAST, expected, 0.0)) / _LEAST)
    rare = expected < _LEAST
    pool = np.where(rare, pool, pool.max() + 1 + np.cumsum(~rare)).astype(int)
    pool = np.unique(pool, return_inverse=True)[1]
    found, expected = np.bincount(pool, found), np.bincount(pool, expected)
    keep = expected > 0
    if found[~keep].sum() > 0:
        return 0.0
    found, expected = found[keep], expected[keep]
    g = 2.0 * np.sum(np.where(found > 0, found * np.log(np.maximum(found, 1e-300) / expected), 0.0) - found + expected)
    degrees = len(found) - 1
    # Of small counts G is too large in the mean: Williams, 1976.
    correction = 1.0 + (np.sum(1.0 / np.maximum(expected, _LEAST)) - 1.0 / expected.sum()) / (6.0 * max(degrees, 1))
    return chi_squared_tail(g / correction, degrees)


def chi_squared_tail(value, degrees):
    """Probability that a chi-squared variable exceeds `value`, by Wilson and Hilferty's cube root."""
    if degrees == 0:
        return 1.0
    spread = 2.0 / (9.0 * degrees)
    return 1.0 - NormalDist().cdf(((max(value, 0.0) / degrees) ** (1 / 3) - (1 - spread)) / math.sqrt(spread))


def uniformity_test(values):
    """p-value of a Kolmogorov-Smirnov test that `values` are uniform between 0 and 1."""
    values = np.sort(np.asarray(values, "float64"))
    n = len(values)
    ranks = np.arange(n)
    distance = max((values - ranks / n).max(), ((ranks + 1) / n - values).max())
    scaled = (math.sqrt(n) + 0.12 + 0.11 / math.sqrt(n)) * distance
    terms = ((-1) ** (k - 1) * math.exp(-2.0 * (k * scaled) ** 2) for k in range(1, 101))
    return min(max(2.0 * sum(terms), 0.0), 1.0) if scaled > 0.2 else 1.0

"""Score interval of the mean of what takes a few values, such as +1, 0 and -0.25.

A mean of such values is a weighted sum of multinomial shares. Where few patients have a value that
counts, normal and bootstrap intervals fail: the rare value may not have occurred, and then they
take it for impossible. The score interval holds every mean that the data do not contradict: for
each candidate the shares are estimated as if it were true (by maximum likelihood, which may give a
share to a value that did not occur), and the variance is that of these shares. With two values it
is Wilson's interval (J Am Stat Assoc 1927;22:209-212), with -1, 0 and 1 that of Tango for paired
shares (Stat Med 1998;17:891-908).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import norm

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Array = NDArray[np.float64]

HALVINGS = 60
ROUNDING = 1e-14


def score_interval(
    values: ArrayLike, counts: ArrayLike, level: float = 0.95
) -> tuple[Array, Array, Array]:
    """Estimate means and their score intervals, one for each row.

    Parameters
    ----------
    values : array, shape (rows, values)
        What can occur; in each row two different values or more. A value may be named twice.
    counts : array, shape (rows, values)
        How often each occurred; at least one in each row.
    level : float
        Coverage.

    Returns
    -------
    tuple of ndarray, shape (rows,)
        The mean, and the bounds.
    """
    support, seen = np.asarray(values, dtype=float), np.asarray(counts, dtype=float)
    mean = (seen * support).sum(axis=1) / seen.sum(axis=1)
    quantile = float(norm.ppf(0.5 + level / 2))
    upper = -_lower(-support, seen, quantile)
    return mean, _lower(support, seen, quantile), upper


def _lower(support: Array, seen: Array, quantile: float) -> Array:
    """Find the least mean that the data do not contradict, by bisection."""
    least = support.min(axis=1)
    # 0 at the least value, 1 at the largest: on this scale the mean is between 0 and 1.
    reach = support.max(axis=1) - least
    scaled = (support - least[:, None]) / reach[:, None]
    n = seen.sum(axis=1)
    estimate = (seen * scaled).sum(axis=1) / n
    unseen = (seen * (scaled == 0)).sum(axis=1) == 0
    # Where nothing but the least value occurred, the mean itself is the bound.
    inside, outside = np.zeros(len(seen)), np.where(unseen, 2.0, np.where(estimate > 0, 1.0, 0.0))
    found = estimate
    for _ in range(HALVINGS):
        step = (inside + outside) / 2
        mean, square = _tilted(scaled, seen, step)
        held = n * (estimate - mean) ** 2 <= quantile**2 * (square - mean**2) + ROUNDING
        inside, outside = np.where(held, step, inside), np.where(held, outside, step)
        found = np.where(held, mean, found)
    return np.asarray(least + reach * found)


def _tilted(scaled: Array, seen: Array, step: Array) -> tuple[Array, Array]:
    """Give the first two moments of the likeliest shares, by how far they lean to the least value.

    Up to a step of 1 the shares are those of an empirical likelihood (Owen, Biometrika
    1988;75:237-249): proportional to ``count / (1 + lean * value)``, where the lean grows from 0
    without bound. Where the least value did not occur, the steps from 1 to 2 give it a share that
    grows from 0 to 1.
    """
    tilt = np.minimum(step, 1.0)[:, None]
    weight = np.divide(seen, 1 - tilt + tilt * scaled, out=np.zeros_like(seen), where=seen > 0)
    weight *= ((2 - np.maximum(step, 1.0)) / weight.sum(axis=1))[:, None]
    return (weight * scaled).sum(axis=1), (weight * scaled**2).sum(axis=1)

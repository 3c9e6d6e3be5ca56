"""Bootstrap by patient: the same patients drawn again, and intervals from what comes out.

Samples are kept as counts, how often each patient was drawn, so that a statistic that is a weighted
sum over patients is computed for all samples in one product. Percentile and BCa intervals: Efron,
J Am Stat Assoc 1987;82:171-185. BCa is for statistics that lean to one side (near a bound, such as
a Brier score near 0); for the others both agree.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy.stats import norm

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Statistic = Callable[[NDArray[np.float64]], NDArray[np.float64]]


def resample_counts(
    patients: int, n: int, seed: int, strata: ArrayLike | None = None
) -> NDArray[np.float64]:
    """Draw bootstrap samples of patients, with replacement.

    Parameters
    ----------
    patients : int
        How many there are.
    n : int
        Number of samples.
    seed : int
        Of the draws.
    strata : array, shape (patients,), optional
        As many patients are drawn from each stratum as it has, such as from each class. Without it
        the classes vary in size as they do from cohort to cohort.

    Returns
    -------
    ndarray, shape (n, patients)
        How often each patient is in each sample.
    """
    rng = np.random.default_rng(seed)
    groups = np.zeros(patients, dtype=int) if strata is None else np.asarray(strata)
    counts = np.zeros((n, patients))
    for value in np.unique(groups):
        members = np.flatnonzero(groups == value)
        drawn = rng.integers(len(members), size=(n, len(members)))
        cells = drawn + len(members) * np.arange(n)[:, None]
        # Counting all samples at once is ten times as fast as drawing multinomial numbers.
        found = np.bincount(cells.ravel(), minlength=n * len(members))
        counts[:, members] = found.reshape(n, len(members))
    return counts


def percentile_interval(values: ArrayLike, level: float = 0.95) -> tuple[float, float]:
    """Cut off equal shares of the samples' values at both ends.

    Samples whose value is NaN, such as those with one class only, do not count; NaN when none is
    left.
    """
    found = np.asarray(values, dtype=float)
    found = found[np.isfinite(found)]
    if not len(found):
        return float("nan"), float("nan")
    lower, upper = np.percentile(found, [50 - 50 * level, 50 + 50 * level])
    return float(lower), float(upper)


def bootstrap_interval(
    statistic: Statistic,
    counts: NDArray[np.float64],
    level: float = 0.95,
    method: Literal["percentile", "bca"] = "percentile",
) -> tuple[float, float, float]:
    """Estimate a statistic and its bootstrap interval.

    Parameters
    ----------
    statistic : callable
        Turns counts, shape (samples, patients), into values, shape (samples,); NaN where a sample
        has none.
    counts : ndarray, shape (samples, patients)
        See :func:`resample_counts`.
    level : float
        Coverage.
    method : {"percentile", "bca"}
        Of the interval; BCa takes its acceleration from leaving out one patient at a time.

    Returns
    -------
    tuple of float
        The value on the patients themselves, and the bounds; NaN where no sample has a value, or,
        with BCa, no set of all patients but one has.
    """
    patients = counts.shape[1]
    estimate = float(statistic(np.ones((1, patients)))[0])
    values = statistic(counts)
    values = values[np.isfinite(values)]
    if method == "percentile" or not len(values):
        return estimate, *percentile_interval(values, level)
    without = statistic(1 - np.eye(patients)) if patients > 1 else np.array([np.nan])
    without = without[np.isfinite(without)]
    if not len(without):
        return estimate, float("nan"), float("nan")
    leaning = without.mean() - without
    below = (np.sum(values < estimate) + 0.5 * np.sum(values == estimate)) / len(values)
    spread = 6 * np.sum(leaning**2) ** 1.5
    acceleration = np.sum(leaning**3) / spread if spread > 0 else 0.0
    bias = norm.ppf(np.clip(below, 0.5 / len(values), 1 - 0.5 / len(values)))
    tails = bias + norm.ppf([0.5 - level / 2, 0.5 + level / 2])
    shares = norm.cdf(bias + tails / (1 - acceleration * tails))
    lower, upper = np.quantile(values, shares)
    return estimate, float(lower), float(upper)

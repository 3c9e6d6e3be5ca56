"""Means and medians with intervals, patients being what is drawn again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A value and its 95 % interval."""

    value: float
    lower: float
    upper: float


def draw_patients(count: int, samples: int, seed: int) -> NDArray[np.int64]:
    """Draw resamples of patients: how often each is in each, (samples, patients)."""
    chance = np.full(count, 1 / count)
    return np.random.default_rng(seed).multinomial(count, chance, samples)


def mean_and_median(
    values: Values, patients: NDArray[np.object_], samples: int, seed: int
) -> tuple[Estimate, Estimate]:
    """Estimate mean and median of values of images, resampling patients with all their images.

    Parameters
    ----------
    values : float (images,)
        Without missing values.
    patients : (images,)
        Whose image it is.
    samples : int
        Number of resamples; the interval runs from the 2.5th to the 97.5th percentile.
    seed : int
        Of the resampling.

    Returns
    -------
    (Estimate, Estimate)
        Mean and median; all NaN without values.
    """
    if values.size == 0:
        nothing = Estimate(np.nan, np.nan, np.nan)
        return nothing, nothing
    order = np.argsort(values, kind="stable")
    values = values[order]
    _, owner = np.unique(patients[order].astype(str), return_inverse=True)
    weights = draw_patients(int(owner.max()) + 1, samples, seed)[:, owner]
    means = weights @ values / weights.sum(axis=1)
    medians = weighted_medians(values, weights)
    return (
        Estimate(float(values.mean()), *_limits(means)),
        Estimate(float(np.median(values)), *_limits(medians)),
    )


def weighted_medians(values: Values, weights: NDArray[np.int64]) -> Values:
    """Medians of sorted values (n,), each repeated as each row of ``weights`` (samples, n) says."""
    cumulated = np.cumsum(weights, axis=1)
    total = cumulated[:, -1:]
    lower = (cumulated >= (total + 1) // 2).argmax(axis=1)
    upper = (cumulated >= total // 2 + 1).argmax(axis=1)
    medians: Values = (values[lower] + values[upper]) / 2
    return medians


def _limits(estimates: Values) -> tuple[float, float]:
    lower, upper = np.percentile(estimates, [2.5, 97.5])
    return float(lower), float(upper)

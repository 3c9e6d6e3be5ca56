"""Means and medians with intervals, patients being what is drawn again.

An interval of few patients says less than it seems to: of one it has no width, of two it runs from
the one to the other. Below :data:`LEAST_PATIENTS` there is none; its limits are NaN.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

LEAST_PATIENTS = 5
"""Fewest patients of whom an interval is given."""


@dataclass(frozen=True)
class Estimate:
    """A value and its 95 % interval; NaN where there is none."""

    value: float
    lower: float
    upper: float


def draw_patients(count: int, samples: int, seed: int) -> NDArray[np.int64]:
    """Draw resamples of patients: how often each is in each, (samples, patients)."""
    chance = np.full(count, 1 / count)
    return np.random.default_rng(seed).multinomial(count, chance, samples)


def limits(drawn: Values, patients: int | NDArray[np.int64]) -> Values:
    """Give the limits of the 95 % interval, the 2.5th and the 97.5th percentile of resamples.

    Parameters
    ----------
    drawn : float (samples, ...)
        What each resample gives; one that is NaN does not count.
    patients : int or int (...)
        Of how many patients the resamples are.

    Returns
    -------
    float (2, ...)
        NaN with fewer than :data:`LEAST_PATIENTS`.
    """
    if not len(drawn):
        return np.full((2, *drawn.shape[1:]), np.nan)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "All-NaN slice")
        found = np.nanpercentile(drawn, [2.5, 97.5], axis=0)
    return np.where(np.asarray(patients) >= LEAST_PATIENTS, found, np.nan)


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
        Mean and median; all NaN without values, the limits with few patients.
    """
    if values.size == 0:
        nothing = Estimate(np.nan, np.nan, np.nan)
        return nothing, nothing
    order = np.argsort(values, kind="stable")
    values = values[order]
    _, owner = np.unique(patients[order].astype(str), return_inverse=True)
    count = int(owner.max()) + 1
    weights = draw_patients(count, samples, seed)[:, owner]
    means = weights @ values / weights.sum(axis=1)
    medians = weighted_medians(values, weights)
    found = limits(np.stack([means, medians], axis=1), count)
    return (
        Estimate(float(values.mean()), float(found[0, 0]), float(found[1, 0])),
        Estimate(float(np.median(values)), float(found[0, 1]), float(found[1, 1])),
    )


def weighted_medians(values: Values, weights: NDArray[np.int64]) -> Values:
    """Medians of sorted values (n,), each repeated as each row of ``weights`` (samples, n) says."""
    cumulated = np.cumsum(weights, axis=1)
    total = cumulated[:, -1:]
    lower = (cumulated >= (total + 1) // 2).argmax(axis=1)
    upper = (cumulated >= total // 2 + 1).argmax(axis=1)
    medians: Values = (values[lower] + values[upper]) / 2
    return medians

"""First-order features from the sorted grey values of an ROI.

Formulas: pyradiomics' documentation, class ``firstorder``; variance is that of the population,
kurtosis is without the 3, entropy and uniformity are of the binned values.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .compiled import compiled
from .levels import GreyLevels

_NAMES = (
    "10Percentile",
    "90Percentile",
    "Energy",
    "Entropy",
    "InterquartileRange",
    "Kurtosis",
    "Maximum",
    "MeanAbsoluteDeviation",
    "Mean",
    "Median",
    "Minimum",
    "Range",
    "RobustMeanAbsoluteDeviation",
    "RootMeanSquared",
    "Skewness",
    "TotalEnergy",
    "Uniformity",
    "Variance",
)
EPS = float(np.spacing(1))


def firstorder(
    levels: GreyLevels, spacing: tuple[float, float], settings: Mapping[str, Any]
) -> dict[str, float]:
    """The 18 first-order features.

    Parameters
    ----------
    levels : GreyLevels
        Of the ROI.
    spacing : tuple[float, float]
        mm per pixel, for the total energy.
    settings : Mapping
        ``voxelArrayShift`` (default 0), added to the values for the energies.
    """
    shift = float(settings.get("voxelArrayShift", 0))
    mean = float(np.mean(levels.values))  # numpy's, so that a flat ROI rounds as in pyradiomics
    found = _features(np.sort(levels.values), levels.counts, mean, spacing[0] * spacing[1], shift)
    return dict(zip(_NAMES, found.tolist(), strict=True))


@compiled
def _features(
    ascending: NDArray[np.float64],
    counts: NDArray[np.float64],
    mean: float,
    pixel_mm2: float,
    shift: float,
) -> NDArray[np.float64]:
    n = len(ascending)
    energy = absolute = second = third = fourth = 0.0
    for value in ascending:
        energy += (value + shift) * (value + shift)
        deviation = value - mean
        square = deviation * deviation
        absolute += abs(deviation)
        second += square
        third += square * deviation
        fourth += square * square
    second, third, fourth = second / n, third / n, fourth / n
    skewness = third / second**1.5 if second > 0 else 0.0
    kurtosis = fourth / second**2 if second > 0 else 0.0

    entropy = uniformity = 0.0
    for count in counts:
        share = count / n
        entropy -= share * np.log2(share + EPS)
        uniformity += share * share

    p10, p90 = _percentile(ascending, 0.10), _percentile(ascending, 0.90)
    inner, k = 0.0, 0
    for value in ascending:
        if p10 <= value <= p90:
            inner += value
            k += 1
    inner = inner / k if k > 0 else np.nan  # of two pixels none lies between the percentiles
    robust = 0.0
    for value in ascending:
        if p10 <= value <= p90:
            robust += abs(value - inner)
    return np.array(
        [
            p10,
            p90,
            energy,
            entropy,
            _percentile(ascending, 0.75) - _percentile(ascending, 0.25),
            kurtosis,
            ascending[-1],
            absolute / n,
            mean,
            _percentile(ascending, 0.5),
            ascending[0],
            ascending[-1] - ascending[0],
            robust / k if k > 0 else np.nan,
            np.sqrt(energy / n),
            skewness,
            energy * pixel_mm2,
            uniformity,
            second,
        ]
    )


@compiled
def _percentile(ascending: NDArray[np.float64], share: float) -> float:
    """Linear interpolation between order statistics, numpy's default."""
    position = share * (len(ascending) - 1)
    below = int(position)
    above = min(below + 1, len(ascending) - 1)
    step = ascending[above] - ascending[below]
    return float(ascending[below] + step * (position - below))

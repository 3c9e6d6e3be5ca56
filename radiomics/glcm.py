"""The 24 features of grey level co-occurrence matrices, averaged over directions.

Formulas: pyradiomics' documentation, class ``glcm`` (Haralick et al., IEEE Trans Syst Man Cybern
1973;3:610-621). Sums over i + j and |i - j| are taken from the distributions of sums and
differences. HXY1 and HXY2 of the informational measures of correlation both equal HX + HY.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .compiled import compiled
from .firstorder import EPS

_NAMES = (
    "Autocorrelation",
    "ClusterProminence",
    "ClusterShade",
    "ClusterTendency",
    "Contrast",
    "Correlation",
    "DifferenceAverage",
    "DifferenceEntropy",
    "DifferenceVariance",
    "Id",
    "Idm",
    "Idmn",
    "Idn",
    "Imc1",
    "Imc2",
    "InverseVariance",
    "JointAverage",
    "JointEnergy",
    "JointEntropy",
    "MCC",
    "MaximumProbability",
    "SumAverage",
    "SumEntropy",
    "SumSquares",
)
_MCC = _NAMES.index("MCC")


def glcm(
    cooccurrences: NDArray[np.float64],
    levels: NDArray[np.float64],
    offsets: NDArray[np.int64],
    spacing: tuple[float, float],
    settings: Mapping[str, Any],
) -> dict[str, float]:
    """The features of all directions in which the ROI has neighbours.

    Parameters
    ----------
    cooccurrences : NDArray[np.float64]
        (offsets, n, n) of :func:`.matrices.neighbour_matrices`.
    levels : NDArray[np.float64]
        (n,) grey levels.
    offsets : NDArray[np.int64]
        (offsets, 2) of :func:`.matrices.half_plane`.
    spacing : tuple[float, float]
        (row_mm, column_mm), for weights.
    settings : Mapping
        ``symmetricalGLCM`` (default true), ``weightingNorm`` (default none).
    """
    matrices = cooccurrences
    if settings.get("symmetricalGLCM", True):
        matrices = matrices + matrices.transpose(0, 2, 1)
    norm = settings.get("weightingNorm")
    if norm is not None:
        weights = np.exp(-(distances_mm(offsets, spacing, norm) ** 2))
        if norm == "no_weighting":
            weights = np.ones(len(offsets))
        matrices = np.tensordot(weights, matrices, axes=1)[None]
    totals = matrices.sum(axis=(1, 2))
    matrices = matrices[totals > 0] / totals[totals > 0, None, None]
    if len(matrices) == 0:  # the MCC of one level is 1, with neighbours or without
        return dict.fromkeys(_NAMES, math.nan) | ({"MCC": 1.0} if len(levels) == 1 else {})
    found = np.array([_features(matrix, levels) for matrix in matrices])
    found[:, _MCC] = _maximal_correlations(matrices)
    known = ~np.isnan(found)
    means = np.where(known, found, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    means[~known.any(axis=0)] = math.nan
    return dict(zip(_NAMES, means.tolist(), strict=True))


def distances_mm(
    offsets: NDArray[np.int64], spacing: tuple[float, float], norm: str
) -> NDArray[np.float64]:
    """Length of each offset in mm by a norm: infinity, euclidean or manhattan."""
    steps = np.abs(offsets) * np.asarray(spacing)
    if norm == "infinity":
        return np.asarray(steps.max(axis=1))
    if norm == "euclidean":
        return np.asarray(np.sqrt((steps**2).sum(axis=1)))
    return np.asarray(steps.sum(axis=1))


@compiled
def _features(matrix: NDArray[np.float64], levels: NDArray[np.float64]) -> NDArray[np.float64]:
    n, highest = len(levels), int(levels[-1])
    rows, columns = np.zeros(n), np.zeros(n)
    sums, differences = np.zeros(2 * highest + 1), np.zeros(highest)
    autocorrelation = joint_energy = joint_entropy = maximum = 0.0
    for a in range(n):
        i = int(levels[a])
        for b in range(n):
            p = matrix[a, b]
            if p == 0.0:
                continue
            j = int(levels[b])
            rows[a] += p
            columns[b] += p
            sums[i + j] += p
            differences[abs(i - j)] += p
            autocorrelation += p * i * j
            joint_energy += p * p
            joint_entropy -= p * np.log2(p + EPS)
            maximum = max(maximum, p)

    mean_x, mean_y = (rows * levels).sum(), (columns * levels).sum()
    variance_x = (rows * (levels - mean_x) ** 2).sum()
    variance_y = (columns * (levels - mean_y) ** 2).sum()
    covariance = 0.0
    for a in range(n):
        for b in range(n):
            covariance += matrix[a, b] * (levels[a] - mean_x) * (levels[b] - mean_y)
    scale = np.sqrt(variance_x) * np.sqrt(variance_y)
    correlation = covariance / (scale + EPS) if scale != 0 else 1.0

    tendency = shade = prominence = sum_average = sum_entropy = 0.0
    for k in range(2, 2 * highest + 1):
        p, distance = sums[k], k - mean_x - mean_y
        tendency += p * distance**2
        shade += p * distance**3
        prominence += p * distance**4
        sum_average += k * p
        sum_entropy -= p * np.log2(p + EPS)

    contrast = average = entropy = inverse = inverse_moment = 0.0
    normalised = moment_normalised = inverse_variance = 0.0
    for k in range(highest):
        p = differences[k]
        contrast += k * k * p
        average += k * p
        entropy -= p * np.log2(p + EPS)
        inverse += p / (1 + k)
        inverse_moment += p / (1 + k * k)
        normalised += p / (1 + k / highest)
        moment_normalised += p / (1 + k * k / highest**2)
        if k > 0:
            inverse_variance += p / (k * k)
    difference_variance = 0.0
    for k in range(highest):
        difference_variance += differences[k] * (k - average) ** 2

    entropy_x = -(rows * np.log2(rows + EPS)).sum()
    entropy_y = -(columns * np.log2(columns + EPS)).sum()
    information = entropy_x + entropy_y - joint_entropy
    largest = max(entropy_x, entropy_y)
    # Of one level there is no information, but rounding: a direction can have one where the ROI has
    # several, of which all others lie without a neighbour in that direction.
    several = min((rows > 0).sum(), (columns > 0).sum()) > 1
    imc1 = -information / largest if several and largest != 0 else 0.0
    imc2 = np.sqrt(1 - np.exp(-2 * information)) if several and information != 0 else 0.0
    return np.array(
        [
            autocorrelation,
            prominence,
            shade,
            tendency,
            contrast,
            correlation,
            average,
            entropy,
            difference_variance,
            inverse,
            inverse_moment,
            moment_normalised,
            normalised,
            imc1,
            imc2,
            inverse_variance,
            mean_x,
            joint_energy,
            joint_entropy,
            np.nan,
            maximum,
            sum_average,
            sum_entropy,
            variance_x,
        ]
    )


def _maximal_correlations(matrices: NDArray[np.float64]) -> NDArray[np.float64]:
    """MCC of (directions, n, n): the second largest correlation of functions of the two levels.

    pyradiomics takes the root of the second eigenvalue of Q = Dx^-1 P Dy^-1 P' with the marginals
    D: that is the second largest singular value of Dx^-1/2 P Dy^-1/2. It also adds the machine
    epsilon to each product of two marginals, which is felt where levels are as rare as one pixel in
    tens of thousands; under the root here, it does the same to first order.
    """
    if matrices.shape[1] < 2:
        return np.ones(len(matrices))
    products = matrices.sum(axis=2)[:, :, None] * matrices.sum(axis=1)[:, None, :]
    scaled = matrices / np.sqrt(products + EPS)
    if not np.array_equal(matrices, matrices.transpose(0, 2, 1)):
        return np.asarray(np.linalg.svd(scaled, compute_uv=False)[:, 1])
    return np.asarray(np.sort(np.abs(np.linalg.eigvalsh(scaled)), axis=1)[:, -2])

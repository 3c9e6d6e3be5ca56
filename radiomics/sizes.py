"""Features of matrices that count things by grey level and size: GLRLM, GLSZM and GLDM.

The things are runs of a length, zones of an area, and pixels with a number of dependent
neighbours; the formulas are the same. Sources: pyradiomics' documentation, classes ``glrlm``
(Galloway, Comput Graph Image Process 1975;4:172-179), ``glszm`` and ``gldm``.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from .compiled import compiled
from .firstorder import EPS

# The order of _features. {} is the thing that is counted, {s} its size, {q} and {h} few and many.
_PATTERNS = (
    "{few}Emphasis",
    "{many}Emphasis",
    "GrayLevelNonUniformity",
    "GrayLevelNonUniformityNormalized",
    "{size}NonUniformity",
    "{size}NonUniformityNormalized",
    "{thing}Percentage",
    "GrayLevelVariance",
    "{thing}Variance",
    "{thing}Entropy",
    "LowGrayLevel{emphasis}Emphasis",
    "HighGrayLevel{emphasis}Emphasis",
    "{few}LowGrayLevelEmphasis",
    "{few}HighGrayLevelEmphasis",
    "{many}LowGrayLevelEmphasis",
    "{many}HighGrayLevelEmphasis",
)


def _names(few: str, many: str, size: str, thing: str, emphasis: str) -> tuple[str, ...]:
    return tuple(
        pattern.format(few=few, many=many, size=size, thing=thing, emphasis=emphasis)
        for pattern in _PATTERNS
    )


_RUNS = _names("ShortRun", "LongRun", "RunLength", "Run", "Run")
_ZONES = _names("SmallArea", "LargeArea", "SizeZone", "Zone", "Zone")
_DEPENDENCES = _names("SmallDependence", "LargeDependence", "Dependence", "Dependence", "")


def glrlm(
    runs: NDArray[np.float64], levels: NDArray[np.float64], weights: NDArray[np.float64] | None
) -> dict[str, float]:
    """The 16 features of run length matrices, averaged over the directions that have runs.

    Parameters
    ----------
    runs : NDArray[np.float64]
        (4, n, lengths) of :func:`.matrices.run_matrices`.
    levels : NDArray[np.float64]
        (n,) grey levels.
    weights : NDArray[np.float64] | None
        (4,): add the directions with these weights instead of averaging their features.
    """
    if weights is not None:
        runs = np.tensordot(weights, runs, axes=1)[None]
    found = [_features(*_triplets(matrix), levels) for matrix in runs if matrix.any()]
    means = np.mean(found, axis=0).tolist() if found else [math.nan] * len(_RUNS)
    return dict(zip(_RUNS, means, strict=True))


def glszm(
    ranks: NDArray[np.int64], sizes: NDArray[np.int64], levels: NDArray[np.float64]
) -> dict[str, float]:
    """The 16 features of the size zone matrix from (zones,) ranks and sizes of its zones."""
    key = np.sort(ranks * (sizes.max() + 1) + sizes)
    rank, size, count = _distinct(key, int(sizes.max()) + 1)
    found = _features(rank, size, count, levels)
    return dict(zip(_ZONES, found.tolist(), strict=True))


def gldm(dependences: NDArray[np.float64], levels: NDArray[np.float64]) -> dict[str, float]:
    """The 14 features of the dependence matrix (n, most neighbours + 1).

    The size is the number of dependent neighbours and the pixel itself.
    """
    found = _features(*_triplets(dependences), levels)
    of_pixels = dict(zip(_DEPENDENCES, found.tolist(), strict=True))
    # each pixel is counted once: these two say nothing of dependence
    del of_pixels["DependencePercentage"], of_pixels["GrayLevelNonUniformityNormalized"]
    return of_pixels


Triplets = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]


@compiled
def _triplets(matrix: NDArray[np.float64]) -> Triplets:
    """(rank, size, count) of what a matrix counts; its columns are sizes from 1."""
    filled = 0
    for a in range(matrix.shape[0]):
        for b in range(matrix.shape[1]):
            filled += matrix[a, b] != 0
    rank, size = np.empty(filled, np.int64), np.empty(filled, np.int64)
    count = np.empty(filled)
    k = 0
    for a in range(matrix.shape[0]):
        for b in range(matrix.shape[1]):
            if matrix[a, b] != 0:
                rank[k], size[k], count[k] = a + 1, b + 1, matrix[a, b]
                k += 1
    return rank, size, count


@compiled
def _distinct(key: NDArray[np.int64], base: int) -> Triplets:
    """(rank, size, count) of sorted keys ``rank * base + size``."""
    found = 1
    for k in range(1, len(key)):
        found += key[k] != key[k - 1]
    rank, size = np.empty(found, np.int64), np.empty(found, np.int64)
    count = np.zeros(found)
    n = -1
    for k in range(len(key)):
        if k == 0 or key[k] != key[k - 1]:
            n += 1
            rank[n], size[n] = key[k] // base, key[k] % base
        count[n] += 1
    return rank, size, count


@compiled
def _features(
    rank: NDArray[np.int64],
    size: NDArray[np.int64],
    count: NDArray[np.float64],
    levels: NDArray[np.float64],
) -> NDArray[np.float64]:
    n = count.sum()
    by_level, by_size = np.zeros(len(levels)), np.zeros(size.max())
    entropy = pixels = few_low = few_high = many_low = many_high = 0.0
    for k in range(len(count)):
        share = count[k] / n
        level2, size2 = levels[rank[k] - 1] ** 2, float(size[k]) ** 2
        by_level[rank[k] - 1] += count[k]
        by_size[size[k] - 1] += count[k]
        pixels += count[k] * size[k]
        entropy -= share * np.log2(share + EPS)
        few_low += count[k] / (level2 * size2)
        few_high += count[k] * level2 / size2
        many_low += count[k] * size2 / level2
        many_high += count[k] * size2 * level2

    level_mean = size_mean = low = high = few = many = 0.0
    level_squares = size_squares = 0.0
    for k in range(len(levels)):
        level_mean += by_level[k] * levels[k] / n
        level_squares += by_level[k] ** 2
        low += by_level[k] / levels[k] ** 2
        high += by_level[k] * levels[k] ** 2
    for k in range(len(by_size)):
        size_mean += by_size[k] * (k + 1) / n
        size_squares += by_size[k] ** 2
        few += by_size[k] / float(k + 1) ** 2
        many += by_size[k] * float(k + 1) ** 2
    level_variance = size_variance = 0.0
    for k in range(len(levels)):
        level_variance += by_level[k] / n * (levels[k] - level_mean) ** 2
    for k in range(len(by_size)):
        size_variance += by_size[k] / n * (k + 1 - size_mean) ** 2
    return np.array(
        [
            few / n,
            many / n,
            level_squares / n,
            level_squares / n**2,
            size_squares / n,
            size_squares / n**2,
            n / pixels,
            level_variance,
            size_variance,
            entropy,
            low / n,
            high / n,
            few_low / n,
            few_high / n,
            many_low / n,
            many_high / n,
        ]
    )

"""Intraclass correlation of many features at once.

Formulas: Shrout & Fleiss, Psychol Bull 1979;86:420-428 (1,1), (2,1), (3,1); the interval of (2,1)
with Satterthwaite's degrees of freedom: McGraw & Wong, Psychol Methods 1996;1:30-46.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy.stats import f as f_distribution

if TYPE_CHECKING:
    from numpy.typing import NDArray

MIN_SUBJECTS = 3
ROUNDING = 1e-12  # relative to the values: smaller deviations are no variation


@dataclass(frozen=True)
class Icc:
    """Intraclass correlations with 95 % intervals; every array has one value for each feature.

    Attributes
    ----------
    value : ndarray
        The correlation, at most 1; NaN where it cannot be told.
    lower, upper : ndarray
        Bounds of the interval.
    n : ndarray of int
        Subjects with a value from every rater.
    """

    value: NDArray[np.float64]
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]
    n: NDArray[np.int64]


@dataclass(frozen=True)
class _MeanSquares:
    n: NDArray[np.float64]
    k: int
    rows: NDArray[np.float64]
    columns: NDArray[np.float64]
    error: NDArray[np.float64]
    within: NDArray[np.float64]


def icc(
    ratings: NDArray[np.float64], kind: Literal["1,1", "2,1", "3,1"] = "2,1", level: float = 0.95
) -> Icc:
    """Estimate the single-rater intraclass correlation of each feature.

    Parameters
    ----------
    ratings : ndarray, shape (subjects, raters, features)
        A subject that lacks a finite value from any rater is left out of that feature.
    kind : {"1,1", "2,1", "3,1"}
        One-way random; two-way random, absolute agreement; two-way mixed, consistency.
    level : float
        Coverage of the interval.

    Returns
    -------
    Icc
        NaN, never 1, for a feature with fewer than 3 complete subjects or without any variation.
    """
    squares = _mean_squares(np.asarray(ratings, dtype=np.float64))
    tail = (1 - level) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        estimate = {"1,1": _one_way, "2,1": _agreement, "3,1": _consistency}[kind]
        value, lower, upper = estimate(squares, tail)
    unknown = (squares.n < MIN_SUBJECTS) | ~(squares.rows + squares.within > 0)
    perfect = ~unknown & (value == 1)
    lower, upper = (np.where(perfect, 1.0, bound) for bound in (lower, upper))
    value, lower, upper = (np.where(unknown, np.nan, array) for array in (value, lower, upper))
    return Icc(value, lower, upper, squares.n.astype(np.int64))


def _mean_squares(ratings: NDArray[np.float64]) -> _MeanSquares:
    """Analyse the variance of a two-way layout without replication, one for each feature.

    Variation below rounding error of the values themselves counts as none.
    """
    k = ratings.shape[1]
    complete = np.asarray(np.isfinite(ratings).all(axis=1))
    n = complete.sum(axis=0).astype(np.float64)
    known = np.where(complete[:, None, :], ratings, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        grand = known.sum(axis=(0, 1)) / (n * k)
        known = np.where(complete[:, None, :], known - grand, 0.0)
        size = np.abs(grand) + np.abs(known).max(axis=(0, 1), initial=0.0)
        rounding = n * k * (ROUNDING * size) ** 2
        total = _floor((known**2).sum(axis=(0, 1)), rounding)
        rounding = np.maximum(rounding, ROUNDING * total)
        rows = _floor((known.sum(axis=1) ** 2).sum(axis=0) / k, rounding)
        columns = _floor((known.sum(axis=0) ** 2).sum(axis=0) / n, rounding)
        within = _floor(total - rows, rounding)
        error = _floor(within - columns, rounding)
        return _MeanSquares(
            n=n,
            k=k,
            rows=rows / (n - 1),
            columns=columns / (k - 1),
            error=error / ((n - 1) * (k - 1)),
            within=within / (n * (k - 1)),
        )


def _floor(sums: NDArray[np.float64], rounding: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(sums > rounding, sums, 0.0)


_Estimate = tuple["NDArray[np.float64]", "NDArray[np.float64]", "NDArray[np.float64]"]


def _one_way(squares: _MeanSquares, tail: float) -> _Estimate:
    n, k = squares.n, squares.k
    return _from_ratio(squares.rows, squares.within, n - 1, n * (k - 1), k, tail)


def _consistency(squares: _MeanSquares, tail: float) -> _Estimate:
    n, k = squares.n, squares.k
    return _from_ratio(squares.rows, squares.error, n - 1, (n - 1) * (k - 1), k, tail)


def _from_ratio(
    rows: NDArray[np.float64],
    rest: NDArray[np.float64],
    df1: NDArray[np.float64],
    df2: NDArray[np.float64],
    k: int,
    tail: float,
) -> _Estimate:
    value = (rows - rest) / (rows + (k - 1) * rest)
    ratio = rows / rest
    low = ratio / f_distribution.ppf(1 - tail, df1, df2)
    high = ratio * f_distribution.ppf(1 - tail, df2, df1)
    return value, (low - 1) / (low + k - 1), (high - 1) / (high + k - 1)


def _agreement(squares: _MeanSquares, tail: float) -> _Estimate:
    n, k = squares.n, squares.k
    rows, columns, error = squares.rows, squares.columns, squares.error
    value = (rows - error) / (rows + (k - 1) * error + k * (columns - error) / n)
    ratio = columns / error
    spread = n * (1 + (k - 1) * value) - k * value
    degrees = (
        (n - 1)
        * (k - 1)
        * (k * value * ratio + spread) ** 2
        / ((n - 1) * k**2 * value**2 * ratio**2 + spread**2)
    )
    high_f = f_distribution.ppf(1 - tail, n - 1, degrees)
    low_f = f_distribution.ppf(1 - tail, degrees, n - 1)
    other = k * columns + (k * n - k - n) * error
    lower = n * (rows - high_f * error) / (high_f * other + n * rows)
    upper = n * (low_f * rows - error) / (other + n * low_f * rows)
    return value, lower, upper

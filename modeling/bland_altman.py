"""Limits of agreement of two measurements of the same subjects.

Bland & Altman, Stat Methods Med Res 1999;8:135-160: the mean difference, and the limits between
which 95 % of the differences lie if they are normal, with their intervals (sections 2.1 and 2.2).
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import norm, t

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import ArrayLike, NDArray

MIN_SUBJECTS = 3


@dataclass(frozen=True)
class Limits:
    """Agreement of two measurements; every array has one value for each column.

    Attributes
    ----------
    n : ndarray of int
        Subjects with both values.
    bias, bias_lower, bias_upper : ndarray
        Mean of first minus second, with its 95 % interval.
    sd : ndarray
        Standard deviation of the differences.
    limit_lower, limit_upper : ndarray
        Bias minus and plus 1.96 standard deviations.
    limit_error : ndarray
        Half the width of the 95 % interval of either limit.
    """

    n: NDArray[np.int64]
    bias: NDArray[np.float64]
    bias_lower: NDArray[np.float64]
    bias_upper: NDArray[np.float64]
    sd: NDArray[np.float64]
    limit_lower: NDArray[np.float64]
    limit_upper: NDArray[np.float64]
    limit_error: NDArray[np.float64]

    def frame(self) -> pd.DataFrame:
        """Give a row for each column, with the intervals of the limits written out."""
        import pandas as pd

        table = pd.DataFrame(asdict(self))
        error = table.pop("limit_error")
        for limit in ("limit_lower", "limit_upper"):
            table[f"{limit}_from"] = table[limit] - error
            table[f"{limit}_to"] = table[limit] + error
        return table


def limits_of_agreement(first: ArrayLike, second: ArrayLike, level: float = 0.95) -> Limits:
    """Compare two measurements.

    Parameters
    ----------
    first, second : array, shape (subjects,) or (subjects, columns)
        Subjects are independent of one another: patients, not the images of one. A subject that
        lacks a finite value counts in no figure of that column.
    level : float
        Coverage of the limits and of every interval.

    Returns
    -------
    Limits
        NaN for a column with fewer than 3 subjects.
    """
    pair = [np.asarray(values, dtype=np.float64) for values in (first, second)]
    difference = np.subtract(
        *(values.reshape(len(values), math.prod(values.shape[1:])) for values in pair)
    )
    known = np.isfinite(difference)
    n = known.sum(axis=0)
    enough = n >= MIN_SUBJECTS
    size = np.where(enough, n, np.nan)
    kept = np.where(known, difference, 0.0)
    bias = kept.sum(axis=0) / size
    squares = np.where(known, (kept - bias) ** 2, 0.0).sum(axis=0)
    sd = np.sqrt(np.where(enough, squares, np.nan) / (size - 1))
    z, quantile = norm.ppf(0.5 + level / 2), t.ppf(0.5 + level / 2, size - 1)
    bias_error = quantile * sd / np.sqrt(size)
    limit_error = quantile * sd * np.sqrt(1 / size + z**2 / (2 * (size - 1)))
    return Limits(
        n=n.astype(np.int64),
        bias=bias,
        bias_lower=bias - bias_error,
        bias_upper=bias + bias_error,
        sd=sd,
        limit_lower=bias - z * sd,
        limit_upper=bias + z * sd,
        limit_error=limit_error,
    )

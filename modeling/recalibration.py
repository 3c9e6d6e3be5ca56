"""Bring the risks of a frozen model to the level of another cohort, and say which way is enough.

``none`` leaves the risks; ``intercept`` shifts their logits, which mends calibration in the large;
``logistic`` shifts and stretches them. Which is enough is told by the closed test of Vergouwe et
al., Stat Med 2017;36:4529-4539: the simplest that the largest one that can be fitted does not beat
in a likelihood ratio test. A recalibrated model fits the patients it was recalibrated on by
construction; its Brier score is therefore that of risks recalibrated on the other nine tenths.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import expit, logit
from scipy.stats import chi2

from .calibration import SMALLEST_SPREAD, shift_of

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import ArrayLike, NDArray

METHODS = ("none", "intercept", "logistic")
FOLDS = 10
_REACH = 1.959963984540054
_SMALLEST = 1e-9


def recalibration_table(
    labels: ArrayLike, risks: ArrayLike, alpha: float = 0.05, seed: int = 15
) -> pd.DataFrame:
    """Recalibrate risks in both ways and compare.

    Parameters
    ----------
    labels, risks : array, shape (patients,)
        0/1 and probabilities.
    alpha : float
        Of the closed test.
    seed : int
        Of the folds behind ``brier_cross_fitted``.

    Returns
    -------
    DataFrame
        A row for each method that can be fitted: ``method, intercept, intercept_lower,
        intercept_upper, slope, slope_lower, slope_upper`` (the recalibrated risk is
        ``expit(intercept + slope * logit(risk))``; Wald's 95 % intervals) ``, log_likelihood,
        p_against_largest`` (likelihood ratio test against the last row; empty for itself) ``,
        brier_cross_fitted, enough`` (chosen by the closed test). No row when a class is absent.
    """
    import pandas as pd

    y = np.asarray(labels, dtype=float)
    x = logit(np.clip(np.asarray(risks, dtype=float), _SMALLEST, 1 - _SMALLEST))
    rows = []
    for method in METHODS:
        fitted = _fit(method, y, x)
        if fitted is None:
            continue
        (intercept, slope), errors = fitted
        rows.append(
            {
                "method": method,
                "intercept": intercept,
                "intercept_lower": intercept - _REACH * errors[0],
                "intercept_upper": intercept + _REACH * errors[0],
                "slope": slope,
                "slope_lower": slope - _REACH * errors[1],
                "slope_upper": slope + _REACH * errors[1],
                "log_likelihood": _log_likelihood(y, intercept + slope * x),
                "brier_cross_fitted": float(np.mean((_cross_fitted(method, y, x, seed) - y) ** 2)),
            }
        )
    table = pd.DataFrame(rows)
    if table.empty:
        return table
    best = float(table["log_likelihood"].iloc[-1])
    freedom = len(table) - 1 - np.arange(len(table))
    excess = 2 * (best - table["log_likelihood"])
    table["p_against_largest"] = np.where(
        freedom > 0, chi2.sf(excess.clip(lower=0), np.maximum(freedom, 1)), np.nan
    )
    beaten = np.array(table["p_against_largest"] < alpha)
    table["enough"] = np.arange(len(table)) == int(np.flatnonzero(~beaten)[0])
    return table


def recalibrated(risks: ArrayLike, intercept: float, slope: float) -> NDArray[np.float64]:
    """Apply a recalibration to risks."""
    x = logit(np.clip(np.asarray(risks, dtype=float), _SMALLEST, 1 - _SMALLEST))
    return np.asarray(expit(intercept + slope * x))


def _fit(
    method: str, y: NDArray[np.float64], x: NDArray[np.float64]
) -> tuple[tuple[float, float], tuple[float, float]] | None:
    """Intercept and slope with their standard errors; None where they cannot be estimated."""
    from statsmodels.genmod.families import Binomial
    from statsmodels.genmod.generalized_linear_model import GLM

    if len(y) == 0 or y.min() == y.max():
        return None
    if method == "none":
        return (0.0, 1.0), (0.0, 0.0)
    if method == "intercept":
        found = shift_of(y, x)
        return None if found is None else ((found[0], 1.0), (found[1], 0.0))
    separated = x[y == 0].max() <= x[y == 1].min() or x[y == 1].max() <= x[y == 0].min()
    if x.std() < SMALLEST_SPREAD or separated:
        return None
    fitted = GLM(y, np.column_stack([np.ones_like(x), x]), family=Binomial()).fit()
    intercept, slope = map(float, fitted.params)
    return (intercept, slope), (float(fitted.bse[0]), float(fitted.bse[1]))


def _cross_fitted(
    method: str, y: NDArray[np.float64], x: NDArray[np.float64], seed: int
) -> NDArray[np.float64]:
    """Risks of each tenth of the patients, recalibrated on the others."""
    from sklearn.model_selection import StratifiedKFold

    smaller = int(min(y.sum(), len(y) - y.sum()))
    found = expit(x)
    if method == "none" or smaller < 2:
        return np.asarray(found)
    for others, held_out in StratifiedKFold(
        min(FOLDS, smaller), shuffle=True, random_state=seed
    ).split(x, y):
        fitted = _fit(method, y[others], x[others])
        if fitted is not None:
            intercept, slope = fitted[0]
            found[held_out] = expit(intercept + slope * x[held_out])
    return np.asarray(found)


def _log_likelihood(y: NDArray[np.float64], linear: NDArray[np.float64]) -> float:
    return float((y * linear - np.logaddexp(0, linear)).sum())

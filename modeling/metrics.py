"""The figures that describe a set of predictions, and the curves behind them.

``curves/roc.csv``: ``set, false_positive_rate, true_positive_rate, threshold`` (an infinite
threshold is an empty cell); ``curves/calibration.csv``: ``set, predicted, observed,
observed_lower, observed_upper, n`` (groups of equal size, Wilson's interval: Wilson, J Am Stat
Assoc 1927;22:209-212); ``curves/decision.csv``: see :func:`.netbenefit.decision_curve`. ``set`` is
``train`` (out-of-fold) or ``test``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import binomtest
from sklearn.metrics import roc_curve

from .bootstrap import bootstrap_interval, resample_counts
from .calibration import (
    calibration_intercept,
    calibration_slope,
    observed_expected,
    spiegelhalter,
)
from .discrimination import auc_interval
from .risk_errors import brier_scores, calibration_errors

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import ArrayLike, NDArray

MAX_GROUPS = 10
MIN_GROUP_SIZE = 10


def wilson(successes: int, n: int, level: float = 0.95) -> tuple[float, float, float]:
    """Give a proportion with Wilson's interval; NaN of nobody."""
    if n == 0:
        return float("nan"), float("nan"), float("nan")
    interval = binomtest(successes, n).proportion_ci(level, method="wilson")
    return successes / n, float(interval.low), float(interval.high)


def at_threshold(
    labels: ArrayLike, risks: ArrayLike, threshold: ArrayLike, n_bootstrap: int, seed: int
) -> dict[str, tuple[float, float, float]]:
    """Describe the calls at a threshold, or one for each patient, chosen on other patients.

    Returns
    -------
    dict
        ``sensitivity, specificity, ppv, npv, accuracy`` with Wilson's 95 % interval, and ``f1``
        with the percentile interval over resampled patients; NaN where nobody counts.
    """
    positive = np.asarray(labels, dtype=int) == 1
    called = np.asarray(risks, dtype=float) >= np.asarray(threshold, dtype=float)
    right = positive == called
    shares = {
        "sensitivity": positive,
        "specificity": ~positive,
        "ppv": called,
        "npv": ~called,
        "accuracy": np.ones_like(called),
    }
    figures = {name: wilson(int(right[of].sum()), int(of.sum())) for name, of in shares.items()}
    both, either = (positive & called).astype(float), positive.astype(float) + called

    def f1(counts: NDArray[np.float64]) -> NDArray[np.float64]:
        size = counts @ either
        return np.asarray(2 * (counts @ both) / np.where(size > 0, size, np.nan))

    drawn = resample_counts(len(called), n_bootstrap, seed)
    return figures | {"f1": bootstrap_interval(f1, drawn)}


def measure(
    labels: ArrayLike,
    risks: ArrayLike,
    threshold: ArrayLike,
    missed: ArrayLike,
    n_bootstrap: int = 1000,
    seed: int = 15,
) -> dict[str, Any]:
    """Describe predictions for one set of patients.

    Parameters
    ----------
    labels, risks : array, shape (patients,)
        0/1 and probabilities.
    threshold : float or array, shape (patients,)
        Risk, chosen on other patients, from which on a patient is called positive.
    missed : array of bool, shape (patients,)
        Whose lesion was not found, so that the risk is the prevalence. They count like the others.
    n_bootstrap, seed : int
        Bootstrap samples of patients.

    Returns
    -------
    dict
        ``n, n_positive, n_missed``; each with ``_lower`` and ``_upper``, its 95 % interval:
        ``auc`` (DeLong), those of :func:`at_threshold`, ``calibration_intercept,
        calibration_slope, observed_expected`` (see :mod:`.calibration`), ``brier, scaled_brier,
        ici, e50, e90`` (see :mod:`.risk_errors`); ``spiegelhalter_z, spiegelhalter_p``. What
        cannot be told is NaN.
    """
    y, risk = np.asarray(labels, dtype=int), np.asarray(risks, dtype=float)
    result: dict[str, Any] = {
        "n": len(y),
        "n_positive": int(y.sum()),
        "n_missed": int(np.sum(missed)),
    }
    figures = {
        "auc": auc_interval(y, risk),
        **at_threshold(y, risk, threshold, n_bootstrap, seed),
        "calibration_intercept": calibration_intercept(y, risk),
        "calibration_slope": calibration_slope(y, risk),
        "observed_expected": observed_expected(y, risk),
        **brier_scores(y, risk, n_bootstrap, seed),
        **calibration_errors(y, risk, seed),
    }
    for name, (value, lower, upper) in figures.items():
        result |= {name: value, f"{name}_lower": lower, f"{name}_upper": upper}
    z, p_value = spiegelhalter(y, risk)
    return result | {"spiegelhalter_z": z, "spiegelhalter_p": p_value}


def roc_table(labels: ArrayLike, risks: ArrayLike) -> pd.DataFrame:
    """Tabulate the ROC curve; empty when a class is absent."""
    import pandas as pd

    columns = ["false_positive_rate", "true_positive_rate", "threshold"]
    if len(np.unique(np.asarray(labels))) < 2:
        return pd.DataFrame(columns=columns, dtype=float)
    table = pd.DataFrame(np.column_stack(roc_curve(labels, risks)), columns=columns)
    return table.replace(np.inf, np.nan)


def calibration_table(labels: ArrayLike, risks: ArrayLike) -> pd.DataFrame:
    """Tabulate mean risk and observed share in groups of patients of rising risk."""
    import pandas as pd

    y, risk = np.asarray(labels, dtype=int), np.asarray(risks, dtype=float)
    groups = max(1, min(MAX_GROUPS, len(y) // MIN_GROUP_SIZE))
    rows = []
    for group in np.array_split(np.argsort(risk, kind="stable"), groups):
        observed, lower, upper = wilson(int(y[group].sum()), len(group))
        rows.append(
            (risk[group].mean() if len(group) else np.nan, observed, lower, upper, len(group))
        )
    columns = ["predicted", "observed", "observed_lower", "observed_upper", "n"]
    return pd.DataFrame(rows, columns=columns)

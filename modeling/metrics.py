"""The figures that describe a set of predictions, and the curves behind them.

``curves/roc.csv``: ``set, false_positive_rate, true_positive_rate, threshold`` (an infinite
threshold is an empty cell); ``curves/calibration.csv``: ``set, predicted, observed,
observed_lower, observed_upper, n`` (groups of equal size, Wilson's interval);
``curves/decision.csv``: see :func:`.netbenefit.decision_curve`. ``set`` is ``train`` (out-of-fold)
or ``test``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import binomtest
from sklearn.metrics import roc_curve

from .calibration import brier, calibration_intercept, calibration_slope
from .discrimination import auc_interval

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import ArrayLike

MAX_GROUPS = 10
MIN_GROUP_SIZE = 10


def wilson(successes: int, n: int, level: float = 0.95) -> tuple[float, float, float]:
    """Give a proportion with Wilson's interval; NaN of nobody."""
    if n == 0:
        return float("nan"), float("nan"), float("nan")
    interval = binomtest(successes, n).proportion_ci(level, method="wilson")
    return successes / n, float(interval.low), float(interval.high)


def measure(
    labels: ArrayLike, risks: ArrayLike, threshold: float, missed: ArrayLike
) -> dict[str, Any]:
    """Describe predictions for one set of patients.

    Parameters
    ----------
    labels, risks : array, shape (patients,)
        0/1 and probabilities.
    threshold : float
        Risk, fixed in training, from which on a patient is called positive.
    missed : array of bool, shape (patients,)
        Whose lesion was not found, so that the risk is the prevalence. They count like the others.

    Returns
    -------
    dict
        ``n, n_positive, n_missed, auc, sensitivity, specificity, accuracy`` (these four with
        ``_lower`` and ``_upper``: DeLong, else Wilson), ``brier, calibration_intercept,
        calibration_slope``. What cannot be told is NaN.
    """
    y, risk = np.asarray(labels, dtype=int), np.asarray(risks, dtype=float)
    called = (risk >= threshold).astype(int)
    right = called == y
    result: dict[str, Any] = {
        "n": len(y),
        "n_positive": int(y.sum()),
        "n_missed": int(np.sum(missed)),
    }
    figures = {
        "auc": auc_interval(y, risk),
        "sensitivity": wilson(int(right[y == 1].sum()), int((y == 1).sum())),
        "specificity": wilson(int(right[y == 0].sum()), int((y == 0).sum())),
        "accuracy": wilson(int(right.sum()), len(y)),
    }
    for name, (value, lower, upper) in figures.items():
        result |= {name: value, f"{name}_lower": lower, f"{name}_upper": upper}
    empty = len(y) == 0
    return result | {
        "brier": float("nan") if empty else brier(y, risk),
        "calibration_intercept": float("nan") if empty else calibration_intercept(y, risk),
        "calibration_slope": float("nan") if empty else calibration_slope(y, risk),
    }


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

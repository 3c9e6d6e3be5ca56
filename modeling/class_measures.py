"""The figures that describe risks of three or more classes.

Macro AUC: the mean of each class's AUC against all others. M: Hand & Till, Mach Learn
2001;45:171-186, the mean over pairs of classes, free of how frequent they are. Kappa with quadratic
weights: Cohen, Psychol Bull 1968;70:213-220; it takes the classes to be in order. Brier score as
Brier had it, summed over the classes (Mon Weather Rev 1950;78:1-3): 0 is right, and giving
everybody the prevalences scores 1 minus the sum of their squares, to which the scaled score refers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .bootstrap import percentile_interval, resample_counts
from .calibration import calibration_intercept, calibration_slope, observed_expected
from .discrimination import auc_interval
from .metrics import wilson

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from numpy.typing import ArrayLike, NDArray

    Array = NDArray[np.float64]

MEASURES = (
    "macro_auc", "hand_till", "accuracy", "balanced_accuracy", "quadratic_kappa", "brier",
    "scaled_brier", "log_loss",
)  # fmt: skip
_BOUNDED = ("macro_auc", "hand_till")


def sampled_measures(classes: ArrayLike, risks: ArrayLike, counts: Array) -> dict[str, Array]:
    """Compute all measures for samples of patients.

    Parameters
    ----------
    classes : array, shape (patients,)
        0, 1, 2, ...
    risks : array, shape (patients, classes)
        Rows add up to 1. A patient is called the class of the largest, the first of several.
    counts : ndarray, shape (samples, patients)
        How often each patient is in each sample (:func:`.bootstrap.resample_counts`).

    Returns
    -------
    dict of str to ndarray, shape (samples,)
        By :data:`MEASURES`; NaN where a sample cannot tell (a class that nobody is of, say).
    """
    codes, risk = np.asarray(classes, dtype=int), np.asarray(risks, dtype=float)
    n_classes = risk.shape[1]
    truth = np.eye(n_classes)[codes]
    sizes, size = counts @ truth, counts.sum(axis=1)
    won = _won(codes, risk, counts)
    pairs = sizes[:, :, None] * sizes[:, None, :]
    others = ~np.eye(n_classes, dtype=bool)
    with np.errstate(divide="ignore", invalid="ignore"):
        against_rest = won.sum(axis=2) / (sizes * (size[:, None] - sizes))
        cells = np.zeros((len(codes), n_classes, n_classes))
        cells[np.arange(len(codes)), codes, risk.argmax(axis=1)] = 1
        found = np.tensordot(counts, cells, axes=1)
        called = found.sum(axis=1)
        right = np.trace(found, axis1=1, axis2=2)
        distance = np.subtract.outer(np.arange(n_classes), np.arange(n_classes)) ** 2
        by_chance = np.einsum("bi,bj,ij->b", sizes, called, distance) / size
        brier = counts @ ((risk - truth) ** 2).sum(axis=1) / size
        trivial = 1 - ((sizes / size[:, None]) ** 2).sum(axis=1)
        own = np.clip(risk[np.arange(len(codes)), codes], np.finfo(float).eps, 1.0)
        values = {
            "macro_auc": against_rest.mean(axis=1),
            "hand_till": (won / pairs)[:, others].mean(axis=1),
            "accuracy": right / size,
            "balanced_accuracy": (np.diagonal(found, axis1=1, axis2=2) / sizes).mean(axis=1),
            "quadratic_kappa": 1 - (found * distance).sum(axis=(1, 2)) / by_chance,
            "brier": brier,
            "scaled_brier": 1 - brier / trivial,
            "log_loss": -(counts @ np.log(own)) / size,
        }
    return {name: np.where(np.isfinite(value), value, np.nan) for name, value in values.items()}


def _won(codes: NDArray[np.int64], risk: Array, counts: Array) -> Array:
    """Count pairs in which a patient of class i has the higher risk of i than one of class j.

    Shape (samples, i, j); ties count half.
    """
    n_classes = risk.shape[1]
    won = np.zeros((len(counts), n_classes, n_classes))
    members = [np.flatnonzero(codes == value) for value in range(n_classes)]
    for i in range(n_classes):
        for j in range(n_classes):
            if i != j:
                gap = risk[members[i], i][:, None] - risk[members[j], i][None, :]
                wins = (np.sign(gap) + 1) / 2
                won[:, i, j] = ((counts[:, members[i]] @ wins) * counts[:, members[j]]).sum(axis=1)
    return won


def measure_classes(
    classes: ArrayLike,
    risks: ArrayLike,
    missed: ArrayLike,
    names: Sequence[str],
    n_bootstrap: int,
    seed: int,
) -> dict[str, Any]:
    """Describe risks for one set of patients.

    Parameters
    ----------
    classes, risks : array
        As in :func:`sampled_measures`.
    missed : array of bool, shape (patients,)
        Whose lesion was not found, so that the risks are the prevalences. They count like others.
    names : sequence of str
        Of the classes, in order.
    n_bootstrap, seed : int
        Bootstrap samples of patients.

    Returns
    -------
    dict
        ``n, n_missed``; each of :data:`MEASURES` with ``_lower`` and ``_upper``, its 95 % interval
        over resampled patients (accuracy: Wilson's; none where an AUC is 0 or 1); and
        ``by_class``: for each class ``n, auc, calibration_intercept, calibration_slope,
        observed_expected`` of its risk against all others, with intervals as for a single target.
        What cannot be told is NaN.
    """
    codes, risk = np.asarray(classes, dtype=int), np.asarray(risks, dtype=float)
    n = len(codes)
    result: dict[str, Any] = {"n": n, "n_missed": int(np.sum(missed))}
    values = sampled_measures(codes, risk, np.ones((1, n)))
    samples = sampled_measures(codes, risk, resample_counts(n, n_bootstrap, seed))
    for name in MEASURES:
        value = float(values[name][0])
        lower, upper = percentile_interval(samples[name])
        if name == "accuracy":
            value, lower, upper = wilson(int((risk.argmax(axis=1) == codes).sum()), n)
        if np.isnan(value) or (name in _BOUNDED and not 0 < value < 1):
            lower = upper = float("nan")
        result |= {name: value, f"{name}_lower": lower, f"{name}_upper": upper}
    result["by_class"] = {}
    for code, title in enumerate(names):
        label, own = (codes == code).astype(int), risk[:, code]
        figures = {
            "auc": auc_interval(label, own),
            "calibration_intercept": calibration_intercept(label, own),
            "calibration_slope": calibration_slope(label, own),
            "observed_expected": observed_expected(label, own),
        }
        row: dict[str, Any] = {"n": int(label.sum())}
        for name, (value, lower, upper) in figures.items():
            row |= {name: value, f"{name}_lower": lower, f"{name}_upper": upper}
        result["by_class"][title] = row
    return result


def confusion_table(classes: ArrayLike, risks: ArrayLike, names: Sequence[str]) -> pd.DataFrame:
    """Count who is called what, at the most probable class.

    Columns ``truth, called, n, n_truth, share, share_lower, share_upper``: the share of those who
    are truly of a class that is called each, with Wilson's 95 % interval.
    """
    import pandas as pd

    codes, called = np.asarray(classes, dtype=int), np.asarray(risks, dtype=float).argmax(axis=1)
    rows = []
    for code, truth in enumerate(names):
        of = codes == code
        for other, title in enumerate(names):
            n = int((of & (called == other)).sum())
            rows.append((truth, title, n, int(of.sum()), *wilson(n, int(of.sum()))))
    columns = ["truth", "called", "n", "n_truth", "share", "share_lower", "share_upper"]
    return pd.DataFrame(rows, columns=columns)


def bootstrap_p(differences: ArrayLike) -> float:
    """Give the two-sided P of no difference, from differences in resampled patients.

    Twice the smaller share of samples on either side of 0, the observed sample being one more
    (Davison & Hinkley, Bootstrap Methods and their Application, 1997, section 4.2.3), so that it is
    never 0. It agrees with the percentile interval. NaN without any sample.
    """
    found = np.asarray(differences, dtype=float)
    found = found[np.isfinite(found)]
    if not len(found):
        return float("nan")
    tail = min(int((found <= 0).sum()), int((found >= 0).sum())) + 1
    return min(1.0, 2 * tail / (len(found) + 1))

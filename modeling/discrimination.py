"""How well scores tell two classes apart: AUC, DeLong's interval and test, thresholds.

DeLong et al., Biometrics 1988;44:837-845, by midranks: Sun & Xu, IEEE Signal Process Lett
2014;21:1389-1393. The interval of one AUC is normal on the logit scale (Pepe, The Statistical
Evaluation of Medical Tests, 2003, section 5.2.4), since the plain normal one is too short where the
AUC is high and patients are few (``benchmarks/interval_coverage.py``). The plain one, cut off at 0
and 1, is that of pROC. A difference of two AUCs has the plain one.

Where scores separate the classes DeLong's variance is 0, whatever the number of patients. The
smaller class, of k patients, makes k pairs that share nobody; the chance that all are ordered
rightly is the k-th power of the true AUC, and separation is no likelier. The exact interval of a
share (Clopper & Pearson, Biometrika 1934;26:404-413) of k in k pairs is therefore taken, which is
wider than need be. Nothing alike is known of a difference: it has no interval then.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy.special import expit, logit
from scipy.stats import binomtest, norm, rankdata
from sklearn.metrics import roc_curve

from .bootstrap import percentile_interval, resample_counts

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class AucDifference:
    """Two AUCs on the same patients, and the first minus the second.

    Attributes
    ----------
    first, second : float
        The AUCs.
    difference, lower, upper : float
        First minus second, with DeLong's 95 % interval; see :func:`paired_aucs` for when there is
        none.
    p_value : float
        DeLong's two-sided P; 1 when the scores rank all patients alike, NaN without an interval.
    """

    first: float
    second: float
    difference: float
    lower: float
    upper: float
    p_value: float


def delong(labels: ArrayLike, scores: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Estimate the AUCs of several scores on the same patients, and their covariance.

    Parameters
    ----------
    labels : array, shape (patients,)
        0 or 1.
    scores : array, shape (scores, patients)
        Higher means positive; ties count half.

    Returns
    -------
    aucs : ndarray, shape (scores,)
        NaN when a class is absent.
    covariance : ndarray, shape (scores, scores)
        NaN when a class has fewer than 2 patients.
    """
    positive = np.asarray(labels) == 1
    values = np.atleast_2d(np.asarray(scores, dtype=np.float64))
    m, n = int(positive.sum()), int((~positive).sum())
    unknown = np.full((len(values), len(values)), np.nan)
    if m == 0 or n == 0:
        return unknown[:, 0], unknown
    ranks = rankdata(values, axis=1)
    among_positive = (ranks[:, positive] - rankdata(values[:, positive], axis=1)) / n
    among_negative = 1 - (ranks[:, ~positive] - rankdata(values[:, ~positive], axis=1)) / m
    aucs = among_positive.mean(axis=1)
    if m < 2 or n < 2:
        return aucs, unknown
    covariance = (
        np.atleast_2d(np.cov(among_positive)) / m + np.atleast_2d(np.cov(among_negative)) / n
    )
    return aucs, covariance


def auc_interval(
    labels: ArrayLike,
    scores: ArrayLike,
    level: float = 0.95,
    scale: Literal["logit", "plain"] = "logit",
) -> tuple[float, float, float]:
    """Give the AUC and DeLong's interval.

    Parameters
    ----------
    labels, scores : array, shape (patients,)
        0/1, and values of which higher ones mean positive.
    level : float
        Coverage.
    scale : {"logit", "plain"}
        On which the AUC is taken as normal.

    Returns
    -------
    tuple of float
        AUC, lower and upper bound. Where the AUC is 0 or 1 the bounds are those of the smaller
        class's share of pairs, on either scale (see the module's description). They are NaN where
        a class has one patient; all is NaN where a class is absent.
    """
    aucs, covariance = delong(labels, scores)
    auc, error = float(aucs[0]), float(np.sqrt(covariance[0, 0]))
    reach = float(norm.ppf(0.5 + level / 2)) * error
    if np.isnan(reach):
        return auc, float("nan"), float("nan")
    if not 0 < auc < 1:
        pairs = int(np.unique(np.asarray(labels) == 1, return_counts=True)[1].min())
        share = binomtest(round(auc * pairs), pairs).proportion_ci(level, method="exact")
        return auc, float(share.low), float(share.high)
    if scale == "plain":
        return auc, max(auc - reach, 0.0), min(auc + reach, 1.0)
    centre, reach = logit(auc), reach / (auc * (1 - auc))
    return auc, float(expit(centre - reach)), float(expit(centre + reach))


def auc_difference(
    labels: ArrayLike, first: ArrayLike, second: ArrayLike, level: float = 0.95
) -> AucDifference:
    """Compare the AUCs of two scores on the same patients."""
    auc, other, error = paired_aucs(labels, first, second)
    difference = auc - other
    p_value = 1.0 if error == 0 else float(2 * norm.sf(abs(difference) / error))
    reach = float(norm.ppf(0.5 + level / 2)) * error
    return AucDifference(auc, other, difference, difference - reach, difference + reach, p_value)


def paired_aucs(
    labels: ArrayLike, first: ArrayLike, second: ArrayLike
) -> tuple[float, float, float]:
    """Give the AUCs of two scores on the same patients, and DeLong's error of their difference.

    Returns
    -------
    tuple of float
        Both AUCs and the error: 0 where the scores rank all patients alike. It is NaN where it
        cannot be told: a class has one patient or none, an AUC is 0 or 1 (so that its own variance
        is 0 whatever the number of patients), or the variance is 0 for another reason.
    """
    both = np.stack([np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)])
    aucs, covariance = delong(labels, both)
    variance = float(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    error = float(np.sqrt(variance)) if variance > 0 else float("nan")
    if not np.isnan(variance) and np.array_equal(*rankdata(both, axis=1)):
        error = 0.0
    elif np.isin(aucs, (0, 1)).any():
        error = float("nan")
    return float(aucs[0]), float(aucs[1]), error


def bootstrap_auc_difference(
    labels: ArrayLike, first: ArrayLike, second: ArrayLike, n: int, seed: int, level: float = 0.95
) -> tuple[float, float]:
    """Give the percentile interval of the AUC difference over resampled patients.

    Samples that hold one class only are drawn but not counted. NaN when no sample holds both, and
    where DeLong's error is (:func:`paired_aucs`): resampled patients leave separate what is so.
    """
    if np.isnan(paired_aucs(labels, first, second)[2]):
        return float("nan"), float("nan")
    positive = np.asarray(labels) == 1
    counts = resample_counts(len(positive), n, seed)
    in_positive, in_negative = counts[:, positive], counts[:, ~positive]
    pairs = in_positive.sum(axis=1) * in_negative.sum(axis=1)
    usable = pairs > 0
    if not usable.any():
        return float("nan"), float("nan")
    wins = _wins(np.asarray(first), positive) - _wins(np.asarray(second), positive)
    differences = np.einsum("bi,ij,bj->b", in_positive, wins, in_negative, optimize=True)
    return percentile_interval(differences[usable] / pairs[usable], level)


def youden_threshold(labels: ArrayLike, risks: ArrayLike) -> float:
    """Find the risk from which on to call a patient positive: sensitivity + specificity largest.

    Of several the largest risk. Without any threshold better than chance, the prevalence.
    """
    false_positive_rate, true_positive_rate, thresholds = roc_curve(labels, risks)
    index = true_positive_rate - false_positive_rate
    best = int(np.argmax(index >= index.max() - 1e-12))
    if index[best] <= 0:
        return float(np.mean(np.asarray(labels)))
    return float(thresholds[best])


def _wins(scores: NDArray[np.float64], positive: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Compare every positive with every negative patient: 1 won, 0.5 tied, 0 lost."""
    difference = scores[positive][:, None] - scores[~positive][None, :]
    return np.asarray((np.sign(difference) + 1) / 2)

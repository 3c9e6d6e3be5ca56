"""Net benefit and decision curves: Vickers & Elkin, Med Decis Making 2006;26:565-574.

Net benefit is a mean over patients of what each contributes, so that its variance is that of a mean
(Pfeiffer & Gail, Biom J 2020;62:764-776), and resampling patients gives its interval. The interval
says how well the net benefit is known; which of two strategies to take is told by the larger value
alone (Vickers et al., Diagn Progn Res 2023;7:11).

A difference of two strategies rests on the patients whom they treat differently. Where these are
few, its interval is too short: against treating everybody, with some 10 of 250 patients below the
threshold, it held the truth in 84 % of cohorts (``benchmarks/interval_coverage.py``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import norm

from .bootstrap import resample_counts

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import ArrayLike, NDArray

THRESHOLDS = np.arange(1, 100) / 100


def net_benefit(
    labels: ArrayLike, risks: ArrayLike, thresholds: NDArray[np.float64] = THRESHOLDS
) -> NDArray[np.float64]:
    """Give true positives less weighted false positives, per patient, at each threshold.

    Parameters
    ----------
    labels, risks : array, shape (patients,)
        0/1 and probabilities.
    thresholds : ndarray
        Risks, between 0 and 1 exclusively, from which on a patient is treated.
    """
    return np.asarray(_contributions(labels, risks, thresholds).mean(axis=0))


def net_benefit_interval(
    labels: ArrayLike,
    risks: ArrayLike,
    thresholds: NDArray[np.float64] = THRESHOLDS,
    level: float = 0.95,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Give the net benefit and its normal interval at each threshold; see :func:`net_benefit`."""
    contributions = _contributions(labels, risks, thresholds)
    value = contributions.mean(axis=0)
    error = contributions.std(axis=0, ddof=1) / np.sqrt(len(contributions))
    reach = norm.ppf(0.5 + level / 2) * error
    return value, value - reach, value + reach


def net_benefit_difference(
    labels: ArrayLike,
    first: ArrayLike,
    second: ArrayLike,
    n_bootstrap: int,
    seed: int,
    thresholds: NDArray[np.float64] = THRESHOLDS,
) -> pd.DataFrame:
    """Compare the net benefits of two models on the same patients.

    Parameters
    ----------
    labels, first, second : array, shape (patients,)
        0/1, and the risks by either model. Risks of 1 stand for treating everybody, risks of 0 for
        treating nobody.
    n_bootstrap, seed : int
        Bootstrap samples of patients.
    thresholds : ndarray
        As for :func:`net_benefit`.

    Returns
    -------
    DataFrame
        ``threshold, first, second, difference`` (first minus second) ``, lower, upper``; the bounds
        are 95 % percentiles over resampled patients.
    """
    import pandas as pd

    parts = [_contributions(labels, risks, thresholds) for risks in (first, second)]
    lower, upper = _percentiles(parts[0] - parts[1], n_bootstrap, seed)
    values = [part.mean(axis=0) for part in parts]
    return pd.DataFrame(
        {
            "threshold": thresholds,
            "first": values[0],
            "second": values[1],
            "difference": values[0] - values[1],
            "lower": lower,
            "upper": upper,
        }
    )


def decision_curve(
    labels: ArrayLike, risks: ArrayLike, n_bootstrap: int, seed: int
) -> pd.DataFrame:
    """Tabulate the net benefit of the model, of treating everybody and of treating nobody.

    Returns
    -------
    DataFrame
        ``threshold, n_treated, net_benefit, net_benefit_lower, net_benefit_upper, treat_all,
        treat_none, over_all, over_all_lower, over_all_upper``, where ``n_treated`` counts the
        patients whose risk reaches the threshold, and ``over_all`` is the model's net benefit
        less that of treating everybody (over treating nobody it is the net benefit itself); the
        bounds are 95 % percentiles over resampled patients.
    """
    import pandas as pd

    contributions = _contributions(labels, risks, THRESHOLDS)
    lower, upper = _percentiles(contributions, n_bootstrap, seed)
    everybody = np.ones(len(contributions))
    against = net_benefit_difference(labels, risks, everybody, n_bootstrap, seed)
    return pd.DataFrame(
        {
            "threshold": THRESHOLDS,
            "n_treated": (contributions != 0).sum(axis=0),
            "net_benefit": contributions.mean(axis=0),
            "net_benefit_lower": lower,
            "net_benefit_upper": upper,
            "treat_all": against["second"],
            "treat_none": 0.0,
            "over_all": against["difference"],
            "over_all_lower": against["lower"],
            "over_all_upper": against["upper"],
        }
    )


def _percentiles(
    contributions: NDArray[np.float64], n_bootstrap: int, seed: int
) -> NDArray[np.float64]:
    counts = resample_counts(len(contributions), n_bootstrap, seed)
    return np.asarray(
        np.percentile(counts @ contributions / len(contributions), [2.5, 97.5], axis=0)
    )


def _contributions(
    labels: ArrayLike, risks: ArrayLike, thresholds: NDArray[np.float64]
) -> NDArray[np.float64]:
    positive = (np.asarray(labels) == 1)[:, None]
    treated = np.asarray(risks)[:, None] >= thresholds
    return np.where(treated, np.where(positive, 1.0, -thresholds / (1 - thresholds)), 0.0)

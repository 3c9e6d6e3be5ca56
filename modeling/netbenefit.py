"""Net benefit and decision curves: Vickers & Elkin, Med Decis Making 2006;26:565-574.

Net benefit is a mean over patients of what each contributes: 1 for a true positive, minus the odds
of the threshold for a false one, 0 for whoever is not treated; a difference of two strategies is a
mean of differences. Their intervals are score intervals (:mod:`.score_interval`): at many
thresholds few patients count (those below the threshold, against treating everybody), and there
bootstrap and normal intervals are too short (``benchmarks/interval_coverage.py``). The interval
says how well the net benefit is known; which of two strategies to take is told by the larger value
alone (Vickers et al., Diagn Progn Res 2023;7:11).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .score_interval import score_interval

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
    positive = np.asarray(labels) == 1
    treated = np.asarray(risks)[:, None] >= thresholds
    right, wrong = treated[positive].sum(axis=0), treated[~positive].sum(axis=0)
    return np.asarray((right - wrong * _odds(thresholds)) / len(positive))


def net_benefit_difference(
    labels: ArrayLike,
    first: ArrayLike,
    second: ArrayLike,
    thresholds: NDArray[np.float64] = THRESHOLDS,
) -> pd.DataFrame:
    """Compare the net benefits of two models on the same patients.

    Parameters
    ----------
    labels, first, second : array, shape (patients,)
        0/1, and the risks by either model. Risks of 1 stand for treating everybody, risks of 0 for
        treating nobody.
    thresholds : ndarray
        As for :func:`net_benefit`.

    Returns
    -------
    DataFrame
        ``threshold, first, second, difference`` (first minus second) ``, lower, upper``; the bounds
        are those of the 95 % score interval. Models whose risks are the same for every patient are
        one strategy: the bounds are 0.
    """
    import pandas as pd

    positive, one, two = np.asarray(labels) == 1, np.asarray(first), np.asarray(second)
    # What a patient can contribute, and how many do: nothing, if both treat her or neither does.
    by_one, by_two = (risks[:, None] >= thresholds for risks in (one, two))
    values, counts = [np.zeros(len(thresholds))], [(by_one == by_two).sum(axis=0)]
    for sign, ours, others, alone in (
        (1, one, two, by_one & ~by_two),
        (-1, two, one, by_two & ~by_one),
    ):
        # Treating nobody never treats alone, and nobody is treated alone beside treating everybody.
        if (ours > 0).any() and (others < 1).any():
            values += [np.full(len(thresholds), float(sign)), -sign * _odds(thresholds)]
            counts += [alone[positive].sum(axis=0), alone[~positive].sum(axis=0)]
    if np.array_equal(one, two):
        difference = lower = upper = np.zeros(len(thresholds))
    else:
        difference, lower, upper = score_interval(np.transpose(values), np.transpose(counts))
    return pd.DataFrame(
        {
            "threshold": thresholds,
            "first": net_benefit(labels, one, thresholds),
            "second": net_benefit(labels, two, thresholds),
            "difference": difference,
            "lower": lower,
            "upper": upper,
        }
    )


def decision_curve(labels: ArrayLike, risks: ArrayLike) -> pd.DataFrame:
    """Tabulate the net benefit of the model, of treating everybody and of treating nobody.

    Returns
    -------
    DataFrame
        ``threshold, n_treated, net_benefit, net_benefit_lower, net_benefit_upper, treat_all,
        treat_none, over_all, over_all_lower, over_all_upper``, where ``n_treated`` counts the
        patients whose risk reaches the threshold, and ``over_all`` is the model's net benefit
        less that of treating everybody (over treating nobody it is the net benefit itself); the
        bounds are those of 95 % score intervals.
    """
    import pandas as pd

    risk = np.asarray(risks, dtype=float)
    over_none = net_benefit_difference(labels, risk, np.zeros(len(risk)))
    over_all = net_benefit_difference(labels, risk, np.ones(len(risk)))
    return pd.DataFrame(
        {
            "threshold": THRESHOLDS,
            "n_treated": (risk[:, None] >= THRESHOLDS).sum(axis=0),
            "net_benefit": over_none["difference"],
            "net_benefit_lower": over_none["lower"],
            "net_benefit_upper": over_none["upper"],
            "treat_all": over_all["second"],
            "treat_none": 0.0,
            "over_all": over_all["difference"],
            "over_all_lower": over_all["lower"],
            "over_all_upper": over_all["upper"],
        }
    )


def _odds(thresholds: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(thresholds / (1 - thresholds))

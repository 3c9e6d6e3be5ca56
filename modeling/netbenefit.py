"""Net benefit and decision curves: Vickers & Elkin, Med Decis Making 2006;26:565-574."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .discrimination import resample_counts

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


def decision_curve(
    labels: ArrayLike, risks: ArrayLike, n_bootstrap: int, seed: int
) -> pd.DataFrame:
    """Tabulate the net benefit of the model, of treating everybody and of treating nobody.

    Returns
    -------
    DataFrame
        ``threshold, net_benefit, net_benefit_lower, net_benefit_upper, treat_all, treat_none``;
        the bounds are 95 % percentiles over resampled patients.
    """
    import pandas as pd

    contributions = _contributions(labels, risks, THRESHOLDS)
    counts = resample_counts(len(contributions), n_bootstrap, seed)
    lower, upper = np.percentile(counts @ contributions / len(contributions), [2.5, 97.5], axis=0)
    return pd.DataFrame(
        {
            "threshold": THRESHOLDS,
            "net_benefit": contributions.mean(axis=0),
            "net_benefit_lower": lower,
            "net_benefit_upper": upper,
            "treat_all": net_benefit(labels, np.ones(len(contributions))),
            "treat_none": 0.0,
        }
    )


def _contributions(
    labels: ArrayLike, risks: ArrayLike, thresholds: NDArray[np.float64]
) -> NDArray[np.float64]:
    positive = (np.asarray(labels) == 1)[:, None]
    treated = np.asarray(risks)[:, None] >= thresholds
    return np.where(treated, np.where(positive, 1.0, -thresholds / (1 - thresholds)), 0.0)

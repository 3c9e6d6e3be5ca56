"""How far risks lie from outcomes: Brier score, and the distance from the calibration curve.

Brier, Mon Weather Rev 1950;78:1-3; scaled by what the prevalence alone would score: Steyerberg et
al., Epidemiology 2010;21:128-138. ICI, E50 and E90 are the mean, the median and the 90th percentile
of the distance between each risk and a smooth curve of the observed share: Austin & Steyerberg,
Stat Med 2019;38:4051-4065. Their curve is a quadratic loess over 75 % of the patients; this one is
statsmodels' lowess, which is linear, over the same share and without down-weighting of outliers,
since a 0/1 outcome has none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .bootstrap import bootstrap_interval, percentile_interval, resample_counts

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

SHARE_OF_PATIENTS = 0.75
INTERPOLATED = 0.01
"""The curve is fitted at risks this far apart, and straight between them."""
FEWEST_RISKS = 5
CURVE_SAMPLES = 200
"""Bootstrap samples of the curve: each is smoothed anew, which takes a millisecond."""

_UNKNOWN = (float("nan"), float("nan"), float("nan"))
Figures = dict[str, tuple[float, float, float]]


def brier_scores(labels: ArrayLike, risks: ArrayLike, n_bootstrap: int, seed: int) -> Figures:
    """Give the Brier score and its scaled form, each with its 95 % BCa interval.

    Parameters
    ----------
    labels, risks : array, shape (patients,)
        0/1 and probabilities.
    n_bootstrap, seed : int
        Bootstrap samples of patients.

    Returns
    -------
    dict
        ``brier``: 0 is right. ``scaled_brier``: 1 is right, 0 no better than giving everybody the
        prevalence; NaN when a class is absent. NaN of nobody.
    """
    y, risk = np.asarray(labels, dtype=float), np.asarray(risks, dtype=float)
    if len(y) == 0:
        return {"brier": _UNKNOWN, "scaled_brier": _UNKNOWN}
    error = (risk - y) ** 2
    counts = resample_counts(len(y), n_bootstrap, seed)

    def score(counts: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(counts @ error / counts.sum(axis=1))

    def scaled(counts: NDArray[np.float64]) -> NDArray[np.float64]:
        prevalence = counts @ y / counts.sum(axis=1)
        trivial = prevalence * (1 - prevalence)
        return 1 - score(counts) / np.where(trivial > 0, trivial, np.nan)

    return {
        "brier": bootstrap_interval(score, counts, method="bca"),
        "scaled_brier": bootstrap_interval(scaled, counts, method="bca"),
    }


def calibration_curve(labels: ArrayLike, risks: ArrayLike) -> NDArray[np.float64]:
    """Smooth the observed share over the risks; its value at each risk, between 0 and 1.

    All NaN with fewer than 5 different risks, or when three quarters of the patients have the same,
    as when most lesions were missed.
    """
    from statsmodels.nonparametric.smoothers_lowess import lowess

    y, risk = np.asarray(labels, dtype=float), np.asarray(risks, dtype=float)
    _, alike = np.unique(risk, return_counts=True)
    if len(alike) < FEWEST_RISKS or alike.max() >= int(SHARE_OF_PATIENTS * len(risk)):
        return np.full(len(risk), np.nan)  # lowess would give 0 where its window has no width
    fitted = lowess(
        y,
        risk,
        frac=SHARE_OF_PATIENTS,
        it=0,
        delta=INTERPOLATED * np.ptp(risk),
        return_sorted=False,
    )
    return np.asarray(np.clip(fitted, 0.0, 1.0), dtype=float)


def calibration_errors(
    labels: ArrayLike, risks: ArrayLike, seed: int, samples: int = CURVE_SAMPLES
) -> Figures:
    """Give ``ici``, ``e50`` and ``e90``, each with its 95 % percentile interval; 0 is right.

    A distance is never negative, so that scatter adds to it: of risks that are exactly right, these
    are above 0, and the interval leaves 0 out. Compare them between models, not with 0. NaN where
    the curve is.
    """
    y, risk = np.asarray(labels, dtype=float), np.asarray(risks, dtype=float)
    value = _distances(y, risk)
    if np.isnan(value).any():
        return dict.fromkeys(("ici", "e50", "e90"), _UNKNOWN)
    drawn = resample_counts(len(y), samples, seed).astype(int)
    found = [_distances(np.repeat(y, counts), np.repeat(risk, counts)) for counts in drawn]
    columns = np.array(found).T
    return {
        name: (float(one), *percentile_interval(column))
        for name, one, column in zip(("ici", "e50", "e90"), value, columns, strict=True)
    }


def _distances(y: NDArray[np.float64], risk: NDArray[np.float64]) -> tuple[float, float, float]:
    distance = np.abs(calibration_curve(y, risk) - risk)
    distance = distance[np.isfinite(distance)]
    if not len(distance):
        return _UNKNOWN
    e50, e90 = np.percentile(distance, [50, 90])
    return float(distance.mean()), float(e50), float(e90)

"""Risks: scores turned into probabilities, and how far those probabilities can be trusted.

Sigmoid calibration: Platt, Adv Large Margin Classifiers 1999, with his smoothed targets.
Intercept and slope: Van Calster et al., BMC Med 2019;17:230. Ratio of observed to expected events:
Debray et al., BMJ 2017;356:i6460. Test of calibration: Spiegelhalter, Stat Med 1986;5:421-433. How
often the intervals hold the truth: ``benchmarks/interval_coverage.py``.
The errors of single risks (Brier score, calibration index): see :mod:`.risk_errors`.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import brentq, minimize
from scipy.special import expit, logit
from scipy.stats import norm

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

SMALLEST_SLOPE = 0.01
SMALLEST_SPREAD = 0.05
SMALLEST_INFORMATION = 0.05 * 0.95
_FAR = 40.0
_UNKNOWN = (float("nan"), float("nan"), float("nan"))


@dataclass(frozen=True)
class Calibration:
    """risk = 1 / (1 + exp(-(intercept + slope * score))).

    Attributes
    ----------
    intercept : float
        On the logit scale.
    slope : float
        At least 0.01, so that risks always rank patients as scores do: scores that do not tell
        the classes apart give nearly the same risk, the prevalence, to everybody.
    """

    intercept: float
    slope: float

    def risk(self, scores: ArrayLike) -> NDArray[np.float64]:
        """Turn scores into risks between 0 and 1."""
        return np.asarray(expit(self.intercept + self.slope * np.asarray(scores, dtype=float)))


def fit_calibration(scores: ArrayLike, labels: ArrayLike) -> Calibration:
    """Fit the sigmoid to scores of patients on whom the scoring model was not fitted.

    Parameters
    ----------
    scores, labels : array, shape (patients,)
        Out-of-fold scores of real patients, never of synthetic ones, and their 0/1 labels.
    """
    values, positive = np.asarray(scores, dtype=float), np.asarray(labels) == 1
    n_positive, n_negative = int(positive.sum()), int((~positive).sum())
    aim = np.where(positive, (n_positive + 1) / (n_positive + 2), 1 / (n_negative + 2))

    def loss(parameters: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        linear = parameters[0] + parameters[1] * values
        excess = expit(linear) - aim
        value = np.logaddexp(0, linear).sum() - (aim * linear).sum()
        return float(value), np.array([excess.sum(), (excess * values).sum()])

    start = np.array([logit(aim.mean()), SMALLEST_SLOPE])
    found = minimize(
        loss, start, jac=True, method="L-BFGS-B", bounds=[(None, None), (SMALLEST_SLOPE, None)]
    )
    return Calibration(float(found.x[0]), float(found.x[1]))


def calibration_intercept(
    labels: ArrayLike, risks: ArrayLike, level: float = 0.95
) -> tuple[float, float, float]:
    """Measure calibration in the large: 0 is right, below 0 the risks are too high.

    The intercept of a logistic model with the risks' logit as offset, and Wald's interval with the
    sandwich variance (White, Econometrica 1982;50:1-25): the offset fixes the slope at 1, and where
    it is not 1 the model's own variance is too small. All NaN when a class is absent, or when next
    to every risk is 0 or 1, so that no shift of them can be told from another.
    """
    y, offset = np.asarray(labels, dtype=float), _logits(risks)
    found = shift_of(y, offset)
    if found is None:
        return _UNKNOWN
    value, error = found
    reach = float(norm.ppf(0.5 + level / 2)) * error
    return value, value - reach, value + reach


def shift_of(y: NDArray[np.float64], offset: NDArray[np.float64]) -> tuple[float, float] | None:
    """Fit the intercept of a logistic model with an offset; its value and its sandwich error.

    The score equation (the risks' sum is the number of positive patients) is solved by bracketing:
    iteratively reweighted least squares diverge from a single risk that is next to 0 or 1.

    Returns
    -------
    tuple of float, or None
        None when a class is absent, or the shifted risks together tell less than one of
        0.05 would (``SMALLEST_INFORMATION``).
    """
    if len(y) == 0 or y.min() == y.max():
        return None
    ends = (-float(offset.max()) - _FAR, -float(offset.min()) + _FAR)
    shift = float(brentq(lambda at: float((expit(at + offset) - y).sum()), *ends, xtol=1e-13))
    risk = expit(shift + offset)
    information = float((risk * (1 - risk)).sum())
    if information < SMALLEST_INFORMATION:
        return None
    return shift, float(np.sqrt(((y - risk) ** 2).sum()) / information)


def calibration_slope(
    labels: ArrayLike, risks: ArrayLike, level: float = 0.95
) -> tuple[float, float, float]:
    """Measure the spread of the risks: 1 is right, below 1 they are too extreme.

    The coefficient of the risks' logit in a logistic model, and Wald's interval. All NaN when a
    class is absent, when the risks are practically all the same, when they separate the classes, or
    when the fit has no end.
    """
    y, x = np.asarray(labels, dtype=float), _logits(risks)
    if len(y) == 0 or y.min() == y.max() or x.std() < SMALLEST_SPREAD or _separated(y, x):
        return _UNKNOWN
    return _slope(y, np.column_stack([np.ones_like(x), x]), level)


def observed_expected(
    labels: ArrayLike, risks: ArrayLike, level: float = 0.95
) -> tuple[float, float, float]:
    """Divide the patients who are positive by the sum of the risks: 1 is right, below 1 too high.

    The interval is normal on the logarithmic scale, with the variance of a ratio of two means of
    the same patients (delta method). The usual one, of a proportion, takes the risks as if they
    told nothing of who is positive, and is too long the more they do. All NaN when a class is
    absent.
    """
    y, risk = np.asarray(labels, dtype=float), np.asarray(risks, dtype=float)
    if len(y) == 0 or y.min() == y.max():
        return _UNKNOWN
    ratio = y.mean() / risk.mean()
    error = np.std(y / y.mean() - risk / risk.mean(), ddof=1) / np.sqrt(len(y))
    reach = np.exp(norm.ppf(0.5 + level / 2) * error)
    return float(ratio), float(ratio / reach), float(ratio * reach)


def spiegelhalter(labels: ArrayLike, risks: ArrayLike) -> tuple[float, float]:
    """Test whether the risks are the patients' true ones: z and the two-sided P.

    NaN when every risk is 0, 0.5 or 1, which leaves nothing to test.
    """
    y, risk = np.asarray(labels, dtype=float), np.asarray(risks, dtype=float)
    variance = np.sum((1 - 2 * risk) ** 2 * risk * (1 - risk))
    if not variance > 0:
        return float("nan"), float("nan")
    z = float(np.sum((y - risk) * (1 - 2 * risk)) / np.sqrt(variance))
    return z, float(2 * norm.sf(abs(z)))


def _slope(
    y: NDArray[np.float64], design: NDArray[np.float64], level: float
) -> tuple[float, float, float]:
    """Fit a logistic model; the last coefficient and Wald's interval."""
    from statsmodels.genmod.families import Binomial
    from statsmodels.genmod.generalized_linear_model import GLM

    with warnings.catch_warnings():  # a fit that does not converge is judged below
        warnings.simplefilter("ignore")
        fitted = GLM(y, design, family=Binomial()).fit()
        lower, upper = fitted.conf_int(1 - level)[-1]
    found = (float(fitted.params[-1]), float(lower), float(upper))
    return found if fitted.converged and np.isfinite(found).all() else _UNKNOWN


def _logits(risks: ArrayLike) -> NDArray[np.float64]:
    return np.asarray(logit(np.clip(np.asarray(risks, dtype=float), 1e-9, 1 - 1e-9)))


def _separated(y: NDArray[np.float64], x: NDArray[np.float64]) -> bool:
    low, high = x[y == 0], x[y == 1]
    return bool(low.max() <= high.min() or high.max() <= low.min())

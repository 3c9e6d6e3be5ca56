"""Risks: scores turned into probabilities, and how far those probabilities can be trusted.

Sigmoid calibration: Platt, Adv Large Margin Classifiers 1999, with his smoothed targets.
Intercept and slope: Van Calster et al., BMC Med 2019;17:230.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, logit

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

SMALLEST_SLOPE = 0.01
SMALLEST_SPREAD = 0.05


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


def calibration_intercept(labels: ArrayLike, risks: ArrayLike) -> float:
    """Measure calibration in the large: 0 is right, below 0 the risks are too high.

    The intercept of a logistic model with the risks' logit as offset. NaN when a class is absent.
    """
    y, offset = np.asarray(labels, dtype=float), _logits(risks)
    if y.min() == y.max():
        return float("nan")
    intercept = 0.0
    for _ in range(100):
        expected = expit(intercept + offset)
        step = (y - expected).sum() / (expected * (1 - expected)).sum()
        intercept += float(np.clip(step, -2, 2))
        if abs(step) < 1e-10:
            break
    return intercept


def calibration_slope(labels: ArrayLike, risks: ArrayLike) -> float:
    """Measure the spread of the risks: 1 is right, below 1 they are too extreme.

    The coefficient of the risks' logit in a logistic model. NaN when a class is absent, when the
    risks are practically all the same, or when they separate the classes.
    """
    y, x = np.asarray(labels, dtype=float), _logits(risks)
    if y.min() == y.max() or x.std() < SMALLEST_SPREAD or _separated(y, x):
        return float("nan")
    design = np.column_stack([np.ones_like(x), x])
    beta = np.zeros(2)
    for _ in range(100):
        expected = expit(design @ beta)
        weights = expected * (1 - expected)
        step = np.linalg.solve(design.T * weights @ design, design.T @ (y - expected))
        beta += np.clip(step, -2, 2)
        if np.abs(step).max() < 1e-10:
            break
    return float(beta[1])


def brier(labels: ArrayLike, risks: ArrayLike) -> float:
    """Mean squared difference between risk and outcome: 0 is right."""
    return float(np.mean((np.asarray(risks, dtype=float) - np.asarray(labels)) ** 2))


def _logits(risks: ArrayLike) -> NDArray[np.float64]:
    return np.asarray(logit(np.clip(np.asarray(risks, dtype=float), 1e-9, 1 - 1e-9)))


def _separated(y: NDArray[np.float64], x: NDArray[np.float64]) -> bool:
    low, high = x[y == 0], x[y == 1]
    return bool(low.max() <= high.min() or high.max() <= low.min())

"""One set of risks that add up to 1 from the scores of a task's targets, one against the rest each.

Three risks that were fitted apart need not add up to 1, and dividing them by their sum leaves
unused what one target's score says about the other classes. Multinomial logistic regression on all
scores uses it ("matrix scaling": Guo et al., Proc Mach Learn Res 2017;70:1321-1330). It is fitted
as the sigmoid of a single target is: to out-of-fold scores, never to scores of patients on whom the
scoring models were fitted. A ridge penalty on z-scored scores keeps it near the prevalences where
scores say little or patients are few; with hundreds of patients it hardly acts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import softmax

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

INVERSE_PENALTY = 0.1
"""scikit-learn's ``C``: in simulations with 40 to 500 patients the best or within 0.01 of it."""


@dataclass(frozen=True)
class Coupling:
    """risks = softmax(intercepts + weights @ (scores - means) / spreads).

    Attributes
    ----------
    means, spreads : tuple of float
        Of each target's score among the patients it was fitted to.
    intercepts : tuple of float
        One for each class.
    weights : tuple of tuple of float
        A row for each class, a column for each target's score.
    prevalences : tuple of float
        The share of each class among the patients it was fitted to.
    """

    means: tuple[float, ...]
    spreads: tuple[float, ...]
    intercepts: tuple[float, ...]
    weights: tuple[tuple[float, ...], ...]
    prevalences: tuple[float, ...]

    def risks(self, scores: ArrayLike, prevalences: ArrayLike | None = None) -> NDArray[np.float64]:
        """Turn scores into risks.

        Parameters
        ----------
        scores : array, shape (patients, targets)
            NaN where a target's model says nothing (no feature selected): its mean is taken.
        prevalences : array, shape (classes,), optional
            The risks of a patient of whom no score is known; those it was fitted to without it.

        Returns
        -------
        ndarray, shape (patients, classes)
            Each row adds up to 1.
        """
        values = np.asarray(scores, dtype=float)
        standard = np.nan_to_num((values - self.means) / self.spreads, nan=0.0)
        risks = softmax(standard @ np.asarray(self.weights).T + self.intercepts, axis=1)
        risks[np.isnan(values).all(axis=1)] = (
            self.prevalences if prevalences is None else prevalences
        )
        return np.asarray(risks)


def fit_coupling(scores: ArrayLike, classes: ArrayLike, n_classes: int) -> Coupling:
    """Fit the coupling.

    Parameters
    ----------
    scores : array, shape (rows, targets)
        Out-of-fold scores; NaN where a target's model says nothing.
    classes : array, shape (rows,)
        0, 1, 2, ...: each class occurs.
    n_classes : int
        How many classes there are.
    """
    from sklearn.linear_model import LogisticRegression

    values, codes = np.asarray(scores, dtype=float), np.asarray(classes, dtype=int)
    known = ~np.isnan(values)
    n_known = np.maximum(known.sum(axis=0), 1)
    means = np.where(known, values, 0.0).sum(axis=0) / n_known
    spreads = np.sqrt((np.where(known, values - means, 0.0) ** 2).sum(axis=0) / n_known)
    spreads = np.where(spreads > 0, spreads, 1.0)
    standard = np.nan_to_num((values - means) / spreads, nan=0.0)
    model = LogisticRegression(C=INVERSE_PENALTY, tol=1e-8, max_iter=1000)
    model.fit(standard, codes)
    shares = np.bincount(codes, minlength=n_classes) / len(codes)
    return Coupling(
        tuple(map(float, means)),
        tuple(map(float, spreads)),
        tuple(map(float, model.intercept_)),
        tuple(tuple(map(float, row)) for row in model.coef_),
        tuple(map(float, shares)),
    )

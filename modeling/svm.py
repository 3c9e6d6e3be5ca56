"""The support vector machine: kernel and C chosen on the training rows alone.

The candidates are compared on the LASSO's own folds. In each, an SVM sees the features that the
LASSO selects from that fold's training rows, at the penalty chosen for all, so that the held-out
rows had no part in the selection either: the result is that of a grid search over selection and SVM
together, at hardly more than the SVMs' cost. The winner's scores of held-out rows then serve the
calibration.

A score is an SVM's decision value in standard deviations of those of the rows it was fitted to.
Decision values themselves are not comparable between fits: with a small C they hardly scatter, and
the intercept moves by more than that from fold to fold.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from imblearn.over_sampling import SMOTE
from scipy.stats import rankdata
from sklearn import config_context
from sklearn.svm import SVC

from .recipes import Kernel, Recipe

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .selection import LassoSelector

SMOTE_NEIGHBOURS = 5


@dataclass(frozen=True)
class Scorer:
    """A fitted SVM and the scale of its scores.

    Attributes
    ----------
    svm : SVC
        The fitted machine.
    mean, spread : float
        Mean and standard deviation of the decision values of the real rows it was fitted to.
    """

    svm: SVC
    mean: float
    spread: float

    def scores(self, X: NDArray[np.float64]) -> NDArray[np.float64]:
        """Score rows of the features it was fitted to, shape (rows,)."""
        return np.asarray((self.svm.decision_function(X) - self.mean) / self.spread)


@dataclass(frozen=True)
class Tuning:
    """Which SVM was chosen, and how it did on rows held out.

    Attributes
    ----------
    kernel : {"linear", "rbf"}
        Kernel.
    cost : float
        C.
    auc : float
        Mean AUC over the folds.
    scores : ndarray, shape (rows,)
        The score of each row by the SVM of the fold that held it out; 0 in a fold without any
        feature.
    """

    kernel: Kernel
    cost: float
    auc: float
    scores: NDArray[np.float64]


def tune(
    X: NDArray[np.float64], y: NDArray[np.int64], lasso: LassoSelector, recipe: Recipe, seed: int
) -> Tuning:
    """Compare the recipe's candidates; of equals the first wins.

    Parameters
    ----------
    X : ndarray, shape (rows, features)
        What the LASSO was fitted to.
    y : ndarray
        0/1 labels.
    lasso : LassoSelector
        Fitted.
    recipe, seed : Recipe, int
        The candidates, and the seed of synthetic rows.
    """
    candidates = recipe.candidates
    scores = np.zeros((len(candidates), len(y)))
    aucs = np.empty((len(candidates), len(lasso.folds_)))
    with config_context(assume_finite=True, skip_parameter_validation=True):  # half of the time
        for number, (train, held_out) in enumerate(lasso.folds_):
            kept = np.flatnonzero(lasso.fold_masks_[number])
            if len(kept):
                fitted, others = X[np.ix_(train, kept)], X[np.ix_(held_out, kept)]
                for row, (kernel, cost) in enumerate(candidates):
                    scorer = fit_svm(fitted, y[train], recipe, kernel, cost, seed)
                    scores[row, held_out] = scorer.scores(others)
            aucs[:, number] = _aucs(scores[:, held_out], y[held_out] == 1)
    means = aucs.mean(axis=1)
    best = int(np.argmax(means))
    return Tuning(*candidates[best], float(means[best]), scores[best])


def _aucs(scores: NDArray[np.float64], positive: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Give the AUC of each row of scores, by ranks."""
    n_positive, n_negative = positive.sum(), (~positive).sum()
    ranks = rankdata(scores, axis=1)[:, positive].sum(axis=1)
    return np.asarray((ranks - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative))


def fit_svm(
    X: NDArray[np.float64],
    y: NDArray[np.int64],
    recipe: Recipe,
    kernel: Kernel,
    cost: float,
    seed: int,
) -> Scorer:
    """Fit one SVM, to synthetic rows as well where the recipe asks for them."""
    neighbours, rows, labels = smote_neighbours(y, recipe), X, y
    if neighbours:
        rows, labels = SMOTE(k_neighbors=neighbours, random_state=seed).fit_resample(X, y)
    weight = "balanced" if recipe.class_weights else None
    svm = SVC(kernel=kernel, C=cost, gamma="scale", class_weight=weight).fit(rows, labels)
    values = svm.decision_function(X)
    return Scorer(svm, float(values.mean()), float(values.std()) or 1.0)


def smote_neighbours(y: NDArray[np.int64], recipe: Recipe) -> int | None:
    """Say among how many neighbours synthetic rows are made; None where none are."""
    smaller = int(min(y.sum(), len(y) - y.sum()))
    if not recipe.smote or 2 * smaller == len(y):
        return None
    return min(SMOTE_NEIGHBOURS, smaller - 1)

"""Feature filters as scikit-learn transformers; each learns from the rows given to `fit` only.

An empty selection is an outcome, not an accident: the filter that leaves nothing raises
:class:`EmptySelection`, and the fit ends there (see :mod:`.pipeline`). Never are all features kept
because none was found.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import false_discovery_control, ttest_ind
from sklearn.base import BaseEstimator
from sklearn.feature_selection import SelectorMixin
from sklearn.model_selection import StratifiedKFold

from .icc import icc
from .lasso import cross_validate, fit_path, penalties

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import ArrayLike, NDArray

    from .recipes import LassoRule, Recipe
    from .repeats import Repeats


class EmptySelection(Exception):  # noqa: N818 (an outcome, not an error)
    """A filter left no feature; the argument is its name in the pipeline."""


class _Filter(SelectorMixin, BaseEstimator):  # type: ignore[misc]
    """A filter whose `fit` sets `mask_`."""

    mask_: NDArray[np.bool_]

    def _keep(self, mask: NDArray[np.bool_], name: str) -> None:
        self.mask_ = np.asarray(mask, dtype=bool)
        self.n_features_in_ = len(self.mask_)
        if not self.mask_.any():
            raise EmptySelection(name)

    def _get_support_mask(self) -> NDArray[np.bool_]:
        return self.mask_


class StableFeatures(_Filter):
    """Keeps features that are alike from other outlines of the same lesion: ICC above a threshold.

    ICC(2,1) of two readers, or ICC(1,1) of the manual masks and their perturbations.

    Parameters
    ----------
    repeats : Repeats or None
        The features of all outlines. Only those of the patients that are given to `fit` are used.
        With None, or fewer than 3 such patients, the filter keeps everything.
    threshold : float
        The ICC that a feature must exceed. A feature whose ICC cannot be told is not stable.

    Attributes
    ----------
    icc_ : ndarray
        ICC of each feature; NaN where it cannot be told or was not asked.
    n_patients_ : int
        Patients with every outline that the ICC rests on.
    applied_ : bool
        False where there was one outline only.
    """

    MIN_PATIENTS = 3

    def __init__(self, repeats: Repeats | None, threshold: float) -> None:
        self.repeats = repeats
        self.threshold = threshold

    def fit(self, X: pd.DataFrame, y: ArrayLike | None = None) -> StableFeatures:  # noqa: ARG002
        """Learn from X, a table of features indexed by `patient_id`."""
        self.icc_ = np.full(X.shape[1], np.nan)
        ratings = None
        if self.repeats is not None:
            ratings = self.repeats.ratings(X.index, X.columns)
        self.n_patients_ = 0 if ratings is None else len(ratings)
        self.applied_ = ratings is not None and len(ratings) >= self.MIN_PATIENTS
        if self.repeats is None or ratings is None or not self.applied_:
            self._keep(np.ones(X.shape[1], dtype=bool), "icc")
            return self
        self.icc_ = icc(ratings, self.repeats.kind).value
        self._keep(np.nan_to_num(self.icc_, nan=-np.inf) > self.threshold, "icc")
        return self

    def transform(self, X: pd.DataFrame) -> NDArray[np.float64]:
        """Give the stable columns as an array; what is missing stays missing."""
        return X.to_numpy(dtype=np.float64)[:, self.mask_]


class CompleteFeatures(_Filter):
    """Keeps features that are finite in every training row and vary; fills gaps in other rows.

    A value that is missing in a later row (a test patient's) becomes the training median.
    """

    def fit(self, X: NDArray[np.float64], y: ArrayLike | None = None) -> CompleteFeatures:  # noqa: ARG002
        """Learn from X, which may hold NaN and infinities."""
        finite = np.isfinite(X).all(axis=0)
        known = np.where(finite, X, 0.0)
        size = np.abs(known).max(axis=0)
        varies = np.ptp(known, axis=0) > 1e-9 * size  # less is rounding error
        self.medians_ = np.median(known, axis=0)
        self._keep(finite & varies, "complete")
        return self

    def transform(self, X: NDArray[np.float64]) -> NDArray[np.float64]:
        """Give the complete columns, gaps filled."""
        kept, medians = X[:, self.mask_], self.medians_[self.mask_]
        return np.where(np.isfinite(kept), kept, medians)


class TTestFilter(_Filter):
    """Keeps features whose means differ between the classes by Welch's t-test.

    Attributes
    ----------
    p_values_ : ndarray
        Two-sided P of each feature.
    q_values_ : ndarray
        The same after Benjamini and Hochberg's correction: reported, not filtered on.
    """

    def __init__(self, alpha: float) -> None:
        self.alpha = alpha

    def fit(self, X: NDArray[np.float64], y: ArrayLike) -> TTestFilter:
        """Learn from X (rows, features) and 0/1 labels."""
        positive = np.asarray(y) == 1
        with warnings.catch_warnings():  # a feature that is constant within a class: P is NaN or 0
            warnings.simplefilter("ignore", RuntimeWarning)
            p_values = ttest_ind(X[positive], X[~positive], equal_var=False).pvalue
        self.p_values_ = np.where(np.isfinite(p_values), p_values, 1.0)
        self.q_values_ = np.asarray(false_discovery_control(self.p_values_))
        self._keep((self.p_values_ < self.alpha) | (self.alpha >= 1), "t_test")
        return self


class LassoSelector(_Filter):
    """Keeps features that the LASSO gives a coefficient, at a penalty chosen by cross-validation.

    The label 0/1 is regressed linearly. Solver and checks: :mod:`.lasso`.

    Parameters
    ----------
    recipe : Recipe
        Its penalties, number of folds and rule.
    seed : int
        Seed of the folds.

    Attributes
    ----------
    folds_ : list of pairs of ndarray
        The stratified folds: positions of the rows to fit, and of those held out.
    alphas_ : ndarray
        Penalties, descending.
    alpha_ : float
        The chosen one.
    mse_ : ndarray, shape (alphas, folds)
        Squared error in each fold.
    fold_masks_ : ndarray of bool, shape (folds, features)
        What each fold's training rows select at the chosen penalty.
    path_ : ndarray, shape (features, alphas)
        Coefficients on all rows.
    coef_ : ndarray
        Coefficients at the chosen penalty: the weights of the radscore.
    intercept_ : float
        The radscore's constant.
    n_not_converged_ : int
        Solutions outside the tolerance, over all folds and penalties.
    """

    def __init__(self, recipe: Recipe, seed: int) -> None:
        self.recipe = recipe
        self.seed = seed

    def fit(self, X: NDArray[np.float64], y: ArrayLike) -> LassoSelector:
        """Learn from standardised X (rows, features) and 0/1 labels."""
        label, recipe = np.asarray(y, dtype=np.float64), self.recipe
        smaller = int(min(label.sum(), len(label) - label.sum()))
        splitter = StratifiedKFold(
            min(recipe.lasso_folds, smaller), shuffle=True, random_state=self.seed
        )
        self.folds_ = list(splitter.split(X, label))
        self.alphas_ = penalties(X, label, recipe.alpha_max, recipe.alpha_ratio, recipe.n_alphas)
        curve = cross_validate(X, label, self.alphas_, self.folds_)
        whole = fit_path(X, label, self.alphas_)
        self.mse_ = curve.mse
        self.n_not_converged_ = curve.n_not_converged + whole.n_not_converged
        self.path_ = whole.coefficients
        chosen = choose_penalty(curve.mse, recipe.lasso_rule)
        self.alpha_ = float(self.alphas_[chosen])
        self.fold_masks_ = curve.kept[:, chosen].T
        self.coef_ = self.path_[:, chosen]
        self.intercept_ = float(whole.intercepts[chosen])
        self._keep(self.coef_ != 0, "lasso")
        return self

    def radscore(self, X: NDArray[np.float64]) -> NDArray[np.float64]:
        """Give the LASSO's linear combination for each row."""
        return np.asarray(X @ self.coef_ + self.intercept_)


def choose_penalty(mse: NDArray[np.float64], rule: LassoRule) -> int:
    """Give the position of the penalty that a rule chooses.

    Parameters
    ----------
    mse : ndarray, shape (alphas, folds)
        Squared error in each fold; penalties descending.
    rule : {"min", "1se"}
        The smallest mean error, or the largest penalty whose mean error exceeds that by no more
        than its standard error over the folds (Breiman et al., Classification and Regression Trees,
        1984).
    """
    means = mse.mean(axis=1)
    best = int(np.argmin(means))
    if rule == "min":
        return best
    error = mse[best].std(ddof=1) / np.sqrt(mse.shape[1])
    return int(np.argmax(means <= means[best] + error))

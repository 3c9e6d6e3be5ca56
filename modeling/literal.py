"""What the order of steps in the published text would have claimed on the same data.

Zhao et al., Front Oncol 2025;15:1578458, describe the ICC filter, SMOTE, z-score, t-test and LASSO
(smallest error, ten unshuffled folds) before the division 7:3, class weights beside SMOTE, and an
SVM fitted to 99 % of the patients. Done in that order, patients of the test set shape what is then
tested on them, and their synthetic neighbours train it. Nothing here is used by any other model.

``models/<target>/<roi>/literal.json``: ``n_features`` and, each with ``auc, sensitivity,
specificity, accuracy``, ``train`` and ``test`` of the division 7:3, and ``test_refit``: the same
test rows after the SVM was fitted to 99 % of all rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from imblearn.over_sampling import SMOTE
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupShuffleSplit, KFold, train_test_split
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from .config import ModelingConfig
from .lasso import cross_validate, fit_path, penalties
from .recipes import PRESET_RECIPES
from .selection import CompleteFeatures, EmptySelection, StableFeatures, TTestFilter, choose_penalty
from .svm import SMOTE_NEIGHBOURS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .validate import Dataset

STEPS = PRESET_RECIPES["paper-clean"]
TEST_SIZE = 0.3
REFIT_TEST_SIZE = 0.01
MOST_DIVISIONS = 1000
"""Of groups: the first with both classes on either side is taken."""


@dataclass(frozen=True)
class Leaks:
    """Which steps see the rows that are tested later.

    Attributes
    ----------
    scaler, t_test, lasso : bool
        Whether the step is fitted to all rows instead of the training rows.
    smote : bool
        Whether synthetic rows are made before the division; without it none are made.
    """

    scaler: bool = False
    t_test: bool = False
    lasso: bool = False
    smote: bool = False


EVERYTHING = Leaks(scaler=True, t_test=True, lasso=True, smote=True)


@dataclass(frozen=True)
class Claim:
    """What would have been claimed; see the module's docstring."""

    n_features: int
    train: dict[str, float]
    test: dict[str, float]
    test_refit: dict[str, float]


def claim_of(data: Dataset, config: ModelingConfig) -> Claim:
    """Apply the text's order of steps to all patients of a data set."""
    patients = data.with_features((*data.train, *data.test))
    X, y = data.X.loc[patients], data.y[patients].to_numpy()
    try:
        stable = StableFeatures(data.repeats, config.icc_threshold).fit(X).transform(X)
        complete = CompleteFeatures().fit(stable).transform(stable)
    except EmptySelection:
        return _nothing(y)
    return claim(complete, y, EVERYTHING, config.seed)


def claim(
    X: NDArray[np.float64],
    y: NDArray[np.int64],
    leaks: Leaks,
    seed: int,
    groups: NDArray[np.int64] | None = None,
) -> Claim:
    """Divide rows 7:3, select, fit an SVM and test it, with some steps out of place.

    Parameters
    ----------
    X : ndarray, shape (rows, features)
        Features without gaps.
    y : ndarray
        0/1 labels.
    leaks : Leaks
        Which steps are out of place; with none the test is honest.
    seed : int
        Seed of the division and of synthetic rows.
    groups : ndarray, optional
        Rows of a group stay on one side of the division; not together with SMOTE.
    """
    if leaks.smote and 2 * int(y.sum()) != len(y):
        neighbours = min(SMOTE_NEIGHBOURS, int(min(y.sum(), len(y) - y.sum())) - 1)
        X, y = SMOTE(k_neighbors=neighbours, random_state=seed).fit_resample(X, y)
    rows = np.arange(len(y))
    if groups is None:
        train, test = train_test_split(rows, test_size=TEST_SIZE, random_state=seed, stratify=y)
    else:
        splitter = GroupShuffleSplit(MOST_DIVISIONS, test_size=TEST_SIZE, random_state=seed)
        train, test = next(
            division
            for division in splitter.split(X, y, groups)
            if all(len(np.unique(y[part])) > 1 for part in division)
        )
    scaler = StandardScaler().fit(X if leaks.scaler else X[train])
    Z = scaler.transform(X)
    try:
        seen = rows if leaks.t_test else train
        Z = Z[:, TTestFilter(STEPS.t_test_alpha).fit(Z[seen], y[seen]).mask_]
        seen = rows if leaks.lasso else train
        Z = Z[:, _lasso_mask(Z[seen], y[seen])]
    except EmptySelection:
        return _nothing(y)
    svm = _svm(Z[train], y[train])
    most, _ = train_test_split(rows, test_size=REFIT_TEST_SIZE, random_state=seed)
    return Claim(
        n_features=Z.shape[1],
        train=_figures(y[train], svm.decision_function(Z[train])),
        test=_figures(y[test], svm.decision_function(Z[test])),
        test_refit=_figures(y[test], _svm(Z[most], y[most]).decision_function(Z[test])),
    )


def _lasso_mask(X: NDArray[np.float64], y: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Select by the LASSO of the smallest error in ten unshuffled folds."""
    label = y.astype(np.float64)
    alphas = penalties(X, label, STEPS.alpha_max, STEPS.alpha_ratio, STEPS.n_alphas)
    curve = cross_validate(X, label, alphas, list(KFold(STEPS.lasso_folds).split(X)))
    chosen = choose_penalty(curve.mse, STEPS.lasso_rule)
    kept = np.asarray(fit_path(X, label, alphas[: chosen + 1]).coefficients[:, chosen] != 0)
    if not kept.any():
        raise EmptySelection("lasso")
    return kept


def _svm(X: NDArray[np.float64], y: NDArray[np.int64]) -> SVC:
    kernel, cost = STEPS.candidates[0]
    return SVC(kernel=kernel, C=cost, gamma="scale", class_weight="balanced").fit(X, y)


def _figures(y: NDArray[np.int64], scores: NDArray[np.float64]) -> dict[str, float]:
    positive, called = y == 1, scores >= 0
    return {
        "auc": float(roc_auc_score(y, scores)),
        "sensitivity": float(called[positive].mean()),
        "specificity": float((~called[~positive]).mean()),
        "accuracy": float((called == positive).mean()),
    }


def _nothing(y: NDArray[np.int64]) -> Claim:
    """Describe an empty selection: the same score for everybody."""
    figures = _figures(y, np.zeros(len(y)))
    return Claim(0, figures, figures, figures)

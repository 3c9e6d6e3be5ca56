"""The recipe: stable features -> z-score -> t-test -> LASSO -> SMOTE -> SVM, on given rows only.

One imbalanced-learn pipeline, fitted anew wherever a model is fitted, so that nothing is learnt
from patients who are held out: neither selection, nor means, nor synthetic patients. SMOTE acts
while fitting only; predictions are always for real patients.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from imblearn.over_sampling import SMOTE
from imblearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from ..errors import MammoroiError
from .config import ModelingConfig
from .selection import (
    CompleteFeatures,
    EmptySelection,
    LassoSelector,
    StableFeatures,
    TTestFilter,
    alphas_of,
)

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from .repeats import Repeats

FILTERS = ("icc", "complete", "t_test", "lasso")
SMOTE_NEIGHBOURS = 5


@dataclass(frozen=True)
class Fit:
    """The recipe, fitted to some patients.

    Attributes
    ----------
    pipeline : Pipeline
        The fitted steps, up to the filter that left nothing where ``empty_at`` names one.
    features : tuple of str
        The features that it was given, in order.
    prevalence : float
        Share of positive patients it was fitted to.
    empty_at : str or None
        The filter that left no feature. The outcome is then stated, not repaired: every patient
        gets the score 0 and the risk ``prevalence``.
    """

    pipeline: Pipeline
    features: tuple[str, ...]
    prevalence: float
    empty_at: str | None

    def scores(self, X: pd.DataFrame) -> NDArray[np.float64]:
        """Give the SVM's decision value of each row of X; 0 for all without any feature."""
        if self.empty_at:
            return np.zeros(len(X))
        return np.asarray(self.pipeline.decision_function(X))

    def radscores(self, X: pd.DataFrame) -> NDArray[np.float64]:
        """Give the LASSO's linear combination of each row; the prevalence without any feature."""
        if self.empty_at:
            return np.full(len(X), self.prevalence)
        values: Any = X
        for name in ("icc", "complete", "scale", "t_test"):
            values = self.pipeline[name].transform(values)
        return np.asarray(self.pipeline["lasso"].radscore(values))

    def indices(self, after: str) -> NDArray[np.int64]:
        """Give the positions of the features that are left after a filter."""
        left = np.arange(len(self.features))
        for name in FILTERS:
            left = left[self.pipeline[name].mask_]
            if name in (after, self.empty_at):
                break
        return left

    def selected(self) -> list[str]:
        """Name the selected features, in the order in which the SVM takes them."""
        return [] if self.empty_at else [self.features[i] for i in self.indices("lasso")]

    def funnel(self) -> dict[str, Any]:
        """Tell how many features each filter left, and on what it rested.

        Filters behind one that left nothing have the value None.
        """
        reached = FILTERS[: FILTERS.index(self.empty_at) + 1 if self.empty_at else None]
        counts = {name: len(self.indices(name)) if name in reached else None for name in FILTERS}
        stable, lasso, smote = (self.pipeline[name] for name in ("icc", "lasso", "smote"))
        solved = "lasso" in reached
        return {
            "extracted": len(self.features),
            "stable": counts["icc"],
            "complete": counts["complete"],
            "t_test": counts["t_test"],
            "lasso": counts["lasso"],
            "outcome": f"no feature left after {self.empty_at}: every risk is the prevalence"
            if self.empty_at
            else "fitted",
            "icc_applied": stable.applied_,
            "icc_source": stable.repeats.source if stable.applied_ else None,
            "icc_patients": stable.n_patients_,
            "lasso_folds": lasso.folds,
            "lasso_alpha": lasso.alpha_ if solved else None,
            "lasso_not_converged": lasso.n_not_converged_ if solved else None,
            "smote_neighbours": smote.k_neighbors if isinstance(smote, SMOTE) else None,
        }


def fit_recipe(
    X: pd.DataFrame, y: pd.Series, config: ModelingConfig, repeats: Repeats | None
) -> Fit:
    """Fit the recipe to the rows of X.

    Parameters
    ----------
    X : DataFrame
        Features, indexed by ``patient_id``.
    y : Series
        0/1 labels, aligned with X.
    config : ModelingConfig
        Its parameters.
    repeats : Repeats or None
        Features of other outlines; only those of patients in X are used.

    Raises
    ------
    MammoroiError
        When a class has fewer than two patients.
    """
    smaller = int(min((y == 1).sum(), (y == 0).sum()))
    if smaller < 2:
        raise MammoroiError(
            f"one class has {smaller} of {len(y)} patients to learn from",
            "at least 2 are needed: add patients, join classes, or leave the task out",
        )
    pipeline = Pipeline(_steps(config, repeats, smaller, balanced=smaller * 2 == len(y)))
    empty_at = None
    try:
        pipeline.fit(X, y.to_numpy())
    except EmptySelection as outcome:
        empty_at = str(outcome)
    return Fit(pipeline, tuple(X.columns), float(y.mean()), empty_at)


def _steps(
    config: ModelingConfig, repeats: Repeats | None, smaller: int, *, balanced: bool
) -> list[tuple[str, Any]]:
    lasso = LassoSelector(
        alphas=alphas_of(config.alpha_min, config.alpha_max, config.n_alphas),
        folds=min(config.lasso_folds, smaller),
        rule=config.lasso_rule,
        max_iter=config.max_iter,
        tol=config.tol,
        seed=config.seed,
    )
    neighbours = min(SMOTE_NEIGHBOURS, smaller - 1)
    smote = SMOTE(k_neighbors=neighbours, random_state=config.seed)
    return [
        ("icc", StableFeatures(repeats, config.icc_threshold)),
        ("complete", CompleteFeatures()),
        ("scale", StandardScaler()),
        ("t_test", TTestFilter(config.t_test_alpha)),
        ("lasso", lasso),
        ("smote", smote if config.smote and not balanced else "passthrough"),
        ("svm", SVC(kernel="rbf", gamma="scale")),
    ]

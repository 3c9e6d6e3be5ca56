"""A recipe, fitted: stable features -> z-score -> t-test -> LASSO -> SVM, on given rows only.

Before these comes ComBat, where features are harmonised (:mod:`.combat`).
All steps are fitted anew wherever a model is fitted, so that nothing is learnt from patients who
are held out: neither selection, nor means, nor synthetic patients. SMOTE acts while fitting only;
predictions are always for real patients. Which steps act, and how: :mod:`.recipes`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.preprocessing import StandardScaler

from ..errors import MammoroiError
from .combat import harmonised
from .config import ModelingConfig
from .selection import (
    CompleteFeatures,
    EmptySelection,
    LassoSelector,
    StableFeatures,
    TTestFilter,
)
from .svm import Scorer, Tuning, fit_svm, smote_neighbours, tune

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from .repeats import Repeats

FILTERS = ("icc", "complete", "t_test", "lasso")


@dataclass(frozen=True)
class Fit:
    """A recipe, fitted to some patients.

    Attributes
    ----------
    steps : dict
        The fitted transformers by name, in order; those behind ``empty_at`` are not fitted.
    scorer : Scorer or None
        The SVM; None without any feature.
    features : tuple of str
        The features that it was given, in order.
    prevalence : float
        Share of positive patients it was fitted to.
    empty_at : str or None
        The filter that left no feature. The outcome is then stated, not repaired: every patient
        gets the score 0 and the risk ``prevalence``.
    tuning : Tuning or None
        How kernel and C were chosen; None where there was nothing to choose and the scores of
        held-out rows would not be out-of-fold (see :attr:`.recipes.Recipe.nested`).
    inner_scores : ndarray or None
        An out-of-fold score of each patient it was fitted to, where the fit comes by one.
    neighbours : int or None
        Neighbours for synthetic patients; None without any.
    """

    steps: dict[str, Any]
    scorer: Scorer | None
    features: tuple[str, ...]
    prevalence: float
    empty_at: str | None
    tuning: Tuning | None
    inner_scores: NDArray[np.float64] | None
    neighbours: int | None

    def scores(self, X: pd.DataFrame) -> NDArray[np.float64]:
        """Give the SVM's score of each row of X; 0 for all without any feature."""
        if self.scorer is None:
            return np.zeros(len(X))
        return self.scorer.scores(self.steps["lasso"].transform(self._before_lasso(X)))

    def radscores(self, X: pd.DataFrame) -> NDArray[np.float64]:
        """Give the LASSO's linear combination of each row; the prevalence without any feature."""
        if self.empty_at:
            return np.full(len(X), self.prevalence)
        return np.asarray(self.steps["lasso"].radscore(self._before_lasso(X)))

    def harmonised(self, X: pd.DataFrame) -> pd.DataFrame:
        """Give X as the filters see it: moved by ComBat where that was asked for."""
        return self.steps["combat"].transform(X) if "combat" in self.steps else X

    def indices(self, after: str) -> NDArray[np.int64]:
        """Give the positions of the features that are left after a filter."""
        left = np.arange(len(self.features))
        for name in FILTERS:
            left = left[self.steps[name].mask_]
            if name in (after, self.empty_at):
                break
        return left

    def selected(self) -> list[str]:
        """Name the selected features, in the order in which the SVM takes them."""
        return [] if self.empty_at else [self.features[i] for i in self.indices("lasso")]

    def funnel(self) -> dict[str, Any]:
        """Tell how many features each filter left, on what it rested, and which SVM was chosen.

        Filters behind one that left nothing have the value None; so have, without ComBat,
        ``harmonised`` (training patients by batch) and ``not_harmonised`` (patients of no batch
        that could be estimated).
        """
        reached = FILTERS[: FILTERS.index(self.empty_at) + 1 if self.empty_at else None]
        counts = {name: len(self.indices(name)) if name in reached else None for name in FILTERS}
        stable, lasso = self.steps["icc"], self.steps["lasso"]
        solved, combat = "lasso" in reached, self.steps.get("combat")
        return {
            "extracted": len(self.features),
            "stable": counts["icc"],
            "complete": counts["complete"],
            "t_test": counts["t_test"],
            "lasso": counts["lasso"],
            "outcome": f"no feature left after {self.empty_at}: every risk is the prevalence"
            if self.empty_at
            else "fitted",
            "harmonised": combat.counts_ if combat else None,
            "not_harmonised": combat.n_as_they_are_ if combat else None,
            "icc_applied": stable.applied_,
            "icc_source": stable.repeats.source if stable.applied_ else None,
            "icc_patients": stable.n_patients_,
            "lasso_folds": len(lasso.folds_) if solved else None,
            "lasso_alpha": lasso.alpha_ if solved else None,
            "lasso_not_converged": lasso.n_not_converged_ if solved else None,
            "smote_neighbours": self.neighbours,
            "svm_kernel": self.scorer.svm.kernel if self.scorer else None,
            "svm_cost": self.scorer.svm.C if self.scorer else None,
            "svm_inner_auc": self.tuning.auc if self.tuning else None,
        }

    def _before_lasso(self, X: pd.DataFrame) -> NDArray[np.float64]:
        values: Any = X
        for name, step in self.steps.items():
            if name != "lasso":
                values = step.transform(values)
        return np.asarray(values)


def fit_recipe(
    X: pd.DataFrame,
    y: pd.Series,
    config: ModelingConfig,
    repeats: Repeats | None,
    batches: pd.Series | None = None,
) -> Fit:
    """Fit the recipe to the rows of X.

    Parameters
    ----------
    X : DataFrame
        Features, indexed by ``patient_id``.
    y : Series
        0/1 labels, aligned with X.
    config : ModelingConfig
        Its recipe and seed.
    repeats : Repeats or None
        Features of other outlines; only those of patients in X are used.
    batches : Series, optional
        Each patient's centre or device, to be harmonised by (:mod:`.combat`).

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
    recipe, labels = config.resolved_recipe(), y.to_numpy()
    values: Any
    combat, values, repeats = harmonised(batches, X, repeats)
    filters: dict[str, Any] = {
        "icc": StableFeatures(repeats, config.icc_threshold),
        "complete": CompleteFeatures(),
        "scale": StandardScaler(),
        "t_test": TTestFilter(recipe.t_test_alpha),
        "lasso": LassoSelector(recipe, config.seed),
    }
    steps: dict[str, Any] = {**combat, **filters}
    features, prevalence = tuple(X.columns), float(y.mean())
    before_lasso: Any = values
    try:
        for step in filters.values():
            before_lasso = values
            values = step.fit(values, labels).transform(values)
    except EmptySelection as outcome:
        return Fit(steps, None, features, prevalence, str(outcome), None, None, None)
    tuning = None
    (kernel, cost), *others = recipe.candidates
    if others or recipe.nested:
        tuning = tune(before_lasso, labels, steps["lasso"], recipe, config.seed)
        kernel, cost = tuning.kernel, tuning.cost
    return Fit(
        steps=steps,
        scorer=fit_svm(values, labels, recipe, kernel, cost, config.seed),
        features=features,
        prevalence=prevalence,
        empty_at=None,
        tuning=tuning,
        inner_scores=tuning.scores if tuning and recipe.nested else None,
        neighbours=smote_neighbours(labels, recipe),
    )

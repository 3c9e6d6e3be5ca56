"""Other estimators, run through the same folds as the recipe, for comparison.

Each takes all stable features, z-scored, and selects or shrinks by itself; its own probabilities
are the risks. ``models/<target>/<roi>/comparators.csv``: ``estimator, auc, auc_lower, auc_upper,
brier`` out-of-fold over the training patients (means over the repeats), and ``test_auc,
test_auc_lower, test_auc_upper, test_brier``; the first row, ``svm``, is the recipe itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.preprocessing import StandardScaler

from .combat import harmonised
from .config import Comparator, ModelingConfig
from .discrimination import auc_interval
from .selection import CompleteFeatures, EmptySelection, StableFeatures

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from sklearn.base import ClassifierMixin

    from .validate import Dataset

COLUMNS = (
    *("estimator", "auc", "auc_lower", "auc_upper", "brier"),
    *("test_auc", "test_auc_lower", "test_auc_upper", "test_brier"),
)


def estimator_of(name: Comparator, seed: int) -> ClassifierMixin:
    """Make an estimator by scikit-learn's interface, not fitted.

    ``elastic-net``: logistic regression, half L1 and half L2, its strength by log loss in five
    folds. ``random-forest``: 500 trees with leaves of at least five patients.
    ``gradient-boosting``: 200 shallow trees, each split among a tenth of the features.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
    from sklearn.linear_model import LogisticRegressionCV
    from sklearn.model_selection import StratifiedKFold

    if name == "elastic-net":
        return LogisticRegressionCV(
            Cs=np.geomspace(0.003, 0.05, 5),
            l1_ratios=(0.5,),
            solver="saga",
            cv=StratifiedKFold(5, shuffle=True, random_state=seed),
            scoring="neg_log_loss",
            max_iter=200,
            tol=1e-3,
            random_state=seed,
            use_legacy_attributes=False,
        )
    if name == "random-forest":
        return RandomForestClassifier(500, min_samples_leaf=5, n_jobs=1, random_state=seed)
    return HistGradientBoostingClassifier(
        learning_rate=0.05, max_iter=200, max_leaf_nodes=8, max_features=0.1, random_state=seed
    )


def run_comparator(
    data: Dataset,
    name: Comparator,
    fitted: Sequence[str],
    predicted: Sequence[str],
    config: ModelingConfig,
    prevalence: float,
) -> pd.DataFrame:
    """Fit an estimator to some patients and give others' risks: ``patient_id, label, risk``.

    A patient whose lesion was missed gets the prevalence, as everybody does without any feature. It
    is the same for all folds, as in :func:`.validate.predict`: a fold's own would tell who is held
    out.
    """
    import warnings

    import pandas as pd
    from sklearn.exceptions import ConvergenceWarning

    X, y = data.X.loc[list(fitted)], data.y[list(fitted)]
    moved, X, repeats = harmonised(data.batches, X, data.repeats)
    found = data.with_features(tuple(predicted))
    risks = pd.Series(prevalence, index=list(predicted), dtype=float)
    steps: tuple[Any, ...] = (
        StableFeatures(repeats, config.icc_threshold),
        CompleteFeatures(),
        StandardScaler(),
    )
    values, others = X, data.X.loc[found]
    for combat in moved.values():
        others = combat.transform(others)
    try:
        for step in steps:
            values = step.fit(values).transform(values)
            others = step.transform(others)
    except EmptySelection:
        found = []
    if found:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # weak penalties, not chosen
            estimator = estimator_of(name, config.seed).fit(values, y.to_numpy())
        risks[found] = estimator.predict_proba(others)[:, 1]
    labels = data.y[list(predicted)].to_numpy()
    return pd.DataFrame({"patient_id": list(predicted), "label": labels, "risk": risks.to_numpy()})


def comparator_row(name: str, train: pd.DataFrame, test: pd.DataFrame) -> dict[str, Any]:
    """Describe risks (of one repeat or several) by set; a row of ``comparators.csv``."""
    values: list[Any] = [name]
    for table in (train, test):
        means = table.groupby("patient_id")[["label", "risk"]].mean()
        error = ((means["risk"] - means["label"]) ** 2).mean()
        values += [*auc_interval(means["label"], means["risk"]), error]
    return dict(zip(COLUMNS, values, strict=True))

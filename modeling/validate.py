"""Predictions for patients whom the model has not seen: over the folds, and for the test set.

Each fold of ``splits.json`` refits the whole recipe on its training patients. Its scores become
risks by a sigmoid that is fitted to inner out-of-fold scores of those same training patients; the
final model's sigmoid is fitted to the out-of-fold scores of the outer folds. So no calibration
rests on a score of a patient on whom the scoring model was fitted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.model_selection import StratifiedKFold

from ..errors import MammoroiError
from .calibration import Calibration, fit_calibration
from .config import ModelingConfig
from .pipeline import Fit, fit_recipe
from .repeats import Repeats
from .targets import Target

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

MIN_CLASS = 3


@dataclass(frozen=True)
class Dataset:
    """What one model is made of: a target and a source of masks.

    Attributes
    ----------
    target : Target
        The question.
    roi : str
        ``manual`` or ``automatic``.
    X : DataFrame
        Features of the patients whose lesion was found, indexed by ``patient_id``.
    y : Series
        0/1 labels of all patients who have one, the missed ones too.
    repeats : Repeats or None
        For the stability filter.
    train, test : tuple of str
        Patients with a label, and with features or a missed lesion.
    folds : tuple of tuples of str
        The validation patients of each fold; together they are ``train``.
    """

    target: Target
    roi: str
    X: pd.DataFrame
    y: pd.Series
    repeats: Repeats | None
    train: tuple[str, ...]
    test: tuple[str, ...]
    folds: tuple[tuple[str, ...], ...]

    def with_features(self, patients: tuple[str, ...]) -> list[str]:
        """Give those patients who have features, in order."""
        known = set(self.X.index)
        return [patient for patient in patients if patient in known]

    def outside_fold(self, number: int) -> list[str]:
        """Give the patients with features on whom a fold's model is fitted."""
        held_out = set(self.folds[number])
        return [patient for patient in self.with_features(self.train) if patient not in held_out]


@dataclass(frozen=True)
class FoldResult:
    """One fold: predictions for its validation patients, and what its model selected."""

    predicted: pd.DataFrame
    selected: tuple[str, ...]
    funnel: dict[str, Any]
    calibration: Calibration


def check_dataset(data: Dataset) -> None:
    """Refuse a data set with too few patients of a class to learn from.

    Raises
    ------
    MammoroiError
        When a fold has fewer than 3 patients of a class to be fitted on.
    """
    names = {1: data.target.positive, 0: " or ".join(data.target.negative)}
    for number in range(len(data.folds)):
        labels = data.y[data.outside_fold(number)]
        for value, name in names.items():
            count = int((labels == value).sum())
            if count < MIN_CLASS:
                raise MammoroiError(
                    f"target {data.target.name}, {data.roi} ROIs: fold {number} has {count} of "
                    f"{len(labels)} training patients with {data.target.label} = {name}",
                    f"at least {MIN_CLASS} are needed: add patients, join classes, "
                    "or leave the task out",
                )


def run_fold(data: Dataset, number: int, config: ModelingConfig) -> FoldResult:
    """Fit on a fold's training patients, calibrate on inner folds, predict its validation part."""
    patients = data.outside_fold(number)
    X, y = data.X.loc[patients], data.y[patients]
    calibration = fit_calibration(inner_scores(X, y, config, data.repeats), y)
    fit = fit_recipe(X, y, config, data.repeats)
    predicted = predict(data, fit, calibration, data.folds[number])
    return FoldResult(
        predicted.assign(fold=number), tuple(fit.selected()), fit.funnel(), calibration
    )


def inner_scores(
    X: pd.DataFrame, y: pd.Series, config: ModelingConfig, repeats: Repeats | None
) -> NDArray[np.float64]:
    """Score each row by the recipe fitted without it, in stratified shuffled folds."""
    smaller = int(min(y.sum(), len(y) - y.sum()))
    splitter = StratifiedKFold(
        min(config.calibration_folds, smaller), shuffle=True, random_state=config.seed
    )
    scores = np.empty(len(y))
    for fitted, held_out in splitter.split(X, y):
        fit = fit_recipe(X.iloc[fitted], y.iloc[fitted], config, repeats)
        scores[held_out] = fit.scores(X.iloc[held_out])
    return scores


def run_final(data: Dataset, config: ModelingConfig) -> Fit:
    """Fit the recipe to all training patients."""
    patients = data.with_features(data.train)
    return fit_recipe(data.X.loc[patients], data.y[patients], config, data.repeats)


def final_calibration(folds: list[FoldResult]) -> Calibration:
    """Fit the final model's sigmoid to the out-of-fold scores of the training patients."""
    import pandas as pd

    found = pd.concat([fold.predicted for fold in folds]).query("not missed")
    return fit_calibration(found["score"], found["label"])


def predict(
    data: Dataset, fit: Fit, calibration: Calibration, patients: tuple[str, ...]
) -> pd.DataFrame:
    """Predict patients: ``patient_id, label, score, risk, radscore, missed``.

    A patient whose lesion was missed has no score and no radscore; her risk is the prevalence
    among the patients the model was fitted to, since nothing was measured. The same risk goes to
    everybody when no feature was selected.
    """
    import pandas as pd

    found = data.with_features(patients)
    X = data.X.loc[found]
    table = pd.DataFrame({"patient_id": list(patients)}).set_index("patient_id")
    table["label"] = data.y[list(patients)]
    table["score"] = np.nan
    table["risk"] = fit.prevalence
    table["radscore"] = np.nan
    table["missed"] = ~table.index.isin(found)
    if found:
        scores = fit.scores(X)
        table.loc[found, "score"] = scores
        table.loc[found, "radscore"] = fit.radscores(X)
        if not fit.empty_at:
            table.loc[found, "risk"] = calibration.risk(scores)
    return table.reset_index()

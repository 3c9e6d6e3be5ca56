"""Predictions for patients whom the model has not seen: over the folds, and for the test set.

The patients are divided into folds repeatedly, first as in ``splits.json``, then by the classes of
the task, so that all targets of a task have the same folds; a patient has one row, so that a
division never parts a patient's images. Each fold refits the whole recipe on its training patients.
Its scores become risks by a sigmoid that is fitted to inner out-of-fold scores of those same
training patients, and so do those of the final model: no calibration rests on a score of a patient
on whom the scoring model was fitted. (The scores of the outer folds would not do for the final
model: where folds choose another kernel or C, their scores have another scale.) A patient's
out-of-fold score, risk and radscore are means over the repeats; intervals treat the patients, not
the repeats, as the sample. So is the threshold at which she is called positive: that of a fold
maximises Youden's index on the inner scores, so that it was chosen without her.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.model_selection import StratifiedKFold

from ..errors import MammoroiError
from .calibration import Calibration, fit_calibration
from .config import ModelingConfig
from .cross_application import exchanged
from .discrimination import youden_threshold
from .pipeline import Fit, fit_recipe
from .predictors import Clinical, fit_predictors, predict_predictors
from .repeats import Repeats
from .targets import Target

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

MIN_CLASS = 3
Division = tuple[tuple[str, ...], ...]
"""The validation patients of each fold; together they are all patients who were divided."""


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
    divisions : tuple of Division
        The repeats over ``train``; the first is that of ``splits.json``.
    divisions_all : tuple of Division
        The repeats over all patients; empty where that is not asked for.
    other : DataFrame or None
        Features from the other source of masks, to which the folds' models are applied as well.
    clinical : Clinical or None
        Clinical variables, to predict by as well.
    centres : Series or None
        Each patient's centre by ``patient_id``, missing where it is not known.
    batches : Series or None
        Alike, what features are harmonised by; None where they are not.
    """

    target: Target
    roi: str
    X: pd.DataFrame
    y: pd.Series
    repeats: Repeats | None
    train: tuple[str, ...]
    test: tuple[str, ...]
    divisions: tuple[Division, ...]
    divisions_all: tuple[Division, ...] = ()
    other: pd.DataFrame | None = None
    clinical: Clinical | None = None
    centres: pd.Series | None = None
    batches: pd.Series | None = None

    def with_features(self, patients: tuple[str, ...]) -> list[str]:
        """Give those patients who have features, in order."""
        known = set(self.X.index)
        return [patient for patient in patients if patient in known]

    def outside(self, division: Division, number: int) -> list[str]:
        """Give the patients with features on whom a fold's model is fitted."""
        others = (fold for k, fold in enumerate(division) if k != number)
        return self.with_features(tuple(sorted(patient for fold in others for patient in fold)))


@dataclass(frozen=True)
class FoldResult:
    """One fold: predictions for its validation patients, and what its model selected.

    ``predicted`` has the columns of :func:`predict`, the number of the ``fold``, and ``threshold``.
    ``crossed`` holds their predictions from the other source's features, where there is one;
    ``predictors`` their risks by the other sets of predictors, where there are clinical variables.
    ``inner`` holds the inner out-of-fold scores of the patients it was fitted to, by
    ``patient_id``; missing for all where no feature was selected.
    """

    predicted: pd.DataFrame
    inner: pd.Series
    crossed: pd.DataFrame | None
    selected: tuple[str, ...]
    funnel: dict[str, Any]
    predictors: pd.DataFrame | None

    def known_scores(self) -> pd.Series:
        """Give the scores by ``patient_id``; missing for all where no feature was selected."""
        scores: pd.Series = self.predicted.set_index("patient_id")["score"]
        return scores if self.selected else scores * np.nan


def divide(patients: list[str], classes: pd.Series, n_folds: int, seed: int) -> Division:
    """Divide patients into folds with equal shares of each class, in an order set by the seed."""
    known = classes[patients]
    if not (known.value_counts() >= n_folds).any():  # scikit-learn refuses so few, and none
        shuffled = known.sample(frac=1, random_state=seed).sort_values(kind="stable").index
        return tuple(tuple(sorted(shuffled[number::n_folds])) for number in range(n_folds))
    splitter = StratifiedKFold(n_folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():  # a class smaller than the folds: see check_dataset
        warnings.simplefilter("ignore", UserWarning)
        folds = [held_out for _, held_out in splitter.split(patients, known)]
    return tuple(tuple(patients[row] for row in fold) for fold in folds)


def check_dataset(data: Dataset) -> None:
    """Refuse a data set with too few patients of a class to learn from.

    Raises
    ------
    MammoroiError
        When nothing was measured, or a fold has fewer than 3 patients of a class to be fitted on.
    """
    if data.X.empty:
        raise MammoroiError(
            f"target {data.target.name}, {data.roi} ROIs: nothing was measured of any patient",
            "look at masks/predictions.csv and features/missed.csv: networks that find nothing "
            "want longer training",
        )
    names = {1: data.target.positive, 0: " or ".join(data.target.negative)}
    for division in (*data.divisions, *data.divisions_all):
        for number in range(len(division)):
            labels = data.y[data.outside(division, number)]
            for value, name in names.items():
                count = int((labels == value).sum())
                if count < MIN_CLASS:
                    raise MammoroiError(
                        f"target {data.target.name}, {data.roi} ROIs: fold {number} has {count} "
                        f"of {len(labels)} training patients with {data.target.label} = {name}",
                        f"at least {MIN_CLASS} are needed: add patients, join classes, "
                        "or leave the task out",
                    )


@dataclass(frozen=True)
class Trained:
    """The recipe fitted to some patients.

    Attributes
    ----------
    fit : Fit
        The fitted steps.
    scores : Series
        By ``patient_id``: the score of each of these patients by the recipe fitted without her; the
        fit's own, the same for all, where no feature was selected.
    calibration : Calibration
        The sigmoid fitted to them.
    """

    fit: Fit
    scores: pd.Series
    calibration: Calibration

    @property
    def inner(self) -> pd.Series:
        """The scores; missing for all where no feature was selected."""
        return self.scores * np.nan if self.fit.empty_at else self.scores


def train(data: Dataset, patients: list[str], config: ModelingConfig) -> Trained:
    """Fit the recipe to patients with features, and its sigmoid to their inner scores."""
    import pandas as pd

    X, y = data.X.loc[patients], data.y[patients]
    fit = fit_recipe(X, y, config, data.repeats, data.batches)
    scores = fit.scores(X) if fit.empty_at else fit.inner_scores
    if scores is None:
        scores = inner_scores(X, y, config, data.repeats, data.batches)
    series = pd.Series(scores, index=y.index, dtype=float)
    return Trained(fit, series, fit_calibration(scores, y))


def run_fold(data: Dataset, division: Division, number: int, config: ModelingConfig) -> FoldResult:
    """Fit on a fold's training patients, calibrate on inner folds, predict its validation part."""
    patients = data.outside(division, number)
    trained = train(data, patients, config)
    fit, calibration, held_out = trained.fit, trained.calibration, division[number]
    prevalence = float(data.y[[patient for fold in division for patient in fold]].mean())
    crossed = None
    if data.other is not None:
        other = exchanged(data, data.other, patients)
        crossed = predict(other, fit, calibration, held_out, prevalence)
    threshold = prevalence  # with risks all alike, which it must not tell apart by the fold
    if not fit.empty_at:
        threshold = youden_threshold(data.y[patients], calibration.risk(trained.scores))
    predicted = predict(data, fit, calibration, held_out, prevalence)
    predicted = predicted.assign(fold=number, threshold=threshold)
    selected = tuple(fit.selected())
    result = FoldResult(predicted, trained.inner, crossed, selected, fit.funnel(), None)
    if data.clinical is None:
        return result
    models = fit_predictors(data.clinical, trained.scores, data.y[patients], config.seed)
    risks = predict_predictors(models, data.clinical, result.known_scores())
    return replace(result, predictors=risks)


def inner_scores(
    X: pd.DataFrame,
    y: pd.Series,
    config: ModelingConfig,
    repeats: Repeats | None,
    batches: pd.Series | None = None,
) -> NDArray[np.float64]:
    """Score each row by the recipe fitted without it, in stratified shuffled folds."""
    smaller = int(min(y.sum(), len(y) - y.sum()))
    splitter = StratifiedKFold(
        min(config.calibration_folds, smaller), shuffle=True, random_state=config.seed
    )
    scores = np.empty(len(y))
    for fitted, held_out in splitter.split(X, y):
        fit = fit_recipe(X.iloc[fitted], y.iloc[fitted], config, repeats, batches)
        scores[held_out] = fit.scores(X.iloc[held_out])
    return scores


def run_final(data: Dataset, config: ModelingConfig) -> Trained:
    """Fit the recipe to all training patients."""
    return train(data, data.with_features(data.train), config)


def mean_of_repeats(tables: list[pd.DataFrame]) -> pd.DataFrame:
    """Average each patient's predictions over the repeats, in the order of the first.

    Columns as in :func:`predict`, and ``threshold`` where it is there; of a column ``fold`` the
    first repeat's value stays.
    """
    import pandas as pd

    every = pd.concat(tables, ignore_index=True)
    table = every.drop_duplicates("patient_id").set_index("patient_id")
    averaged = every.columns.intersection(["score", "risk", "radscore", "threshold"])
    means = every.groupby("patient_id")[list(averaged)].mean()
    table[means.columns] = means.loc[table.index]
    return table.reset_index()


def predict(
    data: Dataset,
    fit: Fit,
    calibration: Calibration,
    patients: tuple[str, ...],
    prevalence: float | None = None,
) -> pd.DataFrame:
    """Predict patients: ``patient_id, label, score, risk, radscore, missed``.

    A patient whose lesion was missed has no score and no radscore; her risk is the prevalence
    among the patients the model was fitted to, since nothing was measured. The same risk goes to
    everybody when no feature was selected. Over folds it is the ``prevalence`` among all of them,
    which ranks nobody: that among a fold's own training patients is the lower, the more positive
    patients the fold holds out, and would turn chance into less than chance.
    """
    import pandas as pd

    found = data.with_features(patients)
    X = data.X.loc[found]
    table = pd.DataFrame({"patient_id": list(patients)}).set_index("patient_id")
    table["label"] = data.y[list(patients)]
    table["score"] = np.nan
    table["risk"] = fit.prevalence if prevalence is None else prevalence
    table["radscore"] = np.nan
    table["missed"] = ~table.index.isin(found)
    if found:
        scores = fit.scores(X)
        table.loc[found, "score"] = scores
        table.loc[found, "radscore"] = fit.radscores(X)
        if not fit.empty_at:
            table.loc[found, "risk"] = calibration.risk(scores)
    return table.reset_index()

"""Clinical variables as predictors, alone and with radiomics, to show what radiomics adds.

The sets of predictors:

``clinical``
    All clinical variables of the cohort but the target's own label, and but those that are partly
    made of it (:attr:`.clinical_config.ClinicalVariable.circular`): the TNM stage has the nodes in
    it, and would foretell itself. Nor those that tell the class of every training patient, whether
    declared so or not (:func:`.clinical_design.tells`).
``preoperative``
    Those of them that are known before surgery.
``radiomics+clinical``, ``radiomics+preoperative``
    Either with the radiomics score as one more column.

The models: see :mod:`.predictor_model`.

A radiomics score that was fitted to the very patients would look better than it is. The training
patients' scores are therefore out-of-fold: over a fold's inner folds, and, for the model that is
applied to the test patients, over the outer folds of the first repeat.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..errors import MammoroiError
from .clinical_config import ClinicalConfig, ClinicalVariable
from .clinical_design import coded, present_variables, tells
from .predictor_model import SCORE, PredictorModel, fit_predictor

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

RADIOMICS, CLINICAL, PREOPERATIVE = "radiomics", "clinical", "preoperative"
COMBINED = {f"{RADIOMICS}+{name}": name for name in (CLINICAL, PREOPERATIVE)}
"""The combined sets of predictors, and the clinical one in each."""


@dataclass(frozen=True)
class Clinical:
    """The clinical variables that may foretell one target.

    Attributes
    ----------
    cells : DataFrame
        A column for each variable, indexed by ``patient_id``: float64, or text for levels; missing
        cells stay missing.
    variables : tuple of ClinicalVariable
        In this order, with the levels that occur where none were declared.
    left_out : dict of str to str
        Variables that are no predictors of this target, and why.
    """

    cells: pd.DataFrame
    variables: tuple[ClinicalVariable, ...]
    left_out: dict[str, str]

    def sets(self) -> dict[str, tuple[ClinicalVariable, ...]]:
        """Give the clinical sets that have a variable."""
        before = tuple(variable for variable in self.variables if variable.preoperative)
        sets = {CLINICAL: self.variables, PREOPERATIVE: before}
        return {name: variables for name, variables in sets.items() if variables}


def clinical_of(
    patients: pd.DataFrame, label: str, config: ClinicalConfig, y: pd.Series
) -> Clinical | None:
    """Take the clinical predictors of a label from ``patients.csv``.

    Parameters
    ----------
    patients : DataFrame
        ``patients.csv``.
    label : str
        The column that is foretold.
    config : ClinicalConfig
        Its variables. Numbers are never cut here: that would throw information away.
    y : Series
        The 0/1 labels of the training patients, by ``patient_id``.

    Returns
    -------
    Clinical or None
        None when the cohort has none. A standard variable whose cells cannot be read is left out,
        and said to be.
    """
    import pandas as pd

    left_out, columns, variables = {}, {}, []
    ids = pd.Index(patients["patient_id"].astype(str), name="patient_id")
    for variable in present_variables(patients, config):
        if variable.name == label:
            continue
        if label in variable.circular:
            left_out[variable.name] = f"partly made of {label}"
            continue
        try:
            cells = coded(patients, variable, cut_numbers=False)
        except MammoroiError as error:
            left_out[variable.name] = str(error)
            continue
        if cells.nunique() < 2:
            left_out[variable.name] = "the same value in all patients"
            continue
        if tells(cells.set_axis(ids).reindex(y.index), y):
            left_out[variable.name] = f"tells {label} in every training patient"
            log.warning(
                "%s is no clinical predictor: it tells %s in every training patient",
                *(variable.name, label),
            )
            continue
        number = variable.kind == "number"
        columns[variable.name] = cells if number else cells.astype(object)
        variables.append(variable)
    if not variables:
        return None
    values = pd.DataFrame(columns)
    values.index = ids
    return Clinical(values, tuple(variables), left_out)


def with_scores(clinical: Clinical, scores: pd.Series) -> pd.DataFrame:
    """Give the clinical values of the patients of ``scores``, and those as a column."""
    return clinical.cells.loc[scores.index].assign(**{SCORE: scores.astype("float64")})


def fit_predictors(
    clinical: Clinical, scores: pd.Series, y: pd.Series, seed: int
) -> dict[str, PredictorModel]:
    """Fit each set of predictors but radiomics alone.

    Parameters
    ----------
    clinical : Clinical
        Of at least the patients of ``scores``.
    scores : Series
        Out-of-fold radiomics scores of the training patients, by ``patient_id``; missing ones are
        imputed like any number.
    y : Series
        Their 0/1 labels.
    seed : int
        Of the inner folds.
    """
    values, labels = with_scores(clinical, scores), y[scores.index].to_numpy(dtype=int)
    models = {}
    for name, variables in clinical.sets().items():
        model = fit_predictor(values, labels, variables, seed)
        models[name] = model
        together = f"{RADIOMICS}+{name}"
        models[together] = fit_predictor(values, labels, variables, seed, model.cost, True)
    return models


def predict_predictors(
    models: dict[str, PredictorModel], clinical: Clinical, scores: pd.Series
) -> pd.DataFrame:
    """Give the risks of patients by each model: ``patient_id``, then a column for each.

    Without a radiomics score (a lesion that was missed, no feature selected) a patient has the
    training patients' median in a combined model.
    """
    values = with_scores(clinical, scores)
    risks = {name: model.risk(values) for name, model in models.items()} if len(values) else {}
    table = scores.to_frame()[[]]
    for name in models:
        table[name] = risks.get(name, np.nan)
    return table.rename_axis("patient_id").reset_index()

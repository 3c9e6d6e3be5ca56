"""The clinical tables of a study: characteristics, and what goes with each label.

Written to ``tables/`` of the study folder:

``table1_baseline.csv``
    All, training and test patients; columns in :func:`.baseline.baseline_table`.
``table<k>_<task>.csv``
    From ``table2`` on, one for each task: odds ratios of each variable alone, of all together,
    and of those known before surgery; columns in :mod:`.odds_ratios`.
``table<k>_proportionality.csv``
    For a task of three or more classes: Brant's tests; columns in
    :func:`.odds_ratios.proportionality_table`.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from ..cohort.cohort import read_table
from ..cohort.schema import PATIENT_COLUMNS
from ..cohort.split import Splits, load_splits
from ..files import write_csv
from .baseline import baseline_table
from .clinical_config import ClinicalConfig
from .odds_ratios import proportionality_table, regression_table
from .regression import fit_models, outcome_codes

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

OWN_FILES = "table[0-9]*_*.csv"


def tables(config: ClinicalConfig, study: Path) -> Path:
    """Make the clinical tables of a study from ``patients.csv`` and ``splits.json``.

    Returns
    -------
    Path
        The folder ``tables`` of the study.

    Raises
    ------
    MammoroiError
        When a file, a label, a variable or a value cannot be used.
    """
    study = Path(study)
    patients = read_table(study / "patients.csv", PATIENT_COLUMNS)
    made = regression_tables(patients, load_splits(study), config)
    folder = study / "tables"
    for earlier in folder.glob(OWN_FILES):
        earlier.unlink()
    for name, table in made.items():
        write_csv(folder / f"{name}.csv", table)
    return folder


def regression_tables(
    patients: pd.DataFrame, splits: Splits, config: ClinicalConfig
) -> dict[str, pd.DataFrame]:
    """Make the clinical tables.

    Parameters
    ----------
    patients : DataFrame
        ``patients.csv``; patients in neither set of the division are left out.
    splits : Splits
        The division.
    config : ClinicalConfig
        Variables, tasks, and how they are treated.

    Returns
    -------
    dict of str to DataFrame
        The tables by the names of their files.

    Raises
    ------
    MammoroiError
        When a label, a variable or a value cannot be used.
    """
    train, test = list(splits.train), list(splits.test)
    made = {"table1_baseline": baseline_table(patients, train, test, config)}
    used = train if config.patients == "train" else [*train, *test]
    chosen = patients[patients["patient_id"].isin(used)]
    for k, task in enumerate(config.resolved_tasks(), start=2):
        models = fit_models(chosen, task, config)
        made[f"table{k}_{task.name}"] = regression_table(models, config)
        if outcome_codes(chosen, task).nunique() > 2:
            made[f"table{k}_proportionality"] = proportionality_table(models)
        log.info("clinical table of %s: %d models", task.name, len(models))
    return made

"""A frozen model's answers to questions of three or more classes, on a second cohort.

``classes.csv``: as of new mammograms (:mod:`.tables`), with the ``label`` of the patient, her
class, where it is known. ``classes_performance.csv``: ``task, patients`` (*with a risk*; *all*,
where some with an outcome have none, who then count with the prevalences of the training), ``n,
n_missed``, the measures of :func:`..modeling.class_measures.measure_classes` with their intervals,
and the macro AUC of the study's test patients (:func:`.tested.study_columns`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..modeling.class_measures import measure_classes
from ..reporting import wording
from ..reporting.tables import Table
from .class_risks import ClassModel
from .tables import CLASS_COLUMNS, table_of
from .tested import MACRO, study_columns

if TYPE_CHECKING:
    import pandas as pd

SHOWN = {
    "study_macro_auc": "Macro AUC in the study",
    "macro_auc": "Macro AUC here",
    "hand_till": "M",
    "balanced_accuracy": "Balanced accuracy",
    "quadratic_kappa": "Kappa, quadratic",
    "scaled_brier": "Scaled Brier score",
}


def class_tables(
    models: Sequence[ClassModel],
    rows: Sequence[dict[str, Any]],
    truths: Mapping[str, pd.Series],
    n_bootstrap: int,
    seed: int,
) -> dict[str, pd.DataFrame]:
    """Tabulate the answers, and how well they do.

    Parameters
    ----------
    models : sequence of ClassModel
        The questions of the bundle; without any there are no tables.
    rows : sequence of dict
        Of :func:`.tables.class_rows`, of all patients.
    truths : Mapping of str to Series
        Each patient's class, by the name of the question; those that are not known are missing.
    n_bootstrap, seed : int
        Bootstrap samples of patients.

    Returns
    -------
    dict of str to DataFrame
        By the files' names without the ending.
    """
    import pandas as pd

    if not models:
        return {}
    table = table_of(rows, CLASS_COLUMNS)
    table["label"] = [
        truths[task].get(patient) if task in truths else None
        for task, patient in zip(table["task"], table["patient_id"], strict=True)
    ]
    measured = []
    for one in models:
        known = table[(table["task"] == one.task) & table["label"].notna()]
        if len(known):
            measured += _measured(one, known, n_bootstrap, seed)
    return {"classes": table, "classes_performance": pd.DataFrame(measured)}


def _measured(
    one: ClassModel, known: pd.DataFrame, n_bootstrap: int, seed: int
) -> list[dict[str, Any]]:
    # A patient's rows stand together, in the order of the classes.
    risks = known["risk"].to_numpy(dtype=float).reshape(-1, len(one.classes))
    codes = np.array([one.classes.index(name) for name in known["label"].iloc[:: len(one.classes)]])
    absent = np.isnan(risks).any(axis=1)
    sets = [("with a risk", ~absent)]
    if absent.any():
        risks[absent] = one.coupling.prevalences
        sets.append(("all", np.ones_like(absent)))
    found = []
    for name, chosen in sets:
        if chosen.any():
            measured = measure_classes(
                *(codes[chosen], risks[chosen], absent[chosen], one.classes, n_bootstrap, seed)
            )
            measured.pop("by_class")  # of the single classifiers: performance.csv
            study = study_columns(one.tested, MACRO)
            found.append({"task": one.task, "patients": name, **measured, **study})
    return found


def class_table(frame: pd.DataFrame | None) -> Table | None:
    """Show the measures of all questions."""
    if frame is None or frame.empty:
        return None
    cells = [
        [
            str(row["task"]),
            str(row["patients"]),
            str(row["n"]),
            *(
                wording.interval(row[key], row[f"{key}_lower"], row[f"{key}_upper"])
                for key in SHOWN
            ),
        ]
        for row in frame.to_dict("records")
    ]
    return Table(
        "classes_performance",
        "All classes of a question together",
        "Estimate (95% bootstrap interval over patients). In the study: of its test patients, "
        "everyone counted. “All”: patients without a risk got the "
        "prevalences of the training. M: Hand and Till. A scaled Brier score of 0 is that of "
        "giving everybody the prevalences, 1 is right.",
        frame,
        ["Question", "Patients", "n", *SHOWN.values()],
        cells,
    )

"""The files that say for whom the classifiers and the masks work.

``models/<target>/<roi>/subgroups.csv`` and ``heterogeneity.csv``, by the stage `model`: see
:func:`.subgroups.subgroup_performance` and :func:`.subgroups.heterogeneity`. ``set`` is ``train``
(out of fold), ``test`` and, where the classifiers were validated on all patients, ``all`` (out of
fold). A patient whose lesion the automatic masks missed counts with the risk that she was given.

``comparison/subgroups_dice.csv``, by the stage `compare`: ``comparison (automatic-manual |
reader2-manual)`` and the columns of :func:`.subgroups.subgroup_agreement`. A missed lesion counts
as a Dice of 0.

All three have no rows where patients cannot be sorted into groups.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..cohort.schema import IMAGE_COLUMNS, PATIENT_COLUMNS
from ..files import read_csv, write_csv
from .subgroups import heterogeneity, patient_groups, subgroup_agreement, subgroup_performance

if TYPE_CHECKING:
    import pandas as pd

COMPARISONS = ("automatic-manual", "reader2-manual")


def read_groups(study: Path) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    """Read a study's patients, sorted into groups, and its images.

    Returns
    -------
    groups : DataFrame
        See :func:`.subgroups.patient_groups`.
    images : DataFrame or None
        ``cohort.csv`` as text; None without it.
    """
    import pandas as pd

    patients = read_csv(study / "patients.csv", dtype=str)
    numbers = {column.name for column in (*PATIENT_COLUMNS, *IMAGE_COLUMNS) if column.numeric}
    for name in numbers & set(patients):
        patients[name] = pd.to_numeric(patients[name])
    path = study / "cohort.csv"
    images = read_csv(path, dtype=str) if path.exists() else None
    return patient_groups(patients, images), images


def write_subgroups(
    folder: Path,
    predictions: pd.DataFrame,
    predictions_all: pd.DataFrame | None,
    groups: pd.DataFrame,
) -> None:
    """Write ``subgroups.csv`` and ``heterogeneity.csv`` of one model.

    Parameters
    ----------
    folder : Path
        ``models/<target>/<roi>``.
    predictions, predictions_all : DataFrame
        ``patient_id, set, label, risk``; the second out of fold over all patients, if it was done.
    groups : DataFrame
        See :func:`read_groups`.
    """
    import pandas as pd

    tables = [predictions]
    if predictions_all is not None:
        tables.append(predictions_all.assign(set="all"))
    performance = subgroup_performance(pd.concat(tables, ignore_index=True), groups)
    write_csv(folder / "subgroups.csv", performance)
    write_csv(folder / "heterogeneity.csv", heterogeneity(performance))


def dice_by_group(study: Path, n_bootstrap: int, seed: int) -> pd.DataFrame:
    """Tabulate the Dice of the automatic masks, and of a second reader's, in every group.

    Returns
    -------
    DataFrame
        ``subgroups_dice.csv``; no rows without ``agreement.csv``.
    """
    import pandas as pd

    path = study / "agreement.csv"
    columns = ["comparison", "image_id", "patient_id", "dice"]
    ids = {"image_id": str, "patient_id": str}
    agreement = read_csv(path, dtype=ids) if path.exists() else pd.DataFrame(columns=columns)
    groups, images = read_groups(study)
    parts = []
    for comparison in COMPARISONS:
        rows = agreement[agreement["comparison"] == comparison]
        part = subgroup_agreement(rows, groups, images, n_bootstrap, seed)
        part.insert(0, "comparison", comparison)
        parts.append(part)
    return pd.concat([part for part in parts if len(part)] or parts[:1], ignore_index=True)

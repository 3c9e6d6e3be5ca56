"""What both sources of masks have in common: patients with two risks, images with two masks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import MammoroiError
from ..files import read_csv
from .table import ROIS

if TYPE_CHECKING:
    import pandas as pd


def pair_predictions(folder: Path) -> tuple[pd.DataFrame, list[str]]:
    """Join the predictions of both sources for a target.

    Returns
    -------
    pairs : DataFrame
        ``patient_id, set, fold, label, risk_manual, risk_automatic, missed, threshold_manual,
        threshold_automatic``. Where both sources were also validated on all patients, these stand
        below as the set ``all``, without a fold.
    only_one : list of str
        Patients whom one source only predicts (manual masks that could not be measured); they are
        not compared.

    Raises
    ------
    MammoroiError
        When a patient's set, fold or label differs between the two.
    """
    import pandas as pd

    pairs, only_one = paired_tables(folder, "predictions.csv", ("set", "fold", "label"))
    name = "predictions_all.csv"
    if all((folder / roi / name).exists() for roi in ROIS):
        everybody, _ = paired_tables(folder, name, ("set", "label"))
        pairs = pd.concat([pairs, everybody.assign(set="all", fold=None)], ignore_index=True)
    columns = ["patient_id", "set", "fold", "label", "risk_manual", "risk_automatic", "missed"]
    columns += [str(name) for name in pairs if str(name).startswith("threshold_")]
    return pairs[columns].astype({"label": int}), only_one


def paired_tables(folder: Path, name: str, same: tuple[str, ...]) -> tuple[pd.DataFrame, list[str]]:
    """Join a table of predictions of both sources; see :func:`pair_predictions`.

    Columns get the endings ``_manual`` and ``_automatic``, but for those that are the ``same`` and
    ``missed``, which is that of the automatic masks. ``label`` is text: classes may be called by
    numbers.
    """
    text = dict.fromkeys(("patient_id", "fold", "label", "called"), str)
    manual, automatic = (read_csv(folder / roi / name, dtype=text) for roi in ROIS)
    pairs = manual.merge(automatic, on="patient_id", suffixes=("_manual", "_automatic"))
    for column in same:
        left, right = pairs[f"{column}_manual"], pairs[f"{column}_automatic"]
        different = pairs[(left != right) & ~(left.isna() & right.isna())]
        if len(different):
            raise MammoroiError(
                f"{folder}: patient {different['patient_id'].iloc[0]} has another {column} with "
                "automatic than with manual ROIs",
                "run the stage 'model' again for both",
            )
    names = {f"{column}_manual": column for column in same} | {"missed_automatic": "missed"}
    only_one = sorted(set(manual["patient_id"]) ^ set(automatic["patient_id"]))
    return pairs.rename(columns=names), only_one


def dice_of(study: Path) -> pd.Series:
    """Read the Dice of each automatic mask with the manual one; empty without ``agreement.csv``."""
    import pandas as pd

    path = study / "agreement.csv"
    if not path.exists():
        return pd.Series(dtype=float)
    table = read_csv(path, dtype={"image_id": str})
    rows = table[table["comparison"] == "automatic-manual"]
    return rows.set_index("image_id")["dice"]

"""Classifiers trained on one source of masks and applied to the other.

``comparison/cross_application.csv``: ``target, set, rule, trained_on, applied_to, n, n_missed, auc,
auc_lower, auc_upper, difference, difference_lower, difference_upper, p_delong``, the difference
being that to the same classifier on its own masks (AUC on the others minus AUC on its own, DeLong;
empty on its own), and ``calibration_intercept, calibration_slope``, each with ``_lower`` and
``_upper``. A lesion that was missed has no features; its patient gets the prevalence of the
training patients, as always. A feature that is missing with the other masks becomes the median of
the training patients, as for a new patient.

Test patients: from the final models as they were saved. Training patients (``set`` train, or all):
where the folds' models were applied too, from ``models/<target>/<roi>/crossed.csv`` and
``crossed_all.csv``: ``patient_id, risk``, out-of-fold, means over the repeats.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import MammoroiError
from ..files import read_csv
from .calibration import calibration_intercept, calibration_slope
from .discrimination import auc_difference, auc_interval
from .persist import load_model, predict_risk
from .table import ROIS

if TYPE_CHECKING:
    import pandas as pd

    from .validate import Dataset

FILES = {"train": "crossed.csv", "all": "crossed_all.csv"}


def exchanged(data: Dataset, other: pd.DataFrame, fitted: Sequence[str]) -> Dataset:
    """Put the features of the other source of masks into a data set, for its own fits to predict.

    Parameters
    ----------
    data : Dataset
        On which a model was fitted.
    other : DataFrame
        The other source's features, indexed by ``patient_id``, with the columns of ``data.X``.
    fitted : sequence of str
        The patients the model was fitted to; where the other source lacks a value, their median
        takes its place.

    Returns
    -------
    Dataset
        The same patients and labels; those without a lesion in the other source are missed.
    """
    values = other[data.X.columns]
    finite = np.isfinite(values.to_numpy(dtype=np.float64))
    gaps = values.columns[~finite.all(axis=0)]
    known = values.where(finite)
    # Filling all columns, most of which have no gap, would be a tenth of a fold's time.
    return replace(data, X=known.fillna(data.X.loc[list(fitted), gaps].median()))


def crossed_risks(
    folder: Path,
    trained_on: str,
    part: str,
    images: pd.DataFrame,
    patients: pd.Series,
    batches: pd.Series | None,
) -> pd.Series | None:
    """Give the risks by a classifier on the masks that it was not trained on.

    Parameters
    ----------
    folder : Path
        ``models/<target>``.
    trained_on : str
        ``manual`` or ``automatic``.
    part : {"train", "test", "all"}
        The set that the patients are of.
    images : DataFrame
        The features of the other source, a row for each image.
    patients : Series
        Whose risks to give.
    batches : Series or None
        Each patient's centre or device, where features are harmonised.

    Returns
    -------
    Series or None
        Risks in the order of the patients; None when the folds' models were not applied.

    Raises
    ------
    MammoroiError
        When the folds' models were applied, but not to all of these patients.
    """
    import pandas as pd

    if part in FILES:
        path = folder / trained_on / FILES[part]
        if not path.exists():
            return None
        known = read_csv(path, dtype={"patient_id": str}).set_index("patient_id")["risk"]
        absent = patients[~patients.isin(known.index)]
        if len(absent):
            raise MammoroiError(f"{path} lacks patient {absent.iloc[0]}", "run 'model' again")
        return known[patients]
    prevalence = load_model(folder / trained_on).about["prevalence"]
    risks = pd.Series(prevalence, index=pd.Index(patients), dtype=float)
    theirs = images[images["patient_id"].isin(patients)]
    if len(theirs):
        found = predict_risk(folder / trained_on, theirs, batches).set_index("patient_id")["risk"]
        risks[found.index] = found
    return risks


def cross_rows(part: pd.DataFrame, crossed: dict[str, pd.Series | None]) -> list[dict[str, Any]]:
    """Compare each classifier on the other masks with itself on its own.

    Parameters
    ----------
    part : DataFrame
        ``patient_id, label, risk_manual, risk_automatic, missed`` of one set and rule.
    crossed : dict
        By the source that a classifier was trained on: its risks on the other masks, indexed by
        patient.

    Returns
    -------
    list of dict
        Rows of ``cross_application.csv`` from ``trained_on`` on; only those on its own masks where
        a classifier was not applied to the others.
    """
    label = part["label"].to_numpy(int)
    rows = []
    for trained_on in ROIS:
        own = part[f"risk_{trained_on}"].to_numpy(float)
        rows.append(_row(part, label, trained_on, trained_on, own, None))
        risks = crossed[trained_on]
        if risks is not None:
            other = next(roi for roi in ROIS if roi != trained_on)
            found = risks[part["patient_id"]].to_numpy(float)
            rows.append(_row(part, label, trained_on, other, found, own))
    return rows


def _row(
    part: pd.DataFrame,
    label: np.ndarray[tuple[int, ...], np.dtype[np.int64]],
    trained_on: str,
    applied_to: str,
    risks: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
    own: np.ndarray[tuple[int, ...], np.dtype[np.float64]] | None,
) -> dict[str, Any]:
    values: dict[str, Any] = {
        "trained_on": trained_on,
        "applied_to": applied_to,
        "n": len(part),
        "n_missed": int(part["missed"].sum()) if applied_to == "automatic" else 0,
    }
    values |= _ends("auc", auc_interval(label, risks))
    gap = None if own is None else auc_difference(label, risks, own)
    unknown = float("nan")
    values |= _ends(
        "difference",
        (unknown, unknown, unknown) if gap is None else (gap.difference, gap.lower, gap.upper),
    )
    values["p_delong"] = unknown if gap is None else gap.p_value
    values |= _ends("calibration_intercept", calibration_intercept(label, risks))
    return values | _ends("calibration_slope", calibration_slope(label, risks))


def _ends(name: str, values: tuple[float, float, float]) -> dict[str, float]:
    return dict(zip((name, f"{name}_lower", f"{name}_upper"), values, strict=True))

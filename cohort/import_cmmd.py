"""CMMD, the Chinese Mammography Database of The Cancer Imaging Archive: images without outlines.

``CMMD_clinicaldata_revision.csv`` (the published workbook, saved as CSV), a row per breast, and
below the folder, at any depth, a folder per patient (``D1-0001``) with DICOM files. Which breast
and view a file shows, only its header says.

The molecular subtype is imported under its own name. It is not turned into ``her2``: luminal B may
be positive or not, and triple negative does not tell zero from low.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from ..errors import Failure, MammoroiError
from .cohort import records
from .import_common import SIDES, Case, Release, Wanted, cell, left_out, malignant
from .import_tables import read_table

TABLE = "CMMD_clinicaldata_revision.csv"

_COLUMNS = ["ID1", "LeftRight", "Age", "abnormality", "classification", "subtype"]
_PATIENT = re.compile(r"D[12]-\d{4}")
_CARRIED = ("abnormality", "classification", "subtype")


def read_cmmd(wanted: Wanted) -> Release:
    """Find the images and what is known of the breasts.

    Parameters
    ----------
    wanted : Wanted
        ``images_without_mask`` must be ``keep``, since no image has one; ``findings`` and
        ``several`` do not matter.

    Returns
    -------
    Release
        Images have ``abnormality``, ``classification`` and ``subtype`` of their breast, empty for
        the breast of which the table is silent; patients ``age``, and ``malignant``: ``yes`` where
        at least one breast is.

    Raises
    ------
    MammoroiError
        When the table is missing, is still a workbook or lacks a column, when there are no
        folders of patients, or images without a mask are not wanted.
    """
    if wanted.images_without_mask != "keep":
        raise MammoroiError("CMMD is published without masks", "set images_without_mask: keep")
    table = wanted.folder / TABLE
    breasts: dict[str, dict[str, dict[str, str | None]]] = {}
    patients: list[dict[str, str | None]] = []
    rows = [row for row in records(read_table(table, _COLUMNS)) if row["ID1"]]
    classes: dict[str, list[str | None]] = {}
    for row in rows:
        classes.setdefault(row["ID1"], []).append(cell(row["classification"]))
    for row in rows:
        side = SIDES.get(row["LeftRight"] or "", "")
        carried = {column: cell(row[column]) for column in _CARRIED}
        breasts.setdefault(row["ID1"], {})[side] = carried
        label = malignant(classes[row["ID1"]])
        patients.append({"patient_id": row["ID1"], "age": cell(row["Age"]), "malignant": label})
    cases: list[Case] = []
    excluded: list[Failure] = []
    folders = _folders(wanted.folder)
    for patient, files in sorted(folders.items()):
        for number, file in enumerate(files, start=1):
            name = f"{patient}_{number}"
            if patient in breasts:
                cases.append(Case(name, patient, file, by_side=breasts[patient]))
            else:
                excluded.append(left_out(name, f"{TABLE} has no row for {patient}", "add the row"))
    if not folders:
        raise MammoroiError(
            f"{wanted.folder} holds no folders of patients (D1-0001, ...) with DICOM files",
            "name the folder of the release",
        )
    return Release(
        name="CMMD",
        doi="10.7937/tcia.eqde-4b16",
        licence="CC BY 4.0",
        mask_kind="outline",
        tables=(table,),
        cases=cases,
        patients=patients,
        excluded=excluded,
        sides={(patient, side) for patient, sides in breasts.items() for side in sides if side},
    )


def _folders(folder: Path) -> dict[str, list[Path]]:
    """List the DICOM files of every patient."""
    found: dict[str, list[Path]] = {}
    for parent, names, _ in os.walk(folder):
        for name in [name for name in names if _PATIENT.fullmatch(name)]:
            files = sorted((Path(parent) / name).rglob("*.dcm"))
            if files:
                found.setdefault(name, []).extend(files)
            names.remove(name)
    return found

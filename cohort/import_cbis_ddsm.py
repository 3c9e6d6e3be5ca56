"""CBIS-DDSM of The Cancer Imaging Archive, as its download lies on the disk.

``mass_case_description_train_set.csv`` and its three sisters lie in the folder; below it, at any
depth, a folder per image (``Mass-Training_P_00001_LEFT_CC``) and one per abnormality
(``Mass-Training_P_00001_LEFT_CC_1``), or folders that are called by UID: then the names are in the
headers, as the patient's identifier. What lies between folders and files differs between
downloads and from the tables, and in many folders the mask and the crop around the lesion have
changed names. So the names of files and the columns of the crop are not used: the mask is the file
that has two values only and the size of its image.

The films were digitised at 0.042 to 0.05 mm by scanner, which the files do not say.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import Failure, MammoroiError
from .import_common import (
    DENSITIES,
    SIDES,
    Case,
    Mask,
    Release,
    Wanted,
    cell,
    joined,
    left_out,
    malignant,
)
from .import_release import Row, dicom_files, empty_cell, numbered, whole
from .import_tables import read_table
from .schema import nearest

if TYPE_CHECKING:
    import pandas as pd

KINDS = {"mass": "mass", "calcification": "calc"}
"""Findings to the names of their tables; apart, since each has its own training and test set."""

PARTS = ("train", "test")

_NAME = re.compile(r"(Mass|Calc)-(Training|Test)_P_\d+_(LEFT|RIGHT)_(CC|MLO)(_\d+)?")
_COLUMNS = [
    "patient_id",
    "left or right breast",
    "image view",
    "abnormality id",
    "assessment",
    "pathology",
    "subtlety",
    "image file path",
    "ROI mask file path",
]
_SHOWN = ("patient_id", "left or right breast", "image view")
_NEEDED = (*_SHOWN, "abnormality id", "image file path", "ROI mask file path")
_OF_PART = {"train": "Training", "test": "Test"}
_CARRIED = ("pathology", "assessment", "subtlety")
_OF_KIND = {
    "mass": ("mass shape", "mass margins"),
    "calcification": ("calc type", "calc distribution"),
}


def read_cbis_ddsm(wanted: Wanted) -> Release:
    """Find images, masks and labels of one kind of finding.

    Parameters
    ----------
    wanted : Wanted
        ``findings`` names one kind, ``mass`` or ``calcification``.

    Returns
    -------
    Release
        Patients have ``split`` as published, ``breast_density``, and ``malignant``: ``yes`` where
        the pathology of at least one abnormality of this kind is malignant.

    Raises
    ------
    MammoroiError
        When a table is missing or lacks a column, another finding is asked for, or there are no
        DICOM files of the release.
    """
    kind = wanted.findings[0].casefold() if len(wanted.findings) == 1 else ""
    if kind not in KINDS:
        raise MammoroiError(
            f"findings of CBIS-DDSM are '{', '.join(wanted.findings)}'",
            "choose one: mass or calcification; the two have training and test sets of their own",
        )
    tables = tuple(
        wanted.folder / f"{KINDS[kind]}_case_description_{part}_set.csv" for part in PARTS
    )
    files = _files(wanted.folder)
    cases: list[Case] = []
    excluded: list[Failure] = []
    rows = [
        {**row, "split": part, "place": f"{table.name}, line {line}"}
        for part, table in zip(PARTS, tables, strict=True)
        for line, row in numbered(_table(table, kind))
    ]
    pathology: dict[str | None, list[str | None]] = {}
    for row in rows:
        pathology.setdefault(row["patient_id"], []).append(row["pathology"])
    patients = [
        {
            "patient_id": row["patient_id"],
            "split": row["split"],
            "breast_density": DENSITIES.get(row["breast_density"] or ""),
            "malignant": malignant(pathology[row["patient_id"]]),
        }
        for row in rows
    ]
    images: dict[str, list[Row]] = {}
    for row in rows:
        images.setdefault(_image_of(row, kind), []).append(row)
    for name, findings in images.items():
        try:
            cases.append(_case(name, findings, files, kind))
        except MammoroiError as error:
            excluded.append(left_out(name, error.found, error.action))
    return Release(
        name=f"CBIS-DDSM, {kind}",
        doi="10.7937/K9/TCIA.2016.7O02S9CY",
        licence="CC BY 3.0",
        mask_kind="outline",
        tables=tables,
        cases=cases,
        patients=patients,
        excluded=excluded,
    )


def _table(path: Path, kind: str) -> pd.DataFrame:
    """Read one table; the density has another name in those of calcifications."""
    table = read_table(path, [*_COLUMNS, *_OF_KIND[kind]])
    table = table.rename(columns={"breast density": "breast_density"})
    if "breast_density" not in table:
        present = [str(name) for name in table.columns]
        raise MammoroiError(
            f"{path} has no column 'breast_density'", nearest("breast_density", present, "it has")
        )
    return table


def _first(path: str) -> str:
    """Name the folder that a path of the tables begins with."""
    return path.strip().replace("\\", "/").partition("/")[0]


def _image_of(row: Row, kind: str) -> str:
    """Name the image of a row; without a path by the other columns, without these by the line."""
    if row["image file path"] is not None:
        return _first(row["image file path"])
    parts = [row[column] for column in _SHOWN]
    if None in parts:
        return str(row["place"])
    return "_".join([f"{KINDS[kind].capitalize()}-{_OF_PART[row['split']]}", *parts])


def _files(folder: Path) -> dict[str, list[Path]]:
    """Find the DICOM files of images and abnormalities, wherever the download put them."""
    files, _ = dicom_files(folder, _NAME)
    if not files and ((folder / "jpeg").is_dir() or (folder / "csv/dicom_info.csv").is_file()):
        raise MammoroiError(
            f"{folder} holds a copy of CBIS-DDSM in JPEG (folders csv and jpeg), which does not "
            "keep pixels and masks as they are",
            "download the DICOM files of The Cancer Imaging Archive",
        )
    if not files:
        raise MammoroiError(
            f"{folder} holds no DICOM files of images (Mass-Training_P_00001_LEFT_CC, ...)",
            "name the folder of the release",
        )
    return files


def _files_of(name: str, files: dict[str, list[Path]]) -> list[Path]:
    """List the DICOM files of one image or abnormality."""
    if name not in files:
        raise MammoroiError(f"there is no DICOM file of {name}", "download the release again")
    return files[name]


def _case(name: str, findings: list[Row], files: dict[str, list[Path]], kind: str) -> Case:
    """Describe one image and its abnormalities."""
    for row in findings:
        if column := empty_cell(row, _NEEDED):
            raise MammoroiError(f"{row['place']}: '{column}' is empty", "fill it in")
        patient, side, view = (row[column] for column in _SHOWN)
        if not name.endswith(f"{patient}_{side}_{view}"):
            raise MammoroiError(
                f"patient, side or view are {patient}, {side}, {view} in the table, but its file "
                f"is {name}",
                "look at the image and correct the table",
            )
    images = _files_of(name, files)
    if len(images) > 1:
        raise MammoroiError(f"{name} holds {len(images)} files", "keep the mammogram only")
    masks = [_mask_of(name, finding) for finding in findings]
    for mask in masks:
        if masks.count(mask) > 1:
            raise MammoroiError(f"the abnormality {mask} is in the table twice", "keep one row")

    def outlines(shape: tuple[int, int]) -> list[Mask]:
        return [_mask(mask, _files_of(mask, files), shape) for mask in masks]

    carried = {
        column.replace(" ", "_"): joined([cell(finding[column]) for finding in findings])
        for column in (*_CARRIED, *_OF_KIND[kind])
    }
    return Case(name, patient, images[0], view, SIDES.get(side), outlines, carried)


def _mask_of(image: str, finding: Row) -> str:
    """Name the mask of an abnormality, on which path and number in the table must agree."""
    name = f"{image}_{whole(finding['abnormality id'])}"
    in_path = _first(finding["ROI mask file path"])
    if in_path != name:
        raise MammoroiError(
            f"{finding['place']}: 'ROI mask file path' leads to {in_path}, but the other columns "
            f"are those of {name}",
            "look at the mask and correct the table",
        )
    return name


def _mask(name: str, files: list[Path], shape: tuple[int, int]) -> Mask:
    """Tell the mask from the crop around the lesion, by values and size."""
    from ..imaging.dicom import decoded_pixels, open_dicom

    masks: list[Mask] = []
    for file in files:
        pixels = decoded_pixels(file, open_dicom(file))
        low, high = pixels.min(), pixels.max()
        if low < high and bool(((pixels == low) | (pixels == high)).all()):
            masks.append(pixels == high)
    fitting = [mask for mask in masks if mask.shape == shape]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise MammoroiError(f"{name} holds {len(fitting)} masks", "keep the right one")
    if not masks:
        raise MammoroiError(f"{name} holds no mask, only pictures", "download the folder again")
    rows, columns = max(masks, key=np.size).shape
    raise MammoroiError(
        f"the mask {name} has {rows} rows x {columns} columns, its image {shape[0]} x {shape[1]}",
        "leave the image out: where the mask belongs cannot be known",
    )

"""VinDr-Mammo of PhysioNet: boxes around findings.

``breast-level_annotations.csv``, ``finding_annotations.csv`` and
``images/<study_id>/<image_id>.dicom``. The release has no patients but studies, each of one person:
``patient_id`` is the study. A box becomes a rectangle of the pixels that it touches, and
``mask_kind`` is ``box``: it says where a finding is, not how it is shaped.
"""

from __future__ import annotations

import ast
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import MammoroiError
from .cohort import records
from .import_common import SIDES, Case, Mask, Release, Wanted, cell, joined
from .import_tables import read_table
from .schema import nearest

BREASTS = "breast-level_annotations.csv"
FINDINGS = "finding_annotations.csv"

_BREAST_COLUMNS = [
    "study_id",
    "image_id",
    "laterality",
    "view_position",
    "height",
    "width",
    "breast_birads",
    "breast_density",
    "split",
]
NOTHING = "No Finding"
_EDGES = ("xmin", "ymin", "xmax", "ymax")
_FINDING_COLUMNS = ["image_id", "finding_categories", "finding_birads", *_EDGES]
_SPLITS = {"training": "train", "test": "test"}


def read_vindr_mammo(wanted: Wanted) -> Release:
    """Find images, boxes and assessments.

    Parameters
    ----------
    wanted : Wanted
        ``findings`` are categories of the release, such as ``Mass``; a box with at least one of
        them is taken.

    Returns
    -------
    Release
        Patients have ``split`` as published and ``breast_density``, images ``birads``,
        ``finding_categories`` and ``finding_birads``.

    Raises
    ------
    MammoroiError
        When a table is missing or lacks a column, or a category does not exist.
    """
    tables = (wanted.folder / BREASTS, wanted.folder / FINDINGS)
    breasts = records(read_table(tables[0], _BREAST_COLUMNS))
    boxes: dict[str, list[dict[str, Any]]] = {}
    known: set[str] = set()
    found: set[str] = set()
    for row in records(read_table(tables[1], _FINDING_COLUMNS)):
        categories = _categories(row["finding_categories"], tables[1])
        known.update(categories)
        if categories != [NOTHING]:
            found.add(row["image_id"])
        if any(category in wanted.findings for category in categories):
            row["finding_categories"] = joined(categories)
            boxes.setdefault(row["image_id"], []).append(row)
    for category in wanted.findings:
        if category not in known:
            raise MammoroiError(
                f"VinDr-Mammo has no finding '{category}'", nearest(category, sorted(known))
            )
    return Release(
        name=f"VinDr-Mammo, {', '.join(wanted.findings)} (boxes)",
        doi="10.13026/br2v-7517",
        licence="PhysioNet, restricted access: its data use agreement holds",
        mask_kind="box",
        tables=tables,
        cases=[
            _case(wanted.folder, row, boxes.get(row["image_id"], []), row["image_id"] in found)
            for row in breasts
        ],
        patients=[
            {
                "patient_id": row["study_id"],
                "split": _SPLITS.get(row["split"]),
                "breast_density": _density(row["breast_density"]),
            }
            for row in breasts
        ],
    )


def _categories(text: str | None, path: Path) -> list[str]:
    """Read the list that a cell holds as Python writes it."""
    try:
        return [str(category) for category in ast.literal_eval(text or "[]")]
    except (SyntaxError, TypeError, ValueError):
        raise MammoroiError(
            f"{path}: finding_categories is '{text}', no list", "download the table again"
        ) from None


def _density(text: str | None) -> str | None:
    """``DENSITY C`` to ``c``."""
    return text.rpartition(" ")[2].lower() if text else None


def _case(folder: Path, row: dict[str, Any], boxes: list[dict[str, Any]], found: bool) -> Case:
    """Describe one image; it is normal where no finding is listed and the breast is BI-RADS 1.

    Benign findings, BI-RADS 2, are not listed by the release.
    """
    return Case(
        image_id=row["image_id"],
        patient_id=row["study_id"],
        image=folder / "images" / row["study_id"] / f"{row['image_id']}.dicom",
        view=row["view_position"],
        laterality=SIDES.get(row["laterality"]),
        outlines=partial(_rectangles, row, boxes),
        columns={
            "birads": cell(row["breast_birads"]),
            "finding_categories": joined([box["finding_categories"] for box in boxes]),
            "finding_birads": joined([cell(box["finding_birads"]) for box in boxes]),
        },
        normal=not found and cell(row["breast_birads"]) == "BI-RADS 1",
    )


def _rectangles(
    row: dict[str, Any], boxes: list[dict[str, Any]], shape: tuple[int, int]
) -> list[Mask]:
    """Draw the boxes of an image of (rows, columns); the part outside of it is cut off."""
    stated = (int(float(row["height"])), int(float(row["width"])))
    if stated != shape:
        raise MammoroiError(
            f"the image has {shape[0]} rows x {shape[1]} columns, but the table says "
            f"{stated[0]} x {stated[1]}",
            "leave the image out: its boxes belong to another size",
        )
    masks = []
    for box in boxes:
        try:
            left, top, right, bottom = (float(box[edge]) for edge in _EDGES)
        except (TypeError, ValueError):
            raise MammoroiError("a box lacks a corner", "leave the image out") from None
        mask = np.zeros(shape, dtype=np.bool_)
        rows = slice(max(0, int(np.floor(top))), max(0, int(np.ceil(bottom))))
        columns = slice(max(0, int(np.floor(left))), max(0, int(np.ceil(right))))
        mask[rows, columns] = True
        if not mask.any():
            raise MammoroiError(
                f"the box {left:g}, {top:g} to {right:g}, {bottom:g} holds no pixel of the image",
                "leave the image out",
            )
        masks.append(mask)
    return masks

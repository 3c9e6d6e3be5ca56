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

import numpy as np

from ..errors import Failure, MammoroiError
from .import_common import Case, Mask, Release, Wanted, cell, joined, left_out, side_of
from .import_release import Row, empty_cell, numbered
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
    breasts = numbered(read_table(tables[0], _BREAST_COLUMNS))
    findings = numbered(read_table(tables[1], _FINDING_COLUMNS))
    boxes: dict[str | None, list[Row]] = {}
    known: set[str] = set()
    found: set[str | None] = set()
    for line, row in findings:
        categories = _categories(row["finding_categories"], f"{tables[1]}, line {line}")
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
    cases: list[Case] = []
    excluded = _without_breast(findings, {row["image_id"] for _, row in breasts})
    for line, row in breasts:
        image, place = row["image_id"], f"{BREASTS}, line {line}"
        if column := empty_cell(row, ("image_id", "study_id")):
            excluded.append(left_out(image or place, f"{place}: {column} is empty", "fill it in"))
        else:
            cases.append(_case(wanted.folder, row, boxes.get(image, []), image in found))
    return Release(
        name=f"VinDr-Mammo, {', '.join(wanted.findings)} (boxes)",
        doi="10.13026/br2v-7517",
        licence="PhysioNet, restricted access: its data use agreement holds",
        mask_kind="box",
        tables=tables,
        cases=cases,
        patients=[
            {
                "patient_id": row["study_id"],
                "split": _SPLITS.get(row["split"]),
                "breast_density": _density(row["breast_density"]),
            }
            for _, row in breasts
        ],
        excluded=excluded,
    )


def _without_breast(findings: list[tuple[int, Row]], described: set[str | None]) -> list[Failure]:
    """List the images of the findings that the table of breasts does not describe."""
    lines: dict[str | None, list[int]] = {}
    for line, row in findings:
        if row["image_id"] is None or row["image_id"] not in described:
            lines.setdefault(row["image_id"], []).append(line)
    excluded = []
    for line in lines.pop(None, []):
        place = f"{FINDINGS}, line {line}"
        excluded.append(left_out(place, f"{place}: image_id is empty", "fill it in"))
    for image, of_image in lines.items():
        found = f"a row in {FINDINGS} (line {of_image[0]}), but none in {BREASTS}"
        excluded.append(left_out(str(image), found, "restore the row"))
    return excluded


def _categories(text: str | None, place: str) -> list[str]:
    """Read the list that a cell holds as Python writes it."""
    try:
        return [str(category) for category in ast.literal_eval(text or "[]")]
    except (SyntaxError, TypeError, ValueError):
        raise MammoroiError(
            f"{place}: finding_categories is '{text}', no list", "download the table again"
        ) from None


def _density(text: str | None) -> str | None:
    """``DENSITY C`` to ``c``."""
    return text.rpartition(" ")[2].lower() if text else None


def _case(folder: Path, row: Row, boxes: list[Row], found: bool) -> Case:
    """Describe one image; it is normal where no finding is listed and the breast is BI-RADS 1.

    Benign findings, BI-RADS 2, are not listed by the release.
    """
    return Case(
        image_id=row["image_id"],
        patient_id=row["study_id"],
        image=folder / "images" / row["study_id"] / f"{row['image_id']}.dicom",
        view=row["view_position"],
        laterality=side_of(row["laterality"]),
        outlines=partial(_rectangles, row, boxes),
        columns={
            "birads": cell(row["breast_birads"]),
            "finding_categories": joined([box["finding_categories"] for box in boxes]),
            "finding_birads": joined([cell(box["finding_birads"]) for box in boxes]),
        },
        normal=not found and cell(row["breast_birads"]) == "BI-RADS 1",
    )


def _rectangles(row: Row, boxes: list[Row], shape: tuple[int, int]) -> list[Mask]:
    """Draw the boxes of an image of (rows, columns); the part outside of it is cut off."""
    try:
        stated = (int(float(row["height"])), int(float(row["width"])))
    except (OverflowError, TypeError, ValueError):
        raise MammoroiError(
            f"height and width are '{row['height'] or ''}' and '{row['width'] or ''}' in {BREASTS}",
            "write the numbers of rows and columns",
        ) from None
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

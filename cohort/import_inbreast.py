"""INbreast: full-field digital mammograms with outlines drawn in OsiriX.

``INbreast.csv`` or ``INbreast.xlsx``, ``AllDICOMs/<number>_<patient>_MG_<side>_<view>_ANON.dcm``
and ``AllXML/<number>.xml``, a property list with the corners of every region in pixels. The patient
is told by the file's name only: the table's column is blanked. ``ML`` in a name means MLO.
"""

from __future__ import annotations

import plistlib
import re
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.parsers.expat import ExpatError

import numpy as np

from ..errors import Failure, MammoroiError
from .import_common import DENSITIES, Case, Mask, Release, Wanted, cell, joined, left_out
from .import_outlines import Corners, filled
from .import_release import Row, files_below, numbered, release_table, whole
from .schema import nearest

if TYPE_CHECKING:
    import pandas as pd

TABLE = "INbreast.csv"

_COLUMNS = ["Laterality", "View", "File Name", "ACR", "Bi-Rads"]
_NAME = re.compile(r"(\d+)_([0-9a-f]+)_MG_([LR])_([A-Z]+)_ANON\.dcm", re.IGNORECASE)
_VIEWS = {"ML": "MLO"}
_SPELLINGS = {
    "assymetry": "asymmetry",
    "calcifications": "calcification",
    "espiculated region": "spiculated region",
}
"""Names of regions in the release that mean another of its names."""

_RIGHT_ONE = "keep the right one"
_BEYOND_PX = 1.0
"""How far a corner may lie outside the image before outline and image cannot belong together."""


def read_inbreast(wanted: Wanted) -> Release:
    """Find images and outlines.

    Parameters
    ----------
    wanted : Wanted
        ``findings`` are names of regions in the XML files, such as ``Mass``; upper and lower case
        and the release's own spelling mistakes do not matter.

    Returns
    -------
    Release
        Patients have ``breast_density`` from the column ACR, images ``birads`` and ``findings``,
        and ``n_points``: regions of one or two points, which outline nothing and are not drawn.

    Raises
    ------
    MammoroiError
        When table or folders are missing, or no region has the name of a finding.
    """
    table, text = release_table(wanted.folder, TABLE, _COLUMNS)
    rows = _rows(text)
    files: dict[str, list[Path]] = {}
    for file in files_below(wanted.folder / "AllDICOMs", ".dcm"):
        files.setdefault(file.name.partition("_")[0], []).append(file)
    if not files:
        raise MammoroiError(
            f"{wanted.folder / 'AllDICOMs'} holds no DICOM files", "name the folder of the release"
        )
    asked = {_spelt(name) for name in wanted.findings}
    known: set[str] = set()
    cases: list[Case] = []
    excluded: list[Failure] = []
    patients: list[dict[str, str | None]] = []
    for number, of_number in files.items():
        try:
            row = _row(rows.pop(number, []), table.name)
            if len(of_number) > 1:
                names = ", ".join(file.name for file in of_number)
                raise MammoroiError(f"there are {len(of_number)} files of it: {names}", _RIGHT_ONE)
            regions = _regions(wanted.folder / "AllXML" / f"{number}.xml")
            known.update(_spelt(region.get("Name")) for region in regions)
            asked_for = [r for r in regions if _spelt(r.get("Name")) in asked]
            case = _case(of_number[0], row, asked_for, normal=not regions)
        except MammoroiError as error:
            excluded += [left_out(number, error.found, error.action) for _ in of_number]
            continue
        cases.append(case)
        density = DENSITIES.get(row["ACR"] or "")
        patients.append({"patient_id": case.patient_id, "breast_density": density})
    excluded += [
        left_out(number, f"there is no DICOM file of it, but a row in {table.name}", "restore it")
        for number in rows
    ]
    for name in wanted.findings:
        if _spelt(name) not in known:
            raise MammoroiError(f"INbreast has no region '{name}'", nearest(name, sorted(known)))
    return Release(
        name=f"INbreast, {', '.join(wanted.findings)}",
        doi="10.1016/j.acra.2011.09.014",
        licence="given out by its authors on request, for research",
        mask_kind="outline",
        tables=(table,),
        cases=cases,
        patients=patients,
        excluded=excluded,
    )


def _rows(table: pd.DataFrame) -> dict[str, list[Row]]:
    """Give the rows of every number; the workbook's last rows, which are no images', have none.

    A program that took the column for one of decimal numbers has written ``20586908.0``.
    """
    rows: dict[str, list[Row]] = {}
    for _, cells in numbered(table):
        row = {column: whole(cell(cells[column])) for column in _COLUMNS}
        if (row["File Name"] or "").isdecimal():
            rows.setdefault(str(row["File Name"]), []).append(row)
    return rows


def _row(rows: list[Row], table: str) -> Row:
    """Give the row of an image, on which several must agree."""
    if not rows:
        raise MammoroiError(f"{table} has no row for it", "restore the row")
    for column in _COLUMNS:
        values = {row[column] or "nothing" for row in rows}
        if len(values) > 1:
            raise MammoroiError(
                f"{table} has {len(rows)} rows for it, on which {column} differs: "
                f"{', '.join(sorted(values))}",
                _RIGHT_ONE,
            )
    return rows[0]


def _spelt(name: object) -> str:
    """Give the name of a region in one spelling; one without a name is ``none``."""
    folded = str(name).strip().casefold()
    return _SPELLINGS.get(folded, folded)


def _regions(path: Path) -> list[dict[str, Any]]:
    """Read the regions of one XML file; an image without one has none."""
    if not path.is_file():
        return []
    try:
        with path.open("rb") as stream:
            images = plistlib.load(stream, fmt=plistlib.FMT_XML)["Images"]
        return [region for image in images for region in image["ROIs"]]
    except (ExpatError, KeyError, TypeError, ValueError, plistlib.InvalidFileException) as error:
        raise MammoroiError(
            f"{path.name} is no list of OsiriX regions ({type(error).__name__})",
            "download the file again",
        ) from None


def _case(file: Path, row: Row, regions: list[dict[str, Any]], normal: bool) -> Case:
    """Describe one image; its row of the table must agree with the file's name.

    It is normal where no region of any kind is outlined and its BI-RADS category is 1.
    """
    name = _NAME.fullmatch(file.name)
    if name is None:
        raise MammoroiError(
            f"{file.name} is not named like a file of INbreast", "restore the published name"
        )
    number, patient, side, view = name.groups()
    side, view = side.upper(), _VIEWS.get(view.upper(), view.upper())
    stated = (row["Laterality"], _VIEWS.get(row["View"], row["View"]))
    if stated != (side, view):
        raise MammoroiError(
            f"side and view are {stated[0]} {stated[1]} in the table, but {side} {view} in the "
            "name of the file",
            "look at the image and correct the wrong one",
        )
    corners = [_corners(region) for region in regions]
    return Case(
        image_id=number,
        patient_id=patient.lower(),
        image=file,
        view=view,
        laterality=side,
        outlines=partial(_polygons, corners),
        columns={
            "birads": row["Bi-Rads"],
            "findings": joined([_spelt(region.get("Name")) for region in regions]),
            "n_points": str(sum(len(points) < 3 for points in corners)),
        },
        normal=normal and row["Bi-Rads"] == "1",
    )


def _corners(region: dict[str, Any]) -> Corners:
    """Give the corners of a region as (number, 2): row and column in pixels."""
    try:
        points = [text.strip("() ").split(",")[:2] for text in region["Point_px"]]
        return np.array([(float(y), float(x)) for x, y in points], dtype=float).reshape(-1, 2)
    except (AttributeError, KeyError, TypeError, ValueError):
        raise MammoroiError(
            "the corners of a region cannot be read", "download the XML file again"
        ) from None


def _polygons(corners: list[Corners], shape: tuple[int, int]) -> list[Mask]:
    """Draw regions; points outline nothing."""
    masks = []
    for points in corners:
        limits = np.array(shape) - 1 + _BEYOND_PX
        if (points < -_BEYOND_PX).any() or (points > limits).any():
            raise MammoroiError(
                f"an outline leaves the image of {shape[0]} rows x {shape[1]} columns",
                "leave the image out: the outline belongs to another",
            )
        if len(points) > 2:
            masks.append(filled(points, shape)[0])
    if corners and not masks:
        raise MammoroiError(
            f"its {len(corners)} findings are marked by points only, which outline nothing",
            "leave the image out",
        )
    return masks

"""CDD-CESM of The Cancer Imaging Archive: contrast mammography with outlined findings, as JPEG.

The workbook ``Radiology-manual-annotations.xlsx`` (sheet ``all``, a row per image),
``Radiology_hand_drawn_segmentations_v2.csv`` (regions drawn in the VGG Image Annotator) and, at any
depth, ``Low energy images of CDD-CESM/P1_L_DM_MLO.jpg`` and
``Subtracted images of CDD-CESM/P1_L_CM_MLO.jpg``. Names of images end in a blank at places, in the
tables and on the disk.

Regions have no names: what a report says is known of the image, not of its regions. An image whose
report names a mass has all its regions in its mask, whatever they are.
"""

from __future__ import annotations

import re
from collections import Counter
from functools import partial
from pathlib import Path

from ..errors import Failure, MammoroiError
from .cohort import records
from .import_common import SIDES, Case, Mask, Release, Wanted, cell, joined, left_out, malignant
from .import_outlines import Corners, filled, outlines_nothing
from .import_release import files_below, whole
from .import_tables import read_table
from .import_via import Annotated, corners_of, read_via
from .import_workbook import read_sheet
from .schema import VIEWS, nearest

WORKBOOKS = ("Radiology-manual-annotations.xlsx", "Radiology manual annotations.xlsx")
SHEET = "all"
OUTLINES = "Radiology_hand_drawn_segmentations_v2.csv"
FOLDERS = {"DM": "Low energy images of CDD-CESM", "CM": "Subtracted images of CDD-CESM"}
ALL = "all"
"""The word for every finding."""

_TYPES = {"DM": "low energy", "CM": "subtracted"}
_PATHOLOGY = "pathology classification/ follow up"
_COLUMNS = (
    "image name",
    "patient id",
    "side",
    "type",
    "age",
    "breast density (acr)",
    "birads",
    "findings",
    "view",
    "tags",
    "machine",
    _PATHOLOGY,
)
_NAME = re.compile(r"P(\d+)_([LR])_(DM|CM)_([A-Z]+)", re.IGNORECASE)
_NO_MASS = re.compile(r"\bnon[\s-]*mass")
_DENSITIES = {letter: letter.casefold() for letter in "ABCD"}
_MISSING = "_"
_FIRST_MACHINE = "1"
_WITHIN = 0.5
"""The least share of a region within its image; with less, it belongs to another image or size."""

Row = dict[str, str | None]


def read_cdd_cesm(wanted: Wanted) -> Release:
    """Find images, reports and regions.

    Parameters
    ----------
    wanted : Wanted
        ``findings`` are words, such as ``mass``: an image counts whose columns Findings or Tags
        hold one of them ("non-mass" does not hold ``mass``). ``all``: every image with a region.

    Returns
    -------
    Release
        Patients have ``age``, ``breast_density`` and ``malignant``, from all their images; images
        ``birads``, ``findings``, ``tags``, ``pathology``, ``device``, ``image_type`` (``low
        energy`` or ``subtracted``), ``n_not_drawn``: regions that outline nothing, and
        ``outlined_file``: whether the file has the size in bytes (``same``, ``other``) of the one
        on which the regions were drawn, empty where that is not known.

    Raises
    ------
    MammoroiError
        When table, workbook or folder are missing, or no image's report holds a word.
    """
    book = _workbook(wanted.folder)
    kinds = ("DM", "CM") if wanted.subtracted else ("DM",)
    rows = _rows(book)
    regions = read_via(wanted.folder / OUTLINES)
    files = [file for kind in kinds for file in _files(wanted.folder, kind)]
    reports: dict[str, list[Row]] = {}
    for row in rows:
        reports.setdefault((row["image name"] or "").removesuffix(".jpg").strip(), []).append(row)
    diseased = _diseased(rows, regions)
    words = tuple(word.strip().casefold() for word in wanted.findings)
    _known(words, [row for row in rows if _kind(row["image name"]) in kinds])
    cases: list[Case] = []
    excluded: list[Failure] = []
    for file in files:
        name = file.stem.strip()
        try:
            annotated = regions.get(name, Annotated())
            cases.append(_case(name, file, reports.get(name, []), annotated, words, diseased))
        except MammoroiError as error:
            excluded.append(left_out(name, error.found, error.action))
    seen = {file.stem.strip() for file in files}
    for name in sorted({*reports, *regions} - seen):
        if _kind(name) in (*kinds, None):
            tables = ((book.name, name in reports), (OUTLINES, name in regions))
            where = " and ".join(table for table, has_it in tables if has_it)
            found = f"there is no image of it, but a row in {where}"
            excluded.append(left_out(name or "(no name)", found, "restore the file"))
    return Release(
        name=f"CDD-CESM, {' and '.join(_TYPES[kind] for kind in kinds)}, {', '.join(words)}",
        doi="10.7937/29kw-ae92",
        licence="CC BY 4.0",
        mask_kind="outline",
        tables=(book, wanted.folder / OUTLINES),
        cases=cases,
        patients=_patients(rows),
        excluded=excluded,
    )


def _workbook(folder: Path) -> Path:
    """Find the workbook, or the sheet of it that was saved as CSV."""
    names = [*WORKBOOKS, *(Path(name).with_suffix(".csv").name for name in WORKBOOKS)]
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise MammoroiError(
        f"{folder} holds no {WORKBOOKS[0]}",
        "put the workbook of annotations there, under its published name",
    )


def _rows(book: Path) -> list[Row]:
    """Read the row of every image; headings in one spelling, cells that say nothing None."""
    table = read_sheet(book, SHEET) if book.suffix == ".xlsx" else read_table(book, [])
    table.columns = [" ".join(str(name).casefold().split("_")) for name in table.columns]
    table.columns = [" ".join(name.split()) for name in table.columns]
    for column in _COLUMNS:
        if column not in table:
            raise MammoroiError(
                f"{book} has no column '{column}'", nearest(column, list(table.columns), "it has")
            )
    found = table[list(_COLUMNS)]
    return [
        {column: cell(row[column]) for column in _COLUMNS}
        for row in records(found.mask(found.isin([_MISSING])))
    ]


def _files(folder: Path, kind: str) -> list[Path]:
    """List the pictures of one kind of image."""
    files = [
        file
        for file in files_below(folder, ".jpg", ".jpeg")
        if file.parent.name.strip().casefold() == FOLDERS[kind].casefold()
    ]
    if not files:
        raise MammoroiError(
            f"{folder} holds no folder '{FOLDERS[kind]}' with JPEG files",
            "name the folder of the release",
        )
    return files


def _kind(name: str | None) -> str | None:
    """Tell by its name whether an image is of low energy, ``DM``, or subtracted, ``CM``."""
    match = _NAME.match(name or "")
    return match.group(3).upper() if match else None


def _parts(text: str | None) -> list[str]:
    """Split a cell of several findings."""
    return [part.strip() for part in (text or "").split("$") if part.strip()]


def _report(row: Row) -> str:
    """Give the words of a report in which findings are looked for."""
    return _NO_MASS.sub("", f"{row['findings'] or ''} $ {row['tags'] or ''}".casefold())


def _known(words: tuple[str, ...], rows: list[Row]) -> None:
    """See that each word is in some report."""
    for word in words:
        if word != ALL and not any(word in _report(row) for row in rows):
            tags = Counter(
                tag.strip().casefold()
                for row in rows
                for part in _parts(row["tags"])
                for tag in part.split(",")
            )
            common = [ALL, *(tag for tag, _ in tags.most_common(12) if tag)]
            raise MammoroiError(
                f"no report of CDD-CESM names '{word}' in Findings or Tags",
                nearest(word, common, "often"),
            )


def _case(
    name: str,
    file: Path,
    rows: list[Row],
    annotated: Annotated,
    words: tuple[str, ...],
    diseased: set[tuple[str, str]],
) -> Case:
    """Describe one image; its rows of the workbook must agree with the file's name."""
    match = _NAME.fullmatch(name)
    if match is None:
        raise MammoroiError(
            f"{file.name} is not named like an image of CDD-CESM", "restore the published name"
        )
    patient, side, kind, view = (group.upper() for group in match.groups())
    if view not in VIEWS:
        raise MammoroiError(f"its view '{view}' is not known", f"one of {', '.join(VIEWS)}")
    if not rows:
        raise MammoroiError("the workbook has no row for it", "restore the row")
    for row in rows:
        _agrees(row, {"patient id": patient, "side": side, "type": kind, "view": view})
    corners = [corners_of(shape) for shape in annotated.shapes]
    drawn = [region for region in corners if not outlines_nothing(region)]
    named = ALL in words or any(word in _report(row) for word in words for row in rows)
    normal = all(map(_normal, rows)) and (patient, side) not in diseased
    machine = joined([row["machine"] for row in rows])
    return Case(
        image_id=name,
        patient_id=patient,
        image=file,
        view=view,
        laterality=side,
        outlines=partial(_masks, drawn, len(corners), named, normal and ALL in words),
        columns={
            **{
                column: joined(["; ".join(_parts(row[column])) for row in rows])
                for column in ("birads", "findings", "tags")
            },
            "pathology": joined([row[_PATHOLOGY] for row in rows]),
            "device": f"machine {machine}" if machine else None,
            "image_type": _TYPES[kind],
            "n_not_drawn": str(len(corners) - len(drawn)),
            "outlined_file": _outlined_file(file, annotated),
        },
        spacing_holds=machine == _FIRST_MACHINE,
        normal=normal,
    )


def _agrees(row: Row, by_name: dict[str, str]) -> None:
    """Compare a row of the workbook with the name of the file."""
    stated = {
        "patient id": (row["patient id"] or "").upper().removeprefix("P"),
        "side": SIDES.get((row["side"] or "").upper(), row["side"]),
        "type": {"CESM": "CM"}.get((row["type"] or "").upper(), (row["type"] or "").upper()),
        "view": (row["view"] or "").upper(),
    }
    for column, value in by_name.items():
        if row[column] and stated[column] != value:
            raise MammoroiError(
                f"{column} is '{row[column]}' in the workbook, but {value} in the name of the file",
                "look at the image and correct the wrong one",
            )


def _normal(row: Row) -> bool | None:
    """Whether findings, tags, pathology and BI-RADS of a row all say that nothing is there.

    None: none of the first three is filled, and BI-RADS is not against it.
    """
    said = [part for column in ("findings", "tags", _PATHOLOGY) for part in _parts(row[column])]
    if any(part.casefold() != "normal" for part in said):
        return False
    if any(whole(part) != "1" for part in _parts(row["birads"])):
        return False
    return True if said else None


def _diseased(rows: list[Row], regions: dict[str, Annotated]) -> set[tuple[str, str]]:
    """Name the breasts, as patient and side, of which any image says or shows that something is.

    A report of an image that shows nothing does not make the breast normal: pathology and the
    breast's other images, low-energy or subtracted, may say otherwise.
    """
    names = [row["image name"] for row in rows if _normal(row) is False]
    names += [name for name, annotated in regions.items() if annotated.shapes]
    found = (_NAME.match(name or "") for name in names)
    return {(match.group(1), match.group(2).upper()) for match in found if match}


def _outlined_file(file: Path, annotated: Annotated) -> str | None:
    """Compare the size of a file with that of the file on which its regions were drawn."""
    if not annotated.shapes or annotated.file_size is None:
        return None
    return "same" if int(annotated.file_size) == file.stat().st_size else "other"


def _masks(
    drawn: list[Corners], n_regions: int, named: bool, normal: bool, shape: tuple[int, int]
) -> list[Mask]:
    """Draw the regions of an image whose report names what is wanted; cut off at the border."""
    if not named or normal:
        return []
    if not drawn:
        found = (
            f"its {n_regions} regions are points or open lines, which outline nothing"
            if n_regions
            else "nothing is outlined in it, but its report, its pathology or another image of the "
            "breast tells of something"
        )
        raise MammoroiError(found, "leave the image out: without a mask it would look healthy")
    masks = []
    for corners in drawn:
        mask, within = filled(corners, shape)
        if within < _WITHIN:
            raise MammoroiError(
                f"a region lies outside of the image of {shape[0]} rows x {shape[1]} columns by "
                f"{1 - within:.0%}",
                "leave the image out: its regions belong to another image, or to another size",
            )
        masks.append(mask)
    return masks


def _patients(rows: list[Row]) -> list[Row]:
    """Describe the patients by all their rows, those of images that are not imported too."""
    named = [
        (match.group(1), row) for row in rows if (match := _NAME.match(row["image name"] or ""))
    ]
    pathology: dict[str, list[str | None]] = {}
    for patient, row in named:
        pathology.setdefault(patient, []).extend(_parts(row[_PATHOLOGY]) or [None])
    return [
        {
            "patient_id": patient,
            "age": row["age"],
            "breast_density": _DENSITIES.get((row["breast density (acr)"] or "").upper()),
            "malignant": malignant(pathology[patient]),
        }
        for patient, row in named
    ]

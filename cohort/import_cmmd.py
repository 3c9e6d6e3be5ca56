"""CMMD, the Chinese Mammography Database of The Cancer Imaging Archive: images without outlines.

``CMMD_clinicaldata_revision.xlsx`` or its sheet as CSV, a row per breast, and below the folder, at
any depth, DICOM files in a folder per patient (``D1-0001``), or in folders called by UID, where the
header names the patient. Which breast and view a file shows, only its header says.

The molecular subtype is imported under its own name. It is not turned into ``her2``: luminal B may
be positive or not, and triple negative does not tell zero from low.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from ..errors import Failure, MammoroiError
from ..progress import with_bar
from .import_common import PATIENT, Case, Release, Wanted, cell, left_out, malignant, side_of
from .import_release import Row, dicom_files, numbered, release_table, shown_in, whole

TABLE = "CMMD_clinicaldata_revision.csv"

_COLUMNS = ["ID1", "LeftRight", "Age", "number", "abnormality", "classification", "subtype"]
_PATIENT = re.compile(r"D[12]-\d{4}")
_CARRIED = ("abnormality", "classification", "subtype")

Cells = dict[str, str | None]


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
        Images are called by patient, side and view (``D1-0001_L_CC``; a second one of them
        ``D1-0001_L_CC_2``) and have ``abnormality``, ``classification`` and ``subtype`` of their
        breast, empty for the breast of which the table is silent; patients ``age``, and
        ``malignant``: ``yes`` where at least one breast is.

    Raises
    ------
    MammoroiError
        When the table is missing or lacks a column, when there are no DICOM files of patients, or
        images without a mask are not wanted.
    """
    if wanted.images_without_mask != "keep":
        raise MammoroiError("CMMD is published without masks", "set images_without_mask: keep")
    table, cells = release_table(wanted.folder, TABLE, _COLUMNS)
    rows = [(line, row) for line, row in numbered(cells) if row["ID1"]]
    breasts, expected, notes = _breasts(table.name, rows)
    classes: dict[str, list[str | None]] = {}
    for (patient, _), carried in breasts.items():
        classes.setdefault(patient, []).append(carried["classification"])
    files, others = dicom_files(wanted.folder, _PATIENT)
    if not files:
        raise MammoroiError(
            f"{wanted.folder} holds no DICOM files of patients (D1-0001, ...): no folder is called "
            "so, and no header names one",
            "name the folder of the release",
        )
    excluded = [
        left_out(file.relative_to(wanted.folder).as_posix(), found, "see what it is")
        for file, found in others.items()
    ]
    images, unread = _images(files)
    cases, left = _cases(images, breasts, classes, table.name)
    return Release(
        name="CMMD",
        doi="10.7937/tcia.eqde-4b16",
        licence="CC BY 4.0",
        mask_kind="outline",
        tables=(table,),
        cases=cases,
        patients=[
            {
                "patient_id": row["ID1"],
                "age": cell(row["Age"]),
                "malignant": malignant(classes[row["ID1"]]),
            }
            for _, row in rows
        ],
        excluded=[*excluded, *unread, *left],
        notes=notes,
        expected=expected,
    )


def _breasts(
    table: str, rows: list[tuple[int, Row]]
) -> tuple[dict[tuple[str, str], Cells], dict[tuple[str, str], int], list[Failure]]:
    """Describe every breast of the table, and how many images it has.

    A side that cannot be read counts as a breast of its own, which no image shows.
    """
    grouped: dict[tuple[str, str], list[Row]] = {}
    notes = []
    for line, row in rows:
        side = side_of(row["LeftRight"])
        if side is None:
            found = f"LeftRight is '{row['LeftRight'] or ''}' on line {line} of {table}, no side"
            action = "write L or R; what the line says of the breast was left out"
            notes.append(Failure(row["ID1"], PATIENT, found, action))
        grouped.setdefault((row["ID1"], side or f"line {line}"), []).append(row)
    breasts = {}
    expected = {}
    for (patient, side), of_breast in grouped.items():
        values = {
            column: sorted({text for row in of_breast if (text := cell(row[column]))})
            for column in _CARRIED
        }
        differing = [column for column in _CARRIED if len(values[column]) > 1]
        if differing:
            what = "; ".join(f"{column}: {', '.join(values[column])}" for column in differing)
            found = f"{table} has {len(of_breast)} rows of the breast {side} that differ ({what})"
            action = f"correct the table; {', '.join(_CARRIED)} were left empty"
            notes.append(Failure(patient, PATIENT, found, action))
        breasts[patient, side] = {
            column: None if differing else next(iter(values[column]), None) for column in _CARRIED
        }
        if side in ("L", "R"):
            numbers = [whole(row["number"]) or "" for row in of_breast]
            expected[patient, side] = max(
                int(number) if number.isdecimal() else 1 for number in numbers
            )
    return breasts, expected, notes


@dataclass(frozen=True)
class _Image:
    """A file, and what its header says it shows."""

    file: Path
    patient: str
    side: str
    view: str
    uid: str | None
    n_bytes: int


def _images(files: dict[str, list[Path]]) -> tuple[list[_Image], list[Failure]]:
    """Read the headers; a file whose header does not say what it shows is left out."""
    images: list[_Image] = []
    unread: list[Failure] = []
    pairs = [(patient, file) for patient in sorted(files) for file in files[patient]]
    for patient, file in with_bar(pairs, "Reading headers", len(pairs)):
        try:
            images.append(_image(patient, file))
        except MammoroiError as error:
            unread.append(left_out(f"{patient}_{file.stem}", error.found, error.action))
    return images, unread


def _image(patient: str, file: Path) -> _Image:
    """Read a header."""
    from ..imaging.dicom import open_dicom

    header = open_dicom(file, pixels=False)
    inside = str(header.get("PatientID") or "").strip()
    if _PATIENT.fullmatch(inside) and inside != patient:
        raise MammoroiError(
            f"{file} lies in a folder of {patient}, but is of {inside} by its header",
            "put it where it belongs",
        )
    view, side = shown_in(header)
    if view is None or side is None:
        silent = "view" if view is None else "laterality"
        raise MammoroiError(
            f"neither the release nor the header of {file} says the {silent}", "leave the image out"
        )
    uid = str(header.get("SOPInstanceUID") or "").strip() or None
    return _Image(file, patient, side, view, uid, file.stat().st_size)


def _cases(
    images: list[_Image],
    breasts: dict[tuple[str, str], Cells],
    classes: dict[str, list[str | None]],
    table: str,
) -> tuple[list[Case], list[Failure]]:
    """Give the images their names; those without a row and second copies are left out.

    Names do not depend on where the files lie. Of copies the largest file is taken: one that was
    cut short is smaller.
    """
    cases: list[Case] = []
    excluded: list[Failure] = []
    used: dict[str, str] = {}
    numbers: dict[str, int] = {}
    copies: list[_Image] = []
    order = sorted(images, key=lambda one: (one.patient, one.uid or "", -one.n_bytes, one.file))
    for image in order:
        if image.uid in used:
            copies.append(image)
            continue
        name = _name(image, numbers)
        if image.uid:
            used[image.uid] = name
        if image.patient not in classes:
            found = f"{table} has no row for {image.patient}"
            excluded.append(left_out(name, found, "add the row"))
            continue
        columns = breasts.get((image.patient, image.side), {})
        cases.append(Case(name, image.patient, image.file, image.view, image.side, columns=columns))
    for image in copies:
        found = f"{image.file} is the same image as {used[image.uid or '']} (SOP Instance UID)"
        excluded.append(left_out(_name(image, numbers), found, "nothing, or remove the copy"))
    return cases, excluded


def _name(image: _Image, numbers: dict[str, int]) -> str:
    """Name an image by what it shows, numbered from the second of its kind."""
    name = f"{image.patient}_{image.side}_{image.view}"
    numbers[name] = numbers.get(name, 0) + 1
    return name if numbers[name] == 1 else f"{name}_{numbers[name]}"

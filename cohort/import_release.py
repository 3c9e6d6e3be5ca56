"""What lies in the folder of a published data set: its files and its tables.

Files that macOS leaves beside others (``._1-1.dcm``, ``__MACOSX``) and hidden ones are no part of a
release.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import MammoroiError
from ..progress import with_bar
from .cohort import records
from .import_tables import read_table
from .import_workbook import read_sheet
from .schema import nearest

if TYPE_CHECKING:
    import pandas as pd
    from pydicom.dataset import Dataset

Row = dict[str, Any]
"""The cells of a row as text; empty ones are None."""


def files_below(folder: Path, *suffixes: str) -> list[Path]:
    """List files at any depth, linked folders included.

    Parameters
    ----------
    folder : Path
        Where to look.
    suffixes : str
        How the names end, such as ``.dcm``; upper and lower case do not matter.

    Returns
    -------
    list of Path
        In order; a folder that links lead to several times is looked into once.
    """
    return sorted(
        parent / name
        for parent, names in _walk(folder)
        for name in names
        if name.lower().endswith(suffixes)
    )


def _walk(folder: Path) -> Iterator[tuple[Path, list[str]]]:
    """Give every folder with the names of its files."""
    seen: set[str] = set()
    for parent, folders, names in os.walk(folder, followlinks=True):
        place = os.path.realpath(parent)
        folders[:] = [] if place in seen else sorted(filter(_published, folders))
        if place not in seen:
            seen.add(place)
            yield Path(parent), list(filter(_published, names))


def _published(name: str) -> bool:
    """Whether a file or folder can be part of a release."""
    return not name.startswith(".") and name != "__MACOSX"


def dicom_files(
    folder: Path, pattern: re.Pattern[str]
) -> tuple[dict[str, list[Path]], dict[Path, str]]:
    """Find the DICOM files (``.dcm``) of a release by the names of what they show.

    Downloads are laid out in different ways: in folders that have the name, or in folders that
    are called by UID, where only the header has it, as the patient's identifier.

    Parameters
    ----------
    folder : Path
        Where to look, at any depth.
    pattern : re.Pattern
        What a name looks like.

    Returns
    -------
    files : dict
        Name to its files, in order. The name is that of the uppermost folder that has one; for a
        file in no such folder it is Patient ID (0010,0020).
    others : dict
        The other files, to what was found instead of a name.
    """
    from ..imaging.dicom import patient_of

    files: dict[str, list[Path]] = {}
    unnamed: list[Path] = []
    for file in files_below(folder, ".dcm"):
        parts = file.relative_to(folder).parts[:-1]
        name = next((part for part in parts if pattern.fullmatch(part)), None)
        if name is None:
            unnamed.append(file)
        else:
            files.setdefault(name, []).append(file)
    others: dict[Path, str] = {}
    for file in with_bar(unnamed, "Reading headers", len(unnamed)):
        try:
            name = patient_of(file)
        except MammoroiError as error:
            others[file] = error.found
            continue
        if pattern.fullmatch(name):
            files.setdefault(name, []).append(file)
        else:
            others[file] = (
                "neither a folder above it nor Patient ID in its header names what it shows"
            )
    return files, others


def shown_in(header: Dataset) -> tuple[str | None, str | None]:
    """Give view, without its modifiers, and side as a header says them; None where it is silent."""
    from ..imaging.view import laterality_of, view_of

    return (view_of(header) or "").partition("+")[0] or None, laterality_of(header)


def release_table(folder: Path, name: str, columns: list[str]) -> tuple[Path, pd.DataFrame]:
    """Read a table of a release: the CSV file, or the workbook from which it would be saved.

    Parameters
    ----------
    folder : Path
        Where it lies.
    name : str
        The name of the CSV file. Without it the ``.xlsx`` workbook of that name is read, its first
        sheet.
    columns : list of str
        The columns that it must have.

    Raises
    ------
    MammoroiError
        When there is neither, it cannot be read, or it lacks a column.
    """
    path = folder / name
    book = path.with_suffix(".xlsx")
    if path.is_file() or not book.is_file():
        return path, read_table(path, columns)
    table = read_sheet(book, 0)
    for column in columns:
        if column not in table:
            raise MammoroiError(
                f"{book} has no column '{column}'", nearest(column, list(table.columns), "it has")
            )
    return book, table


def numbered(table: pd.DataFrame) -> list[tuple[int, Row]]:
    """Give the rows of a table with their lines as a spreadsheet counts them."""
    return [(int(index) + 2, row) for index, row in zip(table.index, records(table), strict=True)]


def empty_cell(row: Row, columns: Sequence[str]) -> str | None:
    """Name the first of some columns whose cell is empty; None where all are filled."""
    return next((column for column in columns if row[column] is None), None)


def whole(text: str | None) -> str | None:
    """Write a number that a program made a decimal one of (``4.0``) as the whole one that it is."""
    return None if text is None else re.sub(r"(?<=\d)\.0+$", "", text)

"""A cohort in memory: its images, its patients and what it says about itself.

A cohort folder holds ``cohort.csv`` (a row is an image) and ``patients.csv`` (a row is a patient),
described by :mod:`.schema`, and may hold ``cohort.json`` (``name``, ``synthetic``,
``description``, ``source``, ...). The study folder that :mod:`.accept` writes has the same files.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import MammoroiError
from ..files import read_json
from ..spreadsheet import read_spreadsheet
from .schema import IMAGE_COLUMNS, PATIENT_COLUMNS, Column, nearest, required

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Cohort:
    """The images and patients of one folder.

    Attributes
    ----------
    folder : Path
        Where the tables lie; relative paths in them start here.
    images : DataFrame
        ``cohort.csv``; columns that are optional and absent there are present and empty here.
    patients : DataFrame
        ``patients.csv`` as it is.
    name : str
        The cohort's name; the folder's name where ``cohort.json`` gives none.
    synthetic : bool
        Whether the images were made by a program.
    about : dict
        All of ``cohort.json``.
    """

    folder: Path
    images: pd.DataFrame
    patients: pd.DataFrame
    name: str
    synthetic: bool
    about: dict[str, Any]

    def path(self, value: str) -> Path:
        """Turn a path from the table into one that opens from anywhere."""
        return self.folder / value


def load_cohort(folder: Path) -> Cohort:
    """Read a cohort folder or a study folder.

    Columns that the schema lists as numbers are float64, all others are text, also those that it
    does not list; an empty cell is missing. Rows are taken as they are: :func:`.check.check` finds
    what is wrong with them.

    Raises
    ------
    MammoroiError
        When a table is missing, unreadable or lacks a required column, or a number is none.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise MammoroiError(f"{folder} is no folder", "give a folder with cohort.csv")
    images = read_table(folder / "cohort.csv", IMAGE_COLUMNS)
    patients = read_table(folder / "patients.csv", PATIENT_COLUMNS)
    for column in IMAGE_COLUMNS:
        if column.name not in images:
            images[column.name] = float("nan") if column.numeric else None
    about = load_about(folder)
    return Cohort(folder, images, patients, str(about["name"]), bool(about["synthetic"]), about)


def load_about(folder: Path) -> dict[str, Any]:
    """Read ``cohort.json``; without one it is a user's own cohort, named like its folder."""
    path = folder / "cohort.json"
    about = read_json(path) if path.exists() else {}
    if not isinstance(about, dict):
        raise MammoroiError(f"{path} holds no JSON object", 'write {"name": "..."} or delete it')
    return {"name": folder.resolve().name, "synthetic": False, "description": "", **about}


def read_table(path: Path, columns: tuple[Column, ...]) -> pd.DataFrame:
    """Read one of the two tables: columns that the schema lists as numbers as float64, else text.

    Raises
    ------
    MammoroiError
        When the file is missing, empty, no table, or lacks a required column, or a number is none.
    """
    table = read_cells(path, columns).reset_index(drop=True)
    for found, action in missing_columns(table, columns):
        raise MammoroiError(f"{path} {found}", action)
    for column in columns:
        if column.numeric and column.name in table:
            table[column.name] = _numbers(path, table[column.name])
    return table


def read_cells(path: Path, columns: tuple[Column, ...], needed: Sequence[str] = ()) -> pd.DataFrame:
    """Read a table without judging its columns; every cell stays the text that it is.

    Where the table is missing, the message asks for the ``needed`` columns, else for all that
    ``columns`` requires.

    What the spreadsheet program chose (separator, encoding, decimal comma) is read as
    :mod:`mammoroi.spreadsheet` says. The index is the row's number, counted from 0 without the
    heading; rows that are wholly empty are left out, and their numbers with them.

    Raises
    ------
    MammoroiError
        When the file is missing, empty, in another encoding, no table, or has a heading twice.
    """
    if not path.is_file():
        headings = ", ".join(needed or required(columns))
        raise MammoroiError(f"{path} does not exist", f"make it, with the columns {headings}")
    table = read_spreadsheet(
        path,
        numbers=[column.name for column in columns if column.numeric],
        texts=[column.name for column in columns if not column.numeric],
    )
    if table.empty:
        raise MammoroiError(f"{path} has no rows", "add a row for each image or patient")
    return table


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Give the rows of a table as dictionaries; a missing cell is None."""
    rows = table.astype(object).where(table.notna(), None).to_dict("records")
    return [{str(name): cell for name, cell in row.items()} for row in rows]


def missing_columns(table: pd.DataFrame, columns: tuple[Column, ...]) -> list[tuple[str, str]]:
    """List the required columns that a table lacks, as what was found and what to do."""
    present = [str(name) for name in table.columns]
    return [
        (f"has no column '{name}'", f"add it or rename one; {nearest(name, present, 'it has')}")
        for name in required(columns)
        if name not in present
    ]


def misspelt_columns(table: pd.DataFrame, columns: tuple[Column, ...]) -> list[tuple[str, str]]:
    """List headings that are an absent optional column's but for case, blanks, ``_`` and ``-``.

    Such a column is meant, and would not be used: a label would be missing for all patients.
    """
    absent = {
        _bare(column.name): column.name
        for column in columns
        if column.name not in table and not column.required
    }
    return [
        (
            f"has a column '{heading}', which would not be used: its name is '{absent[bare]}'",
            f"rename it '{absent[bare]}', or to something else if it is another thing",
        )
        for heading in map(str, table.columns)
        if (bare := _bare(heading)) in absent
    ]


def _bare(name: str) -> str:
    return re.sub(r"[\s_-]+", "", name.casefold())


def mistaken_columns(table: pd.DataFrame, columns: tuple[Column, ...]) -> list[tuple[str, str]]:
    """List headings that are nearly, but not, those of an optional column that is absent.

    Columns of one's own are allowed and not used unless a setting names them, so that a mistyped
    one would go without a word. Those of :func:`misspelt_columns` are not listed again.
    """
    headings = {_bare(str(name)) for name in table.columns}
    absent = [
        column.name
        for column in columns
        if not column.required and _bare(column.name) not in headings
    ]
    known = {_bare(column.name) for column in columns}
    found = []
    for heading in (str(name) for name in table.columns if _bare(str(name)) not in known):
        folded = re.sub(r"[^a-z0-9]+", "_", heading.casefold())
        near = get_close_matches(folded, absent, n=1, cutoff=0.85)
        if near:
            found.append(
                (
                    f"has a column '{heading}', which is not used",
                    f"if it is '{near[0]}', rename it; if it is your own, let it be",
                )
            )
    return found


def _numbers(path: Path, cells: pd.Series) -> pd.Series:
    """Turn text cells into float64; an empty one becomes NaN."""
    import pandas as pd

    try:
        return pd.to_numeric(cells).astype("float64")
    except ValueError as error:
        raise MammoroiError(
            f"{path}, column {cells.name}: {error}",
            "write numbers with a point; see mammoroi check",
        ) from None

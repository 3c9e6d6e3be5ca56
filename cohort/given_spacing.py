"""The pixel spacing that is given for new mammograms: one for all, or a table with one for each.

The table has the columns ``image`` (a file, relative to the table or absolute) and ``spacing_mm``,
as ``cohort.csv`` has them. What a file states itself counts, whatever is given.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from ..errors import MammoroiError
from .cohort import read_cells, records
from .schema import IMAGE_COLUMNS, check_spacing, nearest

GivenSpacing = float | Mapping[Path, float]


def given_spacing(text: str | None) -> GivenSpacing | None:
    """Read an option: a number of millimetres per pixel, the name of a table, or None.

    Raises
    ------
    MammoroiError
        When it is neither, or the table cannot be meant.
    """
    if text is None:
        return None
    try:
        value = float(text)
    except ValueError:
        if Path(text).is_file():
            return read_spacings(Path(text))
        raise MammoroiError(
            f"spacing_mm is '{text}', which is no number and no table",
            "give millimetres per pixel, such as 0.07, or a CSV file with the columns image and "
            "spacing_mm",
        ) from None
    check_spacing(value)
    return value


def read_spacings(table: Path) -> dict[Path, float]:
    """Read the spacing of each file that a table names; empty cells are not known.

    Raises
    ------
    MammoroiError
        When the table lacks a column, a cell is no spacing, or one file has two of them.
    """
    cells = read_cells(table, IMAGE_COLUMNS, ("image", "spacing_mm"))
    for column in ("image", "spacing_mm"):
        if column not in cells:
            present = [str(name) for name in cells.columns]
            raise MammoroiError(
                f"{table} has no column '{column}'", f"add it; {nearest(column, present, 'it has')}"
            )
    found: dict[Path, float] = {}
    for line, row in zip(cells.index + 2, records(cells), strict=True):
        if not row["image"] or not row["spacing_mm"]:
            continue
        try:
            value = float(row["spacing_mm"])
            check_spacing(value)
        except (ValueError, MammoroiError):
            raise MammoroiError(
                f"{table} line {line} ({row['image']}): spacing_mm is '{row['spacing_mm']}'",
                "give millimetres per pixel, such as 0.07, or nothing",
            ) from None
        file = (table.parent / row["image"]).resolve()
        if found.setdefault(file, value) != value:
            raise MammoroiError(
                f"{table} line {line}: {row['image']} has another spacing_mm above", "correct one"
            )
    return found


def spacing_of(file: Path, given: GivenSpacing | None) -> float | None:
    """Give what was given for a file, in mm; None where nothing was."""
    return given.get(Path(file).resolve()) if isinstance(given, Mapping) else given


def check_given(files: Collection[Path], given: GivenSpacing | None) -> None:
    """Refuse a spacing that cannot be meant: one in micrometres, a table of other files.

    Raises
    ------
    MammoroiError
        When the number is outside the range of spacings, or the table names none of the files.
    """
    if not isinstance(given, Mapping):
        check_spacing(given)
    elif files and not any(spacing_of(file, given) for file in files):
        raise MammoroiError(
            f"the table of spacings has none for any of the {len(files)} images",
            "its column image names files relative to the table's folder, or with their whole path",
        )

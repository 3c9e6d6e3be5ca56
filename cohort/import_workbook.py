"""One sheet of a workbook that is imported, as text.

The tables of a cohort folder are CSV, whose cells nobody has formatted.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree.ElementTree import ParseError
from zipfile import BadZipFile

from ..errors import MammoroiError

if TYPE_CHECKING:
    import pandas as pd


def read_sheet(path: Path, sheet: str | int | None = None) -> pd.DataFrame:
    """Read a sheet of an ``.xlsx`` workbook; its headings are in the first row.

    Parameters
    ----------
    path : Path
        The workbook.
    sheet : str or int
        Name of the sheet; upper and lower case and blanks around it do not matter. Or its number,
        counted from 0. Without one the workbook must have one sheet only.

    Returns
    -------
    DataFrame
        Text without blanks around it; whole numbers have no decimals (``44``), an empty cell is
        None. Of a formula the value that was saved is taken. Rows that are wholly empty and columns
        without a heading are left out. The index is the row's number in the sheet, counted from 0
        without row 1, as that of :func:`mammoroi.spreadsheet.read_spreadsheet`.

    Raises
    ------
    MammoroiError
        When the file is no workbook, has no such sheet or several of which none is named, the sheet
        is empty, or two columns of it have one heading.
    """
    import openpyxl
    import pandas as pd
    from openpyxl.utils.exceptions import InvalidFileException

    try:
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
        try:
            sheet = _sheet(path, book.sheetnames, sheet)
            rows = [
                [_text(value) for value in row] for row in book[sheet].iter_rows(values_only=True)
            ]
        finally:
            book.close()
    except (BadZipFile, InvalidFileException, KeyError, OSError, ParseError, ValueError) as error:
        raise MammoroiError(
            f"{path} cannot be read as a workbook ({type(error).__name__})",
            "save or download it again",
        ) from None
    filled = [
        (number, row)
        for number, row in enumerate(rows, start=-1)
        if any(cell is not None for cell in row)
    ]
    if not filled:
        raise MammoroiError(
            f"sheet '{sheet}' of {path} is empty", "save or download the workbook again"
        )
    (_, heading), *rest = filled
    for name in heading:
        if name and heading.count(name) > 1:
            raise MammoroiError(
                f"sheet '{sheet}' of {path} has two columns '{name}'", "remove or rename one"
            )
    return pd.DataFrame(
        {
            name: [row[position] if position < len(row) else None for _, row in rest]
            for position, name in enumerate(heading)
            if name
        },
        index=[number for number, _ in rest],
        dtype=object,
    )


def _sheet(path: Path, sheets: list[str], wanted: str | int | None) -> str:
    """Find a sheet by its name or number; without one, the only sheet."""
    if isinstance(wanted, int):
        return sheets[wanted]
    names = {name.strip().casefold(): name for name in sheets}
    if wanted is None and len(sheets) == 1:
        return sheets[0]
    if wanted is None:
        raise MammoroiError(
            f"{path} has several sheets: {', '.join(sheets)}", "name one of them: --sheet NAME"
        )
    if wanted.strip().casefold() not in names:
        raise MammoroiError(
            f"{path} has no sheet '{wanted}' (it has {', '.join(sheets)})",
            "name one of these, or save or download the workbook again",
        )
    return names[wanted.strip().casefold()]


def _text(value: Any) -> str | None:
    """Write a cell as text, 44.0 as ``44``."""
    if value is None:
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip() or None

"""Tables as people save them: CSV out of a spreadsheet program, in whichever way it exports.

Read are UTF-8 with or without a byte order mark and UTF-16 with one; commas, semicolons or tabs
between the cells; decimal commas where the comma does not part the cells. Blanks around a cell are
no part of it. Refused, with what to do, are workbooks, other encodings (an umlaut or a Chinese name
could not be told from another), rows that are longer than the heading, and a double quote without
its second one, which would take the rows after it into its cell.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import MammoroiError

if TYPE_CHECKING:
    import pandas as pd

SAVE_AS = "save it in the spreadsheet program as 'CSV UTF-8'"
_WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")  # xlsx and ods are ZIP files, xls is OLE
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+")
_NUMBER = re.compile(r"[+-]?\d+([.,]\d+)?")


def read_spreadsheet(
    path: Path, numbers: Collection[str] = (), texts: Collection[str] = ()
) -> pd.DataFrame:
    """Read a table that a person wrote; every cell is text, an empty one is missing.

    Parameters
    ----------
    path : Path
        The file.
    numbers : collection of str
        Columns in which every decimal comma becomes a point.
    texts : collection of str
        Columns that stay as they are. In the others decimal commas become points where all filled
        cells of the column are numbers.

    Returns
    -------
    DataFrame
        The index is the row's number, counted from 0 without the heading; rows that are wholly
        empty are left out, and their numbers with them. Columns without heading and cells too.

    Raises
    ------
    MammoroiError
        When the file is missing, empty, a workbook, neither UTF-8 nor UTF-16 or no table, when a
        row is longer than the heading, or two columns have one heading.
    """
    import pandas as pd

    raw, separator = _rows(path)
    rows = [[cell.strip() for cell in row] for row in raw]
    if not rows or not any(rows[0]):
        raise MammoroiError(
            f"{path} is not a table: its first line is empty", "write the headings into line 1"
        )
    heading = rows[0]
    width = max(position for position, name in enumerate(heading) if name) + 1
    for line, row in enumerate(rows[1:], start=2):
        if any(row[width:]):
            raise MammoroiError(
                f"{path} has more cells on line {line} than headings ({width})",
                "mend the line; text that has the separator in it belongs in double quotes",
            )
    for name in heading:
        if name and heading.count(name) > 1:
            raise MammoroiError(f"{path} has two columns '{name}'", "remove or rename one of them")
    table = pd.DataFrame(
        {
            name or f"column {position + 1}": [
                row[position] if position < len(row) and row[position] else None for row in rows[1:]
            ]
            for position, name in enumerate(heading[:width])
        },
        dtype=object,
    )
    unnamed = [f"column {position + 1}" for position in range(width) if not heading[position]]
    table = table.drop(columns=[name for name in unnamed if table[name].isna().all()])
    table = table.dropna(how="all")
    if separator != ",":
        for name in [name for name in table.columns if name not in texts]:
            table[name] = _with_points(table[name], name in numbers)
    return table


def padded_cells(path: Path, columns: Collection[str]) -> dict[str, list[int]]:
    """Tell which filled cells have blanks around them, which :func:`read_spreadsheet` takes away.

    Parameters
    ----------
    path : Path
        The file.
    columns : collection of str
        The columns to look at; those that it does not have are left out.

    Returns
    -------
    dict
        Column to the numbers of the rows, counted from 0 without the heading.

    Raises
    ------
    MammoroiError
        As :func:`read_spreadsheet` where the file cannot be decoded.
    """
    rows, _ = _rows(path)
    heading = [name.strip() for name in rows[0]]
    return {
        column: [
            number
            for number, row in enumerate(rows[1:])
            if heading.index(column) < len(row)
            and row[heading.index(column)].strip() not in ("", row[heading.index(column)])
        ]
        for column in columns
        if column in heading
    }


def _rows(path: Path) -> tuple[list[list[str]], str]:
    """Part a file into cells; the second value is what parts them."""
    text = _text(path)
    separator = _separator(text)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    rows: list[list[str]] = []
    try:
        rows.extend(reader)
    except csv.Error as error:
        raise MammoroiError(
            f"{path} is not a table from line {len(rows) + 1} on: {error}",
            f"see whether a double quote there lacks its second one, or {SAVE_AS}",
        ) from None
    return rows, separator


def _text(path: Path) -> str:
    """Decode a file, or say why that cannot be done."""
    try:
        content = Path(path).read_bytes()
    except FileNotFoundError:
        raise MammoroiError(f"{path} does not exist", "check the path") from None
    except OSError as error:
        raise MammoroiError(f"{path} cannot be read: {error.strerror}", "check the path") from None
    if content.startswith(_WORKBOOKS):
        raise MammoroiError(f"{path} is not a table: it is a workbook, whatever its name", SAVE_AS)
    encoding = "utf-16" if content.startswith(_UTF16) else "utf-8-sig"
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise MammoroiError(
            f"{path} is not a table in UTF-8: line {line} has a character in another encoding "
            f"(byte 0x{content[error.start]:02X})",
            SAVE_AS,
        ) from None


def _separator(text: str) -> str:
    """Tell what parts the cells: the commonest of the candidates in the heading, outside quotes."""
    heading = re.sub(r'"[^"]*"', "", text.lstrip().partition("\n")[0])
    return max(",;\t", key=heading.count)


def _with_points(cells: pd.Series, number: bool) -> pd.Series:
    """Write decimal commas as points; a column that is not only numbers is left as it is."""
    if not number and not cells.dropna().map(lambda cell: bool(_NUMBER.fullmatch(cell))).all():
        return cells
    return cells.map(
        lambda cell: cell.replace(",", ".") if _DECIMAL_COMMA.fullmatch(cell) else cell,
        na_action="ignore",
    )

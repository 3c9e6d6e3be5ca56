"""Cells of a table that is imported: written in other words, and held against the schema."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import Failure, MammoroiError
from .schema import Column, meant

if TYPE_CHECKING:
    import pandas as pd

STAGE = "import/value"
_YAML_WORDS = {"true": ("true", "yes"), "false": ("false", "no")}  # YAML takes no for false

Words = dict[str, dict[str, str | int | float | bool | None]]
"""New name to the table's word to the word to write, as YAML reads it."""


def mapped(table: pd.DataFrame, words: Words, columns: tuple[Column, ...]) -> pd.DataFrame:
    """Write cells in the words of the schema.

    Parameters
    ----------
    table : DataFrame
        Text under its new names; a missing cell stays missing.
    words : dict
        New name to the table's word to the word to write; upper and lower case of the table's word
        does not matter, an empty word to write makes the cell missing, true and false are yes and
        no. Names that the table does not have are passed over.
    columns : tuple of Column
        Choices that differ from an allowed value by upper and lower case only are written as it.
    """
    known = {
        column.name: {value.casefold(): value for value in column.values}  # noqa: PD011
        for column in columns
        if column.kind == "choice"
    }
    for name, given in words.items():
        folded = {
            word: _text(new)
            for old, new in given.items()
            for word in _YAML_WORDS.get(str(old).casefold(), (str(old).casefold(),))
        }
        known[name] = {**known.get(name, {}), **folded}
    for name, written_as in known.items():
        if name in table:
            cells = table[name]
            written = cells.str.casefold().map(written_as).fillna(cells)
            table[name] = written.mask(written == "")
    return table


def _text(word: str | float | bool | None) -> str:
    """The word that was meant: YAML takes yes for true, 0 for a number, nothing for null."""
    if isinstance(word, bool):
        return "yes" if word else "no"
    return "" if word is None else str(word)


def faults(
    table: pd.DataFrame, cases: pd.Series, columns: tuple[Column, ...], rows: str
) -> list[Failure]:
    """List the cells that the schema does not allow; they stay as they are.

    Parameters
    ----------
    table : DataFrame
        Text under its new names.
    cases : Series
        What each row is called.
    columns : tuple of Column
        The schema; columns that the table lacks are passed over.
    rows : str
        What the rows are, for the message: ``"images"`` or ``"patients"``.

    Raises
    ------
    MammoroiError
        When a column has filled cells and none of them is allowed: its values have other names.
    """
    found: list[Failure] = []
    strange: list[tuple[str, str]] = []
    for column in columns:
        if column.name not in table:
            continue
        cells = [
            (str(case), str(cell))
            for case, cell in zip(cases, table[column.name], strict=True)
            if isinstance(cell, str)
        ]
        different = dict.fromkeys(cell for _, cell in cells)
        bad = {cell: fault for cell in different if (fault := column.fault(cell))}
        if bad and len(bad) == len(different):
            strange.append(_strange(column, list(bad), rows))
        found += [
            Failure(case, STAGE, bad[cell][0], f"correct the table; {bad[cell][1]}")
            for case, cell in cells
            if cell in bad
        ]
    if strange:
        raise MammoroiError(
            "; ".join(what for what, _ in strange), "; ".join(action for _, action in strange)
        )
    return found


def _strange(column: Column, cells: list[str], rows: str) -> tuple[str, str]:
    """Say that no value of a column is allowed, and how to have them written in other words."""
    shown = ", ".join(f"'{cell}'" for cell in cells[:4]) + (", ..." if len(cells) > 4 else "")
    found = f"{column.name} of the {rows} is {shown}: none of these is allowed"
    if column.kind != "choice":
        return found, (column.fault(cells[0]) or ("", ""))[1]
    pairs = ", ".join(f"{cell}: {_meant(cell, column.values) or '?'}" for cell in cells[:4])
    return found, (
        f"allowed: {', '.join(column.values)}; say which is which: "
        f"`words: {{{column.name}: {{{pairs}}}}}`"
    )


def _meant(cell: str, allowed: tuple[str, ...]) -> str | None:
    """The allowed value that a cell misspells or abbreviates, or whose initial it begins with."""
    initials = {value.casefold(): value for value in allowed if len(value) == 1}
    if len(initials) == len(allowed):  # left is L
        return initials.get(cell.casefold()[:1])
    return meant(cell, allowed)

"""The table of characteristics as text: what :func:`..modeling.baseline.baseline_table` gives."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..cohort.schema import PATIENT_COLUMNS
from ..modeling.baseline import MEAN, MEDIAN
from . import wording

if TYPE_CHECKING:
    import pandas as pd


def baseline_cells(table: pd.DataFrame) -> list[list[str]]:
    """The table as text: variable, level, total, train, test, P."""
    units = {column.name: column.unit for column in PATIENT_COLUMNS}
    cells = []
    before = None
    for _, row in table.iterrows():
        name = str(row["variable"])
        first = name != before
        before = name
        title = title_of(name) + (f", {units[name]}" if units.get(name) else "")
        values = [_cell(row, group) for group in ("total", "train", "test")]
        p = wording.p_value(row["p"]).removeprefix("P ").removeprefix("= ") if first else ""
        cells.append([title if first else "", str(row["level"]).replace("_", " "), *values, p])
    return cells


def _cell(row: pd.Series, group: str) -> str:
    value, part = row[group], row[f"{group}_share"]
    if row["level"] in (MEAN, MEDIAN):
        return f"{wording.number(value, 1)} ({wording.number(part, 1)})"
    if part != part:  # not known: a count without a share
        return f"{value:.0f}"
    return f"{value:.0f} ({wording.number(100 * part, 1)}%)"


_TITLES = {
    "er_percent": "Oestrogen receptor",
    "pr_percent": "Progesterone receptor",
    "ki67_percent": "Ki-67",
    "ck5_6": "CK5/6",
    "sln": "Sentinel lymph node",
    "her2": "HER2",
    "her2_ihc": "HER2 immunohistochemistry",
    "her2_fish": "HER2 in situ hybridisation",
    "size_cm": "Size of the lesion",
}


def title_of(column: str) -> str:
    """A column's name as a reader would write it."""
    return _TITLES.get(column, column.replace("_", " ").capitalize())

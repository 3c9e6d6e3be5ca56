"""The table of characteristics: all patients, training and test patients side by side.

A choice is given as n (%) of the known values and tested with Pearson's chi-square without
continuity correction, as in the table that clinical papers call Table 1; a number as mean (SD) and
tested with Welch's t-test. A missing value is left out of the test and counted in a row of its own.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ..cohort.schema import PATIENT_COLUMNS
from . import wording

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

MOST_LEVELS = 10
COLUMNS = (
    *("variable", "level", "total", "train", "test"),
    *("total_share", "train_share", "test_share", "statistic", "p"),
)


def chi_square(counts: NDArray[np.int64]) -> tuple[float, float]:
    """Pearson's chi-square of a table of counts, without continuity correction.

    Rows and columns without any case are left out; with fewer than two of either left the result
    is NaN.

    Returns
    -------
    tuple of float
        The statistic and its P value.
    """
    from scipy.stats import chi2_contingency

    counts = counts[counts.sum(axis=1) > 0][:, counts.sum(axis=0) > 0]
    if min(counts.shape) < 2:
        return math.nan, math.nan
    result = chi2_contingency(counts, correction=False)
    return float(result.statistic), float(result.pvalue)


def baseline_table(patients: pd.DataFrame, train: list[str], test: list[str]) -> pd.DataFrame:
    """Characteristics of all, training and test patients.

    Parameters
    ----------
    patients : pandas.DataFrame
        ``patients.csv``. Columns of the schema are read as it says; of the others, numbers with
        more than ten values are continuous, anything with at most ten values is a choice, and
        free text is left out.
    train, test : list of str
        ``patient_id`` of either set; patients in neither are left out.

    Returns
    -------
    pandas.DataFrame
        One row per level: ``total, train, test`` are counts and ``*_share`` their share of the
        known values (0 to 1). For a number one row with the level ``mean (SD)``: ``total, train,
        test`` are means and ``*_share`` standard deviations. ``statistic`` and ``p`` stand in the
        first row of a variable.
    """
    import pandas as pd

    everyone = patients[patients["patient_id"].isin([*train, *test])]
    groups = {
        "total": everyone,
        "train": everyone[everyone["patient_id"].isin(train)],
        "test": everyone[everyone["patient_id"].isin(test)],
    }
    known = {column.name: column for column in PATIENT_COLUMNS}
    rows: list[dict[str, Any]] = []
    for name in everyone.columns:
        column = known.get(name)
        if name in ("patient_id", "split") or everyone[name].isna().all():
            continue
        numeric = pd.api.types.is_numeric_dtype(everyone[name])
        n_values = everyone[name].nunique()
        if numeric and (n_values > MOST_LEVELS if column is None else column.kind == "number"):
            rows += _number(name, groups)
        elif n_values <= MOST_LEVELS:
            rows += _choice(name, groups, column.values if column else ())  # noqa: PD011 (no pandas)
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _number(name: str, groups: dict[str, pd.DataFrame]) -> list[dict[str, Any]]:
    from scipy.stats import ttest_ind

    row: dict[str, Any] = {"variable": name, "level": "mean (SD)"}
    for group, table in groups.items():
        row[group] = float(table[name].mean())
        row[f"{group}_share"] = float(table[name].std())
    parts = [groups[group][name].dropna().to_numpy() for group in ("train", "test")]
    if min(map(len, parts)) > 1:
        result = ttest_ind(*parts, equal_var=False)
        row["statistic"], row["p"] = float(result.statistic), float(result.pvalue)
    return [row, *_missing(name, groups)]


def _choice(
    name: str, groups: dict[str, pd.DataFrame], order: tuple[str, ...]
) -> list[dict[str, Any]]:
    import numpy as np

    texts = {group: _texts(table[name]) for group, table in groups.items()}
    present = set(texts["total"])
    levels = [level for level in order if level in present]
    levels += sorted(present - set(levels))
    counts = {
        group: [int((text == level).sum()) for level in levels] for group, text in texts.items()
    }
    statistic, p = chi_square(np.array([counts["train"], counts["test"]]))
    rows: list[dict[str, Any]] = []
    for at, level in enumerate(levels):
        row: dict[str, Any] = {"variable": name, "level": level}
        for group in groups:
            row[group] = counts[group][at]
            row[f"{group}_share"] = counts[group][at] / max(1, sum(counts[group]))
        if at == 0:
            row["statistic"], row["p"] = statistic, p
        rows.append(row)
    return [*rows, *_missing(name, groups)]


def _texts(values: pd.Series) -> pd.Series:
    """Levels as text; whole numbers without a decimal point."""
    values = values.dropna()
    if values.dtype.kind == "f" and (values % 1 == 0).all():
        values = values.astype("int64")
    return values.astype(str)


def _missing(name: str, groups: dict[str, pd.DataFrame]) -> list[dict[str, Any]]:
    counts = {group: int(table[name].isna().sum()) for group, table in groups.items()}
    return [{"variable": name, "level": "not known", **counts}] if counts["total"] else []


def baseline_cells(table: pd.DataFrame) -> list[list[str]]:
    """The table as text: variable, level, total, train, test, P."""
    units = {column.name: column.unit for column in PATIENT_COLUMNS}
    cells = []
    before = None
    for _, row in table.iterrows():
        name = str(row["variable"])
        title = title_of(name) + (f", {units[name]}" if units.get(name) else "")
        first = name != before
        before = name
        values = [_cell(row, group) for group in ("total", "train", "test")]
        p = wording.p_value(row["p"]).removeprefix("P ").removeprefix("= ") if first else ""
        cells.append([title if first else "", str(row["level"]).replace("_", " "), *values, p])
    return cells


def _cell(row: pd.Series, group: str) -> str:
    value, part = row[group], row[f"{group}_share"]
    if row["level"] == "mean (SD)":
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

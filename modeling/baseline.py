"""The table of characteristics: all patients, training and test patients side by side.

A choice is given as n (%) of the known values and tested with Pearson's chi-square without
continuity correction, as in the table that clinical papers call Table 1; a number as mean (SD) with
Welch's or Student's t-test, or as median and interquartile range with the test of Mann and Whitney.
A missing value is left out of the test and counted in a row of its own.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ..cohort.schema import PATIENT_COLUMNS
from .clinical_config import ClinicalConfig, ClinicalVariable, Test
from .clinical_design import as_text, coded, present_variables

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

MOST_LEVELS = 10
GROUPS = ("total", "train", "test")
MEAN, MEDIAN, NOT_KNOWN = "mean (SD)", "median (IQR)", "not known"
METHODS = {"welch": "Welch's t", "student": "Student's t", "mann-whitney": "Mann-Whitney"}
CHI_SQUARE = "chi-square"
COLUMNS = (
    *("variable", "level", "total", "train", "test"),
    *("total_share", "train_share", "test_share", "method", "statistic", "p"),
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


def baseline_table(
    patients: pd.DataFrame,
    train: list[str],
    test: list[str],
    config: ClinicalConfig | None = None,
) -> pd.DataFrame:
    """Characteristics of all, training and test patients.

    Parameters
    ----------
    patients : pandas.DataFrame
        ``patients.csv``.
    train, test : list of str
        ``patient_id`` of either set; patients in neither are left out.
    config : ClinicalConfig, optional
        Which variables, in which order, cut or not, and which test. Without it every column is
        taken: those of the schema as it says; of the others, numbers with more than ten values are
        continuous, anything with at most ten values is a choice, and free text is left out.

    Returns
    -------
    pandas.DataFrame
        One row per level: ``total, train, test`` are counts and ``*_share`` their share of the
        known values (0 to 1). For a number one row with the level ``mean (SD)`` or ``median
        (IQR)``: ``total, train, test`` are means or medians and ``*_share`` standard deviations or
        the distance between the quartiles. ``method``, ``statistic`` and ``p`` stand in the first
        row of a variable: t for training minus test, U of the training patients.
    """
    import pandas as pd

    everyone = patients[patients["patient_id"].isin([*train, *test])]
    parts = {
        "total": everyone["patient_id"].notna(),
        "train": everyone["patient_id"].isin(train),
        "test": everyone["patient_id"].isin(test),
    }
    if config is None:
        chosen = _every_column(everyone)
    else:
        chosen = (
            (variable, coded(everyone, variable, config.cut_numbers))
            for variable in present_variables(everyone, config)
        )
    rows: list[dict[str, Any]] = []
    for variable, values in chosen:
        groups = {group: values[part] for group, part in parts.items()}
        if values.dtype.kind == "f":
            rows += _number(variable.name, groups, variable.test)
        else:
            rows += _choice(variable.name, groups)
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _every_column(patients: pd.DataFrame) -> Iterator[tuple[ClinicalVariable, pd.Series]]:
    """Every column that can be counted or averaged, coded as the schema says or as it looks."""
    import pandas as pd

    known = {column.name: column for column in PATIENT_COLUMNS}
    for name in map(str, patients.columns):
        column = known.get(name)
        if name in ("patient_id", "split") or patients[name].isna().all():
            continue
        numeric = pd.api.types.is_numeric_dtype(patients[name])
        n_values = patients[name].nunique()
        if numeric and (n_values > MOST_LEVELS if column is None else column.kind == "number"):
            variable = ClinicalVariable(name, "number", "patient")
        elif n_values <= MOST_LEVELS:
            present = set(as_text(patients[name]).dropna())
            order = [value for value in (column.values if column else ()) if value in present]  # noqa: PD011 (no pandas)
            levels = (*order, *sorted(present - set(order)))
            variable = ClinicalVariable(name, "choice", "patient", levels)
        else:
            continue
        yield variable, coded(patients, variable, cut_numbers=False)


def _number(name: str, groups: dict[str, pd.Series], test: Test) -> list[dict[str, Any]]:
    from scipy.stats import mannwhitneyu, ttest_ind

    ranks = test == "mann-whitney"
    row: dict[str, Any] = {"variable": name, "level": MEDIAN if ranks else MEAN}
    for group, values in groups.items():
        row[group] = float(values.median() if ranks else values.mean())
        quartiles = values.quantile([0.25, 0.75])
        row[f"{group}_share"] = float(quartiles.diff().iloc[1] if ranks else values.std())
    one, other = (groups[group].dropna().to_numpy(dtype=float) for group in ("train", "test"))
    if min(len(one), len(other)) > 1:
        if ranks:
            statistic, p = mannwhitneyu(one, other)
        else:
            statistic, p = ttest_ind(one, other, equal_var=test == "student")
        row |= {"method": METHODS[test], "statistic": float(statistic), "p": float(p)}
    return [row, *_missing(name, groups)]


def _choice(name: str, groups: dict[str, pd.Series]) -> list[dict[str, Any]]:
    import numpy as np

    counts = {group: values.value_counts() for group, values in groups.items()}
    levels = [level for level in groups["total"].cat.categories if counts["total"][level]]
    table = np.array([[counts[group][level] for level in levels] for group in GROUPS])
    statistic, p = chi_square(table[1:])
    rows: list[dict[str, Any]] = []
    for at, level in enumerate(levels):
        row: dict[str, Any] = {"variable": name, "level": level}
        for group, found in zip(GROUPS, table, strict=True):
            row[group] = int(found[at])
            row[f"{group}_share"] = float(found[at] / max(1, found.sum()))
        if at == 0:
            row |= {"method": CHI_SQUARE, "statistic": statistic, "p": p}
        rows.append(row)
    return [*rows, *_missing(name, groups)]


def _missing(name: str, groups: dict[str, pd.Series]) -> list[dict[str, Any]]:
    counts = {group: int(values.isna().sum()) for group, values in groups.items()}
    return [{"variable": name, "level": NOT_KNOWN, **counts}] if counts["total"] else []

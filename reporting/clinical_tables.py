"""The clinical tables on the page: what the stage ``tables`` wrote, as text.

The CSV files stay as they are: a :class:`.tables.Table` made here comes with its file and
is not saved again.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from ..cohort.schema import PATIENT_COLUMNS
from ..files import read_csv
from ..modeling.baseline import CHI_SQUARE
from ..modeling.odds_ratios import ALL, CIRCULAR, LEFT_OUT
from ..modeling.regression import MULTIVARIABLE, PENALISED, PREOPERATIVE, UNIVARIABLE
from . import wording
from .baseline import baseline_cells, title_of
from .facts_comparison import entered
from .record import Record
from .tables import Table

if TYPE_CHECKING:
    import pandas as pd

_FLAGS = {
    "†": "†: a combination of levels has patients of one class only, so the model is fitted by "
    "penalised likelihood (Firth; Heinze and Schemper); interval and P are those of its likelihood "
    "ratio and do not follow from β and SE.",
    "‡": "‡: circular, the variable is partly made of the label itself, or tells it in every "
    "patient.",
}


def clinical_tables(study: Path, titles: dict[str, str]) -> list[tuple[Table, Path]]:
    """Read the clinical tables of a study and write them as text.

    Parameters
    ----------
    study : Path
        The study folder.
    titles : dict of str to str
        How the page calls each task; a task that is not among them goes by its name.

    Returns
    -------
    list of tuple of Table and Path
        Each with the CSV file that it was read from, in the order of their numbers; empty where
        the stage ``tables`` has not run. A file of odds ratios gives two tables where there is a
        model of what is known before surgery, none where there is no clinical variable.

    Raises
    ------
    MammoroiError
        When a file is broken.
    """
    made: list[tuple[Table, Path]] = []
    chosen = entered(Record(Path(study)))
    for path in sorted((Path(study) / "tables").glob("table[0-9]*_*.csv"), key=_order):
        frame = _read(path)
        number, name = path.stem.removeprefix("table").split("_", 1)
        if name == "baseline":
            shown = [_baseline(path.stem, frame)]
        elif name == "proportionality":
            shown = [_proportionality(path.stem, f"Table {number}", frame)]
        else:
            title = f"Table {number}. {titles.get(name, title_of(name))}"
            ordered = path.with_name(f"table{number}_proportionality.csv").exists()
            # R's polr and the tables made with it say t where others say Z.
            shown = _regression(path.stem, title, frame, "t" if ordered else "Z", chosen)
        made += [(table, path) for table in shown]
    return made


_TEXTS = ("variable", "level", "reference", "method", "note")


def _read(path: Path) -> pd.DataFrame:
    """A table whose empty texts are texts, not missing numbers."""
    frame = read_csv(path, dtype=dict.fromkeys(_TEXTS, str))
    texts = [name for name in _TEXTS if name in frame]
    return frame.assign(**{name: frame[name].fillna("") for name in texts})


def _order(path: Path) -> tuple[int, bool]:
    number, name = path.stem.removeprefix("table").split("_", 1)
    return int(number), name == "proportionality"


def _baseline(name: str, frame: pd.DataFrame) -> Table:
    methods = [str(method) for method in frame["method"].unique() if method]
    return Table(
        name,
        "Table 1. Characteristics of the patients",
        "n (%) of the known values with Pearson's chi-square without continuity correction; "
        "numbers as the second column says"
        + (f" ({', '.join(other)})" if (other := [m for m in methods if m != CHI_SQUARE]) else "")
        + ". P compares training with test patients; a small P in one row of many is to be "
        "expected by chance.",
        frame,
        ["Characteristic", "", "All", "Training", "Test", "P"],
        baseline_cells(frame),
    )


def _regression(name: str, title: str, frame: pd.DataFrame, z: str, chosen: str) -> list[Table]:
    parts = {str(analysis): part for analysis, part in frame.groupby("analysis", sort=False)}
    if not parts:  # patients.csv has no clinical variable
        return []
    shown = [_pair(name, title, frame, parts, z, chosen)]
    before = parts.get(PREOPERATIVE)
    if before is not None and before["level"].any():
        shown.append(
            Table(
                f"{name}_preoperative",
                f"{title}: what is known before surgery",
                f"One model with the variables that are known before surgery.{chosen} "
                f"{_who(parts)}",
                before,
                ["Characteristic", "Level", *_head(z, "")],
                _grouped([[*_labels(row), *_cells(row)] for _, row in before.iterrows()]),
            )
        )
    return shown


def _pair(
    name: str, title: str, frame: pd.DataFrame, parts: dict[str, pd.DataFrame], z: str, chosen: str
) -> Table:
    """Each variable alone and, where there is such a model, beside it together with the others."""
    keys = ["variable", "level"]
    together = parts.get(MULTIVARIABLE, frame.iloc[:0])
    fitted = bool(together["level"].any())
    estimates = {tuple(row[keys]): row for _, row in together.iterrows() if row["level"]}
    reasons = {str(row["variable"]): row for _, row in together.iterrows() if not row["level"]}
    rows = []
    for _, row in parts[UNIVARIABLE].iterrows():
        other = estimates.get(tuple(row[keys]), reasons.get(str(row["variable"])))
        right = ["", "", "", ""] if other is None else _cells(other)
        rows.append([*_labels(row), *_cells(row), *(right if fitted else [])])
    note = [
        "Alone: a model for each variable. Together: one model. An odds ratio above 1 goes with a "
        f"higher class; β is its logarithm, SE the standard error, {z} = β ÷ SE, the interval 95%, "
        f"P from the normal distribution.{chosen if len(parts) > 1 else ''}",
        *filter(None, [_who(parts)]),
        *(text for flag, text in _FLAGS.items() if any(flag in c for row in rows for c in row)),
    ]
    if not fitted and len(together):
        note.append(f"No model of all together: {together['note'].iloc[0].removeprefix(LEFT_OUT)}.")
    return Table(
        name,
        f"{title}: odds ratios of the clinical variables",
        " ".join(note),
        frame,
        [
            *("Characteristic", "Level"),
            *_head(z, ", alone"),
            *(_head(z, ", together") if fitted else []),
        ],
        _grouped(rows),
    )


def _who(parts: dict[str, pd.DataFrame]) -> str:
    """How many patients the models have, and how many had to be left out."""
    told = []
    for analysis, what in (
        (UNIVARIABLE, "variables alone"),
        (MULTIVARIABLE, "together"),
        (PREOPERATIVE, "before surgery"),
    ):
        if analysis not in parts or not parts[analysis]["level"].any():
            continue
        counts = parts[analysis].dropna(subset=["n"])
        low, high = int(counts["n"].min()), int(counts["n"].max())
        missing = int(counts["n_missing"].max())
        told.append(
            f"{what} {low if low == high else f'{low} to {high}'}"
            + (
                f" ({'up to ' if low != high else ''}{missing} with a missing value left out)"
                if missing
                else ""
            )
        )
    return f"Patients: {'; '.join(told)}." if told else ""


def _head(z: str, when: str) -> list[str]:
    return [f"β (SE){when}", f"{z}{when}", f"P{when}", f"Odds ratio{when}"]


def _labels(row: pd.Series) -> list[str]:
    name = str(row["variable"])
    if not row["level"]:
        return [title_of(name), ""]
    level = _level(name, str(row["level"]))
    if row["reference"]:
        level += f" against {_level(name, str(row['reference']))}"
    flag = " ‡" if row["note"].startswith(CIRCULAR) else ""
    return [title_of(name), level + flag]


def _level(name: str, level: str) -> str:
    """``per 10 years``, ``per cm``, ``≤2 cm``, ``extremely dense``."""
    unit = {column.name: column.unit for column in PATIENT_COLUMNS}.get(name, "")
    level = "per" if level == "per 1" and unit else level.replace("_", " ").replace("<=", "≤")
    return f"{level} {unit}".strip()


def _cells(row: pd.Series) -> list[str]:
    if not row["level"]:
        return ["", "", "", str(row["note"])]
    ends = (row["odds_ratio_lower"], row["odds_ratio_upper"])
    flag = " †" if row["method"] == PENALISED else ""
    return [
        f"{wording.number(row['beta'])} ({wording.number(row['se'])})",
        wording.number(row["z"]),
        _p(row["p"]),
        wording.interval(row["odds_ratio"], *ends) + flag,
    ]


def _p(value: float) -> str:
    return wording.p_value(value).removeprefix("P ").removeprefix("= ")


def _grouped(rows: list[list[str]]) -> list[list[str]]:
    """Name a variable in the first of its rows only."""
    before = ""
    for row in rows:
        before, row[0] = row[0], "" if row[0] == before else row[0]
    return rows


def _proportionality(name: str, number: str, frame: pd.DataFrame) -> Table:
    tests = {(str(row["analysis"]), str(row["variable"])): row for _, row in frame.iterrows()}
    variables = list(dict.fromkeys(frame["variable"]))
    variables = [v for v in variables if v != ALL] + [v for v in variables if v == ALL]
    cells = [
        [
            "All together" if variable == ALL else title_of(str(variable)),
            *(
                cell
                for analysis in (UNIVARIABLE, MULTIVARIABLE)
                for cell in _tested(tests.get((analysis, str(variable))))
            ),
        ]
        for variable in variables
    ]
    return Table(
        name,
        f"{number}, continued: does one odds ratio hold at every cut of the outcome?",
        "Brant's test of proportional odds. A small P says that a variable's odds ratio is not the "
        "same at every cut of the outcome; the one that is given is then a mean over different "
        "ones. – where a cut has a level with patients of one class only.",
        frame,
        ["Characteristic", "χ² (df), alone", "P, alone", "χ² (df), together", "P, together"],
        cells,
    )


def _tested(row: pd.Series | None) -> list[str]:
    if row is None:
        return ["", ""]
    if math.isnan(row["p"]):
        return [wording.DASH, wording.DASH]
    return [f"{wording.number(row['statistic'])} ({row['df']:.0f})", _p(row["p"])]

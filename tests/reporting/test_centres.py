"""Centres in the report: figure, table, sentences and checklists hold the numbers of the files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from mammoroi.files import read_csv, write_csv
from mammoroi.modeling.centres import summary_table
from mammoroi.reporting.centres import ANOTHER, POOLED, centre_table, draw_centres
from mammoroi.reporting.config import ReportConfig
from mammoroi.reporting.facts import FACTS
from mammoroi.reporting.read_results import read_results
from mammoroi.reporting.record import Record
from mammoroi.reporting.report import report
from mammoroi.reporting.style import drawing


def with_centres(folder: Path) -> pd.DataFrame:
    """Three centres held out with manual masks, one too small; gives the summary."""
    rows = [("north", 80, 40, True, ""), ("south", 60, 30, True, ""), ("west", 50, 20, True, "")]
    rows.append(("tiny", 9, 4, False, "fewer than 10 patients of a class"))
    table = pd.DataFrame(rows, columns=["centre", "n", "n_positive", "held_out", "reason"])
    for name, values in {
        "auc": (0.8, 0.7, 0.75),
        "calibration_intercept": (0.1, -0.2, 0.0),
        "calibration_slope": (0.9, 0.7, 1.1),
        "observed_expected": (1.1, 0.8, 1.0),
    }.items():
        value = np.array([*values, np.nan])
        table[name], table[f"{name}_lower"], table[f"{name}_upper"] = (
            value, value - 0.1, value + 0.1,
        )  # fmt: skip
    summary = summary_table(table)
    write_csv(folder / "centres.csv", table)
    write_csv(folder / "centres_summary.csv", summary)
    return summary.set_index("quantity")


def test_the_report_shows_what_the_files_say(
    make_study: Callable[..., Path], tmp_path: Path
) -> None:
    folder = make_study(tmp_path / "study", targets=("sln",))
    summary = with_centres(folder / "models/sln/manual").loc["auc"]
    target = read_results(folder).targets[0]
    with drawing():
        plot = draw_centres(target)
    assert plot is not None
    rows = plot.table.set_index("line")
    assert list(rows.index) == ["north", "south", "west", POOLED, ANOTHER]
    assert rows.loc[POOLED, "auc"] == summary["estimate"]
    assert rows.loc[ANOTHER, "lower"] == summary["prediction_lower"]
    mean = f"{summary['estimate']:.2f} ({summary['lower']:.2f} to {summary['upper']:.2f})"
    expected = f"{summary['prediction_lower']:.2f} and {summary['prediction_upper']:.2f}"
    assert f"mean AUC of 3 centres {mean}; another centre's is expected between {expected}" in (
        plot.finding
    )
    table = centre_table([target])
    assert table is not None
    cells = {cells[2]: cells for cells in table.cells}
    assert cells["north"][3:5] == ["80 (40)", "0.80 (0.70 to 0.90)"]
    assert cells["tiny"][4] == "fewer than 10 patients of a class"
    assert cells[POOLED][4] == mean
    fact = FACTS["centre_validation"](Record(folder))
    assert fact is not None
    assert "each of 3 centres was held out" in fact.text
    assert f"sln with manual masks {mean}" in fact.text
    assert "Not held out: tiny (fewer than 10 patients of a class)." in fact.text
    report(ReportConfig(), folder)
    assert "A centre that the classifier has not seen" in (folder / "report.html").read_text(
        "utf-8"
    )
    assert "leave-one-centre-out" in (folder / "methods.md").read_text("utf-8")
    items = read_csv(folder / "standards/tripod_ai.csv", dtype=str).set_index("item")
    assert "models/sln/manual/centres.csv" in items.loc["23b", "evidence"]


def test_only_what_was_validated_over_the_centres_is_said_to_be(
    make_study: Callable[..., Path], tmp_path: Path
) -> None:
    """`her2-low` is left out as a whole; west is held out for `sln` alone."""
    folder = make_study(tmp_path / "study", targets=("sln", "her2-zero", "her2-low"))
    with_centres(folder / "models/sln/manual")
    with_centres(folder / "models/her2-zero/manual")
    path = folder / "models/her2-zero/manual/centres.csv"
    table = read_csv(path)
    small = table["centre"] == "west"
    table.loc[small, ["held_out", "reason"]] = [False, "fewer than 10 patients of a class"]
    write_csv(path, table)
    fact = FACTS["centre_method"](Record(folder))
    assert fact is not None
    assert "validation of sln and her2-zero each of 2 to 3 centres was held out" in fact.text
    assert (
        "Not held out: tiny (fewer than 10 patients of a class) and west (fewer than 10 patients "
        "of a class) for her2-zero."
    ) in fact.text


def test_without_centres_nothing_is_said(study: Path) -> None:
    results = read_results(study)
    assert draw_centres(results.targets[0]) is None
    assert centre_table(results.targets) is None
    for name in ("centre_validation", "centre_method", "harmonisation"):
        assert FACTS[name](Record(study)) is None

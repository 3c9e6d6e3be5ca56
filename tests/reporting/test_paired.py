"""The figures on the same patients under both masks: drawn from the tables, in the right words."""

import shutil
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pandas as pd
import pytest

from mammoroi.files import write_csv, write_json
from mammoroi.modeling.agreement import summarise
from mammoroi.reporting import wording
from mammoroi.reporting.figures_compare import draw_icc
from mammoroi.reporting.figures_noninferiority import WORDS, draw_noninferiority
from mammoroi.reporting.figures_paired import (
    draw_decision_difference,
    draw_icc_dice,
    draw_risk_agreement,
)
from mammoroi.reporting.read_results import read_results
from mammoroi.reporting.tables_paired import cross_application, net_reclassification


def test_figures_hold_the_numbers_of_the_tables(study: Path) -> None:
    for figure, table in (
        ("noninferiority", "noninferiority"),
        ("icc_dice", "icc_dice_summary"),
        ("decision_difference_sln", "decision_difference"),
    ):
        ET.parse(study / f"figures/{figure}.svg")
        true = pd.read_csv(study / f"comparison/{table}.csv")
        if figure.endswith("_sln"):
            true = true[true["target"] == "sln"].reset_index(drop=True)
        pd.testing.assert_frame_equal(pd.read_csv(study / f"figures/{figure}.csv"), true)
    risks = pd.read_csv(study / "figures/risk_agreement_sln.csv")
    limits = pd.read_csv(study / "comparison/risk_agreement.csv")
    rows = limits.query("target == 'sln' and rule == 'intention_to_diagnose'")
    expected = rows.set_index("set")["bias"]
    assert risks.groupby("set")["difference"].mean().to_dict() == pytest.approx(expected.to_dict())


def test_the_report_shows_them_and_says_what_was_found(study: Path) -> None:
    page = (study / "report.html").read_text("utf-8")
    for name in (
        "noninferiority",
        "icc_dice",
        "risk_agreement_sln",
        "decision_difference_her2-low",
    ):
        assert f'id="{name}"' in page
    cells = pd.read_csv(study / "comparison/cross_application.csv")
    cells = cells.query("trained_on != applied_to and rule == 'intention_to_diagnose'")
    assert page.count("manual → automatic") == len(cells) == 4
    moved = pd.read_csv(study / "comparison/net_reclassification.csv").iloc[0]
    assert f"{moved['nri']:.3f} (".replace("-", "−").lstrip("−") in page
    rows = pd.read_csv(study / "comparison/noninferiority.csv")
    rows = rows.query("target == 'sln' and set == 'test'").set_index("rule")
    row = rows.loc["intention_to_diagnose"]
    assert f"test patients, everyone: {WORDS[row['verdict']]} (" in page
    assert f"{row['patients_needed']:.0f} would be needed" in page


def test_a_study_compared_by_an_earlier_version_is_still_drawn(study: Path) -> None:
    results = replace(read_results(study), paired={})
    target = results.targets[0]
    assert draw_noninferiority(results) is None
    assert draw_icc_dice(results) is None
    assert draw_risk_agreement(results, target) is None
    assert draw_decision_difference(results, target) is None
    assert cross_application(results) is None
    assert net_reclassification(results) is None


def test_stable_is_above_the_threshold_of_the_settings_among_all_features(
    study: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(study, tmp_path / "study"))
    write_json(folder / "comparison/summary.json", {"icc_threshold": 0.9})
    stability = pd.read_csv(folder / "comparison/stability.csv")
    stability.loc[:9, "icc_automatic"] = float("nan")
    write_csv(folder / "comparison/stability.csv", stability)
    results = read_results(folder)
    plot = draw_icc(results)
    assert plot is not None
    counted = summarise(stability, "automatic", 0.9).iloc[0]
    assert counted["n_unknown"] == 10
    words = wording.share(counted["n_stable"], counted["n_features"], "features")
    assert f"above 0.9 for {words}" in plot.finding
    by_dice = draw_icc_dice(results)
    assert by_dice is not None
    assert "above 0.9 for" in by_dice.finding


def test_a_margin_is_not_said_to_have_been_declared(study: Path) -> None:
    """Nobody can tell from the files; it may be the default."""
    plot = draw_noninferiority(read_results(study))
    assert plot is not None
    assert "margin of 0.05, which the settings name" in plot.reading

"""Radiomics beside clinical variables in the report."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from mammoroi.files import read_csv, write_json
from mammoroi.reporting import wording
from mammoroi.reporting.figures_increment import draw_increment
from mammoroi.reporting.figures_nomogram import draw_nomogram
from mammoroi.reporting.predictors import (
    PREDICTORS,
    draw_predictors,
    increments,
    predictors_table,
    skipped,
)
from mammoroi.reporting.read_results import read_results
from mammoroi.reporting.style import drawing


def test_table_figure_and_sentence_hold_the_files_numbers(study: Path) -> None:
    target = read_results(study).targets[0]
    made = predictors_table([target])
    assert made is not None
    own = read_csv(study / "models/sln/automatic/predictors.csv").set_index(["set", "predictor"])
    row = own.loc[("test", "radiomics+preoperative")]
    auc = wording.interval(row["auc"], row["auc_lower"], row["auc_upper"])
    over = [row[f"over_clinical{end}"] for end in ("", "_lower", "_upper")]
    where = made.frame[["set", "roi", "predictor"]].apply(tuple, axis=1).tolist()
    cell = made.cells[where.index(("test", "automatic", "radiomics+preoperative"))]
    assert [row[1:3] for row in made.cells if row[2]][2:4] == [
        ["test", "manual"],
        ["", "automatic"],
    ]
    assert [row[0] for row in made.cells if row[0]] == ["sln"]
    assert cell[5] == auc
    assert cell[7] == wording.interval(*over, 3)
    assert "grade 0 and 1" in made.note
    assert "Preoperative: age, size_cm, menopause, breast_density." in made.note
    sentence = next(one for one in increments(target) if "Automatic" in one and "preop" in one)
    assert wording.interval(*over, 3) in sentence
    shows = {True: "radiomics adds to them", False: "no increment is shown"}
    assert shows[over[1] > 0] in sentence
    drawn = draw_predictors(target)
    assert drawn is not None
    labels = [text.get_text() for text in drawn.figure.axes[0].get_yticklabels()]
    assert labels == list(PREDICTORS.values())


def test_nomogram_puts_each_label_at_its_points(study: Path) -> None:
    target = read_results(study).targets[0]
    rows = [
        *[("menopause", "no", 0.0, np.nan), ("menopause", "yes", 40.0, np.nan)],
        *[("radiomics risk", 0.1, 0.0, np.nan), ("radiomics risk", 0.9, 100.0, np.nan)],
        *[("total points", 0.0, 0.0, 0.1), ("total points", 200.0, 200.0, 0.9)],
        *[("risk", 0.2, 50.0, 0.2), ("risk", 0.75, 150.0, 0.75)],
    ]
    table = pd.DataFrame(rows, columns=["variable", "value", "points", "risk"])
    own = replace(target.results["manual"], nomogram=table)
    with drawing():
        made = draw_nomogram(replace(target, results={"manual": own}), "manual")
    assert made is not None
    at = {text.get_text(): text.xy for text in made.figure.axes[0].texts}  # type: ignore[attr-defined]
    assert at["yes"][0] == 40
    assert at["20%"][0] == 25  # the axis of totals is drawn as long as that of points
    assert at["75%"][0] == 75
    assert at["200"][0] == 100
    assert [round(at[label][1]) for label in ("yes", "90%", "200", "75%")] == [1, 2, 3, 4]
    assert made.finding.startswith("Most weight: Risk by radiomics alone (up to 100 points)")
    constant = replace(own, nomogram=table[table["variable"] != "risk"])
    with drawing():
        assert draw_nomogram(replace(target, results={"manual": constant}), "manual") is not None


def test_a_variable_of_little_weight_has_no_heap_of_labels(study: Path) -> None:
    target = read_results(study).targets[0]
    ages = [("age", float(35 + 5 * at), 0.7 - 0.1 * at, np.nan) for at in range(8)]
    rows = [
        *ages,
        ("age", "missing", 0.9, np.nan),
        *[("stage", level, at, np.nan) for level, at in zip("ABCDE", (0, 3, 9, 1, 2), strict=True)],
        *[("radiomics risk", 0.1, 0.0, np.nan), ("radiomics risk", 0.9, 100.0, np.nan)],
        *[("total points", 0.0, 0.0, 0.1), ("total points", 100.0, 100.0, 0.9)],
        *[("risk", 0.2, 50.0, 0.2), ("risk", 0.75, 75.0, 0.75)],
    ]
    table = pd.DataFrame(rows, columns=["variable", "value", "points", "risk"])
    own = replace(target.results["manual"], nomogram=table)
    with drawing():
        made = draw_nomogram(replace(target, results={"manual": own}), "manual")
    assert made is not None
    texts = [text.get_text() for text in made.figure.axes[0].texts]
    assert "35 to 70: 0.7 to 0.0, missing: 0.9 points" in texts  # a gap is not the oldest age
    assert "A: 0.0, B: 3.0, C: 9.0, D: 1.0, E: 2.0 points" in texts  # levels do not lie in order
    assert not {"45", "55", "65"} & set(texts)


def test_both_are_on_the_page(study: Path) -> None:
    page = (study / "report.html").read_text("utf-8")
    for name in (
        "predictor_auc_sln",
        "increment_decision_sln",
        "nomogram_sln_manual",
        "nomogram_sln_automatic",
    ):
        assert f'id="{name}"' in page


def test_a_study_without_clinical_variables_says_so(study: Path, tmp_path: Path) -> None:
    folder = tmp_path / "study"
    shutil.copytree(study, folder)
    for roi in ("manual", "automatic"):
        place = folder / "models/sln" / roi
        (place / "predictors.csv").unlink()
        (place / "predictors_decision.csv").unlink()
        (place / "nomogram.csv").unlink()
        write_json(place / "predictors.json", {"skipped": "patients.csv has none"})
    target = read_results(folder).targets[0]
    assert predictors_table([target]) is None
    assert draw_predictors(target) is None
    assert draw_increment(target) is None
    assert draw_nomogram(target, "manual") is None
    assert skipped([target]).endswith("is not shown: patients.csv has none.")


def test_an_increment_without_an_auc_is_said_to_have_none(study: Path) -> None:
    """As where all test patients are of one class."""
    target = read_results(study).targets[0]
    table = target.results["manual"].predictors.copy()
    over = [name for name in table if name.startswith("over_clinical")]
    table.loc[table["set"] == "test", over] = np.nan
    manual = replace(target.results["manual"], predictors=table)
    sentences = increments(replace(target, results={"manual": manual}))
    assert all("could not be computed on the test patients: both" in one for one in sentences)
    assert not any(" is in AUC" in one for one in sentences)

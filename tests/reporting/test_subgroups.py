"""For whom it works: a destroyed group stands in the words; studies without the files report."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mammoroi.files import write_csv
from mammoroi.modeling.subgroups_files import dice_by_group, read_groups, write_subgroups
from mammoroi.reporting.config import ReportConfig
from mammoroi.reporting.facts import FACTS
from mammoroi.reporting.figures_subgroups import draw_subgroups, draw_subgroups_dice
from mammoroi.reporting.model_card import card_of
from mammoroi.reporting.read_results import read_results
from mammoroi.reporting.record import Record
from mammoroi.reporting.report import report
from mammoroi.reporting.subgroups import dice_findings, findings, subgroups_table


@pytest.fixture(scope="module")
def planted(make_study: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Risks in the south are shuffled, masks there are half as good; one centre is tiny."""
    folder = make_study(
        tmp_path_factory.mktemp("planted") / "study", n_patients=240, targets=("sln",)
    )
    rng = np.random.default_rng(4)
    patients = pd.read_csv(folder / "patients.csv").drop(columns=["size_cm", "breast_density"])
    south = np.arange(len(patients)) % 2 == 1
    patients["centre"] = np.where(south, "south", "north")
    patients.loc[:5, "centre"] = "islands"
    patients["age"] = rng.permutation(np.linspace(35, 69, len(patients)).round())
    write_csv(folder / "patients.csv", patients)
    path = folder / "models/sln/manual/predictions.csv"
    table = pd.read_csv(path)
    table["risk"] = np.where(south, rng.permutation(table["risk"]), 0.3 * table["risk"])
    table.loc[~south, "risk"] += 0.1 * table.loc[~south, "label"]
    write_csv(path, table)
    groups, _ = read_groups(folder)
    write_subgroups(path.parent, table, table, groups)
    other = folder / "models/sln/automatic"
    write_subgroups(other, pd.read_csv(other / "predictions.csv"), None, groups)
    agreement = pd.read_csv(folder / "agreement.csv")
    worse = agreement["patient_id"].isin(patients.loc[south, "patient_id"])
    agreement.loc[worse & (agreement["comparison"] == "automatic-manual"), "dice"] *= 0.5
    write_csv(folder / "agreement.csv", agreement)
    write_csv(folder / "comparison/subgroups_dice.csv", dice_by_group(folder, 100, 0))
    return folder


def test_the_destroyed_group_stands_in_the_words(planted: Path) -> None:
    results = read_results(planted)
    manual, automatic = findings(results.targets[0])
    assert manual.startswith(
        "Manual masks, all patients, out of fold: The AUC differs by centre (P"
    )
    assert "adjusted for 2 groupings by Holm): north" in manual
    assert "No difference in AUC is shown by age" in manual
    assert "that does not show that there is none" in manual
    assert "fewer than 10 patients of a class: centre islands (" in manual
    assert automatic.startswith("Automatic masks, training patients, out of fold: No difference")
    first, second = dice_findings(results)
    assert "for centre south and" in first
    assert "for centre south" not in second.split(" and ")[0]
    fact = FACTS["subgroup_findings"](Record(planted))
    assert fact is not None
    assert (
        "sln with manual masks, all patients, out of fold: The AUC differs by centre" in fact.text
    )
    assert "No difference in AUC between groups is shown for sln with automatic" in fact.text
    assert "The AUC differs by centre" in card_of(planted, "sln", "manual")["subgroups"][0]
    assert "centre south 0." in FACTS["cluster_findings"](Record(planted)).text  # type: ignore[union-attr]


def test_the_figures_and_the_table_have_every_group(planted: Path) -> None:
    results = read_results(planted)
    plot = draw_subgroups(results.targets[0])
    assert plot is not None
    names = [label.get_text() for label in plot.figure.axes[0].get_yticklabels()]
    assert names == [
        *("age (years)", "under 50", "50 to 69", "centre", "islands", "north", "south")
    ]
    table = subgroups_table(results.targets[0])
    assert table is not None
    rows = {(row[1], row[2]): row for row in table.cells}
    assert rows["islands", "manual"][4] == "fewer than 10 of a class"
    assert float(rows["north", "manual"][4][:4]) > 0.8
    dice = draw_subgroups_dice(results)
    assert dice is not None
    assert {"CC", "MLO"} <= set(dice.table["group"])


def test_a_study_without_the_files_still_makes_a_report(study: Path, tmp_path: Path) -> None:
    assert 'id="subgroups-section"' in (study / "report.html").read_text("utf-8")
    folder = Path(shutil.copytree(study, tmp_path / "study"))
    for pattern in ("models/*/*/subgroups.csv", "models/*/*/heterogeneity.csv"):
        for path in folder.glob(pattern):
            path.unlink()
    (folder / "comparison/subgroups_dice.csv").unlink()
    report(ReportConfig(), folder)
    assert "subgroups-section" not in (folder / "report.html").read_text("utf-8")
    card = json.loads((folder / "cards/sln-manual.json").read_text("utf-8"))
    assert card["subgroups"] == []
    for name in ("subgroup_methods", "subgroup_findings", "cluster_findings", "dice_by_subgroup"):
        assert FACTS[name](Record(folder)) is None

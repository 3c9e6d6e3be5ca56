"""The clinical tables as text."""

import shutil

import numpy as np
import pandas as pd
import pytest

from mammoroi.files import write_csv, write_json
from mammoroi.modeling.baseline import baseline_table
from mammoroi.modeling.clinical_config import ClinicalConfig
from mammoroi.modeling.odds_ratios import proportionality_table, regression_table
from mammoroi.modeling.regression import fit_models
from mammoroi.reporting.clinical_tables import clinical_tables
from mammoroi.reporting.facts import FACTS
from mammoroi.reporting.record import Record


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    rng = np.random.default_rng(8)
    n = 240
    patients = pd.DataFrame(
        {
            "patient_id": [f"P{k:03d}" for k in range(n)],
            "sln": rng.permutation(np.repeat(["negative", "positive"], n // 2)),
            "her2": rng.permutation(np.repeat(["zero", "low", "positive"], n // 3)),
            "age": rng.normal(55, 10, n).round(),
            "size_cm": rng.exponential(2, n).round(1) + 0.1,
            "grade": rng.choice(["II", "III"], n),
            "stage": rng.choice(["I", "II"], n),
        }
    )
    patients.loc[patients["sln"] == "negative", "grade"] = "II"
    patients.loc[:4, "size_cm"] = np.nan
    config = ClinicalConfig()
    folder = tmp_path_factory.mktemp("study")
    ids = patients["patient_id"].tolist()
    made = {"table1_baseline": baseline_table(patients, ids[:160], ids[160:], config)}
    for number, task in enumerate(config.resolved_tasks(), start=2):
        models = fit_models(patients, task, config)
        made[f"table{number}_{task.name}"] = regression_table(models, config)
    made["table3_proportionality"] = proportionality_table(models)
    for name, table in made.items():
        write_csv(folder / "tables" / f"{name}.csv", table)
    return folder


def test_tables_and_their_cells(study):
    shown = {table.name: table for table, _ in clinical_tables(study, {"sln": "Node"})}
    assert list(shown) == [
        "table1_baseline",
        "table2_sln",
        "table2_sln_preoperative",
        "table3_her2",
        "table3_her2_preoperative",
        "table3_proportionality",
    ]
    files = [path.name for _, path in clinical_tables(study, {})]
    assert files[1] == files[2] == "table2_sln.csv"
    for table in shown.values():
        assert {len(row) for row in table.cells} == {len(table.head)}
        assert not any("nan" in cell for row in table.cells for cell in row)
    node = shown["table2_sln"]
    assert node.title == "Table 2. Node: odds ratios of the clinical variables"
    assert "Z = β ÷ SE" in node.note
    assert "t = β ÷ SE" in shown["table3_her2"].note
    rows = {(row[0], row[1]): row for row in node.cells}
    assert ("Age", "per 10 years") in rows
    assert ("Size of the lesion", "per cm") in rows
    assert rows[("Grade", "III against II")][5].endswith("†")
    assert "penalised" in node.note
    assert "interval and P are those of its likelihood ratio" in node.note
    stage = rows[("Stage", "II against I ‡")]
    assert stage[6:9] == ["", "", ""]
    assert stage[9] == "left out: circular: stage is partly made of sln"
    assert "together 235 (5 with a missing value left out)" in node.note
    last = shown["table3_proportionality"].cells[-1]
    assert last[0] == "All together"
    assert last[3].endswith("(5)")  # zero, low and positive: two cuts, so one df a column


def test_without_the_stage_there_is_nothing(tmp_path):
    assert clinical_tables(tmp_path, {}) == []


def test_a_study_without_clinical_variables_has_no_table_of_odds_ratios(tmp_path):
    """The smallest `patients.csv` names the patient and the label, nothing else."""
    patients = pd.DataFrame({"patient_id": ["A", "B"], "sln": ["negative", "positive"]})
    config = ClinicalConfig()
    task = config.resolved_tasks()[0]
    table = regression_table(fit_models(patients, task, config), config)
    write_csv(tmp_path / "tables" / "table2_sln.csv", table)
    assert clinical_tables(tmp_path, {}) == []


def test_methods_name_the_regression_of_each_label(study):
    fact = FACTS["regressions"](Record(study))
    assert fact is not None
    assert "for sln (logistic regression) with one variable at a time" in fact.text
    assert "for her2 (proportional odds) with one variable at a time" in fact.text


def test_a_model_of_chosen_variables_is_said_to_be_one(study, tmp_path):
    """What was significant alone is significant beside others more often than it should be."""
    chosen = "Only variables with P < 0.05 alone entered a model of several"
    folder = tmp_path / "study"
    shutil.copytree(study, folder)
    for settings, said in (({"entry": "all"}, False), ("paper-literal", True)):
        write_json(folder / "run.json", {"config": {"clinical": settings}})
        notes = {table.name: table.note for table, _ in clinical_tables(folder, {})}
        told = [chosen in notes[name] for name in ("table2_sln", "table2_sln_preoperative")]
        fact = FACTS["regressions"](Record(folder))
        assert fact is not None
        assert [*told, chosen in fact.text] == [said] * 3
        assert ("Numbers were cut in two." in fact.text) is said

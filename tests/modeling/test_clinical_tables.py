"""The stage that writes the clinical tables."""

import numpy as np
import pandas as pd
import pytest

from mammoroi.cohort.clinical import draw_patient, read_template
from mammoroi.cohort.config import CohortConfig
from mammoroi.cohort.split import make_splits, write_splits
from mammoroi.configuration import configured
from mammoroi.errors import MammoroiError
from mammoroi.files import read_csv, write_csv
from mammoroi.modeling.clinical_config import ClinicalConfig, ClinicalVariable
from mammoroi.modeling.clinical_tables import tables
from mammoroi.modeling.config import Task
from mammoroi.stages import STAGES, StudyConfig


@pytest.fixture
def folder(tmp_path):
    """A study folder with the 838 patients of the synthetic cohort's template."""
    rng = np.random.default_rng(1)
    rows = read_template().to_dict("records")
    patients = pd.DataFrame([draw_patient(f"P{k:04d}", row, rng) for k, row in enumerate(rows)])
    patients.loc[:9, "ki67_percent"] = np.nan
    write_csv(tmp_path / "patients.csv", patients)
    write_splits(tmp_path, make_splits(CohortConfig(), patients))
    return tmp_path


def test_the_four_files_of_the_standard_tasks(folder):
    config = ClinicalConfig()
    made = tables(config, folder)
    assert sorted(path.name for path in made.iterdir()) == [
        "table1_baseline.csv",
        "table2_sln.csv",
        "table3_her2.csv",
        "table3_proportionality.csv",
    ]
    before = {path.name: path.read_bytes() for path in made.iterdir()}
    tables(config, folder)
    assert {path.name: path.read_bytes() for path in made.iterdir()} == before
    baseline = read_csv(made / "table1_baseline.csv")
    assert baseline["variable"].nunique() == 21
    unknown = baseline[baseline["level"] == "not known"].iloc[0]
    assert (unknown["variable"], unknown["total"]) == ("ki67_percent", 10)
    node = read_csv(made / "table2_sln.csv")
    together = node[node["analysis"] == "multivariable"].dropna(subset=["beta"])
    assert together[["n", "n_missing"]].drop_duplicates().to_numpy().tolist() == [[828, 10]]
    tests = read_csv(made / "table3_proportionality.csv")
    assert set(tests["analysis"]) == {
        "univariable",
        "multivariable",
        "multivariable_preoperative",
    }
    assert (tests["variable"] == "all variables").sum() == 2


def test_the_papers_way_is_one_setting_of_a_study(folder, tmp_path):
    file = tmp_path / "study.yaml"
    file.write_text("out: study\ncohort: {folder: cohort}\nclinical: paper-literal\n")
    config = configured(StudyConfig, "mammoroi study", file, [])
    stage = next(stage for stage in STAGES if stage.name == "tables")
    written = {}
    for name, settings in (("paper", stage.config(config)), ("own", ClinicalConfig())):
        made = tables(settings, folder)
        baseline = read_csv(made / "table1_baseline.csv", dtype=str)
        node = read_csv(made / "table2_sln.csv").query("analysis == 'multivariable'")
        written[name] = baseline, node.dropna(subset=["beta"])
    baseline, node = written["paper"]
    sizes = baseline[baseline["variable"] == "size_cm"]
    assert sizes["level"].tolist() == ["<=2", ">2"]
    # The twelve variables of the published model, the stage, which the node is part of, among them.
    assert node["variable"].nunique() == 12
    assert set(node.loc[node["variable"] == "stage", "level"]) == {"II", "III", "IV"}
    assert node.loc[node["variable"] == "size_cm", "level"].tolist() == [">2"]
    baseline, node = written["own"]
    assert "<=2" not in set(baseline["level"])
    assert "stage" not in set(node["variable"])
    assert node.loc[node["variable"] == "size_cm", "level"].tolist() == ["per 1"]
    with pytest.raises(MammoroiError, match=r"'paper-literl' is no way .* 'paper-literal'"):
        configured(StudyConfig, "mammoroi study", file, ["--clinical", "paper-literl"])


def test_other_tasks_leave_no_file_of_earlier_ones(folder):
    tables(ClinicalConfig(("age",)), folder)
    (folder / "tables" / "baseline.csv").write_text("another stage's\n")
    nodal = Task("node", "sln", ("negative", "positive"))
    made = tables(ClinicalConfig(("age", "grade"), (nodal,), patients="train"), folder)
    assert sorted(path.name for path in made.iterdir()) == [
        "baseline.csv",
        "table1_baseline.csv",
        "table2_node.csv",
    ]
    assert read_csv(made / "table2_node.csv")["n"].max() == 586


def test_a_number_in_large_units_has_no_odds_ratio_but_its_table(folder):
    """Diffusion in mm2/s: the odds ratio of a whole unit is beyond all numbers."""
    patients = read_csv(folder / "patients.csv", dtype={"patient_id": str})
    shift = 1e-4 * (patients["sln"] == "positive")
    noise = np.random.default_rng(0).normal(size=len(patients))
    patients["adc"] = 1e-3 + shift + 2e-4 * noise
    write_csv(folder / "patients.csv", patients)
    rows = []
    for step in (1.0, 1e-4):
        adc = ClinicalVariable("adc", "number", "imaging", step=step)
        config = ClinicalConfig(tasks=("sln",), variables=("age", adc))
        table = read_csv(tables(config, folder) / "table2_sln.csv")
        rows.append(table[table["variable"] == "adc"].iloc[0])
    coarse, fine = rows
    assert coarse["odds_ratio"] == coarse["odds_ratio_upper"] == np.inf
    assert coarse["note"] == "per 1 is more than its whole range: set a smaller step"
    assert coarse["p"] == pytest.approx(fine["p"])
    assert coarse["beta"] == pytest.approx(1e4 * fine["beta"])
    assert 1.1 < fine["odds_ratio"] < fine["odds_ratio_upper"] < 2
    assert pd.isna(fine["note"])

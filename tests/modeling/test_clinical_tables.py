"""The stage that writes the clinical tables."""

import numpy as np
import pandas as pd
import pytest

from mammoroi.cohort.clinical import draw_patient, read_template
from mammoroi.cohort.config import CohortConfig
from mammoroi.cohort.split import make_splits, write_splits
from mammoroi.files import read_csv, write_csv
from mammoroi.modeling.clinical_config import ClinicalConfig
from mammoroi.modeling.clinical_tables import tables
from mammoroi.modeling.config import Task


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

"""Steps out of place: what they claim on noise, and the table that says so."""

from __future__ import annotations

import shutil

import numpy as np
import pandas as pd
import pytest

from mammoroi.errors import MammoroiError
from mammoroi.files import read_csv, read_json, sha256_file, write_parquet
from mammoroi.modeling.config import ModelingConfig, Task
from mammoroi.modeling.leakage import COLUMNS, leakage
from mammoroi.modeling.literal import EVERYTHING, Leaks, claim
from mammoroi.modeling.table import feature_names


@pytest.fixture(scope="module")
def noise():
    """200 patients, of whom 58 are positive, and 300 features that know nothing."""
    rng = np.random.default_rng(2)
    return rng.normal(size=(200, 300)), rng.permutation(np.arange(200) < 58).astype(int)


def mean_auc(noise, leaks, what="test"):
    X, y = noise
    results = [claim(X, np.random.default_rng(n).permutation(y), leaks, n) for n in range(5)]
    return np.mean([getattr(result, what)["auc"] for result in results])


def test_the_texts_order_claims_much_on_noise(noise):
    assert mean_auc(noise, EVERYTHING) > 0.8
    assert mean_auc(noise, EVERYTHING, "test_refit") > 0.95


def test_the_honest_order_claims_nothing_on_noise(noise):
    assert mean_auc(noise, Leaks()) == pytest.approx(0.5, abs=0.13)  # 3 SD of a mean of five
    assert mean_auc(noise, Leaks(), "train") > 0.9
    assert mean_auc(noise, Leaks(scaler=True)) == pytest.approx(mean_auc(noise, Leaks()), abs=0.01)


def test_test_rows_change_nothing_unless_a_step_leaks(noise):
    """Turning the labels of the test rows leaves the honest training figures as they are."""
    from sklearn.model_selection import train_test_split

    X, y = noise
    _, test = train_test_split(np.arange(200), test_size=0.3, random_state=3, stratify=y)
    changed = X.copy()
    changed[test] = 1e3 * np.random.default_rng(1).normal(size=(60, 300))
    assert claim(X, y, Leaks(), 3).train == claim(changed, y, Leaks(), 3).train
    assert (
        claim(X, y, Leaks(t_test=True), 3).train != claim(changed, y, Leaks(t_test=True), 3).train
    )


def test_the_table_of_a_study(study, tmp_path):
    folder = tmp_path / "study"
    shutil.copytree(study.folder, folder)
    task = Task("zero", "her2", ("other", "zero"))
    patients = read_csv(folder / "patients.csv")
    patients["her2"] = patients["her2"].where(patients["her2"] == "zero", "other")
    patients.to_csv(folder / "patients.csv", index=False)
    config = ModelingConfig(tasks=(task,), workers=1)
    table = read_csv(leakage(config, folder, replicates=3))
    assert tuple(table.columns) == COLUMNS
    assert table["recipe"].tolist() == [*"ABCDEFG", "by patient", "by image"]
    auc = table.set_index("recipe")["test_auc"]
    assert auc["G"] > auc["F"] > auc["D"] > auc["A"]
    assert auc["by image"] > auc["by patient"]
    optimism = table.set_index("recipe")["optimism"]
    assert optimism["E"] == pytest.approx(auc["E"] - auc["A"])
    assert optimism["by image"] == pytest.approx(auc["by image"] - auc["by patient"])
    assert (table["n"] == 120).all()
    made_of = read_json(folder / "leakage" / "inputs.json")
    digest = sha256_file(folder / "features" / "manual.parquet")
    assert made_of["files"]["features/manual.parquet"] == digest
    assert made_of["targets"] == [
        {"target": "zero", "label": "her2", "positive": "zero", "negative": "other"}
    ]


def test_a_target_of_few_patients_costs_no_other(study, tmp_path, caplog):
    folder = tmp_path / "study"
    shutil.copytree(study.folder, folder)
    tasks = ("sln", Task("rare", "rare", ("no", "yes")), Task("none", "none", ("no", "yes")))
    patients = study.patients.assign(rare="no", none=None)
    patients.loc[:8, "rare"] = "yes"
    patients.to_csv(folder / "patients.csv", index=False)
    table = read_csv(leakage(ModelingConfig(tasks=tasks, workers=1), folder, replicates=2))
    assert set(table["target"]) == {"sln"}
    assert "rare is left out: one class has 9 of 120 patients" in caplog.text
    with pytest.raises(MammoroiError, match="no target has 10 patients of either class"):
        leakage(ModelingConfig(tasks=tasks[1:], workers=1), folder, replicates=2)


def test_groups_of_a_rare_class_are_on_both_sides_of_every_division():
    rng = np.random.default_rng(0)
    X, owners = rng.normal(size=(100, 20)), np.repeat(np.arange(50), 2)
    y = rng.permutation(np.arange(50) < 4).astype(int)[owners]
    X[:, 0] += 5 * y  # so that it is selected
    for seed in range(10):
        assert np.isfinite(claim(X, y, Leaks(), seed, owners).test["auc"])


def test_no_complete_feature_is_said(study, tmp_path):
    folder = tmp_path / "study"
    shutil.copytree(study.folder, folder)
    path = folder / "features" / "manual.parquet"
    table = pd.read_parquet(path)
    table[feature_names(table)] = np.nan
    write_parquet(path, table)
    with pytest.raises(MammoroiError, match="no feature has a value for every patient"):
        leakage(ModelingConfig(tasks=("sln",), workers=1), folder, replicates=2)

"""A task of three classes as one model: folds, coupling and measures against constructed truth."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    cohen_kappa_score,
    confusion_matrix,
    log_loss,
    roc_auc_score,
)
from statsmodels.stats.proportion import proportion_confint

from mammoroi.errors import MammoroiError
from mammoroi.files import read_csv, read_json, write_csv, write_json, write_parquet
from mammoroi.modeling.bootstrap import resample_counts
from mammoroi.modeling.class_coupling import fit_coupling
from mammoroi.modeling.class_measures import (
    MEASURES,
    bootstrap_p,
    confusion_table,
    sampled_measures,
)
from mammoroi.modeling.class_models import couple, predict_classes
from mammoroi.modeling.compare import compare
from mammoroi.modeling.compare_classes import compare_classes
from mammoroi.modeling.config import PRESET_TASKS, ModelingConfig
from mammoroi.modeling.fit import model, prepare
from mammoroi.modeling.recipes import PRESET_RECIPES
from mammoroi.modeling.table import load_features
from mammoroi.modeling.targets import targets_of
from mammoroi.reporting.classes import draw_confusion


def test_all_targets_of_a_task_have_the_same_folds_divided_by_class(study):
    config = ModelingConfig(tasks=("her2",), repeats=3, predictors=False)
    datasets, _ = prepare(study.folder, targets_of(PRESET_TASKS["her2"]), config)
    assert len(datasets) == 6
    assert len({data.divisions for data in datasets}) == 1
    assert len({data.divisions_all for data in datasets}) == 1
    classes = read_csv(study.folder / "patients.csv", dtype=str).set_index("patient_id")["her2"]
    for division in (*datasets[0].divisions[1:], *datasets[0].divisions_all):
        counts = pd.DataFrame([classes[list(fold)].value_counts() for fold in division])
        assert ((counts.max() - counts.min()) <= 1).all()


def weighted_codes(seed: int, n: int = 60) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    codes = rng.choice(3, n, p=[0.5, 0.3, 0.2])
    risks = softmax(np.eye(3)[codes] + rng.normal(size=(n, 3)).round(1), axis=1)
    return codes, risks


def test_measures_are_those_of_scikit_learn_also_in_a_resampled_cohort():
    codes, risks = weighted_codes(1)
    drawn = resample_counts(60, 3, 2)
    for counts in (np.ones(60), *drawn):
        found = {k: v[0] for k, v in sampled_measures(codes, risks, counts[None]).items()}
        rows = np.repeat(np.arange(60), counts.astype(int))
        y, p, called = codes[rows], risks[rows], risks[rows].argmax(axis=1)
        shares = np.bincount(y) / 60
        expected = {
            "macro_auc": roc_auc_score(y, p, multi_class="ovr", average="macro"),
            "hand_till": roc_auc_score(y, p, multi_class="ovo", average="macro"),
            "accuracy": accuracy_score(y, called),
            "balanced_accuracy": balanced_accuracy_score(y, called),
            "quadratic_kappa": cohen_kappa_score(y, called, weights="quadratic"),
            "brier": ((p - np.eye(3)[y]) ** 2).sum(axis=1).mean(),
            "log_loss": log_loss(y, p),
        }
        expected["scaled_brier"] = 1 - expected["brier"] / (1 - (shares**2).sum())
        assert found == pytest.approx(expected, abs=1e-12)


def test_hand_and_tills_m_by_hand():
    risks = np.array(
        [[0.6, 0.3, 0.1], [0.3, 0.4, 0.3], [0.3, 0.5, 0.2], [0.1, 0.2, 0.7], [0.2, 0.3, 0.5]]
    )
    codes = np.array([0, 0, 1, 1, 2])
    a_b = (1 + 1 + 0.5 + 1) / 4  # risk of a: 0.6, 0.3 over 0.3, 0.1
    b_a = (1 + 1 + 0 + 0) / 4  # risk of b: 0.5, 0.2 over 0.3, 0.4
    a_c, c_a = 2 / 2, 2 / 2  # 0.6, 0.3 over 0.2; 0.5 over 0.1, 0.3
    b_c, c_b = 1 / 2, 1 / 2  # 0.5, 0.2 over 0.3; 0.5 over 0.2, 0.7
    expected = np.mean([(a_b + b_a) / 2, (a_c + c_a) / 2, (b_c + c_b) / 2])
    found = sampled_measures(codes, risks, np.ones((1, 5)))
    assert found["hand_till"][0] == pytest.approx(expected)
    empty = sampled_measures(codes, risks, np.array([[1.0, 1, 1, 1, 0]]))
    assert np.isnan(empty["macro_auc"][0])
    assert empty["accuracy"][0] == pytest.approx(0.5)


def test_confusion_counts_everybody_once_with_wilsons_interval():
    codes, risks = weighted_codes(3)
    table = confusion_table(codes, risks, ("zero", "low", "positive"))
    matrix = table["n"].to_numpy().reshape(3, 3)
    assert (matrix == confusion_matrix(codes, risks.argmax(axis=1))).all()
    for row in table.itertuples():
        expected = proportion_confint(row.n, row.n_truth, method="wilson")
        assert (row.share_lower, row.share_upper) == pytest.approx(expected)


def test_bootstrap_p_agrees_with_the_interval_and_is_uniform_without_a_difference():
    rng = np.random.default_rng(5)
    p = np.array([bootstrap_p(rng.normal(rng.normal(), 1, 400)) for _ in range(400)])
    assert abs((p < 0.05).mean() - 0.05) < 3 * np.sqrt(0.05 * 0.95 / 400)
    assert bootstrap_p(np.full(999, 0.1)) == pytest.approx(2 / 1000)
    assert bootstrap_p(np.zeros(99)) == 1


def scores_of(codes: np.ndarray, step: float, rng: np.random.Generator) -> np.ndarray:
    """Scores whose Bayes posterior is known: normal, the own class shifted by ``step``."""
    return step * np.eye(3)[codes] + rng.normal(size=(len(codes), 3))


def test_coupling_reaches_the_bayes_posterior_and_stays_at_the_prevalences_on_noise():
    rng = np.random.default_rng(6)
    codes = rng.choice(3, 3000, p=[0.3, 0.35, 0.35])
    scores = scores_of(codes, 1.2, rng)
    oracle = softmax(1.2 * scores + np.log([0.3, 0.35, 0.35]), axis=1)
    train, test = slice(0, 600), slice(600, None)
    risks = fit_coupling(scores[train], codes[train], 3).risks(scores[test])
    assert risks.sum(axis=1) == pytest.approx(1.0)
    reached, best = (
        sampled_measures(codes[test], p, np.ones((1, 2400))) for p in (risks, oracle[test])
    )
    assert best["macro_auc"][0] > 0.8
    assert reached["macro_auc"][0] == pytest.approx(best["macro_auc"][0], abs=0.01)
    assert reached["log_loss"][0] == pytest.approx(best["log_loss"][0], abs=0.02)
    noise = fit_coupling(rng.normal(size=(600, 3)), codes[train], 3).risks(scores[test])
    assert abs(noise - np.bincount(codes[train]) / 600).mean() < 0.05


def test_coupling_without_some_or_all_scores():
    rng = np.random.default_rng(7)
    codes = np.arange(300) % 3
    scores = scores_of(codes, 1.5, rng)
    coupling = fit_coupling(scores, codes, 3)
    row = np.array([[np.nan, np.nan, np.nan], [np.nan, scores[0, 1], scores[0, 2]]])
    filled = np.array([[coupling.means[0], scores[0, 1], scores[0, 2]]])
    found = coupling.risks(row, [0.5, 0.25, 0.25])
    assert found[0].tolist() == [0.5, 0.25, 0.25]
    assert found[1] == pytest.approx(coupling.risks(filled)[0])
    empty = fit_coupling(np.full((300, 3), np.nan), codes, 3)
    assert empty.risks(row)[0] == pytest.approx([1 / 3] * 3)


FAST = replace(PRESET_RECIPES["rigorous"], lasso_folds=3, n_alphas=10, costs=(0.1,))
CONFIG = ModelingConfig(
    tasks=("her2",), recipe=FAST, repeats=1, all_patients=True, predictors=False,
    calibration_folds=3, n_bootstrap=200, workers=1,
)  # fmt: skip
IDS = {"patient_id": str, "fold": str}


def plant(folder: Path, step: float, seed: int, n_features: int = 24) -> np.ndarray:
    """Replace the features of a study: two noisy axes on which three classes form a triangle.

    Returns the Bayes posterior of each patient, in the order of ``patients.csv``.
    """
    rng = np.random.default_rng(seed)
    patients = read_csv(folder / "patients.csv", dtype=str)
    names = ["zero", "low", "positive"]
    codes = patients["her2"].map(names.index).to_numpy()
    corners = step * np.array([[0.0, 1.0], [0.87, -0.5], [-0.87, -0.5]])
    axes = corners[codes] + rng.normal(size=(len(codes), 2))
    values = rng.normal(size=(len(codes), n_features))
    for k in range(2):
        values[:, 8 * k : 8 * k + 8] = axes[:, [k]] + 0.3 * values[:, 8 * k : 8 * k + 8]
    for roi in ("manual", "automatic", "reader2"):
        path = folder / "features" / f"{roi}.parquet"
        if roi == "reader2":
            path.unlink()
            continue
        keys = pd.read_parquet(path)[["image_id", "patient_id", "view", "laterality"]]
        at = pd.Index(patients["patient_id"]).get_indexer(keys["patient_id"])
        noise = 0.05 if roi == "manual" else 6.0
        made = values[at] + noise * rng.normal(size=(len(at), n_features))
        columns = [f"original_glcm_F{k:03d}" for k in range(n_features)]
        made = pd.DataFrame(made, columns=columns)
        write_parquet(path, pd.concat([keys.reset_index(drop=True), made], axis=1))
    shares = np.log(np.bincount(codes) / len(codes))
    return softmax(axes @ corners.T + shares, axis=1)


@pytest.fixture(scope="module")
def coupled(make_study, tmp_path_factory) -> tuple[Path, np.ndarray]:
    made = make_study(tmp_path_factory.mktemp("classes") / "study", n=240, n_features=24, seed=3)
    posterior = plant(made.folder, 1.4, 3)
    model(CONFIG, made.folder)
    compare(CONFIG, made.folder)
    return made.folder, posterior


def test_planted_classes_are_nearly_told_apart_as_well_as_they_can_be(coupled):
    folder, posterior = coupled
    patients = read_csv(folder / "patients.csv", dtype=str)
    codes = patients["her2"].map(["zero", "low", "positive"].index).to_numpy()
    oracle = sampled_measures(codes, posterior, np.ones((1, 240)))["macro_auc"][0]
    metrics = read_json(folder / "models/her2/classes/manual/metrics.json")
    reached = metrics["all_out_of_fold"]
    assert oracle > 0.85
    assert oracle - 0.06 < reached["macro_auc"] <= oracle + 0.02
    assert reached["macro_auc_lower"] < reached["macro_auc"] < reached["macro_auc_upper"]
    assert 0.3 < reached["scaled_brier"] < 1
    assert 0.6 < reached["by_class"]["low"]["calibration_slope"] < 1.6
    assert metrics["test"]["macro_auc"] > 0.8


def test_every_patient_has_risks_that_add_up_to_1_in_the_folds_of_the_targets(coupled):
    folder, _ = coupled
    for roi in ("manual", "automatic"):
        base = folder / "models/her2/classes" / roi
        target = read_csv(folder / f"models/her2-low/{roi}/predictions.csv", dtype=IDS)
        table = read_csv(base / "predictions.csv", dtype=IDS)
        everybody = read_csv(base / "predictions_all.csv", dtype=IDS)
        assert len(everybody) == len(table) == 240
        for predicted in (table, everybody):
            risks = predicted[["risk_zero", "risk_low", "risk_positive"]]
            assert risks.sum(axis=1).to_numpy() == pytest.approx(1.0)
            assert ("risk_" + predicted["called"]).tolist() == risks.idxmax(axis=1).tolist()
        both = table.merge(target, on="patient_id", suffixes=("", "_target"))
        assert (both["fold"].fillna("") == both["fold_target"].fillna("")).all()
        assert ((both["label"] == "low") == (both["label_target"] == 1)).all()
    missed = table[table["missed"]]
    assert len(missed) == 2
    shares = table[table["set"] == "train"]["label"].value_counts(normalize=True)
    own = missed[missed["set"] == "train"]
    assert len(own)
    assert own["risk_low"].to_numpy() == pytest.approx(shares["low"])


def test_a_saved_model_gives_the_same_risks(coupled):
    folder, _ = coupled
    expected = read_csv(folder / "models/her2/classes/manual/predictions.csv", dtype=IDS)
    expected = expected.query("set == 'test'").set_index("patient_id")
    images = load_features(folder, "manual").images
    images = images[images["patient_id"].isin(expected.index)]
    found = predict_classes(folder / "models", "her2", "manual", images).set_index("patient_id")
    for name in ("risk_zero", "risk_low", "risk_positive"):
        assert found.loc[expected.index, name].to_numpy() == pytest.approx(expected[name])


def test_the_comparison_is_that_of_the_same_resampled_patients(coupled):
    folder, _ = coupled
    table = read_csv(folder / "comparison/classes.csv").set_index(["set", "rule", "measure"])
    assert len(table) == 3 * 2 * len(MEASURES)
    row = table.loc[("all", "intention_to_diagnose", "macro_auc")]
    assert (row["n"], row["n_missed"]) == (240, 2)
    for roi in ("manual", "automatic"):
        metrics = read_json(folder / f"models/her2/classes/{roi}/metrics.json")
        assert row[roi] == pytest.approx(metrics["all_out_of_fold"]["macro_auc"])
    assert row["difference"] == pytest.approx(row["automatic"] - row["manual"])
    assert row["lower"] < row["difference"] < row["upper"] < 0  # noise was added
    assert row["p"] < 0.05
    assert table.loc[("all", "complete_case", "macro_auc"), "n"] == 235


def test_classes_may_be_called_by_numbers(coupled, tmp_path):
    """BI-RADS 3, 4 and 5 in place of HER2: the comparison is the same."""
    folder = coupled[0]
    numbers = {"zero": "3", "low": "4", "positive": "5"}
    models = tmp_path / "models"
    shutil.copytree(folder / "models/her2/classes", models / "her2/classes")
    entries = read_json(folder / "models/classes.json")
    entries[0]["classes"] = [numbers[name] for name in entries[0]["classes"]]
    write_json(models / "classes.json", entries)
    for path in models.glob("her2/classes/*/*.csv"):
        table = read_csv(path, dtype=IDS).rename(
            columns={f"risk_{name}": f"risk_{number}" for name, number in numbers.items()}
        )
        write_csv(path, table.replace(numbers))
    missed = set(read_csv(folder / "features/missed.csv", dtype=str)["patient_id"])
    found, own = (
        compare_classes(study, missed, ("complete_case", "intention_to_diagnose"), CONFIG)
        for study in (tmp_path, folder)
    )
    pd.testing.assert_frame_equal(found, own)
    drawn = draw_confusion(tmp_path, "her2")
    assert "called rightly were" in drawn.finding
    assert all(f"with “{number}”" in drawn.finding for number in numbers.values())


def test_a_harmonised_model_is_applied_with_the_centres_of_the_patients(make_study, tmp_path):
    folder = make_study(tmp_path / "study", n=120, n_features=24, seed=3).folder
    plant(folder, 1.4, 3)
    patients = read_csv(folder / "patients.csv", dtype=str)
    patients["centre"] = np.array(["A", "B"])[np.arange(120) // 3 % 2]
    write_csv(folder / "patients.csv", patients)
    path = folder / "features/manual.parquet"
    images = load_features(folder, "manual").images
    centres = patients.set_index("patient_id")["centre"]
    values = images.columns.str.startswith("original")
    images.loc[(images["patient_id"].map(centres) == "B").to_numpy(), values] += 3
    write_parquet(path, images)
    (folder / "features/automatic.parquet").unlink()
    config = replace(CONFIG, harmonise="combat", all_patients=False, leave_one_centre_out=False)
    model(config, folder)
    expected = read_csv(folder / "models/her2/classes/manual/predictions.csv", dtype=IDS)
    expected = expected.query("set == 'test'").set_index("patient_id")
    new = images[images["patient_id"].isin(expected.index)]
    found = predict_classes(folder / "models", "her2", "manual", new, centres)
    found = found.set_index("patient_id").loc[expected.index]
    assert found["risk_low"].to_numpy() == pytest.approx(expected["risk_low"])
    with pytest.raises(MammoroiError, match="no centre was given"):
        predict_classes(folder / "models", "her2", "manual", new)


def test_no_patient_has_a_part_in_her_own_risk(coupled, tmp_path):
    """Changing one patient's features changes her out-of-fold risk alone in her own fold."""
    folder = shutil.copytree(coupled[0], tmp_path / "study")
    (folder / "features" / "automatic.parquet").unlink()
    config = replace(CONFIG, repeats=1, all_patients=False)
    model(config, folder)
    name = "models/her2/classes/manual/predictions.csv"
    before = read_csv(folder / name, dtype=IDS).set_index("patient_id")
    patient = before.query("set == 'train' and fold == '0'").index[0]
    path = folder / "features" / "manual.parquet"
    table = pd.read_parquet(path)
    features = [column for column in table if column.startswith("original_")]
    table.loc[table["patient_id"] == patient, features] += 3.0
    write_parquet(path, table)
    model(config, folder)
    after = read_csv(folder / name, dtype=IDS).set_index("patient_id")
    same = (before["risk_zero"] - after["risk_zero"]).abs() < 1e-9
    fold = before["fold"] == "0"
    assert not same[patient]
    assert same[fold & (before.index != patient)].all()
    assert not same[before["fold"] == "1"].all()


def test_shuffled_classes_are_chance(study, tmp_path):
    folder = shutil.copytree(study.folder, tmp_path / "study")
    (folder / "features" / "automatic.parquet").unlink()
    values, config = [], replace(CONFIG, repeats=1, all_patients=False)
    for seed in range(4):
        patients = study.patients.copy()
        patients["her2"] = np.random.default_rng(seed).permutation(patients["her2"].to_numpy())
        write_csv(folder / "patients.csv", patients)
        model(config, folder)
        metrics = read_json(folder / "models/her2/classes/manual/metrics.json")
        values += [metrics[part]["macro_auc"] for part in ("test", "train_out_of_fold")]
    assert abs(np.mean(values) - 0.5) < 3 * 0.055 / np.sqrt(len(values))


def test_a_target_that_fails_leaves_no_model_of_all_classes_and_says_so(study, tmp_path):
    folder = shutil.copytree(study.folder, tmp_path / "study")
    (folder / "features" / "automatic.parquet").unlink()
    patients = study.patients.copy()
    patients["her2"] = patients["her2"].replace("zero", "low")
    patients.loc[:2, "her2"] = "zero"
    write_csv(folder / "patients.csv", patients)
    model(replace(CONFIG, repeats=1, all_patients=False), folder)
    failures = read_csv(folder / "models" / "failures.csv")
    assert failures["case"].tolist() == ["her2-zero", "her2"]
    assert "her2-zero could not be fitted" in failures["error"].iloc[1]
    assert read_json(folder / "models" / "classes.json") == []


def test_targets_with_other_folds_are_not_coupled(study):
    config = replace(CONFIG, repeats=2)
    datasets, _ = prepare(study.folder, targets_of(PRESET_TASKS["her2"]), config)
    results = [SimpleNamespace(data=data) for data in datasets[::2]]
    results[2].data = replace(results[2].data, divisions=results[2].data.divisions[::-1])
    with pytest.raises(MammoroiError, match="different folds"):
        couple(PRESET_TASKS["her2"], results)

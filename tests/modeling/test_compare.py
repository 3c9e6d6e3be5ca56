"""The stage `compare` on a study in which the automatic masks shift one feature by a known step."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import skops.io
from scipy.special import expit
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from mammoroi.errors import MammoroiError
from mammoroi.files import read_csv, read_json, sha256_file, write_csv, write_json, write_parquet
from mammoroi.modeling.calibration import fit_calibration
from mammoroi.modeling.compare import compare
from mammoroi.modeling.compare_config import CompareConfig, CompareStage
from mammoroi.modeling.config import ModelingConfig
from mammoroi.modeling.cross_application import cross_rows, exchanged
from mammoroi.modeling.persist import FORMAT, predict_risk

CONFIG = ModelingConfig(tasks=("sln",), n_bootstrap=200)
FEATURES = ["original_glcm_Signal", "wavelet-LH_glrlm_Noise"]
SHIFT, N, N_TEST, MISSED = 1.0, 240, 90, ["P000", "P200"]


def save(folder: Path, X: pd.DataFrame, y: pd.Series) -> None:
    """Save a model that needs both features, as the stage `model` does."""
    pipeline = Pipeline([("scale", StandardScaler()), ("svm", SVC(kernel="linear"))])
    pipeline.fit(X.to_numpy(), y)
    folder.mkdir(parents=True)
    skops.io.dump(pipeline, folder / "model.skops")
    features = [
        {"name": name, "median": X[name].median(), "minimum": -9, "maximum": 9, "coefficient": 1}
        for name in FEATURES
    ]
    about = {
        "format": FORMAT,
        "views": "mean",
        "features": features,
        "radscore_intercept": 0.0,
        "score_mean": 0.0,
        "score_spread": 1.0,
        "calibration": fit_calibration(pipeline.decision_function(X.to_numpy()), y),
        "prevalence": y.mean(),
        "threshold": 0.5,
        "model_sha256": sha256_file(folder / "model.skops"),
    }
    write_json(folder / "model.json", about)
    write_json(folder / "metrics.json", {"threshold": 0.5})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("compare") / "study"
    rng = np.random.default_rng(4)
    ids = [f"P{i:03d}" for i in range(N)]
    y = pd.Series(rng.permutation(np.arange(N) % 2), ids)
    values = rng.normal(size=(N, 2)) + np.outer(y, [1.5, 0])
    keys = pd.DataFrame({"image_id": ids, "patient_id": ids, "view": "CC", "laterality": "L"})
    moved = pd.DataFrame(values + np.array([SHIFT, 0]), columns=FEATURES)
    shifted = pd.concat([keys, moved], axis=1)
    tables = {
        "manual": pd.concat([keys, pd.DataFrame(values, columns=FEATURES)], axis=1),
        "automatic": shifted[~shifted["image_id"].isin(MISSED)],
    }
    train, test = ids[:-N_TEST], ids[-N_TEST:]
    for roi, table in tables.items():
        write_parquet(folder / "features" / f"{roi}.parquet", table)
        made = {"preset": "simulated", "settings_sha256": "0" * 64}
        write_json(folder / "features" / f"{roi}.json", made)
        models = folder / "models" / "sln" / roi
        X = table.set_index("patient_id")[FEATURES]
        fitted = X.index.intersection(train)
        save(models, X.loc[fitted], y[fitted])
        predicted = pd.DataFrame({"patient_id": ids, "label": y.to_numpy()})
        risks = predict_risk(models, table).set_index("patient_id")["risk"]
        predicted["risk"] = predicted["patient_id"].map(risks).fillna(y[fitted].mean())
        predicted["missed"] = ~predicted["patient_id"].isin(table["patient_id"])
        predicted["set"] = np.where(predicted["patient_id"].isin(test), "test", "train")
        predicted["fold"] = np.where(predicted["set"] == "test", None, "0")
        write_csv(models / "predictions.csv", predicted)
    write_csv(folder / "features" / "missed.csv", keys[keys["image_id"].isin(MISSED)].assign(
        roi="automatic"))  # fmt: skip
    patients = keys[["patient_id"]].assign(age=np.where(np.arange(N) < N // 2, 45, 60))
    write_csv(folder / "patients.csv", patients)
    agreement = keys[["image_id", "patient_id"]].assign(comparison="automatic-manual")
    agreement["dice"] = np.arange(N) / N
    write_csv(folder / "agreement.csv", agreement)
    write_json(
        folder / "models" / "targets.json", [{"target": "sln", "rois": ["manual", "automatic"]}]
    )
    compare(CONFIG, folder)
    return folder


def table(folder: Path, name: str) -> pd.DataFrame:
    return read_csv(folder / "comparison" / f"{name}.csv")


def test_a_classifier_on_the_other_masks(folder: Path) -> None:
    """The shift leaves the order of patients alone and the risks too high, or too low."""
    cross = table(folder, "cross_application").query("set == 'test' and rule == 'complete_case'")
    rows = cross.set_index(["trained_on", "applied_to"])
    assert len(rows) == 4
    assert rows["n"].unique().tolist() == [N_TEST - 1]
    assert rows["auc"].to_numpy() == pytest.approx(rows["auc"].iloc[0], abs=0.01)
    assert rows["difference"].isna().tolist() == [True, False, True, False]
    assert abs(rows.loc[("manual", "automatic"), "difference"]) < 0.01
    assert rows.loc[("manual", "automatic"), "calibration_intercept_upper"] < 0
    assert rows.loc[("automatic", "manual"), "calibration_intercept_lower"] > 0
    lower, upper = "calibration_intercept_lower", "calibration_intercept_upper"
    own = rows.loc[("automatic", "automatic")]
    assert own[lower] < 0 < own[upper]
    everybody = table(folder, "cross_application").query("rule == 'intention_to_diagnose'")
    applied = everybody.query("set == 'test'").groupby("applied_to")["n_missed"].unique()
    assert (applied["automatic"].tolist(), applied["manual"].tolist()) == ([1], [0])
    # The folds' models were not applied to the other masks: only their own masks are there.
    assert everybody.query("set == 'train'")["difference"].isna().all()


def test_what_other_masks_cost_a_classifier_is_below_zero() -> None:
    rng = np.random.default_rng(8)
    label = np.arange(80) % 2
    good, bad = (rng.normal(2 * label, spread) for spread in (1.0, 8.0))
    part = pd.DataFrame({"patient_id": [f"P{i}" for i in range(80)], "label": label})
    part = part.assign(risk_manual=expit(good), risk_automatic=expit(good), missed=False)
    crossed = {"manual": pd.Series(expit(bad), part["patient_id"]), "automatic": None}
    rows = pd.DataFrame(cross_rows(part, crossed)).set_index(["trained_on", "applied_to"])
    assert len(rows) == 3
    other, own = rows.loc[("manual", "automatic")], rows.loc[("manual", "manual")]
    assert other["auc"] < own["auc"] - 0.1
    assert other["difference"] == pytest.approx(other["auc"] - own["auc"])
    assert other["difference_lower"] < other["difference_upper"] < 0


def test_every_table_of_the_stage(folder: Path) -> None:
    bias = table(folder, "feature_bias").set_index("feature")
    signal = bias.loc[FEATURES[0]]
    assert signal["bias"] * signal["sd_manual"] == pytest.approx(SHIFT)
    assert signal["limit_lower"] == pytest.approx(signal["limit_upper"])
    assert bias["n"].tolist() == [N - 2, N - 2]
    icc = table(folder, "icc_dice_summary").query("group == 'all'")
    assert icc["stratum"].tolist() == ["0 to 0.5", "0.5 to 0.7", "0.7 to 0.85", "0.85 and above"]
    assert icc["n_images"].sum() == N - 2
    found = table(folder, "noninferiority")
    assert found["margin"].unique().tolist() == [0.05]
    assert set(found.query("set == 'test'")["verdict"]) == {"non-inferior"}
    assert found["minimal_detectable_difference"].notna().all()
    for name in ("auc", "risk_agreement", "calibration", "decision_difference"):
        rules = table(folder, name).groupby(["target", "set", "rule"], sort=False).size()
        assert len(rules) == 4
    cells = table(folder, "reclassification").query("rule == 'intention_to_diagnose'")
    assert cells.groupby("set")["n"].sum().to_dict() == {"train": N - N_TEST, "test": N_TEST}
    summary = read_json(folder / "comparison" / "summary.json")
    assert summary["declared"]["margin_auc"] == 0.05
    assert summary["n_images_both_sources_with_dice"] == N - 2


def test_what_was_declared_and_what_the_folds_give(folder: Path, tmp_path: Path) -> None:
    study = shutil.copytree(folder, tmp_path / "study")
    (study / "agreement.csv").unlink()
    for roi in ("manual", "automatic"):
        models = study / "models" / "sln" / roi
        predicted = read_csv(models / "predictions.csv", dtype={"patient_id": str, "fold": str})
        write_csv(models / "predictions_all.csv", predicted.drop(columns="fold"))
        write_csv(models / "crossed_all.csv", predicted[["patient_id", "risk"]])
    declared = CompareConfig(margin_auc=0.1, risk_thresholds=(0.2, 0.6))
    compare(CompareStage(CONFIG, declared), study)
    assert len(table(study, "icc_dice_summary")) == 0
    found = table(study, "noninferiority").set_index(["set", "rule"])
    assert found["margin"].unique().tolist() == [0.1]
    assert found.loc[("all", "intention_to_diagnose"), "n"] == N
    assert set(table(study, "reclassification")["category_manual"]) == {
        "below 0.2", "0.2 to 0.6", "0.6 and above",
    }  # fmt: skip
    cross = table(study, "cross_application").query("set == 'all' and trained_on != applied_to")
    assert cross["difference"].tolist() == [0, 0, 0, 0]
    path = study / "models" / "sln" / "manual" / "crossed_all.csv"
    write_csv(path, read_csv(path, dtype={"patient_id": str}).head(5))
    with pytest.raises(MammoroiError, match="lacks patient P005"):
        compare(CONFIG, study)


def test_no_verdict_of_an_earlier_run_stays(folder: Path, tmp_path: Path) -> None:
    """The automatic classifier of the only target can no longer be fitted."""
    study = shutil.copytree(folder, tmp_path / "study")
    assert len(table(study, "noninferiority"))
    write_json(study / "models" / "targets.json", [{"target": "sln", "rois": ["manual"]}])
    compare(CONFIG, study)
    assert len(table(study, "auc")) == 0
    left = {path.stem for path in (study / "comparison").glob("*.csv")}
    assert {"stability", "icc_summary", "subgroups_dice"} < left
    assert not left & {"noninferiority", "calibration", "risk_agreement", "cross_application"}


def test_features_exchanged_for_those_of_the_other_masks() -> None:
    @dataclass(frozen=True)
    class Held:
        X: pd.DataFrame

    own = pd.DataFrame({"a": [1.0, 2, 9], "b": [4.0, 5, 6]}, index=["P1", "P2", "P3"])
    other = pd.DataFrame({"b": [7.0, np.inf], "a": [np.nan, 3.0]}, index=["P1", "P3"])
    found = exchanged(Held(own), other, ["P1", "P2"]).X  # type: ignore[type-var]
    assert found.to_dict("list") == {"a": [1.5, 3.0], "b": [7.0, 4.5]}
    assert found.index.tolist() == ["P1", "P3"]


def test_dice_by_group(folder: Path) -> None:
    found = table(folder, "subgroups_dice").set_index("group")
    assert list(found.index) == ["under 50", "50 to 69"]
    assert (found["comparison"] == "automatic-manual").all()
    assert (found["n_images"] == N // 2).all()
    assert found.loc["under 50", "dice"] == pytest.approx((N / 2 - 1) / (2 * N))
    assert found.loc["50 to 69", "dice_lower"] > found.loc["under 50", "dice_upper"]

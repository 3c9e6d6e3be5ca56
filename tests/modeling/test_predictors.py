"""Clinical predictors beside radiomics: planted truth, nothing from held-out rows, the nomogram."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.special import logit

from mammoroi.files import read_csv, read_json, write_csv, write_parquet
from mammoroi.modeling.calibration import fit_calibration
from mammoroi.modeling.clinical_config import ClinicalConfig, ClinicalVariable
from mammoroi.modeling.config import ModelingConfig
from mammoroi.modeling.fit import model
from mammoroi.modeling.nomogram import _reached, nomogram, ticks
from mammoroi.modeling.predictor_model import SCORE
from mammoroi.modeling.predictors import (
    clinical_of,
    fit_predictors,
    predict_predictors,
    with_scores,
)
from mammoroi.modeling.predictors_config import ModelStage
from mammoroi.modeling.predictors_files import NO_VARIABLES, decision_table, performance
from mammoroi.modeling.recipes import PRESET_RECIPES

BOTH, ALONE = "radiomics+preoperative", "preoperative"


def cohort(n: int, informative: bool, seed: int = 0) -> tuple[pd.DataFrame, pd.Series, pd.Series]:
    """Patients whose age and margin tell of the node, and a score that does so or is noise."""
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.arange(n) % 2)
    patients = pd.DataFrame(
        {
            "patient_id": [f"P{k:04d}" for k in range(n)],
            "sln": np.array(["negative", "positive"])[y],
            "age": (50 + 8 * y + 10 * rng.normal(size=n)).round(),
            "lesion_margin": np.where(rng.random(n) < 0.3 + 0.4 * y, "spiculated", "smooth"),
            "grade": rng.choice(["I", "II", "III"], n),
            "stage": np.array(["I", "III"])[y],
        }
    )
    patients.loc[rng.random(n) < 0.1, "age"] = np.nan
    patients.loc[rng.random(n) < 0.1, "lesion_margin"] = np.nan
    ids = pd.Index(patients["patient_id"])
    score = pd.Series(1.2 * y * informative + rng.normal(size=n), index=ids)
    return patients, score, pd.Series(y, index=ids)


def measured(informative: bool, seed: int = 0) -> pd.DataFrame:
    patients, score, y = cohort(800, informative, seed)
    clinical = clinical_of(patients, "sln", ClinicalConfig(), y)
    train, test = score.index[:400], score.index[400:]
    models = fit_predictors(clinical, score[train], y[train], 1)
    risks = predict_predictors(models, clinical, score[test])
    risks["radiomics"] = fit_calibration(score[train], y[train]).risk(score[test])
    long = risks.melt("patient_id", var_name="predictor", value_name="risk").assign(set="test")
    long["label"] = y[long["patient_id"]].to_numpy()
    return performance(long).set_index("predictor")


def test_radiomics_adds_what_was_planted_and_noise_adds_nothing():
    signal, noise = measured(True), measured(False)
    assert signal.loc[BOTH, "auc"] > signal.loc[[ALONE, "radiomics"], "auc"].max() + 0.03
    assert signal.loc[BOTH, "over_clinical_lower"] > 0
    assert signal.loc[BOTH, "over_radiomics_lower"] > 0
    assert noise.loc[BOTH, "over_clinical_lower"] < 0 < noise.loc[BOTH, "over_clinical_upper"]
    assert noise.loc[ALONE, "auc"] > 0.7
    assert signal["calibration_slope"].between(0.7, 1.4).all()
    gap = signal.loc[BOTH, "auc"] - signal.loc[ALONE, "auc"]
    assert signal.loc[BOTH, "over_clinical"] == pytest.approx(gap)
    assert np.isnan(signal.loc["radiomics", "over_radiomics"])
    assert np.isnan(signal.loc[ALONE, "over_clinical"])


def test_what_is_known_before_surgery_and_what_foretells_itself():
    patients, _, y = cohort(100, True)
    clinical = clinical_of(patients, "sln", ClinicalConfig(), y)
    names = {key: [one.name for one in some] for key, some in clinical.sets().items()}
    assert names == {
        "clinical": ["age", "grade", "lesion_margin"],
        "preoperative": ["age", "lesion_margin"],
    }
    assert clinical.left_out == {"stage": "partly made of sln"}
    biopsy = ClinicalVariable("grade", "choice", "biopsy", ("I", "II", "III"))
    own = clinical_of(patients, "sln", ClinicalConfig(variables=("age", biopsy)), y)
    assert [one.name for one in own.sets()["preoperative"]] == ["age", "grade"]
    patients.loc[0, "lesion_margin"] = "hairy"
    assert "hairy" in clinical_of(patients, "sln", ClinicalConfig(), y).left_out["lesion_margin"]
    assert clinical_of(patients[["patient_id", "sln"]], "sln", ClinicalConfig(), y) is None


def test_a_variable_that_the_label_is_made_of_is_no_predictor():
    """The stage is a standard variable, the label `stage_group` is the reader's own."""
    rng = np.random.default_rng(5)
    stage = rng.choice(["I", "II", "III", "IV"], 100, p=[0.3, 0.3, 0.38, 0.02])
    late = np.isin(stage, ["III", "IV"])
    ids = [f"P{k:03d}" for k in range(100)]
    y = pd.Series(late.astype(int), index=ids)
    patients = pd.DataFrame({"patient_id": ids, "stage": stage, "age": rng.normal(55, 9, 100)})
    patients["grade"] = np.where(late, rng.choice(["II", "III"], 100), None)  # of some only
    patients["ki67_percent"] = np.where(late, 60, 10) + rng.normal(size=100)
    patients["er_percent"] = patients["ki67_percent"]
    patients["menopause"] = np.where(rng.random(100) < 0.3 + 0.4 * late, "yes", "no")
    patients.loc[rng.random(100) < 0.1, ["stage", "ki67_percent"]] = None
    why = "tells stage_group in every training patient"
    told = dict.fromkeys(("stage", "grade", "ki67_percent"), why)
    found = clinical_of(patients, "stage_group", ClinicalConfig(), y)
    assert found.left_out == told | {"er_percent": why}
    patients.loc[99, "er_percent"] = 200 * (1 - late[99])  # one patient is on the other side
    found = clinical_of(patients, "stage_group", ClinicalConfig(), y)
    assert found.left_out == told
    assert list(found.cells) == ["age", "er_percent", "menopause"]
    assert "er_percent" in clinical_of(patients, "stage_group", ClinicalConfig(), y[:99]).left_out


def test_held_out_patients_play_no_part_in_a_fit():
    patients, score, y = cohort(200, True)
    train, test = score.index[:100], score.index[100:]
    clinical = clinical_of(patients, "sln", ClinicalConfig(), y)
    models = fit_predictors(clinical, score[train], y[train], 1)
    other = clinical.cells.copy()
    other.loc[test, "age"] = 1e6
    other.loc[test, "lesion_margin"] = "smooth"
    changed = replace(clinical, cells=other)
    again = fit_predictors(changed, score[train], y[train], 1)
    for name in models:
        assert again[name].terms() == models[name].terms()
        np.testing.assert_array_equal(
            again[name].linear(with_scores(clinical, score[test])),
            models[name].linear(with_scores(clinical, score[test])),
        )


def test_missing_values_become_those_of_the_training_patients():
    patients, score, y = cohort(200, True)
    clinical = clinical_of(patients, "sln", ClinicalConfig(), y)
    train, one = score.index[:100], score.index[[150]]
    trained = clinical.cells.loc[train]
    fitted = fit_predictors(clinical, score[train], y[train], 1)[BOTH]
    empty = pd.DataFrame({"age": [np.nan], "lesion_margin": [np.nan], SCORE: [np.nan]}, one)
    imputed = empty.assign(
        age=trained["age"].median(),
        lesion_margin=trained["lesion_margin"].mode()[0],
        **{SCORE: score[train].median()},
    )
    told = sum(value for name, value in fitted.terms().items() if name.startswith("missing__"))
    assert len([name for name in fitted.terms() if name.startswith("missing__")]) == 2
    assert fitted.linear(empty) == pytest.approx(fitted.linear(imputed) + told)
    unknown = imputed.assign(lesion_margin="never seen")
    reference = imputed.assign(lesion_margin="smooth")
    assert fitted.linear(unknown) == pytest.approx(fitted.linear(reference))


def test_a_level_that_separates_does_no_harm():
    patients, score, y = cohort(120, True)
    patients["calcification"] = np.where(y.to_numpy() == 1, "yes", "no")
    patients.loc[0, "calcification"] = "no" if y.iloc[0] else "yes"  # else it is left out
    patients["skin_change"] = ["yes", *["no"] * 119]
    clinical = clinical_of(patients, "sln", ClinicalConfig(), y)
    assert {"calcification", "skin_change"} < set(clinical.cells)
    models = fit_predictors(clinical, score[1:], y[1:], 1)
    assert max(abs(v) for one in models.values() for v in one.terms().values()) < 10


def test_points_add_up_to_the_linear_predictor():
    patients, score, y = cohort(300, True)
    clinical = clinical_of(patients, "sln", ClinicalConfig(), y)
    fitted = fit_predictors(clinical, score, y, 1)[BOTH]
    calibration = fit_calibration(score, y)
    table = nomogram(fitted, clinical, score, calibration)
    parts = dict(list(table.groupby("variable", sort=False)))
    assert list(parts) == ["age", "lesion_margin", "radiomics risk", "total points", "risk"]
    axes = table[table["risk"].isna()]
    assert axes["points"].min() == pytest.approx(0)
    assert axes["points"].max() == pytest.approx(100)
    levels = parts["lesion_margin"].set_index("value")["points"]
    ages = parts["age"][parts["age"]["value"] != "missing"].astype({"value": float})
    missing = parts["age"].set_index("value")["points"]["missing"]
    own = logit(parts["radiomics risk"]["value"].astype(float))
    total = levels[clinical.cells["lesion_margin"].fillna("missing")].to_numpy().copy()
    years = clinical.cells["age"]
    total += np.where(years.isna(), missing, np.interp(years, ages["value"], ages["points"]))
    total += np.interp(
        logit(calibration.risk(score)), own, parts["radiomics risk"]["points"].astype(float)
    )
    known = parts["total points"][["points", "risk"]].astype(float)
    line = np.polyfit(known["points"], logit(known["risk"]), 1)
    linear = fitted.linear(with_scores(clinical, score))
    np.testing.assert_allclose(np.polyval(line, total), linear, atol=1e-6)
    at_risk = parts["risk"][["value", "points"]].astype(float)
    np.testing.assert_allclose(
        np.polyval(line, at_risk["points"]), logit(at_risk["value"]), atol=1e-6
    )


@pytest.mark.parametrize(("low", "high"), [(0.311, 0.352), (0.2, 0.21), (0.001, 0.004)])
def test_the_line_of_risks_has_marks_however_narrow_it_is(low, high):
    marks = _reached(low, high)
    assert len(marks) > 1
    assert all(low <= mark <= high for mark in marks)
    assert _reached(0.03, 0.45) == [0.05, 0.1, 0.2, 0.3, 0.4]


def test_ticks_are_round_and_span_the_range():
    assert ticks(23, 78) == [20, 30, 40, 50, 60, 70, 80]
    assert ticks(0.3, 1.5) == [0.2, 0.4, 0.6, 0.8, 1.0, 1.2, 1.4, 1.6]
    assert ticks(3, 3) == [3]


CONFIG = ModelingConfig(
    tasks=("sln",), recipe=replace(PRESET_RECIPES["rigorous"], lasso_folds=3, costs=(0.1,)),
    repeats=2, n_bootstrap=100, workers=1,
)  # fmt: skip


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_files_of_a_study_with_clinical_variables_and_without(study, tmp_path):
    folder = tmp_path / "study"
    shutil.copytree(study.folder, folder)
    for name in ("automatic", "reader2"):
        (folder / "features" / f"{name}.parquet").unlink()
    features = pd.read_parquet(folder / "features" / "manual.parquet")
    write_parquet(folder / "features" / "manual.parquet", features.iloc[:, :44])
    place = folder / "models" / "sln" / "manual"
    patients = read_csv(folder / "patients.csv", dtype=str)
    told = (patients["sln"] == "positive").to_numpy()
    rng = np.random.default_rng(3)
    patients["age"] = (50 + 10 * told + 10 * rng.normal(size=len(patients))).round()
    patients.loc[:4, "age"] = np.nan
    test = patients["patient_id"].isin(read_json(folder / "splits.json")["test"])
    patients["ki67_percent"] = rng.integers(1, 90, len(patients)).astype(float)
    patients.loc[~test, "ki67_percent"] = np.nan
    write_csv(folder / "patients.csv", patients)
    model(ModelStage(CONFIG, ClinicalConfig(variables=("age", "ki67_percent"))), folder)
    table = read_csv(place / "predictors.csv").set_index(["set", "predictor"])
    predictors = ["radiomics", "clinical", "radiomics+clinical", "preoperative", BOTH]
    assert list(table.index) == [
        (one, name) for one in ("train", "test", "all") for name in predictors
    ]
    metrics = read_json(place / "metrics.json")
    for part, key in (("train", "train_out_of_fold"), ("test", "test"), ("all", "all_out_of_fold")):
        assert table.loc[(part, "radiomics"), "auc"] == pytest.approx(metrics[key]["auc"])
        assert table.loc[(part, "radiomics"), "n"] == metrics[key]["n"]
    about = read_json(place / "predictors.json")
    assert about["nomogram"] == BOTH
    assert about["variables"][1]["imputed_with"] is None  # no training patient has a value
    assert about["variables"][0]["missing_train"] + about["variables"][0]["missing_test"] == 5
    risks = read_csv(place / "predictors_predictions.csv")
    assert risks["risk"].between(0, 1).all()
    assert not risks.duplicated(["patient_id", "set", "predictor"]).any()
    assert set(read_csv(place / "nomogram.csv")["variable"]) >= {"age", "radiomics risk"}
    write_csv(folder / "patients.csv", patients[["patient_id", "sln"]])
    model(replace(CONFIG, repeats=1, all_patients=False), folder)
    assert read_json(place / "predictors.json") == {"skipped": NO_VARIABLES}
    assert not (place / "predictors.csv").exists()


def test_the_decision_curve_counts_what_radiomics_adds_to_the_clinical_variables():
    """With it nobody is treated in vain; without it half of those who are."""
    label = np.arange(80) % 2
    risks = {"clinical": np.full(80, 0.45), "radiomics+clinical": 0.05 + 0.9 * label}
    table = pd.concat(
        pd.DataFrame({"set": "test", "patient_id": range(80), "label": label, "risk": risk}).assign(
            predictor=name
        )
        for name, risk in risks.items()
    )
    found = decision_table(table).set_index("threshold")
    assert found["predictor"].unique().tolist() == ["radiomics+clinical"]
    at = found.iloc[np.abs(found.index.to_numpy() - 0.4).argmin()]
    odds = at.name / (1 - at.name)
    assert (at["first"], at["second"]) == pytest.approx((0.5, 0.5 - 0.5 * odds))
    assert at["difference"] == pytest.approx(0.5 * odds)
    assert 0 < at["lower"] < at["upper"]

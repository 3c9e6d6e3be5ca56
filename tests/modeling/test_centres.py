"""Leave-one-centre-out validation and its summary; harmonised models on disk."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from mammoroi.errors import MammoroiError
from mammoroi.files import read_csv, read_json, write_csv
from mammoroi.modeling import centres as module
from mammoroi.modeling import validate
from mammoroi.modeling.centres import centre_counts, centre_table, held_out_centres, run_centre
from mammoroi.modeling.compare import compare
from mammoroi.modeling.config import ModelingConfig
from mammoroi.modeling.discrimination import auc_interval
from mammoroi.modeling.fit import model
from mammoroi.modeling.meta import pool
from mammoroi.modeling.persist import predict_risk
from mammoroi.modeling.recipes import PRESET_RECIPES
from mammoroi.modeling.table import load_features

FAST = replace(PRESET_RECIPES["rigorous"], lasso_folds=5, costs=(0.01,), kernels=("linear",))
CONFIG = ModelingConfig(
    tasks=("sln",), recipe=FAST, repeats=1, all_patients=False, n_bootstrap=100, workers=1
)
COMBAT = replace(CONFIG, harmonise="combat")
FILES = ("centres.csv", "centres_summary.csv", "predictions_centres.csv")

BCG = np.array([
    [4, 119, 11, 128], [6, 300, 29, 274], [3, 228, 11, 209], [62, 13536, 248, 12619],
    [33, 5036, 47, 5761], [180, 1361, 372, 1079], [8, 2537, 10, 619], [505, 87886, 499, 87892],
    [29, 7470, 45, 7232], [17, 1699, 65, 1600], [186, 50448, 141, 27197], [5, 2493, 3, 2338],
    [27, 16886, 29, 17825],
])  # fmt: skip
"""Colditz et al., JAMA 1994;271:698-702: sick, well, of the vaccinated and of the others."""


def test_pooling_of_published_trials():
    """Between-trial variance 0.3181, as metafor's Paule-Mandel gives it for these trials."""
    sick, well, sick_control, well_control = BCG.T
    n, m = sick + well, sick_control + well_control
    effect = np.log(sick / n) - np.log(sick_control / m)
    found = pool(effect, 1 / sick - 1 / n + 1 / sick_control - 1 / m)
    assert found.tau2 == pytest.approx(0.3181, abs=1e-4)
    assert found.q == pytest.approx(152.2330, abs=1e-3)
    assert found.estimate == pytest.approx(-0.7150, abs=1e-3)
    assert found.prediction_lower < found.lower < found.upper < found.prediction_upper
    alike = pool([0.5, 0.5, 0.5, np.nan], [0.04, 0.04, 0.04, 1.0])
    assert (alike.k, alike.estimate, alike.tau2, alike.i2) == (3, 0.5, 0.0, 0.0)
    # never shorter than the factor of Hartung and Knapp at 1 makes it: t(2) * sqrt(0.04 / 3)
    assert alike.upper - alike.estimate == pytest.approx(4.302653 * np.sqrt(0.04 / 3))
    assert np.isnan(pool([0.5, 0.7], [0.04, 0.04]).prediction_lower)
    assert np.isnan(pool([0.5], [0.04]).estimate)


@pytest.fixture(scope="module")
def awkward(centres_data):
    """Four centres; one of them small, some patients of none, one lesion missed in A."""
    data = centres_data(0.5)
    centres = data.centres.copy()
    centres.iloc[:5] = None
    centres[centres.index[centres == "D"][15:]] = "A"
    missed = str(centres.index[centres == "A"][0])
    return replace(data, X=data.X.drop(index=missed), centres=centres), missed


def test_a_centre_is_never_in_both_parts(awkward, monkeypatch):
    data, missed = awkward
    fitted = []
    original = validate.fit_recipe

    def spy(X, *given):
        fitted.append(set(X.index))
        return original(X, *given)

    monkeypatch.setattr(validate, "fit_recipe", spy)
    assert held_out_centres(data, CONFIG) == ["A", "B", "C"]
    turns = [run_centre(data, name, CONFIG) for name in "ABC"]
    unknown = set(data.centres.index[data.centres.isna()])
    for name, rows, turn in zip("ABC", fitted, turns, strict=True):
        of = data.centres.index[data.centres == name]
        assert turn.predicted["patient_id"].tolist() == sorted(of)
        assert not rows & {*of, *unknown}
        assert rows | {*of, *unknown, missed} == set(data.y.index)
    first = turns[0].predicted.set_index("patient_id")
    prevalence = data.y[sorted(fitted[0])].mean()
    assert first.loc[missed, "missed"]
    assert first.loc[missed, "risk"] == pytest.approx(prevalence)
    table = centre_table(data, turns).set_index("centre")
    assert list(table.index) == ["A", "B", "C", "D", "not known"]
    assert table["n"].sum() == len(data.y)
    assert table.loc["D", "reason"] == "fewer than 10 patients of a class"
    assert table.loc["not known", "reason"] == "centre not known"
    assert table.loc["A", "n_missed"] == 1
    assert (
        table.loc["B", "auc"]
        == auc_interval(turns[1].predicted["label"], turns[1].predicted["risk"])[0]
    )


@pytest.mark.parametrize("rare", [0, 1])
def test_a_centre_needs_ten_patients_of_either_class(centres_data, rare):
    data = centres_data(0.5)
    of = list(data.centres.index[data.centres == "B"])
    for n, held_out in ((9, False), (10, True)):
        labels = data.y.copy()
        labels[of] = 1 - rare
        labels[of[:n]] = rare
        found = held_out_centres(replace(data, y=labels), CONFIG)
        assert ("B" in found) == held_out


def test_the_centre_held_out_changes_nothing_that_is_fitted(centres_data):
    data = replace(centres_data(1.0), batches=centres_data(1.0).centres)
    of = list(data.centres.index[data.centres == "B"])
    changed, labels = data.X.copy(), data.y.copy()
    changed.loc[of[::2]] = 1e3
    labels[of] = 1 - labels[of]
    before = run_centre(data, "B", CONFIG).predicted
    after = run_centre(replace(data, X=changed, y=labels), "B", CONFIG).predicted
    kept = before["patient_id"].isin(of[1::2])
    for column in ("score", "risk", "radscore", "threshold"):
        pd.testing.assert_series_equal(before[column][kept], after[column][kept])
    assert (before["label"] == 1 - after["label"]).all()


def test_a_model_without_features_counts_as_chance():
    rows = {"held_out": True, "n": 40, "n_positive": 20}
    table = pd.DataFrame([rows, rows, rows])
    for name in module.SCALES:
        table[name], table[f"{name}_lower"], table[f"{name}_upper"] = 0.8, 0.7, 0.9
    table.loc[0, ["auc", "auc_lower", "auc_upper"]] = 0.5
    pooled = module.summary_table(table).set_index("quantity").loc["auc"]
    assert pooled["k"] == 3
    assert 0.6 < pooled["estimate"] < 0.8


def test_centres_that_cannot_be_held_out(centres_data):
    data = centres_data(0.0)
    two = data.centres.where(data.centres == "A", "B")
    few = two.copy()
    few[few.index[few == "B"][8:]] = "A"
    assert held_out_centres(replace(data, centres=two), CONFIG) == ["A", "B"]
    assert held_out_centres(replace(data, centres=few), CONFIG) == []
    reasons = centre_counts(replace(data, centres=few))["reason"]
    assert reasons["A"] == "no other centre is large enough"
    assert held_out_centres(replace(data, centres=None), CONFIG) == []
    assert held_out_centres(data, replace(CONFIG, leave_one_centre_out=False)) == []


@pytest.fixture(scope="module")
def harmonised(study, tmp_path_factory):
    """A study of three centres, fitted with ComBat; two features' scales differ by centre."""
    folder = tmp_path_factory.mktemp("harmonised") / "study"
    shutil.copytree(study.folder, folder)
    names = np.array(["north", "south", "west"])[np.arange(120) // 2 % 3]
    write_csv(folder / "patients.csv", study.patients.assign(centre=names))
    model(COMBAT, folder)
    return folder


def test_files_of_a_study_with_centres(harmonised):
    for roi in ("manual", "automatic"):
        folder = harmonised / "models" / "sln" / roi
        table = read_csv(folder / "centres.csv")
        assert table["centre"].tolist() == ["north", "south", "west"]
        assert table["held_out"].all()
        assert (table["n_train"] + table["n"] + 2 * (roi == "automatic") >= 120).all()
        assert (table["auc"] > 0.7).all()
        summary = read_csv(folder / "centres_summary.csv").set_index("quantity")
        assert (summary["k"] == 3).all()
        assert summary.loc["auc", "lower"] < table["auc"].median() < summary.loc["auc", "upper"]
        predicted = read_csv(folder / "predictions_centres.csv", dtype={"patient_id": str})
        assert sorted(predicted["patient_id"]) == [f"P{i:04d}" for i in range(120)]
        funnel = read_json(folder / "funnel.json")
        assert list(funnel["harmonised"]) == ["north", "south", "west"]
        assert funnel["not_harmonised"] == 0


def test_a_harmonised_model_needs_the_centre(harmonised, tmp_path):
    folder = harmonised / "models" / "sln" / "manual"
    images = load_features(harmonised, "manual").images
    expected = read_csv(folder / "predictions.csv", dtype={"patient_id": str}).query(
        "set == 'test'"
    )
    images = images[images["patient_id"].isin(expected["patient_id"])]
    patients = read_csv(harmonised / "patients.csv", dtype=str).set_index("patient_id")
    found = predict_risk(folder, images, patients["centre"]).set_index("patient_id")["risk"]
    assert found[expected["patient_id"]].to_numpy() == pytest.approx(expected["risk"].to_numpy())
    with pytest.raises(MammoroiError, match=r"no centre was given .* north, south, west"):
        predict_risk(folder, images)
    compare(COMBAT, harmonised)
    crossed = read_csv(harmonised / "comparison" / "cross_application.csv")
    assert (crossed["auc"] > 0.6).all()
    again = shutil.copytree(harmonised, tmp_path / "study")
    (again / "features" / "automatic.parquet").unlink()
    model(replace(CONFIG, leave_one_centre_out=False), again)
    assert not any((again / "models" / "sln" / "manual" / file).exists() for file in FILES)


def test_an_unknown_centre_is_refused_before_any_work(harmonised):
    from mammoroi.clinic.bundle import Classifier, check_batch
    from mammoroi.modeling.persist import load_model

    one = Classifier(load_model(harmonised / "models" / "sln" / "automatic"), None)
    for batch, found in ((None, "none was given"), ("east", "'east' is none that they know")):
        with pytest.raises(MammoroiError, match=f"harmonised by centre, and {found} .* north"):
            check_batch([one], batch, "a model", "centre")
    check_batch([one], "north", "a model", "centre")

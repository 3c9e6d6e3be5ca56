"""ComBat against the reference implementation, on planted shifts, and in the folds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from mammoroi.errors import MammoroiError
from mammoroi.files import write_csv
from mammoroi.modeling.combat import Combat, batches_of
from mammoroi.modeling.config import ModelingConfig
from mammoroi.modeling.pipeline import fit_recipe
from mammoroi.modeling.recipes import PRESET_RECIPES
from mammoroi.modeling.repeats import Repeats
from mammoroi.modeling.validate import Dataset, run_fold

FAST = replace(PRESET_RECIPES["rigorous"], lasso_folds=5, costs=(0.01,), kernels=("linear",))
CONFIG = ModelingConfig(tasks=("sln",), recipe=FAST, repeats=1, all_patients=False)


def auc_over_folds(data: Dataset) -> float:
    tables = [run_fold(data, data.divisions[0], k, CONFIG).predicted for k in range(4)]
    table = pd.concat(tables)
    return float(roc_auc_score(table["label"], table["risk"]))


def test_values_of_the_reference_implementation():
    """neuroCombat 0.2.12, by an author of Fortin et al. 2018, its loop run to 1e-12."""
    table = pd.read_csv(Path(__file__).parent / "data/combat_reference.csv", index_col="patient_id")
    features = [f"f{i}" for i in range(8)]
    X, expected = table[features], table[[f"{name}_combat" for name in features]].to_numpy()
    found = Combat(table["batch"]).fit(X).transform(X)
    spread = X.std().to_numpy()
    assert np.abs((found.to_numpy() - expected) / spread).max() < 1e-9
    assert np.abs((X.to_numpy() - expected) / spread).max() > 0.5  # there was something to do
    scaled = Combat(table["batch"]).fit(1e-6 * X).transform(1e-6 * X)  # units do not matter
    assert np.abs((scaled * 1e6 - found).to_numpy() / spread).max() < 1e-6


def test_planted_shifts_cost_discrimination_and_combat_brings_it_back(centres_data):
    plain, shifted = centres_data(0.0), centres_data(4.0)
    aucs = [
        auc_over_folds(data) for data in (plain, shifted, replace(shifted, batches=shifted.centres))
    ]
    assert aucs[0] > 0.75
    assert aucs[1] < aucs[0] - 0.15
    assert aucs[2] == pytest.approx(aucs[0], abs=0.04)


def test_without_a_batch_effect_little_changes(centres_data):
    data = centres_data(0.0)
    moved = Combat(data.centres).fit(data.X).transform(data.X)
    assert np.sqrt(((moved - data.X) ** 2).mean().mean()) < 0.15  # of a standard deviation
    change = auc_over_folds(replace(data, batches=data.centres)) - auc_over_folds(data)
    assert abs(change) < 0.03


def test_held_out_patients_change_nothing_that_is_fitted(centres_data):
    data = centres_data(2.0)
    data = replace(data, batches=data.centres)
    division = data.divisions[0]
    changed = data.X.copy()
    held_out = list(division[0])
    changed.loc[held_out[::2]] = 1e3
    labels = data.y.copy()
    labels[held_out] = 1 - labels[held_out]
    before = run_fold(data, division, 0, CONFIG)
    after = run_fold(replace(data, X=changed, y=labels), division, 0, CONFIG)
    assert after.selected == before.selected
    kept = [patient in held_out[1::2] for patient in before.predicted["patient_id"]]
    for column in ("score", "risk", "radscore"):
        pd.testing.assert_series_equal(
            before.predicted[column][kept], after.predicted[column][kept]
        )


def test_patients_of_no_estimated_batch_stay_as_they_are(centres_data):
    data = centres_data(2.0)
    batches = data.centres.copy()
    batches.iloc[:3] = None
    batches.iloc[3:7] = "tiny"
    combat = Combat(batches).fit(data.X)
    assert list(combat.counts_) == ["A", "B", "C", "D"]
    assert combat.n_as_they_are_ == 7
    moved = combat.transform(data.X)
    pd.testing.assert_frame_equal(moved.iloc[:7], data.X.iloc[:7])
    assert not np.isclose(moved.iloc[7:], data.X.iloc[7:]).any(axis=None)
    gap = data.X.copy()
    gap.iloc[20, 3] = np.nan
    moved = Combat(batches).fit(gap).transform(gap)
    pd.testing.assert_series_equal(moved["f3"], gap["f3"])  # as it was: the filter removes it
    one = Combat(pd.Series("A", data.X.index)).fit(data.X)
    pd.testing.assert_frame_equal(one.transform(data.X), data.X)


def test_centres_do_not_pass_for_stable_features(centres_data):
    """Readings of pure noise agree across patients only because the centres differ."""
    data = centres_data(0.0)
    rng = np.random.default_rng(5)
    shift = 4 * data.centres.map(dict(zip("ABCD", range(4), strict=True))).to_numpy()[:, None]
    readings = tuple(
        pd.DataFrame(shift + rng.normal(size=data.X.shape), data.X.index, data.X.columns)
        for _ in range(2)
    )
    repeats = Repeats("reader2", readings)
    plain = fit_recipe(readings[0], data.y, CONFIG, repeats)
    moved = fit_recipe(readings[0], data.y, CONFIG, repeats, data.centres)
    assert plain.steps["icc"].icc_.min() > 0.9
    assert moved.steps["icc"].icc_.max() < 0.3


def test_batches_of_centres_and_devices(tmp_path):
    ids = [f"P{i}" for i in range(12)]
    patients = pd.DataFrame({"patient_id": ids, "centre": ["x"] * 6 + ["y"] * 6})
    images = pd.DataFrame(
        {"patient_id": [*ids, *ids], "device": ["q"] * 6 + ["r"] * 12 + ["r"] * 6}
    )
    write_csv(tmp_path / "cohort.csv", images)
    combat = replace(CONFIG, harmonise="combat")
    assert batches_of(patients, tmp_path, CONFIG) is None
    assert batches_of(patients, tmp_path, combat)["P11"] == "y"
    device = batches_of(patients, tmp_path, replace(combat, harmonise_by="device"))
    assert (device["P0"], device["P6"]) == ("q + r", "r")
    for wrong in (patients.drop(columns="centre"), patients.assign(centre="x")):
        with pytest.raises(MammoroiError, match="harmonise is combat, but"):
            batches_of(wrong, tmp_path, combat)

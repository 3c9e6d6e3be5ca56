"""Subgroups: the groups by hand, their figures by the whole's functions, planted differences."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit
from scipy.stats import chi2

from mammoroi.modeling.calibration import calibration_slope
from mammoroi.modeling.discrimination import auc_interval, delong
from mammoroi.modeling.subgroups import (
    NOT_KNOWN,
    heterogeneity,
    patient_groups,
    subgroup_agreement,
    subgroup_performance,
)


def test_patients_are_sorted_into_groups():
    patients = pd.DataFrame(
        {
            "patient_id": list("ABCDE"),
            "age": [49.9, 50, 69, 70, np.nan],
            "size_cm": [2.0, 2.1, 5.0, 5.1, 1.0],
            "breast_density": ["heterogeneous", "fatty", np.nan, "fatty", "scattered"],
            "ethnicity": ["han"] * 5,
        }
    )
    images = pd.DataFrame(
        {
            "patient_id": list("AABCDE"),
            "view": ["CC", "MLO", "CC", "MLO", "CC", "CC"],
            "device": ["one", "one", "two", np.nan, "two", "two"],
        }
    )
    groups = patient_groups(patients, images)
    assert list(groups) == ["age", "size", "breast_density", "view", "device"]
    assert list(groups["age"]) == ["under 50", "50 to 69", "50 to 69", "70 and over", NOT_KNOWN]
    assert list(groups["size"].cat.codes) == [0, 1, 1, 2, 0]
    natural = ["fatty", "scattered", "heterogeneous", NOT_KNOWN]
    assert list(groups["breast_density"].cat.categories) == natural
    assert groups.loc["A", "view"] == "CC + MLO"
    assert groups.loc["C", "device"] == NOT_KNOWN


@pytest.fixture(scope="module")
def cohort():
    """A classifier that works in one centre, not in the other; age makes no difference."""
    rng = np.random.default_rng(5)
    n = 600
    label = (rng.random(n) < 0.5).astype(int)
    works = np.arange(n) < 300
    score = (label - 0.5) * np.where(works, 2.2, 0.4) + rng.normal(size=n)
    ids = [f"P{i:03d}" for i in range(n)]
    predictions = pd.DataFrame({"patient_id": ids, "set": "test", "label": label})
    predictions["risk"] = expit(score)
    patients = pd.DataFrame({"patient_id": ids, "age": rng.uniform(40, 80, n)})
    patients["centre"] = np.where(works, "north", "south")
    patients.loc[:4, "centre"] = "tiny"
    return predictions, patients


def test_figures_are_those_of_the_group_alone(cohort):
    predictions, patients = cohort
    table = subgroup_performance(predictions, patient_groups(patients))
    assert (table.groupby("grouping")["n"].sum() == 600).all()
    row = table[table["group"] == "south"].iloc[0]
    part = predictions[(patients["centre"] == "south").to_numpy()]
    expected = auc_interval(part["label"], part["risk"])
    assert tuple(row[["auc", "auc_lower", "auc_upper"]]) == pytest.approx(expected)
    slope = calibration_slope(part["label"], part["risk"])
    assert row["calibration_slope_lower"] == pytest.approx(slope[1])
    tiny = table[table["group"] == "tiny"].iloc[0]
    assert (tiny["n"], tiny["stated"]) == (5, False)
    assert np.isnan(tiny["auc"])


def test_heterogeneity_is_found_where_it_was_planted(cohort):
    predictions, patients = cohort
    table = subgroup_performance(predictions, patient_groups(patients))
    found = heterogeneity(table).set_index("grouping")
    parts = [predictions[(patients["centre"] == name).to_numpy()] for name in ("north", "south")]
    centre, error = [], []
    for part in parts:
        auc, variance = delong(part["label"], part["risk"])
        centre.append(logit(auc[0]))
        error.append(np.sqrt(variance[0, 0]) / (auc[0] * (1 - auc[0])))
    q = (centre[0] - centre[1]) ** 2 / (error[0] ** 2 + error[1] ** 2)
    assert found.loc["centre", "groups"] == 2
    assert found.loc["centre", "q"] == pytest.approx(q)
    assert found.loc["centre", "p_holm"] == pytest.approx(2 * chi2.sf(q, 1))
    assert found.loc["centre", "p_holm"] < 0.001
    assert found.loc["age", "p_holm"] > 0.05


def test_a_group_whose_classes_are_separate_is_stated_but_not_tested(cohort):
    predictions, patients = cohort
    table = predictions.copy()
    here = (patients["centre"] == "north").to_numpy()
    table.loc[here, "risk"] = 0.4 + 0.2 * table.loc[here, "label"]
    performance = subgroup_performance(table, patient_groups(patients))
    north = performance[performance["group"] == "north"].iloc[0]
    assert (north["auc"], north["auc_upper"]) == (1, 1)
    assert 0.9 < north["auc_lower"] < 1
    found = heterogeneity(performance).set_index("grouping").loc["centre"]
    assert found["groups"] == 1
    assert np.isnan(found["p_value"])


def test_patients_without_a_value_are_no_group_of_the_test(cohort):
    predictions, patients = cohort
    lost = patients.assign(centre=patients["centre"].where(patients.index % 3 > 0))
    performance = subgroup_performance(predictions, patient_groups(lost))
    assert performance.set_index("group").loc[NOT_KNOWN, "stated"]
    found = heterogeneity(performance).set_index("grouping").loc["centre"]
    assert found["groups"] == 2


@pytest.mark.parametrize("rare", [0, 1])
def test_a_group_needs_ten_patients_of_either_class(cohort, rare):
    predictions, patients = cohort
    for n, stated in ((9, False), (10, True)):
        of_class = (predictions["label"] == rare).to_numpy()
        small = np.flatnonzero(of_class)[:n]
        common = np.flatnonzero(~of_class)[:50]
        centre = np.full(len(patients), "large", dtype=object)
        centre[np.concatenate([small, common])] = "small"
        table = subgroup_performance(predictions, patient_groups(patients.assign(centre=centre)))
        assert table.set_index("group").loc["small", "stated"] == stated


def test_dice_by_group():
    rng = np.random.default_rng(2)
    ids = [f"P{i:02d}" for i in range(40)]
    agreement = pd.DataFrame(
        [(f"{p}-{v}", p, v) for p in ids for v in ("CC", "MLO")],
        columns=["image_id", "patient_id", "view"],
    )
    planted = np.where(agreement["view"] == "CC", 0.9, 0.7)
    agreement["dice"] = planted + rng.normal(scale=0.02, size=80)
    agreement.loc[0, "dice"] = np.nan
    patients = pd.DataFrame({"patient_id": ids, "age": [45.0] * 38 + [75.0] * 2})
    images = agreement[["image_id", "patient_id", "view"]]
    groups = patient_groups(patients, images)
    assert list(groups) == ["age"]
    table = subgroup_agreement(agreement, groups, images, 500, 1).set_index(["grouping", "group"])
    cc = table.loc[("view", "CC")]
    assert (cc["n_images"], cc["n_patients"]) == (39, 39)
    assert cc["dice"] == pytest.approx(0.9, abs=0.01)
    assert cc["dice_lower"] < 0.9 < cc["dice_upper"]
    assert table.loc[("view", "MLO"), "dice"] == pytest.approx(0.7, abs=0.01)
    assert not table.loc[("age", "70 and over"), "stated"]
    assert np.isnan(table.loc[("age", "70 and over"), "dice"])


def test_no_dice_of_ten_images_of_one_patient_alone():
    agreement = pd.DataFrame({"image_id": [f"I{i}" for i in range(40)], "dice": 0.8})
    agreement["patient_id"] = np.where(agreement.index < 12, "one", agreement["image_id"])
    patients = pd.DataFrame({"patient_id": agreement["patient_id"].unique()})
    patients["centre"] = np.where(patients["patient_id"] == "one", "north", "south")
    table = subgroup_agreement(agreement, patient_groups(patients), None, 50, 1)
    found = table.set_index("group")
    assert (found.loc["north", "n_images"], found.loc["north", "n_patients"]) == (12, 1)
    assert not found.loc["north", "stated"]
    assert found.loc["south", "stated"]

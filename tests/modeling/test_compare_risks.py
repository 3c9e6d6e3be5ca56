"""Agreement of two measurements with a known truth, and moves between categories of risk."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from sklearn.metrics import roc_auc_score

from mammoroi.modeling.bland_altman import limits_of_agreement
from mammoroi.modeling.compare import _auc_row
from mammoroi.modeling.compare_features import FEW_IMAGES, feature_bias, icc_by_dice, summarise_bias
from mammoroi.modeling.compare_risks import compare_risks
from mammoroi.modeling.config import ModelingConfig
from mammoroi.modeling.icc import icc
from mammoroi.modeling.netbenefit import net_benefit
from mammoroi.modeling.reclassification import (
    categories,
    category_names,
    net_reclassification,
    reclassification,
)


def test_limits_are_those_of_the_noise_that_was_added() -> None:
    """Automatic = manual + N(0.5, 2); 2,000 studies of 100 subjects, one in each column."""
    rng = np.random.default_rng(0)
    manual = rng.normal(size=(100, 2000))
    automatic = manual + rng.normal(0.5, 2.0, size=manual.shape)
    found = limits_of_agreement(automatic, manual)
    assert found.bias.mean() == pytest.approx(0.5, abs=0.02)
    assert found.limit_lower.mean() == pytest.approx(0.5 - 1.96 * 2, abs=0.03)
    assert found.limit_upper.mean() == pytest.approx(0.5 + 1.96 * 2, abs=0.03)
    inside = (found.bias_lower < 0.5) & (found.bias_upper > 0.5)
    assert inside.mean() == pytest.approx(0.95, abs=0.015)
    reached = np.abs(found.limit_upper - (0.5 + 1.96 * 2)) < found.limit_error
    assert reached.mean() == pytest.approx(0.95, abs=0.015)


def test_limits_by_hand() -> None:
    """Differences 1, 2, 3, 4 and one missing."""
    found = limits_of_agreement([2, 4, 6, 8, np.nan], [1, 2, 3, 4, 5.0])
    sd = np.sqrt(5 / 3)
    assert found.n.tolist() == [4]
    assert found.bias[0] == 2.5
    assert found.limit_upper[0] == pytest.approx(2.5 + 1.959964 * sd)
    assert found.bias_upper[0] == pytest.approx(2.5 + 3.182446 * sd / 2)  # t of 3 degrees
    error = 3.182446 * sd * np.sqrt(1 / 4 + 1.959964**2 / 6)
    table = found.frame()
    assert table["limit_upper_to"][0] - table["limit_upper"][0] == pytest.approx(error)
    assert np.isnan(limits_of_agreement([1.0, 2], [1.0, 2]).bias[0])


def test_limits_of_the_published_example() -> None:
    """Peak flow by two meters, Bland & Altman, Lancet 1986;1:307-310, to the digits printed there.

    They take 2 standard deviations where 1.96 stand here, and 3 / n for the limits' variance.
    """
    wright = [494, 395, 516, 434, 476, 557, 413, 442, 650, 433, 417, 656, 267, 478, 178, 423, 427]
    mini = [512, 430, 520, 428, 500, 600, 364, 380, 658, 445, 432, 626, 260, 477, 259, 350, 451]
    found = limits_of_agreement(wright, mini)
    assert (found.bias[0], found.sd[0]) == pytest.approx((-2.1, 38.8), abs=0.05)
    assert (found.bias_lower[0], found.bias_upper[0]) == pytest.approx((-22.0, 17.8), abs=0.06)
    assert found.bias[0] - 2 / 1.959964 * (found.bias[0] - found.limit_lower[0]) == pytest.approx(
        -79.7, abs=0.06
    )
    assert found.limit_error[0] / 2.12 == pytest.approx(16.3, abs=0.2)


def test_bias_of_features_in_standard_deviations() -> None:
    rng = np.random.default_rng(1)
    names = ["original_glcm_Contrast", "wavelet-LH_glrlm_RunVariance", "original_firstorder_Flat"]
    ids = pd.Index([f"P{i}" for i in range(400)], name="patient_id")
    manual = pd.DataFrame(rng.normal(0, [10.0, 0.1, 0.0], (400, 3)), ids, names)
    automatic = manual + rng.normal([5.0, 0.0, 0.0], [2.0, 0.03, 0.0], (400, 3))
    table = feature_bias(manual, automatic).set_index("feature")
    assert table.loc[names[0], "bias"] == pytest.approx(0.5, abs=0.03)
    assert table.loc[names[1], "sd"] == pytest.approx(0.3, abs=0.03)
    assert np.isnan(table.loc[names[2], "bias"])
    assert table.loc[names[1], "family"] == "glrlm"
    summary = summarise_bias(table.reset_index()).set_index("group")
    assert summary.loc["family=glcm", "share_biased"] == 1
    assert summary.loc["all", "n_unknown"] == 1
    assert summary.loc["image_type=original", "n_features"] == 2


def test_icc_by_dice_is_that_of_the_images_in_the_stratum() -> None:
    rng = np.random.default_rng(2)
    ids = [f"I{i}" for i in range(100)]
    keys = pd.DataFrame({"image_id": ids, "patient_id": ids, "view": "CC", "laterality": "L"})
    names = ["original_glcm_A", "original_glrlm_B"]
    values = rng.normal(size=(100, 2))
    dice = pd.Series(np.r_[np.full(10, 0.3), np.full(40, 0.5), np.full(50, 0.9)], ids)
    noise = np.where(dice.to_numpy()[:, None] < 0.85, 1.0, 0.1) * rng.normal(size=(100, 2))
    manual = pd.concat([keys, pd.DataFrame(values, columns=names)], axis=1)
    automatic = pd.concat([keys, pd.DataFrame(values + noise, columns=names)], axis=1).drop(index=3)
    features, summary = icc_by_dice(manual, automatic, dice, (0.5, 0.85), 0.75)
    assert features.groupby("stratum")["n"].first().to_dict() == {
        "0 to 0.5": 9,
        "0.5 to 0.85": 40,  # a Dice at the cut is in the upper stratum
        "0.85 and above": 50,
    }
    part = features[(features["stratum"] == "0.85 and above") & (features["family"] == "glrlm")]
    pair = np.stack([values[50:, 1], (values + noise)[50:, 1]], axis=1)[:, :, None]
    assert part["icc"].to_numpy() == pytest.approx(icc(pair).value)
    whole = summary[summary["group"] == "all"].set_index("stratum")
    assert whole["few"].tolist() == [True, False, False]
    assert FEW_IMAGES == 20
    assert whole.loc["0.85 and above", "median"] > whole.loc["0.5 to 0.85", "median"] + 0.2
    nothing = icc_by_dice(manual, automatic, pd.Series(dtype=float), (0.5,), 0.75)
    assert [len(table) for table in nothing] == [0, 0]
    assert set(nothing[1].columns) == set(summary.columns)


def test_reclassification_is_the_table_made_by_hand() -> None:
    names = category_names((0.1, 0.3))
    assert names == ["below 0.1", "0.1 to 0.3", "0.3 and above"]
    labels = [1, 1, 1, 1, 0, 0, 0, 0, 0]
    manual = categories([0.05, 0.20, 0.20, 0.50, 0.05, 0.1, 0.2, 0.40, 0.9], (0.1, 0.3))
    automatic = categories([0.20, 0.35, 0.05, 0.60, 0.09, 0.02, 0.4, 0.05, 0.3], (0.1, 0.3))
    cells = reclassification(labels, manual, automatic, names)
    table = cells.pivot_table(index=["label", "before"], columns="after", values="n", sort=False)
    assert table.loc[1, names].to_numpy().tolist() == [[0, 1, 0], [1, 0, 1], [0, 0, 1]]
    assert table.loc[0, names].to_numpy().tolist() == [[1, 0, 0], [1, 0, 1], [1, 0, 1]]
    events, others = net_reclassification(labels, manual, automatic).itertuples()
    assert (events.n, events.n_up, events.n_down, events.nri) == (4, 2, 1, 0.25)
    assert (others.n, others.n_up, others.n_down, others.nri) == (5, 1, 2, 0.2)


def test_net_reclassification_of_the_framingham_example() -> None:
    """Pencina et al. 2008: 29 of 183 events up, 7 down; 174 of 3,081 others down, 173 up."""
    labels = np.r_[np.ones(183, int), np.zeros(3081, int)]
    change = np.r_[np.repeat([1, -1, 0], [29, 7, 147]), np.repeat([-1, 1, 0], [174, 173, 2734])]
    events, others = net_reclassification(labels, np.ones(3264), 1 + change).itertuples()
    assert events.nri + others.nri == pytest.approx(0.121, abs=0.0005)
    width = [(part.nri_upper - part.nri_lower) / (2 * 1.96) for part in (events, others)]
    assert (events.nri + others.nri) / np.hypot(*width) == pytest.approx(3.616, abs=0.1)
    assert others.nri_lower < 0 < others.nri_upper
    nobody = net_reclassification([0, 0], [0, 1], [0, 1]).itertuples()
    assert np.isnan(next(nobody).nri)
    still = next(nobody)
    assert (still.nri, still.nri_lower < 0 < still.nri_upper) == (0, True)


def test_risks_compared_on_all_counts() -> None:
    rng = np.random.default_rng(3)
    truth = rng.uniform(0.05, 0.95, 400)
    pairs = pd.DataFrame(
        {
            "label": rng.random(400) < truth,
            "risk_manual": truth,
            "risk_automatic": np.clip(truth + 0.1, 0, 1),
        }
    )
    own = {"manual": 0.5, "automatic": 0.6}
    found = compare_risks(pairs, 0.05, (), own, 200, 0)
    assert found["noninferiority"]["verdict"].item() == "non-inferior"
    assert found["noninferiority"]["manual_above_chance"].item()
    assert found["risk_agreement"]["bias"].item() == pytest.approx(0.1, abs=0.005)
    # Each by its own threshold, which moved along with the risks: nobody changes sides.
    assert found["net_reclassification"][["n_up", "n_down"]].to_numpy().sum() == 0
    moved = compare_risks(pairs, 0.05, (0.5,), own, 200, 0)["net_reclassification"]
    assert (moved["n_up"] > 0).all()
    assert moved["nri"].iloc[0] > 0 > moved["nri"].iloc[1]
    decision = found["decision_difference"]
    expected = net_benefit(pairs["label"], pairs["risk_automatic"]) - net_benefit(
        pairs["label"], pairs["risk_manual"]
    )
    assert decision["difference"].to_numpy() == pytest.approx(expected)
    calibration = found["calibration"].set_index("roi")
    assert abs(calibration.loc["manual", "calibration_intercept"]) < 0.4
    assert calibration.loc["automatic", "calibration_intercept_upper"] < 0


@pytest.mark.parametrize("worse", ["automatic", "manual"])
def test_the_difference_is_automatic_minus_manual(worse: str) -> None:
    """Automatic masks that cost the classifier its order are inferior; manual ones never are."""
    rng = np.random.default_rng(11)
    label = np.arange(300) % 2
    spread = {"manual": 0.8, "automatic": 0.8, worse: 6.0}
    risks = {roi: rng.normal(label, width) for roi, width in spread.items()}
    pairs = pd.DataFrame({"label": label, "missed": False, "patient_id": range(300)})
    pairs = pairs.assign(**{f"risk_{roi}": expit(risk) for roi, risk in risks.items()})
    own = {"manual": 0.5, "automatic": 0.5}
    shown = compare_risks(pairs, 0.05, (), own, 200, 1)["noninferiority"].iloc[0]
    row = _auc_row(pairs, ModelingConfig(n_bootstrap=200))
    aucs = {roi: roc_auc_score(label, risk) for roi, risk in risks.items()}
    assert row["auc_manual"] == pytest.approx(aucs["manual"])
    assert row["auc_automatic"] == pytest.approx(aucs["automatic"])
    for found in (row["difference"], shown["difference"]):
        assert found == pytest.approx(aucs["automatic"] - aucs["manual"])
    lost = worse == "automatic"
    said = "inferior" if lost else "non-inferior"
    assert shown["verdict"] == shown["bootstrap_verdict"] == said
    assert shown["manual_above_chance"] == lost  # 0.55, whose interval holds 0.5, is not above it
    assert 0.5 < min(aucs.values()) < 0.58
    for lower, upper in (("lower", "upper"), ("bootstrap_lower", "bootstrap_upper")):
        for found in (row, shown):
            assert (found[upper] < 0) == lost
            assert (found[lower] > 0) != lost


def test_a_standard_that_separates_the_classes_is_above_chance_but_nothing_is_shown() -> None:
    """Twenty patients of each class; the automatic masks exchange one pair."""
    manual = np.linspace(0.1, 0.9, 40)
    automatic = manual.copy()
    automatic[[19, 20]] = manual[[20, 19]]
    pairs = pd.DataFrame({"label": np.repeat([0, 1], 20)})
    pairs = pairs.assign(risk_manual=manual, risk_automatic=automatic)
    own = {"manual": 0.5, "automatic": 0.5}
    found = compare_risks(pairs, 0.05, (), own, 50, 15)["noninferiority"].iloc[0]
    assert found["manual_above_chance"]
    assert found["verdict"] == "not shown"
    assert np.isnan(found["p_value"])


def test_patients_move_at_their_own_thresholds() -> None:
    """Out of fold each has the threshold of the folds that held her out, not the final model's."""
    pairs = pd.DataFrame({"label": [0, 0, 1, 1], "risk_manual": 0.5, "risk_automatic": 0.5})
    own = {"manual": 0.9, "automatic": 0.9}
    pairs["threshold_manual"] = [0.4, 0.6, 0.4, 0.6]
    pairs["threshold_automatic"] = [0.4, 0.5, 0.6, 0.6]
    moved = compare_risks(pairs, 0.05, (), own, 50, 15)["net_reclassification"].set_index("group")
    assert moved["n_up"].to_dict() == {"events": 0, "non-events": 1}
    assert moved["n_down"].to_dict() == {"events": 1, "non-events": 0}
    still = compare_risks(pairs.iloc[:, :3], 0.05, (), own, 50, 15)["net_reclassification"]
    assert still[["n_up", "n_down"]].to_numpy().sum() == 0

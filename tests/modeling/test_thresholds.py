"""Thresholds out of fold: chosen without the patients who are called at them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from mammoroi.modeling.config import PRESET_TASKS, ModelingConfig
from mammoroi.modeling.discrimination import auc_interval, youden_threshold
from mammoroi.modeling.metrics import at_threshold
from mammoroi.modeling.recipes import PRESET_RECIPES
from mammoroi.modeling.results import auc_of_repeats
from mammoroi.modeling.targets import targets_of
from mammoroi.modeling.validate import Dataset, divide, mean_of_repeats, run_fold

RECIPE = replace(PRESET_RECIPES["rigorous"], lasso_folds=3, n_alphas=10, costs=(0.1,))
CONFIG = ModelingConfig(recipe=RECIPE, calibration_folds=3)
N = 60


def noise(seed: int, repeats: int = 1) -> Dataset:
    rng = np.random.default_rng(seed)
    ids = [f"P{i:02d}" for i in range(N)]
    y = pd.Series(rng.permutation(np.arange(N) % 2), ids)
    X = pd.DataFrame(rng.normal(size=(N, 6)), ids, list("abcdef"))
    divisions = tuple(divide(ids, y, 3, k) for k in range(repeats))
    target = targets_of(PRESET_TASKS["sln"])[0]
    return Dataset(target, "manual", X, y, None, tuple(ids), (), divisions)


def informedness(table: pd.DataFrame, threshold: pd.Series | float) -> float:
    found = at_threshold(table["label"], table["risk"], threshold, 10, 0)
    return found["sensitivity"][0] + found["specificity"][0] - 1


def test_held_out_labels_play_no_part_in_the_threshold():
    data = noise(0)
    division = data.divisions[0]
    before = run_fold(data, division, 0, CONFIG).predicted
    held_out = data.y[list(division[0])]
    swapped = [held_out.index[held_out == value][0] for value in (0, 1)]
    y = data.y.copy()
    y[swapped] = y[swapped[::-1]].to_numpy()
    after = run_fold(replace(data, y=y), division, 0, CONFIG).predicted
    assert before["label"].tolist() != after["label"].tolist()
    pd.testing.assert_frame_equal(before.drop(columns="label"), after.drop(columns="label"))
    assert before["threshold"].nunique() == 1


def test_the_same_risks_would_promise_more():
    """Two of six features carry a little; the best threshold of the very risks, and the folds'."""
    optimism = []
    for seed in range(16):
        data = noise(seed)
        carried = 0.8 * np.outer(data.y, [1, 1, 0, 0, 0, 0])
        data = replace(data, X=data.X + carried)
        folds = [run_fold(data, data.divisions[0], k, CONFIG).predicted for k in range(3)]
        table = mean_of_repeats(folds)
        same = informedness(table, youden_threshold(table["label"], table["risk"]))
        optimism.append(same - informedness(table, table["threshold"]))
    assert min(optimism) >= 0
    assert np.mean(optimism) > 0.04


def test_without_a_feature_no_fold_is_told_apart():
    data = noise(1)
    config = replace(CONFIG, recipe=replace(RECIPE, t_test_alpha=1e-12))
    folds = [run_fold(data, data.divisions[0], k, config).predicted for k in range(3)]
    table = pd.concat(folds)
    assert table["threshold"].tolist() == pytest.approx([data.y.mean()] * N)
    assert (table["risk"] >= table["threshold"]).all()


def test_each_repeat_has_its_auc_and_the_means_over_them_their_thresholds():
    data = noise(2, repeats=2)
    folds = [run_fold(data, division, k, CONFIG) for division in data.divisions for k in range(3)]
    tables = [pd.concat([fold.predicted for fold in part]) for part in (folds[:3], folds[3:])]
    expected = [auc_interval(table["label"], table["risk"])[0] for table in tables]
    assert auc_of_repeats(folds, data.divisions) == expected
    means = mean_of_repeats([fold.predicted for fold in folds]).set_index("patient_id")
    both = pd.concat(tables).groupby("patient_id")["threshold"].mean()
    assert means["threshold"].to_numpy() == pytest.approx(both[means.index].to_numpy())

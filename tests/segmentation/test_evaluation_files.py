"""What `agree` says of images whose masks, maps and measures are given."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from mammoroi.imaging.mammogram import Spacing
from mammoroi.segmentation.agreement import AUTOMATIC, SUMMARISED, summarise
from mammoroi.segmentation.bootstrap import mean_and_median
from mammoroi.segmentation.config import SegmentationConfig
from mammoroi.segmentation.evaluation import Examined, examine, flag_masks, write_evaluation
from mammoroi.segmentation.mapping import Mapping
from mammoroi.segmentation.pixel_calibration import (
    REGIONS,
    bin_counts,
    counts_in_regions,
    write_probability,
)
from mammoroi.segmentation.prepare import Source
from mammoroi.segmentation.uncertainty import MEASURES, rank_correlation


def test_files_on_calibration_and_uncertainty_are_of_each_set_and_of_drawn_masks(
    tmp_path: Path,
) -> None:
    rng = np.random.default_rng(4)
    config = SegmentationConfig(bootstrap_samples=20)
    names = [f"I{k:02d}" for k in range(40)]
    table = pd.DataFrame({"image_id": names, "patient_id": [f"P{k // 2}" for k in range(40)]})
    table["set"] = np.where(np.arange(40) < 24, "train", "test")
    table = table.assign(view="CC", breast_density=None, n_regions="1", area_mm2=50.0)
    table["dice"] = np.round(rng.random(40), 2)
    for measure in MEASURES:
        table[measure] = table["dice"] + rng.normal(0, 0.2, 40)
    table.loc[[3, 30], ["area_mm2", "dice", "expected_dice"]] = 0.0  # nothing was drawn
    table.loc[[8, 31], "member_dice"] = None
    table.loc[[9, 33], "dice"] = None  # the manual mask is a box
    table.loc[5, "dice"] = config.poor_dice
    flag = flag_masks(table, config)
    table["uncertain"] = [flag.uncertain(value) for value in table["expected_dice"]]
    counts = {}
    for name, part in zip(names, table["set"], strict=True):
        lesion = np.arange(100) < (20 if part == "train" else 60)
        counts[name] = {r: bin_counts(np.full(100, 0.35, np.float32), lesion) for r in REGIONS}
    examined = {name: Examined([(80.0, 0.4)], [0.3], counts[name], [True], 0) for name in names}
    for box in ("I09", "I33"):
        examined[box] = replace(examined[box], lesions=[(None, 0.4)], counts=None)
    write_evaluation(tmp_path, table, examined, flag, config)

    pixels = pd.read_csv(tmp_path / "pixel_calibration.csv").dropna(subset="share")
    assert pixels["n_pixels"].tolist() == [2300, 2300, 1500, 1500]
    assert pixels["share"].tolist() == pytest.approx([0.2, 0.2, 0.6, 0.6])
    said = json.loads((tmp_path / "uncertainty.json").read_text())["sets"]
    found = pd.read_csv(tmp_path / "uncertainty.csv").set_index(["set", "measure"])
    for part in ("train", "test"):
        rows = table[(table["set"] == part) & table["dice"].notna()]
        drawn = rows[rows["area_mm2"] > 0]
        poor, flagged = drawn["dice"] < 0.5, drawn["expected_dice"] <= flag.threshold
        numbers = (len(rows), 1, flagged.sum(), poor.sum(), (poor & flagged).sum())
        keys = ("n", "n_empty", "n_flagged", "n_poor", "n_poor_flagged")
        assert said[part] == dict(zip(keys, map(int, numbers), strict=True))
        for measure in MEASURES:
            known = drawn.dropna(subset=measure)
            row = found.loc[(part, measure)]
            assert row["n"] == len(known)
            expected = spearmanr(known[measure], known["dice"]).statistic
            assert row["spearman"] == pytest.approx(expected)
            values = known[measure].to_numpy(float), known["dice"].to_numpy(float)
            limits = rank_correlation(*values, known["patient_id"].to_numpy(), 20, config.seed)
            assert (row["lower"], row["upper"]) == pytest.approx((limits.lower, limits.upper))
    assert flag.n_train == 22
    lesions = pd.read_csv(tmp_path / "lesions.csv")
    assert lesions["area_mm2"].isna().tolist() == [name in ("I09", "I33") for name in names]
    assert set(lesions["size_group"].dropna()) == {"10-20mm"}


def test_an_image_is_examined_on_its_own_grid_and_on_the_working_one(tmp_path: Path) -> None:
    region = np.zeros((80, 60), bool)
    region[:, :40] = True
    mapping = Mapping.of_breast(region, Spacing(0.5, 0.8, "test"), 2.0)
    shape = (mapping.working_rows, mapping.working_columns)
    array, probability = np.full(shape, 0.4, np.float16), np.full(shape, 0.2, np.float32)
    array[:, 10:] = 0  # air
    probability[4:8, 2:6] = 0.8
    for folder in ("segmentation/prepared", "masks/probability"):
        (tmp_path / folder).mkdir(parents=True)
    np.save(tmp_path / "segmentation" / "prepared" / "a.npy", array)
    write_probability(tmp_path / "masks" / "probability" / "a.png", probability)
    manual, mask = np.zeros((2, 80, 60), bool)
    manual[10:20, 5:15] = manual[50:56, 20:24] = True
    mask[11:20, 5:15] = mask[70:74, 30:34] = True
    box = {"region": 1, "score": 0.7, "top": 10, "bottom": 19, "left": 5, "right": 15}
    source = Source("a", "P1", tmp_path / "a.png", 0.5, "measured", None, None)
    found = examine(tmp_path, source, manual, mask, mapping, [box], SegmentationConfig())
    assert found.lesions == [(pytest.approx(100 * 0.4), 0.7), (pytest.approx(24 * 0.4), -np.inf)]
    assert (found.hit_by_mask, found.false_regions) == ([True, False], 1)
    assert (found.false_positives, found.best_score()) == ([], 0.7)
    assert found.counts is not None
    lesion = mapping.mask_to_working(manual)
    expected = counts_in_regions(probability, lesion, array > 0, mapping.working_pixel_mm)
    for name in REGIONS:
        np.testing.assert_allclose(found.counts[name], expected[name], rtol=1e-2)
    assert found.counts["breast"][0].sum() == ((array > 0) | lesion).sum() < array.size
    nothing = examine(tmp_path, source, manual, mask & False, mapping, [], SegmentationConfig())
    assert nothing.best_score() == 0
    assert (nothing.hit_by_mask, nothing.false_regions) == ([False, False], 0)


def test_the_summary_is_of_each_group_and_measure() -> None:
    rng = np.random.default_rng(6)
    config = SegmentationConfig(bootstrap_samples=60)
    table = pd.DataFrame({name: rng.gamma(2, size=40) for name in SUMMARISED})
    table["patient_id"] = [f"P{n}" for n in rng.integers(0, 14, 40)]
    table = table.assign(comparison=AUTOMATIC, view=["CC", "MLO"] * 20, set="train")
    table = table.assign(size_group="<10mm", breast_density=None, n_regions="1")
    table.loc[rng.choice(40, 9, replace=False), "hd95_mm"] = None  # missed lesions
    found = summarise(table, config).set_index(["group", "metric"])
    for group, rows in (("all", table), ("view=MLO", table[table["view"] == "MLO"])):
        for metric in ("dice", "hd95_mm"):
            known = rows.dropna(subset=metric)
            both = mean_and_median(known[metric].to_numpy(), known["patient_id"].to_numpy(), 60, 15)
            row = found.loc[(group, metric)]
            assert row["n"] == len(known)
            for name, one in zip(("mean", "median"), both, strict=True):
                said = row[[name, f"{name}_lower", f"{name}_upper"]].tolist()
                assert said == [one.value, one.lower, one.upper]

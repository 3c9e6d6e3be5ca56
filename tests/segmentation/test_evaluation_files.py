"""What `agree` writes of calibration and uncertainty, from images whose measures are given."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from mammoroi.segmentation.config import SegmentationConfig
from mammoroi.segmentation.evaluation import Examined, flag_masks, write_evaluation
from mammoroi.segmentation.pixel_calibration import REGIONS, bin_counts
from mammoroi.segmentation.uncertainty import MEASURES


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
    assert flag.n_train == 22
    lesions = pd.read_csv(tmp_path / "lesions.csv")
    assert lesions["area_mm2"].isna().tolist() == [name in ("I09", "I33") for name in names]
    assert set(lesions["size_group"].dropna()) == {"10-20mm"}

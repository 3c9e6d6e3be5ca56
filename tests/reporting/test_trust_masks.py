"""Figures and sentences about lesions found and uncertainty say what the files say."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd

from mammoroi.files import write_csv, write_json
from mammoroi.reporting.facts_detection import (
    detection_method,
    lesion_detection,
    mask_uncertainty,
    normal_mammograms,
)
from mammoroi.reporting.facts_masks import network
from mammoroi.reporting.figures_trust import draw_froc, draw_pixel_calibration, draw_uncertainty
from mammoroi.reporting.record import Record
from mammoroi.segmentation.config import SegmentationConfig
from mammoroi.segmentation.evaluation import Examined, write_evaluation
from mammoroi.segmentation.uncertainty import choose_flag


def test_figures_and_sentences_follow_the_files(tmp_path: Path) -> None:
    n = 40
    dice = np.linspace(0.05, 0.95, n)
    table = pd.DataFrame(
        {
            "image_id": [f"I{k}" for k in range(n)],
            "patient_id": [f"P{k // 2}" for k in range(n)],
            "comparison": "automatic-manual",
            "set": np.where(np.arange(n) % 4 < 2, "train", "test"),
            "view": "CC",
            "breast_density": None,
            "n_regions": "1",
            "area_mm2": 30.0,
            "dice": dice,
            "entropy": 1 - dice,
            "expected_dice": dice,
            "member_dice": None,
        }
    )
    train = table[table["set"] == "train"]
    flag = choose_flag(train["expected_dice"].to_numpy(), train["dice"].to_numpy(), 0.5, 1.0)
    table["uncertain"] = [flag.uncertain(value) for value in dice]
    counts = np.tile(np.stack([np.ones(10), np.arange(10) / 10 + 0.05, np.ones(10) / 2]), (1, 1))
    in_regions = {"near": counts, "breast": counts}
    examined = {
        name: Examined([(50.0, 0.9 if k % 4 else -np.inf)], [0.1], in_regions, [k % 4 < 2], k % 2)
        for k, name in enumerate(table["image_id"])
    }
    config = SegmentationConfig(bootstrap_samples=50)
    write_csv(tmp_path / "agreement.csv", table)
    write_csv(
        tmp_path / "agreement_summary.csv",
        pd.DataFrame(columns=["comparison", "group", "metric", "mean", "mean_lower", "mean_upper"]),
    )
    write_evaluation(tmp_path, table, examined, flag, config)
    write_json(tmp_path / "run.json", {"config": {"segmentation": vars(config)}})
    record = Record(tmp_path)
    froc, scatter, pixels = (
        draw(record) for draw in (draw_froc, draw_uncertainty, draw_pixel_calibration)
    )
    assert froc is not None
    assert "its Dice is 0 though the lesion is found here" in froc.reading
    assert "Several such regions may be one mark of the curve" in froc.reading
    of_masks = "The regions of the masks hit {} of the lesions; 0.50 per image hit none"
    for hit, name in (("1.00", "training"), ("0.00", "test")):
        assert f"{of_masks.format(hit)} ({name} patients" in froc.finding
    assert "false positives on normal mammograms were not measured" in froc.reading
    assert scatter is not None
    assert pixels is not None
    # Of the 20 images of a set, every fourth of all is missed: 10 of them are training images.
    assert (
        "Training patients, out of fold: the mean sensitivity over these rates is 0.50"
        in froc.finding
    )
    assert "Test patients: the mean sensitivity over these rates is 1.00" in froc.finding
    poor = (table["set"].eq("test") & (table["dice"] < 0.5)).sum()
    assert f"{poor} of {poor} with a Dice below 0.5" in scatter.finding
    assert "rank correlation 1.00" in scatter.finding
    facts = [fact(record) for fact in (detection_method, lesion_detection, mask_uncertainty)]
    assert all(fact is not None for fact in facts)
    assert "intersection over union of 0.2 or more" in str(facts[0])
    assert "region with a probability of 0.1 or more and of 4 mm² or more a mark" in str(facts[0])
    assert normal_mammograms(record) is None
    empty = Record(tmp_path / "nothing")
    assert draw_froc(empty) is None
    assert lesion_detection(empty) is None


def test_false_marks_in_normal_mammograms_are_told(tmp_path: Path) -> None:
    table = pd.DataFrame(
        {
            "image_id": [f"I{k}" for k in range(8)],
            "patient_id": [f"P{k}" for k in range(8)],
            "set": "train",
            "view": "CC",
            "breast_density": None,
            "n_regions": "1",
            "area_mm2": 30.0,
            "dice": 0.6,
            "expected_dice": 0.7,
            "entropy": 0.1,
            "member_dice": None,
            "uncertain": False,
        }
    )
    # Half of the lesions have a score above that of every mark in a normal mammogram.
    examined = {
        f"I{k}": Examined([(50.0, 0.9 if k < 4 else 0.3)], [], None, [True], 0) for k in range(8)
    }
    normals = tmp_path / "masks" / "normals"
    write_csv(
        normals / "predictions.csv",
        pd.DataFrame(
            {
                "image_id": ["N1", "N2", "N3", "N4"],
                "patient_id": ["P1", "P2", "X1", "X1"],
                "found": [True, False, False, False],
                "area_mm2": [80.0, 0.0, 0.0, 0.0],
            }
        ),
    )
    marks = pd.DataFrame({"image_id": ["N1"] * 12, "score": [0.5] * 12})
    write_csv(normals / "candidates.csv", marks)
    config = SegmentationConfig(bootstrap_samples=50, normal_cohort="normals")
    write_evaluation(
        tmp_path, table, examined, choose_flag(np.empty(0), np.empty(0), 0.5, 0.8), config
    )
    write_json(tmp_path / "run.json", {"config": {"segmentation": vars(config)}})
    record = Record(tmp_path)
    fact = normal_mammograms(record)
    assert fact is not None
    assert "Of 4 mammograms without a lesion the share left empty was 0.75" in fact.text
    assert "with 1 false positive in each of them the sensitivity for lesions was 0.50" in fact.text
    assert "told images with a lesion from them with AUC 0.88" in fact.text  # 28 of 32 pairs
    method = detection_method(record)
    assert method is not None
    assert "counted on 4 mammograms without a lesion, of 3 patients" in method.text
    froc = draw_froc(record)
    assert froc is not None
    assert "were not measured" not in froc.reading
    assert "With the false positives of 4 images without a lesion the mean" in froc.finding
    assert fact.text in froc.finding


def test_sentences_name_the_network_and_its_training(tmp_path: Path) -> None:
    config = SegmentationConfig(
        architecture="dynunet", channels=(32, 64, 128, 256, 512), deep_supervision=True,
        swa_start=0.6, keep="last",
    )  # fmt: skip
    card = {
        "network": {"architecture": "dynunet", "channels": list(config.channels)},
        # As of a version that let it pass, though this network has no encoder of ImageNet's.
        "settings": asdict(config) | {"encoder_weights": "imagenet"},
        "n_training_patients": 50,
        "n_tuning_patients": 2,
    }
    write_json(tmp_path / "segmentation" / "fold-0" / "model.json", card)
    text = str(network(Record(tmp_path)))
    assert "a U-Net (MONAI DynUNet, 32 to 512 channels)," in text
    assert "imagenet" not in text
    assert "cross-entropy on all but the coarsest level of the decoder by AdamW (peak" in text
    assert "the mean of those at the end of each epoch after 60% of the epochs (stoch" in text
    assert "without a lesion" not in text
    more = card | {"n_normal_images": 12, "normals_per_epoch": 5}
    write_json(tmp_path / "segmentation" / "fold-0" / "model.json", more)
    text = str(network(Record(tmp_path)))
    told = "It also learned from 12 mammograms without a lesion, of which every epoch took 5."
    assert told in text

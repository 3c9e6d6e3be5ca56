from __future__ import annotations

import shutil
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
from PIL import Image

from mammoroi.errors import MammoroiError
from mammoroi.segmentation.agreement import READER2, Comparison, agree, compare
from mammoroi.segmentation.bootstrap import draw_patients, mean_and_median, weighted_medians
from mammoroi.segmentation.config import SegmentationConfig
from mammoroi.segmentation.detection import box_iou
from mammoroi.segmentation.mapping import Mapping, bounding_box
from mammoroi.segmentation.metrics import similarity, size_group
from mammoroi.segmentation.new_mammograms import segment_images
from mammoroi.segmentation.overlays import draw_overlay, rank_cases
from mammoroi.segmentation.postprocess import draw_mask, draw_regions
from mammoroi.segmentation.predict import segment
from mammoroi.segmentation.prepare import Source
from mammoroi.segmentation.train import train
from mammoroi.segmentation.uncertainty import load_flag

CONFIG = SegmentationConfig(
    working_spacing_mm=1.0,
    channels=(8, 8, 16, 16, 16),
    epochs=20,
    batch_size=4,
    learning_rate=0.01,
    patience=0,
    accelerator="cpu",
    bootstrap_samples=200,
    overlays=2,
    workers=1,
)


def test_from_images_to_agreement(study: Path, tmp_path: Path) -> None:
    (study / "P05-R-CC.png").write_bytes(b"no picture")
    train(CONFIG, study)
    assert segment(CONFIG, study) == study / "masks" / "automatic"
    predictions = pd.read_csv(study / "masks" / "predictions.csv", dtype={"fold": str})
    failures = pd.read_csv(study / "masks" / "failures.csv")
    assert failures["case"].tolist() == ["P05-R-CC"]
    assert len(predictions) + len(failures) == 20
    folds = predictions.set_index("image_id")["fold"]
    assert folds[["P00-L-CC", "P01-R-MLO", "P02-L-CC", "P03-R-CC"]].tolist() == [
        "test",
        "test",
        "0",
        "1",
    ]
    digests = predictions.groupby("fold")["model_sha256"].unique()
    assert [len(digests[fold]) for fold in ("0", "1", "test")] == [1, 1, 1]
    assert len({digests[fold][0] for fold in ("0", "1", "test")}) == 3

    assert agree(CONFIG, study) == study / "agreement.csv"
    table = pd.read_csv(study / "agreement.csv")
    assert table["comparison"].value_counts().to_dict() == {
        "automatic-manual": 19,
        "reader2-manual": 9,
    }
    automatic = table[table["comparison"] == "automatic-manual"]
    assert automatic["dice"].mean() > 0.6
    assert set(automatic.loc[automatic["set"] == "test", "patient_id"]) == {"P00", "P01"}
    # A mask of P05-R-CC needs the grid of an image that cannot be read.
    assert pd.read_csv(study / "agreement_failures.csv")["case"].tolist() == ["P05-R-CC"]

    summary = pd.read_csv(study / "agreement_summary.csv").set_index(
        ["comparison", "group", "metric"]
    )
    row = summary.loc[("automatic-manual", "all", "dice")]
    assert row["n"] == 19
    assert row["mean"] == pytest.approx(automatic["dice"].mean())
    assert row["mean_lower"] < row["mean"] < row["mean_upper"]
    groups = {group for comparison, group, _ in summary.index if comparison == "reader2-manual"}
    assert {"all", "view=CC", "set=train", "breast_density=fatty", "n_regions=1"} <= groups

    # What stands beside the overlap: lesions found, calibration, uncertainty.
    assert {"entropy", "expected_dice", "member_dice"} <= set(predictions)
    assert predictions.loc[predictions["found"], "expected_dice"].between(0.01, 1).all()
    lesions = pd.read_csv(study / "lesions.csv")
    assert len(lesions) == 19
    hits = []
    for name in lesions["image_id"]:  # a mask keeps one region, and there is one lesion
        masks = (study / "masks" / "automatic" / f"{name}.png", study / f"{name}.mask.png")
        one, other = (bounding_box(np.asarray(Image.open(mask)) > 0) for mask in masks)
        hits.append(one is not None and box_iou(one, other) >= 0.2)
    assert lesions["hit_by_mask"].tolist() == hits
    of_masks = pd.read_csv(study / "froc_masks.csv").set_index("group").loc["all"]
    assert of_masks["sensitivity"] == pytest.approx(np.mean(hits))
    drawn = predictions["found"].sum()
    assert of_masks["false_regions"] == pytest.approx((drawn - sum(hits)) / 19)
    froc = pd.read_csv(study / "froc_summary.csv").set_index(["group", "fp_per_image"])
    assert froc.loc[("all", "8"), "n_lesions"] == 19
    found = lesions["score"].notna().mean()
    assert froc.loc[("all", "8"), "sensitivity"] == pytest.approx(found)
    assert automatic["ece_near"].between(0, 1).all()
    assert (automatic["ece_breast"] < automatic["ece_near"]).all()
    reader2 = table[table["comparison"] == "reader2-manual"]
    assert reader2[["expected_dice", "uncertain", "ece_near"]].isna().all(axis=None)
    flag = load_flag(study)
    assert flag is not None
    assert flag.n_train == (automatic["set"].eq("train") & (automatic["area_mm2"] > 0)).sum()

    overlays = pd.read_csv(study / "overlays" / "overlays.csv")
    assert overlays["rank"].tolist() == ["worst"] * 2 + ["median"] * 2 + ["best"] * 2
    for file in overlays["file"]:
        assert Image.open(study / "overlays" / file).size[1] > 500

    # New files, without the study, one of them unreadable and one without lesion or breast.
    model = tmp_path / "model"
    shutil.copytree(study / "segmentation" / "fold-0", model / "fold-0")
    shutil.copytree(study / "segmentation" / "fold-1", model / "fold-1")
    Image.fromarray(np.zeros((80, 60), np.uint8)).save(tmp_path / "black.png")
    images = [study / "P00-L-CC.png", study / "P05-R-CC.png", tmp_path / "black.png"]
    failed = segment_images(model, images, tmp_path / "new", spacing_mm=1.0)
    assert [failure.case for failure in failed] == ["P05-R-CC", "black"]
    drawn = np.asarray(Image.open(tmp_path / "new" / "P00-L-CC.png"))
    earlier = np.asarray(Image.open(study / "masks" / "automatic" / "P00-L-CC.png"))
    assert np.array_equal(drawn, earlier)
    assert (tmp_path / "new" / "overlays" / "P00-L-CC.png").exists()
    # The folder is these images' alone; the same call again is fine.
    with pytest.raises(MammoroiError, match="not the same images"):
        segment_images(model, images[2:], tmp_path / "new", spacing_mm=1.0)
    segment_images(model, images, tmp_path / "new", spacing_mm=1.0)
    assert np.array_equal(drawn, np.asarray(Image.open(tmp_path / "new" / "P00-L-CC.png")))
    # A mammogram is not written over by its own mask.
    with pytest.raises(MammoroiError, match="says what they were made of"):
        segment_images(model, images[:1], study, spacing_mm=1.0)
    (no_spacing,) = segment_images(model, images[:1], tmp_path / "bare")
    assert "spacing" in no_spacing.error
    with pytest.raises(MammoroiError, match=r"spacing_mm is 70 -> give millimetres .* 0.01 to 2"):
        segment_images(model, images[:1], tmp_path / "bare", spacing_mm=70.0)
    with pytest.raises(MammoroiError, match="several files are named P00-L-CC"):
        segment_images(model, images[:1] * 2, tmp_path / "twice")


def test_one_region_stays_the_one_with_most_probability() -> None:
    probability = np.zeros((30, 30), np.float32)
    probability[2:10, 2:10] = 0.6  # 64 pixels, sum 38
    probability[15:22, 15:22] = 0.99  # 49 pixels, sum 49
    probability[27, 27] = 0.9
    mask = draw_mask(probability, 1.0, 0.5, max_components=1, minimum_area_mm2=4)
    assert mask[18, 18]
    assert mask.sum() == 49
    assert draw_mask(probability, 1.0, 0.5, 2, 4).sum() == 64 + 49
    assert draw_mask(probability, 1.0, 0.5, 0, 0).sum() == 64 + 49 + 1
    assert draw_mask(probability, 1.0, 0.6, 0, 49).sum() == 64 + 49  # what reaches a limit counts
    assert draw_regions(probability, 1.0, 0.5, 1, 4)[1] == 2  # of the least area, drawn or not
    assert not draw_mask(probability, 0.01, 0.5, 0, 4).any()
    assert not draw_mask(probability, 1.0, 0.995, 1, 4).any()


def test_medians_of_resamples_are_medians() -> None:
    rng = np.random.default_rng(2)
    values = np.sort(rng.normal(size=11))
    weights = rng.integers(0, 4, size=(50, 11))
    weights[:, 0] += 1
    expected = [np.median(np.repeat(values, row)) for row in weights]
    assert np.allclose(weighted_medians(values, weights), expected)


def test_the_interval_counts_patients_not_images() -> None:
    rng = np.random.default_rng(4)
    of_patient = rng.normal(size=50)
    values = np.repeat(of_patient, 4)
    patients = np.repeat(np.arange(50), 4).astype(object)
    mean, _ = mean_and_median(values, patients, 4000, seed=1)
    expected = 2 * 1.96 * of_patient.std(ddof=1) / np.sqrt(50)
    assert mean.upper - mean.lower == pytest.approx(expected, rel=0.06)


def test_limits_are_percentiles_of_whole_resamples() -> None:
    """Patients with unequally many images, in no order: each resample written out."""
    rng = np.random.default_rng(5)
    patients = np.array([f"P{k}" for k in rng.integers(0, 7, 23)], dtype=object)
    values = rng.gamma(2.0, size=23)
    draws = draw_patients(7, 300, 3)
    assert set(draws.sum(axis=1)) == {7}
    assert draws.mean(axis=0) == pytest.approx(1, abs=0.2)
    drawn = [
        np.concatenate([np.tile(values[patients == f"P{k}"], often) for k, often in enumerate(one)])
        for one in draws
    ]
    for found, statistic in zip(
        mean_and_median(values, patients, 300, 3), (np.mean, np.median), strict=True
    ):
        limits = np.percentile([statistic(one) for one in drawn], [2.5, 97.5])
        assert found.value == pytest.approx(statistic(values))
        assert (found.lower, found.upper) == pytest.approx(tuple(limits))


def test_a_second_readers_mask_is_measured_in_mm_against_the_manual_one(tmp_path: Path) -> None:
    """Of a file with pixels that are not square, whose masks hold other labels too."""
    pixels = np.random.default_rng(1).integers(100, 900, (90, 70)).astype(np.uint16)
    image = sitk.GetImageFromArray(pixels)
    image.SetSpacing((0.4, 0.1))  # columns are 0.4 mm apart
    sitk.WriteImage(image, tmp_path / "a.nrrd")
    manual, other = np.zeros((2, 90, 70), np.uint8)
    manual[20:60, 10:30] = manual[70:74, 40:44] = 2
    other[26:60, 10:30] = 2
    manual[:5], other[:9] = 1, 1
    for name, mask in (("manual", manual), ("other", other)):
        Image.fromarray(mask).save(tmp_path / f"{name}.png")
    files = tmp_path / "manual.png", tmp_path / "other.png"
    source = Source("a", "P1", tmp_path / "a.nrrd", None, "measured", files[0], 2)
    row, examined = compare(Comparison(READER2, source, *files), tmp_path, [], CONFIG)
    assert examined is None
    expected = similarity(other == 2, manual == 2, (0.1, 0.4), CONFIG.surface_tolerance_mm)
    assert row.items() >= asdict(expected).items()
    assert row["reference_area_mm2"] == pytest.approx((40 * 20 + 16) * 0.04)
    assert row["area_mm2"] == pytest.approx(34 * 20 * 0.04)
    assert (row["n_regions"], row["patient_id"]) == ("2", "P1")
    own = replace(source, mask_label_reader2=1)
    row, _ = compare(Comparison(READER2, own, *files), tmp_path, [], CONFIG)
    assert (row["dice"], row["area_mm2"]) == (0, pytest.approx(9 * 70 * 0.04))


def test_size_groups() -> None:
    diameters = (5, 9.9, 10, 20, 20.1)
    groups = [size_group(np.pi / 4 * diameter**2) for diameter in diameters]
    assert groups == ["<10mm", "<10mm", "10-20mm", "10-20mm", ">20mm"]


def test_ranks() -> None:
    table = pd.DataFrame({"image_id": list("abcdefg"), "dice": [0.7, 0, 0.9, 0.5, 0.8, 0.1, 0.6]})
    ranks = pd.DataFrame(rank_cases(table, 2)).groupby("rank")["dice"].apply(list)
    assert ranks["worst"] == [0, 0.1]
    assert ranks["median"] == [0.5, 0.6]
    assert ranks["best"] == [0.8, 0.9]
    assert len(rank_cases(table[:1], 4)) == 3


def test_the_picture_of_a_strip_is_no_wider_than_a_screen_or_two(tmp_path: Path) -> None:
    """At the scale of a breast it would be 90 m wide, and fill the memory."""
    shape = (2, 1000)
    display = np.full(shape, 120, np.uint8)
    mapping = Mapping(*shape, 1.0, 1.0, "measured", 0, 0, *shape, False, *shape)
    with Image.open(draw_overlay(tmp_path / "a.png", display, mapping, "strip")) as picture:
        assert max(picture.size) < 5000

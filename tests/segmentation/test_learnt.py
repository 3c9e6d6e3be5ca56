"""Post-processing that is learnt: the best settings, from the right patients."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from mammoroi.cohort.split import load_splits
from mammoroi.files import read_csv, read_json
from mammoroi.segmentation.config import SegmentationConfig
from mammoroi.segmentation.learnt import choose, dice_of_settings, grid, learnt_settings
from mammoroi.segmentation.postprocess import draw_mask, threshold_of


def _picture(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Random blobs of probability and a manual mask."""
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(seed)
    smooth = gaussian_filter(rng.normal(size=(60, 50)), 4)
    probability = (smooth - smooth.min()) / np.ptp(smooth)
    manual = gaussian_filter(rng.normal(size=(60, 50)), 5) > 0.03
    return probability.astype(np.float32), manual


@pytest.mark.parametrize("seed", range(3))
def test_dice_of_settings_is_the_dice_of_the_mask_that_is_drawn(seed: int) -> None:
    probability, manual = _picture(seed)
    tried = grid(SegmentationConfig(postprocessing="learnt"))
    found = dice_of_settings(probability, manual, 0.7, tried)
    for (threshold, most, area), dice in zip(tried, found, strict=True):
        mask = draw_mask(probability, 0.7, threshold, most, area)
        assert dice == pytest.approx(2 * (mask & manual).sum() / (mask.sum() + manual.sum()))


@pytest.mark.parametrize("seed", range(3))
def test_expected_dice_is_the_best_threshold_of_a_calibrated_map(seed: int) -> None:
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(seed)
    smooth = gaussian_filter(rng.normal(size=(200, 150)), 6)
    probability = (1 / (1 + np.exp(-(smooth / smooth.std() * 1.5 - 2 - seed)))).astype(np.float32)
    chosen = threshold_of(probability, "expected-dice")
    thresholds = np.linspace(0.1, 0.9, 33)
    dice = np.zeros(len(thresholds))
    for _ in range(40):  # lesions drawn as the map says
        lesion = rng.random(probability.shape) < probability
        for number, threshold in enumerate(thresholds):
            mask = probability >= threshold
            dice[number] += 2 * (mask & lesion).sum() / (mask.sum() + lesion.sum()) / 40
    assert abs(chosen - thresholds[dice.argmax()]) <= 0.05
    assert chosen == pytest.approx(max(0.1, dice.max() / 2), abs=0.02)


def test_nothing_probable_nothing_drawn() -> None:
    faint = np.full((20, 20), 0.08, np.float32)
    assert not draw_mask(faint, 1.0, "expected-dice", 0, 0.0).any()
    assert threshold_of(faint, 0.3) == 0.3


def test_two_empty_masks_agree() -> None:
    empty = np.zeros((5, 5), np.bool_)
    assert dice_of_settings(np.zeros((5, 5), np.float32), empty, 1.0, [(0.5, 1, 0.0)]) == [1.0]


def test_the_best_mean_is_chosen_and_the_configured_settings_win_ties() -> None:
    config = SegmentationConfig(threshold=0.35, max_components=0, postprocessing="learnt")
    tried = grid(config)
    assert tried[0] == (0.35, 0, 4.0)
    assert grid(SegmentationConfig(threshold=0.35, max_components=0)) == tried[:1]
    assert len(set(tried)) == len(tried)
    same = np.full((4, len(tried)), 0.5)
    assert choose(same, tried).settings()["threshold"] == 0.35
    same[:, 7] += [0.1, 0.2, 0.1, -0.1]
    chosen = choose(same, tried)
    assert (chosen.threshold, chosen.max_components, chosen.minimum_area_mm2) == tried[7]
    assert chosen.dice == pytest.approx(0.575)
    assert chosen.n_images == 4


@pytest.fixture
def learnt_study(study: Path) -> tuple[Path, SegmentationConfig]:
    from mammoroi.segmentation.train import train

    config = SegmentationConfig(
        working_spacing_mm=2.0,
        channels=(4, 4, 4, 4, 4),
        epochs=2,
        batch_size=4,
        keep="last",
        ema_decay=0.5,
        augmentation="strong",
        loss="tversky-ce",
        postprocessing="learnt",
        test_time_scales=(0.8, 1.0),
        accelerator="cpu",
        workers=1,
    )
    train(config, study)
    return study, config


def test_what_is_learnt_for_masks_leaves_the_candidates(
    learnt_study: tuple[Path, SegmentationConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Detection is measured on regions of the configured area, whatever area masks have to have."""
    from mammoroi.segmentation import predict

    study, config = learnt_study
    surer = {"slope": 1.0, "intercept": 3.0}  # the networks of two epochs are sure of nothing
    fixed = {"threshold": 0.1, "max_components": 0, "calibration": surer}
    for name, area in (("small", 4.0), ("large", 1e6)):
        learnt = fixed | {"minimum_area_mm2": area}
        monkeypatch.setattr(predict, "learnt_settings", lambda *_, given=learnt: given)
        predict.segment(config, study)
        (study / "masks" / "candidates.csv").rename(study / f"{name}.csv")
        found = read_csv(study / "masks" / "predictions.csv")["found"]
        assert found.any() == (name == "small")
    assert (study / "small.csv").read_bytes() == (study / "large.csv").read_bytes()
    assert len(read_csv(study / "small.csv")) > 10


def test_settings_of_a_fold_are_chosen_without_the_fold(
    learnt_study: tuple[Path, SegmentationConfig],
) -> None:
    import torch

    from mammoroi.segmentation.predict import draw, segment
    from mammoroi.segmentation.prepare import load_mapping
    from mammoroi.segmentation.probability import probabilities
    from mammoroi.segmentation.weights import load_models

    study, config = learnt_study
    folder = study / "segmentation"
    splits, models, tried = load_splits(study), load_models(folder), grid(config)
    index = read_csv(folder / "prepared" / "index.csv", dtype=str)
    patients = index.set_index("image_id")["patient_id"]
    scores: dict[int, list[np.ndarray]] = {0: [], 1: []}
    for image_id, patient in patients.items():
        fold = splits.fold_of(patient)
        if fold is None:
            continue
        array = np.load(folder / "prepared" / f"{image_id}.npy")
        manual = np.load(folder / "prepared" / f"{image_id}.mask.npy") > 0
        mean = np.mean(
            probabilities(models[fold], array, config.inference(), torch.device("cpu")), axis=0
        )
        area = load_mapping(study, image_id).working_pixel_area_mm2
        scores[fold].append(dice_of_settings(mean, manual, area, tried))
    expected = [choose(np.array(scores[other]), tried).settings() for other in (1, 0)]
    assert [learnt_settings(folder, fold) for fold in (0, 1)] == expected
    everyone = choose(np.array(scores[0] + scores[1]), tried)
    assert learnt_settings(folder, None) == everyone.settings()
    assert read_json(folder / "postprocessing.json")["all"]["n_images"] == 16

    # The study draws with them, each mask with those of its own fold.
    content = read_json(folder / "postprocessing.json")
    for fold, threshold in enumerate((0.3, 0.7)):
        content["folds"][fold]["threshold"] = threshold
    (folder / "postprocessing.json").write_text(json.dumps(content))
    masks = segment(config, study)
    for image_id in ("P03-R-CC", "P04-L-MLO"):
        fold = splits.fold_of(patients[image_id])
        assert fold is not None
        own = config.inference() | learnt_settings(folder, fold)
        array = np.load(folder / "prepared" / f"{image_id}.npy")
        mapping = load_mapping(study, image_id)
        drawn = draw([models[fold]], array, mapping, own, torch.device("cpu"))
        from PIL import Image

        assert np.array_equal(np.asarray(Image.open(masks / f"{image_id}.png")) > 0, drawn.mask)


def test_learnt_settings_are_kept_and_removed(
    learnt_study: tuple[Path, SegmentationConfig],
) -> None:
    from dataclasses import replace

    from mammoroi.segmentation.train import train

    study, config = learnt_study
    file = study / "segmentation" / "postprocessing.json"
    before = file.stat().st_mtime_ns
    train(config, study)
    assert file.stat().st_mtime_ns == before
    train(replace(config, postprocessing="fixed"), study)
    assert not file.exists()
    assert learnt_settings(file.parent, 0) == {}


@pytest.mark.parametrize("postprocessing", ["fixed", "learnt"])
def test_a_fold_is_calibrated_without_the_fold(
    learnt_study: tuple[Path, SegmentationConfig], postprocessing: str
) -> None:
    from dataclasses import asdict, replace

    import torch

    from mammoroi.segmentation.predict import draw
    from mammoroi.segmentation.prepare import load_mapping
    from mammoroi.segmentation.probability import probabilities
    from mammoroi.segmentation.recalibration import Calibration, count_pixels, fit_calibration
    from mammoroi.segmentation.train import train
    from mammoroi.segmentation.weights import load_models

    study, config = learnt_study
    config = replace(config, postprocessing=postprocessing, calibrate=True)
    train(config, study)
    folder = study / "segmentation"
    assert not list(folder.glob(".learn-*"))
    splits, models, tried = load_splits(study), load_models(folder), grid(config)
    looks: dict[int, list[tuple[np.ndarray, np.ndarray, float]]] = {0: [], 1: []}
    for patient in splits.train:
        fold = splits.fold_of(patient)
        assert fold is not None
        for file in sorted((folder / "prepared").glob(f"{patient}-*.mask.npy")):
            image_id = file.name.removesuffix(".mask.npy")
            array = np.load(folder / "prepared" / f"{image_id}.npy")
            members = probabilities(models[fold], array, config.inference(), torch.device("cpu"))
            area = load_mapping(study, image_id).working_pixel_area_mm2
            looks[fold].append((np.mean(members, axis=0), np.load(file) > 0, area))
    for fold, other in ((0, 1), (1, 0)):
        calibration = fit_calibration(sum(count_pixels(p, m) for p, m, _ in looks[other]))
        learnt = learnt_settings(folder, fold)
        assert learnt["calibration"] == pytest.approx(asdict(calibration))
        scores = [dice_of_settings(calibration(p), m, area, tried) for p, m, area in looks[other]]
        assert learnt["threshold"] == choose(np.array(scores), tried).threshold
    if postprocessing == "fixed":
        assert learnt["threshold"] == config.threshold

    # What is drawn is the calibrated mean, and the mask is drawn from that.
    given = config.inference() | {"threshold": 0.3, "minimum_area_mm2": 0.0, "max_components": 0}
    array = np.load(folder / "prepared" / "P03-R-CC.npy")
    mapping = load_mapping(study, "P03-R-CC")
    plain, calibrated = (
        draw([models[0]], array, mapping, given | more, torch.device("cpu"))
        for more in ({}, {"calibration": {"slope": 0.5, "intercept": 1.0}})
    )
    assert np.array_equal(calibrated.probability, Calibration(0.5, 1.0)(plain.probability))
    assert calibrated.mask.sum() > plain.mask.sum()
    # New mammograms are drawn with the calibration of all.
    everyone = fit_calibration(sum(count_pixels(p, m) for p, m, _ in looks[0] + looks[1]))
    assert load_models(folder)[0].card["inference"]["calibration"] == pytest.approx(
        asdict(everyone)
    )


def test_what_a_killed_run_looked_at_does_not_stay(
    learnt_study: tuple[Path, SegmentationConfig],
) -> None:
    from mammoroi.segmentation.train import train

    study, config = learnt_study
    folder = study / "segmentation"
    for left in (folder / ".learn-x" / "P02-L-CC.npy", folder / "prepared" / ".part-x.npy"):
        left.parent.mkdir(exist_ok=True)
        left.write_bytes(b"of a patient")
    (folder / "postprocessing.json").unlink()
    train(config, study)
    assert (folder / "postprocessing.json").exists()
    assert not list(folder.glob(".learn-*"))
    assert not list(folder.glob("prepared/.part-*"))

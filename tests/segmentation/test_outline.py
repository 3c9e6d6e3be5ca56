"""Two stages: windows hold what is proposed, both networks count there, and no fold is mixed up."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from mammoroi.cohort.split import load_splits
from mammoroi.errors import MammoroiError
from mammoroi.files import read_csv, read_json, write_json
from mammoroi.imaging.read import read_mammogram
from mammoroi.segmentation.agreement import agree
from mammoroi.segmentation.candidates import CANDIDATE_PROBABILITY
from mammoroi.segmentation.config import SegmentationConfig
from mammoroi.segmentation.export import export
from mammoroi.segmentation.fold_jobs import fold_job
from mammoroi.segmentation.learnt import (
    choose,
    dice_of_settings,
    grid,
    learn,
    learnt_settings,
    validation_images,
)
from mammoroi.segmentation.mapping import Mapping, resize
from mammoroi.segmentation.network import NetworkSpec
from mammoroi.segmentation.new_mammograms import segment_images
from mammoroi.segmentation.normals import find_normals
from mammoroi.segmentation.outline import (
    OUTLINE,
    PROPOSED,
    Outlining,
    load_outline,
    outline_config,
    refined,
)
from mammoroi.segmentation.pixel_calibration import read_probability
from mammoroi.segmentation.predict import draw, segment
from mammoroi.segmentation.prepare import load_mapping, scaled_array, working_array
from mammoroi.segmentation.probability import probabilities
from mammoroi.segmentation.store import ArrayStore
from mammoroi.segmentation.train import train
from mammoroi.segmentation.weights import Model, load_models
from mammoroi.segmentation.windows import windows_over

from .conftest import SPACING_MM, write_study

CPU = torch.device("cpu")
OUTLINE_FOLD = "outline/fold-0"
TWO = SegmentationConfig(
    working_spacing_mm=2.0,
    outline_spacing_mm=1.0,
    outline_patch=(32, 48),
    channels=(8, 8, 8, 8, 8),
    epochs=12,
    batch_size=2,
    learning_rate=0.01,
    keep="last",
    threshold=0.15,
    overlays=0,
    bootstrap_samples=20,
    accelerator="cpu",
    workers=1,
)


# What both networks say


class PixelByPixel(torch.nn.Module):
    """A network whose logit is a known function of the pixel's own grey value."""

    def __init__(self, slope: float, at: float) -> None:
        super().__init__()
        self.slope, self.at = slope, at

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.slope * (images - self.at)

    def expected(self, array: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-self.slope * (array.astype(np.float64) - self.at)))


def model_of(network: PixelByPixel, name: str) -> Model:
    spec = NetworkSpec("unet", (4, 4, 4, 4, 4), "resnet18")
    return Model(network, spec, {"plan": {"canvas": [64, 48]}, "sha256": name, "fold": 0})


@pytest.fixture
def toy() -> tuple[np.ndarray, np.ndarray, Mapping]:
    """A coarse and a fine array of one breast with two bright lesions, and the fine mapping."""
    y, x = np.mgrid[:120, :90]
    fine = 0.2 + 0.05 * np.sin(y / 7) + 0.02 * np.cos(x / 5)
    fine[20:34, 30:42] = 0.9
    fine[90:96, 10:20] = 0.8
    coarse = resize(fine, (60, 45)).astype(np.float16)
    whole = {"rows": 240, "columns": 180, "row_mm": 0.5, "column_mm": 0.5, "mirrored": False}
    box = {"top": 0, "left": 0, "height": 240, "width": 180, "spacing_source": "measured"}
    mapping = Mapping(**whole, **box, working_rows=120, working_columns=90)
    return coarse, fine.astype(np.float16), mapping


INFERENCE = {
    "threshold": 0.5,
    "max_components": 0,
    "minimum_area_mm2": 4.0,
    "test_time_augmentation": True,
    "test_time_scales": (1.0,),
}


def test_within_windows_both_count_alike_and_elsewhere_the_first_alone(
    toy: tuple[np.ndarray, np.ndarray, Mapping],
) -> None:
    coarse, fine, mapping = toy
    first = [PixelByPixel(12, 0.6), PixelByPixel(9, 0.7)]
    second = [PixelByPixel(20, 0.5), PixelByPixel(-5, 0.4)]
    models = [model_of(network, f"first {n}") for n, network in enumerate(first)]
    outlining = Outlining(
        [model_of(network, f"second {n}") for n, network in enumerate(second)],
        (32, 32),
        fine,
        mapping,
    )
    members = [p for m in models for p in probabilities(m, coarse, INFERENCE, CPU)]
    found = refined(members, outlining, INFERENCE, CPU)
    assert len(found) == 4  # two networks, each upright and upside down

    of_first = [resize(network.expected(coarse), fine.shape) for network in first]
    assert (np.mean(of_first, axis=0) >= PROPOSED).sum() > 200
    windows = windows_over([(20, 34, 29, 43), (89, 97, 9, 21)], (32, 32), fine.shape)
    inside = np.zeros(fine.shape, bool)
    for top, left in windows:
        inside[top : top + 32, left : left + 32] = True
    assert not inside.all()
    for number, member in enumerate(found):
        one, other = of_first[number // 2], second[number // 2].expected(fine)
        outside = ~inside
        assert np.allclose(member[outside], one[outside], atol=1e-5)
        centre = np.s_[22:32, 32:40]
        assert np.allclose(member[centre], ((one + other) / 2)[centre], atol=1e-5)
        differs = ~np.isclose(member, one, atol=1e-4)
        expected = np.where(differs, (one + other) / 2, one)
        assert np.allclose(member, expected, atol=1e-5)
        assert differs[20:34, 30:42].all()
        assert differs[90:96, 10:20].all()

    drawn = draw(models, coarse, mapping, INFERENCE, CPU, outlining)
    original = mapping.to_original(np.mean(found, axis=0))
    assert np.array_equal(drawn.mask, original >= 0.5)
    assert drawn.probability.shape == coarse.shape
    assert np.allclose(drawn.probability, resize(np.mean(found, axis=0), coarse.shape))
    assert drawn.model_sha256 != draw(models, coarse, mapping, INFERENCE, CPU).model_sha256


def test_overlapping_windows_count_once_and_without_a_proposal_nothing_is_looked_at(
    toy: tuple[np.ndarray, np.ndarray, Mapping],
) -> None:
    coarse, fine, mapping = toy
    first, second = PixelByPixel(1, 0.5), PixelByPixel(8, 0.5)
    outlining = Outlining([model_of(second, "second")], (64, 64), fine, mapping)
    how = INFERENCE | {"test_time_augmentation": False}
    # Everything is proposed: windows cover the whole array, some of it twice.
    members = probabilities(model_of(first, "first"), coarse, how, CPU)
    (found,) = refined(members, outlining, how, CPU)
    both = (resize(first.expected(coarse), fine.shape) + second.expected(fine)) / 2
    assert np.allclose(found, both, atol=1e-5)
    silent = [np.full(coarse.shape, 0.01, np.float32)]
    (found,) = refined(silent, outlining, how, CPU)
    assert np.allclose(found, 0.01)


def test_what_any_member_is_sure_enough_of_is_looked_at(
    toy: tuple[np.ndarray, np.ndarray, Mapping],
) -> None:
    """The mean of all members proposes, at half of what makes a candidate."""
    assert PROPOSED == CANDIDATE_PROBABILITY / 2
    coarse, fine, mapping = toy
    second = [model_of(PixelByPixel(8, 0.5), f"second {n}") for n in range(2)]
    outlining = Outlining(second, (32, 32), fine, mapping)
    how = INFERENCE | {"test_time_augmentation": False}
    silent = np.zeros(coarse.shape, np.float32)
    for high, looked in ((0.12, True), (0.08, False)):
        sure = silent.copy()
        sure[10:14, 15:20] = high
        found = refined([silent, sure], outlining, how, CPU)
        assert bool(found[0].any()) is looked


def test_an_image_smaller_than_a_window_and_scaled_views() -> None:
    fine = np.full((20, 17), 0.7, np.float16)
    mapping = Mapping(40, 34, 0.5, 0.5, "measured", 0, 0, 40, 34, False, 20, 17)
    second = PixelByPixel(8, 0.5)
    outlining = Outlining([model_of(second, "second")], (32, 48), fine, mapping)
    how = INFERENCE | {"test_time_scales": (0.5, 1.0)}
    found = refined([np.full((10, 9), 0.5, np.float32)] * 4, outlining, how, CPU)
    assert [member.shape for member in found] == [(20, 17)] * 4
    both = (0.5 + second.expected(np.float64(0.7))) / 2
    assert np.allclose([member[5, 5] for member in found], both, atol=1e-3)


# Settings


def test_settings_of_one_stage_are_what_they_were() -> None:
    assert "crops" not in SegmentationConfig().training()
    assert TWO.training() == replace(TWO, outline_spacing_mm=None).training()
    assert TWO.inference() == replace(TWO, outline_spacing_mm=None).inference()
    second = outline_config(TWO)
    assert (second.working_spacing_mm, second.patch, second.crops) == (1.0, (32, 48), "lesions")
    assert second.training() != TWO.training()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"outline_spacing_mm": 0.4}, "less than working_spacing_mm, 0.4"),
        ({"outline_spacing_mm": -1.0}, "less than working_spacing_mm"),
        ({"outline_patch": (90, 64)}, "outline_patch.*multiples of 16"),
        ({"crops": "lesion"}, "did you mean 'lesions'"),
    ],
)
def test_settings_that_cannot_be_meant(settings: dict, message: str) -> None:
    with pytest.raises(MammoroiError, match=message):
        SegmentationConfig(**settings)


def test_the_finer_array_is_that_of_the_finer_spacing(study: Path) -> None:
    mammogram = read_mammogram(study / "P03-R-CC.png", spacing_mm=SPACING_MM)
    _, mapping, limits = working_array(mammogram, 2.0)
    array, finer, _ = working_array(mammogram, 0.7)
    assert mapping.at(0.7) == finer
    assert np.array_equal(scaled_array(mammogram, finer, limits), array)


# A whole study


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[tuple[str, set[str]]]]:
    """A study trained in two stages, and the folders and patients whose arrays were loaded."""
    study = write_study(tmp_path_factory.mktemp("outline") / "study", patients=8, test=2, folds=2)
    loaded: list[tuple[str, set[str]]] = []
    before = ArrayStore.__init__

    def record(
        self: ArrayStore, folder: Path, image_ids: list[str], *rest: Any, **more: Any
    ) -> None:
        loaded.append((folder.parent.name, {name.split("-")[0] for name in image_ids}))
        before(self, folder, image_ids, *rest, **more)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ArrayStore, "__init__", record)
        train(TWO, study)
    segment(TWO, study)
    return study, loaded


@pytest.fixture
def copied(trained: tuple[Path, Any], tmp_path: Path) -> Path:
    """A copy of the study, to be changed."""
    return Path(shutil.copytree(trained[0], tmp_path / "study"))


def test_no_network_sees_the_patients_whose_masks_it_draws(
    trained: tuple[Path, list[tuple[str, set[str]]]],
) -> None:
    study, loaded = trained
    splits = load_splits(study)
    folder = study / "segmentation"
    for stage, place in (("segmentation", folder), ("outline", folder / "outline")):
        parts = [patients for name, patients in loaded if name == stage]
        assert len(parts) == 4  # training and tuning of two folds
        for number, patients in enumerate(parts):
            fold = splits.folds[number // 2]
            assert patients <= set(fold.train)
            assert not patients & {*fold.validation, *splits.test}
        for number in (0, 1):
            both = parts[2 * number] | parts[2 * number + 1]
            assert both == set(splits.folds[number].train)
            card = read_json(place / f"fold-{number}" / "model.json")
            assert card["n_training_patients"] == len(parts[2 * number])
    assert (folder / "folds.csv").read_text() == (folder / "outline" / "folds.csv").read_text()
    assert not list((folder / "outline" / "prepared").glob("P00*.mask.npy"))  # of the test set


def test_each_mask_is_of_both_networks_of_its_own_fold(trained: tuple[Path, Any]) -> None:
    study, _ = trained
    folder, splits = study / "segmentation", load_splits(study)
    models, outlines = load_models(folder), load_models(folder / "outline")
    assert [model.working_spacing_mm for model in outlines] == [1.0, 1.0]
    predictions = read_csv(study / "masks" / "predictions.csv", dtype=str)
    assert len(predictions) == 16
    differing = found = 0
    for image_id, patient in zip(predictions["image_id"], predictions["patient_id"], strict=True):
        fold = splits.fold_of(patient)
        folds = [0, 1] if fold is None else [fold]
        array = np.load(folder / "prepared" / f"{image_id}.npy")
        outlining = Outlining(
            [outlines[one] for one in folds],
            (32, 48),
            np.load(study / OUTLINE / "prepared" / f"{image_id}.npy"),
            load_mapping(study, image_id, OUTLINE),
        )
        chosen = [models[one] for one in folds]
        mapping = load_mapping(study, image_id)
        drawn = draw(chosen, array, mapping, TWO.inference(), CPU, outlining)
        mask = np.asarray(Image.open(study / "masks" / "automatic" / f"{image_id}.png")) > 0
        assert np.array_equal(mask, drawn.mask)
        shown = read_probability(study / "masks" / "probability" / f"{image_id}.png")
        assert np.abs(shown - drawn.probability).max() <= 0.501 / 255
        alone = draw(chosen, array, mapping, TWO.inference(), CPU)
        differing += not np.array_equal(alone.mask, drawn.mask)
        found += drawn.mask.any()
    assert differing > 8
    assert found > 8


def test_masks_are_compared(copied: Path) -> None:
    agree(TWO, copied)
    table = pd.read_csv(copied / "agreement.csv")
    automatic = table[table["comparison"] == "automatic-manual"]
    assert len(automatic) == 16
    assert automatic["dice"].between(0, 1).all()
    assert automatic["ece_breast"].between(0, 1).all()
    assert (copied / "froc_summary.csv").exists()


def test_masks_depend_on_the_weights_of_the_second_stage(copied: Path) -> None:
    key = read_json(copied / "masks" / "segment.json")["key"]
    one = copied / "masks" / "automatic" / "P03-R-CC.png"
    stamp = one.stat().st_mtime_ns
    segment(TWO, copied)
    assert one.stat().st_mtime_ns == stamp
    outline = copied / OUTLINE
    for name in ("model.safetensors", "model.json"):
        shutil.copy(outline / "fold-1" / name, outline / "fold-0" / name)
    card = read_json(outline / "fold-0" / "model.json") | {"fold": 0}
    (outline / "fold-0" / "model.json").write_text(json.dumps(card))
    segment(TWO, copied)
    assert read_json(copied / "masks" / "segment.json")["key"] != key
    assert one.stat().st_mtime_ns != stamp


def test_missing_networks_of_the_second_stage_say_what_to_run(copied: Path) -> None:
    with pytest.raises(MammoroiError, match=r"no networks that outline at 0.5 mm.*run mammoroi tr"):
        segment(replace(TWO, outline_spacing_mm=0.5), copied)
    with pytest.raises(MammoroiError, match=r"windows of 16 x 32.*run mammoroi train"):
        segment(replace(TWO, outline_patch=(16, 32)), copied)
    shutil.rmtree(copied / OUTLINE / "fold-1")
    with pytest.raises(MammoroiError, match=r"outline lacks the networks.*run mammoroi train"):
        segment(TWO, copied)
    (copied / OUTLINE / "folds.csv").unlink()  # as where the networks alone were copied
    with pytest.raises(MammoroiError, match=r"holds 1 networks for the 2.*run mammoroi train"):
        segment(TWO, copied)
    with pytest.raises(MammoroiError, match="run mammoroi train"):
        segment_images(copied / "segmentation", [copied / "P00-L-CC.png"], copied / "new", 1.0)
    (copied / OUTLINE / "outline.json").unlink()
    with pytest.raises(MammoroiError, match=r"no networks that outline.*outline_spacing_mm to nul"):
        segment(TWO, copied)


def test_a_second_training_that_is_stopped_leaves_no_second_stage_of_other_pixels(
    copied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mammoroi.segmentation import train as training

    def stopped(config: SegmentationConfig, study: Path, place: str) -> Any:
        if place == OUTLINE:
            raise KeyboardInterrupt
        return train_folds(config, study, place)

    train_folds = training._train_folds
    monkeypatch.setattr(training, "_train_folds", stopped)
    with pytest.raises(KeyboardInterrupt):
        train(replace(TWO, outline_spacing_mm=0.5), copied)
    networks = copied / "segmentation"
    with pytest.raises(MammoroiError, match="lacks the networks that outline"):
        segment_images(networks, [copied / "P00-L-CC.png"], tmp_path / "new", 1.0)
    about = {"working_spacing_mm": 0.5, "patch": [32, 48]}
    write_json(networks / "outline" / "outline.json", about)
    with pytest.raises(MammoroiError, match=r"mm per pixel, its outline.json says 0.5"):
        load_outline(networks, 2)


def test_a_study_of_one_stage_stays_what_it_was(copied: Path, tmp_path: Path) -> None:
    once = replace(TWO, outline_spacing_mm=None)
    plain = write_study(tmp_path / "plain", patients=8, test=2, folds=2)
    train(once, plain)
    segment(once, plain)
    assert not (plain / OUTLINE).exists()
    weights = [copied / "segmentation" / f"fold-{fold}" / "model.safetensors" for fold in (0, 1)]
    stamps = [file.stat().st_mtime_ns for file in weights]
    train(once, copied)
    segment(once, copied)
    assert [file.stat().st_mtime_ns for file in weights] == stamps
    assert not (copied / OUTLINE / "outline.json").exists()
    assert (copied / OUTLINE / "fold-0" / "model.safetensors").exists()
    for name in ("masks/segment.json", "masks/predictions.csv", "masks/candidates.csv"):
        assert (copied / name).read_bytes() == (plain / name).read_bytes(), name
    # And back: what was trained is still there.
    stamp = (copied / OUTLINE / "fold-0" / "model.safetensors").stat().st_mtime_ns
    train(TWO, copied)
    assert (copied / OUTLINE / "fold-0" / "model.safetensors").stat().st_mtime_ns == stamp
    stage = load_outline(copied / "segmentation", 2)
    assert stage is not None
    assert stage.patch == (32, 48)


def test_new_mammograms_are_drawn_in_two_stages(trained: tuple[Path, Any], tmp_path: Path) -> None:
    study, _ = trained
    image = study / "P00-L-CC.png"  # of the test set: all networks draw it there, too
    assert not segment_images(study / "segmentation", [image], tmp_path / "new", SPACING_MM)
    drawn = np.asarray(Image.open(tmp_path / "new" / "P00-L-CC.png"))
    earlier = np.asarray(Image.open(study / "masks" / "automatic" / "P00-L-CC.png"))
    assert np.array_equal(drawn, earlier)
    spacings = [
        card["plan"]["working_spacing_mm"] for card in read_json(tmp_path / "new/models.json")
    ]
    assert spacings == [2.0, 2.0, 1.0, 1.0]


def test_a_copy_without_the_second_stage_does_not_draw(copied: Path, tmp_path: Path) -> None:
    image = copied / "P00-L-CC.png"
    for fold in ("fold-0", "fold-1"):
        shutil.copytree(copied / "segmentation" / fold, tmp_path / "networks" / fold)
    for networks in (tmp_path / "networks", tmp_path / "networks" / "fold-0"):
        with pytest.raises(MammoroiError, match=r"lacks the networks that outline at 1 mm.*whole"):
            segment_images(networks, [image], tmp_path / "new", SPACING_MM)
    train(replace(TWO, outline_spacing_mm=None), copied)
    assert not segment_images(
        copied / "segmentation" / "fold-0", [image], tmp_path / "new", SPACING_MM
    )


@pytest.mark.parametrize("place", ["outline", OUTLINE_FOLD])
def test_the_second_stage_does_not_draw_alone(copied: Path, tmp_path: Path, place: str) -> None:
    image, networks = copied / "P00-L-CC.png", copied / "segmentation" / place
    with pytest.raises(
        MammoroiError, match=r"second stage, .* not alone -> name the folder `segment"
    ):
        segment_images(networks, [image], tmp_path / "new", SPACING_MM)
    assert not (tmp_path / "new" / "predictions.csv").exists()


def test_two_stages_are_no_single_file(trained: tuple[Path, Any], tmp_path: Path) -> None:
    study, _ = trained
    with pytest.raises(MammoroiError, match="two stages, and an exported file holds one"):
        export(study / "segmentation", "torch-export", tmp_path / "out")


def test_an_exported_network_of_the_second_stage_says_that_it_sees_windows(
    trained: tuple[Path, Any], tmp_path: Path
) -> None:
    study, _ = trained
    second = study / "segmentation" / "outline" / "fold-0"
    out = export(second, "monai-bundle", tmp_path / "second")
    about = read_json(out / "preparation.json")
    assert about["sees"] == "windows of 32 x 48"
    assert about["canvas"] == [32, 48]
    assert (about["input"]["rows_at_least"], about["input"]["columns_at_least"]) == (32, 48)
    assert any(step.startswith("cut windows of 32 x 48") for step in about["before"])
    assert any("mean with the first stage's" in step for step in about["after"])
    steps = read_json(out / "configs" / "inference.json")["preprocessing"]["transforms"]
    assert [step["spatial_size"] for step in steps if "spatial_size" in step] == [[32, 48]]
    described = read_json(out / "configs" / "metadata.json")
    assert described["network_data_format"]["inputs"]["image"]["is_patch_data"] is True
    assert described["description"].startswith("U-Net on windows of the breast's box")
    assert read_json(out / "models.json") == [read_json(second / "model.json")]
    first = export(study / "segmentation" / "fold-0", "monai-bundle", tmp_path / "first")
    about = read_json(first / "preparation.json")
    assert about["sees"] == "the whole box"
    assert not any("windows" in step for step in about["before"] + about["after"])


def test_exports_of_both_stages_tell_one_way_to_the_mask(copied: Path, tmp_path: Path) -> None:
    """The first one's leaves off before calibrating; the second one's says what the study does."""
    config = replace(TWO, threshold=0.3, max_components=0, calibrate=True)
    train(config, copied)
    folder = copied / "segmentation"
    calibration = learnt_settings(folder, None)["calibration"]
    first, second = (
        read_json(export(place, "torch-export", tmp_path / name) / "preparation.json")
        for place, name in ((folder / "fold-0", "first"), (folder / OUTLINE_FOLD, "second"))
    )
    assert (first["stage"], second["stage"]) == ("first of two", "second of two")
    assert first["after"][-1].startswith("this network is the first of two stages")
    assert not {"threshold", "max_components", "calibration"} & first.keys()
    assert not any("calibrate the" in step or "lesion is" in step for step in first["after"])
    assert first["test_time_augmentation"] is second["test_time_augmentation"] is True
    noted = ("threshold", "max_components", "calibration")
    assert [second[name] for name in noted] == [0.3, 0, calibration]
    steps = [step.split(":")[0] for step in second["after"]]
    joined = next(n for n, step in enumerate(steps) if step.startswith("within windows"))
    assert [n for n, step in enumerate(steps) if step.startswith("calib")] == [joined + 1]
    assert "the lesion is where the probability is 0.3 or more" in steps
    assert read_json(folder / OUTLINE_FOLD / "model.json")["inference"]["threshold"] == 0.3
    alone = replace(TWO, outline_spacing_mm=None)
    train(alone, copied)
    about = export(folder / "fold-0", "torch-export", tmp_path / "alone") / "preparation.json"
    assert read_json(about)["stage"] == "only"
    assert read_json(about)["threshold"] == TWO.threshold


def test_post_processing_is_learnt_from_both_stages(
    copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, splits = copied / "segmentation", load_splits(copied)
    config = replace(TWO, postprocessing="learnt")
    index = read_csv(folder / "prepared" / "index.csv", dtype={"patient_id": str})
    index = index[index["has_mask"]]
    jobs = [fold_job(config, splits, fold, index) for fold in (0, 1)]
    normals = find_normals(config, folder, splits)
    learn(config, folder, jobs, normals)
    models, stage = load_models(folder), load_outline(folder, 2)
    assert stage is not None
    tried = grid(config)
    scores: list[list[np.ndarray]] = [[], []]
    for fold in (0, 1):
        for image_id, _ in validation_images(jobs, fold):
            array = np.load(folder / "prepared" / f"{image_id}.npy")
            outlining = stage.of_prepared(copied, image_id, [fold])
            members = probabilities(models[fold], array, config.inference(), CPU)
            mean = np.mean(refined(members, outlining, config.inference(), CPU), axis=0)
            manual = np.load(copied / OUTLINE / "prepared" / f"{image_id}.mask.npy") > 0
            area = outlining.mapping.working_pixel_area_mm2
            scores[fold].append(dice_of_settings(mean, manual, area, tried))
    for fold in (0, 1):
        assert learnt_settings(folder, fold) == choose(np.array(scores[1 - fold]), tried).settings()
    # Other weights of the second stage: it is learnt again.
    before = read_json(folder / "postprocessing.json")["key"]
    patched: Callable[..., Any] = lambda *_: ["other weights"]  # noqa: E731
    monkeypatch.setattr(type(stage), "digest", patched)
    learn(config, folder, jobs, normals)
    assert read_json(folder / "postprocessing.json")["key"] != before

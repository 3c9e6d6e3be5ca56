"""Whole batches are changed on the device as MONAI changes an image, and learn the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from mammoroi.segmentation.data import Augmentation
from mammoroi.segmentation.device_augmentation import (
    Windows,
    augment_batch,
    blurred,
    coarsened,
    for_host,
    on_device,
)
from mammoroi.segmentation.draws import (
    BEND_SPACING,
    CURVE_POINTS,
    KINDS,
    affine_matrix,
    draw_changes,
    grey_curve,
    window_size,
)
from mammoroi.segmentation.mixing import LesionMixing
from mammoroi.segmentation.prepare import prepare
from mammoroi.segmentation.store import ArrayStore
from mammoroi.segmentation.weights import load_model

from .conftest import power_cut
from .tiny import TINY, run_fold

ON_DEVICE = replace(
    TINY, augment_on="device", augmentation="strong", lesion_mixing=0.5, patch=(32, 16)
)


IDS = ["P02-L-CC", "P03-R-MLO", "P04-L-CC"]


CANVAS = (64, 32)


def identity(images: int) -> torch.Tensor:
    return torch.from_numpy(affine_matrix(False, 0, (1, 1), (0, 0))).repeat(images, 1, 1)


@pytest.mark.parametrize("flip", [False, True])
def test_the_batch_is_moved_as_monai_moves_an_image(flip: bool) -> None:
    from monai.transforms.intensity.array import AdjustContrast
    from monai.transforms.spatial.array import Affine

    image = torch.rand(1, 64, 48, generator=torch.manual_seed(1)).half()
    mask = image > 0.5
    batch = {
        "image": image[None],
        "mask": mask[None].to(torch.uint8),
        "affine": torch.from_numpy(affine_matrix(flip, 0.15, (1.1, 0.9), (3, -5), (0.1, 0.05)))[
            None
        ],
        "grey": torch.tensor([[1.2, 1.05, 0]]),
        "seed": 1,
    }
    moved = augment_batch(batch, (64, 48))
    for name, before, mode in (("image", image.float(), "bilinear"), ("mask", mask, "nearest")):
        move = Affine(
            rotate_params=0.15,
            shear_params=(0.1, 0.05),
            translate_params=(3, -5),
            scale_params=(1.1, 0.9),
            mode=mode,
            padding_mode="zeros",
        )
        expected, _ = move((before.flip(1) if flip else before).float())
        if name == "image":
            expected = AdjustContrast(1.2)(expected) * 1.05
        torch.testing.assert_close(
            moved[name][0], expected.as_subclass(torch.Tensor), atol=1e-4, rtol=0
        )


def test_an_unchanged_patch_is_the_middle_of_its_window() -> None:
    patch = (32, 16)
    rows, columns = window_size(patch, KINDS["strong"])
    image = torch.rand(2, 1, rows, columns).half()
    top, left = (rows - 32) // 2, (columns - 16) // 2
    middle = image[:, :, top : top + 32, left : left + 16].float()
    batch = {"image": image, "mask": (image > 0.5).to(torch.uint8), "affine": identity(2)}
    batch |= {"grey": torch.tensor([[1.0, 1, 0]] * 2), "seed": 0}
    local = {
        "bend": torch.zeros(2, 2, 3, 3),
        "curve": torch.from_numpy(grey_curve(None)).repeat(2, 1),
        "blur": torch.zeros(2, 2),
        "zoom": [1.0, 1.0],
    }
    for changes in ({}, local):
        out = augment_batch(batch | changes, patch)
        torch.testing.assert_close(out["image"], middle, atol=1e-4, rtol=0)
        assert out["mask"].equal((middle > 0.5).float())


@pytest.mark.parametrize("kind", ["full", "strong"])
def test_a_turned_patch_shows_what_lies_around_it(kind: str) -> None:
    patch, ranges = (64, 32), KINDS[kind]
    ones = torch.ones(1, 1, *window_size(patch, ranges))
    size, far = 1 + ranges.scale, ranges.shift_pixels
    for sign in (1, -1):
        matrix = affine_matrix(
            *(False, sign * ranges.turn_rad, (size, size), (sign * far, sign * far)),
            shear=(sign * ranges.shear, sign * ranges.shear),
        )
        batch = {"image": ones, "mask": ones, "affine": torch.from_numpy(matrix)[None]}
        out = augment_batch({**batch, "grey": torch.tensor([[1.0, 1, 0]]), "seed": 0}, patch)
        assert out["mask"].all()


def test_points_that_all_shift_alike_shift_the_image() -> None:
    image = torch.rand(1, 1, 64, 48)
    bend = torch.zeros(1, 2, 4, 3)
    bend[:, 0], bend[:, 1] = 2, -3  # rows, columns
    batch = {"image": image, "mask": image > 0.5, "affine": identity(1), "bend": bend, "seed": 0}
    batch |= {
        "grey": torch.tensor([[1.0, 1, 0]]),
        "curve": torch.from_numpy(grey_curve(None))[None],
        "blur": torch.zeros(1, 2),
        "zoom": [1.0],
    }
    out = augment_batch(batch, (64, 48))["image"]
    torch.testing.assert_close(out[..., :62, 3:], image[..., 2:, :45], atol=1e-3, rtol=0)
    assert BEND_SPACING * 4 >= 64 + BEND_SPACING


def test_images_are_blurred_and_coarsened_as_by_monai() -> None:
    from monai.transforms.intensity.array import GaussianSmooth
    from monai.transforms.spatial.array import Resize

    image = torch.rand(3, 1, 40, 30, generator=torch.manual_seed(1))
    blurry = blurred(image, torch.tensor([[0.6, 1.0], [0.0, 0.0], [0.9, 0.5]]))
    assert blurry[1].allclose(image[1], atol=1e-6)
    for number, sigma in ((0, (0.6, 1.0)), (2, (0.9, 0.5))):
        expected = GaussianSmooth(sigma, approx="erf")(image[number])
        torch.testing.assert_close(blurry[number], expected, atol=1e-3, rtol=0)
    coarse = coarsened(image, [1.0, 0.6, 1.0])
    assert coarse[0].equal(image[0])
    small = Resize((24, 18), mode="nearest")(image[1])
    expected = Resize((40, 30), mode="bilinear")(small).as_subclass(torch.Tensor)
    torch.testing.assert_close(coarse[1], expected, atol=1e-5, rtol=0)


def test_grey_curves_rise_and_are_read_between_their_points() -> None:
    far = [grey_curve(np.random.default_rng(seed)) for seed in range(200)] - grey_curve(None)
    assert 0.2 < far.max() <= 0.25  # at most where the next of five points was
    curves = np.stack([grey_curve(np.random.default_rng(seed)) for seed in range(5)])
    assert (np.diff(curves) >= 0).all()
    assert (curves[:, 0] == 0).all()
    assert (curves[:, -1] == 1).all()
    image = torch.rand(5, 1, 20, 20) * 0.5 + 0.2
    batch = {"image": image, "mask": image > 0.5, "affine": identity(5), "seed": 0}
    batch |= {
        "bend": torch.zeros(5, 2, 3, 3),
        "grey": torch.tensor([[1.0, 1, 0]] * 5),
        "curve": torch.from_numpy(curves),
        "blur": torch.zeros(5, 2),
        "zoom": [1.0] * 5,
    }
    out = augment_batch(batch, (20, 20))["image"].numpy()
    line = np.linspace(0, 1, CURVE_POINTS)
    for before, after, curve in zip(image.numpy(), out, curves, strict=True):
        low, high = before.min(), before.max()
        expected = np.interp((before - low) / (high - low), line, curve) * (high - low) + low
        np.testing.assert_allclose(after, expected, atol=1e-4)


@pytest.mark.parametrize("kind", list(KINDS))
def test_changes_stay_within_their_ranges(kind: str) -> None:
    ranges, generator = KINDS[kind], np.random.default_rng(3)
    drawn = [draw_changes(generator, ranges, (96, 48)) for _ in range(300)]
    grey = np.stack([one["grey"] for one in drawn])
    assert ranges.gamma[0] <= grey[:, 0].min() <= grey[:, 0].max() <= ranges.gamma[1]
    assert abs(grey[:, 1] - 1).max() <= ranges.factor + 1e-6
    assert (grey[:, 0] != 1).mean() == pytest.approx(ranges.bent, abs=0.1)
    assert (grey[:, 2] > 0).mean() == pytest.approx(ranges.noise, abs=0.1)
    flipped = np.stack([one["affine"][0, 0] < 0 for one in drawn]).mean()
    assert flipped == pytest.approx(0.5, abs=0.1)
    if ranges.local:
        assert abs(np.stack([one["bend"] for one in drawn])).max() <= ranges.bend_pixels
        assert min(one["zoom"] for one in drawn) >= 0.5


@pytest.mark.parametrize("kind", ["full", "strong"])
def test_the_host_draws_from_the_same_ranges(kind: str) -> None:
    ranges = KINDS[kind]
    host = {type(one).__name__: one for one in Augmentation(3, kind, None).changes.transforms}
    place = host["RandAffined"].rand_affine.rand_affine_grid
    assert host["RandAffined"].prob == ranges.place
    assert place.rotate_range == (ranges.turn_rad,)
    assert place.shear_range == ((ranges.shear,) * 2 if ranges.shear else (None,))
    assert place.scale_range == (ranges.scale,) * 2
    assert place.translate_range == (ranges.shift_pixels,) * 2
    contrast, noise = host["RandAdjustContrastd"], host["RandGaussianNoised"]
    assert (contrast.prob, contrast.adjuster.gamma) == (ranges.bent, ranges.gamma)
    scaled = host["RandScaleIntensityd"]
    assert (scaled.prob, scaled.scaler.factors[1]) == (ranges.scaled, ranges.factor)
    assert (noise.prob, noise.rand_gaussian_noise.std) == (ranges.noise, ranges.noise_sd)
    local = {"Rand2DElasticd": ranges.bend, "RandHistogramShiftd": ranges.curve}
    local |= {"RandGaussianSmoothd": ranges.blur, "RandSimulateLowResolutiond": ranges.coarse}
    assert {name: host[name].prob if name in host else 0 for name in local} == local
    if ranges.local:
        grid = host["Rand2DElasticd"].rand_2d_elastic.deform_grid
        assert (grid.magnitude, grid.spacing[0]) == ((0, ranges.bend_pixels), BEND_SPACING)


def test_places_are_drawn_to_all_sides() -> None:
    """The matrices without the flip: rows and columns are scaled and moved apart."""
    generator = np.random.default_rng(3)
    drawn = np.stack(
        [draw_changes(generator, KINDS["full"], (96, 48))["affine"] for _ in range(400)]
    )
    drawn[drawn[:, 0, 0] < 0, 0] *= -1
    moved = drawn[(drawn[:, :, 2] != 0).all(axis=1)]
    rows, columns = (
        np.hypot(moved[:, 0, 0], moved[:, 1, 0]),
        np.hypot(moved[:, 0, 1], moved[:, 1, 1]),
    )
    turn = np.arctan2(moved[:, 1, 0], moved[:, 0, 0])
    for values, largest in ((rows - 1, 0.15), (columns - 1, 0.15), (turn, 0.2)):
        assert abs(values).max() == pytest.approx(largest, rel=0.03)
        assert values.mean() == pytest.approx(0, abs=0.1 * largest)
    assert abs(np.corrcoef(rows, columns)[0, 1]) < 0.2


def test_noise_has_the_drawn_size_and_the_seed_decides_it() -> None:
    flat = torch.full((2, 1, 64, 64), 0.5)
    batch = {"image": flat, "mask": flat.to(torch.uint8), "affine": identity(2)}
    batch["grey"] = torch.tensor([[1, 1, 0.02], [1, 1, 0]])
    one, two, other = (augment_batch({**batch, "seed": s}, (64, 64))["image"] for s in (7, 7, 8))
    assert one.equal(two)
    assert not one.equal(other)
    assert float(one[0].std()) == pytest.approx(0.02, rel=0.05)
    assert float(one[1].std()) < 1e-6


@pytest.mark.parametrize("patch", [None, (32, 16)])
def test_a_window_depends_on_seed_epoch_and_number_alone(
    study: Path, patch: tuple[int, int] | None
) -> None:
    arrays = ArrayStore(prepare(TINY, study), IDS, CANVAS)
    one, other = (Windows(arrays, 5, "full", patch) for _ in range(2))
    other[(0, 0)]
    for name in ("image", "mask", "affine", "grey"):
        assert one[(3, 1)][name].equal(other[(3, 1)][name])
    assert one[(3, 1)]["seed"] == other[(3, 1)]["seed"]
    assert not one[(3, 1)]["affine"].equal(one[(4, 1)]["affine"])
    size = window_size(patch, KINDS["full"]) if patch else CANVAS
    assert one[(3, 1)]["image"].shape == (1, *size)


def test_lesions_of_others_are_mixed_in_before_the_crop(study: Path) -> None:
    arrays = ArrayStore(prepare(TINY, study), IDS, CANVAS)
    plain = Windows(arrays, 5, "flips", None)
    mixed = Windows(arrays, 5, "flips", None, LesionMixing(1.0, 5))
    pairs = [(plain[(epoch, 0)]["mask"], mixed[(epoch, 0)]["mask"]) for epoch in range(10)]
    assert all(bool((after >= before).all()) for before, after in pairs)
    assert sum(int(after.sum() > before.sum()) for before, after in pairs) >= 3
    assert mixed[(0, 0)]["image"].dtype == plain[(0, 0)]["image"].dtype == torch.float16


def test_half_of_the_patches_are_drawn_around_a_lesion_pixel(study: Path) -> None:
    arrays = ArrayStore(prepare(TINY, study), IDS, CANVAS)
    windows = Windows(arrays, 5, "flips", (16, 16))
    masks = torch.stack([windows[(epoch, 0)]["mask"] for epoch in range(200)])
    share = float(masks.flatten(1).any(1).float().mean())
    assert 0.5 <= share < 0.95


def test_the_device_is_taken_where_it_can() -> None:
    assert on_device(TINY, "gpu")
    assert not on_device(TINY, "cpu")
    assert not on_device(replace(TINY, augment_on="host"), "gpu")
    assert on_device(replace(TINY, augment_on="device"), "cpu")
    assert TINY.training() == replace(TINY, compile="auto", workers=3).training()
    assert TINY.training() != replace(TINY, augment_on="device").training()


def test_loader_processes_change_nothing(study: Path) -> None:
    folder = prepare(TINY, study)
    windows = Windows(ArrayStore(folder, IDS, CANVAS), 5, "strong", (32, 16))
    items = [(1, 0), (1, 2), (1, 1)]
    batches = [
        next(iter(torch.utils.data.DataLoader(windows, 3, sampler=items, num_workers=workers)))
        for workers in (0, 2)
    ]
    for name, values in batches[0].items():
        assert values.equal(batches[1][name]), name
    kept = for_host(batches[0])
    assert isinstance(kept["seed"], int)
    assert len(kept["zoom"]) == 3
    out = augment_batch(kept, (32, 16))
    assert out["image"].shape == out["mask"].shape == (3, 1, 32, 16)
    assert out["image"].isfinite().all()


def test_four_epochs_are_two_and_two_more_with_the_batch_augmented(study: Path) -> None:
    target = run_fold(study, ON_DEVICE)
    whole = pd.read_csv(target / "history.csv")
    model = load_model(target)
    for name in ("model.json", "model.safetensors", "history.csv"):
        (target / name).unlink()

    with power_cut():
        run_fold(study, ON_DEVICE)
    run_fold(study, ON_DEVICE)
    pd.testing.assert_frame_equal(pd.read_csv(target / "history.csv"), whole)
    again = load_model(target).network.state_dict()
    for name, tensor in model.network.state_dict().items():
        assert tensor.equal(again[name]), name


def test_sums_of_the_affine_matrix() -> None:
    matrix = affine_matrix(True, 0.0, (2.0, 3.0), (4.0, 5.0))
    assert np.array_equal(matrix, np.array([[-2, 0, -4], [0, 3, 5]], np.float32))

"""Crops near lesions: where they lie, and that a training on them can be interrupted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mammoroi.segmentation.crops import near_lesions
from mammoroi.segmentation.data import LesionPart

from .conftest import power_cut


def test_crops_show_lesions_away_from_the_middle_and_the_breast() -> None:
    image = np.zeros((90, 70), np.float16)
    image[:, :40] = 0.5
    mask = np.zeros((90, 70), np.uint8)
    mask[50:53, 20:23] = 1
    places = []
    for seed in range(2000):
        top, left = near_lesions(image, mask, (32, 32), (96, 96), np.random.default_rng(seed))
        assert 0 <= top <= 64
        assert 0 <= left <= 64
        centre = top + 16, left + 16
        if abs(centre[0] - 51) <= 9 and abs(centre[1] - 21) <= 9:
            places.append(centre)
        assert image[top : top + 32, left : left + 32].any(), "a crop without breast"
    assert 0.73 < len(places) / 2000 < 0.85  # three quarters, and others by chance
    assert np.ptp(places, axis=0).min() >= 13  # jittered, up to the canvas' edge
    # Without a lesion, or without a breast, there is still a crop.
    empty = np.zeros_like(mask)
    assert near_lesions(image, empty, (96, 96), (96, 96), np.random.default_rng(0)) == (0, 0)
    assert near_lesions(0 * image, empty, (96, 96), (96, 96), np.random.default_rng(0)) == (0, 0)


def test_the_chosen_pixel_lies_up_to_a_quarter_of_each_side_from_the_centre() -> None:
    image, mask = np.zeros((2, 300, 200), np.uint8)
    image[150, 100] = mask[150, 100] = 1
    corners = [
        near_lesions(image, mask, (64, 16), (304, 208), np.random.default_rng(seed))
        for seed in range(400)
    ]
    away = np.array([150, 100]) - np.array(corners) - (32, 8)
    assert away.max(axis=0).tolist() == [16, 4]
    assert away.min(axis=0).tolist() == [-16, -4]
    assert np.abs(away).mean(axis=0) == pytest.approx((8, 2), rel=0.1)  # evenly


def test_the_tuning_part_has_the_lesions_in_the_middle() -> None:
    mask = torch.zeros(1, 96, 64)
    mask[0, 60:70, 30:40] = 1
    case = LesionPart((32, 32))({"image": mask / 2, "mask": mask}, 0, 0)
    assert case["mask"].shape == case["image"].shape == (1, 32, 32)
    assert case["mask"].sum() == 100
    assert case["mask"][0, 11:21, 11:21].all()


@pytest.mark.parametrize("augment_on", ["host", "device"])
def test_lesion_crops_interrupted_and_resumed(study: Path, augment_on: str) -> None:
    from .test_train import TINY, run_fold

    config = replace(TINY, patch=(32, 16), crops="lesions", augment_on=augment_on)
    target = run_fold(study, config)
    weights = (target / "model.safetensors").read_bytes()
    history = (target / "history.csv").read_text()
    for name in ("model.json", "model.safetensors", "history.csv"):
        (target / name).unlink()

    with power_cut():
        run_fold(study, config)
    run_fold(study, config)
    assert (target / "model.safetensors").read_bytes() == weights
    assert (target / "history.csv").read_text() == history

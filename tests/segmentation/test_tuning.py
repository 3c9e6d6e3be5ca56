"""What the tuning images cost, and that it does not show in their Dice."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch

from mammoroi.segmentation import module
from mammoroi.segmentation.module import SegmentationModule
from mammoroi.segmentation.trainer import PreparedData

from .tiny import TINY, run_fold

Shapes = list[tuple[int, ...]]
HALF = replace(TINY, tuning_fraction=0.5)
"""Four images of 48 x 32 pixels train, four tune."""


@pytest.fixture
def shapes(monkeypatch: pytest.MonkeyPatch) -> Shapes:
    """Of every batch of tuning images."""
    seen: Shapes = []
    step = SegmentationModule.validation_step

    def counted(self: SegmentationModule, batch: dict[str, torch.Tensor], number: int) -> None:
        seen.append(tuple(batch["image"].shape))
        step(self, batch, number)

    monkeypatch.setattr(SegmentationModule, "validation_step", counted)
    return seen


def test_a_tuning_batch_is_no_larger_than_a_training_batch_and_its_dice_is_the_same(
    study: Path, monkeypatch: pytest.MonkeyPatch, shapes: Shapes
) -> None:
    monkeypatch.setattr(module, "TUNING_THRESHOLD", 1e-6)
    config = replace(HALF, patch=(32, 32), epochs=2)
    target = run_fold(study, config)
    few = pd.read_csv(target / "history.csv")
    assert shapes == [(2, 1, 48, 32)] * 4
    assert 2 * 48 * 32 <= config.batch_size * 32 * 32 < 3 * 48 * 32

    shapes.clear()
    (target / "model.json").unlink()
    loader = PreparedData._loader
    monkeypatch.setattr(
        PreparedData,
        "_loader",
        lambda self, images, _, *rest: loader(self, images, self.batch_size, *rest),
    )
    many = pd.read_csv(run_fold(study, config) / "history.csv")
    assert shapes == [(4, 1, 48, 32)] * 2
    assert few["tuning_dice"].gt(0).all()
    for name in ("tuning_dice", "train_loss"):
        pd.testing.assert_series_equal(few[name], many[name], rtol=1e-6)


@pytest.mark.parametrize(("patch", "count"), [(None, 4), ((16, 32), 1), ((512, 512), 4)])
def test_whole_images_are_as_many_as_in_training_and_there_is_always_one(
    study: Path, shapes: Shapes, patch: tuple[int, int] | None, count: int
) -> None:
    run_fold(study, replace(HALF, patch=patch, epochs=1))
    assert max(number for number, *_ in shapes) == count

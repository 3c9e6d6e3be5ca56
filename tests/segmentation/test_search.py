"""Batch size and learning rate are found once and kept."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from mammoroi.errors import MammoroiError
from mammoroi.files import read_json
from mammoroi.segmentation import search, trainer
from mammoroi.segmentation.module import SegmentationModule

from .tiny import TINY, first_fold


def test_the_largest_power_of_two_that_fits_is_found(
    study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stand-in for a GPU whose memory holds four images: PyTorch's error, on the CPU."""
    folder, job, plan = first_fold(study, TINY)
    many = replace(job, training=job.training * 20)
    step, sizes = SegmentationModule.training_step, []

    def training_step(self: SegmentationModule, batch: dict, number: int) -> torch.Tensor:
        sizes.append(len(batch["image"]))
        if sizes[-1] > 4:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory.")
        return step(self, batch, number)

    build = search._trainer
    monkeypatch.setattr(search, "_trainer", lambda config, _, work: build(config, "cpu", work))
    monkeypatch.setattr(trainer, "choose_accelerator", lambda _: "gpu")
    monkeypatch.setattr(SegmentationModule, "training_step", training_step)
    config = replace(TINY, find_batch_size=True, accelerator="auto", accumulate=4)
    assert search.find(config, folder, many, plan)["batch_size"] == 4
    assert sorted(set(sizes)) == [1, 2, 4, 8]
    few = replace(job, training=job.training * 4)  # 16 images: a batch of 2 leaves 8 steps
    assert search.find(config, folder, few, plan)["batch_size"] == 2
    assert not (folder / ".search").exists()


def test_a_gpu_that_holds_no_image_is_said(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, job, plan = first_fold(study, TINY)

    def training_step(*_: object) -> None:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory.")

    build = search._trainer
    monkeypatch.setattr(search, "_trainer", lambda config, _, work: build(config, "cpu", work))
    monkeypatch.setattr(trainer, "choose_accelerator", lambda _: "gpu")
    monkeypatch.setattr(SegmentationModule, "training_step", training_step)
    config = replace(TINY, find_batch_size=True, accelerator="auto")
    with pytest.raises(MammoroiError, match="not enough for a single image"):
        search.find(config, folder, job, plan)


def test_a_learning_rate_is_found_once_and_kept(
    study: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    config = replace(TINY, find_learning_rate=True)
    folder, job, plan = first_fold(study, config)
    found = search.with_found(config, folder, job, plan, 1)
    assert search.RATES[0] < found.learning_rate < search.RATES[1]
    assert found.batch_size == config.batch_size
    assert read_json(folder / "found.json")["learning_rate"] == found.learning_rate
    monkeypatch.setattr(search, "find", None)
    assert search.with_found(config, folder, job, plan, 1) == found
    monkeypatch.undo()
    search.find(replace(TINY, find_batch_size=True), folder, job, plan)
    assert "batch_size stays 4" in caplog.text


def test_settings_without_a_search_are_left_alone(tmp_path: Path) -> None:
    assert search.with_found(TINY, tmp_path, None, {}, 1) is TINY  # type: ignore[arg-type]

"""Restoration of distorted images before a fold's training."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from lightning import seed_everything
from safetensors.torch import load_file

from mammoroi.cohort.split import load_splits
from mammoroi.files import read_csv
from mammoroi.segmentation import store
from mammoroi.segmentation.config import SegmentationConfig
from mammoroi.segmentation.data import PreparedImages
from mammoroi.segmentation.distortion import Distortion
from mammoroi.segmentation.fold_jobs import FoldJob, fold_job, make_plan
from mammoroi.segmentation.folds import NetworkName
from mammoroi.segmentation.module import SegmentationModule
from mammoroi.segmentation.network import HEADS
from mammoroi.segmentation.prepare import prepare
from mammoroi.segmentation.pretraining import RestorationModule, pretrain
from mammoroi.segmentation.progress import bars
from mammoroi.segmentation.train import train_fold
from mammoroi.segmentation.weights import load_model

TINY = SegmentationConfig(
    working_spacing_mm=2.0,
    channels=(4, 4, 8, 8, 8),
    epochs=2,
    pretraining_epochs=2,
    batch_size=4,
    tuning_fraction=0.3,
    patience=0,
    accelerator="cpu",
    workers=1,
)


class Killed(BaseException):
    pass


def job_of(study: Path, config: SegmentationConfig = TINY) -> tuple[Path, FoldJob, dict]:
    folder = prepare(config, study).parent
    index = read_csv(folder / "prepared" / "index.csv", dtype={"patient_id": str})
    index = index[index["patient_id"].isin(load_splits(study).train)]
    return folder, fold_job(config, load_splits(study), 0, index), make_plan(config, index)


def run_fold(study: Path, config: SegmentationConfig = TINY) -> Path:
    folder, job, plan = job_of(study, config)
    return train_fold(config, folder, job, plan)


@pytest.fixture
def half_masked(study: Path) -> Path:
    """The study, whose MLO images have no masks."""
    table = pd.read_csv(study / "cohort.csv", dtype=str)
    table.loc[table["view"] == "MLO", ["mask", "mask_reader2"]] = ""
    table.to_csv(study / "cohort.csv", index=False)
    return study


def test_only_images_of_training_patients_are_restored_and_those_without_a_mask_too(
    half_masked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, job, plan = job_of(half_masked)
    read: set[str] = set()
    load = store.load_array

    def note(path: Path, mapped: bool = False) -> np.ndarray:
        read.add(path.name)
        return load(path, mapped)

    monkeypatch.setattr(store, "load_array", note)
    pretrain(TINY, folder, job, plan)
    cohort = pd.read_csv(half_masked / "cohort.csv", dtype=str)
    allowed = set(cohort.loc[cohort["patient_id"].isin(job.sets.training), "image_id"])
    assert len(allowed) == 2 * len(job.sets.training) > 0
    assert read == {f"{image_id}.npy" for image_id in allowed}
    splits = load_splits(half_masked)
    others = {*job.sets.tuning, *job.sets.validation, *splits.test}
    assert not others & {name[:3] for name in read}

    target = train_fold(TINY, folder, job, plan)
    assert load_model(target).card["pretraining"] == {
        "epochs": 2,
        "images": len(allowed),
        "images_without_mask": len(allowed) // 2,
        "loss": read_csv(target / "pretraining.csv")["train_loss"].iloc[-1],
    }
    assert load_model(target).card["n_training_images"] == len(allowed) // 2


def test_another_image_without_a_mask_trains_again(half_masked: Path) -> None:
    folder, job, plan = job_of(half_masked)
    config = replace(TINY, epochs=1, pretraining_epochs=1)
    keys = [
        load_model(train_fold(config, folder, one, plan)).card["key"]
        for one in (job, replace(job, unmasked=job.unmasked[1:]))
    ]
    assert keys[0] != keys[1]
    assert not fold_job(
        replace(TINY, pretraining_epochs=0),
        load_splits(half_masked),
        0,
        read_csv(folder / "prepared" / "index.csv", dtype={"patient_id": str}),
    ).unmasked


@pytest.mark.parametrize("patch", [None, (32, 16)])
def test_the_loss_of_restoration_falls(study: Path, patch: tuple[int, int] | None) -> None:
    config = replace(TINY, pretraining_epochs=12, patch=patch, learning_rate=0.01, batch_size=2)
    folder, job, plan = job_of(study, config)
    pretrain(config, folder, job, plan)
    history = pd.read_csv(folder / "fold-0" / "pretraining.csv")
    assert history["epoch"].tolist() == list(range(12))
    assert history["train_loss"].iloc[-3:].mean() < 0.6 * history["train_loss"].iloc[0]


@pytest.mark.parametrize("architecture", list(HEADS))
def test_the_training_starts_from_all_but_the_last_layer(
    study: Path, monkeypatch: pytest.MonkeyPatch, architecture: str
) -> None:
    config = replace(
        TINY, architecture=architecture, decoder_channels=(8, 8, 8, 8, 8), pretraining_epochs=1
    )
    found = {}

    def look(self: SegmentationModule) -> None:
        if not isinstance(self, RestorationModule):
            found.update({k: v.clone() for k, v in self.network.state_dict().items()})
            raise Killed

    monkeypatch.setattr(SegmentationModule, "on_train_start", look)
    with pytest.raises(Killed):
        run_fold(study, config)
    kept = load_file(study / "segmentation" / "fold-0" / "pretrained.safetensors")
    seed_everything(config.seed, verbose=False)
    fresh = SegmentationModule(config).network.state_dict()
    head = {name for name in found if name.startswith(HEADS[architecture])}
    assert kept.keys() == found.keys() - head
    assert all(tensor.equal(found[name]) for name, tensor in kept.items())
    assert all(found[name].equal(fresh[name]) for name in head)
    assert any(not tensor.equal(fresh[name]) for name, tensor in kept.items())
    assert len(head) == 2


def kill_in(
    monkeypatch: pytest.MonkeyPatch, study: Path, kind: type, epoch: int, config: SegmentationConfig
) -> None:
    def stop(self: SegmentationModule) -> None:
        if type(self) is kind and self.current_epoch == epoch:
            raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(SegmentationModule, "on_train_epoch_start", stop)
        with pytest.raises(Killed):
            run_fold(study, config)


@pytest.mark.parametrize("settings", [{}, {"patch": (32, 16), "ema_decay": 0.9, "accumulate": 2}])
def test_killed_and_resumed_it_is_the_uninterrupted_one_bit_for_bit(
    half_masked: Path, monkeypatch: pytest.MonkeyPatch, settings: dict
) -> None:
    study, config = half_masked, replace(TINY, **settings)
    target = run_fold(study, config)
    files = sorted(path.name for path in target.iterdir())
    tables = ["history.csv", "learned_from.csv", "pretraining.csv"]
    assert files == sorted([*tables, "model.json", "model.safetensors"])
    whole = load_model(target).network.state_dict()
    before = [(target / name).read_text() for name in tables]
    shutil.rmtree(target)

    kill_in(monkeypatch, study, RestorationModule, 1, config)
    assert (target / "pretraining.ckpt").exists()
    assert not (target / "pretrained.safetensors").exists()
    kill_in(monkeypatch, study, SegmentationModule, 0, config)
    assert not (target / "pretraining.ckpt").exists()
    stamp = (target / "pretrained.safetensors").stat().st_mtime_ns
    kill_in(monkeypatch, study, SegmentationModule, 1, config)
    assert (target / "pretrained.safetensors").stat().st_mtime_ns == stamp

    again = load_model(run_fold(study, config)).network.state_dict()
    assert all(tensor.equal(again[name]) for name, tensor in whole.items())
    assert [(target / name).read_text() for name in tables] == before
    assert sorted(path.name for path in target.iterdir()) == files


def test_a_damaged_result_is_said_and_made_again(
    study: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder, job, plan = job_of(study)
    pretrain(TINY, folder, job, plan)
    file = folder / "fold-0" / "pretrained.safetensors"
    whole = file.read_bytes()
    file.write_bytes(whole[:100])
    pretrain(TINY, folder, job, plan)
    assert file.read_bytes() == whole
    assert "pretrained.safetensors cannot be read, the pre-training starts again" in caplog.text


def test_a_distortion_depends_on_seed_epoch_and_number_alone(half_masked: Path) -> None:
    folder = prepare(TINY, half_masked)
    ids = ["P02-L-MLO", "P03-R-CC"]
    one, other = (
        PreparedImages(folder, ids, (64, 32), Distortion(5, (32, 16), (64, 32)), masked=False)
        for _ in range(2)
    )
    plain = PreparedImages(folder, ids, (64, 32), masked=False)
    other[(0, 0)]
    changed = 0
    for epoch in range(8):
        item, again = one[(epoch, 1)], other[(epoch, 1)]
        assert item["image"].equal(again["image"])
        assert item["image"].shape == item["mask"].shape == (1, 32, 16)
        assert type(item["image"]) is torch.Tensor
        assert 0 <= item["image"].min() <= item["image"].max() <= 1
        whole = plain[(0, 1)]["image"]
        crops = torch.cat([whole, whole.flip(1)]).unfold(1, 32, 1).unfold(2, 16, 1)
        same = (crops == item["mask"][0]).all(-1).all(-1)
        assert same.any()  # what is to be restored is a piece of the image, upside down or not
        assert (item["mask"] > 0).any()
        changed += not item["image"].equal(item["mask"])
    assert changed >= 7


def test_the_bars_say_that_images_are_restored(tmp_path: Path) -> None:
    (tmp_path / "fold-0").mkdir()
    (tmp_path / "fold-0" / "pretraining.csv").write_text("epoch,train_loss\n0,0.5\n1,0.4\n")
    cells = [list(column.cells) for column in bars(tmp_path, [NetworkName(0)], epochs=9).columns]
    assert cells[3] == ["restores images, 2 epochs so far"]

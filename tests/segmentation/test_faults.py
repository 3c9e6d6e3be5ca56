"""Trainings that are stopped, damaged, starved: what survives, what is said, what stays equal."""

from __future__ import annotations

import errno
import hashlib
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
import pytest
import torch

from mammoroi.cohort.split import load_splits
from mammoroi.errors import MammoroiError
from mammoroi.files import read_csv, read_json
from mammoroi.lock import held
from mammoroi.segmentation import module as module_of_training
from mammoroi.segmentation import train as training
from mammoroi.segmentation.checkpoint import usable
from mammoroi.segmentation.config import SegmentationConfig
from mammoroi.segmentation.data import PreparedImages
from mammoroi.segmentation.fit import memory_ran_out
from mammoroi.segmentation.fold_jobs import fold_job, make_plan
from mammoroi.segmentation.folds import NetworkName
from mammoroi.segmentation.module import SegmentationModule
from mammoroi.segmentation.prepare import prepare
from mammoroi.segmentation.side_by_side import ORPHAN_S
from mammoroi.segmentation.weights import load_model

TINY = SegmentationConfig(
    working_spacing_mm=2.0,
    channels=(4, 4, 8, 8, 8),
    epochs=4,
    batch_size=4,
    learning_rate=0.01,
    tuning_fraction=0.3,
    patience=0,
    accelerator="cpu",
    workers=1,
)
Patch = pytest.MonkeyPatch


class PowerCutError(Exception):
    """Ends a training where a test wants it to end."""


def run_fold(study: Path, config: SegmentationConfig = TINY) -> Path:
    folder = study / "segmentation"
    if not (folder / "prepared").exists():
        prepare(config, study)
    index = read_csv(folder / "prepared" / "index.csv", dtype={"patient_id": str})
    index = index[index["has_mask"]]
    job = fold_job(config, load_splits(study), 0, index)
    return training.train_fold(config, folder, job, make_plan(config, index))


def digest(*values: Any) -> str:
    """SHA-256 over all tensors and numbers inside."""
    found = hashlib.sha256()

    def add(value: Any) -> None:
        if isinstance(value, torch.Tensor):
            found.update(value.numpy().tobytes())
        elif isinstance(value, dict):
            for key in value:
                found.update(str(key).encode())
                add(value[key])
        elif isinstance(value, (list, tuple)):
            for item in value:
                add(item)
        else:
            found.update(repr(value).encode())

    add(values)
    return found.hexdigest()


@pytest.fixture
def endings(monkeypatch: Patch) -> list[str]:
    """Of every training that comes to its end: the last epoch's weights, moments and history.

    The best epoch may be the first, which would hide what was resumed.
    """
    seen: list[str] = []
    keep_model = training.keep_model

    def keep(target: Path, card: dict[str, Any]) -> None:
        last = torch.load(target / "last.ckpt", weights_only=True)
        history = (target / "history.csv").read_text()
        seen.append(digest(last["state_dict"], last["optimizer_states"], history))
        keep_model(target, card)

    monkeypatch.setattr(training, "keep_model", keep)
    return seen


@pytest.fixture
def steps(monkeypatch: Patch) -> list[tuple[int, int]]:
    """Epoch and number of every batch that was learnt from."""
    seen: list[tuple[int, int]] = []
    step = SegmentationModule.training_step

    def counted(self: SegmentationModule, batch: Any, number: int) -> torch.Tensor:
        seen.append((self.current_epoch, number))
        return step(self, batch, number)

    monkeypatch.setattr(SegmentationModule, "training_step", counted)
    return seen


def cut_in_epoch_2(monkeypatch: Patch) -> None:
    """Let the power go in the middle of the third epoch."""
    step = SegmentationModule.training_step

    def stop(self: SegmentationModule, batch: Any, number: int) -> torch.Tensor:
        if (self.current_epoch, number) == (2, 1):
            raise PowerCutError
        return step(self, batch, number)

    monkeypatch.setattr(SegmentationModule, "training_step", stop)


def with_dropout(monkeypatch: Patch) -> None:
    build = module_of_training.build_network

    def built(*given: Any) -> torch.nn.Module:
        return torch.nn.Sequential(torch.nn.Dropout2d(0.0), torch.nn.Dropout(0.2), build(*given))

    monkeypatch.setattr(module_of_training, "build_network", built)
    monkeypatch.setattr("mammoroi.segmentation.weights.build_network", built)


def again(target: Path) -> None:
    for path in target.iterdir():
        path.unlink()


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"patch": (32, 32), "patience": 3},
        {"dropout": True, "accumulate": 2},
        {"architecture": "smp-unet", "patch": (64, 32)},
        {"architecture": "smp-unet", "encoder_rate": 0.3, "ema_decay": 0.8, "keep": "last"},
        {"augmentation": "strong", "patch": (32, 32), "lesion_mixing": 0.5, "loss": "tversky-ce"},
        {"architecture": "dynunet", "deep_supervision": True, "patch": (32, 32)},
        {
            "architecture": "smp-unet",
            "encoder": "tu-mobilenetv3_small_050",
            "swa_start": 0.5,
            "deep_supervision": True,
            "keep": "last",
            "encoder_rate": 0.5,
        },
        {"swa_start": 0.25, "keep": "last", "augment_on": "device", "patch": (32, 32)},
    ],
    ids=[
        *("whole", "patches", "dropout", "batch-norm", "average", "mixing"),
        *("plain-deep", "deep", "epoch-average"),
    ],
)
def test_four_epochs_are_two_and_two_more_bit_for_bit(
    study: Path,
    settings: dict[str, Any],
    endings: list[str],
    steps: list[tuple[int, int]],
    monkeypatch: Patch,
) -> None:
    settings = dict(settings)
    dropout = settings.pop("dropout", False)
    if dropout:
        with_dropout(monkeypatch)
    config = replace(TINY, **settings)
    target = run_fold(study, config)
    whole = list(steps)
    weights = (target / "model.safetensors").read_bytes()
    again(target)
    with monkeypatch.context() as patched:
        cut_in_epoch_2(patched)
        with pytest.raises(PowerCutError):
            run_fold(study, config)
    torch.rand(7)  # another process would have drawn other numbers, too
    steps.clear()
    run_fold(study, config)
    assert steps == [step for step in whole if step[0] >= 2]
    assert endings[0] == endings[1]
    assert (target / "model.safetensors").read_bytes() == weights
    if dropout:  # the comparison sees what a forgotten random state would do
        again(target)
        monkeypatch.setattr(SegmentationModule, "on_train_batch_start", lambda *_: None)
        with monkeypatch.context() as patched:
            cut_in_epoch_2(patched)
            with pytest.raises(PowerCutError):
                run_fold(study, config)
        torch.rand(7)
        run_fold(study, config)
        again(target)
        run_fold(study, config)
        assert endings[2] != endings[3]


def test_a_training_that_stopped_early_stays_stopped(
    study: Path, endings: list[str], steps: list[tuple[int, int]], monkeypatch: Patch
) -> None:
    # Everything is drawn, so that something is found and no epoch is better than the first.
    monkeypatch.setattr(module_of_training, "TUNING_THRESHOLD", 1e-6)
    config = replace(TINY, patience=1, epochs=9, learning_rate=1e-9)
    target = run_fold(study, config)
    assert max(steps)[0] < 8
    again(target)
    with monkeypatch.context() as patched:
        patched.setattr(training, "keep_model", lambda *_: (_ for _ in ()).throw(PowerCutError))
        with pytest.raises(PowerCutError):
            run_fold(study, config)
    steps.clear()
    run_fold(study, config)
    assert steps == []
    assert endings[0] == endings[1]


def test_where_the_last_epoch_is_kept_every_epoch_is_run(
    study: Path, steps: list[tuple[int, int]]
) -> None:
    """As docs/training-settings.md says: without regard to the patience."""
    run_fold(study, replace(TINY, keep="last", patience=1, epochs=9, learning_rate=1e-9))
    assert max(steps)[0] == 8
    with pytest.raises(MammoroiError, match=r"tuning_fraction is 0 -> set it to between 0 and 1"):
        replace(TINY, keep="last", tuning_fraction=0)


def test_half_a_checkpoint_is_told_and_the_fold_starts_again(
    study: Path, endings: list[str], monkeypatch: Patch, caplog: pytest.LogCaptureFixture
) -> None:
    again(run_fold(study))
    with monkeypatch.context() as patched:
        cut_in_epoch_2(patched)
        with pytest.raises(PowerCutError):
            run_fold(study)
    last = study / "segmentation" / "fold-0" / "last.ckpt"
    last.write_bytes(last.read_bytes()[:5000])
    half = last.read_bytes()
    with monkeypatch.context() as patched:
        cut_in_epoch_2(patched)
        with pytest.raises(PowerCutError):
            run_fold(study)
    assert "last.ckpt cannot be read, the fold starts again" in caplog.text
    assert last.with_name("last.ckpt.damaged").read_bytes() == half
    run_fold(study)
    assert endings[0] == endings[1]
    assert not list(last.parent.glob("*.ckpt*"))


@pytest.mark.parametrize(
    ("reader", "error"),
    [
        (Path.read_bytes, OSError(errno.EIO, "Input/output error")),
        (Path.read_bytes, OSError(errno.ESTALE, "Stale file handle")),
        (torch.load, MemoryError()),
        (torch.load, RuntimeError("[...] DefaultCPUAllocator: can't allocate memory")),
    ],
    ids=["disk", "network", "memory", "memory of PyTorch"],
)
def test_a_disk_or_memory_that_fails_costs_no_checkpoint(
    tmp_path: Path, reader: Any, error: Exception, monkeypatch: Patch
) -> None:
    last = tmp_path / "last.ckpt"
    torch.save({"loops": 0}, last)

    def fail(*_: Any, **__: Any) -> None:
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(Path if reader is Path.read_bytes else torch, reader.__name__, fail)
        with pytest.raises(MammoroiError, match=r"last.ckpt cannot be read now: .* -> see to the"):
            usable(last)
    assert usable(last)


def test_the_disk_holds_what_is_finished_before_a_checkpoint_is_removed(
    study: Path, monkeypatch: Patch
) -> None:
    fsync, replace_, unlink = os.fsync, Path.replace, Path.unlink
    held: set[int] = set()
    removed: list[str] = []

    def synced(handle: int) -> None:
        fsync(handle)
        held.add(os.fstat(handle).st_ino)

    def renamed(self: Path, to: Path) -> Path:
        held.discard(self.parent.stat().st_ino)  # its names have changed
        return replace_(self, to)

    def unlinked(self: Path, missing_ok: bool = False) -> None:
        if self.suffix == ".ckpt" and self.name[0] != "." and self.exists():
            removed.append(self.name)
            files = [path for path in self.parent.iterdir() if path.name != self.name]
            lost = [path for path in (*files, self.parent) if path.stat().st_ino not in held]
            assert not lost, self
        unlink(self, missing_ok)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", renamed)
    monkeypatch.setattr(Path, "unlink", unlinked)
    run_fold(study, replace(TINY, epochs=1, pretraining_epochs=1))
    assert removed == ["pretraining.ckpt", "last.ckpt", "best.ckpt"]


def test_checkpoints_do_not_pass_through_the_folder_for_temporary_files(
    study: Path, monkeypatch: Patch
) -> None:
    prepare(TINY, study)
    monkeypatch.setattr(tempfile, "tempdir", str(study / "not there"))
    assert load_model(run_fold(study, replace(TINY, epochs=1))).card["epoch"] == 0


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_is_named_and_costs_the_epochs_since(
    study: Path, endings: list[str], steps: list[tuple[int, int]], monkeypatch: Patch
) -> None:
    again(run_fold(study))
    start = SegmentationModule.on_train_epoch_start
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(self: SegmentationModule) -> None:
        if self.current_epoch == 2:
            resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
        start(self)

    with monkeypatch.context() as patched:
        patched.setattr(SegmentationModule, "on_train_epoch_start", fill)
        try:
            with pytest.raises(MammoroiError, match=r"fold 0: .*File too large.*free space"):
                training.train_prepared(TINY, study)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
    folder = study / "segmentation"
    assert read_csv(folder / "failures.csv")["case"].tolist() == ["fold 0", "fold 1"]
    assert torch.load(folder / "fold-0" / "last.ckpt", weights_only=True)["epoch"] == 1
    assert not list(folder.rglob(".part-*"))
    steps.clear()
    training.train_prepared(TINY, study)
    assert steps[0] == (2, 0)
    assert endings[0] == endings[1]
    assert read_csv(folder / "failures.csv").empty


def test_weights_that_cannot_be_written_leave_no_model(study: Path, monkeypatch: Patch) -> None:
    keep_model = training.keep_model

    def keep(target: Path, card: dict[str, Any]) -> None:
        with files_of_at_most(3000):
            keep_model(target, card)

    with monkeypatch.context() as patched:
        patched.setattr(training, "keep_model", keep)
        with pytest.raises(OSError, match="File too large"):
            run_fold(study, replace(TINY, epochs=1))
    target = study / "segmentation" / "fold-0"
    assert not (target / "model.safetensors").exists()
    assert load_model(run_fold(study, replace(TINY, epochs=1))).card["epoch"] == 0


def poison(monkeypatch: Patch, epochs: set[int], numbers: set[int]) -> None:
    item = PreparedImages.__getitem__

    def poisoned(self: PreparedImages, at: tuple[int, int]) -> Any:
        case = item(self, at)
        if self.augment is not None and at[0] in epochs and at[1] in numbers:
            case["image"] = case["image"] * torch.nan
        return case

    monkeypatch.setattr(PreparedImages, "__getitem__", poisoned)


@pytest.mark.parametrize(
    "settings",
    [{"architecture": "smp-unet"}, {"deep_supervision": True}],  # both have running statistics
    ids=["smp-unet", "deep"],
)
def test_a_step_whose_loss_is_nan_changes_nothing_and_is_counted(
    study: Path, settings: dict[str, Any], monkeypatch: Patch, caplog: pytest.LogCaptureFixture
) -> None:
    states: list[str] = []
    end = SegmentationModule.on_train_batch_end

    def watched(self: SegmentationModule, *given: Any) -> None:
        end(self, *given)
        states.append(digest(self.state_dict(), self.optimizers().optimizer.state_dict()["state"]))

    monkeypatch.setattr(SegmentationModule, "on_train_batch_end", watched)
    poison(monkeypatch, {1}, {0})
    config = replace(TINY, epochs=3, **settings)
    target = run_fold(study, config)
    history = pd.read_csv(target / "history.csv")
    assert history["skipped_steps"].tolist() == [0, 1, 0]
    assert history.notna().all(axis=None)
    steps = len(states) // 3
    same = [a == b for a, b in pairwise(states)]
    assert sum(same) == 1
    assert steps - 1 <= same.index(True) < 2 * steps - 1
    model = load_model(target)
    assert model.card["skipped_steps"] == 1
    assert all(tensor.isfinite().all() for tensor in model.network.state_dict().values())
    assert "epoch 1: a step was skipped" in caplog.text


def test_nan_in_step_after_step_ends_the_training_and_keeps_what_was_good(
    study: Path, monkeypatch: Patch
) -> None:
    poison(monkeypatch, {2, 3}, set(range(99)))
    with pytest.raises(MammoroiError, match=r"not finite in \d+ steps in a row, up to epoch 2.*lo"):
        run_fold(study)
    for name in ("last.ckpt", "best.ckpt"):
        kept = torch.load(study / "segmentation" / "fold-0" / name, weights_only=True)
        assert kept["epoch"] <= 1
        assert all(tensor.isfinite().all() for tensor in kept["state_dict"].values())


def test_a_checkpoint_never_holds_nan(study: Path, monkeypatch: Patch) -> None:
    end = SegmentationModule.on_train_batch_end

    def spoil(self: SegmentationModule, *given: Any) -> None:
        end(self, *given)
        if self.current_epoch == 1:
            with torch.no_grad():
                next(self.network.parameters()).view(-1)[0] = torch.inf

    monkeypatch.setattr(SegmentationModule, "on_train_batch_end", spoil)
    with pytest.raises(MammoroiError, match=r"not finite"):
        run_fold(study)
    for name in ("last.ckpt", "best.ckpt"):
        kept = torch.load(study / "segmentation" / "fold-0" / name, weights_only=True)
        assert kept["epoch"] == 0


def memory_for(images: int, monkeypatch: Patch) -> None:
    forward = SegmentationModule.forward

    def starved(self: SegmentationModule, batch: torch.Tensor) -> torch.Tensor:
        if self.current_epoch >= 1 and len(batch) > images:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 GiB")
        return forward(self, batch)

    monkeypatch.setattr(SegmentationModule, "forward", starved)


def test_a_device_out_of_memory_computes_a_batch_in_parts(
    study: Path,
    steps: list[tuple[int, int]],
    monkeypatch: Patch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    memory_for(1, monkeypatch)
    model = load_model(run_fold(study))
    assert "a batch of 4 is now computed in 4 parts" in caplog.text
    assert model.card["accumulate"] == 4
    history = pd.read_csv(study / "segmentation" / "fold-0" / "history.csv")
    assert history["epoch"].tolist() == [0, 1, 2, 3]
    assert steps.count((0, 0)) == 1  # the first epoch was not lost
    memory_for(0, monkeypatch)
    with pytest.raises(MammoroiError, match=r"single image.*working_spacing_mm.*patch.*channels"):
        run_fold(study, replace(TINY, learning_rate=0.02))


@pytest.mark.parametrize(
    "words",
    [
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
        "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
        "OutOfMemoryError: CUDA out of memory",
    ],
)
def test_a_device_out_of_memory_is_known_in_the_words_of_its_libraries(words: str) -> None:
    def fail(words: str) -> None:
        raise RuntimeError(words)

    assert memory_ran_out(fail, words)
    with pytest.raises(RuntimeError, match="MAPPING_ERROR"):
        memory_ran_out(fail, "cuDNN error: CUDNN_STATUS_MAPPING_ERROR")


def test_a_batch_in_parts_takes_the_step_of_the_whole_batch(
    study: Path, endings: list[str], monkeypatch: Patch
) -> None:
    # With a loss that is a mean over images; that of Dice is one over the part's pixels.
    monkeypatch.setattr(module_of_training, "build_loss", lambda _: torch.nn.BCEWithLogitsLoss())
    for where in ("module", "weights"):  # without batch norm, whose statistics are a part's, too
        monkeypatch.setattr(
            f"mammoroi.segmentation.{where}.build_network",
            lambda *_: torch.nn.Conv2d(1, 1, 5, padding=2),
        )
    found, rates = [], []
    for parts in (1, 1, 5):
        target = run_fold(study, replace(TINY, batch_size=5, accumulate=parts))
        model = load_model(target)
        history = pd.read_csv(target / "history.csv")
        found.append(history[["train_loss", "tuning_loss"]].to_numpy())
        rates.append(history["learning_rate"].tolist())
        assert model.card["n_training_images"] % 5, "the last step is to have fewer images"
        again(target)
    assert rates[0] == rates[1] == rates[2]
    np.testing.assert_allclose(found[0], found[2], rtol=1e-5)
    assert endings[0] == endings[1] != endings[2]


def test_folds_side_by_side_are_those_alone_and_one_that_fails_leaves_the_others(
    study: Path,
) -> None:
    config = replace(TINY, epochs=2)
    folder = study / "segmentation"
    prepare(config, study)
    splits = load_splits(study)
    in_second_only = splits.folds[0].validation[0]  # the network of fold 0 never sees it
    broken = next((folder / "prepared").glob(f"{in_second_only}-*-CC.npy"))
    whole = broken.read_bytes()
    broken.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(MammoroiError, match=rf"fold 1: .*{broken.name} is damaged.*kept.*again"):
        training.train_prepared(replace(config, workers=2), study)
    failures = read_csv(folder / "failures.csv")
    assert failures["case"].tolist() == ["fold 1"]
    side_by_side = (folder / "fold-0" / "model.safetensors").read_bytes()
    assert not (folder / "fold-1" / "model.safetensors").exists()

    left = folder / "fold-0" / ".part-x.ckpt"  # as of a process that was killed while it wrote
    left.write_bytes(b"half")
    training.train(config, study)  # prepares again what is damaged
    assert not left.exists()
    assert broken.read_bytes() == whole
    assert read_csv(folder / "failures.csv").empty
    assert load_model(folder / "fold-1").card["fold"] == 1
    again(folder / "fold-0")
    assert (run_fold(study, config) / "model.safetensors").read_bytes() == side_by_side


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.unlink(), r"P0\d-.* is missing"),
        (lambda path: path.write_bytes(b""), r"P0\d-.* is damaged"),
        (lambda path: np.save(path, np.full_like(np.load(path), np.nan)), "not finite"),
    ],
)
def test_a_prepared_image_that_is_not_sound_is_named(
    study: Path, damage: Any, message: str
) -> None:
    folder = prepare(TINY, study)
    (image,) = folder.glob("P03-*-CC.npy")
    before = image.read_bytes()
    damage(image)
    with pytest.raises(MammoroiError, match=message):
        PreparedImages(folder, ["P03-R-CC"], (64, 32))
    if len(image.read_bytes()) == len(before) if image.exists() else False:
        return
    prepare(TINY, study)
    assert image.read_bytes() == before


def test_a_second_training_of_the_same_folder_is_refused(study: Path, monkeypatch: Patch) -> None:
    monkeypatch.setattr(training, "ORPHAN_S", 0.0)
    with held(training.lock_of(study), "x"):
        for start in (training.train, training.train_prepared):
            with pytest.raises(MammoroiError, match=rf"another process \(id {os.getpid()}\)"):
                start(TINY, study)
    with held(training.lock_of(study), "x"):
        pass


LOCKED = """
import os, sys, time
from pathlib import Path
from mammoroi.lock import held
from mammoroi.segmentation.train import lock_of
with held(lock_of(Path(sys.argv[1])), "x"):
    if os.fork() == 0:  # as a process that loads images
        time.sleep(6)
        os._exit(0)
    os.kill(os.getpid(), 9)
"""


def test_a_killed_training_is_waited_for_as_long_as_its_loaders_live(study: Path) -> None:
    """They inherit the lock, and look for their parent only now and then."""
    from torch.utils.data._utils import MP_STATUS_CHECK_INTERVAL

    assert ORPHAN_S >= MP_STATUS_CHECK_INTERVAL + 1
    config = replace(TINY, epochs=1)
    prepare(config, study)
    killed = subprocess.run([sys.executable, "-c", LOCKED, str(study)], check=False)
    assert killed.returncode == -signal.SIGKILL
    training.train_prepared(config, study)


SLEEPERS = """
import sys, time
from mammoroi.segmentation.side_by_side import side_by_side
list(side_by_side([(time.sleep, (60,)), (time.sleep, (60,))], 2, 1))
"""


OF_A_DEVICE = """
import multiprocessing, time
from mammoroi.segmentation.several_devices import Told
process = multiprocessing.get_context("spawn").Process(target=Told(time.sleep, None), args=(120,))
process.start()
process.join()
"""


OF_CASES = """
import time
from mammoroi.segmentation.cases import map_cases
list(map_cases(time.sleep, [(str(n), (0.1,)) for n in range(5000)], "prepare", "x", 2))
"""


@pytest.mark.parametrize(
    ("program", "number", "processes"),  # two workers or that of a device, and trackers
    [
        (SLEEPERS, signal.SIGKILL, 3),
        (SLEEPERS, signal.SIGTERM, 3),
        (OF_A_DEVICE, signal.SIGKILL, 2),
        (OF_CASES, signal.SIGKILL, 4),
    ],
)
def test_processes_end_with_the_one_that_started_them(
    program: str, number: int, processes: int
) -> None:
    parent = subprocess.Popen([sys.executable, "-c", program], start_new_session=True)
    children: list[psutil.Process] = []
    try:
        end = time.monotonic() + 60
        while len(children) < processes and time.monotonic() < end:
            time.sleep(0.1)
            children = psutil.Process(parent.pid).children(recursive=True)
        time.sleep(1.0 if program == SLEEPERS else 15.0)  # it imports PyTorch
        os.kill(parent.pid, number)
        parent.wait()
        _, alive = psutil.wait_procs(children, timeout=60)
        assert not alive
    finally:
        for process in children:
            if process.is_running():
                process.kill()


def test_a_killed_process_takes_no_other_job_with_it() -> None:
    from mammoroi.segmentation.side_by_side import side_by_side

    # The second call kills its process whenever it is called; `sleep` gives None.
    calls = [(time.sleep, (0.5,)), (os.abort, ()), (time.sleep, (0.5,))]
    results = dict(side_by_side(calls, 2, 1))
    assert (results[0], results[2]) == (None, None)
    assert "BrokenProcessPool" in [kind.__name__ for kind in type(results[1]).__mro__]
    failure = training._failure(NetworkName(1), results[1], "segmentation")  # type: ignore[arg-type]
    assert "killed again" in failure.error
    assert (failure.case, failure.stage) == ("fold 1", "segmentation/train")


def test_loader_processes_change_no_batch(study: Path) -> None:
    from torch.utils.data import DataLoader

    from mammoroi.segmentation.data import Augmentation, EpochSampler

    folder = prepare(TINY, study)
    ids = [path.name.removesuffix(".mask.npy") for path in sorted(folder.glob("*.mask.npy"))]
    batches = []
    for workers in (0, 2):
        images = PreparedImages(folder, ids, (64, 32), Augmentation(3, "full", None))
        sampler = EpochSampler(len(ids), seed=4)
        sampler.set_epoch(2)
        torch.rand(workers + 1)
        loader = DataLoader(images, batch_size=4, sampler=sampler, num_workers=workers)
        batches.append(digest([batch["image"] for batch in loader]))
    assert batches[0] == batches[1]


def test_the_setting_accumulate_must_divide_the_batch(study: Path) -> None:
    with pytest.raises(MammoroiError, match=r"segmentation.accumulate is 3.*divisor of batch_size"):
        replace(TINY, accumulate=3)
    target = run_fold(study, replace(TINY, epochs=1))
    assert read_json(target / "model.json")["accumulate"] == 1


def test_weights_that_a_process_hands_to_its_parent_are_taken(tmp_path: Path) -> None:
    """Several devices train in processes; Lightning sends the last weights back as they are."""
    from mammoroi.segmentation.checkpoint import WholeCheckpoints

    weights = {"network.weight": torch.ones(2), "network.bias": torch.zeros(2)}
    WholeCheckpoints().save_checkpoint(weights, tmp_path / "weights.ckpt")
    found = torch.load(tmp_path / "weights.ckpt", weights_only=True)
    assert found.keys() == weights.keys()
    weights["network.bias"][0] = torch.nan
    with pytest.raises(MammoroiError, match=r"after the last epoch 1 .* the first network.bias"):
        WholeCheckpoints().save_checkpoint(weights, tmp_path / "weights.ckpt")

"""Networks share GPUs: which takes which, and what happens when one ends."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import tempfile
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest
import torch
from torch.utils.data import DataLoader

from mammoroi.doctor import device
from mammoroi.errors import MammoroiError
from mammoroi.segmentation import gpus, trainer
from mammoroi.segmentation.fit import images_of
from mammoroi.segmentation.gpus import VISIBLE, claim_gpu, gpus_for_folds
from mammoroi.segmentation.prepare import prepare
from mammoroi.segmentation.side_by_side import side_by_side
from mammoroi.segmentation.train import train_fold, train_prepared
from mammoroi.segmentation.trainer import choose_precision
from mammoroi.segmentation.weights import load_models

from .tiny import TINY, first_fold


def test_gpus_are_shared_among_folds_only_where_there_are_several(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(VISIBLE, raising=False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    assert gpus_for_folds(TINY, "gpu") == ["0", "1", "2"]
    assert gpus_for_folds(TINY, "cpu") == []
    assert gpus_for_folds(replace(TINY, devices=2), "gpu") == []
    monkeypatch.setenv(VISIBLE, "4,GPU-5, 6")
    assert gpus_for_folds(TINY, "gpu") == ["4", "GPU-5", "6"]
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert gpus_for_folds(TINY, "gpu") == []
    monkeypatch.setenv(VISIBLE, "7,8")
    assert gpus_for_folds(replace(TINY, networks_per_gpu=2), "gpu") == ["7", "7"]
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert gpus_for_folds(replace(TINY, networks_per_gpu=2), "gpu") == ["7", "8", "7", "8"]
    assert gpus_for_folds(replace(TINY, networks_per_gpu=3, devices=1), "gpu") == ["7"] * 3
    assert gpus_for_folds(replace(TINY, devices=1), "gpu") == []
    assert gpus_for_folds(replace(TINY, devices=2), "gpu") == []
    with pytest.raises(MammoroiError, match=r"devices is 3, and PyTorch finds 2 here -> set it to"):
        gpus_for_folds(replace(TINY, devices=3), "gpu")
    assert gpus_for_folds(replace(TINY, devices=3), "cpu") == []
    with pytest.raises(MammoroiError, match=r"networks_per_gpu is 2 -> set it to 1, or devices to"):
        replace(TINY, networks_per_gpu=2, devices=2)


@pytest.mark.parametrize(("capability", "own"), [(7, "16-mixed"), (8, "bf16-mixed")])
def test_bf16_is_for_gpus_that_have_it_and_not_for_those_that_imitate_it(
    monkeypatch: pytest.MonkeyPatch, capability: int, own: str
) -> None:
    properties = SimpleNamespace(major=capability, name="a GPU", total_memory=2**34)
    monkeypatch.setattr(torch.version, "hip", None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: properties)
    monkeypatch.setattr(torch.cuda, "_check_bf16_tensor_supported", lambda _: True)
    assert choose_precision(TINY, "gpu") == own
    assert device().endswith("bf16" if own == "bf16-mixed" else "16-bit float")
    assert choose_precision(TINY, "cpu") == "32-true"


def seen_gpu(seconds: float) -> tuple[int, str]:
    time.sleep(seconds)
    return os.getpid(), os.environ[VISIBLE]


def killed_once(marker: str) -> tuple[int, str]:
    if not Path(marker).exists():
        Path(marker).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return seen_gpu(0)


def test_each_process_takes_a_gpu_of_its_own(tmp_path: Path) -> None:
    begin = partial(claim_gpu, tmp_path, ["0", "7"])
    calls = [(seen_gpu, (0.5,))] * 4
    results = [result for _, result in side_by_side(calls, 2, 1, begin)]
    assert {gpu for _, gpu in results} == {"0", "7"}
    assert len(set(results)) == 2  # one GPU per process, the same for all of its folds


def test_a_gpu_has_as_many_places_as_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[int] = []
    monkeypatch.setattr(gpus, "_held", held)
    monkeypatch.setenv(VISIBLE, "to be restored")
    mig = "MIG-GPU-1/1/0"
    names = ["7", mig, "7"]
    assert [claim_gpu(tmp_path, names) for _ in names] == names
    monkeypatch.setattr(gpus, "ORPHAN_S", 0.1)
    with pytest.raises(MammoroiError, match="all 3 places"):
        claim_gpu(tmp_path, names)
    for handle in held:
        os.close(handle)
    places = {path.name for path in tmp_path.glob(".gpu-*")}
    assert places == {".gpu-7.lock", ".gpu-MIG-GPU-1_1_0.lock", ".gpu-7-1.lock"}


def test_the_gpu_of_a_killed_process_is_free_again(tmp_path: Path) -> None:
    begin = partial(claim_gpu, tmp_path, ["0", "7"])
    calls = [(killed_once, (str(tmp_path / "killed"),))] * 2
    results = dict(side_by_side(calls, 2, 1, begin))
    # Called again one at a time; were a lock left, there would be an error instead of a GPU.
    assert {results[number][1] for number in (0, 1)} <= {"0", "7"}


def images_of_loader_processes(*fold: Any) -> tuple[int, int]:
    """Load an epoch as on a GPU, by processes; give the images and the processes."""
    trainer.choose_accelerator = lambda _: "gpu"
    config, folder, job, plan = fold
    images = images_of(config, folder, job, plan)
    images.trainer = SimpleNamespace(global_rank=0, world_size=1)
    loader = images.train_dataloader()
    return sum(len(batch["image"]) for batch in loader), loader.num_workers


def test_a_network_trained_beside_others_has_loader_processes(study: Path) -> None:
    config = replace(TINY, workers=2, augment_on="host")
    folder, job, plan = first_fold(study, config)
    call = (images_of_loader_processes, (config, folder, job, plan))
    assert dict(side_by_side([call], 1, 1)) == {0: (len(job.training), 2)}


def test_what_keeps_a_loader_from_starting_is_said(
    study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(_: DataLoader) -> NoReturn:
        raise OSError("no more processes")

    monkeypatch.setattr(DataLoader, "_get_iterator", start)
    with pytest.raises(OSError, match="no more processes"):
        train_fold(TINY, *first_fold(study, TINY))


def test_folds_are_trained_on_a_gpu_each(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The parent believes in two GPUs; its processes find none, and train on the CPU."""
    config = replace(TINY, epochs=1, workers=0, accelerator="auto")
    prepare(config, study)
    monkeypatch.setattr(trainer, "choose_accelerator", lambda _: "gpu")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    train_prepared(config, study)
    assert len(load_models(study / "segmentation")) == 2
    assert (study / "segmentation" / ".gpu-0.lock").exists()
    assert (study / "segmentation" / ".gpu-1.lock").exists()


def test_gpus_are_shared_where_the_study_lies_on_a_file_system_without_locks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study, temporary = tmp_path / "study" / "segmentation", tmp_path / "temporary"
    for folder in (study, temporary):
        folder.mkdir(parents=True)
    held: list[int] = []
    flock = fcntl.flock

    def flock_of_a_cluster(handle: int, how: int) -> None:
        if Path(f"/proc/self/fd/{handle}").readlink().is_relative_to(study):
            raise OSError(errno.ENOSYS, "Function not implemented")
        flock(handle, how)

    monkeypatch.setattr(fcntl, "flock", flock_of_a_cluster)
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    monkeypatch.setattr(gpus, "_held", held)
    monkeypatch.setattr(gpus, "ORPHAN_S", 0.1)
    monkeypatch.setenv(VISIBLE, "to be restored")
    assert [claim_gpu(study, ["0", "7"]) for _ in range(2)] == ["0", "7"]
    with pytest.raises(MammoroiError, match="all 2 places"):
        claim_gpu(study, ["0", "7"])
    for handle in held:
        os.close(handle)
    assert len(list(temporary.glob("mammoroi-*/.gpu-*.lock"))) == 2


def cannot_begin() -> NoReturn:
    raise MammoroiError("all 1 places are taken", "wait")


def test_why_a_process_cannot_begin_is_said(caplog: pytest.LogCaptureFixture) -> None:
    list(side_by_side([(time.sleep, (0.1,))], 1, 1, cannot_begin))
    assert "a process cannot begin: all 1 places are taken -> wait" in caplog.text

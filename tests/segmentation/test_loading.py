"""Processes that load batches for a GPU: what ends them is told in words."""

from __future__ import annotations

import errno
import os
import re
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import pytest
from torch.utils.data import DataLoader

from mammoroi.errors import MammoroiError
from mammoroi.files import read_csv
from mammoroi.segmentation import store, trainer
from mammoroi.segmentation.loading import named
from mammoroi.segmentation.prepare import prepare
from mammoroi.segmentation.train import train_prepared

from .tiny import TINY


@pytest.fixture
def loaders(monkeypatch: pytest.MonkeyPatch) -> None:
    """Load batches in processes, as for a GPU."""

    def loader(*given: Any, **settings: Any) -> DataLoader:
        processes = {"num_workers": 1, "multiprocessing_context": "fork"}
        return DataLoader(*given, **settings | processes)

    monkeypatch.setattr(trainer, "DataLoader", loader)


def told(study: Path) -> tuple[str, str]:
    """Train, which fails, and give what is said of the first network."""
    config = replace(TINY, epochs=1)
    prepare(config, study)
    with pytest.raises(MammoroiError, match="could not be trained"):
        train_prepared(config, study)
    first = read_csv(study / "segmentation" / "failures.csv").iloc[0]
    return first["error"], first["action"]


def test_an_array_that_a_loader_finds_missing_is_named(
    study: Path, loaders: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "fits", lambda *_: False)
    read = store.load_array

    def gone(path: Path, mapped: bool = False) -> Any:
        return read(path.with_name("gone.npy") if mapped else path, mapped)

    monkeypatch.setattr(store, "load_array", gone)
    error, action = told(study)
    assert error.endswith("gone.npy is missing")
    assert action.startswith("prepare it again: run mammoroi train")


def test_a_loader_that_is_killed_is_told(
    study: Path, loaders: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = os.getpid()
    read = store.ArrayStore.__getitem__

    def killed(self: store.ArrayStore, number: int) -> Any:
        if os.getpid() != here:
            os.kill(os.getpid(), signal.SIGKILL)
        return read(self, number)

    monkeypatch.setattr(store.ArrayStore, "__getitem__", killed)
    error, action = told(study)
    assert error.startswith("a process that loads images ended: DataLoader worker (pid")
    assert action.startswith("most likely memory ran out: lower segmentation.workers")


@pytest.mark.parametrize(
    ("words", "found", "action"),
    [
        (
            "Caught RuntimeError in DataLoader worker process 0.\nOriginal ...\nRuntimeError: "
            "unable to allocate shared memory(shm) for file </torch_1_2_0>: No space left on "
            "device (28)\n",
            "shared memory .* is full",
            "--ipc=host, or --shm-size",
        ),
        (
            "DataLoader worker (pid 9) is killed by signal: Bus error. It is possible that "
            "dataloader's workers are out of shared memory. Please try to raise your shared "
            "memory limit.",
            "shared memory .* is full",
            "--ipc=host, or --shm-size",
        ),
        (
            "Too many open files. Communication with the workers is no longer possible.",
            "too many files open",
            "ulimit -n",
        ),
        ("DataLoader worker (pid(s) 1, 2) exited unexpectedly", "pid.s. 1, 2", "memory ran out"),
    ],
)
def test_what_pytorch_says_of_loaders_is_put_in_words(words: str, found: str, action: str) -> None:
    with pytest.raises(MammoroiError, match=f"{found}.* -> .*{action}"):
        raise named(RuntimeError(words))


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (errno.EAGAIN, "could not be started: Resource temporarily .* -> .*ulimit -u"),
        (errno.ENOMEM, "could not be started: Cannot allocate memory -> lower .*workers"),
        (errno.EMFILE, "too many files open -> .*ulimit -n"),
    ],
)
def test_loaders_that_cannot_be_started_are_told(
    study: Path, monkeypatch: pytest.MonkeyPatch, number: int, message: str
) -> None:
    def start(_: DataLoader) -> NoReturn:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(DataLoader, "_get_iterator", start)
    assert re.search(message, " -> ".join(told(study)))


def test_other_errors_stay_as_they_are() -> None:
    for error in (RuntimeError("x"), MammoroiError("found", "do"), OSError(28, "full")):
        assert named(error) is error

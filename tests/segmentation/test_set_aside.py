"""Trainings that are not finished when the settings change: kept, and gone on with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mammoroi.segmentation.module import SegmentationModule
from mammoroi.segmentation.pretraining import RestorationModule

from .conftest import power_cut
from .tiny import TINY, run_fold

OTHER = replace(TINY, epochs=1)
Epochs = list[tuple[str, int]]


@pytest.fixture
def epochs(monkeypatch: pytest.MonkeyPatch) -> Epochs:
    """Kind and number of every epoch that is begun."""
    seen: Epochs = []
    start = SegmentationModule.on_train_epoch_start

    def counted(self: SegmentationModule) -> None:
        seen.append((type(self).__name__, self.current_epoch))
        start(self)

    monkeypatch.setattr(SegmentationModule, "on_train_epoch_start", counted)
    return seen


def test_an_unfinished_training_is_set_aside_and_goes_on_when_it_is_asked_for_again(
    study: Path, epochs: Epochs, caplog: pytest.LogCaptureFixture
) -> None:
    target = run_fold(study)
    whole = (target / "model.safetensors").read_bytes()
    (target / "model.json").unlink()
    aside = target.parent / "set-aside"

    with power_cut(3):
        run_fold(study)
    last = (target / "last.ckpt").read_bytes()
    run_fold(study, OTHER)
    assert "fold 0 is trained anew: the unfinished one that was there had other" in caplog.text
    assert f"set aside in {aside / 'unfinished'}" in caplog.text
    assert (aside / "unfinished" / "fold-0" / "last.ckpt").read_bytes() == last

    epochs.clear()
    run_fold(study)
    assert epochs == [("SegmentationModule", 3)]
    assert (target / "model.safetensors").read_bytes() == whole
    assert not list((aside / "unfinished").iterdir())
    run_fold(study, OTHER)  # finished, it was set aside in its turn
    assert len(epochs) == 1


def test_an_unfinished_training_takes_the_place_of_no_finished_one(
    study: Path, epochs: Epochs
) -> None:
    weights = run_fold(study, OTHER) / "model.safetensors"
    before = weights.read_bytes()
    with power_cut(3):
        run_fold(study)
    run_fold(study, replace(TINY, epochs=2))
    epochs.clear()
    (weights.parent / "model.json").unlink()
    (weights.parent / "last.ckpt").write_bytes(b"of a third one")
    run_fold(study, OTHER)
    assert weights.read_bytes() == before
    assert not epochs


def test_a_finished_pre_training_is_kept(study: Path, epochs: Epochs) -> None:
    config = replace(TINY, epochs=1, pretraining_epochs=1)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(SegmentationModule, "on_train_start", _power_cut)
        patched.setattr(RestorationModule, "on_train_start", lambda _: None, raising=False)
        with pytest.raises(RuntimeError, match="power"):
            run_fold(study, config)
    run_fold(study, OTHER)
    epochs.clear()
    run_fold(study, config)
    assert epochs == [("SegmentationModule", 0)]


def _power_cut(_: SegmentationModule) -> None:
    raise RuntimeError("the power is gone")

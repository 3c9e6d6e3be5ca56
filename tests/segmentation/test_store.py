"""Prepared arrays and windows out of them, in memory and on the disk."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any
from weakref import WeakSet

import numpy as np
import psutil
import pytest
import torch

from mammoroi.errors import MammoroiError
from mammoroi.segmentation import store
from mammoroi.segmentation import train as training
from mammoroi.segmentation.data import PreparedImages
from mammoroi.segmentation.module import SegmentationModule
from mammoroi.segmentation.prepare import prepare
from mammoroi.segmentation.pretraining import RestorationModule
from mammoroi.segmentation.side_by_side import side_by_side
from mammoroi.segmentation.store import ArrayStore, window

from .tiny import TINY

IDS = ["P02-L-CC", "P03-R-MLO", "P04-L-CC"]


CANVAS = (64, 32)


def test_arrays_on_the_disk_are_those_in_memory(
    study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = prepare(TINY, study)
    held = PreparedImages(folder, IDS, CANVAS)
    monkeypatch.setattr(store, "fits", lambda _: False)
    mapped = PreparedImages(folder, IDS, CANVAS)
    assert held.arrays.in_memory
    assert not mapped.arrays.in_memory
    for number in range(len(IDS)):
        for name in ("image", "mask"):
            assert held[(0, number)][name].equal(mapped[(0, number)][name])
            assert held[(0, number)][name].shape == (1, *CANVAS)


def test_arrays_stay_on_the_disk_where_they_would_fill_the_memory() -> None:
    assert store.fits(1000)
    assert not store.fits(10**15)


def test_networks_side_by_side_share_the_free_memory() -> None:
    eighth = psutil.virtual_memory().available // 8
    assert store.fits(eighth)
    assert dict(side_by_side([(store.fits, (eighth,))] * 2, 4, 1)) == {0: False, 1: False}


def test_arrays_are_not_copied_to_the_processes_of_several_devices(study: Path) -> None:
    arrays = ArrayStore(prepare(TINY, study), IDS, CANVAS)
    assert arrays.in_memory
    sent = pickle.dumps(arrays)
    assert len(sent) < 2000 < arrays.arrays(0)[0].nbytes
    arrived = pickle.loads(sent)
    for number in range(len(IDS)):
        for here, there in zip(arrays[number], arrived[number], strict=True):
            assert here.equal(there)


@pytest.mark.parametrize("fails", [False, True])
def test_the_arrays_of_a_finished_network_are_given_up(
    study: Path, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    """Networks that are trained one after the other, as on one GPU; and of a pre-training."""
    alive: WeakSet[ArrayStore] = WeakSet()
    there = []
    begin, one = ArrayStore.__init__, training.train_fold

    def held(self: ArrayStore, *given: Any, **settings: Any) -> None:
        begin(self, *given, **settings)
        if self.masked:
            assert all(one.masked for one in alive)
        alive.add(self)

    def train_fold(*given: Any) -> Path:
        there.append(len(alive))
        return one(*given)

    monkeypatch.setattr(ArrayStore, "__init__", held)
    monkeypatch.setattr(training, "train_fold", train_fold)
    config = replace(TINY, epochs=1, pretraining_epochs=1)
    if fails:
        loss = SegmentationModule._training_loss

        def broken(self: SegmentationModule, batch: dict) -> torch.Tensor:
            _kept = loss(self, batch)
            if isinstance(self, RestorationModule):
                return _kept
            raise RuntimeError("a library failed")

        monkeypatch.setattr(SegmentationModule, "_training_loss", broken)
        with pytest.raises(MammoroiError, match="a library failed"):
            training.train(config, study)
    else:
        training.train(config, study)
    assert there == [0, 0]
    assert not alive


def test_a_window_shows_zeros_beyond_the_array(study: Path) -> None:
    arrays = ArrayStore(prepare(TINY, study), IDS, CANVAS)
    whole, _ = arrays.arrays(0)
    shown = window(whole, -5, -3, 20, 10)
    assert np.array_equal(shown[0, 5:, 3:], whole[:15, :7])
    assert shown.shape == (1, 20, 10)
    assert not shown[:, :5].any()
    assert not shown[:, :, :3].any()
    assert not window(whole, 500, 0, 4, 4).any()


def test_an_array_larger_than_the_canvas_is_refused(study: Path) -> None:
    with pytest.raises(MammoroiError, match="larger than the canvas"):
        ArrayStore(prepare(TINY, study), IDS, (16, 16))

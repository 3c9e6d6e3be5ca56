"""A small study made in the test: bright discs in half-round breasts, as PNG files."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

SPACING_MM = 1.0


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Compute with one thread: only then do equal trainings give equal bits."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@contextmanager
def power_cut(epoch: int = 2) -> Iterator[None]:
    """End the training within by an error when this epoch begins."""
    from mammoroi.segmentation.module import SegmentationModule

    def stop(self: SegmentationModule) -> None:
        if self.current_epoch == epoch:
            raise RuntimeError("the power is gone")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(SegmentationModule, "on_train_epoch_start", stop)
        with pytest.raises(RuntimeError, match="power"):
            yield


def breast_with_disc(seed: int, right: bool) -> tuple[np.ndarray, np.ndarray]:
    """A breast of about 80 x 40 mm with one lesion: grey values and mask."""
    rng = np.random.default_rng(seed)
    rows, columns = 96 + int(rng.integers(0, 6)), 61
    y, x = np.mgrid[:rows, :columns]
    inside = ((y - rows / 2) / (rows / 2 - 6)) ** 2 + (x / 44) ** 2 <= 1
    centre = rng.uniform(rows / 2 - 18, rows / 2 + 18), rng.uniform(12, 24)
    radius = rng.uniform(5, 9)
    mask = (y - centre[0]) ** 2 + (x - centre[1]) ** 2 <= radius**2
    pixels = inside * (90 + rng.normal(0, 6, inside.shape)) + mask * 80
    pixels = np.clip(pixels, 0, 255).astype(np.uint8)
    return (pixels[:, ::-1], mask[:, ::-1]) if right else (pixels, mask)


def write_study(folder: Path, patients: int, test: int, folds: int) -> Path:
    """Write cohort.csv, patients.csv, splits.json and the images of a study folder."""
    folder.mkdir(parents=True)
    rows = ["image_id,patient_id,view,laterality,image,mask,mask_reader2,spacing_mm"]
    for number in range(patients):
        side = "LR"[number % 2]
        for view in ("CC", "MLO"):
            name = f"P{number:02d}-{side}-{view}"
            pixels, mask = breast_with_disc(100 * number + len(view), side == "R")
            Image.fromarray(np.ascontiguousarray(pixels)).save(folder / f"{name}.png")
            shifted = np.roll(mask, 1, axis=0)
            for kind, drawn in (("mask", mask), ("reader2", shifted)):
                grey = np.ascontiguousarray(drawn.astype(np.uint8) * 255)
                Image.fromarray(grey).save(folder / f"{name}.{kind}.png")
            second = f"{name}.reader2.png" if number % 2 else ""
            rows.append(
                f"{name},P{number:02d},{view},{side},{name}.png,{name}.mask.png,{second},{SPACING_MM}"
            )
    (folder / "cohort.csv").write_text("\n".join(rows) + "\n")
    names = [f"P{number:02d}" for number in range(patients)]
    lines = [f"{name},{'fatty' if number % 3 else 'dense'}" for number, name in enumerate(names)]
    (folder / "patients.csv").write_text("patient_id,breast_density\n" + "\n".join(lines) + "\n")
    training = names[test:]
    parts = [training[fold::folds] for fold in range(folds)]
    splits = {
        "seed": 1,
        "test_size": test / patients,
        "n_folds": folds,
        "stratify": [],
        "train": training,
        "test": names[:test],
        "folds": [
            {"train": [name for name in training if name not in part], "validation": part}
            for part in parts
        ],
    }
    (folder / "splits.json").write_text(json.dumps(splits))
    return folder


@pytest.fixture(scope="session")
def make_study() -> Callable[..., Path]:
    """Write a study where a test wants one that outlives it."""
    return write_study


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """Ten patients with two views each, two of them in the test set, two folds."""
    return write_study(tmp_path / "study", patients=10, test=2, folds=2)


@pytest.fixture
def normals(tmp_path: Path) -> Path:
    """Breasts without a lesion: of all patients of the study (P00, P01 test it) and of others."""
    from .healthy import write_normals

    own = [f"P{number:02d}" for number in range(10)]
    return write_normals(tmp_path / "normals", own + [f"X{number}" for number in range(5)])


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Have some packages look as if they were not installed, for the length of a test."""
    find_spec = importlib.util.find_spec

    def hide(*names: str) -> None:
        monkeypatch.setattr(
            importlib.util,
            "find_spec",
            lambda name, package=None: None if name in names else find_spec(name, package),
        )

    return hide

"""A cohort of breasts without a lesion, for the tests of what networks learn from them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from mammoroi.cohort.split import load_splits
from mammoroi.files import read_csv
from mammoroi.segmentation.config import SegmentationConfig
from mammoroi.segmentation.fold_jobs import FoldJob, fold_job
from mammoroi.segmentation.normals import Normals, find_normals
from mammoroi.segmentation.others import prepare_others
from mammoroi.segmentation.prepare import prepare

from .conftest import breast_with_disc

TINY = SegmentationConfig(
    working_spacing_mm=2.0,
    channels=(4, 4, 8, 8, 8),
    epochs=1,
    batch_size=4,
    keep="last",
    tuning_fraction=0.2,
    accelerator="cpu",
    workers=1,
    bootstrap_samples=50,
    overlays=0,
)


def breast_with_bar(seed: int) -> np.ndarray:
    """A breast without a lesion, in which a vessel is as bright as one."""
    rng = np.random.default_rng(seed)
    pixels, mask = breast_with_disc(seed, right=False)
    pixels = pixels - mask * 80
    row = int(rng.integers(28, 62))
    pixels[row : row + 8, 4:36] += 80
    return np.clip(pixels, 0, 255).astype(np.uint8)


def write_normals(folder: Path, patients: list[str]) -> Path:
    """Write a cohort of one breast for each patient, named `N-patient`."""
    folder.mkdir()
    for number, patient in enumerate(patients):
        pixels = np.ascontiguousarray(breast_with_bar(1000 + number))
        Image.fromarray(pixels).save(folder / f"{patient}.png")
    table = pd.DataFrame({"image_id": [f"N-{one}" for one in patients], "patient_id": patients})
    table["image"] = table["patient_id"] + ".png"
    table["spacing_mm"] = "1.0"
    table.to_csv(folder / "cohort.csv", index=False)
    return folder


def job_of(config: SegmentationConfig, study: Path, fold: int) -> FoldJob:
    folder = prepare(config, study).parent
    prepare_others(config, study)
    index = read_csv(folder / "prepared" / "index.csv", dtype={"patient_id": str})
    splits = load_splits(study)
    index = index[index["patient_id"].isin(splits.train)]
    return fold_job(config, splits, fold, index, folder, divided_by(config, study))


def divided_by(config: SegmentationConfig, study: Path) -> Normals:
    return find_normals(config, study / "segmentation", load_splits(study))

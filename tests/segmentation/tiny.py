"""A small training for tests."""

from __future__ import annotations

from pathlib import Path

from mammoroi.cohort.split import load_splits
from mammoroi.files import read_csv
from mammoroi.segmentation.config import SegmentationConfig
from mammoroi.segmentation.fold_jobs import FoldJob, fold_job, make_plan
from mammoroi.segmentation.prepare import prepare
from mammoroi.segmentation.train import train_fold

TINY = SegmentationConfig(
    working_spacing_mm=2.0,
    channels=(4, 4, 8, 8, 8),
    epochs=4,
    batch_size=4,
    tuning_fraction=0.3,
    patience=0,
    accelerator="cpu",
    workers=1,
)


def first_fold(study: Path, config: SegmentationConfig) -> tuple[Path, FoldJob, dict]:
    folder = prepare(config, study).parent
    index = read_csv(folder / "prepared" / "index.csv", dtype={"patient_id": str})
    index = index[index["has_mask"]]
    return folder, fold_job(config, load_splits(study), 0, index), make_plan(config, index)


def run_fold(study: Path, config: SegmentationConfig = TINY) -> Path:
    return train_fold(config, *first_fold(study, config))

r"""Wall time of training all folds on one GPU: one after the other, and side by side.

Every setting of ``networks_per_gpu`` trains the same folds of the same study from the beginning,
through the product's own stage, for a few epochs without a tuning metric that could stop them::

    python benchmarks/folds_speed.py STUDY --preset small --epochs 6 --together 1 4

``STUDY`` is prepared (``train_speed.py --make STUDY``); ``--spacing-mm`` says so where its pixels
have another size than the preset's. ``seconds`` counts everything that the stage does, its
processes' start included; ``images_per_s`` are training images of all folds.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import pandas as pd
import torch

from mammoroi.cohort.split import load_splits
from mammoroi.configuration import configured, find_config
from mammoroi.files import write_csv
from mammoroi.segmentation.train import train_prepared
from mammoroi.segmentation.weights import load_folds
from mammoroi.stages import StudyConfig


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("study", type=Path)
    parser.add_argument("--preset", default="small")
    parser.add_argument("--spacing-mm", type=float, help="pixel size of the study's arrays")
    parser.add_argument("--batch", type=int)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--together", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--accelerator", default="gpu", choices=("gpu", "cpu"))
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    config = configured(StudyConfig, "folds_speed", find_config(given.preset), []).segmentation
    config = replace(
        config,
        working_spacing_mm=given.spacing_mm or config.working_spacing_mm,
        batch_size=given.batch or config.batch_size,
        epochs=given.epochs,
        patience=0,
        keep="last",
        tuning_fraction=0.02,
        accelerator=given.accelerator,
    )
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    rows = []
    for together in given.together:
        with tempfile.TemporaryDirectory() as temporary:
            study = copy_of(given.study, Path(temporary) / "study")
            begin = time.perf_counter()
            train_prepared(replace(config, networks_per_gpu=together), study)
            seconds = time.perf_counter() - begin
            folds = len(load_splits(study).folds)
            networks = load_folds(study / "segmentation", folds, 1)
            models = [model for of_fold in networks for model in of_fold]
        images = config.epochs * sum(model.card["n_training_images"] for model in models)
        row = {"networks_per_gpu": together, "folds": len(models), "seconds": seconds}
        rows.append(row | {"images_per_s": images / seconds, "device": device})
        sys.stdout.write(f"{rows[-1]}\n")
        sys.stdout.flush()
        if given.out:
            write_csv(given.out, pd.DataFrame(rows))


def copy_of(study: Path, target: Path) -> Path:
    """Copy the prepared images and folds alone."""
    shutil.copytree(study / "segmentation" / "prepared", target / "segmentation" / "prepared")
    shutil.copy(study / "splits.json", target)
    return target


if __name__ == "__main__":
    main()

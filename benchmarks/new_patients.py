"""What new patients get: each fold's networks alone, and the mean of all folds'.

Cross-fitted figures are of one fold's networks, since the others have seen the patient. New
mammograms are drawn by the mean of all. Here patients are held back (``--test-size``), networks
are trained on the folds of the others by a recipe of :mod:`segmentation_accuracy`, with
``calibrate: true``, and every image held back is drawn by each fold's networks and by all, with
their probability as it is and calibrated.

    MAMMOROI_DATA=... python benchmarks/new_patients.py OUT --cohort all --recipe small

``OUT/<cohort>-<recipe>-<seed>`` is the study folder; ``images.csv`` in it has a row per image and
way of drawing: ``dice``, ``expected_dice``, ``brier`` (within 10 mm of the manual mask) and ``ece``
(expected calibration error near it); those of single folds are means over the folds.
``OUT/new_patients.csv`` pools all studies there: means with 95 % bootstrap intervals over patients,
the difference to single folds as they are, and how many masks of a Dice below 0.5 there are and how
many the flag ``uncertain`` calls (of calibrated maps alone: it is fitted on those).
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.ndimage import distance_transform_edt
from segmentation_accuracy import folder_of, make_cohort
from segmentation_recipes import RECIPES

from mammoroi.cohort.accept import accept
from mammoroi.cohort.cohort import load_cohort
from mammoroi.cohort.config import CohortConfig
from mammoroi.cohort.split import load_splits
from mammoroi.files import read_csv, read_json, write_csv
from mammoroi.imaging.mask import read_mask
from mammoroi.segmentation.agreement import agree
from mammoroi.segmentation.bootstrap import mean_and_median
from mammoroi.segmentation.config import SegmentationConfig
from mammoroi.segmentation.learnt import learnt_settings
from mammoroi.segmentation.outline import trained_outline
from mammoroi.segmentation.pixel_calibration import (
    NEAR_MM,
    calibration_error,
    counts_in_regions,
)
from mammoroi.segmentation.predict import Drawn, draw, segment
from mammoroi.segmentation.prepare import Source, load_mapping, sources
from mammoroi.segmentation.train import train
from mammoroi.segmentation.weights import load_folds

MEASURES = ("dice", "expected_dice", "brier", "ece")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--cohort", choices=("mass", "all"), default="all")
    parser.add_argument("--recipe", default="small")
    parser.add_argument("--test-size", type=float, default=0.25)
    parser.add_argument("--seed", type=int, default=15, help="of the division")
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    study = given.out / f"{given.cohort}-{folder_of(given.recipe)}-{given.seed}"
    config = SegmentationConfig(
        **RECIPES[given.recipe] | {"calibrate": True}, workers=given.workers, patience=0
    )
    cohort = make_cohort(given.out, given.cohort)
    accept(CohortConfig(cohort, test_size=given.test_size, seed=given.seed, stratify=()), study)
    train(config, study)
    segment(config, study)
    agree(config, study)
    write_csv(study / "images.csv", measured(config, study))
    summary = summarise(pooled(given.out))
    write_csv(given.out / "new_patients.csv", summary)
    print(summary.to_string(index=False))


def measured(config: SegmentationConfig, study: Path) -> pd.DataFrame:
    """Draw every test image in every way."""
    splits, trained = load_splits(study), study / "segmentation"
    folds = load_folds(trained, len(splits.folds), config.networks_per_fold)
    models = [model for of_fold in folds for model in of_fold]
    outline = trained_outline(config, trained, len(models))
    flag = read_json(study / "uncertainty.json")["flag"]["threshold"]
    learnt = learnt_settings(trained, None)
    plain = {name: value for name, value in learnt.items() if name != "calibration"}
    rows: list[dict[str, Any]] = []
    for source in sources(load_cohort(study)):
        if source.patient_id not in splits.test:
            continue
        array = np.load(trained / "prepared" / f"{source.image_id}.npy")
        mapping = load_mapping(study, source.image_id)
        for calibrated, settings in ((False, plain), (True, learnt)):
            for way, chosen in (
                *((f"single {fold}", (fold,)) for fold in range(len(folds))),
                ("mean", tuple(range(len(folds)))),
            ):
                drawn = draw(
                    [model for fold in chosen for model in folds[fold]],
                    array,
                    mapping,
                    config.inference() | settings,
                    torch.device("cpu"),
                    outline.of_prepared(study, source.image_id, chosen) if outline else None,
                )
                found = against_manual(drawn, source, study)
                uncertain = None
                if calibrated and flag is not None:
                    uncertain = drawn.uncertainty.expected_dice <= flag
                rows.append(
                    {
                        "image_id": source.image_id,
                        "patient_id": source.patient_id,
                        "way": way.split()[0],
                        "calibrated": calibrated,
                        "poor": found["dice"] < config.poor_dice,
                        "flagged": uncertain,
                        **found,
                    }
                )
    table = pd.DataFrame(rows).astype({"flagged": float})
    keys = ["image_id", "patient_id", "way", "calibrated"]
    return table.groupby(keys, as_index=False).mean()


def against_manual(drawn: Drawn, source: Source, study: Path) -> dict[str, float | None]:
    """Measure one mask and its probability map."""
    assert source.mask is not None
    mapping = load_mapping(study, source.image_id)
    manual = read_mask(source.mask, (mapping.rows, mapping.columns), source.mask_label)
    total = int(drawn.mask.sum() + manual.sum())
    lesion = mapping.mask_to_working(manual) > 0
    pixel_mm = mapping.working_pixel_mm
    breast = np.load(study / "segmentation" / "prepared" / f"{source.image_id}.npy") > 0
    near = (distance_transform_edt(~lesion, sampling=pixel_mm) <= NEAR_MM) & (breast | lesion)
    counts = counts_in_regions(drawn.probability, lesion, breast, pixel_mm)
    return {
        "dice": 2 * int((drawn.mask & manual).sum()) / total if total else 1.0,
        "expected_dice": drawn.uncertainty.expected_dice,
        "brier": float(((drawn.probability - lesion)[near] ** 2).mean()),
        "ece": calibration_error(counts["near"]),
    }


def pooled(out: Path) -> pd.DataFrame:
    """Read the rows of all studies; a patient held back in several of them counts in each."""
    files = sorted(out.glob("*/images.csv"))
    tables = [read_csv(file, dtype={"patient_id": str}) for file in files]
    return pd.concat(
        table.assign(study=file.parent.name) for table, file in zip(tables, files, strict=True)
    )


def summarise(table: pd.DataFrame) -> pd.DataFrame:
    """Mean of each measure, and difference to single folds' networks as they are."""
    keys = ["study", "image_id"]
    base = table[(table["way"] == "single") & ~table["calibrated"]].set_index(keys)
    rows = []
    for (way, calibrated), part in table.groupby(["way", "calibrated"]):
        row: dict[str, Any] = {"way": way, "calibrated": calibrated, "images": len(part)}
        owners = part["patient_id"].to_numpy(dtype=object)
        for measure in MEASURES:
            values = part[measure].to_numpy(dtype=float)
            mean, _ = mean_and_median(values, owners, 1000, 15)
            row[measure] = f"{mean.value:.3f} ({mean.lower:.3f} to {mean.upper:.3f})"
            difference = values - base.loc[pd.MultiIndex.from_frame(part[keys]), measure].to_numpy()
            mean, _ = mean_and_median(difference, owners, 1000, 15)
            row[f"{measure}_gain"] = f"{mean.value:+.3f} ({mean.lower:+.3f} to {mean.upper:+.3f})"
        row["poor"] = part["poor"].sum()
        row["flagged"] = part["flagged"].sum() if calibrated else None
        row["poor_flagged"] = (part["poor"] * part["flagged"]).sum() if calibrated else None
        rows.append(row)
    return pd.DataFrame(rows)


if __name__ == "__main__":
    main()

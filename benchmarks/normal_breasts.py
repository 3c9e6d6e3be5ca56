"""What networks mark in breasts without a lesion, and what having seen such breasts changes.

Phantom patients with both breasts are drawn; networks of the recipe ``small`` are trained, five
folds, on the breasts with a lesion alone (``without``), on these for half as many epochs again
(``longer``), which is as many steps as the third way takes, and with the other breasts
(``with``, ``normal_cohort``). The networks of the last draw a second time, ``limited`` to one false
region in eight normal mammograms (``false_regions_per_normal``). All of them are looked at by
networks that have not seen the patient.

    python benchmarks/normal_breasts.py OUT --patients 40

``OUT/<way>`` are study folders; ``OUT/normal_breasts.csv`` has a row per way: mean Dice and share
found of the breasts with a lesion; of those without, share left empty and mean area drawn; the AUC
of the best mark's score between both; sensitivity at 1/8 false positive per normal mammogram, and
averaged over the rates. 95 % bootstrap intervals over patients.
"""

from __future__ import annotations

import argparse
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
from segmentation_accuracy import shown
from segmentation_recipes import SMALL

from mammoroi.cohort.accept import accept
from mammoroi.cohort.config import CohortConfig
from mammoroi.cohort.synthetic import synthesize
from mammoroi.cohort.synthetic_config import SyntheticConfig
from mammoroi.files import read_csv, write_csv
from mammoroi.segmentation.agreement import agree
from mammoroi.segmentation.config import SegmentationConfig
from mammoroi.segmentation.predict import segment
from mammoroi.segmentation.train import train


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--patients", type=int, default=40)
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    cohort = given.out / "cohort"
    patients = SyntheticConfig(
        n_patients=given.patients, spacing_mm=0.5, other_breast=True, workers=given.workers
    )
    synthesize(patients, cohort)
    plain = SegmentationConfig(**SMALL, workers=given.workers, patience=0)
    told = replace(plain, normal_cohort=str(cohort / "normals"))
    longer = replace(plain, epochs=round(plain.epochs * (1 + told.normals_per_image)))
    limited = replace(told, false_regions_per_normal=0.125)
    rows = []
    ways = {"without": plain, "longer": longer, "with": told, "limited": limited}
    for way, config in ways.items():
        study = given.out / way
        if way == "limited" and not study.exists():
            shutil.copytree(given.out / "with", study)  # whose networks are kept
        accept(CohortConfig(cohort, test_size=0.2, stratify=()), study)
        train(config, study)
        looking = replace(config, normal_cohort=told.normal_cohort)
        segment(looking, study)
        agree(looking, study)
        rows.append({"way": way, **figures(study)})
        write_csv(given.out / "normal_breasts.csv", pd.DataFrame(rows))
    print(pd.DataFrame(rows).to_string(index=False))


def figures(study: Path) -> dict[str, Any]:
    """Read what ``agree`` measured."""
    overlap = read_csv(study / "agreement_summary.csv")
    overlap = overlap[(overlap["comparison"] == "automatic-manual") & (overlap["group"] == "all")]
    found: dict[str, Any] = {}
    for row in overlap[overlap["metric"].isin(["dice", "found"])].to_dict("records"):
        found[row["metric"]] = shown(row["mean"], row["mean_lower"], row["mean_upper"])
    for row in read_csv(study / "normals.csv").to_dict("records"):
        found[row["measure"]] = shown(row["value"], row["lower"], row["upper"])
    froc = read_csv(study / "froc_summary.csv", dtype={"fp_per_image": str})
    for row in froc[froc["group"] == "normals"].to_dict("records"):
        if row["fp_per_image"] in ("0.125", "mean"):
            name = f"sensitivity_{row['fp_per_image']}"
            found[name] = shown(row["sensitivity"], row["lower"], row["upper"])
    return found


if __name__ == "__main__":
    main()

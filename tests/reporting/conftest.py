"""A small, complete study folder with made-up numbers: 60 patients, 120 images, 4 targets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mammoroi.errors import Failure
from mammoroi.files import write_csv, write_failures, write_json
from mammoroi.modeling.clinical_config import ClinicalConfig
from mammoroi.modeling.clinical_tables import tables
from mammoroi.modeling.subgroups_files import dice_by_group, read_groups, write_subgroups
from mammoroi.reporting.config import ReportConfig
from mammoroi.reporting.report import report

from .made_comparison import made_comparison, made_paired
from .made_images import made_features, made_images, made_masks, made_patients
from .made_models import made_classes, made_model

TARGETS = {
    "sln": ("sln", "Sentinel lymph node", "sln", "positive", "negative"),
    "her2-zero": ("her2", "HER2: zero against the rest", "her2", "zero", "low or positive"),
    "her2-low": ("her2", "HER2: low against the rest", "her2", "low", "zero or positive"),
    "her2-positive": ("her2", "HER2: positive against the rest", "her2", "positive", "zero or low"),
}


@pytest.fixture(scope="session")
def make_study() -> Callable[..., Path]:
    """Write the study folder; ``synthetic`` and ``n_patients`` can be chosen."""
    return _make_study


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete synthetic study folder with its report; not to be changed."""
    folder = _make_study(
        tmp_path_factory.mktemp("reporting") / "study", targets=("sln", "her2-low")
    )
    report(ReportConfig(), folder)
    return folder


def _make_study(
    folder: Path,
    synthetic: bool = True,
    n_patients: int = 60,
    targets: tuple[str, ...] = tuple(TARGETS),
) -> Path:
    rng = np.random.default_rng(7)
    chosen = {name: TARGETS[name] for name in targets}
    folder.mkdir(parents=True)
    patients = made_patients(rng, n_patients)
    images = made_images(patients)
    ids = patients["patient_id"].tolist()
    test, train = ids[::3], [one for one in ids if one not in ids[::3]]
    parts = [train[k::3] for k in range(3)]
    write_csv(folder / "patients.csv", patients)
    write_csv(folder / "cohort.csv", images)
    write_json(
        folder / "cohort.json",
        {
            "name": "fixture & friends" if synthetic else "City hospital",
            "synthetic": synthetic,
            "description": "Numbers made up for a test.",
            "source": "drawn at random" if synthetic else "City hospital, 2016 to 2024",
            "n_images_in": len(images) + 2,
            "n_images_used": len(images),
            "n_patients_in": n_patients + 1,
            "n_patients_used": n_patients,
        },
    )
    folds = [{"train": sorted(set(train) - set(part)), "validation": part} for part in parts]
    write_json(
        folder / "splits.json",
        {
            "seed": 15,
            "test_size": 0.3,
            "n_folds": 3,
            "stratify": ["sln", "her2"],
            "train": train,
            "test": test,
            "folds": folds,
        },
    )
    write_failures(
        folder / "excluded.csv",
        [
            Failure("P900_L_CC", "cohort/image", "mask is empty", "draw the lesion"),
            Failure("P900_L_MLO", "cohort/image", "its patient is excluded", "see the patient"),
            Failure("P900", "cohort/patient", "age is 340", "write a value from 15 to 110"),
        ],
    )
    fold_of = {one: str(k) for k, part in enumerate(parts) for one in part}
    made_masks(folder, rng, images, fold_of)
    made_features(folder, rng, images)
    for name, entry in chosen.items():
        for roi, skill in (("manual", 1.3), ("automatic", 1.0)):
            made_model(folder / "models" / name / roi, rng, patients, test, entry, skill)
    write_json(
        folder / "models/targets.json",
        [
            dict(
                zip(("task", "title", "label", "positive", "negative"), entry, strict=True),
                target=name,
                rois=["manual", "automatic"],
            )
            for name, entry in chosen.items()
        ],
    )
    if any(name.startswith("her2") for name in chosen):
        made_classes(folder, patients, test)
    made_comparison(folder, rng, targets)
    made_paired(folder, targets)
    tables(
        ClinicalConfig(tasks=tuple(dict.fromkeys(entry[0] for entry in chosen.values()))), folder
    )
    _subgroups(folder)
    write_json(
        folder / "run.json",
        {
            "mammoroi": "0.1.0",
            "config": {
                "seed": 15,
                "segmentation": {"epochs": 40, "loss": "dice-ce"},
                "modeling": {"alphas": [0.0001, 10.0]},
            },
            "versions": {"numpy": "2.4.6", "torch": "2.9.0"},
            "python": "3.11.2",
            "seeds": {"cohort": 15, "modeling": 15},
            "stages": [
                {
                    "stage": "train",
                    "seconds": 203.4,
                    "peak_memory_mb": 1830.2,
                    "skipped": False,
                    "cases_in": 120,
                    "used": 120,
                    "excluded": 0,
                    "missed": 0,
                    "failed": 0,
                },
                {
                    "stage": "extract",
                    "seconds": 41.0,
                    "peak_memory_mb": 611.0,
                    "skipped": True,
                    "cases_in": 120,
                    "used": 119,
                    "excluded": 0,
                    "missed": 0,
                    "failed": 1,
                },
            ],
        },
    )
    return folder


def _subgroups(folder: Path) -> None:
    """What the stages write by group, by their own functions."""
    groups, _ = read_groups(folder)
    for path in sorted(folder.glob("models/*/*/predictions.csv")):
        predictions = pd.read_csv(path, dtype={"patient_id": str})
        write_subgroups(path.parent, predictions, None, groups)
    write_csv(folder / "comparison/subgroups_dice.csv", dice_by_group(folder, 200, 0))

"""A small study with every file that a run writes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from mammoroi.files import write_csv, write_json

RECIPE = {
    "name": "own",
    "t_test_alpha": 0.04,
    "alpha_max": 10.0,
    "alpha_ratio": 1e-5,
    "n_alphas": 47,
    "lasso_folds": 9,
    "lasso_rule": "1se",
    "smote": True,
    "class_weights": False,
    "kernels": ["linear"],
    "costs": [0.25],
}
FEATURES = {
    "roi": "manual",
    "preset": "mammography-1311",
    "settings": {"binWidth": 23, "distances": [1]},
    "image_types": {"Original": {}, "LoG": {"sigma": [1, 3]}, "LBP2D": {"binWidth": 1}},
    "feature_classes": {"shape2D": None, "glcm": None},
    "preparation": None,
    "settings_sha256": "ab" * 32,
    "engine": "exact",
    "engine_version": "2 pyradiomics-bhklab 3.1.4",
    "versions": {"pyradiomics-bhklab": "3.1.4"},
    "n_features": 1311,
    "counts": {"cases_in": 120, "used": 119, "missed": 0, "failed": 1},
    "spacing_mm": {"least": 0.07, "median": 0.085, "greatest": 0.094},
    "bins": {"original": {"least": 17, "median": 33.0, "greatest": 61}},
    "degenerate_features": ["x"],
}


@pytest.fixture(scope="session")
def complete(study: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small study with every file that a run writes beside those that the report needs."""
    import numpy as np
    import skops.io
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    folder = tmp_path_factory.mktemp("complete") / "study"
    shutil.copytree(study, folder)
    for roi in ("manual", "automatic", "reader2"):
        write_json(folder / f"features/{roi}.json", FEATURES | {"roi": roi})
    rows = [("a", "Original", "shape2D", "differs", "none"), ("b", "LoG", "glcm", "same", "none")]
    columns = ["name", "image_type", "feature_class", "ibsi", "image_ibsi"]
    dictionary = pd.DataFrame(rows, columns=columns).assign(meaning="A meaning.")
    write_csv(folder / "features/dictionary.csv", dictionary)
    for fold in range(3):
        settings = {
            "working_spacing_mm": 0.4, "patch": None, "loss": "dice-ce", "augmentation": "full",
            "epochs": 83, "batch_size": 6, "learning_rate": 0.002,
        }  # fmt: skip
        card = {
            "fold": fold,
            "network": {"architecture": "unet", "channels": [16, 32], "encoder": "resnet18"},
            "settings": settings,
            "inference": {"threshold": 0.5, "max_components": 1, "minimum_area_mm2": 4.0},
            "n_training_patients": 22 + fold,
            "n_tuning_patients": 4,
            "n_training_images": 44,
            "sha256": f"{fold}" * 64,
        }
        write_json(folder / f"segmentation/fold-{fold}/model.json", card)
    X, y = np.array([[0.0], [1.0], [2.0], [3.0]]), [0, 1, 0, 1]
    svm = SVC(kernel="linear", C=0.25)
    fitted = Pipeline([("scale", StandardScaler()), ("svm", svm)]).fit(X, y)
    stability = {"value": 0.43, "lower": 0.21, "upper": 0.65}
    for path in folder.glob("models/*/*/metrics.json"):
        metrics = json.loads(path.read_text())
        metrics["test"]["calibration_slope"] = 0.7
        write_json(path, metrics)
        (path.parent / "literal.json").unlink()
        skops.io.dump(fitted, path.parent / "model.skops")
        about = {
            "settings": {"recipe": RECIPE, "icc_threshold": 0.75, "views": "mean"},
            "features": [], "calibration": {"intercept": 0.0, "slope": 1.0}, "n_train": 40,
            "preset": "mammography-1311", "views": "mean", "model_sha256": "cd" * 32,
            "versions": {"scikit-learn": "1.9.1"},
        }  # fmt: skip
        write_json(path.parent / "model.json", about)
        funnel = json.loads((path.parent / "funnel.json").read_text())
        _change(
            path.parent / "funnel.json", folds=[funnel] * 3, smote_neighbours=5, stability=stability
        )
    write_json(
        folder / "comparison/summary.json",
        {"n_bootstrap": 777, "rules": {"complete_case": "Found."}, "icc": {"reader": "ICC(2,1)"}},
    )
    write_json(folder / "models/cases.json", [])
    for path in folder.glob("tables/table3_*.csv"):
        path.unlink()
    rows = [("univariable", 59, 2.0), ("univariable", 60, 1.5), ("multivariable", 58, None)]
    odds = pd.DataFrame(rows, columns=["analysis", "n", "odds_ratio"])
    write_csv(folder / "tables/table2_sln.csv", odds.assign(method="maximum likelihood"))
    return folder


@pytest.fixture
def copied(complete: Path, tmp_path: Path) -> Path:
    """The complete study, to be spoiled."""
    return Path(shutil.copytree(complete, tmp_path / "study"))


def _change(path: Path, **changes: object) -> None:
    write_json(path, json.loads(path.read_text()) | changes)

"""Models of a study folder: predictions drawn at random, the rest by its own functions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from mammoroi.files import write_csv, write_json
from mammoroi.modeling.calibration import fit_calibration
from mammoroi.modeling.class_coupling import fit_coupling
from mammoroi.modeling.class_models import ClassResult, write_class_result
from mammoroi.modeling.clinical_config import ClinicalConfig
from mammoroi.modeling.config import PRESET_TASKS, ModelingConfig
from mammoroi.modeling.metrics import calibration_table, measure, roc_table
from mammoroi.modeling.netbenefit import decision_curve
from mammoroi.modeling.predictors import clinical_of, fit_predictors, predict_predictors
from mammoroi.modeling.predictors_files import Predicted, write_predictors

CLASSES = ("zero", "low", "positive")
FAMILIES = ("shape2D", "firstorder", "glcm", "glrlm", "glszm", "gldm", "ngtdm")


def made_model(
    folder: Path,
    rng: np.random.Generator,
    patients: pd.DataFrame,
    test: list[str],
    entry: tuple[str, ...],
    skill: float,
) -> None:
    label = (patients[entry[2]] == entry[3]).astype(int)
    score = skill * (label - 0.5) + rng.normal(0, 1, len(label))
    risk = 1 / (1 + np.exp(-score))
    part = np.where(patients["patient_id"].isin(test), "test", "train")
    predictions = pd.DataFrame(
        {
            "patient_id": patients["patient_id"],
            "set": part,
            "fold": np.where(part == "test", "test", "0"),
            "label": label,
            "score": score,
            "risk": risk,
            "radscore": score,
            "missed": False,
        }
    )
    _predictors(folder, patients, predictions, entry[2])
    write_csv(folder / "predictions.csv", predictions)
    sets = {
        "train": predictions["set"] == "train",
        "test": predictions["set"] == "test",
        "all": predictions["set"] != "",
    }
    metrics: dict[str, object] = {"threshold": 0.48}
    curves: dict[str, list[pd.DataFrame]] = {"roc": [], "calibration": [], "decision": []}
    for name, chosen in sets.items():
        y, p = label[chosen].to_numpy(), risk[chosen].to_numpy()
        key = name if name == "test" else f"{name}_out_of_fold"
        metrics[key] = measure(y, p, 0.48, np.zeros(len(y), bool), 100, 15)
        if name != "all":
            curves["roc"].append(roc_table(y, p).assign(set=name))
            curves["calibration"].append(calibration_table(y, p).assign(set=name))
            curves["decision"].append(decision_curve(y, p).assign(set=name))
    metrics["train_apparent"] = metrics["train_out_of_fold"]
    write_json(folder / "metrics.json", metrics)
    for name, parts in curves.items():
        write_csv(folder / f"curves/{name}.csv", pd.concat(parts, ignore_index=True))
    claimed = dict.fromkeys(("auc", "sensitivity", "specificity", "accuracy"), 0.93)
    write_json(
        folder / "literal.json",
        {
            "n_features": 41,
            "train": claimed,
            "test": claimed,
            "test_refit": claimed | {"auc": 0.97},
        },
    )
    write_json(folder / "model.json", {"recipe": {"name": "rigorous", "t_test_alpha": 1.0}})
    names = [f"wavelet-LH_{FAMILIES[k % 7]}_GrayLevelNonUniformity{k}" for k in range(18)]
    coefficients = rng.normal(0, 0.1, len(names))
    write_csv(
        folder / "selection.csv",
        pd.DataFrame(
            {
                "feature": names,
                "coefficient": coefficients,
                "t_p_value": 0.01,
                "t_q_value": 0.1,
                "icc": 0.9,
                "frequency": rng.integers(0, 4, 18) / 3,
            }
        ),
    )
    write_json(
        folder / "funnel.json",
        {
            "extracted": 1311,
            "stable": 911,
            "complete": 905,
            "t_test": 160,
            "lasso": 18,
            "outcome": "fitted",
            "icc_source": "reader2",
            "icc_patients": 30,
            "lasso_alpha": 0.02,
            "stability": {"value": 0.41, "lower": 0.32, "upper": 0.5},
            "folds": [{}] * 6,
        },
    )
    alphas = np.logspace(-4, 1, 20)
    write_csv(
        folder / "lasso_path.csv",
        pd.DataFrame(
            {
                "alpha": alphas,
                "mse_mean": 0.2 + 0.02 * (np.log10(alphas) + 1.6) ** 2,
                "mse_sd": 0.03,
                "mse_se": 0.01,
                "n_nonzero": np.linspace(60, 0, 20).round().astype(int),
                "chosen": np.arange(20) == 9,
            }
        ),
    )
    write_csv(
        folder / "lasso_coefficients.csv",
        pd.DataFrame(
            [
                (alpha, name, c * max(0, 1 - k / 13))
                for name, c in zip(names, coefficients, strict=True)
                for k, alpha in enumerate(alphas)
            ],
            columns=["alpha", "feature", "coefficient"],
        ),
    )


def made_classes(folder: Path, patients: pd.DataFrame, test: list[str]) -> None:
    """HER2's three classes as one model, with a planted signal, and its files by their writer."""
    rng = np.random.default_rng(11)
    codes = patients["her2"].map(CLASSES.index).to_numpy()
    for roi, skill in (("manual", 1.3), ("automatic", 1.0)):
        scores = skill * np.eye(3)[codes] + rng.normal(size=(len(codes), 3))
        coupling = fit_coupling(scores, codes, 3)
        risks = coupling.risks(scores)
        table = patients[["patient_id"]].assign(
            set=np.where(patients["patient_id"].isin(test), "test", "train"),
            fold=np.where(patients["patient_id"].isin(test), None, "0"),
            label=patients["her2"],
            **{f"risk_{name}": risks[:, code] for code, name in enumerate(CLASSES)},
            called=[CLASSES[code] for code in risks.argmax(axis=1)],
            missed=False,
        )
        everybody = table.drop(columns="fold")
        write_class_result(
            folder / "models/her2/classes" / roi,
            ClassResult(PRESET_TASKS["her2"], coupling, table, everybody, 1),
            ModelingConfig(n_bootstrap=100),
        )
    row = {"task": "her2", "title": "HER2 expression", "label": "her2", "classes": CLASSES}
    targets = [f"her2-{name}" for name in CLASSES]
    write_json(
        folder / "models/classes.json",
        [row | {"targets": targets, "rois": ["manual", "automatic"]}],
    )
    paired = ("her2", "test", "intention_to_diagnose", 20, 0, "macro_auc")
    columns = ["task", "set", "rule", "n", "n_missed", "measure"]
    found = ["manual", "automatic", "difference", "lower", "upper", "p"]
    values = (0.81, 0.77, -0.04, -0.09, 0.012, 0.123)
    write_csv(
        folder / "comparison/classes.csv",
        pd.DataFrame([(*paired, *values)], columns=[*columns, *found]),
    )


def _predictors(folder: Path, patients: pd.DataFrame, table: pd.DataFrame, label: str) -> None:
    ids = pd.Index(patients["patient_id"])
    y, scores = (pd.Series(table[name].to_numpy(), index=ids) for name in ("label", "score"))
    test = (table["set"] == "test").to_numpy()
    clinical = clinical_of(patients, label, ClinicalConfig(), y[~test])
    assert clinical is not None
    models = fit_predictors(clinical, scores[~test], y, 15)
    calibration = fit_calibration(scores[~test], y[~test])
    wide = predict_predictors(models, clinical, scores)
    wide["radiomics"] = calibration.risk(scores)
    wide = wide.assign(label=y.to_numpy(), set=table["set"].to_numpy())
    risks = wide.melt(["patient_id", "set", "label"], var_name="predictor", value_name="risk")
    predicted = Predicted(clinical, models, scores[~test], risks)
    write_predictors(folder, predicted, calibration, True)

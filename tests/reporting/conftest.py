"""A small, complete study folder with made-up numbers: 60 patients, 120 images, 4 targets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageDraw

from mammoroi.errors import Failure
from mammoroi.files import write_csv, write_failures, write_json, write_parquet
from mammoroi.modeling.calibration import fit_calibration
from mammoroi.modeling.clinical_config import ClinicalConfig
from mammoroi.modeling.compare_features import icc_by_dice
from mammoroi.modeling.compare_risks import compare_risks
from mammoroi.modeling.cross_application import cross_rows
from mammoroi.modeling.pairs import pair_predictions
from mammoroi.modeling.predictors import clinical_of, fit_predictors, predict_predictors
from mammoroi.modeling.predictors_files import Predicted, write_predictors
from mammoroi.reporting.config import ReportConfig
from mammoroi.reporting.report import report

FAMILIES = ("shape2D", "firstorder", "glcm", "glrlm", "glszm", "gldm", "ngtdm")
TYPES = ("original", "wavelet-LH", "log-sigma-1-mm-3D", "square", "lbp-2D")
GRID = np.linspace(0.01, 0.99, 50)
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
    patients = _patients(rng, n_patients)
    images = _images(patients)
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
    _masks(folder, rng, images, fold_of)
    _features(folder, rng, images)
    for name, entry in chosen.items():
        for roi, skill in (("manual", 1.3), ("automatic", 1.0)):
            _model(folder / "models" / name / roi, rng, patients, test, entry, skill)
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
    _comparison(folder, rng, targets)
    _paired(folder, targets)
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


def _patients(rng: np.random.Generator, n: int) -> pd.DataFrame:
    table = pd.DataFrame(
        {
            "patient_id": [f"P{k:03d}" for k in range(n)],
            "age": rng.normal(52, 10, n).round(),
            "size_cm": rng.uniform(0.8, 4, n).round(1),
            "menopause": rng.choice(["no", "yes"], n),
            "grade": rng.choice(["I", "II", "III"], n, p=[0.1, 0.5, 0.4]),
            "breast_density": rng.choice(["fatty", "heterogeneous", "extremely_dense"], n),
            "sln": rng.choice(["negative", "positive"], n),
            "her2": rng.choice(["zero", "low", "positive"], n),
        }
    )
    table.loc[3, "grade"] = np.nan
    return table


def _images(patients: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for k, patient in enumerate(patients["patient_id"]):
        for view in ("CC", "MLO"):
            image_id = f"{patient}_L_{view}"
            rows.append(
                {
                    "image_id": image_id,
                    "patient_id": patient,
                    "view": view,
                    "laterality": "L",
                    "image": f"images/{image_id}.dcm",
                    "mask": f"masks/{image_id}.png",
                    "mask_reader2": f"masks2/{image_id}.png" if k % 2 else np.nan,
                    "spacing_source": "estimated" if k < 5 else "measured",
                }
            )
    return pd.DataFrame(rows)


def _masks(
    folder: Path, rng: np.random.Generator, images: pd.DataFrame, fold_of: dict[str, str]
) -> None:
    n = len(images)
    fold = images["patient_id"].map(fold_of).fillna("test")
    found = np.arange(n) % 40 != 7
    base = images[["image_id", "patient_id"]].assign(fold=fold)
    write_csv(
        folder / "masks/predictions.csv",
        base.assign(found=found, area_mm2=200.0, mean_probability=0.8, model_sha256="0" * 64),
    )
    write_failures(folder / "masks/failures.csv", [])
    tables = []
    for comparison, a in (("automatic-manual", 9.0), ("reader2-manual", 16.0)):
        dice = np.where(found | (comparison != "automatic-manual"), rng.beta(a, 2, n), 0.0)
        table = base.assign(
            comparison=comparison,
            dice=dice,
            iou=dice / (2 - dice),
            hd95_mm=9 - 8 * dice,
            view=images["view"],
            size_group=np.where(np.arange(n) % 2, "small", "large"),
            found=found,
            breast_density=np.array(["fatty", "dense"])[np.arange(n) % 2],
        )
        tables.append(table[images["mask_reader2"].notna() | (comparison == "automatic-manual")])
    agreement = pd.concat(tables)
    write_csv(folder / "agreement.csv", agreement)
    rows = []
    for comparison, table in agreement.groupby("comparison"):
        groups = {"all": table}
        for column in ("view", "size_group", "breast_density"):
            groups |= {f"{column}={level}": part for level, part in table.groupby(column)}
        groups |= {
            "set=train": table[table["fold"] != "test"],
            "set=test": table[table["fold"] == "test"],
        }
        for group, part in groups.items():
            for metric in ("dice", "iou", "hd95_mm"):
                mean, half = part[metric].mean(), 1.96 * part[metric].std() / len(part) ** 0.5
                median = part[metric].median()
                rows.append(
                    (
                        comparison,
                        group,
                        metric,
                        len(part),
                        mean,
                        mean - half,
                        mean + half,
                        median,
                        median - half,
                        median + half,
                    )
                )
    columns = [
        "comparison",
        "group",
        "metric",
        "n",
        "mean",
        "mean_lower",
        "mean_upper",
        "median",
        "median_lower",
        "median_upper",
    ]
    write_csv(folder / "agreement_summary.csv", pd.DataFrame(rows, columns=columns))
    for k in range(3):
        epoch = np.arange(30)
        write_csv(
            folder / f"segmentation/fold-{k}/history.csv",
            pd.DataFrame(
                {
                    "epoch": epoch,
                    "train_loss": np.exp(-epoch / 8) + 0.1,
                    "tuning_loss": np.exp(-epoch / 8) + 0.2 + 0.02 * k,
                    "tuning_dice": 0.85 * (1 - np.exp(-epoch / 6)) - 0.02 * k,
                }
            ),
        )
    _overlays(folder, images, agreement)


def _overlays(folder: Path, images: pd.DataFrame, agreement: pd.DataFrame) -> None:
    rows = []
    (folder / "overlays").mkdir()
    for at, (rank, k) in enumerate((r, k) for r in ("best", "median", "worst") for k in range(2)):
        image_id = images["image_id"][at]
        picture = Image.new("RGB", (300, 420), (12, 12, 12))
        draw = ImageDraw.Draw(picture)
        draw.ellipse((-160, 40, 230, 390), fill=(110, 110, 110))
        draw.ellipse((80, 180, 150, 260), fill=(190, 190, 190), outline=(0, 114, 178), width=3)
        draw.ellipse((86, 186 + 8 * k, 158, 262), outline=(213, 94, 0), width=2)
        picture.save(folder / f"overlays/{rank}-{image_id}.png")
        dice = agreement["dice"].iloc[at]
        rows.append((image_id, rank, dice, f"{rank}-{image_id}.png"))
    write_csv(
        folder / "overlays/overlays.csv",
        pd.DataFrame(rows, columns=["image_id", "rank", "dice", "file"]),
    )


def _features(folder: Path, rng: np.random.Generator, images: pd.DataFrame) -> None:
    base = images[["image_id", "patient_id", "view", "laterality"]]
    predictions = pd.read_csv(folder / "masks/predictions.csv")
    kept = {
        "manual": base.drop(index=11),
        "automatic": base[predictions["found"].to_numpy()],
        "reader2": base[images["mask_reader2"].notna()],
    }
    for roi, table in kept.items():
        write_parquet(
            folder / f"features/{roi}.parquet",
            table.assign(original_firstorder_Mean=rng.normal(size=len(table))),
        )
        write_json(
            folder / f"features/{roi}.json",
            {"preset": "mammography-1311", "settings": {"binWidth": 25}, "seconds": 12.5},
        )
    write_failures(
        folder / "features/failures.csv",
        [Failure(images["image_id"][11], "radiomics/manual", "1 pixel <in mask>", "draw it anew")],
    )
    lost = images.loc[~predictions["found"].to_numpy(), ["image_id", "patient_id"]]
    write_csv(folder / "features/missed.csv", lost.assign(roi="automatic"))


def _model(
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
    metrics: dict[str, object] = {"threshold": 0.48}
    roc, calibration, decision = [], [], []
    for name, key in (("train", "train_out_of_fold"), ("test", "test")):
        y, p = label[part == name].to_numpy(), risk[part == name].to_numpy()
        auc = float(np.mean(p[y == 1][:, None] > p[y == 0][None, :]))
        values: dict[str, float] = {"n": len(y), "n_positive": int(y.sum())}
        for metric, value in (
            ("auc", auc),
            ("sensitivity", np.mean(p[y == 1] > 0.48)),
            ("specificity", np.mean(p[y == 0] <= 0.48)),
            ("accuracy", np.mean((p > 0.48) == y)),
        ):
            values |= {
                metric: value,
                f"{metric}_lower": value - 0.09,
                f"{metric}_upper": min(1, value + 0.08),
            }
        metrics[key] = values | {
            "brier": float(np.mean((p - y) ** 2)),
            "calibration_intercept": 0.05,
            "calibration_slope": 0.7,
        }
        roc += [
            (name, np.mean(p[y == 0] >= cut), np.mean(p[y == 1] >= cut), cut)
            for cut in (np.inf, *np.sort(p)[::-1])
        ]
        for group in np.array_split(np.argsort(p), 5):
            seen = y[group].mean()
            calibration.append(
                (name, p[group].mean(), seen, max(0, seen - 0.2), min(1, seen + 0.2), len(group))
            )
        for t in GRID:
            weight = t / (1 - t)
            nb = np.mean((p >= t) & (y == 1)) - weight * np.mean((p >= t) & (y == 0))
            decision.append(
                (name, t, nb, nb - 0.05, nb + 0.05, y.mean() - weight * (1 - y.mean()), 0.0)
            )
    metrics["train_apparent"] = metrics["train_out_of_fold"]
    write_json(folder / "metrics.json", metrics)
    write_csv(
        folder / "curves/roc.csv",
        pd.DataFrame(
            roc, columns=["set", "false_positive_rate", "true_positive_rate", "threshold"]
        ),
    )
    write_csv(
        folder / "curves/calibration.csv",
        pd.DataFrame(
            calibration,
            columns=["set", "predicted", "observed", "observed_lower", "observed_upper", "n"],
        ),
    )
    write_csv(
        folder / "curves/decision.csv",
        pd.DataFrame(
            decision,
            columns=[
                "set",
                "threshold",
                "net_benefit",
                "net_benefit_lower",
                "net_benefit_upper",
                "treat_all",
                "treat_none",
            ],
        ),
    )
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
            "folds": [],
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


def _predictors(folder: Path, patients: pd.DataFrame, table: pd.DataFrame, label: str) -> None:
    ids = pd.Index(patients["patient_id"])
    y, scores = (pd.Series(table[name].to_numpy(), index=ids) for name in ("label", "score"))
    test = (table["set"] == "test").to_numpy()
    clinical = clinical_of(patients, label, ClinicalConfig())
    assert clinical is not None
    models = fit_predictors(clinical, scores[~test], y, 15)
    calibration = fit_calibration(scores[~test], y[~test])
    wide = predict_predictors(models, clinical, scores)
    wide["radiomics"] = calibration.risk(scores)
    wide = wide.assign(label=y.to_numpy(), set=table["set"].to_numpy())
    risks = wide.melt(["patient_id", "set", "label"], var_name="predictor", value_name="risk")
    predicted = Predicted(clinical, models, scores[~test], risks)
    write_predictors(folder, predicted, calibration, True)


def _comparison(folder: Path, rng: np.random.Generator, targets: tuple[str, ...]) -> None:
    import json

    rows = []
    for target in targets:
        for name, key in (("train", "train_out_of_fold"), ("test", "test")):
            manual, automatic = (
                json.loads((folder / f"models/{target}/{roi}/metrics.json").read_text())[key]
                for roi in ("manual", "automatic")
            )
            gap = automatic["auc"] - manual["auc"]
            rows += [
                (
                    *(target, name, rule, manual["n"], 1, manual["auc"], automatic["auc"], gap),
                    *(gap - 0.08, gap + 0.08, 0.0004 if name == "train" else 0.31),
                    *(gap - 0.09, gap + 0.09),
                )
                for rule in ("complete_case", "intention_to_diagnose")
            ]
    columns = [
        "target",
        "set",
        "rule",
        "n",
        "n_missed",
        "auc_manual",
        "auc_automatic",
        "difference",
        "lower",
        "upper",
        "p_delong",
        "bootstrap_lower",
        "bootstrap_upper",
    ]
    write_csv(folder / "comparison/auc.csv", pd.DataFrame(rows, columns=columns))
    n = 210
    stability = pd.DataFrame(
        {
            "feature": [f"original_{FAMILIES[k % 7]}_F{k}" for k in range(n)],
            "family": [FAMILIES[k % 7] for k in range(n)],
            "image_type": "original",
        }
    )
    for source, a in (("reader", 8.0), ("perturbation", 12.0), ("automatic", 4.0)):
        value = rng.beta(a, 2, n)
        stability[f"icc_{source}"] = value
        stability[f"icc_{source}_lower"] = value - 0.1
        stability[f"icc_{source}_upper"] = value + 0.05
        stability[f"n_{source}"] = 118
    write_csv(folder / "comparison/stability.csv", stability)


def _paired(folder: Path, targets: tuple[str, ...]) -> None:
    """Further tables of the stage `compare`, by its own functions."""
    tables: dict[str, list[pd.DataFrame]] = {}
    for target in targets:
        pairs, _ = pair_predictions(folder / "models" / target)
        for part, rows in pairs.groupby("set", sort=False):
            for rule in ("complete_case", "intention_to_diagnose"):
                chosen = rows.iloc[2:] if rule == "complete_case" else rows
                own = {"manual": 0.48, "automatic": 0.48}
                crossed = chosen.set_index("patient_id")["risk_automatic"]
                found = compare_risks(chosen, 0.05, (), own, 200, 0)
                found["cross_application"] = pd.DataFrame(
                    cross_rows(chosen, {"manual": crossed, "automatic": None})
                )
                for name, table in found.items():
                    keys = {"target": target, "set": part, "rule": rule}
                    tables.setdefault(name, []).append(table.assign(**keys))
    for name, parts in tables.items():
        write_csv(folder / "comparison" / f"{name}.csv", pd.concat(parts, ignore_index=True))
    rng = np.random.default_rng(0)
    images = pd.read_parquet(folder / "features/automatic.parquet").iloc[:, :4]
    names = [f"{kind}_{family}_F" for kind in TYPES for family in FAMILIES]
    values = rng.normal(size=(len(images), len(names)))
    agreement = pd.read_csv(folder / "agreement.csv").query("comparison == 'automatic-manual'")
    dice = agreement.set_index("image_id")["dice"]
    noise = (1 - dice[images["image_id"]].to_numpy())[:, None] * rng.normal(size=values.shape)
    frames = [
        pd.concat([images, pd.DataFrame(numbers, images.index, names)], axis=1)
        for numbers in (values, values + 2 * noise)
    ]
    features, summary = icc_by_dice(*frames, dice, (0.5, 0.7, 0.85), 0.75)
    write_csv(folder / "comparison/icc_dice.csv", features)
    write_csv(folder / "comparison/icc_dice_summary.csv", summary)

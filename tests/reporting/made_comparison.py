"""The tables of the stage `compare` of a made-up study, by its own functions where it can."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd

from mammoroi.files import write_csv
from mammoroi.modeling.compare_features import icc_by_dice
from mammoroi.modeling.compare_risks import compare_risks
from mammoroi.modeling.cross_application import cross_rows
from mammoroi.modeling.pairs import pair_predictions

from .made_models import FAMILIES

TYPES = ("original", "wavelet-LH", "log-sigma-1-mm-3D", "square", "lbp-2D")


def made_comparison(folder: Path, rng: np.random.Generator, targets: tuple[str, ...]) -> None:
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


def made_paired(folder: Path, targets: tuple[str, ...]) -> None:
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

"""Made-up patients, images, masks and feature tables of a study folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw

from mammoroi.errors import Failure
from mammoroi.files import write_csv, write_failures, write_json, write_parquet


def made_patients(rng: np.random.Generator, n: int) -> pd.DataFrame:
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


def made_images(patients: pd.DataFrame) -> pd.DataFrame:
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


def made_masks(
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


def made_features(folder: Path, rng: np.random.Generator, images: pd.DataFrame) -> None:
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

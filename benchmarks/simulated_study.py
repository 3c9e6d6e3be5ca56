"""A study folder with feature tables only, at the size of the published cohort.

838 patients with two views and the clinical columns of the package's template, 1,311 features that
share latent factors (some are nearly each other's copies), outlined by two readers and
automatically. Each class of either task is planted in some features, so that the best reader's
AUC of it is 0.85. A twentieth of the features differs between outlines; 1 % of the lesions has no
automatic outline.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import norm

from mammoroi.cohort.clinical import draw_patient, read_template
from mammoroi.cohort.config import CohortConfig
from mammoroi.cohort.split import make_splits, write_splits
from mammoroi.files import write_csv, write_json, write_parquet

AREA = "original_shape2D_PixelSurface"
LATENT, CARRIERS, CEILING = 40, 5, 0.85


def write_study(folder: Path, *, patients: int = 838, features: int = 1311, seed: int = 0) -> Path:
    """Write what the stage `model` reads."""
    rng = np.random.default_rng(seed)
    template = read_template().sample(patients, random_state=seed)
    rows = template.to_dict("records")
    people = pd.DataFrame(
        [draw_patient(f"P{n:04d}", row, rng) for n, row in enumerate(rows)]
    ).assign(her2=template["her2"].to_numpy())
    write_csv(folder / "patients.csv", people)
    write_splits(folder, make_splits(CohortConfig(), people))

    loadings = rng.normal(size=(LATENT, features)) * (rng.random((LATENT, features)) < 0.15)
    own = np.exp(rng.uniform(np.log(0.03), np.log(0.7), features))
    values = rng.normal(size=(patients, LATENT)) @ loadings
    values += own * rng.normal(size=values.shape)
    values /= values.std(axis=0)
    classes = [people["sln"] == "positive", *(people["her2"] == name for name in ("zero", "low"))]
    carriers = rng.permutation(np.arange(1, features))[: CARRIERS * len(classes)]
    shift = np.sqrt(2 / CARRIERS) * norm.ppf(CEILING)
    for planted, among in zip(classes, np.split(carriers, len(classes)), strict=True):
        noise = rng.normal(size=(patients, CARRIERS))
        values[:, among] = shift * planted.to_numpy()[:, None] + noise

    ids = people["patient_id"]
    keys = pd.DataFrame(
        [(f"{p}-{v}", p, v, "L") for p in ids for v in ("CC", "MLO")],
        columns=["image_id", "patient_id", "view", "laterality"],
    )
    names = [AREA, *(f"original_glcm_F{n:04d}" for n in range(1, features))]
    views = np.repeat(values, 2, axis=0) + 0.2 * rng.normal(size=(2 * patients, features))
    scatter = np.where(np.arange(features) % 20 == 1, 3.0, 0.15)
    scatter[carriers] = 0.15
    lost = rng.random(2 * patients) < 0.01
    for roi, size in (("manual", 1.0), ("automatic", 2.0), ("reader2", 1.0)):
        outlined = views + size * scatter * rng.normal(size=views.shape)
        table = pd.concat([keys, pd.DataFrame(outlined, columns=names)], axis=1)
        kept = table[~lost] if roi == "automatic" else table
        write_parquet(folder / "features" / f"{roi}.parquet", kept.reset_index(drop=True))
        made = {"preset": "simulated", "settings_sha256": "0" * 64}
        write_json(folder / "features" / f"{roi}.json", made)
    missed = keys.loc[lost, ["image_id", "patient_id"]].assign(roi="automatic")
    write_csv(folder / "features" / "missed.csv", missed)
    return folder

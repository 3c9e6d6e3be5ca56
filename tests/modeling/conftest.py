"""A simulated study: correlated features of patients, views and readers, with a planted signal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mammoroi.files import write_csv, write_json, write_parquet
from mammoroi.modeling.config import PRESET_TASKS
from mammoroi.modeling.targets import targets_of
from mammoroi.modeling.validate import Dataset, divide

IMAGE_TYPES = ("original", "wavelet-LH", "wavelet-HL", "log-sigma-1-mm-3D", "square", "lbp-2D")
FAMILIES = ("firstorder", "glcm", "glrlm", "glszm", "gldm", "ngtdm")
AREA = "original_shape2D_PixelSurface"


@dataclass(frozen=True)
class Simulation:
    """A study folder and the truth behind it."""

    folder: Path
    patients: pd.DataFrame
    score: pd.Series
    carriers: list[str]


def feature_list(n: int) -> list[str]:
    kinds = [f"{kind}_{family}" for kind in IMAGE_TYPES for family in FAMILIES]
    return [AREA] + [f"{kinds[i % len(kinds)]}_F{i:04d}" for i in range(n - 1)]


def simulate(
    folder: Path,
    *,
    n: int = 120,
    n_features: int = 120,
    step: float = 2.0,
    n_carriers: int = 20,
    n_latent: int = 15,
    n_folds: int = 3,
    second_reader: float = 0.5,
    missed_both: int = 2,
    missed_one: int = 3,
    seed: int = 0,
) -> Simulation:
    """Write a study folder.

    A latent score, N(±step/2, 1) by SLN, loads on the carriers among features that share latent
    factors. Views and readers add noise; a tenth of the features is unstable between readers.
    """
    rng = np.random.default_rng(seed)
    names = feature_list(n_features)
    ids = [f"P{i:04d}" for i in range(n)]
    sln = rng.permutation(np.arange(n) % 2)
    her2 = rng.permutation(np.arange(n) % 3)
    score = step * (sln - 0.5) + rng.normal(size=n)
    loadings = rng.normal(size=(n_latent, n_features)) * (rng.random((n_latent, n_features)) < 0.3)
    base = rng.normal(size=(n, n_latent)) @ loadings + 0.3 * rng.normal(size=(n, n_features))
    carriers = 1 + rng.choice(n_features - 1, n_carriers, replace=False)
    base[:, carriers] += score[:, None] * rng.uniform(0.8, 1.6, n_carriers)
    unstable = np.arange(1, n_features, 10)
    reader_noise = np.full(n_features, 0.15)
    reader_noise[unstable] = 4.0

    keys = pd.DataFrame(
        [(f"{p}-{v}", p, v, "L") for p in ids for v in ("CC", "MLO")],
        columns=["image_id", "patient_id", "view", "laterality"],
    )
    per_view = np.repeat(base, 2, axis=0) + 0.2 * rng.normal(size=(2 * n, n_features))

    def outlined(scale: float) -> pd.DataFrame:
        values = per_view + scale * reader_noise * rng.normal(size=per_view.shape)
        values[:, 0] = 100 + 10 * values[:, 0]
        return pd.concat([keys, pd.DataFrame(values, columns=names)], axis=1)

    missed = [f"{p}-{v}" for p in ids[:missed_both] for v in ("CC", "MLO")]
    missed += [f"{p}-CC" for p in ids[missed_both : missed_both + missed_one]]
    tables = {"manual": outlined(1.0), "automatic": outlined(2.0), "reader2": outlined(1.0)}
    tables["automatic"] = tables["automatic"][~keys["image_id"].isin(missed)]
    tables["reader2"] = tables["reader2"].head(int(second_reader * 2 * n))
    for roi, table in tables.items():
        if len(table):
            write_parquet(folder / "features" / f"{roi}.parquet", table)
            made = {"preset": "simulated", "settings_sha256": "0" * 64}
            write_json(folder / "features" / f"{roi}.json", made)
    lost = keys[keys["image_id"].isin(missed)][["image_id", "patient_id"]]
    write_csv(folder / "features" / "missed.csv", lost.assign(roi="automatic"))

    patients = pd.DataFrame(
        {
            "patient_id": ids,
            "sln": np.array(["negative", "positive"])[sln],
            "her2": np.array(["zero", "low", "positive"])[her2],
        }
    )
    write_csv(folder / "patients.csv", patients)
    order = rng.permutation(n)
    n_test = int(np.ceil(0.3 * n))
    test = sorted(ids[i] for i in order[:n_test])
    train = sorted(ids[i] for i in order[n_test:])
    folds = [
        {
            "train": [p for i, p in enumerate(train) if i % n_folds != k],
            "validation": train[k::n_folds],
        }
        for k in range(n_folds)
    ]
    splits = {"seed": seed, "test_size": 0.3, "n_folds": n_folds, "stratify": ["sln"]}
    write_json(folder / "splits.json", splits | {"train": train, "test": test, "folds": folds})
    return Simulation(
        folder, patients, pd.Series(score, index=ids), [names[i] for i in sorted(carriers)]
    )


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory) -> Simulation:
    """A study on which nothing has been fitted; tests that change it copy it first."""
    return simulate(tmp_path_factory.mktemp("study"))


def _centres_data(shift: float, seed: int = 0, n: int = 240, n_centres: int = 4) -> Dataset:
    """Eight of 40 features carry a signal; each centre moves and scales every feature."""
    rng = np.random.default_rng(seed)
    ids = [f"P{i:03d}" for i in range(n)]
    y = pd.Series(np.arange(n) % 2, ids)
    number = np.arange(n) // 2 % n_centres
    values = rng.normal(size=(n, 40))
    values[:, :8] += 0.6 * y.to_numpy()[:, None]
    values *= np.exp(0.2 * shift * rng.normal(size=(n_centres, 40)))[number]
    values += (shift * rng.normal(size=(n_centres, 40)))[number]
    X = pd.DataFrame(values, ids, [f"f{i}" for i in range(40)])
    centres = pd.Series(np.array(list("ABCDEFGH"))[number], ids)
    division = divide(ids, y, 4, 1)
    target = targets_of(PRESET_TASKS["sln"])[0]
    return Dataset(target, "manual", X, y, None, tuple(ids), (), (division,), centres=centres)


@pytest.fixture(scope="session")
def centres_data() -> Callable[..., Dataset]:
    """Make patients of several centres: shift of the centres, seed, patients, centres."""
    return _centres_data


@pytest.fixture(scope="session")
def make_study() -> Callable[..., Simulation]:
    """Write a study of one's own: :func:`simulate`."""
    return simulate

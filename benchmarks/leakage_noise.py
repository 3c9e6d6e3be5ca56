"""The leakage audit on noise, where every honest test AUC is 0.5.

    python benchmarks/leakage_noise.py [--replicates 20] [--workers 0] [--out FILE.csv]

838 patients with 1,302 features that know nothing and a label with a prevalence of 49 % (SLN) or
29 % (HER2 zero). The features are independent, or correlated: 20 hidden factors make 40 % of the
variance of each, with normal loadings. Every replicate has patients, features and a division of its
own. Prints the mean test AUC and its standard deviation for the recipes A to G of `mammoroi
leakage`, then, for two images of each patient (independent features; a feature's correlation within
a patient is 0.5 or 0.8), a division by image against one by patient.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np
import pandas as pd
from joblib import Parallel, delayed

from mammoroi.modeling.leakage import BY_IMAGE, BY_PATIENT, Rows, one_replicate, tabulate
from mammoroi.modeling.literal import Leaks, claim

PATIENTS, FEATURES = 838, 1302
FACTORS, COMMON = 20, 0.4
PREVALENCES = {"SLN": 0.493, "HER2 zero": 0.293}
WITHIN = (0.5, 0.8)


def rows(target: str, *, correlated: bool, seed: int) -> Rows:
    """Patients who know nothing about their labels."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(PATIENTS, FEATURES))
    if correlated:
        loadings = rng.normal(size=(FACTORS, FEATURES)) / np.sqrt(FACTORS)
        factors = rng.normal(size=(PATIENTS, FACTORS)) @ loadings
        X = np.sqrt(COMMON) * factors + np.sqrt(1 - COMMON) * X
    y = (np.arange(PATIENTS) < round(PREVALENCES[target] * PATIENTS)).astype(int)
    kind = "correlated" if correlated else "independent"
    return Rows(f"{target}, {kind}", X, y, None, np.empty(0, dtype=int))


def replicate(target: str, correlated: bool, seed: int):
    """Every recipe on patients of their own."""
    return one_replicate(rows(target, correlated=correlated, seed=seed), seed)


def images(within: float, seed: int) -> tuple[float, float]:
    """Test AUC of two images of each patient, divided by patient and by image."""
    rng = np.random.default_rng(seed)
    patients = np.repeat(rng.normal(size=(PATIENTS, FEATURES)), 2, axis=0)
    X = np.sqrt(within) * patients + np.sqrt(1 - within) * rng.normal(size=patients.shape)
    owners = np.repeat(np.arange(PATIENTS), 2)
    positive = round(PREVALENCES["SLN"] * PATIENTS)
    y = rng.permutation((np.arange(PATIENTS) < positive).astype(int))[owners]
    first, second = (claim(X, y, Leaks(), seed, groups).test["auc"] for groups in (owners, None))
    return first, second


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--replicates", type=int, default=20)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--out", type=Path, help="write the tables as CSV too")
    arguments = parser.parse_args()
    seeds = range(arguments.replicates)
    tables = []
    with Parallel(n_jobs=arguments.workers or os.cpu_count(), inner_max_num_threads=1) as parallel:
        for target in PREVALENCES:
            for correlated in (False, True):
                outcomes = parallel(delayed(replicate)(target, correlated, seed) for seed in seeds)
                data = rows(target, correlated=correlated, seed=0)
                tables.append(tabulate(data, outcomes))
                table = tables[-1].round(3)
                shown = table.drop(columns=["description", "prevalence"]).to_string(index=False)
                print(shown, flush=True)
                if arguments.out:
                    pd.concat(tables).to_csv(arguments.out, index=False)
        wide = pd.concat(tables).pivot_table("test_auc", "recipe", "target", sort=False)
        print(wide.round(3).to_string(), flush=True)
        for within in WITHIN:
            found = np.array(parallel(delayed(images)(within, seed) for seed in seeds))
            for (name, _), auc in zip((BY_PATIENT, BY_IMAGE), found.T, strict=True):
                print(f"r {within}, {name}: {auc.mean():.3f} ({auc.std(ddof=1):.3f})", flush=True)


if __name__ == "__main__":
    main()

"""The leakage audit on noise, where every honest test AUC is 0.5.

    python benchmarks/leakage_noise.py [--replicates 20] [--workers 0]

838 patients with 1,302 features that know nothing, independent or correlated, and a label with a
prevalence of 49 % (SLN) or 29 % (HER2 zero); of each, the mean test AUC and its standard deviation
for the recipes A to G of `mammoroi leakage`.
"""

from __future__ import annotations

import argparse
import os

import numpy as np
import pandas as pd
from joblib import Parallel, delayed

from mammoroi.modeling.leakage import Rows, one_replicate, tabulate

PATIENTS, FEATURES, LATENT = 838, 1302, 40


def rows(prevalence: float, *, correlated: bool, seed: int = 0) -> Rows:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(PATIENTS, FEATURES))
    if correlated:
        loadings = rng.normal(size=(LATENT, FEATURES)) * (rng.random((LATENT, FEATURES)) < 0.15)
        X = rng.normal(size=(PATIENTS, LATENT)) @ loadings + 0.7 * X
    y = (np.arange(PATIENTS) < round(prevalence * PATIENTS)).astype(int)
    kind = "correlated" if correlated else "independent"
    return Rows(f"{prevalence:.0%}, {kind}", X, y, None, np.empty(0, dtype=int))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--replicates", type=int, default=20)
    parser.add_argument("--workers", type=int, default=0)
    arguments = parser.parse_args()
    tables = []
    for prevalence in (0.493, 0.293):
        for correlated in (False, True):
            data = rows(prevalence, correlated=correlated)
            outcomes = Parallel(
                n_jobs=arguments.workers or os.cpu_count(), inner_max_num_threads=1
            )(delayed(one_replicate)(data, seed) for seed in range(arguments.replicates))
            tables.append(tabulate(data, outcomes))
            table = tables[-1].round(3)
            print(table.drop(columns=["description", "prevalence"]).to_string(index=False))
    wide = pd.concat(tables).pivot_table("test_auc", "recipe", "target", sort=False)
    print(wide.round(3).to_string())


if __name__ == "__main__":
    main()

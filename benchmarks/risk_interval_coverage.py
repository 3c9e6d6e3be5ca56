"""How often the interval of a risk holds the true share of positives at the patient's score.

    python benchmarks/risk_interval_coverage.py [--studies 100] [--patients 150] [--signal 1.0]

Simulates studies of features of which some carry a planted signal, fits the recipe as a study does
(final model, sigmoid, out-of-fold predictions), and asks at five scores whether the interval holds
the truth: the mean true probability of new patients with about that score, of 40,000.

``given the score``: intervals as they are meant, around the final model's own calibration. The
coverage falls short of 95 % by what out-of-fold models differ from the final one.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

import numpy as np
import pandas as pd

from mammoroi.clinic.intervals import spread_of
from mammoroi.modeling.config import ModelingConfig
from mammoroi.modeling.recipes import Recipe
from mammoroi.modeling.targets import Target
from mammoroi.modeling.validate import Dataset, divide, run_final, run_fold

N_FEATURES, N_INFORMATIVE, N_NEW = 40, 5, 40_000
SHARES = (0.05, 0.25, 0.5, 0.75, 0.95)


def draw(
    rng: np.random.Generator, n: int, signal: float
) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """Features, true probabilities and labels of n patients."""
    values = rng.normal(size=(n, N_FEATURES))
    linear = signal * values[:, :N_INFORMATIVE].sum(axis=1) / np.sqrt(N_INFORMATIVE) - 0.3
    truth = 1 / (1 + np.exp(-linear))
    table = pd.DataFrame(values, columns=[f"f{k}" for k in range(N_FEATURES)])
    table.index = pd.Index([f"p{k:05d}" for k in range(n)], name="patient_id")
    return table, truth, (rng.random(n) < truth).astype(int)


def one_study(seed: int, n: int, signal: float, repeats: int) -> list[tuple[float, ...]] | None:
    """Interval, risk and truth at five scores; None where no feature was selected."""
    rng = np.random.default_rng(seed)
    X, _, labels = draw(rng, n, signal)
    y = pd.Series(labels, index=X.index)
    recipe = replace(Recipe(), n_alphas=15, lasso_folds=5, kernels=("linear",), costs=(0.01, 0.1))
    config = ModelingConfig(recipe=recipe, repeats=1, predictors=False)
    classes = y.astype(str)
    divisions = tuple(divide(list(X.index), classes, 5, seed + k) for k in range(repeats))
    target = Target("t", "t", "t", "t", "1", ("0",))
    data = Dataset(target, "automatic", X, y, None, tuple(X.index), (), divisions)
    final = run_final(data, config)
    if final.fit.empty_at:
        return None
    folds = [
        run_fold(data, division, number, config).predicted
        for division in divisions
        for number in range(5)
    ]
    scores = pd.concat(folds).groupby("patient_id")["score"].mean().dropna()
    spread = spread_of(final.calibration, scores, y[scores.index])
    if spread is None:
        return None
    new, truth, _ = draw(np.random.default_rng(seed + 10_000), N_NEW, signal)
    found = final.fit.scores(new)
    order = np.argsort(found)
    rows = []
    for share in SHARES:
        near = order[int(share * N_NEW) - 400 : int(share * N_NEW) + 400]
        score = float(found[near].mean())
        lower, upper = spread.interval(final.calibration, score)
        risk = float(final.calibration.risk([score])[0])
        rows.append((lower, upper, risk, float(truth[near].mean())))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=100)
    parser.add_argument("--patients", type=int, default=150)
    parser.add_argument("--signal", type=float, default=1.0)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    found = [
        rows
        for seed in range(given.studies)
        if (rows := one_study(seed, given.patients, given.signal, given.repeats)) is not None
    ]
    lower, upper, risk, truth = np.moveaxis(np.array(found), -1, 0)
    print(f"{len(found)} of {given.studies} studies of {given.patients} patients selected features")
    print("share of new patients with a lower score, coverage, mean width, mean risk, mean truth")
    held = (lower <= truth) & (truth <= upper)
    for at, share in enumerate(SHARES):
        print(
            f"{share:>6.0%} {held[:, at].mean():>8.1%} {(upper - lower)[:, at].mean():>8.3f} "
            f"{risk[:, at].mean():>8.3f} {truth[:, at].mean():>8.3f}"
        )
    print(f"  all {held.mean():>9.1%}")


if __name__ == "__main__":
    main()

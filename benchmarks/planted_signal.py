"""Whether the planted signal is found, and nothing where there is none.

    python benchmarks/planted_signal.py STUDY COHORT [--target sln] [--recipe rigorous]

STUDY is a study folder after the stage `extract`; COHORT the synthetic cohort that it used, with
`truth/patients.csv` and `cohort.json`. Prints the test AUC with manual ROIs and its interval beside
the best reader's AUC on the same patients (the oracle, from the true risks) and in expectation (the
ceiling) and what the text's order of steps would have claimed, then the test AUCs after shuffling
the labels, whose mean must be 0.5 within its interval.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from mammoroi.files import read_csv, read_json
from mammoroi.modeling.config import ModelingConfig
from mammoroi.modeling.discrimination import auc_interval
from mammoroi.modeling.fit import prepare
from mammoroi.modeling.literal import claim_of
from mammoroi.modeling.recipes import PRESET_RECIPES
from mammoroi.modeling.targets import targets_of
from mammoroi.modeling.validate import Dataset, run_final


def test_auc(data: Dataset, config: ModelingConfig) -> tuple[float, float, float]:
    fit = run_final(data, config).fit
    patients = data.with_features(data.test)
    return auc_interval(data.y[patients], fit.scores(data.X.loc[patients]))


def shuffled(data: Dataset, seed: int) -> Dataset:
    labels = np.random.default_rng(seed).permutation(data.y.to_numpy())
    return replace(data, y=data.y.mask(data.y.notna(), labels))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("study", type=Path)
    parser.add_argument("cohort", type=Path)
    parser.add_argument("--target", default="sln", help="sln, her2-zero, her2-low, her2-positive")
    parser.add_argument("--shuffles", type=int, default=20)
    parser.add_argument("--recipe", choices=list(PRESET_RECIPES), default="rigorous")
    arguments = parser.parse_args()

    config = ModelingConfig(recipe=arguments.recipe, repeats=1, all_patients=False)
    targets = {t.name: t for task in config.resolved_tasks() for t in targets_of(task)}
    if arguments.target not in targets:
        parser.error(f"--target is one of {', '.join(targets)}")
    datasets, _ = prepare(arguments.study, [targets[arguments.target]], config)
    data = next(item for item in datasets if item.roi == "manual")

    truth = read_csv(arguments.cohort / "truth" / "patients.csv", dtype={"patient_id": str})
    column = f"{arguments.target.replace('-', '_')}_risk"
    risks = truth.set_index("patient_id")[column]
    patients = data.with_features(data.test)
    ceilings = read_json(arguments.cohort / "cohort.json")["signal"]["ceiling_auc"]
    name = f"{arguments.target}_two_views"
    ceiling = ceilings.get(name, ceilings[arguments.target])

    found = test_auc(data, config)
    oracle = auc_interval(data.y[patients], risks[patients])
    positive = int(data.y[patients].sum())
    print(f"{arguments.target}: {len(data.train)} training, {len(patients)} test patients")
    claimed = claim_of(data, config).test["auc"]
    print(f"manual ROIs   {found[0]:.3f} ({found[1]:.3f} to {found[2]:.3f})")
    print(f"oracle        {oracle[0]:.3f} ({oracle[1]:.3f} to {oracle[2]:.3f})")
    print(f"ceiling       {ceiling:.3f}")
    print(f"literal claim {claimed:.3f}")

    if arguments.shuffles:
        aucs = [test_auc(shuffled(data, seed), config)[0] for seed in range(arguments.shuffles)]
        negative = len(patients) - positive
        expected = np.sqrt((len(patients) + 1) / (12 * positive * negative))
        reach = 1.96 * expected / np.sqrt(len(aucs))
        print(f"shuffled      mean {np.mean(aucs):.3f} of {len(aucs)}, SD {np.std(aucs):.3f}")
        print(f"  expected    0.500 ± {reach:.3f}, SD {expected:.3f}")
        print(f"  each        {' '.join(f'{auc:.3f}' for auc in aucs)}")


if __name__ == "__main__":
    main()

"""The leakage audit: what steps out of place would have bought, on features without any signal.

Every patient keeps her own features and gets another patient's label, so that an honest test AUC is
0.5 on average; what a recipe shows beyond the honest one is its optimism (Demircioğlu, Insights
Imaging 2021;12:172, of selection; Sci Rep 2024;14:11563, of oversampling).

``leakage/leakage.csv``: ``target, recipe, description, replicates, n, prevalence, features (mean
number selected), train_auc, test_auc (means), test_auc_sd, optimism (test AUC less that of A)``.
The last two rows of a target, where patients have both views, take images as rows: their optimism
is that of a division by image against one by patient.

``leakage/inputs.json`` says of what it was made, so that a report can tell whether it still is this
study's: SHA-256 of ``files``, ``views``, and the ``targets`` as in ``models/targets.json``.
A target with fewer than 10 patients of either class is left out, and named in the log: too few are
left to be divided, selected on and tested.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from joblib import Parallel, delayed, parallel_config

from ..cohort.split import load_splits
from ..errors import MammoroiError
from ..files import INPUTS, read_csv, sha256_files, write_csv, write_json
from ..progress import with_bar
from ..resources import cores
from .config import ModelingConfig
from .literal import EVERYTHING, Leaks, claim
from .selection import CompleteFeatures, EmptySelection
from .subgroups import LEAST_OF_A_CLASS
from .table import CONCAT_VIEWS, ROIS, combine_views, feature_names, load_features
from .targets import classes_of, labels_of, targets_of

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

log = logging.getLogger(__name__)

REPLICATES = 20
RECIPES = {
    "A": ("clean: everything on the training patients", Leaks()),
    "B": ("z-score on all patients", Leaks(scaler=True)),
    "C": ("t-test on all patients", Leaks(t_test=True)),
    "D": ("t-test and LASSO on all patients", Leaks(t_test=True, lasso=True)),
    "E": ("SMOTE before the division", Leaks(smote=True)),
    "F": ("SMOTE before the division, everything on all", EVERYTHING),
}
REFIT = ("G", "as F, and the SVM fitted to 99 % of the patients")
BY_PATIENT = ("by patient", "images as rows, divided by patient")
BY_IMAGE = ("by image", "images as rows, divided by image")
MADE_OF = (f"features/{ROIS[0]}.parquet", "patients.csv", "splits.json")
COLUMNS = (
    *("target", "recipe", "description", "replicates", "n", "prevalence", "features"),
    *("train_auc", "test_auc", "test_auc_sd", "optimism"),
)


@dataclass(frozen=True)
class Rows:
    """The features and labels of one target, as patients and as images.

    Attributes
    ----------
    target : str
        Its name.
    X : ndarray, shape (patients, features)
        Features of patients.
    y : ndarray, shape (patients,)
        Their 0/1 labels.
    images : ndarray, shape (images, features), or None
        Features of their images, where some patient has both views.
    owners : ndarray, shape (images,)
        The position in ``y`` of each image's patient.
    """

    target: str
    X: NDArray[np.float64]
    y: NDArray[np.int64]
    images: NDArray[np.float64] | None
    owners: NDArray[np.int64]


Outcome = tuple[int, float, float]
"""Features selected, training and test AUC."""


def leakage(config: ModelingConfig, study: Path, replicates: int = REPLICATES) -> Path:
    """Run every recipe on a study's manual features with shuffled labels.

    Parameters
    ----------
    config : ModelingConfig
        Tasks, views, seed, workers.
    study : Path
        The study folder, after the stage `extract`.
    replicates : int
        How often the labels are shuffled.

    Returns
    -------
    Path
        ``leakage/leakage.csv``.

    Raises
    ------
    MammoroiError
        When there is no task, a table is missing or wrong, no target has enough patients, no
        feature has a value for all, or fewer than two replicates are asked for.
    """
    import pandas as pd

    if replicates < 2:
        raise MammoroiError(f"{replicates} replicates have no spread", "ask for 20")
    files = sha256_files({name: study / name for name in MADE_OF})
    sets = read_rows(config, study)
    jobs = [(rows, config.seed + n) for rows in sets for n in range(replicates)]
    workers = min(config.workers or cores(), len(jobs))
    with parallel_config(backend="loky", n_jobs=workers, inner_max_num_threads=1):
        found = Parallel(return_as="generator")(
            delayed(one_replicate)(rows, seed) for rows, seed in jobs
        )
        outcomes = list(with_bar(found, "Shuffling", len(jobs)))
    tables = [
        tabulate(rows, outcomes[n * replicates : (n + 1) * replicates])
        for n, rows in enumerate(sets)
    ]
    path = write_csv(study / "leakage" / "leakage.csv", pd.concat(tables, ignore_index=True))
    targets = [target.question() for task in config.some_tasks() for target in targets_of(task)]
    made_of = {"files": files, "views": config.views, "targets": targets}
    write_json(path.with_name(INPUTS), made_of)
    return path


def read_rows(config: ModelingConfig, study: Path) -> list[Rows]:
    """Read the manual features and make the rows of each target."""
    import pandas as pd

    tasks = config.some_tasks()
    splits = load_splits(study)
    everybody = {*splits.train, *splits.test}
    patients = read_csv(study / "patients.csv", dtype=str)
    images = load_features(study, ROIS[0]).images
    combined = combine_views(images, config.views)
    sets = []
    for task in tasks:
        for target in targets_of(task):
            labels = labels_of(target, classes_of(target, patients))
            X = combined[combined.index.isin(everybody & set(labels.index))]
            smaller = int(min((labels[X.index] == value).sum() for value in (0, 1)))
            if smaller < LEAST_OF_A_CLASS:
                log.warning(
                    "%s is left out: one class has %d of %d patients with features, at least %d "
                    "are needed",
                    *(target.name, smaller, len(X), LEAST_OF_A_CLASS),
                )
                continue
            known = images[images["patient_id"].isin(X.index)]
            both = set(CONCAT_VIEWS) <= set(known["view"])
            sets.append(
                Rows(
                    target.name,
                    _complete(X.to_numpy(np.float64)),
                    labels[X.index].to_numpy(),
                    _complete(known[feature_names(known)].to_numpy(np.float64)) if both else None,
                    X.index.get_indexer(pd.Index(known["patient_id"])),
                )
            )
    if not sets:
        raise MammoroiError(
            f"no target has {LEAST_OF_A_CLASS} patients of either class with features",
            "add patients, join classes, or name another task",
        )
    return sets


def one_replicate(rows: Rows, seed: int) -> dict[str, Outcome]:
    """Shuffle the labels of a target's patients and run every recipe."""
    y = np.random.default_rng(seed).permutation(rows.y)
    found: dict[str, Outcome] = {}
    for name, (_, leaks) in RECIPES.items():
        result = claim(rows.X, y, leaks, seed)
        found[name] = (result.n_features, result.train["auc"], result.test["auc"])
        if leaks == EVERYTHING:
            found[REFIT[0]] = (*found[name][:2], result.test_refit["auc"])
    if rows.images is not None:
        for (name, _), groups in ((BY_PATIENT, rows.owners), (BY_IMAGE, None)):
            result = claim(rows.images, y[rows.owners], Leaks(), seed, groups)
            found[name] = (result.n_features, result.train["auc"], result.test["auc"])
    return found


def tabulate(rows: Rows, outcomes: list[dict[str, Outcome]]) -> pd.DataFrame:
    """Summarise the replicates of a target; columns as in ``leakage.csv``."""
    import pandas as pd

    described = {name: text for name, (text, _) in RECIPES.items()}
    described |= dict((REFIT, BY_PATIENT, BY_IMAGE))
    honest = dict.fromkeys(described, "A") | {BY_IMAGE[0]: BY_PATIENT[0]}
    honest[BY_PATIENT[0]] = BY_PATIENT[0]
    means = {name: np.mean([run[name] for run in outcomes], axis=0) for name in outcomes[0]}
    table = []
    for name, text in described.items():
        if name in means:
            features, train, test = means[name]
            spread = np.std([run[name][2] for run in outcomes], ddof=1)
            optimism = test - means[honest[name]][2]
            values = (
                rows.target, name, text, len(outcomes), len(rows.y), rows.y.mean(),
                features, train, test, spread, optimism,
            )  # fmt: skip
            table.append(dict(zip(COLUMNS, values, strict=True)))
    return pd.DataFrame(table)


def lines(path: Path) -> list[str]:
    """Write ``leakage.csv`` out for a terminal."""
    table = read_csv(path)
    found = []
    for target, rows in table.groupby("target", sort=False):
        first = rows.iloc[0]
        found += [
            "",
            f"{target}: {first['n']} patients, {first['prevalence']:.0%} positive, labels shuffled "
            f"{first['replicates']} times",
            f"{'':<11}{'test AUC (SD)':<16}{'optimism':>8}  ",
        ]
        found += [
            f"{row['recipe']:<11}{row['test_auc']:.3f} ({row['test_auc_sd']:.3f})   "
            f"{row['optimism']:>+8.3f}  {row['description']}"
            for _, row in rows.iterrows()
        ]
    return found


def _complete(X: NDArray[np.float64]) -> NDArray[np.float64]:
    try:
        return CompleteFeatures().fit(X).transform(X)
    except EmptySelection:
        raise MammoroiError(
            "no feature has a value for every patient and varies",
            "see features/failures.csv; the audit fills no gaps",
        ) from None

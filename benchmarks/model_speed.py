r"""Time of the rigorous study, beside the same protocol written plainly with scikit-learn.

    python benchmarks/model_speed.py [--study FOLDER] [--folds 2] [--no-stage] [--workers 2]

On a simulated study of 838 patients and 1,311 features (:mod:`simulated_study`), both tasks (four
targets), manual and automatic masks. First some folds of each target, one thread, both ways in
turn: selected features, scores and risks are compared, and the CPU time is set side by side. Then
the whole stage `model` with its standard settings: wall time, CPU time and peak memory of all
processes, and how many of them are left afterwards. What the plain way would take for all fits of
the study is extrapolated from these folds; with `--folds 5` they are all of the first division.

The plain way, in every fold: ICC of all features between two readers in NumPy, StandardScaler,
LassoCV over the same penalties and inner folds, the one-standard-error rule on its error path,
GridSearchCV over kernel and C of Pipeline(SelectFromModel(Lasso), SVC), and CalibratedClassifierCV
over the same inner folds. It leaves out what the stage does besides: clinical predictors, the
other masks, the literal recipe, intervals, curves and files.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
from simulated_study import write_study
from sklearn.calibration import CalibratedClassifierCV
from sklearn.feature_selection import SelectFromModel
from sklearn.linear_model import Lasso, LassoCV
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from mammoroi.modeling.config import ModelingConfig
from mammoroi.modeling.fit import model, prepare
from mammoroi.modeling.targets import targets_of
from mammoroi.modeling.validate import Dataset, run_fold

TIGHT = 1e-9
"""Tolerance of coordinate descent at which the selections must be the same."""


@dataclass(frozen=True)
class Outcome:
    """What one fold gives, and the CPU seconds it took."""

    selected: set[str]
    scores: np.ndarray
    risks: np.ndarray
    seconds: float


def stable(first: np.ndarray, second: np.ndarray, threshold: float) -> np.ndarray:
    """Find the features whose ICC(2,1) of two readers exceeds the threshold."""
    ratings = np.stack([first, second])
    k, n, _ = ratings.shape
    grand = ratings.mean(axis=(0, 1))
    rows = k * ((ratings.mean(axis=0) - grand) ** 2).sum(axis=0) / (n - 1)
    columns = n * ((ratings.mean(axis=1) - grand) ** 2).sum(axis=0) / (k - 1)
    total = ((ratings - grand) ** 2).sum(axis=(0, 1))
    error = (total - (n - 1) * rows - (k - 1) * columns) / ((n - 1) * (k - 1))
    return (rows - error) / (rows + (k - 1) * error + k * (columns - error) / n) > threshold


def plain(data: Dataset, number: int, config: ModelingConfig, tolerance: float = 1e-4) -> Outcome:
    """Do one fold with scikit-learn."""
    start = time.process_time()
    recipe = config.resolved_recipe()
    train, held_out = data.outside(data.divisions[0], number), data.divisions[0][number]
    held_out = data.with_features(held_out)
    y = data.y[train].to_numpy()
    first, second = (table.loc[table.index.intersection(train)] for table in data.repeats.tables)
    names = data.X.columns[stable(first.to_numpy(), second.to_numpy(), config.icc_threshold)]
    scaler = StandardScaler().fit(data.X.loc[train, names])
    X, others = (scaler.transform(data.X.loc[rows, names]) for rows in (train, held_out))

    folds = list(
        StratifiedKFold(recipe.lasso_folds, shuffle=True, random_state=config.seed).split(X, y)
    )
    largest = np.abs((y - y.mean()) @ X).max() / len(y)
    penalties = np.geomspace(largest, largest * recipe.alpha_ratio, recipe.n_alphas)
    options = {"max_iter": 100_000, "tol": tolerance}
    errors = LassoCV(alphas=penalties, cv=folds, **options).fit(X, y).mse_path_
    means = errors.mean(axis=1)
    best = means.argmin()
    limit = means[best] + errors[best].std(ddof=1) / np.sqrt(len(folds))
    penalty = penalties[np.argmax(means <= limit)]

    steps = [("select", SelectFromModel(Lasso(penalty, **options), threshold=1e-10))]
    grid = {"svm__kernel": list(recipe.kernels), "svm__C": sorted(recipe.costs)}
    search = GridSearchCV(
        Pipeline([*steps, ("svm", SVC())]), grid, scoring="roc_auc", cv=folds, refit=False
    )
    table = pd.DataFrame(search.fit(X, y).cv_results_)
    order = table.assign(
        kernel=table["param_svm__kernel"].map(recipe.kernels.index), C=table["param_svm__C"]
    ).sort_values(["kernel", "C"])
    chosen = order.loc[order["mean_test_score"].idxmax(), "params"]
    pipeline = Pipeline([*steps, ("svm", SVC())]).set_params(**chosen)
    fitted = CalibratedClassifierCV(pipeline, method="sigmoid", cv=folds, ensemble=False).fit(X, y)
    whole = fitted.calibrated_classifiers_[0].estimator
    return Outcome(
        set(names[whole["select"].get_support()]),
        whole.decision_function(others),
        fitted.predict_proba(others)[:, 1],
        time.process_time() - start,
    )


def ours(data: Dataset, number: int, config: ModelingConfig) -> Outcome:
    """Do one fold as the stage does."""
    start = time.process_time()
    fold = run_fold(data, data.divisions[0], number, config)
    seconds = time.process_time() - start
    known = fold.predicted[~fold.predicted["missed"]]
    return Outcome(
        set(fold.selected), known["score"].to_numpy(float), known["risk"].to_numpy(float), seconds
    )


def compare(datasets: list[Dataset], n_folds: int, config: ModelingConfig) -> tuple[float, float]:
    """Print both ways of some folds side by side; give the mean CPU seconds of a fold."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the plain way: solutions outside the tolerance
        ours(datasets[0], 0, config)  # imports are not what is timed
        rows = []
        for data in datasets:
            for number in range(n_folds):
                found, other = ours(data, number, config), plain(data, number, config)
                held_out = data.with_features(data.divisions[0][number])
                aucs = [roc_auc_score(data.y[held_out], one.risks) for one in (found, other)]
                rows.append(
                    {
                        "target": data.target.name,
                        "fold": number,
                        "features": len(found.selected),
                        "plain": len(other.selected),
                        "in common": len(found.selected & other.selected),
                        "AUC": aucs[0],
                        "AUC plain": aucs[1],
                        "risk differs by": np.abs(found.risks - other.risks).max(),
                        "s": found.seconds,
                        "s plain": other.seconds,
                    }
                )
            tight = plain(data, 0, config, TIGHT)
            rows[-n_folds]["same, tight"] = tight.selected == ours(data, 0, config).selected
    table = pd.DataFrame(rows)
    print(table.round(4).to_string(index=False))
    gap = (table["AUC"] - table["AUC plain"]).abs().max()
    same = bool(table["same, tight"].dropna().all())
    print(f"largest difference of an AUC {gap:.4f} (0.01 is allowed)")
    print(f"the same features at a tolerance of {TIGHT:g}, fold 0 of each target: {same}")
    return float(table["s"].mean()), float(table["s plain"].mean())


def watched(work: Callable[[], Any]) -> dict[str, float]:
    """Do some work; time, CPU time and peak memory of this process and all that it starts."""
    own = psutil.Process()
    spent: dict[int, float] = {}
    peak, ended = 0.0, threading.Event()

    def look() -> float:
        total = 0.0
        for process in [own, *own.children(recursive=True)]:
            try:
                total += getattr(process.memory_full_info(), "pss", process.memory_info().rss)
                spent[process.pid] = sum(process.cpu_times()[:2])
            except psutil.Error:  # it has just ended
                continue
        return total

    def sample() -> None:
        nonlocal peak
        while not ended.wait(0.5):
            peak = max(peak, look())

    look()
    before, start = dict(spent), time.perf_counter()
    watcher = threading.Thread(target=sample)
    watcher.start()
    work()
    wall = time.perf_counter() - start
    peak = max(peak, look())
    ended.set()
    watcher.join()
    left = [p for p in own.children(recursive=True) if "resource_tracker" not in str(p.cmdline())]
    cpu = sum(spent.values()) - sum(before.values())
    return {"wall": wall, "cpu": cpu, "peak": peak / 2**20, "left": len(left)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--study", type=Path, help="made there, or used where it is one already")
    parser.add_argument("--folds", type=int, default=2, help="folds of each target, both ways")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--stage", action=argparse.BooleanOptionalAction, default=True)
    arguments = parser.parse_args()
    config = ModelingConfig(workers=arguments.workers)
    with tempfile.TemporaryDirectory() as scratch:
        study = arguments.study or Path(scratch)
        if not (study / "splits.json").exists():
            write_study(study)
        targets = [target for task in config.resolved_tasks() for target in targets_of(task)]
        datasets, _ = prepare(study, targets, config)
        fits = sum(1 + sum(map(len, (*data.divisions, *data.divisions_all))) for data in datasets)
        manual = [data for data in datasets if data.roi == "manual"]
        fast, slow = compare(manual, arguments.folds, config)
        print(f"CPU seconds of a fold: {fast:.2f}, plain {slow:.2f}, {slow / fast:.1f} times")
        print(
            f"all {fits} fits the plain way, extrapolated: {fits * slow:.0f} CPU s, "
            f"{fits * slow / arguments.workers / 60:.1f} min on {arguments.workers} cores"
        )
        if arguments.stage:
            found = watched(lambda: model(config, study))
            print(
                f"the stage: {found['wall']:.0f} s wall, {found['cpu']:.0f} CPU s, peak "
                f"{found['peak']:.0f} MiB in all processes, {found['left']:.0f} workers left"
            )
            print(f"plain, extrapolated, to the stage: {fits * slow / found['cpu']:.1f} times")


if __name__ == "__main__":
    main()

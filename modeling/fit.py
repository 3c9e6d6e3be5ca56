"""The stage `model`: features and labels -> classifiers and their predictions, in ``models/``.

Reads ``splits.json``, ``patients.csv``, ``cohort.csv`` (groups of patients) and the feature tables;
writes ``models/targets.json``, ``models/<target>/<roi>/`` (see :mod:`.results` and
:mod:`.subgroups_files`), for tasks of three or more classes ``models/<task>/classes/<roi>/`` (see
:mod:`.class_models`), ``models/cases.json`` (patients in, used and left out, and why, by target and
source) and ``models/failures.csv``. Models of an earlier run are removed, also those of targets
that are no longer asked for or can no longer be fitted: no other stage takes them for this run's.
"""

from __future__ import annotations

import logging
import shutil
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from joblib import Parallel, delayed, parallel_config

from ..cohort.split import Splits, load_splits
from ..errors import Failure, MammoroiError
from ..files import read_csv, read_json, write_failures, write_json
from ..progress import with_bar
from ..resources import cores
from .centres import announce, centres_of, held_out_centres, run_centre
from .class_models import write_classes
from .clinical_config import ClinicalConfig
from .clinical_design import present_variables
from .combat import batches_of
from .comparators import run_comparator
from .config import ModelingConfig
from .literal import claim_of
from .predictors import clinical_of
from .predictors_config import ModelStage
from .predictors_files import NO_VARIABLES
from .repeats import find_repeats
from .results import CENTRES, FINAL, FOLDS, FOLDS_ALL, LITERAL, Result, assemble, write_result
from .subgroups_files import read_groups, write_subgroups
from .table import (
    ROIS,
    SECOND_READER,
    check_made_alike,
    combine_views,
    has_features,
    load_features,
    missed_images,
)
from .targets import Target, classes_of, labels_of, targets_of
from .validate import Dataset, Division, check_dataset, divide, run_final, run_fold

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)
IDLE_S = 10.0
"""After so many seconds without work a process ends, and gives its memory back."""


def model(config: ModelStage | ModelingConfig, study: Path) -> Path:
    """Fit every target on every source of masks.

    Parameters
    ----------
    config : ModelStage or ModelingConfig
        Tasks and parameters, and the clinical variables; the standard ones where only the former
        are given.
    study : Path
        The study folder.

    Returns
    -------
    Path
        ``models/``. A target that cannot be fitted is a row of ``models/failures.csv``; the others
        go on.

    Raises
    ------
    MammoroiError
        When there is no task, a table is missing or wrong, tables were made with different
        settings, a label column is missing, or no target at all can be fitted.
    """
    started = time.perf_counter()
    stage = config if isinstance(config, ModelStage) else ModelStage(config)
    config, folder = stage.modeling, study / "models"
    targets = [target for task in config.some_tasks() for target in targets_of(task)]
    datasets, cases = prepare(study, targets, config, stage.clinical)
    failures: list[Failure] = []
    ready = []
    for data in datasets:
        try:
            check_dataset(data)
            ready.append(data)
        except MammoroiError as error:
            failures.append(Failure.of(data.target.name, f"model/{data.roi}", error))
    announce(ready, config)
    results = fit_all(ready, config, failures)
    groups, _ = read_groups(study)
    _remove_models(folder, {target.name for target in targets})
    for result in results:
        own = folder / result.data.target.name / result.data.roi
        write_result(own, result, config, _about(study, result))
        write_subgroups(own, result.predictions, result.predictions_all, groups)
    failures += write_classes(folder, results, config)
    write_failures(folder / "failures.csv", failures)
    write_json(folder / "cases.json", cases)
    fitted = [(result.data.target, result.data.roi) for result in results]
    write_json(folder / "targets.json", _target_rows(targets, fitted))
    if not results:
        raise MammoroiError(
            f"no target could be fitted; first: {failures[0].error}", failures[0].action
        )
    log.info("%d models in %.1f s", len(results), time.perf_counter() - started)
    return folder


def check_asked(config: ModelStage, study: Path) -> None:
    """Refuse before the training what :func:`model` would refuse after it, by the tables alone.

    Parameters
    ----------
    config : ModelStage
        Tasks and parameters, and the clinical variables.
    study : Path
        The study folder, with an accepted cohort.

    Raises
    ------
    MammoroiError
        When there are no test patients, the column of a label, of a clinical variable that is
        named or of the harmonisation is missing, or a label is none of the classes.
    """
    _with_test_patients(study)
    patients = read_csv(study / "patients.csv", dtype=str)
    for task in config.modeling.some_tasks():
        for target in targets_of(task):
            classes_of(target, patients)
    present_variables(patients, config.clinical)
    batches_of(patients, study, config.modeling)


def _with_test_patients(study: Path) -> Splits:
    """Read how the patients are divided; refuse a division that tests nobody."""
    splits = load_splits(study)
    if not splits.test:
        raise MammoroiError(
            f"{study} has no test patients (cohort.test_size is 0)",
            "set cohort.test_size to more than 0 and run the study again; `modeling: {tasks: []}` "
            "makes a study of the masks alone",
        )
    return splits


def _remove_models(folder: Path, asked: set[str]) -> None:
    """Remove what an earlier run of this stage left in ``models/<target>/``; say what is lost."""
    there = {path.parts[-3] for path in folder.glob("*/*/metrics.json")}
    if lost := sorted(there - asked):
        log.warning("models that are no longer asked for are removed: %s", ", ".join(lost))
    for path in {*folder.glob("*/*/metrics.json"), *folder.glob("*/classes/*/metrics.json")}:
        shutil.rmtree(path.parent)
    for path in [*folder.glob("*/classes"), *folder.glob("*")]:
        if path.is_dir() and not any(path.iterdir()):
            path.rmdir()


def prepare(
    study: Path,
    targets: list[Target],
    config: ModelingConfig,
    variables: ClinicalConfig | None = None,
) -> tuple[list[Dataset], list[dict[str, Any]]]:
    """Read what the study holds and make a data set for each target and source of masks.

    Returns
    -------
    datasets : list of Dataset
        By target, then source.
    cases : list of dict
        For each of them the patients: ``patients`` in the splits = ``used`` (of whom ``missed``) +
        ``without_label`` + ``without_features``. Of the missed ``failed`` have an automatic mask
        that could not be measured, or none.
    """
    splits = _with_test_patients(study)
    patients = read_csv(study / "patients.csv", dtype=str)
    tables = [
        load_features(study, roi) for roi in ROIS if roi == ROIS[0] or has_features(study, roi)
    ]
    second = load_features(study, SECOND_READER) if has_features(study, SECOND_READER) else None
    check_made_alike([*tables, *([second] if second else [])])
    repeats = find_repeats(study, tables[0], second, config.views)
    if repeats is None:
        log.warning("no second reader, no perturbed masks: the ICC filter is skipped")
    missed = missed_images(study)
    batches = batches_of(patients, study, config)
    combined = [
        (table.roi, combine_views(table.images, config.views, may_be_empty=table.roi != ROIS[0]))
        for table in tables
    ]
    left_out = set(tables[0].images["patient_id"]) - set(combined[0][1].index)  # by `concat`
    empty = set(missed["patient_id"]) - left_out
    lost = {roi: _lost(X, combined[0][1], empty) for roi, X in combined[1:]}
    datasets, cases = [], []
    for target in targets:
        classes = classes_of(target, patients)
        clinical = None
        if config.predictors:
            y = labels_of(target, classes)
            clinical = clinical_of(
                *(patients, target.label, variables or ClinicalConfig()),
                y[y.index.isin(splits.train)],
            )
            if clinical is None:
                log.warning("%s: no clinical predictors: %s", target.name, NO_VARIABLES)
        for roi, X in combined:
            nothing = lost.get(roi, set())
            data = _dataset(target, roi, X, classes, splits, nothing, config)
            other = next((table for name, table in combined if name != roi), None)
            data = replace(data, centres=centres_of(patients), batches=batches)
            datasets.append(replace(data, repeats=repeats, other=other, clinical=clinical))
            cases.append(_cases(data, splits, nothing, nothing - empty))
    return datasets, cases


def _lost(automatic: pd.DataFrame, manual: pd.DataFrame, empty: set[str]) -> set[str]:
    """Name the patients of whom automatic masks measured nothing, for whatever reason.

    A mask that is too small to be measured is a lesion missed, as an empty one is, and whoever uses
    automatic masks alone cannot leave such a patient out.
    """
    lost = (empty | set(manual.index)) - set(automatic.index)
    if failed := sorted(lost - empty):
        log.warning(
            "automatic masks measured nothing of %d patients without an empty mask (%s; see "
            "features/failures.csv and masks/failures.csv): they count as missed",
            len(failed),
            ", ".join(failed[:3]) + (" ..." if len(failed) > 3 else ""),
        )
    return lost


def fit_all(
    datasets: list[Dataset], config: ModelingConfig, failures: list[Failure]
) -> list[Result]:
    """Do all work of all data sets in parallel; one whose fit fails is added to failures."""
    jobs = [
        (number, kind, work)
        for number, data in enumerate(datasets)
        for kind, work in jobs_of(data, config)
    ]
    workers = min(config.workers or cores(), max(len(jobs), 1))
    with parallel_config(backend="loky", n_jobs=workers, inner_max_num_threads=1):
        outcomes = Parallel(return_as="generator", idle_worker_timeout=IDLE_S)(
            delayed(_guarded)(work, f"model/{datasets[number].roi}", datasets[number].target.name)
            for number, _, work in jobs
        )
        found = list(with_bar(outcomes, "Fitting models", len(jobs)))
    results = []
    for number, data in enumerate(datasets):
        parts: dict[str, list[Any]] = defaultdict(list)
        for (owner, kind, _), outcome in zip(jobs, found, strict=True):
            if owner == number:
                parts["failed" if isinstance(outcome, Failure) else kind].append(outcome)
        failures.extend(parts["failed"][:1])
        if not parts["failed"]:
            results.append(assemble(data, parts, config.seed))
    return results


def jobs_of(data: Dataset, config: ModelingConfig) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Give all work of a data set by kind; kinds are keys of :func:`.results.assemble`."""
    yield FINAL, partial(run_final, data, config)
    yield LITERAL, partial(claim_of, data, config)
    for kind, divisions in ((FOLDS, data.divisions), (FOLDS_ALL, data.divisions_all)):
        for division in divisions:
            for number in range(len(division)):
                yield kind, partial(run_fold, data, division, number, config)
    for centre in held_out_centres(data, config):
        yield CENTRES, partial(run_centre, data, centre, config)
    train = data.with_features(data.train)
    everybody, of_fitted = (float(data.y[list(of)].mean()) for of in (data.train, train))
    for name in config.comparators:
        run = partial(run_comparator, data, name)
        for division in data.divisions:
            for number, fold in enumerate(division):
                fitted = data.outside(division, number)
                yield f"{name}/train", partial(run, fitted, fold, config, everybody)
        yield f"{name}/test", partial(run, train, data.test, config, of_fitted)


def _guarded(work: Callable[[], Any], stage: str, case: str) -> Any:
    """Do one piece of work; a failure is returned."""
    try:
        return work()
    except Exception as error:  # noqa: BLE001 (one target fails, the others go on)
        return Failure.of(case, stage, error)


def _dataset(
    target: Target,
    roi: str,
    X: pd.DataFrame,
    classes: pd.Series,
    splits: Splits,
    lost: set[str],
    config: ModelingConfig,
) -> Dataset:
    """Put a data set together.

    Patients are divided alike for both sources of masks and, by their class, for all targets of a
    task.
    """
    y = labels_of(target, classes)
    usable = set(y.index) & (set(X.index) | lost)
    train, everybody = (
        sorted(set(patients) & set(y.index))
        for patients in (splits.train, {*splits.train, *splits.test})
    )
    seeds = range(config.seed, config.seed + config.repeats)
    n_folds = len(splits.folds)
    divisions: list[Division] = [tuple(fold.validation for fold in splits.folds)]
    divisions += [divide(train, classes, n_folds, seed) for seed in seeds[1:]]
    divisions_all = [
        divide(everybody, classes, n_folds, seed) for seed in seeds if config.all_patients
    ]

    def of_usable(division: Division) -> Division:
        return tuple(tuple(sorted(set(fold) & usable)) for fold in division)

    return Dataset(
        target=target,
        roi=roi,
        X=X,
        y=y,
        repeats=None,
        train=tuple(sorted(set(splits.train) & usable)),
        test=tuple(sorted(set(splits.test) & usable)),
        divisions=tuple(map(of_usable, divisions)),
        divisions_all=tuple(map(of_usable, divisions_all)),
    )


def _cases(data: Dataset, splits: Splits, lost: set[str], failed: set[str]) -> dict[str, Any]:
    everybody = set(splits.train) | set(splits.test)
    unlabelled = everybody - set(data.y.index)
    used = {*data.train, *data.test}
    return {
        "target": data.target.name,
        "roi": data.roi,
        "patients": len(everybody),
        "used": len(used),
        "missed": len(used & lost),
        "failed": len(used & failed),
        "without_label": len(unlabelled),
        "without_features": len(everybody - unlabelled - used),
    }


def _about(study: Path, result: Result) -> dict[str, Any]:
    made = read_json(study / "features" / f"{result.data.roi}.json")
    target = result.data.target
    return {
        "target": target.name,
        "title": target.title,
        "label": target.label,
        "positive": target.positive,
        "negative": " or ".join(target.negative),
        "roi": result.data.roi,
        "preset": made["preset"],
        "settings_sha256": made["settings_sha256"],
    }


def _target_rows(targets: list[Target], fitted: list[tuple[Target, str]]) -> list[dict[str, Any]]:
    """List the targets that have a model."""
    return [
        {
            "target": target.name,
            "task": target.task,
            "title": target.title,
            "label": target.label,
            "positive": target.positive,
            "negative": " or ".join(target.negative),
            "rois": [roi for owner, roi in fitted if owner == target],
        }
        for target in targets
        if any(owner == target for owner, _ in fitted)
    ]

"""A task of three or more classes as one model: ``models/<task>/classes/<roi>/``.

The targets of a task, one class against the rest each, have the same folds. In every fold their
scores are coupled (:mod:`.class_coupling`) on the inner out-of-fold scores of its training
patients, and its held-out patients get a risk of each class; over repeats the mean. The final
coupling is fitted in the same way to those of all training patients, for the test patients. So no
coupling rests on a score of a patient on whom a scoring model was fitted, nor on a patient whom it
then predicts. A patient whose lesion was missed gets the prevalences of the classes.

``predictions.csv``: ``patient_id, set (train|test), fold, label, risk_<class> ..., called (the most
probable class, the first of several), missed``; ``predictions_all.csv``, where the targets have
one: the same without ``fold``. ``metrics.json``: ``classes`` in order, ``repeats``, and by
``train_out_of_fold, test, all_out_of_fold`` what :func:`.class_measures.measure_classes` gives.
``confusion.csv``: ``set (train|test|all)``, then columns of
:func:`.class_measures.confusion_table`. ``calibration.csv``: ``set, class``, then columns of
:func:`.metrics.calibration_table`. ``coupling.json``: ``targets`` in the order of the classes, and
the final :class:`.class_coupling.Coupling`.
``models/classes.json`` lists the models: ``task, title, label, classes, targets, rois``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import Failure, MammoroiError
from ..files import read_json, write_csv, write_json
from .class_coupling import Coupling, fit_coupling
from .class_measures import confusion_table, measure_classes
from .config import ModelingConfig, Task
from .metrics import calibration_table
from .persist import predict_risk
from .table import ROIS
from .targets import targets_of

if TYPE_CHECKING:
    import pandas as pd

    from .results import Result
    from .validate import FoldResult

FOLDER = "classes"
SET_KEYS = {"train": "train_out_of_fold", "test": "test", "all": "all_out_of_fold"}


@dataclass(frozen=True)
class ClassResult:
    """One model of three or more classes.

    Attributes
    ----------
    task : Task
        Its task.
    coupling : Coupling
        Of the final models' scores.
    predictions : DataFrame
        As in ``predictions.csv``.
    predictions_all : DataFrame or None
        As in ``predictions_all.csv``.
    repeats : int
        How often the patients were divided.
    """

    task: Task
    coupling: Coupling
    predictions: pd.DataFrame
    predictions_all: pd.DataFrame | None
    repeats: int


def write_classes(folder: Path, results: Sequence[Result], config: ModelingConfig) -> list[Failure]:
    """Couple the targets of each task of three or more classes, and write the files.

    Parameters
    ----------
    folder : Path
        ``models/``.
    results : sequence of Result
        Of all targets and sources of masks that could be fitted.
    config : ModelingConfig
        Tasks, bootstrap, seed.

    Returns
    -------
    list of Failure
        A task and source of masks of which one target could be fitted and another could not.
    """
    failures, rows = [], []
    by_name = {(result.data.target.name, result.data.roi): result for result in results}
    for task in config.resolved_tasks():
        targets = [target.name for target in targets_of(task)]
        rois = []
        for roi in ROIS:
            found = [by_name[name, roi] for name in targets if (name, roi) in by_name]
            if len(targets) < 3 or not found:
                continue
            if len(found) < len(targets):
                absent = [name for name in targets if (name, roi) not in by_name]
                what = f"no model of all classes together: {', '.join(absent)} could not be fitted"
                failures.append(Failure(task.name, f"model/{roi}", what, "see the rows above"))
                continue
            write_class_result(folder / task.name / FOLDER / roi, couple(task, found), config)
            rois.append(roi)
        if rois:
            row = {"task": task.name, "title": task.title or task.name, "label": task.label}
            rows.append(row | {"classes": task.classes, "targets": targets, "rois": rois})
    write_json(folder / "classes.json", rows)
    return failures


def couple(task: Task, results: Sequence[Result]) -> ClassResult:
    """Make one model of a task's targets.

    Parameters
    ----------
    task : Task
        With three or more classes.
    results : sequence of Result
        One for each class, in their order, from the same masks.

    Raises
    ------
    MammoroiError
        When the targets were not divided alike: a coupling would see held-out patients.
    """
    import pandas as pd

    data = results[0].data
    for other in results[1:]:
        same = other.data.divisions == data.divisions
        if not same or other.data.divisions_all != data.divisions_all:
            raise MammoroiError(
                f"the targets of task {task.name} have different folds ({data.roi} masks)",
                "run the stage 'model' for all of them at once",
            )
    labels = np.column_stack([result.data.y[data.y.index] for result in results])
    truth = pd.Series(labels.argmax(axis=1), index=data.y.index)
    folds, repeats = [result.folds for result in results], len(data.divisions)
    train = _out_of_fold(task, folds, truth, data.train).assign(set="train")
    inner = _scores([result.final.inner for result in results])
    coupling = fit_coupling(inner, truth[inner.index], len(task.classes))
    final = [
        result.predictions.query("set == 'test'").set_index("patient_id")["score"]
        * (np.nan if result.final.fit.empty_at else 1.0)
        for result in results
    ]
    at_test = results[0].predictions.query("set == 'test'").set_index("patient_id")["missed"]
    test = _table(task, _scores(final), at_test, coupling, coupling.prevalences)
    test = test.assign(set="test", fold=None).astype({"fold": object})
    predictions = _finished(task, pd.concat([train, test], ignore_index=True), truth)
    everybody = None
    if data.divisions_all:
        patients = (*data.train, *data.test)
        folds = [result.folds_all for result in results]
        everybody = _out_of_fold(task, folds, truth, patients)
        everybody["set"] = np.where(everybody["patient_id"].isin(data.test), "test", "train")
        everybody = _finished(task, everybody, truth).drop(columns="fold")
    return ClassResult(task, coupling, predictions, everybody, repeats)


def write_class_result(folder: Path, result: ClassResult, config: ModelingConfig) -> None:
    """Write all files of one model."""
    import pandas as pd

    names = result.task.classes
    tables = dict(list(result.predictions.groupby("set")))
    tables.setdefault("test", result.predictions.iloc[:0])
    if result.predictions_all is not None:
        tables["all"] = result.predictions_all
        write_csv(folder / "predictions_all.csv", result.predictions_all)
    else:
        (folder / "predictions_all.csv").unlink(missing_ok=True)  # of earlier settings
    metrics: dict[str, Any] = {"classes": names, "repeats": result.repeats}
    confusions, calibrations = [], []
    for part, key in SET_KEYS.items():
        if part not in tables:
            continue
        codes, risks = codes_and_risks(tables[part], names)
        metrics[key] = measure_classes(
            codes, risks, tables[part]["missed"], names, config.n_bootstrap, config.seed
        )
        confusion = confusion_table(codes, risks, names)
        confusion.insert(0, "set", part)
        confusions.append(confusion)
        for code, name in enumerate(names):
            curve = calibration_table(codes == code, risks[:, code])
            curve.insert(0, "set", part)
            curve.insert(1, "class", name)
            calibrations.append(curve)
    write_csv(folder / "predictions.csv", result.predictions)
    write_json(folder / "metrics.json", metrics)
    write_csv(folder / "confusion.csv", pd.concat(confusions, ignore_index=True))
    write_csv(folder / "calibration.csv", pd.concat(calibrations, ignore_index=True))
    targets = [target.name for target in targets_of(result.task)]
    about = {"classes": names, "targets": targets, **asdict(result.coupling)}
    write_json(folder / "coupling.json", about)


def codes_and_risks(
    table: pd.DataFrame, classes: Sequence[str], source: str = ""
) -> tuple[np.ndarray[Any, np.dtype[np.int64]], np.ndarray[Any, np.dtype[np.float64]]]:
    """Take the numbers of the true classes and the risks from a table of predictions.

    ``source`` ends the names of the columns of risks where there are two sources.
    """
    code = {name: number for number, name in enumerate(classes)}
    codes = np.array([code[name] for name in table["label"]], dtype=np.int64)
    columns = [f"risk_{name}{source}" for name in classes]
    return codes, np.asarray(table[columns], dtype=np.float64)


def predict_classes(
    models: Path, task: str, roi: str, features: pd.DataFrame, batches: pd.Series | None = None
) -> pd.DataFrame:
    """Apply a model of three or more classes to new patients.

    Parameters
    ----------
    models : Path
        ``models/`` of a study.
    task, roi : str
        Which model.
    features : DataFrame
        As :func:`.persist.predict_risk` takes it.
    batches : Series, optional
        Likewise; needed where features were harmonised.

    Returns
    -------
    DataFrame
        ``patient_id, risk_<class> ..., called``.
    """
    import pandas as pd

    about = read_json(models / task / FOLDER / roi / "coupling.json")
    classes, targets = about.pop("classes"), about.pop("targets")
    scores = {}
    for target in targets:
        empty = not read_json(models / target / roi / "model.json")["features"]
        made = predict_risk(models / target / roi, features, batches)
        found = made.set_index("patient_id")["score"]
        scores[target] = found * np.nan if empty else found
    table = pd.DataFrame(scores)
    risks = Coupling(**about).risks(table.to_numpy())
    result = pd.DataFrame(risks, index=table.index, columns=[f"risk_{name}" for name in classes])
    result["called"] = [classes[code] for code in risks.argmax(axis=1)]
    return result.reset_index()


def _zip(folds: Sequence[list[FoldResult]]) -> list[tuple[FoldResult, ...]]:
    """Put the targets' results of each fold of each repeat together."""
    return list(zip(*folds, strict=True))


def _scores(scores: Sequence[pd.Series]) -> pd.DataFrame:
    """Put the targets' scores side by side."""
    import pandas as pd

    return pd.concat([one.loc[scores[0].index] for one in scores], axis=1, keys=range(len(scores)))


def _out_of_fold(
    task: Task,
    folds: Sequence[list[FoldResult]],
    truth: pd.Series,
    patients: Sequence[str],
) -> pd.DataFrame:
    """Couple each fold on its training patients, predict the others; means over the repeats."""
    import pandas as pd

    n_classes = len(task.classes)
    prevalences = np.bincount(truth[list(patients)], minlength=n_classes) / len(patients)
    tables = []
    for group in _zip(folds):
        inner = _scores([fold.inner for fold in group])
        coupling = fit_coupling(inner, truth[inner.index], n_classes)
        held_out = group[0].predicted.set_index("patient_id")
        scores = _scores([fold.known_scores() for fold in group])
        made = _table(task, scores, held_out["missed"], coupling, prevalences)
        tables.append(made.assign(fold=held_out["fold"].to_numpy()))
    every = pd.concat(tables, ignore_index=True)
    risks = [f"risk_{name}" for name in task.classes]
    table = every.drop_duplicates("patient_id").set_index("patient_id")
    table[risks] = every.groupby("patient_id")[risks].mean().loc[table.index]
    return table.reset_index()


def _table(
    task: Task,
    scores: pd.DataFrame,
    missed: pd.Series,
    coupling: Coupling,
    prevalences: Sequence[float] | np.ndarray[Any, np.dtype[np.float64]],
) -> pd.DataFrame:
    risks = coupling.risks(scores.to_numpy(dtype=float), prevalences)
    table = missed.loc[scores.index].to_frame("missed")
    for code, name in enumerate(task.classes):
        table[f"risk_{name}"] = risks[:, code]
    return table.rename_axis("patient_id").reset_index()


def _finished(task: Task, table: pd.DataFrame, truth: pd.Series) -> pd.DataFrame:
    """Add the true and the called class, and put the columns in order."""
    risks = [f"risk_{name}" for name in task.classes]
    names = np.array(task.classes)
    table = table.assign(
        label=names[truth[table["patient_id"]].to_numpy()],
        called=names[table[risks].to_numpy(dtype=float).argmax(axis=1)],
    )
    return table[["patient_id", "set", "fold", "label", *risks, "called", "missed"]]

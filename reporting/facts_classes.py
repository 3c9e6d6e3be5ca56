"""What the files say about tasks of several classes as one model (``models/classes.json``)."""

from __future__ import annotations

from typing import Any

from . import wording
from .facts_results import SETS
from .record import Fact, Record, known, listed

INDEX = "models/classes.json"
PAIRED = "comparison/classes.csv"
_MEASURES = {
    "macro_auc": "macro AUC", "hand_till": "Hand and Till's M", "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy", "quadratic_kappa": "quadratic kappa",
    "brier": "Brier score", "log_loss": "log loss",
}  # fmt: skip


def _file(entry: dict[str, Any], roi: str, name: str) -> str:
    return f"models/{entry['task']}/classes/{roi}/{name}"


def _measured(record: Record) -> list[tuple[dict[str, Any], str, dict[str, Any]]]:
    """Entry, source of masks and metrics of every such model; those without metrics are none."""
    return [
        (entry, roi, metrics)
        for entry in record.json(INDEX) or []
        for roi in entry["rois"]
        if (metrics := record.json(_file(entry, roi, "metrics.json")))
    ]


def _files(record: Record, name: str) -> tuple[str, ...]:
    names = (_file(entry, roi, name) for entry, roi, _ in _measured(record))
    return tuple(file for file in names if record.has(file))


def class_method(record: Record) -> Fact | None:
    """How the classes of a task became one model."""
    coupled = [
        entry
        for entry, roi, _ in _measured(record)
        if record.has(_file(entry, roi, "coupling.json"))
    ]
    if not coupled:
        return None
    tasks = {str(entry["task"]): len(entry["classes"]) for entry in coupled}
    named = [f"{task} ({n} classes)" for task, n in tasks.items()]
    return Fact(
        f"For {listed(named)}, a multinomial logistic regression of the scores of all classes, "
        "fitted to scores out of fold, gave risks that add up to 1.",
        (INDEX, *_files(record, "coupling.json")),
    )


def class_measures(record: Record) -> Fact | None:
    """By which measures the models of all classes were judged."""
    found = [
        words
        for name, words in _MEASURES.items()
        if any(known(one.get(key, {}).get(name)) for _, _, one in _measured(record) for key in SETS)
    ]
    if not found:
        return None
    return Fact(
        f"All classes together were measured by {listed(found)}.", _files(record, "metrics.json")
    )


def class_performance(record: Record) -> Fact | None:
    """Macro AUC and accuracy of each such model by set."""
    parts = []
    for entry, roi, metrics in _measured(record):
        shown = []
        for key, where in SETS.items():
            one = metrics.get(key, {})
            if known(one.get("macro_auc")):
                auc, accuracy = (
                    wording.interval(*(one.get(f"{name}{end}") for end in ("", "_lower", "_upper")))
                    for name in ("macro_auc", "accuracy")
                )
                shown.append(f"macro AUC {auc}, accuracy {accuracy} {where} (n = {one['n']})")
        if shown:
            parts.append(f"{entry['task']} with {roi} masks {'; '.join(shown)}")
    if not parts:
        return None
    return Fact(f"All classes as one model: {'. '.join(parts)}.", _files(record, "metrics.json"))


def class_comparison(record: Record) -> Fact | None:
    """The difference in macro AUC between the sources of masks, in the test set."""
    table = record.table(PAIRED)
    if table is None:
        return None
    rows = table[(table["set"] == "test") & (table["measure"] == "macro_auc")]
    parts = [
        f"{row['task']} ({str(row['rule']).replace('_', ' ')}, n = {row['n']:.0f}) "
        f"{wording.interval(row['difference'], row['lower'], row['upper'], 3)}, "
        f"{wording.p_value(row['p'])}"
        for _, row in rows[rows["difference"].notna()].iterrows()
    ]
    if not parts:
        return None
    return Fact(
        "All classes as one model, macro AUC with automatic minus that with manual masks in the "
        f"test set (paired bootstrap): {'; '.join(parts)}.",
        (PAIRED,),
    )


def class_files(record: Record) -> Fact | None:
    """Where the models of all classes lie."""
    files = _files(record, "coupling.json")
    if not files:
        return None
    return Fact(
        "The risks of all classes together follow from the models of the single classes and "
        "coupling.json.",
        files,
    )


FACTS = (class_method, class_measures, class_performance, class_comparison, class_files)

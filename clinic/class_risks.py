"""All classes of a task together: shares that add up to 1, from the single classifiers' scores.

A task of three or more classes has a classifier for each class against the rest, and their risks
need not add up to 1. The study couples their scores (:mod:`..modeling.class_models`); a bundle
keeps the coupling (``classes`` in ``bundle.json``), and where each classifier has an answer for a
patient, so has the task as a whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..files import read_json
from ..modeling.class_coupling import Coupling
from ..modeling.class_models import FOLDER
from .results import ClassRisks, Discrimination, Flag, Risk
from .tested import MACRO, doubt, study_test, tested_from

KEPT = ("outside-training-features", "missing-features")
"""What is doubtful about a classifier's score is doubtful about what is made of it."""


@dataclass(frozen=True)
class ClassModel:
    """A task of three or more classes.

    Attributes
    ----------
    task, title : str
        Its name, and its name for readers.
    classes : tuple of str
        In order.
    targets : tuple of str
        The classifier of each class against the rest.
    coupling : Coupling
        From their scores to shares.
    tested : Discrimination or None
        The mean of the classes' AUCs on the study's test patients; None where that is not known.
    """

    task: str
    title: str
    classes: tuple[str, ...]
    targets: tuple[str, ...]
    coupling: Coupling
    tested: Discrimination | None

    @classmethod
    def from_json(cls, entry: Mapping[str, Any]) -> ClassModel:
        """Read it from an entry of ``classes`` in ``bundle.json``.

        Raises
        ------
        ValueError
            When targets or coupling are not those of so many classes.
        """
        classes, targets = list(entry["classes"]), list(entry["targets"])
        n = len(classes)
        if entry["classes"] != classes or len(set(classes)) < n or len(targets) != n:
            raise ValueError(f"{entry['task']}: {n} classes, {len(targets)} targets")
        for name, values in entry["coupling"].items():
            numbers = np.asarray(values, dtype=float)
            if numbers.shape != (n, n)[: 1 + (name == "weights")] or not np.isfinite(numbers).all():
                raise ValueError(
                    f"{entry['task']}: the {name} of its coupling are not of {n} classes"
                )
        return cls(
            str(entry["task"]),
            str(entry["title"]),
            tuple(map(str, classes)),
            tuple(map(str, targets)),
            Coupling(**entry["coupling"]),
            tested_from(entry),
        )


def study_classes(study: Path, source: str) -> list[dict[str, Any]]:
    """Give the entries of ``bundle.json`` for a study's tasks of three or more classes.

    Parameters
    ----------
    study : Path
        The study folder.
    source : str
        The source of masks.
    """
    path = study / "models" / "classes.json"
    found = []
    for row in read_json(path) if path.exists() else []:
        if source not in row["rois"]:
            continue
        folder = study / "models" / row["task"] / FOLDER / source
        coupling = read_json(folder / "coupling.json")
        entry = {name: row[name] for name in ("task", "title", "classes", "targets")}
        entry["coupling"] = {name: coupling[name] for name in Coupling.__dataclass_fields__}
        found.append({**entry, "test": study_test(folder, MACRO)})
    return found


def class_risks(models: Iterable[ClassModel], risks: Sequence[Risk]) -> tuple[ClassRisks, ...]:
    """Put one patient's single risks together.

    Parameters
    ----------
    models : iterable of ClassModel
        Those of the bundle.
    risks : sequence of Risk
        Of every classifier of the bundle.
    """
    by_target = {risk.target: risk for risk in risks}
    return tuple(_together(one, [by_target[name] for name in one.targets]) for one in models)


def _together(model: ClassModel, risks: Sequence[Risk]) -> ClassRisks:
    shares, flags = None, []
    absent = [risk.target for risk in risks if risk.risk is None]
    if absent:
        flags.append(
            Flag("no-class-risks", f"No shares of the classes: no risk of {', '.join(absent)}.")
        )
    else:
        doubtful = doubt(model.tested)
        flags += [doubtful] if doubtful else []
        flags += [
            Flag(flag.code, f"{risk.target}: {flag.text}")
            for risk in risks
            for flag in risk.flags
            if flag.code in KEPT
        ]
        (found,) = model.coupling.risks([[_score(risk) for risk in risks]])
        shares = tuple(map(float, found))
    return ClassRisks(
        task=model.task,
        title=model.title,
        classes=model.classes,
        risks=shares,
        most_probable=None if shares is None else model.classes[int(np.argmax(shares))],
        flags=tuple(flags),
        tested=model.tested,
    )


def _score(risk: Risk) -> float:
    """The score; none of a classifier without features, which says nothing of the patient."""
    empty = any(flag.code == "prevalence-only" for flag in risk.flags)
    return np.nan if empty or risk.score is None else risk.score

"""Targets: the yes-or-no questions that tasks are made of.

``models/targets.json`` lists them: ``target, task, title, label, positive, negative, rois``; where
one class is set against several others, ``negative`` names them all: ``"zero or positive"``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..cohort.schema import nearest, nearest_word
from ..errors import MammoroiError
from .config import Task

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Target:
    """One binary question.

    Attributes
    ----------
    name : str
        The task's name; with three or more classes ``<task>-<class>``.
    task : str
        The task it belongs to.
    title : str
        How figures call it.
    label : str
        Column of ``patients.csv``.
    positive : str
        The class to be recognised (label 1).
    negative : tuple of str
        The other classes (label 0).
    """

    name: str
    task: str
    title: str
    label: str
    positive: str
    negative: tuple[str, ...]

    def question(self) -> dict[str, str]:
        """Give what it asks, as ``models/targets.json`` has it."""
        return {
            "target": self.name,
            "label": self.label,
            "positive": self.positive,
            "negative": " or ".join(self.negative),
        }


def targets_of(task: Task) -> list[Target]:
    """Give one target for two classes, one against the rest for each of three or more."""
    title = task.title or task.name
    if len(task.classes) == 2:
        negative, positive = task.classes
        return [Target(task.name, task.name, title, task.label, positive, (negative,))]
    return [
        Target(
            name=name,
            task=task.name,
            title=f"{title}: {value} against the rest",
            label=task.label,
            positive=value,
            negative=tuple(other for other in task.classes if other != value),
        )
        for name, value in zip(task.target_names(), task.classes, strict=True)
    ]


def classes_of(target: Target, patients: pd.DataFrame) -> pd.Series:
    """Read from the patient table which of its task's classes each patient is of.

    Parameters
    ----------
    target : Target
        The question.
    patients : DataFrame
        ``patients.csv`` as text, a row for each patient.

    Returns
    -------
    Series
        Names of classes, indexed by ``patient_id``; patients whose cell is empty are left out.
        The same for all targets of a task.

    Raises
    ------
    MammoroiError
        When the column is missing, or a cell holds none of the classes.
    """
    if target.label not in patients:
        columns = [str(name) for name in patients.columns if name != "patient_id"]
        raise MammoroiError(
            f"patients.csv has no column '{target.label}', which task {target.task} needs",
            f"add it, or set the task's label; {nearest(target.label, columns, 'it has')}",
        )
    values = patients.set_index("patient_id")[target.label].dropna().astype(str).str.strip()
    classes = (target.positive, *target.negative)
    for patient, value in values.items():
        if value not in classes:
            raise no_class(target, str(patient), value)
    return values


def no_class(target: Target, patient: str, value: str, *, frozen: bool = False) -> MammoroiError:
    """Give the refusal of a patient whose cell holds none of a target's classes.

    Those of a ``frozen`` model stay what they are.
    """
    classes = (target.positive, *target.negative)
    ways = (
        "correct it or empty the cell"
        if frozen
        else "correct it, empty the cell, or add it to the classes"
    )
    return MammoroiError(
        f"patient {patient} has '{value}' in column '{target.label}' (task {target.task})",
        f"{ways}; {nearest_word(value, classes)}",
    )


def labels_of(target: Target, classes: pd.Series) -> pd.Series:
    """Give a target's labels: 1 for its class, 0 for the others."""
    return (classes == target.positive).astype(int)

"""Settings of the room `modeling`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, get_args

from ..errors import MammoroiError
from .recipes import Recipe, choice, look_up, preset_recipe, require

Comparator = Literal["elastic-net", "random-forest", "gradient-boosting"]
Views = Literal["mean", "maximum", "minimum", "largest", "concat"]
Harmonise = Literal["none", "combat"]
Batch = Literal["centre", "device"]

TARGET_NAME = r"[A-Za-z0-9]([A-Za-z0-9 _.+-]{0,62}[A-Za-z0-9_+-])?"
"""What a target can be called: its name is a folder's, here and in a bundle."""


@dataclass(frozen=True)
class Task:
    """A question put to the features: to which class of a label a patient belongs.

    Attributes
    ----------
    name : str
        Short name, used in folder names: letters, digits, `-` and `_`.
    label : str
        The column of `patients.csv` that holds the truth. An empty cell leaves the patient out.
    classes : tuple of str
        The label's values. Two classes make one target, of which the last is the positive one;
        three or more make one target each, against all the others, whose folder it names with the
        task: then letters without accents, digits, blanks and `_.+-` only.
    title : str
        How figures and tables call the task; the name where empty.
    """

    name: str
    label: str
    classes: tuple[str, ...]
    title: str = ""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", self.name):
            raise MammoroiError(
                f"the task name '{self.name}' cannot name a folder",
                "use letters, digits, - and _, such as sln",
            )
        if len(self.classes) < 2 or len(set(self.classes)) < len(self.classes):
            raise MammoroiError(
                f"task {self.name} has the classes {list(self.classes)}",
                "name at least two different values of the label, the positive one last",
            )

    def target_names(self) -> list[str]:
        """Give the names of its targets; each names a folder."""
        if len(self.classes) == 2:
            return [self.name]
        return [f"{self.name}-{value}" for value in self.classes]


PRESET_TASKS = {
    "sln": Task("sln", "sln", ("negative", "positive"), "Sentinel lymph node metastasis"),
    "her2": Task("her2", "her2", ("zero", "low", "positive"), "HER2 expression"),
}
"""The paper's two tasks: one target for the node, three (one against the rest) for HER2."""


@dataclass(frozen=True)
class ModelingConfig:
    """How features become risks.

    Attributes
    ----------
    tasks : tuple of Task or str
        Tasks of your own, or the names of presets: `sln`, `her2`. Empty: no classifiers; a study
        then is of the masks alone, without features, comparison and clinical tables.
    views : {"mean", "maximum", "minimum", "largest", "concat"}
        How the images of a patient become one row: the mean, largest or smallest value of each
        feature; the features of the image with the largest lesion; or CC and MLO side by side,
        which leaves out patients who lack one of the two.
    icc_threshold : float
        A feature is stable when ICC(2,1) of the two readers exceeds this, or, without a second
        reader, ICC(1,1) of the manual masks and their perturbations (`stability`). Skipped, and
        said so, where there is neither.
    recipe : Recipe or str
        Settings of your own, or the name of a recipe: `rigorous`, `paper-clean`.
    repeats : int
        How often the patients are divided into folds: once as in `splits.json`, then anew, by
        the task's classes. A patient's out-of-fold risk is the mean over the repeats.
    all_patients : bool
        Whether to cross-validate over all patients as well, the test set's included.
    comparators : tuple of {"elastic-net", "random-forest", "gradient-boosting"}
        Other estimators to run through the same folds.
    predictors : bool
        Whether to compare with clinical variables, where the cohort has some, and to combine
        both.
    leave_one_centre_out : bool
        Whether to hold out each centre in turn, where ``patients.csv`` has at least two that are
        large enough.
    harmonise : {"none", "combat"}
        Whether features of different batches are brought together, fitted in each
        fold.
    harmonise_by : {"centre", "device"}
        What a batch is: a patient's ``centre``, or the ``device`` of her images.
    calibration_folds : int
        Inner folds from whose out-of-fold scores the calibration of an outer fold is fitted, where
        the recipe's own folds do not give such scores (`Recipe.nested`).
    n_bootstrap : int
        Bootstrap samples of patients for intervals.
    seed : int
        Seed of every random choice in this room.
    workers : int
        Processes; 0 means one for each core.
    """

    tasks: tuple[str | Task, ...] = ("sln", "her2")
    views: Views = "mean"
    icc_threshold: float = 0.75
    recipe: str | Recipe = "rigorous"
    repeats: int = 5
    all_patients: bool = True
    comparators: tuple[Comparator, ...] = ()
    predictors: bool = True
    leave_one_centre_out: bool = True
    harmonise: Harmonise = "none"
    harmonise_by: Batch = "centre"
    calibration_folds: int = 5
    n_bootstrap: int = 1000
    seed: int = 15
    workers: int = 0

    def __post_init__(self) -> None:
        names = [task.name for task in self.resolved_tasks()]
        for name in names:
            if names.count(name) > 1:
                raise MammoroiError(f"two tasks are called {name}", "rename one of them")
        _check_targets(self.resolved_tasks())
        choice("views", self.views, get_args(Views))
        require("icc_threshold", self.icc_threshold, -1.0 <= self.icc_threshold < 1.0, "0.75")
        self.resolved_recipe()
        require("repeats", self.repeats, self.repeats >= 1, "5")
        for name in self.comparators:
            choice("comparators", name, get_args(Comparator))
        choice("harmonise", self.harmonise, get_args(Harmonise))
        choice("harmonise_by", self.harmonise_by, get_args(Batch))
        require("calibration_folds", self.calibration_folds, self.calibration_folds >= 2, "5")
        require("n_bootstrap", self.n_bootstrap, self.n_bootstrap >= 100, "1000")
        last = 2**32 - self.repeats  # each repeat has a seed of its own, of 32 bits in scikit-learn
        require("seed", self.seed, 0 <= self.seed <= last, "15")
        require("workers", self.workers, self.workers >= 0, "0")

    def resolved_tasks(self) -> list[Task]:
        """Give the tasks with the names of presets replaced by the presets."""
        return [preset_task(task) if isinstance(task, str) else task for task in self.tasks]

    def some_tasks(self) -> list[Task]:
        """Give the tasks as :meth:`resolved_tasks` does, to whoever cannot do without.

        Raises
        ------
        MammoroiError
            When there is none.
        """
        tasks = self.resolved_tasks()
        if not tasks:
            raise MammoroiError("tasks is empty", f"name one of {', '.join(PRESET_TASKS)}")
        return tasks

    def resolved_recipe(self) -> Recipe:
        """Give the recipe, looked up where it is the name of one."""
        return preset_recipe(self.recipe) if isinstance(self.recipe, str) else self.recipe


def _check_targets(tasks: list[Task]) -> None:
    """Refuse targets that would share a folder, or whose class cannot be part of its name.

    Raises
    ------
    MammoroiError
        When there is one.
    """
    owners: dict[str, str] = {}
    for task in tasks:
        names = task.target_names()
        for name, value in zip(names, task.classes, strict=False):
            otherwise = "call it otherwise, in the settings and in patients.csv"
            if len(names) > 1 and not re.fullmatch(TARGET_NAME, name):
                raise MammoroiError(
                    f"task {task.name}: the class '{value}' cannot be part of a folder's name",
                    f"{otherwise}: letters without accents, digits, blanks and _.+- are possible, "
                    "with the task's name at most 64",
                )
            if len(names) > 1 and " or " in value:
                raise MammoroiError(
                    f"task {task.name}: the class '{value}' reads like two classes",
                    f"{otherwise}, without the word or",
                )
            if name in owners:
                raise MammoroiError(
                    f"the tasks {owners[name]} and {task.name} both have a target {name}",
                    "rename one of the tasks",
                )
            owners[name] = task.name


def preset_task(name: str) -> Task:
    """Look up a preset task.

    Raises
    ------
    MammoroiError
        When there is none of that name; it says which is nearest.
    """
    own = "or give name, label and classes"
    return look_up(name, PRESET_TASKS, "preset task", "presets", own)

"""Settings of the room `modeling`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, get_args

from ..errors import MammoroiError

Views = Literal["mean", "maximum", "minimum", "largest", "concat"]


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
        three or more make one target each, against all the others.
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
        Tasks of your own, or the names of presets: `sln`, `her2`.
    views : {"mean", "maximum", "minimum", "largest", "concat"}
        How the images of a patient become one row: the mean, largest or smallest value of each
        feature; the features of the image with the largest lesion; or CC and MLO side by side,
        which leaves out patients who lack one of the two.
    icc_threshold : float
        A feature is stable when ICC(2,1) of the two readers exceeds this, or, without a second
        reader, ICC(1,1) of the manual masks and their perturbations (`stability`). Skipped, and
        said so, where there is neither.
    t_test_alpha : float
        A feature goes on when Welch's t-test gives a smaller P. 1 switches the filter off.
    alpha_min, alpha_max : float
        Smallest and largest LASSO penalty tried.
    n_alphas : int
        Number of penalties, evenly spaced on the logarithmic scale.
    lasso_folds : int
        Stratified, shuffled folds in which the penalty is chosen; fewer where the smaller class has
        fewer patients.
    lasso_rule : {"min", "1se"}
        The penalty with the smallest squared error, or the largest one within a standard error.
    max_iter : int
        Iterations of coordinate descent, where it is needed (see `selection.LassoSelector`).
    tol : float
        Largest duality gap of a LASSO solution, relative to the sum of squares of the label.
    smote : bool
        Whether to balance the classes with synthetic patients before the SVM is fitted.
    calibration_folds : int
        Inner folds from whose out-of-fold scores the calibration of an outer fold is fitted.
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
    t_test_alpha: float = 0.05
    alpha_min: float = 1e-4
    alpha_max: float = 1e1
    n_alphas: int = 50
    lasso_folds: int = 10
    lasso_rule: Literal["min", "1se"] = "min"
    max_iter: int = 100_000
    tol: float = 1e-4
    smote: bool = True
    calibration_folds: int = 5
    n_bootstrap: int = 1000
    seed: int = 15
    workers: int = 0

    def __post_init__(self) -> None:
        names = [task.name for task in self.resolved_tasks()]
        if not names:
            raise MammoroiError("tasks is empty", f"name one of {', '.join(PRESET_TASKS)}")
        for name in names:
            if names.count(name) > 1:
                raise MammoroiError(f"two tasks are called {name}", "rename one of them")
        _choice("views", self.views, get_args(Views))
        _choice("lasso_rule", self.lasso_rule, ("min", "1se"))
        _require("icc_threshold", self.icc_threshold, -1.0 <= self.icc_threshold < 1.0, "0.75")
        _require("t_test_alpha", self.t_test_alpha, 0.0 < self.t_test_alpha <= 1.0, "0.05")
        _require("alpha_min", self.alpha_min, 0.0 < self.alpha_min < self.alpha_max, "0.0001")
        _require("n_alphas", self.n_alphas, self.n_alphas >= 2, "50")
        _require("lasso_folds", self.lasso_folds, self.lasso_folds >= 2, "10")
        _require("max_iter", self.max_iter, self.max_iter >= 1, "100000")
        _require("tol", self.tol, self.tol > 0.0, "0.0001")
        _require("calibration_folds", self.calibration_folds, self.calibration_folds >= 2, "5")
        _require("n_bootstrap", self.n_bootstrap, self.n_bootstrap >= 100, "1000")
        _require("seed", self.seed, self.seed >= 0, "15")
        _require("workers", self.workers, self.workers >= 0, "0")

    def resolved_tasks(self) -> list[Task]:
        """Give the tasks with the names of presets replaced by the presets."""
        return [preset_task(task) if isinstance(task, str) else task for task in self.tasks]


def preset_task(name: str) -> Task:
    """Look up a preset task.

    Raises
    ------
    MammoroiError
        When there is none of that name; it says which is nearest.
    """
    from ..cohort.schema import nearest

    if name not in PRESET_TASKS:
        advice = nearest(name, list(PRESET_TASKS), "presets")
        raise MammoroiError(
            f"'{name}' is no preset task", f"{advice}; or give name, label and classes"
        )
    return PRESET_TASKS[name]


def _choice(name: str, value: str, valid: tuple[str, ...]) -> None:
    from ..cohort.schema import nearest

    if value not in valid:
        raise MammoroiError(f"{name} is '{value}'", nearest(value, valid))


def _require(name: str, value: float, valid: bool, example: str) -> None:
    if not valid:
        raise MammoroiError(f"{name} is {value}", f"choose a value such as {example}")

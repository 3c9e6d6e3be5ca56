"""Recipes: which steps lead from stable features to a score, each fitted inside training folds.

``rigorous`` selects by the LASSO alone, its penalty chosen by the one-standard-error rule along a
path that starts where nothing is selected (Friedman et al., J Stat Softw 2010;33(1)), and tunes the
SVM on the same inner folds. ``paper-clean`` has the steps of Zhao et al., Front Oncol 2025;15:
1578458: t-test, LASSO of the smallest error over fixed penalties, SMOTE, balanced weights, RBF SVM.
What that paper's order of steps would have claimed: see :mod:`.literal`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeVar, get_args

from ..errors import MammoroiError

Kernel = Literal["linear", "rbf"]
LassoRule = Literal["min", "1se"]
Preset = TypeVar("Preset")


def choice(name: str, value: str, valid: tuple[str, ...]) -> None:
    """Refuse a value that is none of the valid ones, naming the nearest."""
    from ..cohort.schema import nearest

    if value not in valid:
        raise MammoroiError(f"{name} is '{value}'", nearest(value, valid))


def look_up(name: str, presets: Mapping[str, Preset], what: str, kinds: str, own: str) -> Preset:
    """Give a preset by its name.

    Raises
    ------
    MammoroiError
        When there is none of that name; it says which is nearest, and what can be given instead.
    """
    from ..cohort.schema import nearest

    if name not in presets:
        raise MammoroiError(
            f"'{name}' is no {what}", f"{nearest(name, list(presets), kinds)}; {own}"
        )
    return presets[name]


def require(name: str, value: object, valid: bool, example: str) -> None:
    """Refuse a value outside its range, with one that would do."""
    if not valid:
        raise MammoroiError(f"{name} is {value}", f"choose a value such as {example}")


@dataclass(frozen=True)
class Recipe:
    """The steps between the stable features of some patients and an SVM's score.

    Attributes
    ----------
    name : str
        How the report calls it.
    t_test_alpha : float
        A feature goes on when Welch's t-test gives a smaller P. 1 switches the filter off.
    alpha_max : float or None
        Largest LASSO penalty; None: the smallest one that leaves no feature, from the data.
    alpha_ratio : float
        The smallest penalty, as a share of the largest.
    n_alphas : int
        Number of penalties, evenly spaced on the logarithmic scale.
    lasso_folds : int
        Stratified, shuffled folds in which the penalty, kernel and C are chosen; fewer where the
        smaller class has fewer patients.
    lasso_rule : {"min", "1se"}
        The penalty with the smallest squared error, or the largest one within a standard error.
    smote : bool
        Whether to balance the classes with synthetic patients before an SVM is fitted.
    class_weights : bool
        Whether the SVM weighs each class by the inverse of its frequency.
    kernels : tuple of {"linear", "rbf"}
        The SVM's kernels to choose from (``gamma`` is ``scale``).
    costs : tuple of float
        The SVM's C to choose from. One kernel and one C: nothing is tuned.
    """

    name: str = "own"
    t_test_alpha: float = 1.0
    alpha_max: float | None = None
    alpha_ratio: float = 0.05
    n_alphas: int = 40
    lasso_folds: int = 10
    lasso_rule: LassoRule = "1se"
    smote: bool = False
    class_weights: bool = False
    kernels: tuple[Kernel, ...] = ("linear", "rbf")
    costs: tuple[float, ...] = (0.001, 0.01, 0.1, 1.0)

    def __post_init__(self) -> None:
        choice("lasso_rule", self.lasso_rule, get_args(LassoRule))
        for kernel in self.kernels:
            choice("kernels", kernel, get_args(Kernel))
        require("t_test_alpha", self.t_test_alpha, 0.0 < self.t_test_alpha <= 1.0, "0.05")
        require("alpha_max", self.alpha_max, self.alpha_max is None or self.alpha_max > 0, "10")
        require("alpha_ratio", self.alpha_ratio, 0.0 < self.alpha_ratio < 1.0, "0.05")
        require("n_alphas", self.n_alphas, self.n_alphas >= 2, "40")
        require("lasso_folds", self.lasso_folds, self.lasso_folds >= 2, "10")
        require("kernels", list(self.kernels), len(self.kernels) > 0, "[linear, rbf]")
        positive = len(self.costs) > 0 and min(self.costs) > 0
        require("costs", list(self.costs), positive, "[0.01, 0.1, 1]")

    @property
    def candidates(self) -> list[tuple[Kernel, float]]:
        """The pairs of kernel and C to choose from, the plainest first."""
        return [(kernel, cost) for kernel in self.kernels for cost in sorted(self.costs)]

    @property
    def nested(self) -> bool:
        """Whether the LASSO's folds learn all from labels that the whole fit learns from them.

        Then the scores of their held-out rows are out-of-fold. A t-test before the LASSO has seen
        the labels of those rows.
        """
        return self.t_test_alpha >= 1


PRESET_RECIPES = {
    "rigorous": Recipe("rigorous"),
    "paper-clean": Recipe(
        "paper-clean",
        t_test_alpha=0.05,
        alpha_max=1e1,
        alpha_ratio=1e-5,
        n_alphas=50,
        lasso_rule="min",
        smote=True,
        class_weights=True,
        kernels=("rbf",),
        costs=(1.0,),
    ),
}


def preset_recipe(name: str) -> Recipe:
    """Look up a recipe by its name.

    Raises
    ------
    MammoroiError
        When there is none of that name; it says which is nearest.
    """
    return look_up(name, PRESET_RECIPES, "recipe", "recipes", "or give settings of your own")

"""Settings of the clinical tables: which variables, how they are coded, when they are known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from ..errors import MammoroiError
from .config import PRESET_TASKS, Task, preset_task
from .recipes import look_up

Source = Literal["patient", "imaging", "biopsy", "specimen"]
Test = Literal["welch", "student", "mann-whitney"]


@dataclass(frozen=True)
class ClinicalVariable:
    """A column of `patients.csv` as the clinical tables use it.

    Attributes
    ----------
    name : str
        The column.
    kind : {"choice", "number"}
        Whether its values are levels or numbers.
    source : {"patient", "imaging", "biopsy", "specimen"}
        Where it is known from. Only the specimen is not there before surgery.
    levels : tuple of str
        The levels of a choice in their natural order; empty = those that occur, sorted.
    reference : str
        The level to which the others are compared; empty = the first. A number that is cut has the
        levels `<=CUT` and `>CUT`.
    cut : float or None
        Where a number is cut in two when the settings ask for it (`cut_numbers`).
    step : float
        The odds ratio of a number is for this many of its units.
    test : {"welch", "student", "mann-whitney"}
        How training and test patients are compared in a number that is not cut; with the last, the
        table gives median and quartiles.
    circular : tuple of str
        Labels that this variable is partly made of: the TNM stage has the nodes in it.
    """

    name: str
    kind: Literal["choice", "number"]
    source: Source
    levels: tuple[str, ...] = ()
    reference: str = ""
    cut: float | None = None
    step: float = 1.0
    test: Test = "welch"
    circular: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for field, value, valid in (
            ("kind", self.kind, ("choice", "number")),
            ("source", self.source, get_args(Source)),
            ("test", self.test, get_args(Test)),
        ):
            if value not in valid:
                raise MammoroiError(
                    f"{field} of the clinical variable {self.name} is '{value}'",
                    f"choose one of {', '.join(valid)}",
                )
        if not self.step > 0:
            raise MammoroiError(
                f"step of the clinical variable {self.name} is {self.step}",
                "choose a positive number of its units, such as 10",
            )
        levels = self.cut_levels if self.cut is not None else self.levels
        if self.reference and levels and self.reference not in levels:
            raise MammoroiError(
                f"reference of the clinical variable {self.name} is '{self.reference}'",
                f"choose one of {', '.join(levels)}",
            )

    @property
    def preoperative(self) -> bool:
        """Whether it is known before surgery."""
        return self.source != "specimen"

    @property
    def cut_levels(self) -> tuple[str, str]:
        """The two levels of a number that is cut."""
        return (f"<={self.cut:g}", f">{self.cut:g}")


def _no_yes(name: str, source: Source) -> ClinicalVariable:
    return ClinicalVariable(name, "choice", source, ("no", "yes"))


def _choice(name: str, source: Source, *levels: str) -> ClinicalVariable:
    return ClinicalVariable(name, "choice", source, levels)


def _percent(name: str, cut: float) -> ClinicalVariable:
    return ClinicalVariable(name, "number", "specimen", cut=cut, step=10)


PRESET_VARIABLES = {
    variable.name: variable
    for variable in (
        _choice("her2", "specimen", "zero", "low", "positive"),
        _choice("sln", "specimen", "negative", "positive"),
        ClinicalVariable("age", "number", "patient", reference=">40", cut=40, step=10),
        _choice("ethnicity", "patient", "han", "minority"),
        ClinicalVariable("size_cm", "number", "imaging", cut=2),
        _choice("grade", "specimen", "I", "II", "III"),
        _no_yes("lymphovascular_invasion", "specimen"),
        _percent("er_percent", 10),
        _percent("pr_percent", 20),
        _no_yes("nerve_invasion", "specimen"),
        _no_yes("menopause", "patient"),
        _percent("ki67_percent", 20),
        _choice("ck5_6", "specimen", "negative", "positive"),
        ClinicalVariable(
            "stage", "choice", "specimen", ("I", "II", "III", "IV"), circular=("sln",)
        ),
        _choice(
            *("breast_density", "imaging", "extremely_dense", "heterogeneous", "scattered"),
            *("fatty", "d", "c", "b", "a"),
        ),
        _choice("lesion_shape", "imaging", "round", "irregular"),
        _choice("lesion_margin", "imaging", "smooth", "spiculated"),
        _choice("mass_density", "imaging", "isodense", "high"),
        _no_yes("architectural_distortion", "imaging"),
        _no_yes("calcification", "imaging"),
        _no_yes("skin_change", "imaging"),
    )
}
"""The standard columns, in the order, with the cut-offs and the reference levels of Zhao et al.,
Front Oncol 2025;15:1578458, Tables 1 to 3. Grade, receptors, Ki-67, CK5/6 and HER2 are taken for
the specimen's; where the core biopsy's were recorded, declare the variable with that source."""


@dataclass(frozen=True)
class ClinicalConfig:
    """How the clinical tables are made.

    Attributes
    ----------
    variables : tuple of ClinicalVariable or str
        Variables of your own, or names of standard ones; empty = every standard one that the
        cohort has.
    tasks : tuple of Task or str
        What the regressions explain: two classes by logistic regression, three or more, in their
        order, by proportional odds. Empty: in a study the tasks of `modeling`, else `sln` and
        `her2`.
    patients : {"all", "train"}
        Whose data the regressions use. They describe a cohort: no classifier learns from them.
    cut_numbers : bool
        Cut numbers in two at the variable's `cut`, as the paper did. It costs information and
        makes neighbours on either side of the cut as different as can be.
    entry : {"all", "univariable"}
        Which variables enter the multivariable model: all, or those whose univariable P is below
        `entry_p`, as the paper did. After such a choice the P values left are too small.
    entry_p : float
        See `entry`; P of the variable as a whole.
    least_events : float
        Events for each parameter of a multivariable model, without which it is not fitted: patients
        of the smaller class; see `events_per_parameter` in the tables.
    circular : bool
        Whether a variable that is partly made of the label itself may enter the multivariable
        model, as in the paper.
    """

    variables: tuple[str | ClinicalVariable, ...] = ()
    tasks: tuple[str | Task, ...] = ()
    patients: Literal["all", "train"] = "all"
    cut_numbers: bool = False
    entry: Literal["all", "univariable"] = "all"
    entry_p: float = 0.05
    least_events: float = 5.0
    circular: bool = False

    def __post_init__(self) -> None:
        for field, value, valid in (
            ("patients", self.patients, ("all", "train")),
            ("entry", self.entry, ("all", "univariable")),
        ):
            if value not in valid:
                raise MammoroiError(f"{field} is '{value}'", f"choose one of {', '.join(valid)}")
        if not 0 < self.entry_p < 1:
            raise MammoroiError(f"entry_p is {self.entry_p}", "choose a value such as 0.05")
        if self.least_events < 1:
            raise MammoroiError(f"least_events is {self.least_events}", "choose a number from 1 up")
        names = [variable.name for variable in self.resolved_variables()]
        for name in names:
            if names.count(name) > 1:
                raise MammoroiError(
                    f"the clinical variable {name} is named twice", "remove one of the two"
                )
        self.resolved_tasks()

    def resolved_variables(self) -> list[ClinicalVariable]:
        """Give the variables with the names of standard ones replaced; all of those where empty.

        Raises
        ------
        MammoroiError
            When a name is that of no standard variable; it says which is nearest.
        """
        return [
            _preset(variable) if isinstance(variable, str) else variable
            for variable in self.variables or tuple(PRESET_VARIABLES)
        ]

    def resolved_tasks(self) -> list[Task]:
        """Give the tasks with the names of presets replaced by the presets."""
        tasks = self.tasks or tuple(PRESET_TASKS)
        return [preset_task(task) if isinstance(task, str) else task for task in tasks]


def _preset(name: str) -> ClinicalVariable:
    own = "or give name, kind and source"
    return look_up(name, PRESET_VARIABLES, "standard clinical variable", "standard ones", own)


PRESET_CLINICAL = {
    "paper-literal": ClinicalConfig(cut_numbers=True, entry="univariable", circular=True),
}
"""Settings by name. `paper-literal` is the way of the paper whose variables these are: numbers cut,
the multivariable model of what was significant alone, the stage as a predictor of the node."""


def resolved_clinical(clinical: ClinicalConfig | str) -> ClinicalConfig:
    """Give the settings of the clinical tables, looked up where they are named.

    Raises
    ------
    MammoroiError
        When there are none of that name; it says which is nearest.
    """
    if isinstance(clinical, ClinicalConfig):
        return clinical
    own = "or give settings of your own"
    return look_up(clinical, PRESET_CLINICAL, "way of making the clinical tables", "ways", own)

"""What goes with an outcome, variable by variable and together: the models.

Two classes: logistic regression. Three or more in their order: proportional odds,
P(class <= j) = 1 / (1 + exp(x beta - theta_j)), as MASS::polr and statsmodels have it, so that an
odds ratio above 1 goes with a higher class. Maximum likelihood with Wald intervals and P values
from the normal distribution; where a coefficient has no finite estimate, the whole model is fitted
by penalised likelihood (:mod:`.firth`). Each model uses the patients for whom the outcome and all
of its variables are known.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import chi2, norm

from ..cohort.schema import nearest, nearest_word
from ..errors import MammoroiError
from .clinical_config import ClinicalConfig, ClinicalVariable
from .clinical_design import Design, as_text, coded, design, present_variables, tells
from .config import Task
from .firth import fit_firth, likelihood_ratio_p, profile_interval, separated

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Codes = NDArray[np.int64]

UNIVARIABLE, MULTIVARIABLE = "univariable", "multivariable"
PREOPERATIVE = "multivariable_preoperative"
LIKELIHOOD, PENALISED = "maximum likelihood", "penalised likelihood"


@dataclass(frozen=True)
class Fit:
    """Estimates of a model: arrays of shape (terms,); ``p_variables`` by variable."""

    beta: Array
    se: Array
    p: Array
    lower: Array
    upper: Array
    p_variables: dict[str, float]
    method: str


@dataclass(frozen=True)
class Model:
    """A model and the patients on whom it is fitted.

    Attributes
    ----------
    analysis : str
        ``univariable``, ``multivariable`` or ``multivariable_preoperative``.
    variables : tuple of ClinicalVariable
        Those that are asked for; ``design.left_out`` says which give no column.
    design : Design
        The columns.
    codes : array, shape (patients,)
        Classes 0, 1, ... of the patients for whom everything is known.
    n_missing : int
        Patients with a known label who are not among them.
    fit : Fit or None
        None where there is no column, or too few events for the columns.
    circular : dict of str to str
        Variables of the task that are made of its label, or look so, and why.
    """

    analysis: str
    variables: tuple[ClinicalVariable, ...]
    design: Design
    codes: Codes
    n_missing: int
    fit: Fit | None
    circular: dict[str, str] = field(default_factory=dict)

    @property
    def events_per_parameter(self) -> float:
        """Limiting sample size over columns; NaN without any.

        The smaller of two classes; of more, n - sum(n_j^3) / n^2 (Harrell, Regression Modeling
        Strategies, 2nd ed. 2015, section 4.4).
        """
        if not self.design.terms:
            return math.nan
        counts = np.bincount(self.codes).astype(float)
        n = counts.sum()
        limiting = counts.min() if len(counts) == 2 else n - (counts**3).sum() / n**2
        return float(limiting / len(self.design.terms))


def fit_models(patients: pd.DataFrame, task: Task, config: ClinicalConfig) -> list[Model]:
    """Fit each variable alone, then the multivariable models.

    Parameters
    ----------
    patients : DataFrame
        Rows of ``patients.csv``.
    task : Task
        The outcome; patients whose label is missing are left out.
    config : ClinicalConfig
        Variables, coding, and which of them enter the multivariable models. The label itself is
        never among them, and what is made of it, or tells the class of every patient, only where
        that is asked for.

    Returns
    -------
    list of Model
        The univariable ones in the order of the variables; the multivariable one; where some but
        not all of its variables are known before surgery, one with those that are.

    Raises
    ------
    MammoroiError
        When the label, a variable or a value cannot be used, or there is only one class.
    """
    codes = outcome_codes(patients, task)
    patients = patients[codes.notna()]
    known = codes.dropna().astype("int64")
    variables = [v for v in present_variables(patients, config) if v.name != task.label]
    values = {v.name: coded(patients, v, config.cut_numbers) for v in variables}
    reasons = {v.name: _circular(v, values[v.name], known, task) for v in variables}
    circular = {name: why for name, why in reasons.items() if why}
    models = [_model(UNIVARIABLE, [variable], values, known) for variable in variables]
    entering = [
        variable
        for variable, model in zip(variables, models, strict=True)
        if (config.circular or variable.name not in circular)
        and (config.entry == "all" or _p_univariable(model) < config.entry_p)
    ]
    before = [variable for variable in entering if variable.preoperative]
    if entering:
        models.append(_model(MULTIVARIABLE, entering, values, known, config.least_events))
    if before and len(before) < len(entering):
        models.append(_model(PREOPERATIVE, before, values, known, config.least_events))
    return [replace(model, circular=circular) for model in models]


def _circular(variable: ClinicalVariable, cells: pd.Series, codes: pd.Series, task: Task) -> str:
    """Why a variable may be made of the label; empty where it is not."""
    if task.label in variable.circular:
        return f"{variable.name} is partly made of {task.label}"
    return f"{variable.name} tells {task.label} in every patient" if tells(cells, codes) else ""


def outcome_codes(patients: pd.DataFrame, task: Task) -> pd.Series:
    """Number the classes of a task in their order, counting only those that occur: 0, 1, ...

    Returns
    -------
    Series
        float64, missing where the label is.

    Raises
    ------
    MammoroiError
        When the column is missing, holds another value, or only one class occurs.
    """
    if task.label not in patients:
        columns = [str(name) for name in patients.columns if name != "patient_id"]
        raise MammoroiError(
            f"patients.csv has no column '{task.label}', which task {task.name} needs",
            f"add it, or set the task's label; {nearest(task.label, columns, 'it has')}",
        )
    labels = as_text(patients[task.label])
    odd = sorted(set(labels.dropna()) - set(task.classes))
    if odd:
        raise MammoroiError(
            f"column '{task.label}' (task {task.name}) holds '{odd[0]}'",
            f"correct it, empty the cell, or add it to the classes; "
            f"{nearest_word(odd[0], task.classes)}",
        )
    present = [value for value in task.classes if (labels == value).any()]
    if len(present) < 2:
        raise MammoroiError(
            f"column '{task.label}' holds {present[0] if present else 'nothing'} and no other "
            f"class of task {task.name}",
            "leave the task out of the clinical tables, or use patients of both classes",
        )
    return labels.map({value: float(k) for k, value in enumerate(present)}).astype("float64")


def _model(
    analysis: str,
    variables: Sequence[ClinicalVariable],
    values: dict[str, pd.Series],
    codes: pd.Series,
    least_events: float = 0.0,
) -> Model:
    names = [variable.name for variable in variables]
    complete = np.logical_and.reduce([values[name].notna().to_numpy() for name in names])
    used = codes[complete]
    kept = {name: values[name][complete] for name in names}
    present = {value: k for k, value in enumerate(sorted(used.unique()))}
    if len(present) < 2:
        why = dict.fromkeys(names, "too few patients with all values")
        columns = Design((), np.empty((0, 0)), why)
    else:
        columns = design(kept, variables)
    numbers = used.map(present).to_numpy(dtype=np.int64)
    missing = int((~complete).sum())
    model = Model(analysis, tuple(variables), columns, numbers, missing, None)
    enough = model.events_per_parameter >= least_events
    return replace(model, fit=fit(columns, numbers)) if enough else model


def fit(columns: Design, codes: Codes) -> Fit:
    """Fit a model: by maximum likelihood, or by penalised likelihood where that has no maximum."""
    groups = {term.variable: columns.columns(term.variable) for term in columns.terms}
    exog = columns.exog
    found = None if separated(exog, codes).any() else _likelihood(exog, codes)
    if found is None:
        return _penalised(exog, codes, groups)
    beta, covariance = found
    se = np.sqrt(np.diag(covariance))
    margin = norm.ppf(0.975) * se
    whole = {
        name: float(
            chi2.sf(beta[at] @ np.linalg.solve(covariance[np.ix_(at, at)], beta[at]), len(at))
        )
        for name, at in groups.items()
    }
    p = 2 * norm.sf(np.abs(beta / se))
    return Fit(beta, se, p, beta - margin, beta + margin, whole, LIKELIHOOD)


def _likelihood(exog: Array, codes: Codes) -> tuple[Array, Array] | None:
    """Log odds ratios and their covariance, by statsmodels; None when it finds no maximum."""
    import statsmodels.api as sm
    from statsmodels.miscmodels.ordinal_model import OrderedModel

    # On columns of mean 0 and spread 1 the numerical derivatives are good to many digits.
    spread = exog.std(axis=0)
    x = (exog - exog.mean(axis=0)) / spread
    n = exog.shape[1]
    if codes.max() == 1:
        logit = sm.Logit(codes, np.column_stack([x, np.ones(len(x))]))
        found = logit.fit(disp=0, maxiter=100, warn_convergence=False)
    else:
        ordered = OrderedModel(codes, x, distr="logit")
        settings = {"method": "bfgs", "disp": 0, "warn_convergence": False}
        found = ordered.fit(gtol=1e-8, maxiter=1000, **settings)
    if not found.mle_retvals["converged"]:
        return None
    covariance = np.asarray(found.cov_params())[:n, :n]
    return np.asarray(found.params)[:n] / spread, covariance / np.outer(spread, spread)


def _penalised(exog: Array, codes: Codes, groups: dict[str, list[int]]) -> Fit:
    found = fit_firth(exog, codes)
    columns = range(exog.shape[1])
    ends = np.array([profile_interval(exog, codes, found, column) for column in columns])
    p = np.array([likelihood_ratio_p(exog, codes, found, [column]) for column in columns])
    whole = {
        name: float(p[at[0]]) if len(at) == 1 else likelihood_ratio_p(exog, codes, found, at)
        for name, at in groups.items()
    }
    return Fit(found.beta, found.se, p, ends[:, 0], ends[:, 1], whole, PENALISED)


def _p_univariable(model: Model) -> float:
    """P of the variable of a univariable model; 1 when it has none."""
    return model.fit.p_variables[model.variables[0].name] if model.fit else 1.0

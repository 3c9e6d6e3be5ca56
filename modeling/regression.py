"""What goes with an outcome, variable by variable and together: odds ratios with intervals.

Two classes: logistic regression. Three or more in their order: proportional odds,
P(class <= j) = 1 / (1 + exp(x beta - theta_j)), as MASS::polr and statsmodels have it, so that an
odds ratio above 1 goes with a higher class. Maximum likelihood with Wald intervals and P values
from the normal distribution; where a coefficient has no finite estimate, the whole model is fitted
by penalised likelihood (:mod:`.firth`).

Each model uses the patients for whom the outcome and all of its variables are known. Columns of
:func:`regression_table`, a row for each term:

=========================  =========================================================================
analysis                   ``univariable``, ``multivariable``, ``multivariable_preoperative``
variable, level            the term; of a number ``per 10``: the odds ratio is for 10 units
reference                  the level that it is compared to; empty for a number
n, n_missing               patients of the model; patients left out because a variable is missing
n_level                    patients of the model at this level; empty for a number
events_per_parameter       limiting sample size over terms: the smaller class; of three or more
                           classes n - sum(n_j^3) / n^2 (Harrell, Regression Modeling Strategies,
                           2nd ed. 2015, section 4.4)
beta, se, z, p             log odds ratio, standard error, ``beta / se`` (``t`` in R's polr), P
odds_ratio, ..._lower/     ``exp(beta)`` with its 95 % interval
odds_ratio_upper
p_variable                 P of the variable as a whole; Wald's, as ``p``, or the likelihood ratio's
method                     ``maximum likelihood`` or ``penalised likelihood``; with the latter ``p``
                           and the interval are those of the penalised likelihood ratio
preoperative               whether the variable is known before surgery
note                       why a variable has no estimate, or what to beware of
=========================  =========================================================================
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import chi2, norm

from ..cohort.schema import nearest
from ..errors import MammoroiError
from .clinical_config import ClinicalConfig, ClinicalVariable
from .clinical_design import Design, as_text, coded, design, present_variables
from .config import Task
from .firth import fit_firth, likelihood_ratio_p, profile_interval, separated
from .ordinal import Proportionality, brant

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Codes = NDArray[np.int64]

COLUMNS = (
    *("analysis", "variable", "level", "reference", "n", "n_missing", "n_level"),
    *("events_per_parameter", "beta", "se", "z", "p"),
    *("odds_ratio", "odds_ratio_lower", "odds_ratio_upper", "p_variable", "method"),
    *("preoperative", "note"),
)
PROPORTIONALITY_COLUMNS = ("analysis", "variable", "n", "statistic", "df", "p", "note")
ALL = "all variables"
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
    """A model and the patients on whom it is fitted; ``fit`` is None without any column."""

    analysis: str
    variables: tuple[ClinicalVariable, ...]
    design: Design
    codes: Codes
    n_missing: int
    fit: Fit | None


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
        never among them.

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
    models = [_model("univariable", [variable], values, known) for variable in variables]
    entering = [
        variable
        for variable, model in zip(variables, models, strict=True)
        if (config.circular or task.label not in variable.circular)
        and (config.entry == "all" or _p_variable(model) < config.entry_p)
    ]
    if entering:
        models.append(_model("multivariable", entering, values, known))
    before = [variable for variable in entering if variable.preoperative]
    if before and len(before) < len(entering):
        models.append(_model(PREOPERATIVE, before, values, known))
    return models


def regression_table(models: Sequence[Model], task: Task, config: ClinicalConfig) -> pd.DataFrame:
    """Bring models to a table; its columns are described above."""
    import pandas as pd

    rows = [row for model in models for row in _rows(model, task)]
    single = [model.variables[0] for model in models if model.analysis == "univariable"]
    if not config.circular:
        rows += [
            _blank("multivariable", variable) | {"note": f"left out: {_circular(variable, task)}"}
            for variable in single
            if task.label in variable.circular
        ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def proportionality_table(models: Sequence[Model]) -> pd.DataFrame:
    """Brant's test of each model, for all its variables and for each of them.

    Returns
    -------
    DataFrame
        ``analysis, variable, n, statistic, df, p, note``; ``all variables`` names the test of the
        model. A small P says that an odds ratio differs between the cuts of the outcome, so that
        the one that is given is a mean over them.
    """
    import pandas as pd

    rows: list[dict[str, Any]] = []
    for model in models:
        if model.fit is None:
            continue
        groups: dict[str, list[int]] = {}
        if model.analysis != "univariable":
            groups[ALL] = list(range(len(model.design.terms)))
        groups |= {
            variable.name: columns
            for variable in model.variables
            if (columns := model.design.columns(variable.name))
        }
        tests = brant(model.design.exog, model.codes, groups)
        rows += [_tested(model, name, test) for name, test in tests.items()]
    return pd.DataFrame(rows, columns=list(PROPORTIONALITY_COLUMNS))


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
            f"correct it, empty the cell, or add it to the classes; {nearest(odd[0], task.classes)}",
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
    fitted = fit(columns, numbers) if columns.terms else None
    missing = int((~complete).sum())
    return Model(analysis, tuple(variables), columns, numbers, missing, fitted)


def fit(columns: Design, codes: Codes) -> Fit:
    """Fit a model: by maximum likelihood, or by penalised likelihood where that has no maximum."""
    groups = {term.variable: columns.columns(term.variable) for term in columns.terms}
    exog = columns.exog
    if separated(exog, codes).any():
        return _penalised(exog, codes, groups)
    beta, covariance = _likelihood(exog, codes)
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


def _likelihood(exog: Array, codes: Codes) -> tuple[Array, Array]:
    """Log odds ratios and their covariance, by statsmodels."""
    import statsmodels.api as sm
    from statsmodels.miscmodels.ordinal_model import OrderedModel

    # On columns of mean 0 and spread 1 the numerical derivatives are good to many digits.
    spread = exog.std(axis=0)
    x = (exog - exog.mean(axis=0)) / spread
    n = exog.shape[1]
    if codes.max() == 1:
        found = sm.Logit(codes, np.column_stack([x, np.ones(len(x))])).fit(disp=0, maxiter=100)
    else:
        model = OrderedModel(codes, x, distr="logit")
        found = model.fit(method="bfgs", disp=0, gtol=1e-8, maxiter=1000)
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


def _p_variable(model: Model) -> float:
    """P of the variable of a univariable model; 1 when it has none."""
    return model.fit.p_variables[model.variables[0].name] if model.fit else 1.0


def _rows(model: Model, task: Task) -> Iterator[dict[str, Any]]:
    terms = model.design.terms
    counts = np.bincount(model.codes)
    n = int(counts.sum())
    limiting = min(counts) if len(counts) == 2 else n - float((counts**3.0).sum()) / n**2
    for variable in model.variables:
        base = _blank(model.analysis, variable) | {"n": n, "n_missing": model.n_missing}
        if variable.name in model.design.left_out:
            yield base | {"note": f"left out: {model.design.left_out[variable.name]}"}
            continue
        assert model.fit is not None  # a model with a column has been fitted
        note = _circular(variable, task) if task.label in variable.circular else ""
        for k in model.design.columns(variable.name):
            yield base | {
                "level": terms[k].level,
                "reference": terms[k].reference,
                "n_level": int(model.design.exog[:, k].sum()) if terms[k].reference else math.nan,
                "events_per_parameter": float(limiting) / len(terms),
                "beta": model.fit.beta[k],
                "se": model.fit.se[k],
                "z": model.fit.beta[k] / model.fit.se[k],
                "p": model.fit.p[k],
                "odds_ratio": math.exp(model.fit.beta[k]),
                "odds_ratio_lower": float(np.exp(model.fit.lower[k])),
                "odds_ratio_upper": float(np.exp(model.fit.upper[k])),
                "p_variable": model.fit.p_variables[variable.name],
                "method": model.fit.method,
                "note": note,
            }


def _blank(analysis: str, variable: ClinicalVariable) -> dict[str, Any]:
    return {
        "analysis": analysis,
        "variable": variable.name,
        "level": "",
        "reference": "",
        "method": "",
        "preoperative": variable.preoperative,
        "note": "",
    }


def _circular(variable: ClinicalVariable, task: Task) -> str:
    return f"circular: {variable.name} is partly made of {task.label}"


def _tested(model: Model, name: str, test: Proportionality) -> dict[str, Any]:
    """A row of :func:`proportionality_table`."""
    note = ""
    if model.codes.max() < 2:
        note = "not tested: two classes only"
    elif math.isnan(test.p):
        note = "not tested: a cut of the outcome is separated"
    return {
        "analysis": model.analysis,
        "variable": name,
        "n": len(model.codes),
        "statistic": test.statistic,
        "df": test.df,
        "p": test.p,
        "note": note,
    }

"""The regressions as tables: odds ratios with intervals, and the tests of proportional odds.

Columns of :func:`regression_table`, a row for each term:

=========================  =========================================================================
analysis                   ``univariable``, ``multivariable``, ``multivariable_preoperative``
variable, level            the term; of a number ``per 10``: the odds ratio is for 10 units
reference                  the level that it is compared to; empty for a number
n, n_missing               patients of the model; patients left out because a variable is missing
n_level                    patients of the model at this level; empty for a number
events_per_parameter       limiting sample size over terms, see :class:`.regression.Model`
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
from typing import TYPE_CHECKING, Any

import numpy as np

from .clinical_config import ClinicalConfig, ClinicalVariable
from .ordinal import Proportionality, brant
from .regression import MULTIVARIABLE, UNIVARIABLE, Model

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    *("analysis", "variable", "level", "reference", "n", "n_missing", "n_level"),
    *("events_per_parameter", "beta", "se", "z", "p"),
    *("odds_ratio", "odds_ratio_lower", "odds_ratio_upper", "p_variable", "method"),
    *("preoperative", "note"),
)
PROPORTIONALITY_COLUMNS = ("analysis", "variable", "n", "statistic", "df", "p", "note")
ALL = "all variables"
LEFT_OUT, CIRCULAR = "left out: ", "circular: "


def regression_table(models: Sequence[Model], config: ClinicalConfig) -> pd.DataFrame:
    """Bring models to a table; its columns are described above."""
    import pandas as pd

    rows = [row for model in models for row in _rows(model)]
    if not config.circular:
        rows += [
            _blank(MULTIVARIABLE, model.variables[0])
            | {"note": f"{LEFT_OUT}{CIRCULAR}{model.circular[model.variables[0].name]}"}
            for model in models
            if model.analysis == UNIVARIABLE and model.variables[0].name in model.circular
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
        if model.analysis != UNIVARIABLE:
            groups[ALL] = list(range(len(model.design.terms)))
        groups |= {
            variable.name: columns
            for variable in model.variables
            if (columns := model.design.columns(variable.name))
        }
        tests = brant(model.design.exog, model.codes, groups)
        rows += [_tested(model, name, test) for name, test in tests.items()]
    return pd.DataFrame(rows, columns=list(PROPORTIONALITY_COLUMNS))


def _rows(model: Model) -> Iterator[dict[str, Any]]:
    terms = model.design.terms
    counts = {
        "n": len(model.codes),
        "n_missing": model.n_missing,
        "events_per_parameter": model.events_per_parameter,
    }
    for variable in model.variables:
        base = _blank(model.analysis, variable) | counts
        if terms and model.fit is None:
            yield base | {"note": f"{LEFT_OUT}too few patients for a model of {len(terms)} terms"}
            continue
        if model.fit is None or variable.name in model.design.left_out:
            yield base | {"note": f"{LEFT_OUT}{model.design.left_out[variable.name]}"}
            continue
        circular = model.circular.get(variable.name)
        note = f"{CIRCULAR}{circular}" if circular else ""
        for k in model.design.columns(variable.name):
            yield base | {
                "level": terms[k].level,
                "reference": terms[k].reference,
                "n_level": int(model.design.exog[:, k].sum()) if terms[k].reference else math.nan,
                "beta": model.fit.beta[k],
                "se": model.fit.se[k],
                "z": model.fit.beta[k] / model.fit.se[k],
                "p": model.fit.p[k],
                "odds_ratio": _exp(model.fit.beta[k]),
                "odds_ratio_lower": _exp(model.fit.lower[k]),
                "odds_ratio_upper": _exp(model.fit.upper[k]),
                "p_variable": model.fit.p_variables[variable.name],
                "method": model.fit.method,
                "note": note or _coarse(model, k),
            }


def _exp(value: float) -> float:
    """Odds ratio of its logarithm; infinite beyond the largest number."""
    with np.errstate(over="ignore"):
        return float(np.exp(value))


def _coarse(model: Model, column: int) -> str:
    """Say that the odds ratio of a number is for more than all patients differ by."""
    term = model.design.terms[column]
    if term.reference or np.ptp(model.design.exog[:, column]) >= 1:
        return ""
    return f"{term.level} is more than its whole range: set a smaller step"


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

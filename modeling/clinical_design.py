"""Clinical variables as columns of a regression: levels against a reference, numbers per step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..cohort.schema import nearest
from ..errors import MammoroiError
from .clinical_config import ClinicalConfig, ClinicalVariable

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

LEAST_TOLD = 3
"""Patients of a class, of one level where there are levels, for the class to be told."""


@dataclass(frozen=True)
class Term:
    """One column of a design: a level against the reference, or a number.

    Attributes
    ----------
    variable : str
        The clinical variable.
    level : str
        The level; of a number, ``per 10``: so many of its units.
    reference : str
        The reference level; empty for a number.
    """

    variable: str
    level: str
    reference: str


@dataclass(frozen=True)
class Design:
    """The columns of a model.

    Attributes
    ----------
    terms : tuple of Term
        What each column is.
    exog : array, shape (patients, terms)
        Without a constant.
    left_out : dict of str to str
        Variables that give no column of their own, and why.
    """

    terms: tuple[Term, ...]
    exog: NDArray[np.float64]
    left_out: dict[str, str]

    def columns(self, variable: str) -> list[int]:
        """The columns of a variable."""
        return [k for k, term in enumerate(self.terms) if term.variable == variable]


def present_variables(patients: pd.DataFrame, config: ClinicalConfig) -> list[ClinicalVariable]:
    """Choose the variables that a cohort has.

    Standard variables of which ``patients.csv`` has no column, or an empty one, are passed over
    unless the settings name them.

    Raises
    ------
    MammoroiError
        When a variable that the settings name is not there.
    """
    found = []
    for variable in config.resolved_variables():
        has = variable.name in patients and patients[variable.name].notna().any()
        if not has and config.variables:
            columns = [str(name) for name in patients.columns if name != "patient_id"]
            raise MammoroiError(
                f"patients.csv has nothing in a column '{variable.name}', a clinical variable",
                f"fill it, or take it out of the variables; {nearest(variable.name, columns)}",
            )
        if has:
            found.append(variable)
    return found


def coded(patients: pd.DataFrame, variable: ClinicalVariable, cut_numbers: bool) -> pd.Series:
    """A variable's values: float64 for a number, an ordered categorical for levels.

    Missing cells stay missing.

    Raises
    ------
    MammoroiError
        When a number is none, or a level is not among those declared.
    """
    import pandas as pd

    cells = patients[variable.name]
    if variable.kind == "choice":
        text = as_text(cells)
        levels = list(variable.levels) or sorted(text.dropna().unique())
        odd = text[text.notna() & ~text.isin(levels)]
        if len(odd):
            raise MammoroiError(
                f"{len(odd)} cells of column '{variable.name}' hold another value than "
                f"{', '.join(levels)}, the first of them '{odd.iloc[0]}'",
                f"correct them, or declare the variable with its levels; "
                f"{nearest(str(odd.iloc[0]), levels)}",
            )
        return text.astype(pd.CategoricalDtype(levels, ordered=True))
    try:
        numbers = pd.to_numeric(cells).astype("float64")
    except ValueError as error:
        raise MammoroiError(
            f"column '{variable.name}' holds something that is no number: {error}",
            "correct it, or declare the variable as a choice",
        ) from None
    if not cut_numbers or variable.cut is None:
        return numbers
    low, high = variable.cut_levels
    text = pd.Series(np.where(numbers > variable.cut, high, low), index=cells.index)
    return text.mask(numbers.isna()).astype(pd.CategoricalDtype([low, high], ordered=True))


def as_text(cells: pd.Series) -> pd.Series:
    """Levels as text, whole numbers without a decimal point; a missing cell stays missing."""
    known = cells.dropna()
    if known.dtype.kind == "f" and (known % 1 == 0).all():
        known = known.astype("int64")
    return known.astype(str).reindex(cells.index)


def tells(cells: pd.Series, classes: pd.Series) -> bool:
    """Whether a variable tells the class of every patient, as one that is made of the class does.

    Parameters
    ----------
    cells : Series
        What :func:`coded` gave.
    classes : Series
        Of the same patients, none missing.

    Returns
    -------
    bool
        Whether each level lies in one class, or the values of a number do not overlap between the
        classes, or one class alone has values. Each class must have 3 patients of one level, of a
        number that does not overlap 3 patients: with fewer it is soon so by chance.
    """
    known = cells.notna()
    if _levels_tell(known, classes) or _levels_tell(cells[known].astype(object), classes[known]):
        return True
    if cells.dtype.kind != "f":
        return False
    ranges = cells[known].groupby(classes[known]).agg(["min", "max", "size"]).sort_values("min")
    apart = (ranges["max"].to_numpy()[:-1] < ranges["min"].to_numpy()[1:]).all()
    return len(ranges) > 1 and bool(apart and (ranges["size"] >= LEAST_TOLD).all())


def _levels_tell(levels: pd.Series, classes: pd.Series) -> bool:
    import pandas as pd

    counts = pd.crosstab(levels, classes).to_numpy()
    if counts.size == 0 or counts.shape[1] < 2:
        return False
    return bool(((counts > 0).sum(axis=1) == 1).all() and (counts.max(axis=0) >= LEAST_TOLD).all())


def design(values: dict[str, pd.Series], variables: Sequence[ClinicalVariable]) -> Design:
    """Turn complete values into columns.

    Parameters
    ----------
    values : dict of str to Series
        For each variable what :func:`coded` gave, without missing values.
    variables : sequence of ClinicalVariable
        In this order. A level without patients gives no column, and where it is the reference the
        first level that has some takes its place. A variable with one value, or one whose columns
        follow from the constant and the columns before it, is left out.
    """
    terms: list[Term] = []
    columns: list[NDArray[np.float64]] = []
    scaled: list[NDArray[np.float64]] = []
    left_out: dict[str, str] = {}
    for variable in variables:
        cells = values[variable.name]
        new_terms, new_columns = _terms(variable, cells)
        if not new_terms:
            left_out[variable.name] = "the same value in all patients of the model"
            continue
        together = [*scaled, *map(_unit, new_columns)]
        if np.linalg.matrix_rank(np.column_stack(together)) < len(together):
            left_out[variable.name] = "follows from the other variables of the model"
            continue
        terms, columns, scaled = terms + new_terms, columns + new_columns, together
    exog = np.column_stack(columns) if columns else np.empty((0, 0))
    return Design(tuple(terms), exog, left_out)


def _unit(column: NDArray[np.float64]) -> NDArray[np.float64]:
    """A column with mean 0 and spread 1, so that its unit plays no part in the rank."""
    return np.asarray((column - column.mean()) / column.std())


def _terms(
    variable: ClinicalVariable, cells: pd.Series
) -> tuple[list[Term], list[NDArray[np.float64]]]:
    if cells.nunique() < 2:
        return [], []
    if cells.dtype.kind == "f":
        level = f"per {variable.step:g}"
        return [Term(variable.name, level, "")], [cells.to_numpy() / variable.step]
    counts = cells.value_counts()
    levels = [str(level) for level in cells.cat.categories if counts[level] > 0]
    reference = variable.reference if variable.reference in levels else levels[0]
    others = [level for level in levels if level != reference]
    return (
        [Term(variable.name, level, reference) for level in others],
        [(cells == level).to_numpy().astype(float) for level in others],
    )

"""A logistic regression on clinical variables, with the radiomics score or without it.

A fit sees its training patients only. Missing numbers become the median and missing levels the
most frequent one of the training patients, each beside a column that says so; numbers are
standardised, levels are 0/1 columns against the reference. The model is a logistic regression with
a ridge penalty (le Cessie & van Houwelingen, Appl Stat 1992;41:191-201), which bears separated
classes and rare levels; its strength is that of the smallest log loss in inner folds. A combined
model has the strength of its clinical one, and leaves the radiomics score practically unpenalised,
so that the two differ by that score alone.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import expit

from .clinical_config import ClinicalVariable

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray
    from sklearn.compose import ColumnTransformer
    from sklearn.linear_model import LogisticRegression

SCORE = "radiomics score"
COSTS = (0.01, 0.05, 0.2, 1.0)
FOLDS = 5
SCORE_SCALE = 10.0
"""Standard deviations become so many times as large: a penalty weaker by the square of it."""


@dataclass(frozen=True)
class PredictorModel:
    """A logistic regression on clinical variables, with the radiomics score or without it.

    Attributes
    ----------
    variables : tuple of ClinicalVariable
        Those that took two values at least in the training patients.
    with_score : bool
        Whether the radiomics score is a column.
    cost : float
        Inverse strength of the penalty.
    columns : ColumnTransformer
        Imputation and coding, fitted to the training patients.
    regression : LogisticRegression
        On those columns.
    """

    variables: tuple[ClinicalVariable, ...]
    with_score: bool
    cost: float
    columns: ColumnTransformer
    regression: LogisticRegression

    def linear(self, values: pd.DataFrame) -> NDArray[np.float64]:
        """Give the linear predictor of each row of values; see :func:`.predictors.with_scores`."""
        return np.asarray(self.regression.decision_function(_transformed(self.columns, values)))

    def risk(self, values: pd.DataFrame) -> NDArray[np.float64]:
        """Give the risk of each row of values."""
        return np.asarray(expit(self.linear(values)))

    def terms(self) -> dict[str, float]:
        """Give the coefficients by the columns' names, on the scale on which they are fitted."""
        names = self.columns.get_feature_names_out()
        return {str(k): float(v) for k, v in zip(names, self.regression.coef_[0], strict=True)}


def fit_predictor(
    values: pd.DataFrame,
    labels: NDArray[np.int64],
    variables: Sequence[ClinicalVariable],
    seed: int,
    cost: float | None = None,
    with_score: bool = False,
) -> PredictorModel:
    """Fit one model to the rows of values; ``cost`` is chosen in inner folds where it is None."""
    from sklearn.linear_model import LogisticRegression

    used = tuple(one for one in variables if _varies(values[one.name]))
    columns = _columns(values, used, with_score)
    X = _array(columns.fit_transform(values), len(values))
    if cost is None:
        cost = _tuned(X, labels, seed)
    regression = LogisticRegression(C=cost, solver="newton-cholesky").fit(X, labels)
    return PredictorModel(used, with_score, cost, columns, regression)


def _columns(
    values: pd.DataFrame, variables: Sequence[ClinicalVariable], with_score: bool
) -> ColumnTransformer:
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import MissingIndicator, SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

    numbers = [one.name for one in variables if one.kind == "number"]
    choices = [one for one in variables if one.kind == "choice"]
    orders = [_levels(values[one.name], one) for one in choices]
    encoder = OneHotEncoder(
        categories=orders,
        drop=[order[0] for order in orders],
        handle_unknown="ignore",  # counted as the reference
        sparse_output=False,
    )
    gaps = [one.name for one in variables if values[one.name].isna().any()]
    parts: list[tuple[str, Any, list[str]]] = []
    if numbers:
        parts.append(
            ("number", make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), numbers)
        )
    if choices:
        frequent = SimpleImputer(strategy="most_frequent")
        parts.append(("level", make_pipeline(frequent, encoder), [one.name for one in choices]))
    if gaps:
        parts.append(("missing", MissingIndicator(features="all"), gaps))
    if with_score and _varies(values[SCORE]):
        larger = FunctionTransformer(_larger, feature_names_out="one-to-one")
        steps = make_pipeline(SimpleImputer(strategy="median"), StandardScaler(), larger)
        parts.append(("score", steps, [SCORE]))
    return ColumnTransformer(parts)


def _varies(cells: pd.Series) -> bool:
    return len(cells.dropna().unique()) > 1


def _larger(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return values * SCORE_SCALE


def _transformed(columns: ColumnTransformer, values: pd.DataFrame) -> NDArray[np.float64]:
    """Give the columns of a fitted model for other rows."""
    with warnings.catch_warnings():  # a level that no training patient had: see _columns
        warnings.simplefilter("ignore", UserWarning)
        return _array(columns.transform(values), len(values))


def _array(transformed: Any, rows: int) -> NDArray[np.float64]:
    """Give the columns of a model; one of zeros where it has none."""
    X = np.asarray(transformed, dtype=float)
    return X if X.shape[1] else np.zeros((rows, 1))


def _levels(cells: pd.Series, variable: ClinicalVariable) -> list[Any]:
    """Give the levels that occur, the reference first."""
    found = set(cells.dropna())
    ordered = [level for level in variable.levels or sorted(found) if level in found]
    first = variable.reference if variable.reference in found else ordered[0]
    return [first, *(level for level in ordered if level != first)]


def _tuned(X: NDArray[np.float64], labels: NDArray[np.int64], seed: int) -> float:
    """Choose the penalty by the log loss in stratified folds; of equal ones the strongest."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold

    smaller = int(min(labels.sum(), len(labels) - labels.sum()))
    losses = np.zeros(len(COSTS))
    splitter = StratifiedKFold(min(FOLDS, smaller), shuffle=True, random_state=seed)
    for fitted, held_out in splitter.split(X, labels):
        for k, cost in enumerate(COSTS):
            model = LogisticRegression(C=cost, solver="newton-cholesky")
            linear = model.fit(X[fitted], labels[fitted]).decision_function(X[held_out])
            losses[k] += (np.logaddexp(0, linear) - labels[held_out] * linear).sum()
    return COSTS[int(np.argmin(losses))]

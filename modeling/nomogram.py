"""A model of clinical variables and radiomics as points that are added by hand.

``nomogram.csv``: ``variable, value, points, risk``. First the rows of each variable, ``risk``
empty: the points of a level, of a number, or of a ``missing`` value where training patients had
some; between two numbers the points run straight. The radiomics score is given as the risk by
radiomics alone, between whose rows the points run straight on the scale of its logit. Then rows
``total points`` (``value`` and ``points`` the total) and ``risk`` (``value`` a round risk,
``points`` the total that goes with it), with the risk. The variable whose range moves the linear
predictor most has 100 points, and every variable's lowest value 0 (Iasonos et al., J Clin Oncol
2008;26:1364-1370): points are the model's linear predictor in other units, nothing is rounded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import expit, logit

from .calibration import Calibration
from .clinical_config import ClinicalVariable
from .predictor_model import SCORE, PredictorModel
from .predictors import RADIOMICS, Clinical, with_scores

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

RISKS = np.array([0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99])
RADIOMICS_RISK, TOTAL, RISK, MISSING = f"{RADIOMICS} risk", "total points", "risk", "missing"


def nomogram(
    model: PredictorModel, clinical: Clinical, scores: pd.Series, calibration: Calibration
) -> pd.DataFrame:
    """Tabulate the points of a model; see the module.

    Parameters
    ----------
    model : PredictorModel
        Fitted to the patients of ``scores``.
    clinical : Clinical
        The variables, whose range over these patients the nomogram spans.
    scores : Series
        Their radiomics scores, by ``patient_id``.
    calibration : Calibration
        That turns a radiomics score into a risk.
    """
    import pandas as pd

    values = with_scores(clinical, scores)
    base = _base(values, model.variables)
    start = float(model.linear(base)[0])
    axes: dict[str, tuple[list[Any], NDArray[np.float64]]] = {}
    for variable in model.variables:
        shown = _values(values[variable.name], variable)
        cells = [np.nan if value == MISSING else value for value in shown]
        axes[variable.name] = shown, _linear(model, base, variable.name, cells) - start
    if model.with_score:
        risks, at = _radiomics_axis(scores, calibration)
        if len(at):
            axes[RADIOMICS_RISK] = list(risks), _linear(model, base, SCORE, list(at)) - start
    unit = max((float(np.ptp(part)) for _, part in axes.values()), default=0.0) / 100
    lowest = start + sum(float(part.min()) for _, part in axes.values())
    rows = [
        (name, value, points, np.nan)
        for name, (shown, part) in axes.items()
        for value, points in zip(shown, (part - part.min()) / (unit or 1.0), strict=True)
    ]
    most = sum(float(np.ptp(part)) for _, part in axes.values()) / (unit or 1.0)
    totals = ticks(0.0, most)
    rows += [(TOTAL, total, total, float(expit(lowest + unit * total))) for total in totals]
    if unit > 0:
        rows += [
            (RISK, risk, float((logit(risk) - lowest) / unit), risk)
            for risk in _reached(*expit([lowest, lowest + unit * most]))
        ]
    return pd.DataFrame(rows, columns=["variable", "value", "points", "risk"])


def _reached(low: float, high: float) -> list[float]:
    """Give the usual risks in a range; finer ones where it holds fewer than two of them."""
    usual = [float(risk) for risk in RISKS if low <= risk <= high]
    return usual if len(usual) > 1 else [risk for risk in ticks(low, high) if low <= risk <= high]


def ticks(low: float, high: float, most: int = 8) -> list[float]:
    """Give round numbers in steps of 1, 2 or 5 that span a range, ``most`` steps at the most."""
    if not high > low:
        return [low]
    power = 10.0 ** np.floor(np.log10((high - low) / most))
    step = next(k * power for k in (1, 2, 5, 10, 20) if (high - low) / (k * power) <= most)
    first, last = np.floor(low / step + 1e-9), np.ceil(high / step - 1e-9)
    return [float(f"{k * step:.10g}") for k in np.arange(first, last + 1)]


def _base(values: pd.DataFrame, variables: tuple[ClinicalVariable, ...]) -> pd.DataFrame:
    """Give one patient with the median numbers and the most frequent levels, nothing missing."""
    row = values.iloc[[0]].copy()
    for one in variables:
        cells = values[one.name]
        row[one.name] = [cells.median() if one.kind == "number" else cells.mode().iloc[0]]
    known = values[SCORE].dropna()
    row[SCORE] = known.median() if len(known) else np.nan
    return row


def _values(cells: pd.Series, variable: ClinicalVariable) -> list[Any]:
    """Give the values that a variable's axis shows."""
    if variable.kind == "number":
        shown: list[Any] = list(ticks(float(cells.min()), float(cells.max())))
    else:
        found = set(cells.dropna())
        shown = [level for level in variable.levels or sorted(found) if level in found]
    return [*shown, MISSING] if cells.isna().any() else shown


def _linear(
    model: PredictorModel, base: pd.DataFrame, name: str, cells: list[Any]
) -> NDArray[np.float64]:
    """Give the linear predictor of the base patient with other values of one variable."""
    import pandas as pd

    rows = base.loc[base.index.repeat(len(cells))].copy()
    rows[name] = pd.Series(cells, dtype=base[name].dtype).to_numpy()
    return model.linear(rows)


def _radiomics_axis(
    scores: pd.Series, calibration: Calibration
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give the round risks by radiomics within the training patients' range, and their scores."""
    known = scores.dropna().to_numpy(dtype=float)
    if len(np.unique(known)) < 2:
        return np.empty(0), np.empty(0)
    low, high = calibration.risk([known.min(), known.max()])
    inside = [risk for risk in RISKS if low < risk < high]
    risks = np.unique([low, *inside, high])
    return risks, (logit(risks) - calibration.intercept) / calibration.slope

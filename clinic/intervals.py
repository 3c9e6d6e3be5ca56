"""The interval of a risk: how well the study knows the share of positives at a patient's score.

A classifier gives a score, and a sigmoid that was fitted to scores of patients whom it had not
seen turns it into a risk: the share of positives among patients with this score. Few patients
pin the sigmoid down loosely, many tightly. The 95 % interval is Wald's on the logit scale, with
the covariance of intercept and slope by Fisher's information,

    logit(risk) +- 1.96 sqrt([1, s] C [1, s]'),   C^-1 = sum_i p_i (1 - p_i) [1, s_i]' [1, s_i],

over the study's out-of-fold scores s_i (Hosmer & Lemeshow, Applied Logistic Regression, 2.5).
Where no feature was selected, everybody's risk is the prevalence, and its interval is Wilson's.

What it is not: it takes the score as given, so it holds neither what another sample of patients
would have made of selection and SVM, nor errors of the mask, and it says nothing about patients
unlike those of the study. How often it holds the truth:
``benchmarks/risk_interval_coverage.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..files import read_csv
from ..modeling.calibration import Calibration
from ..modeling.metrics import wilson

LEVEL = 0.95
_QUANTILE = 1.959963984540054
FEWEST = 20
"""Patients with out-of-fold scores from which on an interval is given."""


@dataclass(frozen=True)
class RiskSpread:
    """What the intervals of one classifier rest on.

    Attributes
    ----------
    n, n_positive : int
        Training patients with an out-of-fold score, and the positive ones among them.
    covariance : ((float, float), (float, float)) or None
        Of the sigmoid's intercept and slope; None where every risk is the prevalence.
    """

    n: int
    n_positive: int
    covariance: tuple[tuple[float, float], tuple[float, float]] | None

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> RiskSpread:
        """Build it from what JSON kept."""
        rows = content["covariance"]
        covariance = None if rows is None else ((rows[0][0], rows[0][1]), (rows[1][0], rows[1][1]))
        return cls(int(content["n"]), int(content["n_positive"]), covariance)

    def interval(self, calibration: Calibration, score: float) -> tuple[float, float]:
        """Lower and upper end of the risk at a score."""
        if self.covariance is None:
            return wilson(self.n_positive, self.n, LEVEL)[1:]
        at = np.array([1.0, score])
        error = float(np.sqrt(at @ np.array(self.covariance) @ at))
        middle = calibration.intercept + calibration.slope * score
        ends = middle + _QUANTILE * error * np.array([-1.0, 1.0])
        lower, upper = 1 / (1 + np.exp(-ends))
        return float(lower), float(upper)


def spread_of(
    calibration: Calibration | None, scores: ArrayLike, labels: ArrayLike
) -> RiskSpread | None:
    """Measure how well scores and labels pin a sigmoid down.

    Parameters
    ----------
    calibration : Calibration or None
        The sigmoid; None where every risk is the prevalence.
    scores, labels : array, shape (patients,)
        Out-of-fold scores and 0/1 labels.

    Returns
    -------
    RiskSpread or None
        None with fewer than 20 patients, one class, or scores that do not differ: nothing is
        made up.
    """
    s, y = np.asarray(scores, dtype=float), np.asarray(labels, dtype=int)
    if len(y) < FEWEST or y.min() == y.max():
        return None
    if calibration is None:
        return RiskSpread(len(y), int(y.sum()), None)
    if np.ptp(s) == 0:
        return None
    risk = calibration.risk(s)
    design = np.column_stack([np.ones_like(s), s])
    information = design.T @ (design * (risk * (1 - risk))[:, None])
    if np.linalg.cond(information) > 1e12:
        return None
    # Rounded, so that equal studies give equal bytes on every machine.
    (a, b), (_, d) = (
        [float(f"{value:.10g}") for value in row] for row in np.linalg.inv(information)
    )
    return RiskSpread(len(y), int(y.sum()), ((a, b), (b, d)))


def study_spread(folder: Path, about: dict[str, Any]) -> RiskSpread | None:
    """Measure it on the out-of-fold predictions of a study's model ``models/<target>/<roi>``.

    Parameters
    ----------
    folder : Path
        The model's folder, with its ``predictions.csv``.
    about : dict
        Its ``model.json``.
    """
    path = folder / "predictions.csv"
    if not path.exists():
        return None
    table = read_csv(path, dtype={"patient_id": str, "fold": str})
    train = table[table["set"] == "train"]
    if not about["features"]:
        return spread_of(None, np.zeros(len(train)), train["label"])
    train = train[train["score"].notna()]
    return spread_of(Calibration(**about["calibration"]), train["score"], train["label"])

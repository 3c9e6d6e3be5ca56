"""How many patients a classifier needs: the criteria of Riley and others for a binary outcome.

Riley et al., BMJ 2020;368:m441, and Stat Med 2019;38:1276-1296: the prevalence known to within
0.05; coefficients shrunk by no more than a tenth; an optimism of Nagelkerke's R2 of no more than
0.05. As in their program pmsampsize, the mean error of a risk, which was studied for up to 30
parameters only, is left out. Cox and Snell's R2, which they need, follows from the AUC when
the linear predictor is normal in both classes: Riley et al., Stat Med 2021;40:859-864. They average
a simulated sample; here the expectation is integrated, so that no number hangs on a seed.

Parameters are counted before any selection: of 1302 features from which 20 are chosen by looking at
the outcome, 1302 are candidates.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.integrate import quad
from scipy.optimize import brentq
from scipy.stats import norm

from ..errors import MammoroiError

if TYPE_CHECKING:
    from collections.abc import Callable

SHRINKAGE = 0.9
OPTIMISM = 0.05
MARGIN = 0.05
_REACH = 12.0  # standard deviations, beyond which a normal density is nothing


@dataclass(frozen=True)
class SampleSize:
    """Patients needed, criterion by criterion.

    Attributes
    ----------
    r2_cox_snell : float
        Expected of the model.
    for_prevalence, for_shrinkage, for_optimism : int
        Patients needed by each criterion.
    needed : int
        The largest of the three.
    events_per_parameter : float
        Of the smaller class, with as many patients as are needed.
    """

    r2_cox_snell: float
    for_prevalence: int
    for_shrinkage: int
    for_optimism: int
    needed: int
    events_per_parameter: float


def r2_from_auc(auc: float, prevalence: float) -> float:
    """Derive Cox and Snell's R2 from an AUC, with a normal linear predictor in both classes.

    Parameters
    ----------
    auc : float
        Between 0.5 and 1.
    prevalence : float
        Share of positive patients, between 0 and 1.

    Raises
    ------
    MammoroiError
        When either is out of range.
    """
    if not 0.5 < auc < 1:
        raise MammoroiError(f"the expected AUC is {auc}", "give one above 0.5 and below 1")
    _check_share(prevalence)
    distance = math.sqrt(2) * float(norm.ppf(auc))
    intercept = math.log(prevalence / (1 - prevalence)) - distance**2 / 2

    def mean(loss: Callable[[float], float]) -> float:
        return float(quad(lambda z: norm.pdf(z) * loss(z), -_REACH, _REACH)[0])

    positive = mean(lambda z: np.logaddexp(0, -(intercept + distance * (z + distance))))
    negative = mean(lambda z: np.logaddexp(0, intercept + distance * z))
    likelihood = -(prevalence * positive + (1 - prevalence) * negative)
    return 1 - math.exp(-2 * (likelihood - _null_likelihood(prevalence)))


def needed_patients(
    parameters: int, prevalence: float, auc: float | None = None, r2_cox_snell: float | None = None
) -> SampleSize:
    """Say how many patients a model with so many candidate parameters needs.

    Parameters
    ----------
    parameters : int
        Candidate predictor parameters.
    prevalence : float
        Share of positive patients.
    auc, r2_cox_snell : float
        What the model is expected to reach; one of the two.

    Raises
    ------
    MammoroiError
        When a number is out of range, or neither or both of AUC and R2 are given.
    """
    if (auc is None) == (r2_cox_snell is None):
        raise MammoroiError(
            "the expected performance is not clear", "give one of auc and r2_cox_snell"
        )
    if parameters < 1:
        raise MammoroiError(f"{parameters} parameters", "give at least 1")
    _check_share(prevalence)
    largest = 1 - math.exp(2 * _null_likelihood(prevalence))
    r2 = r2_cox_snell if r2_cox_snell is not None else r2_from_auc(float(auc or 0), prevalence)
    if not 0 < r2 < min(largest, SHRINKAGE):
        raise MammoroiError(
            f"R2 of Cox and Snell is {r2:.3g}", f"give one between 0 and {largest:.3g}"
        )
    precise = (norm.ppf(0.975) / MARGIN) ** 2 * prevalence * (1 - prevalence)
    shrunk = _patients(parameters, r2, SHRINKAGE)
    optimistic = _patients(parameters, r2, r2 / (r2 + OPTIMISM * largest))
    needed = math.ceil(max(precise, shrunk, optimistic))
    return SampleSize(
        r2_cox_snell=r2,
        for_prevalence=math.ceil(precise),
        for_shrinkage=math.ceil(shrunk),
        for_optimism=math.ceil(optimistic),
        needed=needed,
        events_per_parameter=events_per_parameter(needed, prevalence, parameters),
    )


def expected_shrinkage(patients: int, parameters: int, r2_cox_snell: float) -> float:
    """Say by which factor a model's coefficients are too large with the patients there are.

    The factor S that solves ``patients = parameters / ((S - 1) ln(1 - R2 / S))`` (Riley et al.,
    Stat Med 2019), between R2 and 1, where 1 is no overfitting.

    Parameters
    ----------
    patients, parameters : int
        At hand; candidate predictor parameters.
    r2_cox_snell : float
        Between 0 and 1; see :func:`r2_from_auc`.
    """
    edge = 1e-12  # patients needed rise with S, from 0 at R2 without bound towards 1
    lowest = r2_cox_snell * (1 + edge)

    def excess(shrinkage: float) -> float:
        return _patients(parameters, r2_cox_snell, shrinkage) - patients

    return float(brentq(excess, lowest, 1 - edge)) if excess(lowest) < 0 else r2_cox_snell


def events_per_parameter(patients: int, prevalence: float, parameters: int) -> float:
    """Divide the patients of the smaller class by the number of candidate parameters."""
    return patients * min(prevalence, 1 - prevalence) / parameters


def _patients(parameters: int, r2: float, shrinkage: float) -> float:
    return parameters / ((shrinkage - 1) * math.log(1 - r2 / shrinkage))


def _null_likelihood(prevalence: float) -> float:
    """Mean log likelihood of a patient when everybody gets the prevalence."""
    return prevalence * math.log(prevalence) + (1 - prevalence) * math.log(1 - prevalence)


def _check_share(prevalence: float) -> None:
    if not 0 < prevalence < 1:
        raise MammoroiError(f"the prevalence is {prevalence}", "give one above 0 and below 1")

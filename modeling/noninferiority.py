"""Whether one classifier is not worse than another by more than a margin declared beforehand.

Both are judged on the same patients. The one-sided bound of the difference in AUC comes from
DeLong's paired variance (Liu et al., Stat Med 2006;25:1219-1238), and beside it from a bootstrap of
patients. The words are those of CONSORT's extension (Piaggio et al., JAMA 2012;308:2594-2604).

The bounds say what other patients could have shown of these two classifiers, not what classifiers
fitted to other patients would have done.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy.stats import norm

from .discrimination import bootstrap_auc_difference, paired_aucs

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

ONE_SIDED_LEVEL = 0.975
POWER = 0.8
Verdict = Literal["non-inferior", "not shown", "inferior"]


@dataclass(frozen=True)
class NonInferiority:
    """A new classifier against the standard one.

    Attributes
    ----------
    difference, standard_error : float
        AUC of the new minus AUC of the standard classifier, and DeLong's error of it.
    lower, upper : float
        One-sided 97.5 % bounds of the difference.
    p_value : float
        One-sided P of the hypothesis that the new one is worse by the margin or more.
    verdict : {"non-inferior", "not shown", "inferior"}
        See :func:`verdict_of`, by DeLong's bounds.
    bootstrap_lower, bootstrap_upper : float
        The bounds over resampled patients.
    bootstrap_verdict : {"non-inferior", "not shown", "inferior"}
        By those.
    minimal_detectable_difference : float
        See :func:`minimal_detectable_difference`.
    patients_needed : float
        Patients of the same mix, with classifiers that agree as these do and are truly equal, with
        whom non-inferiority would be shown in 80 of 100 studies.
    """

    difference: float
    standard_error: float
    lower: float
    upper: float
    p_value: float
    verdict: Verdict
    bootstrap_lower: float
    bootstrap_upper: float
    bootstrap_verdict: Verdict
    minimal_detectable_difference: float
    patients_needed: float


def non_inferiority(
    labels: ArrayLike,
    new: ArrayLike,
    standard: ArrayLike,
    margin: float,
    n_bootstrap: int,
    seed: int,
) -> NonInferiority:
    """Judge a new classifier against a standard one on the same patients.

    Parameters
    ----------
    labels : array, shape (patients,)
        0 or 1.
    new, standard : array, shape (patients,)
        Risks; higher means positive.
    margin : float
        The largest loss of AUC that is accepted, above 0.
    n_bootstrap, seed : int
        Bootstrap samples of patients.

    Returns
    -------
    NonInferiority
        Where both rank all patients alike the difference is 0 without error. Where the error is
        not known (an AUC of 0 or 1, one patient in a class: :func:`.discrimination.paired_aucs`),
        and where neither ranks anybody, the bounds are NaN, and nothing is shown.
    """
    auc, of_standard, error = paired_aucs(labels, new, standard)
    ranked = any(len(np.unique(risks)) > 1 for risks in (new, standard))
    error = error if ranked else float("nan")
    difference = auc - of_standard
    reach = float(norm.ppf(ONE_SIDED_LEVEL)) * error
    lower, upper = difference - reach, difference + reach
    p_value = float(norm.sf((difference + margin) / error)) if error != 0 else 0.0
    sampled = float("nan"), float("nan")
    if not np.isnan(error):
        sampled = bootstrap_auc_difference(labels, new, standard, n=n_bootstrap, seed=seed)
    detectable = minimal_detectable_difference(error) if error > 0 else float("nan")
    return NonInferiority(
        difference=difference,
        standard_error=error,
        lower=lower,
        upper=upper,
        p_value=p_value,
        verdict=verdict_of(lower, upper, margin),
        bootstrap_lower=sampled[0],
        bootstrap_upper=sampled[1],
        bootstrap_verdict=verdict_of(*sampled, margin),
        minimal_detectable_difference=detectable,
        patients_needed=float(np.ceil(len(np.asarray(labels)) * (detectable / margin) ** 2)),
    )


def verdict_of(lower: float, upper: float, margin: float) -> Verdict:
    """Put the bounds of a difference (new minus standard) into words.

    Returns
    -------
    {"non-inferior", "not shown", "inferior"}
        Non-inferior when the whole interval lies above minus the margin, inferior when it lies
        wholly below; otherwise, and with NaN, neither is shown.
    """
    if lower > -margin:
        return "non-inferior"
    if upper < -margin:
        return "inferior"
    return "not shown"


def minimal_detectable_difference(
    standard_error: float, power: float = POWER, alpha: float = 1 - 0.95
) -> float:
    """Tell how large a true difference must be to be found with the given power.

    With two-sided ``alpha``: (z(1 - alpha / 2) + z(power)) times the standard error of the paired
    difference. The same number is the smallest margin whose non-inferiority would be shown with
    that power if there were no difference.
    """
    return float((norm.ppf(1 - alpha / 2) + norm.ppf(power)) * standard_error)

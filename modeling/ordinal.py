"""Whether one odds ratio holds at every cut of an ordered outcome: Brant's test.

Brant, Biometrics 1990;46:1171-1178. Each cut of the outcome (above the first class, above the
second, ...) gets a logistic regression of its own; a Wald test asks whether their coefficients are
equal, for all columns together and for the columns of each variable.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import chi2

from .firth import separated

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]


@dataclass(frozen=True)
class Proportionality:
    """Result of a test; ``statistic`` and ``p`` are NaN where it cannot be made."""

    statistic: float
    df: int
    p: float


def brant(
    exog: Array, codes: NDArray[np.int64], groups: Mapping[str, Sequence[int]]
) -> dict[str, Proportionality]:
    """Test proportional odds.

    Parameters
    ----------
    exog : array, shape (patients, columns)
        Without a constant column, of full rank together with one.
    codes : array, shape (patients,)
        Classes 0, 1, 2, ... in order.
    groups : mapping of str to sequence of int
        Columns to be tested together: those of a variable, or all of them.

    Returns
    -------
    dict of str to Proportionality
        One for each group. NaN when a coefficient of the group has no finite estimate at one of
        the cuts; ``df`` is what it would have been.
    """
    n_cuts = int(codes.max())
    cuts = range(n_cuts)
    endless = np.any([separated(exog, (codes > cut).astype(np.int64)) for cut in cuts], axis=0)
    kept = np.flatnonzero(~endless)
    results = {
        name: Proportionality(math.nan, len(columns) * (n_cuts - 1), math.nan)
        for name, columns in groups.items()
    }
    if endless.any() or not len(kept):
        # Estimates beside an infinite one depend on where the fit stopped: none is tested.
        return results
    beta, covariance = _cuts(exog, codes, n_cuts)
    for name, columns in groups.items():
        at = np.concatenate([np.asarray(columns) + cut * exog.shape[1] for cut in cuts])
        first, rest = np.eye(len(columns)), np.eye(len(columns) * (n_cuts - 1))
        contrast = np.hstack([np.tile(first, (n_cuts - 1, 1)), -rest])
        difference = contrast @ beta[at]
        spread = contrast @ covariance[np.ix_(at, at)] @ contrast.T
        statistic = float(difference @ np.linalg.solve(spread, difference))
        df = len(difference)
        results[name] = Proportionality(statistic, df, float(chi2.sf(statistic, df)))
    return results


def _cuts(exog: Array, codes: NDArray[np.int64], n_cuts: int) -> tuple[Array, Array]:
    """Coefficients of the logistic regressions, cut after cut, and their joint covariance."""
    import statsmodels.api as sm

    design = np.column_stack([np.ones(len(exog)), exog])
    fits = [sm.Logit(codes > cut, design).fit(disp=0, maxiter=100) for cut in range(n_cuts)]
    above = [np.asarray(fit.predict()) for fit in fits]
    inverse = [np.linalg.inv(design.T * (p * (1 - p)) @ design) for p in above]
    n = exog.shape[1]
    covariance = np.empty((n_cuts * n, n_cuts * n))
    for j in range(n_cuts):
        for k in range(j, n_cuts):
            # P(above both cuts) is P(above the higher one).
            shared = design.T * (above[k] - above[j] * above[k]) @ design
            block = (inverse[j] @ shared @ inverse[k])[1:, 1:]
            covariance[j * n : (j + 1) * n, k * n : (k + 1) * n] = block
            covariance[k * n : (k + 1) * n, j * n : (j + 1) * n] = block.T
    return np.concatenate([np.asarray(fit.params)[1:] for fit in fits]), covariance

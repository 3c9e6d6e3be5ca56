"""A figure of several centres pooled, and what to expect in another one.

Random effects: between-centre variance by Paule & Mandel, J Res Natl Bur Stand 1982;87:377-385
(recommended by Veroniki et al., Res Synth Methods 2016;7:55-79), interval by Hartung & Knapp, Stat
Med 2001;20:3875-3889, never shorter than with their factor at 1 (Röver et al., BMC Med Res Methodol
2015;15:99), prediction interval by Higgins et al., J R Stat Soc A 2009;172:137-159. For measures of
prediction models: Debray et al., BMJ 2017;356:i6460.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import chi2, t

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


@dataclass(frozen=True)
class Pooled:
    """Pooled centres, on the scale of the effects.

    Attributes
    ----------
    k : int
        Centres that were pooled.
    estimate, lower, upper : float
        The mean over centres and its interval.
    prediction_lower, prediction_upper : float
        Between these a new centre's true value is expected; NaN with fewer than 3 centres.
    tau2 : float
        Variance between centres.
    i2 : float
        Share of the variation that is not chance, by Q.
    q, p_value : float
        Cochran's Q, and its P that all centres are alike.
    """

    k: int
    estimate: float
    lower: float
    upper: float
    prediction_lower: float
    prediction_upper: float
    tau2: float
    i2: float
    q: float
    p_value: float


def pool(effects: ArrayLike, variances: ArrayLike, level: float = 0.95) -> Pooled:
    """Pool independent effects with their sampling variances.

    Effects without a positive, finite variance are left out; all NaN with fewer than 2 others.
    """
    from statsmodels.stats.meta_analysis import combine_effects

    effect, variance = np.asarray(effects, dtype=float), np.asarray(variances, dtype=float)
    known = np.isfinite(effect) & np.isfinite(variance) & (variance > 0)
    effect, variance = effect[known], variance[known]
    k = len(effect)
    if k < 2:
        return Pooled(k, *[float("nan")] * 9)
    with np.errstate(divide="ignore"):  # its i2 where all effects are the same
        found = combine_effects(effect, variance, method_re="iterated")
    tau2 = max(float(found.tau2), 0.0)
    weight = 1 / (variance + tau2)
    mean = float(np.average(effect, weights=weight))
    scale = max(1.0, float(np.sum(weight * (effect - mean) ** 2)) / (k - 1))
    error = np.sqrt(scale / weight.sum())
    reach = float(t.ppf(0.5 + level / 2, k - 1) * error)
    far = float("nan")
    if k > 2:
        far = float(t.ppf(0.5 + level / 2, k - 2) * np.sqrt(tau2 + error**2))
    q = float(found.q)
    i2 = max(0.0, 1 - (k - 1) / q) if q > 0 else 0.0
    return Pooled(
        *(k, mean, mean - reach, mean + reach, mean - far, mean + far),
        *(tau2, i2, q, float(chi2.sf(q, k - 1))),
    )

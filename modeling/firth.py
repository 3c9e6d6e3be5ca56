"""Logistic and proportional-odds regression where the ordinary estimates are infinite.

A level at which all patients have the same outcome separates the classes: the likelihood then has
no maximum, and what a program prints for it is where it stopped. The likelihood times Jeffreys'
prior has one. Firth, Biometrika 1993;80:27-38; Heinze & Schemper, Stat Med 2002;21:2409-2419:
estimates, profile intervals and likelihood-ratio tests from l(theta) + log det I(theta) / 2 with
the expected information I. For two classes this is Firth's logistic regression; for more, the
same penalty on P(y <= j) = 1 / (1 + exp(x beta - theta_j)).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import brentq, linprog
from scipy.special import expit, logit
from scipy.stats import chi2

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Codes = NDArray[np.int64]

MOST_STEPS = 200
LARGEST_STEP = 2.0
SMALLEST_SCORE = 1e-9
SMALLEST_GAIN = 1e-3  # well above the tolerances of the linear program, on columns within -1 to 1
WIDEST = 60.0


@dataclass(frozen=True)
class FirthFit:
    """A maximum of the penalised likelihood.

    Attributes
    ----------
    thresholds : array, shape (classes - 1,)
        ``theta_j``; with two classes minus the intercept.
    beta, se : array, shape (columns,)
        Log odds ratios and their standard errors, from the information at the maximum.
    log_likelihood : float
        Penalised.
    """

    thresholds: Array
    beta: Array
    se: Array
    log_likelihood: float


def separated(exog: Array, codes: Codes) -> NDArray[np.bool_]:
    """Tell which coefficients have no finite maximum-likelihood estimate.

    A direction along which no patient becomes less likely and somebody more likely is sought by
    linear programming: Albert & Anderson, Biometrika 1984;71:1-10; Konis, thesis, Oxford 2007.

    Parameters
    ----------
    exog : array, shape (patients, columns)
        Without a constant column.
    codes : array, shape (patients,)
        Classes 0, 1, ... in order; each has at least one patient.

    Returns
    -------
    array of bool, shape (columns,)
    """
    n_cuts = int(codes.max())
    scale = np.abs(exog - exog.mean(axis=0)).max(axis=0)
    x = (exog - exog.mean(axis=0)) / np.where(scale > 0, scale, 1.0)
    cuts = np.eye(n_cuts + 1)
    below, above = codes < n_cuts, codes > 0
    gains = np.vstack(
        [
            np.hstack([cuts[codes[below]][:, :n_cuts], -x[below]]),
            np.hstack([-cuts[codes[above] - 1][:, :n_cuts], x[above]]),
        ]
    )
    found = linprog(-gains.sum(axis=0), A_ub=-gains, b_ub=np.zeros(len(gains)), bounds=(-1, 1))
    if found.x is None or (gains @ found.x).sum() < SMALLEST_GAIN:
        return np.zeros(exog.shape[1], dtype=bool)
    return np.asarray(np.abs(found.x[n_cuts:]) > SMALLEST_GAIN)


def fit_firth(
    exog: Array,
    codes: Codes,
    fixed: Mapping[int, float] | None = None,
    start: FirthFit | None = None,
) -> FirthFit:
    """Maximise the penalised likelihood, by Fisher scoring with halved steps.

    Parameters
    ----------
    exog : array, shape (patients, columns)
        Without a constant column, of full rank together with one.
    codes : array, shape (patients,)
        Classes 0, 1, ... in order; each has at least one patient.
    fixed : mapping of int to float, optional
        Columns whose coefficients are held at a value. The penalty is that of the full model, as
        profiles and tests need it.
    start : FirthFit, optional
        A fit near by, to begin with.
    """
    fixed = fixed or {}
    n_cuts = int(codes.max())
    # On columns of mean 0 and spread 1 one step length suits all of them.
    centre, spread = exog.mean(axis=0), exog.std(axis=0)
    x = (exog - centre) / spread
    if start is None:
        shares = np.cumsum(np.bincount(codes))[:-1] / len(codes)
        params = np.concatenate([logit(shares), np.zeros(exog.shape[1])])
    else:
        params = np.concatenate([start.thresholds - centre @ start.beta, start.beta * spread])
    for column, value in fixed.items():
        params[n_cuts + column] = value * spread[column]
    free = np.array([k for k in range(len(params)) if k - n_cuts not in fixed])
    value, score, information = _penalised(x, codes, params, n_cuts)
    for _ in range(MOST_STEPS):
        if np.abs(score[free]).max() < SMALLEST_SCORE * max(1.0, abs(value)):
            break
        step = np.linalg.solve(information[np.ix_(free, free)], score[free])
        step *= min(1.0, LARGEST_STEP / np.abs(step).max())
        while True:
            tried = params.copy()
            tried[free] += step
            new = _penalised(x, codes, tried, n_cuts)
            if new[0] >= value or np.abs(step).max() < 1e-12:
                break
            step = step / 2
        params, (value, score, information) = tried, new
    beta = params[n_cuts:] / spread
    errors = np.sqrt(np.diag(np.linalg.inv(information)))[n_cuts:] / spread
    thresholds = params[:n_cuts] + centre @ beta
    return FirthFit(thresholds, beta, errors, float(value + np.log(spread).sum()))


def profile_interval(
    exog: Array, codes: Codes, fit: FirthFit, column: int, level: float = 0.95
) -> tuple[float, float]:
    """Profile penalised-likelihood interval of a coefficient; an end not reached is infinite."""
    allowed = float(chi2.ppf(level, 1)) / 2

    def excess(value: float) -> float:
        constrained = fit_firth(exog, codes, {column: value}, fit)
        return fit.log_likelihood - constrained.log_likelihood - allowed

    estimate, error = float(fit.beta[column]), float(fit.se[column])
    ends = []
    for side in (-1.0, 1.0):
        inner, outer = 0.0, 2.0
        while excess(estimate + side * outer * error) < 0 and outer < WIDEST:
            inner, outer = outer, 1.5 * outer
        if outer >= WIDEST:
            ends.append(side * np.inf)
        else:
            within, beyond = (estimate + side * far * error for far in (inner, outer))
            ends.append(brentq(excess, within, beyond, xtol=1e-5 * error))
    return float(ends[0]), float(ends[1])


def likelihood_ratio_p(exog: Array, codes: Codes, fit: FirthFit, columns: list[int]) -> float:
    """P of the penalised likelihood-ratio test that the coefficients of some columns are all 0."""
    without = fit_firth(exog, codes, dict.fromkeys(columns, 0.0), fit)
    statistic = max(0.0, 2 * (fit.log_likelihood - without.log_likelihood))
    return float(chi2.sf(statistic, len(columns)))


def _penalised(x: Array, codes: Codes, params: Array, n_cuts: int) -> tuple[float, Array, Array]:
    """Penalised log-likelihood, its gradient, and the expected information.

    With ``eta_m = theta_m - x beta`` and ``d_c`` the gradient of a class probability by eta, a
    patient's information by eta is the sum of ``d_c d_c' / p_c`` over the classes.
    """
    n, n_params = len(x), len(params)
    cumulative = expit(params[:n_cuts] - (x @ params[n_cuts:])[:, None])
    edges = np.hstack([np.zeros((n, 1)), cumulative, np.ones((n, 1))])
    share = np.diff(edges, axis=1)
    if not (share > 0).all():
        return -np.inf, np.zeros(n_params), np.eye(n_params)
    density = cumulative * (1 - cumulative)
    sign = np.eye(n_cuts + 1, n_cuts) - np.eye(n_cuts + 1, n_cuts, k=-1)
    d = sign * density[:, None, :]
    z = np.concatenate(
        [
            np.broadcast_to(np.eye(n_cuts), (n, n_cuts, n_cuts)),
            np.broadcast_to(-x[:, None, :], (n, n_cuts, x.shape[1])),
        ],
        axis=2,
    )
    weights = np.einsum("icm,icl->iml", d / share[:, :, None], d)
    information = np.tensordot(z, weights @ z, axes=([0, 1], [0, 1]))
    determined, log_determinant = np.linalg.slogdet(information)
    if determined <= 0:
        return -np.inf, np.zeros(n_params), np.eye(n_params)
    rows = np.arange(n)
    gradient = d[rows, codes] / share[rows, codes][:, None]
    # Gradient of log det I / 2: half the trace of I^-1 dI, patient by patient.
    solved = np.linalg.solve(information, z.reshape(-1, n_params).T).T.reshape(z.shape)
    hat = z @ solved.swapaxes(1, 2)
    hat_d = np.einsum("iml,icl->icm", hat, d)
    bend = density * (1 - 2 * cumulative)
    gradient = gradient + (hat_d * sign / share[:, :, None]).sum(axis=1) * bend
    size = np.einsum("icm,icm->ic", hat_d, d) / share**2
    gradient = gradient - np.einsum("ic,icm->im", size, d) / 2
    value = np.log(share[rows, codes]).sum() + log_determinant / 2
    return float(value), np.einsum("im,imp->p", gradient, z), information

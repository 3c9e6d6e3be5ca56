"""Which whole numbers of patients give printed numbers.

For an exposure with two levels and an outcome with two or three, every table of counts with the
printed margins is looked at: there are few. Proportional odds: McCullagh, J R Stat Soc B
1980;42:109-142; its likelihood is log-concave, so Newton's method finds the one maximum.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from .printed import Printed

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_PATIENTS = 5000
"""Checks that count patients are left out beyond: nearly every rounded share is possible there."""

_EMPTY_CELL = 1e-6  # an empty cell counts as this much: where the estimate is infinite, it is large
_NEWTON_STEPS = 30
_CLOSE = 1e-9
_LIKELIHOOD_ROUNDING = 1e-7


def counts_exist(shares: Mapping[str, Printed], n: int, positive: int) -> bool:
    """Whether whole numbers of patients give all printed shares at once.

    Parameters
    ----------
    shares : mapping of str to Printed
        ``sensitivity`` and ``specificity``; ``accuracy``, ``ppv``, ``npv`` where printed.
    n, positive : int
        Patients, and the positive among them.
    """
    sensitivity = shares["sensitivity"]
    first = max(0, math.ceil(sensitivity.lower * positive))
    last = min(positive, math.floor(sensitivity.upper * positive))
    for true_positive in range(first, last + 1):
        low, high = _true_negatives(shares, n, positive, true_positive)
        if math.floor(high) >= math.ceil(low):
            return True
    return False


def _true_negatives(
    shares: Mapping[str, Printed], n: int, positive: int, true_positive: int
) -> tuple[Fraction, Fraction]:
    """Bounds of the true negatives, given the true positives: every share is monotone in them."""
    negative, missed = n - positive, positive - true_positive
    specificity = shares["specificity"]
    low = [Fraction(0), specificity.lower * negative]
    high = [Fraction(negative), specificity.upper * negative]
    if "accuracy" in shares:
        low.append(shares["accuracy"].lower * n - true_positive)
        high.append(shares["accuracy"].upper * n - true_positive)
    if "ppv" in shares:
        least, most = shares["ppv"].lower, shares["ppv"].upper
        if least > 0:
            low.append(negative - true_positive * (1 - least) / least)
        if most > 0:
            high.append(negative - true_positive * (1 - most) / most)
    if "npv" in shares:
        least, most = shares["npv"].lower, shares["npv"].upper
        if least < 1:
            low.append(missed * least / (1 - least))
        if most < 1:
            high.append(missed * most / (1 - most))
    return max(low), min(high)


def tables_that_fit(
    outcome: Sequence[int],
    exposed: int,
    beta: tuple[float, float],
    fits: Iterable[tuple[float, float, float]],
) -> NDArray[np.int64]:
    """Find the tables of counts whose log odds ratio and standard error are as printed.

    Parameters
    ----------
    outcome : sequence of int
        Patients of each level of the outcome: two (logistic regression) or three, in their order
        (proportional odds).
    exposed : int
        Exposed patients.
    beta : tuple of float
        Bounds of the log odds ratio of the exposed.
    fits : iterable of tuple
        Conditions ``a * beta + b * se <= c``.

    Returns
    -------
    ndarray of int, shape (tables, levels)
        The exposed patients of each level.
    """
    margins = np.asarray(outcome, dtype=np.int64)
    tables = _tables_between(margins, exposed, beta)
    if not len(tables):
        return tables
    estimates, errors = log_odds_ratio(tables, margins)
    good = np.ones(len(tables), dtype=np.bool_)
    for a, b, c in fits:
        good &= a * estimates + b * errors <= c + _CLOSE
    return tables[good]


def _tables_between(
    margins: NDArray[np.int64], exposed: int, beta: tuple[float, float]
) -> NDArray[np.int64]:
    """Tables with a log odds ratio within bounds.

    For three levels and a given number of exposed patients in the first, it falls as exposed
    patients move from the third level to the second; the bounds are found by bisection, for every
    number in the first level at the same time.
    """
    if len(margins) == 2:
        second = np.arange(max(0, exposed - margins[0]), min(exposed, margins[1]) + 1)
        tables = np.stack([exposed - second, second], axis=1)
        logs = np.log(_by_exposure(tables, margins))
        ratios = logs[:, 1, 1] - logs[:, 1, 0] - logs[:, 0, 1] + logs[:, 0, 0]
        return tables[(ratios >= beta[0] - _CLOSE) & (ratios <= beta[1] + _CLOSE)]
    first = np.arange(max(0, exposed - margins[1] - margins[2]), min(exposed, margins[0]) + 1)
    rest = exposed - first
    least, most = np.maximum(0, rest - margins[2]), np.minimum(margins[1], rest)
    edges = []
    for bound in (beta[1], beta[0]):
        low, high = least.copy(), most + 1
        while (low < high).any():
            middle = np.minimum((low + high) // 2, most)
            below = _is_below(np.stack([first, middle, rest - middle], axis=1), margins, bound)
            open_ = low < high
            high = np.where(open_ & below, middle, high)
            low = np.where(open_ & ~below, middle + 1, low)
        edges.append(low)
    found = [
        (start, at, left - at)
        for start, left, low, high in zip(first, rest, *edges, strict=True)
        for at in range(low, high)
    ]
    return np.array(found, dtype=np.int64).reshape(-1, 3)


def log_odds_ratio(
    tables: NDArray[np.int64], margins: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Fit the (proportional-odds) logistic model of a binary exposure to many tables at once.

    Parameters
    ----------
    tables : ndarray of int, shape (tables, levels)
        Exposed patients by level of the outcome.
    margins : ndarray of int, shape (levels,)
        All patients by level, each at least 1.

    Returns
    -------
    tuple of ndarray
        Log odds ratio of a higher level, and its standard error from the observed information.
        Where the estimate is infinite both are large, the error above 100.
    """
    counts = _by_exposure(tables, margins)
    parameters, information = _maximum(_start(margins, len(tables), 0.0), counts, counts.shape[2])
    return parameters[:, -1], np.sqrt(np.linalg.inv(information)[:, -1, -1])


def _is_below(
    tables: NDArray[np.int64], margins: NDArray[np.int64], beta: float
) -> NDArray[np.bool_]:
    """Whether the log odds ratio is below ``beta``: the likelihood falls there, at its best."""
    counts = _by_exposure(tables, margins)
    cuts = counts.shape[2] - 1
    parameters, _ = _maximum(_start(margins, len(tables), beta), counts, cuts)
    return np.asarray(_likelihood(parameters, counts)[1][:, -1] < 0)


def _by_exposure(tables: NDArray[np.int64], margins: NDArray[np.int64]) -> NDArray[np.float64]:
    counts = np.stack([margins - tables, tables], axis=1).astype(np.float64)
    return np.maximum(counts, _EMPTY_CELL)


def _start(margins: NDArray[np.int64], n: int, beta: float) -> NDArray[np.float64]:
    below = margins.cumsum()[:-1] / margins.sum()
    return np.tile([*np.log(below / (1 - below)), beta], (n, 1))


def _maximum(
    parameters: NDArray[np.float64], counts: NDArray[np.float64], free: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Climb to the largest likelihood in the first ``free`` parameters; thresholds, then beta."""
    value, gradient, information = _likelihood(parameters, counts)
    for _ in range(_NEWTON_STEPS):
        step = np.zeros_like(parameters)
        part = information[:, :free, :free], gradient[:, :free, None]
        step[:, :free] = np.clip(np.linalg.solve(*part)[..., 0], -2, 2)
        if np.abs(step).max() < _CLOSE:
            break
        for _ in range(_NEWTON_STEPS):
            trial = _likelihood(parameters + step, counts)
            worse = ~(trial[0] >= value - _LIKELIHOOD_ROUNDING)
            if not worse.any():
                break
            step[worse] /= 2
        parameters = parameters + step
        value, gradient, information = trial
    return parameters, information


def _likelihood(
    parameters: NDArray[np.float64], counts: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Log likelihood, its gradient and the observed information, one of each for every table."""
    cuts = counts.shape[2] - 1
    thresholds, beta = parameters[:, :cuts], parameters[:, cuts:]
    at_cut = 1 / (1 + np.exp(-np.stack([thresholds, thresholds - beta], axis=1)))
    slope = at_cut * (1 - at_cut)
    ends = np.zeros((len(parameters), 2, 1))
    share = np.diff(np.concatenate([ends, at_cut, ends + 1], axis=2), axis=2)
    with np.errstate(divide="ignore", invalid="ignore"):
        value = (counts * np.log(share)).sum(axis=(1, 2))  # NaN: the thresholds crossed
    share = np.maximum(share, 1e-12)
    rate, square = counts / share, counts / share**2
    pull = rate[:, :, :-1] - rate[:, :, 1:]
    force = slope * pull
    bend = np.zeros((*at_cut.shape, cuts))
    place = np.arange(cuts)
    bend[..., place, place] = force * (1 - 2 * at_cut) - slope**2 * (
        square[:, :, :-1] + square[:, :, 1:]
    )
    between = slope[:, :, :-1] * slope[:, :, 1:] * square[:, :, 1:-1]
    bend[..., place[:-1], place[1:]] = bend[..., place[1:], place[:-1]] = between
    gradient = np.concatenate([force.sum(axis=1), -force[:, 1].sum(axis=1, keepdims=True)], axis=1)
    exposed = bend[:, 1].sum(axis=2)
    information = np.empty((len(parameters), cuts + 1, cuts + 1))
    information[:, :cuts, :cuts] = -bend.sum(axis=1)
    information[:, :cuts, cuts] = information[:, cuts, :cuts] = exposed
    information[:, cuts, cuts] = -exposed.sum(axis=1)
    return value, gradient, information

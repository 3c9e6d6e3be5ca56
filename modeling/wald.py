"""Which coefficients and standard errors a printed row of a logistic regression leaves.

With ``b`` the coefficient and ``s`` its standard error, every printed number of a row confines
the pair by straight lines: OR = exp(b), 95 % limits exp(b - 1.96 s) and exp(b + 1.96 s) (Wald),
z = b / s, and P by a bound on abs(b) / s; rounding is the distance between two lines. The numbers
agree when the region between all lines has a corner.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from .printed import Printed, span

if TYPE_CHECKING:
    from numpy.typing import NDArray

LARGEST = 50.0
"""Beta and SE are looked for up to here; an SE that reaches it is not confined at all."""

Z = 1.959964
_LOG_SLACK = 5e-5  # 1.96 for 1.959964, and the odd digit that is cut and not rounded
_CLOSE = 1e-9

Line = tuple[float, float, float]
"""``a, b, c`` of the condition ``a * beta + b * se <= c``."""

Lines = Mapping[str, Sequence[Line]]
"""The conditions by the column that they come from."""

_BOX = (
    (1.0, 0.0, LARGEST),
    (-1.0, 0.0, LARGEST),
    (0.0, 1.0, LARGEST),
    (0.0, -1.0, 0.0),
)


def conditions(values: dict[str, Printed], n: int | None) -> dict[str, list[Line]]:
    """Turn the printed numbers into conditions on beta and SE, by column."""
    lines: dict[str, list[Line]] = {}
    for name, (a, b) in {"beta": (1.0, 0.0), "se": (0.0, 1.0)}.items():
        if name in values:
            lines[name] = _between(a, b, *values[name].bounds)
    for name, b in {"or": 0.0, "ci_lower": -Z, "ci_upper": Z}.items():
        if name in values:
            low, high = values[name].bounds
            floor = math.log(low) - _LOG_SLACK if low > 0 else -math.inf
            lines[name] = _between(1.0, b, floor, math.log(high) + _LOG_SLACK)
    for name in ("z", "t"):
        if name in values:
            low, high = values[name].bounds
            lines[name] = [(1.0, -high, 0.0), (-1.0, low, 0.0)]
    if "p" in values:
        sign = _sign(values)
        least, most = z_of(values["p"], n if "t" in values else None)
        if math.isfinite(most):
            lines["p"] = [(1.0, -most, 0.0), (-1.0, -most, 0.0)]
        if sign:
            lines["p"] = [*lines.get("p", []), (-sign, least, 0.0)]
    return lines


def _between(a: float, b: float, low: float, high: float) -> list[Line]:
    return [(a, b, high), *([(-a, -b, -low)] if math.isfinite(low) else [])]


def _sign(values: dict[str, Printed]) -> float:
    """The sign of beta; 0 where the printed numbers leave it open."""
    zeros = {"beta": 0, "z": 0, "t": 0, "or": 1}
    for name, zero in zeros.items():
        if name in values and not values[name].holds(zero):
            return 1.0 if values[name].value > zero else -1.0
    return 0.0


def z_of(p: Printed, n: int | None) -> tuple[float, float]:
    """Bounds of the absolute z that is printed as ``p``; with ``n``, also of Student's t."""
    from scipy.stats import norm, t

    low, high = max(0.0, float(p.lower)), min(1.0, float(p.upper))
    least, most = float(norm.isf(high / 2)), float(norm.isf(low / 2))
    if n and n > 2:  # the tails of t are heavier: its bounds lie further out
        most = float(t.isf(low / 2, n - 2))
    return least, most


def corners(lines: Lines, names: Iterable[str]) -> NDArray[np.float64]:
    """Corners of the (beta, SE) that satisfy the conditions of these columns; none: no pair does.

    Returns
    -------
    ndarray, shape (corners, 2)
        What is linear in beta and SE is smallest and largest at a corner.
    """
    sides = np.array([*_BOX, *(line for name in names for line in lines.get(name, ()))])
    first, second = (sides[index] for index in np.triu_indices(len(sides), k=1))
    determinant = first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]
    crossing = np.abs(determinant) > _CLOSE
    first, second, determinant = (part[crossing] for part in (first, second, determinant))
    beta = (first[:, 2] * second[:, 1] - first[:, 1] * second[:, 2]) / determinant
    se = (first[:, 0] * second[:, 2] - first[:, 2] * second[:, 0]) / determinant
    points = np.stack([beta, se], axis=1)
    inside = (points @ sides[:, :2].T <= sides[:, 2] + _CLOSE).all(axis=1)
    return np.asarray(points[inside])


def agree(lines: Lines, names: Iterable[str]) -> bool:
    """Whether one beta and one SE satisfy the conditions of these columns."""
    return len(corners(lines, names)) > 0


def implied_odds_ratio(lines: Lines, names: Iterable[str]) -> str:
    """The odds ratios that these columns leave."""
    beta = np.exp(corners(lines, names)[:, 0])
    return span(beta.min(), beta.max()) if len(beta) else "none"


def implied_limits(lines: Lines, names: Iterable[str]) -> str:
    """The 95 % limits that these columns leave."""
    beta, se = corners(lines, names).T
    if not len(beta):
        return "none"
    if se.max() >= LARGEST:
        return "limits symmetric on the log scale"
    ends = np.exp([beta - Z * se, beta + Z * se])
    return " and ".join(span(end.min(), end.max()) for end in ends)


def implied_z(lines: Lines, names: Iterable[str]) -> tuple[float, float]:
    """The bounds of z that these columns leave; NaN when they leave none."""
    given = list(names)
    if given in (["z"], ["t"]):
        above, below = lines[given[0]]
        return below[1], -above[1]
    beta, se = corners(lines, given).T
    if not len(beta):
        return math.nan, math.nan
    ratios = beta / np.maximum(se, _CLOSE)
    return float(ratios.min()), float(ratios.max())


def implied_p(lines: Lines, names: Iterable[str]) -> str:
    """The P values (normal distribution, two-sided) that these columns leave."""
    from scipy.stats import norm

    low, high = implied_z(lines, names)
    nearest = 0.0 if low <= 0 <= high else min(abs(low), abs(high))
    return span(2 * norm.sf(max(abs(low), abs(high))), 2 * norm.sf(nearest))

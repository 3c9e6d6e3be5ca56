"""Checks of a printed logistic or proportional-odds regression.

With ``b`` the coefficient and ``s`` its standard error, every printed number of a row confines
the pair by straight lines: OR = exp(b), 95 % limits exp(b - 1.96 s) and exp(b + 1.96 s) (Wald),
z = b / s, and P by a bound on abs(b) / s. The numbers agree when one pair satisfies all of them,
when the region between all lines has a corner; rounding is the width of the lines.

The standard error has a floor: a patient's outcome has a variance of at most 1/4, so m exposed of
n patients give at least 2 sqrt(n / (m (n - m))), whatever else is in the model.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import MammoroiError
from .contingency import MOST_PATIENTS, tables_that_fit
from .printed import Cells, Finding, Printed, numbers, span, whole

NUMBERS = ("beta", "se", "z", "t", "p", "or", "ci_lower", "ci_upper")
COUNTS = ("outcome_counts", "exposed", "other_outcome_counts", "other_exposed")
COLUMNS = ("variable", "level", "model", *NUMBERS, "n", *COUNTS)
CHECKS = {
    "odds_ratio": "OR against exp(beta)",
    "interval": "limits against exp(beta - 1.96 SE) and exp(beta + 1.96 SE)",
    "statistic": "z or t against beta / SE",
    "p_value": "P against z",
    "row": "all numbers of the row against each other",
    "standard_error": "SE against the smallest that these patients allow",
    "contingency_table": "whole numbers of these patients behind the row",
}

Z = 1.959964
_LOG_SLACK = 5e-5  # 1.96 for 1.959964, and the odd digit that is cut and not rounded

Line = tuple[float, float, float]
"""``a, b, c`` of the condition ``a * beta + b * se <= c``."""


@dataclass(frozen=True)
class Group:
    """Patients that a row may be about: outcome counts by level, and how many are exposed."""

    outcome: tuple[int, ...]
    exposed: int

    @property
    def n(self) -> int:
        """All patients."""
        return sum(self.outcome)


def check(table: str, rows: Sequence[Cells]) -> list[Finding]:
    """Check a table of regression; rows in :data:`COLUMNS`, see docs/consistency.md.

    Raises
    ------
    MammoroiError
        For text that is no number, an OR or a limit of 0 or less, or counts that cannot be.
    """
    findings: list[Finding] = []
    for at, cells in enumerate(rows, start=1):
        where = f"{table}, row {at}"
        values = numbers(cells, NUMBERS, where)
        for name in ("or", "ci_lower", "ci_upper"):
            if name in values and values[name].upper <= 0:
                raise MammoroiError(f"{where}, {name}: {values[name].text}", "it is above 0")
        row = " ".join(part for part in (cells["variable"], cells.get("level", "")) if part)
        model = cells.get("model", "")
        title = f"{row}, {model}" if model else row
        group, other = _group(cells, "", where), _group(cells, "other_", where)
        n = group.n if group else whole(cells["n"], f"{where}, n") if cells.get("n") else None
        lines = conditions(values, n)
        findings += _numbers(table, title, values, lines)
        exposed = group.exposed if group else None
        if n and group is None and cells.get("exposed"):
            exposed = whole(cells["exposed"], f"{where}, exposed")
        binary = len(group.outcome) == 2 if group else True
        if n and exposed and exposed < n and binary and model != "univariable":
            findings += _floor(table, title, lines, n, exposed)
        if group and model == "univariable":
            findings += _counts(table, title, values, lines, group, other)
    return findings


def _group(cells: Cells, prefix: str, where: str) -> Group | None:
    counts, exposed = cells.get(f"{prefix}outcome_counts"), cells.get(f"{prefix}exposed")
    if not counts or not exposed:
        return None
    name = f"{where}, {prefix}outcome_counts"
    group = Group(
        tuple(whole(part, name) for part in counts.split("/")),
        whole(exposed, f"{where}, {prefix}exposed"),
    )
    if len(group.outcome) not in (2, 3):
        raise MammoroiError(f"{name}: {counts}", "give two or three counts, such as 298/290")
    if not 0 < group.exposed < group.n or 0 in group.outcome:
        raise MammoroiError(
            f"{where}: {group.exposed} of {counts} patients are exposed",
            "correct the counts: every level has patients, and both exposures",
        )
    return group


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
        lines["p"] = [(-sign, least, 0.0)]
        if math.isfinite(most):
            lines["p"].append((sign, -most, 0.0))
    return lines


def _between(a: float, b: float, low: float, high: float) -> list[Line]:
    return [(a, b, high), *([(-a, -b, -low)] if math.isfinite(low) else [])]


def _sign(values: dict[str, Printed]) -> float:
    """The sign of beta: of the first number that says it."""
    for name in ("beta", "z", "t"):
        if name in values and values[name].value:
            return math.copysign(1.0, values[name].value)
    if "or" in values:
        return 1.0 if values["or"].value >= 1 else -1.0
    return 1.0


def z_of(p: Printed, n: int | None) -> tuple[float, float]:
    """Bounds of the absolute z that is printed as ``p``; with ``n``, also of Student's t."""
    from scipy.stats import norm, t

    low, high = max(0.0, float(p.lower)), min(1.0, float(p.upper))
    distributions = [norm, *([t(n - 2)] if n and n > 2 else [])]
    least = min(float(d.isf(high / 2)) for d in distributions)
    return least, max(float(d.isf(low / 2)) for d in distributions)


_BOX = [(1.0, 0.0, 50.0), (-1.0, 0.0, 50.0), (0.0, 1.0, 50.0), (0.0, -1.0, 0.0)]
_CLOSE = 1e-9


def corners(lines: dict[str, list[Line]], names: Iterable[str]) -> NDArray[np.float64]:
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
    return points[(points @ sides[:, :2].T <= sides[:, 2] + _CLOSE).all(axis=1)]


def agree(lines: dict[str, list[Line]], names: Iterable[str]) -> bool:
    """Whether one beta and one SE satisfy the conditions of these columns."""
    return len(corners(lines, names)) > 0


def _numbers(
    table: str, row: str, values: dict[str, Printed], lines: dict[str, list[Line]]
) -> Iterable[Finding]:
    """The numbers of a row against each other."""
    statistic = "t" if "t" in values else "z"
    base = [name for name in ("beta", "se") if name in values]
    limits = [name for name in ("ci_lower", "ci_upper") if name in values]
    whole_base = base if len(base) == 2 else [*base, *(["or"] if "or" in values else []), *limits]
    plans = {
        "odds_ratio": (["beta"], ["or"], "impossible"),
        "interval": ([*base, *(["or"] if "or" in values else [])], limits, "inconsistent"),
        "statistic": (whole_base, [statistic], "impossible"),
        "p_value": ([statistic] if statistic in values else whole_base, ["p"], "inconsistent"),
    }
    well = True
    for name, (given, tested, severity) in plans.items():
        if not given or not tested or not all(c in values for c in [*given, *tested]):
            continue
        if name in ("statistic", "p_value") and given == base and len(base) < 2:
            continue
        good = agree(lines, [*given, *tested])
        well = well and good
        shown = " to ".join(values[c].text for c in tested)
        source = ", ".join(f"{c} {values[c].text}" for c in given)
        yield Finding(
            *(table, row, name, "ok" if good else severity, shown),  # type: ignore[arg-type]
            _implied(name, lines, given),
            f"{source} and {', '.join(f'{c} {values[c].text}' for c in tested)} "
            f"{'agree' if good else 'do not agree'} within rounding.",
        )
    if well and len(lines) > 2:
        good = agree(lines, lines)
        yield Finding(
            *(table, row, "row", "ok" if good else "inconsistent"),
            ", ".join(f"{name} {value.text}" for name, value in values.items()),
            "" if good else "no beta and SE",
            f"{'One' if good else 'No'} beta and SE give all numbers of the row.",
        )


def _implied(check: str, lines: dict[str, list[Line]], given: list[str]) -> str:
    """What the given columns leave for the tested ones."""
    from scipy.stats import norm

    points = corners(lines, given)
    if not len(points):
        return "nothing"
    beta, se = points.T
    if check == "odds_ratio":
        return span(math.exp(beta.min()), math.exp(beta.max()))
    if check == "interval":
        if se.max() >= 50:
            return "limits symmetric on the log scale"
        ends = np.exp([beta - Z * se, beta + Z * se])
        return " and ".join(span(end.min(), end.max()) for end in ends)
    ratios = beta / np.maximum(se, _CLOSE)
    low, high = float(ratios.min()), float(ratios.max())
    if len(given) == 1:  # z itself
        above, below = lines[given[0]]
        low, high = below[1], -above[1]
    if check == "statistic":
        return span(low, high, 2)
    nearest = 0.0 if low <= 0 <= high else min(abs(low), abs(high))
    return span(2 * norm.sf(max(abs(low), abs(high))), 2 * norm.sf(nearest))


def _floor(
    table: str, row: str, lines: dict[str, list[Line]], n: int, exposed: int
) -> Iterable[Finding]:
    """The standard error against the smallest that these patients allow."""
    errors = corners(lines, [name for name in lines if name != "p"])[:, 1]
    if not len(errors) or errors.max() >= 50:
        return
    least, most = errors.min(), errors.max()
    floor = 2 * math.sqrt(n / (exposed * (n - exposed)))
    good = most >= floor
    needed = math.ceil(n * (floor / most) ** 2)
    yield Finding(
        *(table, row, "standard_error", "ok" if good else "inconsistent", span(least, most)),
        f"at least {floor:.3f}",
        f"With {exposed} of {n} patients exposed the standard error is at least {floor:.3f}"
        + ("." if good else f"; {span(least, most)} needs at least {needed} patients."),
    )


def _counts(
    table: str,
    row: str,
    values: dict[str, Printed],
    lines: dict[str, list[Line]],
    group: Group,
    other: Group | None,
) -> Iterable[Finding]:
    """Whether whole numbers of patients give the row, and whether those of another group do."""
    betas = corners(lines, lines)[:, 0]
    if not len(betas) or betas.max() - betas.min() > 1 or group.n > MOST_PATIENTS:
        return
    reach = float(betas.min()), float(betas.max())
    every = [line for part in lines.values() for line in part]
    found = len(tables_that_fit(group.outcome, group.exposed, reach, every))
    implied = f"{found} tables of {group.n} patients"
    why = f"{found or 'No'} table{'s' * (found != 1)} of {group.n} patients"
    if not found and other and other.n <= MOST_PATIENTS:
        there = len(tables_that_fit(other.outcome, other.exposed, reach, every))
        implied += f", {there} of {other.n}"
        why += f" and {there or 'no'} table{'s' * (there != 1)} of {other.n}"
    texts = {name: value.text for name, value in values.items()}
    shown = f"{texts['or']} ({texts['ci_lower']} to {texts['ci_upper']})" if "or" in texts else ""
    yield Finding(
        *(table, row, "contingency_table", "ok" if found else "inconsistent", shown, implied),
        f"{why} with the printed margins give{'s' * (found == 1)} the row.",
    )

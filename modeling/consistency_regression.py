"""Checks of a printed logistic or proportional-odds regression.

The numbers of a row against each other: :mod:`.wald`. Against the patients: the standard error
has a floor, because an outcome with two levels has a variance of at most 1/4, so that m exposed of
n patients give at least 2 sqrt(n / (m (n - m))), whatever else is in the model; and with one
exposure alone the row comes from a table of whole numbers (:mod:`.contingency`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..errors import MammoroiError
from .contingency import MOST_PATIENTS, tables_that_fit
from .printed import Cells, Finding, Printed, Severity, numbers, span, whole
from .wald import (
    LARGEST,
    Line,
    Lines,
    agree,
    conditions,
    corners,
    implied_limits,
    implied_odds_ratio,
    implied_p,
    implied_z,
)

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
        if group and model == "univariable":
            findings += _counts(table, title, values, lines, group, other)
        elif n and exposed and exposed < n and (group is None or len(group.outcome) == 2):
            findings += _floor(table, title, lines, n, exposed)
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


def _numbers(table: str, row: str, values: dict[str, Printed], lines: Lines) -> Iterable[Finding]:
    """The numbers of a row against each other."""
    base, odds_ratio = _present(values, "beta", "se"), _present(values, "or")
    limits = _present(values, "ci_lower", "ci_upper")
    statistic = _present(values, "z", "t")[:1]
    estimate = base if len(base) == 2 else [*base, *odds_ratio, *limits]
    confined = "se" in base or len(limits) == 2 or (limits and (odds_ratio or base))
    plans: list[tuple[str, Severity, list[str], list[str]]] = []
    if "beta" in values and odds_ratio:
        plans.append(("odds_ratio", "impossible", ["beta"], odds_ratio))
    if limits and (base or odds_ratio):
        plans.append(("interval", "inconsistent", [*base, *odds_ratio], limits))
    if statistic and confined:
        plans.append(("statistic", "impossible", estimate, statistic))
    if "p" in values and (statistic or confined):
        plans.append(("p_value", "inconsistent", statistic or estimate, ["p"]))
    well = True
    for name, severity, given, tested in plans:
        good = agree(lines, [*given, *tested])
        well = well and good
        first, second = (
            ", ".join(f"{c} {values[c].text}" for c in columns) for columns in (given, tested)
        )
        yield Finding(
            *(table, row, name, "ok" if good else severity),
            *(" to ".join(values[c].text for c in tested), _implied(name, lines, given)),
            f"{first} {'agrees' if good else 'does not agree'} with {second} within rounding.",
        )
    if well and len(lines) > 2:
        good = agree(lines, lines)
        yield Finding(
            *(table, row, "row", "ok" if good else "inconsistent"),
            ", ".join(f"{name} {value.text}" for name, value in values.items()),
            "" if good else "no beta and SE",
            f"{'One' if good else 'No'} beta and SE give all numbers of the row.",
        )


def _present(values: dict[str, Printed], *columns: str) -> list[str]:
    return [column for column in columns if column in values]


def _implied(check: str, lines: Lines, given: list[str]) -> str:
    if check == "odds_ratio":
        return implied_odds_ratio(lines, given)
    if check == "interval":
        return implied_limits(lines, given)
    if check == "statistic":
        return span(*implied_z(lines, given), 2)
    return implied_p(lines, given)


def _floor(table: str, row: str, lines: Lines, n: int, exposed: int) -> Iterable[Finding]:
    """The standard error against the smallest that these patients allow."""
    errors = corners(lines, [name for name in lines if name != "p"])[:, 1]
    if not len(errors) or errors.max() >= LARGEST:
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
    lines: Lines,
    group: Group,
    other: Group | None,
) -> Iterable[Finding]:
    """Whether whole numbers of patients give the row, and whether those of another group do."""
    betas = corners(lines, lines)[:, 0]
    if not len(betas) or betas.max() - betas.min() > 1 or group.n > MOST_PATIENTS:
        return
    reach = float(betas.min()), float(betas.max())
    every: list[Line] = [line for part in lines.values() for line in part]
    found = len(tables_that_fit(group.outcome, group.exposed, reach, every))
    implied = f"{found} tables of {group.n} patients"
    why = f"{found or 'No'} table{'s' * (found != 1)} of {group.n} patients"
    if not found and other and other.n <= MOST_PATIENTS:
        there = len(tables_that_fit(other.outcome, other.exposed, reach, every))
        implied += f", {there} of {other.n}"
        why += f" and {there or 'no'} table{'s' * (there != 1)} of {other.n}"
    shown = ", ".join(f"{name} {value.text}" for name, value in values.items())
    if {"or", "ci_lower", "ci_upper"} <= values.keys():
        shown = "{or} ({ci_lower} to {ci_upper})".format_map({k: v.text for k, v in values.items()})
    yield Finding(
        *(table, row, "contingency_table", "ok" if found else "inconsistent", shown, implied),
        f"{why} with the printed margins give{'s' * (found == 1)} the row.",
    )

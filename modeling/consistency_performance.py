"""Checks of printed performance: sensitivity, specificity, accuracy, predictive values and AUC.

Accuracy, PPV and NPV follow from sensitivity, specificity and prevalence (Altman & Bland, BMJ
1994;309:102). Each printed value therefore allows an interval of prevalences, possibly none.
Counts are whole: not every share can come from a given number of patients (Brown & Heathers, Soc
Psychol Personal Sci 2017;8:363-369).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations

from ..errors import MammoroiError
from . import consistency_auc
from .contingency import MOST_PATIENTS, counts_exist
from .printed import Cells, Finding, Printed, Severity, numbers, span, whole

SHARES = ("sensitivity", "specificity", "accuracy", "ppv", "npv")
NUMBERS = ("prevalence", *SHARES, *consistency_auc.NUMBERS)
COLUMNS = ("name", "set", "n", "n_positive", *NUMBERS)
CHECKS = {
    "range": "shares and AUC between 0 and 1",
    "accuracy": "accuracy against sensitivity, specificity and prevalence",
    "ppv": "PPV against sensitivity, specificity and prevalence",
    "npv": "NPV against sensitivity, specificity and prevalence",
    "prevalence": "the prevalences that accuracy, PPV and NPV need, against each other",
    "whole_numbers": "whole numbers of patients behind the shares",
    **consistency_auc.CHECKS,
    "same_in_sets": "sensitivity and specificity of different sets of patients",
}

Bounds = tuple[Fraction, Fraction]


@dataclass(frozen=True)
class Row:
    """One row: its names, counts where they are known, and printed numbers by column."""

    name: str
    group: str
    n: int | None
    n_positive: int | None
    values: dict[str, Printed]

    @property
    def title(self) -> str:
        """Name and set of patients."""
        return f"{self.name}, {self.group}" if self.group else self.name

    @property
    def prevalence(self) -> Bounds | None:
        """From the counts, else as printed."""
        if self.n and self.n_positive is not None:
            exact = Fraction(self.n_positive, self.n)
            return exact, exact
        stated = self.values.get("prevalence")
        return (stated.lower, stated.upper) if stated else None


def read_row(cells: Cells, where: str) -> Row:
    """Read one row.

    Raises
    ------
    MammoroiError
        For text that is no number, more positive patients than patients, or a share above 1
        that is not marked as a percentage.
    """
    counts = {c: whole(cells[c], f"{where}, {c}") for c in ("n", "n_positive") if cells.get(c)}
    n, n_positive = counts.get("n"), counts.get("n_positive")
    if n is not None and n_positive is not None and n_positive > n:
        raise MammoroiError(f"{where}: {n_positive} of {n} are positive", "correct the counts")
    values = numbers(cells, NUMBERS, where)
    for column in SHARES:
        if column in values and values[column].value > 2:
            text = values[column].text
            raise MammoroiError(f"{where}, {column}: {text}", f"write {text}% for a percentage")
    return Row(cells["name"], cells.get("set", ""), n, n_positive, values)


def check(table: str, rows: Sequence[Cells]) -> list[Finding]:
    """Check a table of performance; rows in :data:`COLUMNS`, see docs/consistency.md."""
    parsed = [read_row(cells, f"{table}, row {at}") for at, cells in enumerate(rows, start=1)]
    findings: list[Finding] = []
    for row in parsed:
        derived = [*_derived(table, row)]
        sound = {finding.check for finding in derived if finding.severity == "ok"}
        findings += [*_range(table, row), *derived, *_whole_numbers(table, row, sound)]
        findings += consistency_auc.check(table, row.title, row.values, row.n, row.n_positive)
    return [*findings, *_same_in_sets(table, parsed)]


def _range(table: str, row: Row) -> Iterable[Finding]:
    outside = [c for c, value in row.values.items() if value.upper < 0 or value.lower > 1]
    shown = ", ".join(f"{c} {row.values[c].text}" for c in outside)
    severity: Severity = "impossible" if outside else "ok"
    if row.values:
        why = "A share lies between 0 and 1." if outside else "All shares lie between 0 and 1."
        yield Finding(table, row.title, "range", severity, shown, "0 to 1", why)


def allowed_prevalence(
    measure: str, sensitivity: Printed, specificity: Printed, value: Printed
) -> Bounds | None:
    """Prevalences at which accuracy, PPV or NPV can be printed as it is; None when there is none.

    Every condition is linear in the prevalence p; the extreme values of the measure belong to the
    extreme values of sensitivity and specificity.
    """
    ends = (
        (sensitivity.lower, specificity.lower, value.upper, 1),
        (sensitivity.upper, specificity.upper, value.lower, -1),
    )
    conditions = []
    for se, sp, v, sign in ends:
        slope, bound = {
            "accuracy": (se - sp, v - sp),
            "ppv": (se * (1 - v) + v * (1 - sp), v * (1 - sp)),
            "npv": (-sp * (1 - v) - v * (1 - se), -sp * (1 - v)),
        }[measure]
        conditions.append((sign * slope, sign * bound))
    lower, upper = Fraction(0), Fraction(1)
    for slope, bound in conditions:
        if slope > 0:
            upper = min(upper, bound / slope)
        elif slope < 0:
            lower = max(lower, bound / slope)
        elif bound < 0:
            return None
    return (lower, upper) if lower <= upper else None


_MEASURES: dict[str, Callable[[Fraction, Fraction, Fraction], Fraction]] = {
    "accuracy": lambda se, sp, p: se * p + sp * (1 - p),
    "ppv": lambda se, sp, p: _ratio(se * p, (1 - sp) * (1 - p)),
    "npv": lambda se, sp, p: _ratio(sp * (1 - p), (1 - se) * p),
}


def _ratio(part: Fraction, rest: Fraction) -> Fraction:
    return part / (part + rest) if part + rest else Fraction(0)


def _derived(table: str, row: Row) -> Iterable[Finding]:
    """Accuracy, PPV and NPV against sensitivity, specificity and prevalence."""
    se, sp = row.values.get("sensitivity"), row.values.get("specificity")
    if se is None or sp is None:
        return
    allowed: dict[str, Bounds] = {}
    for measure, formula in _MEASURES.items():
        if measure not in row.values:
            continue
        text, needed = (
            row.values[measure].text,
            allowed_prevalence(measure, se, sp, row.values[measure]),
        )
        stated = row.prevalence
        ends = stated or (Fraction(0), Fraction(1))
        low = min(formula(se.lower, sp.lower, p) for p in ends)
        high = max(formula(se.upper, sp.upper, p) for p in ends)
        if needed is None:
            low = min(formula(se.lower, sp.lower, Fraction(p)) for p in (0, 1))
            high = max(formula(se.upper, sp.upper, Fraction(p)) for p in (0, 1))
            yield Finding(
                *(table, row.title, measure, "impossible", text, f"{span(low, high)} at most"),
                f"No prevalence gives {measure} {text} with sensitivity {se.text} and "
                f"specificity {sp.text}.",
            )
            continue
        allowed[measure] = needed
        if stated and (needed[1] < stated[0] or stated[1] < needed[0]):
            yield Finding(
                *(table, row.title, measure, "inconsistent", text, span(low, high)),
                f"At the prevalence {span(*stated)}, sensitivity {se.text} and specificity "
                f"{sp.text} give {measure} {span(low, high)}; {text} needs a prevalence of "
                f"{span(*needed, 2)}.",
            )
            continue
        yield Finding(
            *(table, row.title, measure, "ok", text, span(low, high)),
            f"Sensitivity {se.text} and specificity {sp.text} can give {measure} {text}.",
        )
    for (first, one), (second, other) in combinations(allowed.items(), 2):
        apart = one[1] < other[0] or other[1] < one[0]
        severity: Severity = "impossible" if apart else "ok"
        shown = f"{first} {row.values[first].text}, {second} {row.values[second].text}"
        yield Finding(
            *(table, row.title, "prevalence", severity, shown),
            f"prevalence {span(*one)} for {first}, {span(*other)} for {second}",
            f"{first} and {second} {'need different prevalences' if apart else 'agree'}.",
        )


def _whole_numbers(table: str, row: Row, sound: set[str]) -> Iterable[Finding]:
    """Whether whole numbers of patients give the shares; those found wrong before are left out."""
    shares = {name: row.values[name] for name in SHARES if name in row.values}
    for name in _MEASURES:
        if name not in sound:
            shares.pop(name, None)
    if row.n is None or not {"sensitivity", "specificity"} <= shares.keys():
        return
    if row.n > MOST_PATIENTS:
        return
    least, most = row.prevalence or (Fraction(0), Fraction(1))
    shown = ", ".join(f"{name} {value.text}" for name, value in shares.items())
    stated = range(max(1, math.ceil(least * row.n)), min(row.n - 1, math.floor(most * row.n)) + 1)
    if any(counts_exist(shares, row.n, positive) for positive in stated):
        why = "Whole numbers of patients give the printed shares."
        yield Finding(table, row.title, "whole_numbers", "ok", shown, "", why)
        return
    fitting = [positive for positive in range(1, row.n) if counts_exist(shares, row.n, positive)]
    group = f"{row.n} patients"
    if row.n_positive is not None:
        group = f"{row.n_positive} positive of {group}"
    elif row.prevalence:
        group += f" and a prevalence of {span(*row.prevalence)}"
    expected = (least + most) / 2 * row.n
    nearest = sorted(fitting, key=lambda positive: abs(positive - expected))[:1]
    implied = f"{nearest[0]} positive" if nearest else "no number of positive patients"
    yield Finding(
        *(table, row.title, "whole_numbers", "inconsistent" if fitting else "impossible", shown),
        f"{implied} of {row.n}" if nearest else implied,
        f"With {group} no whole numbers of patients give {shown}"
        + (f"; with {nearest[0]} positive they would." if nearest else "."),
    )


def _same_in_sets(table: str, rows: Sequence[Row]) -> Iterable[Finding]:
    for first, second in combinations(rows, 2):
        if first.name != second.name or first.group == second.group:
            continue
        shared = [c for c in SHARES[:2] if c in first.values and c in second.values]
        if len(shared) < 2:
            continue
        same = all(first.values[c].text == second.values[c].text for c in shared)
        shown = ", ".join(f"{c} {first.values[c].text}" for c in shared)
        yield Finding(
            *(table, f"{first.name}, {first.group} and {second.group}", "same_in_sets"),
            *("unusual" if same else "ok", shown if same else "", ""),
            f"Sensitivity and specificity are {'the same' if same else 'not the same'} in "
            f"{first.group} and {second.group}.",
        )

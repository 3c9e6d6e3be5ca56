"""Checks of a printed table of characteristics: counts, percentages and P values.

P is compared with Pearson's chi-square without and with Yates' correction, the likelihood-ratio
chi-square and Fisher's exact test; the finding names the first that gives the printed digits.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import MammoroiError
from .printed import Cells, Finding, Printed, printed, whole

FIXED = ("variable", "level", "total", "p")
CHECKS = {
    "patients_stated": "size of the groups, against the text",
    "sum_of_groups": "total against the sum of the groups",
    "sum_of_levels": "sum of the levels, against the other variables",
    "percentages": "percentage against the count",
    "p_of_counts": "P against the counts",
    "balance": "the P values of a random split, against an even spread",
}

RANDOM_SPLIT = {"train", "test"}
MIN_P_VALUES = 8
PERCENT = "_percent"


@dataclass(frozen=True)
class Level:
    """One row: counts by column (total first), printed percentages by column."""

    name: str
    counts: dict[str, int]
    percentages: dict[str, Printed]


def check(table: str, rows: Sequence[Cells]) -> list[Finding]:
    """Check a table of counts: ``variable, level, total``, a column for each group, and P.

    Raises
    ------
    MammoroiError
        For text that is no count, a percentage without its group, or no group at all.
    """
    columns = list(rows[0]) if rows else []
    groups = [c for c in columns if c not in FIXED and not c.endswith(PERCENT)]
    stray = [c for c in columns if c.endswith(PERCENT) and c[: -len(PERCENT)] not in columns]
    if stray or not groups:
        raise MammoroiError(
            f"{table}: " + (f"{stray[0]} has no column of counts" if stray else "no groups"),
            "name columns as in variable, level, total, train, test, train_percent, p",
        )
    variables: dict[str, list[Level]] = {}
    p_values: dict[str, Printed] = {}
    for at, cells in enumerate(rows, start=1):
        where, name = f"{table}, row {at}", cells["variable"]
        variables.setdefault(name, []).append(_level(cells, groups, where))
        if cells.get("p"):
            p_values[name] = printed(cells["p"], f"{where}, p")
    findings: list[Finding] = []
    sizes = _sizes(variables, ["total", *groups])
    for name, levels in variables.items():
        findings += _groups(table, name, levels, groups)
        findings += _levels(table, name, levels, sizes)
        findings += _percentages(table, name, levels)
        if name in p_values:
            findings += _p_value(table, name, levels, groups, p_values[name])
    if set(groups) == RANDOM_SPLIT:
        findings += _balance(table, p_values)
    return findings


def group_sizes(rows: Sequence[Cells], table: str) -> dict[str, int]:
    """The number of patients by column: the sum that most variables have."""
    groups = [c for c in rows[0] if c not in FIXED and not c.endswith(PERCENT)]
    variables: dict[str, list[Level]] = {}
    for at, cells in enumerate(rows, start=1):
        level = _level(cells, groups, f"{table}, row {at}")
        variables.setdefault(cells["variable"], []).append(level)
    return _sizes(variables, ["total", *groups])


def _level(cells: Cells, groups: list[str], where: str) -> Level:
    columns = ["total", *groups]
    percentages = {c: cells[f"{c}{PERCENT}"] for c in columns if cells.get(f"{c}{PERCENT}")}
    return Level(
        cells["level"],
        {c: whole(cells[c], f"{where}, {c}") for c in columns},
        {c: printed(text.rstrip("% "), f"{where}, {c}") for c, text in percentages.items()},
    )


def _sums(levels: list[Level]) -> dict[str, int]:
    return {c: sum(level.counts[c] for level in levels) for c in levels[0].counts}


def _sizes(variables: dict[str, list[Level]], columns: list[str]) -> dict[str, int]:
    sums = [_sums(levels) for levels in variables.values()]
    return {c: Counter(one[c] for one in sums).most_common(1)[0][0] for c in columns}


def _groups(table: str, name: str, levels: list[Level], groups: list[str]) -> Iterable[Finding]:
    for level in levels:
        total, added = level.counts["total"], sum(level.counts[group] for group in groups)
        yield Finding(
            *(table, f"{name}: {level.name}", "sum_of_groups"),
            *("ok" if total == added else "impossible", str(total), str(added)),
            f"The groups add up to {added}, the printed total is {total}.",
        )


def _levels(table: str, name: str, levels: list[Level], sizes: dict[str, int]) -> Iterable[Finding]:
    sums = _sums(levels)
    shown, wanted = ("/".join(map(str, one.values())) for one in (sums, sizes))
    yield Finding(
        *(table, name, "sum_of_levels", "ok" if sums == sizes else "inconsistent", shown, wanted),
        f"The levels add up to {shown} ({', '.join(sums)}), "
        + ("as those of the other variables." if sums == sizes else f"others to {wanted}."),
    )


def _percentages(table: str, name: str, levels: list[Level]) -> Iterable[Finding]:
    sums = _sums(levels)
    for level in levels:
        if not level.percentages:
            continue
        exact = {c: 100 * level.counts[c] / sums[c] for c in level.percentages if sums[c]}
        wrong = [c for c, value in exact.items() if not _holds(level.percentages[c], value)]
        shown = wrong or list(exact)
        yield Finding(
            *(table, f"{name}: {level.name}", "percentages", "inconsistent" if wrong else "ok"),
            ", ".join(f"{c} {level.percentages[c].text}" for c in shown),
            ", ".join(f"{c} {exact[c]:.3f}" for c in shown),
            f"The counts give {', '.join(f'{exact[c]:.3f} % ({c})' for c in shown)}.",
        )


def _holds(number: Printed, value: float) -> bool:
    low, high = number.bounds
    return low - 1e-9 <= value <= high + 1e-9


def tests_of(counts: np.ndarray[tuple[int, int], np.dtype[np.int64]]) -> dict[str, float]:
    """P values of a table of counts by the name of the test; the commonest test first."""
    from scipy.stats import chi2_contingency, fisher_exact

    counts = counts[counts.sum(axis=1) > 0][:, counts.sum(axis=0) > 0]
    if min(counts.shape) < 2:
        return {}
    found: dict[str, float] = {}
    found["Pearson's chi-square"] = float(chi2_contingency(counts, correction=False).pvalue)
    if counts.shape == (2, 2):
        found["chi-square with Yates' correction"] = float(chi2_contingency(counts).pvalue)
        found["Fisher's exact test"] = float(fisher_exact(counts).pvalue)
    likelihood = chi2_contingency(counts, correction=False, lambda_="log-likelihood")
    found["likelihood-ratio chi-square"] = float(likelihood.pvalue)
    return found


def _p_value(
    table: str, name: str, levels: list[Level], groups: list[str], p: Printed
) -> Iterable[Finding]:
    tests = tests_of(np.array([[level.counts[group] for group in groups] for level in levels]))
    if not tests:
        return
    fitting = [test for test, value in tests.items() if _holds(p, value)]
    named = fitting[0] if fitting else next(iter(tests))
    yield Finding(
        *(table, name, "p_of_counts", "ok" if fitting else "inconsistent", p.text),
        f"{tests[named]:.4f} ({named})",
        f"P {p.text} is that of {named}."
        if fitting
        else "None of the tests gives P "
        + p.text
        + ": "
        + ", ".join(f"{test} {value:.4f}" for test, value in tests.items())
        + ".",
    )


def _balance(table: str, p_values: dict[str, Printed]) -> Iterable[Finding]:
    """P values of a random split are uniform; the test takes them for independent."""
    from scipy.stats import kstest

    values = [float(p.value) for p in p_values.values()]
    if len(values) < MIN_P_VALUES:
        return
    mean, ks = float(np.mean(values)), float(kstest(values, "uniform").pvalue)
    unusual = ks < 0.05
    yield Finding(
        *(table, "all variables", "balance", "unusual" if unusual else "ok"),
        f"mean P {mean:.2f}, smallest {min(values):.3f}",
        f"mean P 0.50, Kolmogorov-Smirnov P {ks:.3f}",
        f"After a random split the {len(values)} P values are uniform between 0 and 1; theirs have "
        f"a mean of {mean:.2f} (Kolmogorov-Smirnov P = {ks:.3f}, if the variables are independent, "
        "which they rarely are).",
    )

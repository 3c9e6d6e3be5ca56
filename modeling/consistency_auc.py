"""Checks of a printed AUC and its 95 % interval.

Standard error from the AUC and the numbers of patients alone: Hanley & McNeil, Radiology
1982;143:29-36, with Q1 = A / (2 - A) and Q2 = 2 A^2 / (1 + A).
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from .printed import Finding, Printed, Severity, span

NUMBERS = ("auc", "auc_lower", "auc_upper")
CHECKS = {
    "auc_in_interval": "AUC against its interval",
    "auc_and_point": "AUC against sensitivity and specificity",
    "auc_width": "width of the interval of the AUC, against Hanley and McNeil's",
    "auc_arms": "the two arms of the interval of the AUC, against a logit interval's",
}

# Beyond these, with the rounding in favour of the table, an interval is unusual. DeLong's and
# logit intervals nearly always stay within them when each class has 30 patients or more.
WIDTH_RATIO = (0.5, 1.5)
ARM_RATIO = 1.5
MIN_CLASS = 30
Z = 1.959964


def hanley_mcneil(auc: float, positive: int, negative: int) -> float:
    """Standard error of an AUC (0 to 1) from the numbers of positive and negative patients."""
    q1, q2 = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    variance = auc * (1 - auc) + (positive - 1) * (q1 - auc**2) + (negative - 1) * (q2 - auc**2)
    return math.sqrt(max(variance, 0.0) / (positive * negative))


def check(
    table: str, row: str, values: dict[str, Printed], n: int | None, n_positive: int | None
) -> Iterable[Finding]:
    """Check one AUC; columns that are not there are not checked."""
    auc = values.get("auc")
    if auc is None:
        return
    if "sensitivity" in values and "specificity" in values:
        yield _point(table, row, auc, values["sensitivity"], values["specificity"])
    if "auc_lower" not in values or "auc_upper" not in values:
        return
    lower, upper = values["auc_lower"], values["auc_upper"]
    shown = f"{auc.text} ({lower.text} to {upper.text})"
    inside = lower.lower <= auc.upper and auc.lower <= upper.upper
    severity: Severity = "ok" if inside else "inconsistent"
    if lower.lower > upper.upper:
        severity = "impossible"
    why = f"{auc.text} lies {'inside' if inside else 'outside'} {lower.text} to {upper.text}."
    yield Finding(table, row, "auc_in_interval", severity, shown, "", why)
    if severity != "ok" or not 0 < auc.value < 1 or lower.value >= upper.value:
        return
    if n and n_positive and min(n_positive, n - n_positive) >= MIN_CLASS:
        yield _width(table, row, (auc, lower, upper), n_positive, n - n_positive)
    yield _arms(table, row, (auc, lower, upper))


def _point(table: str, row: str, auc: Printed, se: Printed, sp: Printed) -> Finding:
    """A monotone curve through (1 - sp, se) encloses at least the box below the point."""
    low, high = se.lower * sp.lower, 1 - (1 - se.upper) * (1 - sp.upper)
    possible = auc.holds(low, high)
    return Finding(
        *(table, row, "auc_and_point", "ok" if possible else "impossible", auc.text),
        span(low, high),
        f"A ROC curve through sensitivity {se.text} and specificity {sp.text} has an AUC from "
        f"{span(low, high)}.",
    )


Interval = tuple[Printed, Printed, Printed]


def _width(table: str, row: str, printed: Interval, positive: int, negative: int) -> Finding:
    auc, lower, upper = printed
    error = hanley_mcneil(float(auc.value), positive, negative)
    usual = 2 * Z * error
    ratio = float(upper.value - lower.value) / usual
    least = float(upper.lower - lower.upper) / usual
    most = float(upper.upper - lower.lower) / usual
    unusual = least > WIDTH_RATIO[1] or most < WIDTH_RATIO[0]
    bounds = span(float(auc.value) - Z * error, min(1.0, float(auc.value) + Z * error), 2)
    return Finding(
        *(table, row, "auc_width", "unusual" if unusual else "ok"),
        f"{auc.text} ({lower.text} to {upper.text})",
        f"{bounds}, width ratio {ratio:.2f}",
        f"For {positive} positive and {negative} negative patients Hanley and McNeil's interval "
        f"is {bounds}; the printed one is {ratio:.2f} times as wide.",
    )


def _arms(table: str, row: str, printed: Interval) -> Finding:
    """Compare the distances from the AUC down and up with those of a logit interval.

    A Wald interval has equal arms; of the usual intervals the logit one is the most one-sided. The
    rounding of all three numbers is taken in favour of the table.
    """
    auc, lower, upper = (float(number.value) for number in printed)
    reach = (upper - lower) / 2 / (auc * (1 - auc))
    odds = math.log(auc / (1 - auc))
    low, high = (1 / (1 + math.exp(-odds - side * reach)) for side in (-1, 1))
    usual = max((auc - low) / (high - auc), (high - auc) / (auc - low))
    down = (float(printed[0].lower - printed[1].upper), float(printed[0].upper - printed[1].lower))
    up = (float(printed[2].lower - printed[0].upper), float(printed[2].upper - printed[0].lower))
    least = max(down[0] / up[1], up[0] / down[1])
    unusual = least > ARM_RATIO * usual
    arms = f"{auc - lower:.2f} down, {upper - auc:.2f} up"
    return Finding(
        *(table, row, "auc_arms", "unusual" if unusual else "ok"),
        f"{printed[0].text} ({printed[1].text} to {printed[2].text})",
        f"{arms}; logit {auc - low:.2f} down, {high - auc:.2f} up",
        f"The interval reaches {arms}; a logit interval of its width would reach "
        f"{auc - low:.2f} down and {high - auc:.2f} up.",
    )

"""Plain language by rules: numbers in, sentences out; nothing here knows a file or a figure.

An interval is a 95% confidence interval. A missing number is written as a dash.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

DASH = "–"
FEW_PATIENTS = 100
RELEVANT_DIFFERENCE = 0.05
SCATTER = 0.05
FLAT = 0.05
"""A range of risks below which they are called nearly the same."""


@dataclass(frozen=True)
class Estimate:
    """A number with its 95% confidence interval, in the number's own unit."""

    value: float
    lower: float
    upper: float

    def __str__(self) -> str:
        return interval(self.value, self.lower, self.upper)

    @property
    def known(self) -> bool:
        """Whether the number and both ends of its interval are there."""
        return all(map(_finite, (self.value, self.lower, self.upper)))


def _finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def number(value: float | None, digits: int = 2) -> str:
    """``0.81``; a true minus sign, no negative zero, a dash for a missing number."""
    if value is None or not math.isfinite(value):
        return DASH
    text = f"{value:.{digits}f}"
    if float(text) == 0:
        text = text.lstrip("-")
    return text.replace("-", "−")


def interval(value: float | None, lower: float | None, upper: float | None, digits: int = 2) -> str:
    """``0.81 (0.72 to 0.89)``; the number alone without an interval, or with one of no width."""
    if lower == upper or (not _finite(lower) and not _finite(upper)):
        return number(value, digits)
    return f"{number(value, digits)} ({bounds(lower, upper, digits)})"


def bounds(lower: float | None, upper: float | None, digits: int = 2) -> str:
    """``0.72 to 0.89``; a dash when there is no interval."""
    if not _finite(lower) and not _finite(upper):
        return DASH
    return f"{number(lower, digits)} to {number(upper, digits)}"


def p_value(p: float | None) -> str:
    """``P < .001``, ``P = .036``, ``P > .999``: three decimals, no leading zero."""
    if p is None or not math.isfinite(p):
        return DASH
    if p < 0.001:
        return "P < .001"
    if p > 0.999:
        return "P > .999"
    return f"P = {p:.3f}".replace("0.", ".", 1)


def percent(part: float, whole: float) -> str:
    """``30%``, below 10 and above 99 ``2.5%``; a dash when there is nothing to take a part of."""
    if not whole:
        return DASH
    value = 100 * part / whole
    return f"{value:.1f}%" if 0 < value < 10 or 99 < value < 100 else f"{value:.0f}%"


def share(part: int, whole: int, what: str) -> str:
    """``12 of 40 images (30%)``."""
    return f"{part} of {whole} {what} ({percent(part, whole)})"


def plural(n: int, one: str, many: str | None = None) -> str:
    """``1 patient``, ``2 patients``."""
    return f"{n} {one if n == 1 else many or one + 's'}"


def duration(seconds: float | None) -> str:
    """``4.2 s``, ``3 min 20 s`` or ``2 h 05 min``."""
    if seconds is None or not math.isfinite(seconds):
        return DASH
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def overlap(
    automatic: Estimate, reader2: Estimate | None, difference: Estimate | None = None, n: int = 0
) -> str:
    """What the mean Dice of the automatic masks means, beside that of a second reader.

    ``difference`` is the automatic masks' Dice minus the second reader's, both against the first,
    over the ``n`` images that have both: those who were read twice can be others than the rest.
    """
    text = f"The automatic masks overlap with the radiologist's with a mean Dice of {automatic}"
    if reader2 is None or not _finite(reader2.value):
        return f"{text}; no second reader drew masks to compare with."
    text += f"; a second reader's masks with {reader2}. "
    if difference is None or not difference.known:
        return f"{text}They are of too few patients to say whether the two differ."
    text += f"On the {plural(n, 'image')} that have both, the difference is {difference}: "
    if difference.upper < 0:
        return f"{text}the automatic masks agree less well than a second reader does."
    if difference.lower > 0:
        return f"{text}the automatic masks agree more closely than a second reader does."
    return f"{text}the interval includes 0, no difference from a second reader is shown."


def readers(dice: Estimate, n: int) -> str:
    """How alike two readers' masks are, where no automatic ones stand beside them."""
    return (
        f"A second reader's masks overlap with the first's with a mean Dice of {dice} on the "
        f"{plural(n, 'image')} that both outlined."
    )


def missed(n_missed: int, n: int) -> str:
    """How many lesions the automatic segmentation did not find at all."""
    if n == 0:
        return "No image was segmented."
    if n_missed == 0:
        return f"Something was outlined automatically in every one of the {plural(n, 'image')}."
    return f"In {share(n_missed, n, 'images')} the automatic segmentation outlined nothing at all."


def boxes(n_boxes: int, n: int) -> str:
    """How many manual masks are boxes, and what is not measured with them; nothing without one."""
    if n_boxes == 0:
        return ""
    return (
        f"In {share(n_boxes, n, 'images')} the manual mask is a box around the lesion, not its "
        "outline. Whether the lesion was found is measured there; overlap, distances, the lesion's "
        "size, calibration and the flag of uncertain masks are not: they would be those of a box."
    )


def beside(n_beside: int, n: int) -> str:
    """How many automatic outlines do not touch the radiologist's mask."""
    if n_beside == 0:
        return "No automatic outline lies wholly beside the radiologist's."
    return f"In {share(n_beside, n, 'images')} it lies wholly beside the radiologist's mask."


def discrimination(auc: Estimate, positive: str, negative: str) -> str:
    """What an AUC says, and whether its interval excludes chance."""
    if not _finite(auc.value):
        return "The AUC could not be computed: both classes must be present."
    if auc.value == auc.lower == auc.upper == 0.5:  # there is no higher risk to go to anybody
        return f"AUC {auc}: every patient has the same risk, which tells nobody from anybody."
    pairs = round(100 * auc.value)
    text = (
        f"AUC {auc}: of 100 pairs of one patient with “{positive}” and one with “{negative}”, "
        f"the higher risk goes to the right one in about {pairs}. "
    )
    if not auc.known:
        return text + "It has no interval: one patient of a class is too few for one."
    if auc.upper < 0.5:
        return text + (
            "The whole interval lies below 0.5, worse than chance: look for exchanged labels "
            "before reading further."
        )
    if auc.lower <= 0.5:
        return text + "The interval includes 0.5: the classifier cannot be told from chance."
    begins = f" (it begins at {auc.lower:.4f})" if round(auc.lower, 2) == 0.5 else ""
    return text + f"The interval excludes 0.5{begins}: better than chance."


def few(n: int, n_positive: int, positive: str, negative: str) -> str:
    """A warning when a set has fewer than 100 patients in a class (Collins 2016); else empty."""
    parts = [
        f"{k} with “{name}”"
        for k, name in ((n_positive, positive), (n - n_positive, negative))
        if k < FEW_PATIENTS
    ]
    if not parts:
        return ""
    return (
        f"Small numbers: only {' and '.join(parts)}, where {FEW_PATIENTS} in each class are "
        "usually asked for; another sample could give rather different figures."
    )


def _contradicted(delta: Estimate, resampled: Estimate | None) -> bool:
    """Whether one interval excludes 0 and that of resampled patients does not.

    With few patients DeLong's can be too narrow.
    """
    if resampled is None or not (delta.known and resampled.known):
        return False
    return not delta.lower <= 0 <= delta.upper and resampled.lower <= 0 <= resampled.upper


def difference(delta: Estimate, resampled: Estimate | None = None) -> str:
    """Automatic minus manual AUC, in words, whichever way it points.

    ``resampled`` has the interval of resampled patients: a difference is shown where both
    intervals show it.
    """
    if not _finite(delta.value):
        return "The two could not be compared."
    text = (
        f"The AUC with automatic masks minus that with manual masks is "
        f"{interval(delta.value, delta.lower, delta.upper, 3)}. "
    )
    if not delta.known:
        return text + (
            "It has no interval, as where an AUC is 0 or 1 or a class has one patient: nothing is "
            "shown."
        )
    if delta.lower == delta.upper:
        return text + (
            "The interval has no width, as where every patient has the same risk or both rank the "
            "patients in the same order: nothing is shown."
        )
    if resampled is not None and _contradicted(delta, resampled):
        ends = f"{number(resampled.lower, 3)} to {number(resampled.upper, 3)}"
        return text + (
            f"This interval excludes 0, that of resampled patients ({ends}) does not: no "
            "difference is shown."
        )
    if delta.upper < 0:
        return text + "The automatic masks do worse: the whole interval lies below 0."
    if delta.lower > 0:
        return text + "The automatic masks do better: the whole interval lies above 0."
    text += "No difference is shown: the interval includes 0"
    if max(-delta.lower, delta.upper) > RELEVANT_DIFFERENCE:
        return text + (
            f", but also differences of more than {RELEVANT_DIFFERENCE:g}, so the study is too "
            "small to call the two equal."
        )
    return text + f", and a difference of more than {RELEVANT_DIFFERENCE:g} is unlikely."


NOT_ESTIMATED = "cannot be estimated"
WHY_NOT_ESTIMATED = (
    "few patients, a class that is absent, or risks that separate the classes or are all alike"
)


def estimated(value: float | None, lower: float | None, upper: float | None) -> str:
    """An interval, or that there is no estimate where the number or one of its ends is missing."""
    if not all(map(_finite, (value, lower, upper))):
        return NOT_ESTIMATED
    return interval(value, lower, upper)


def calibration(slope: Estimate, intercept: Estimate) -> str:
    """Whether predicted risks are too extreme, too timid, too high or too low, by the intervals.

    What could not be estimated, or has no interval, is said to be so.
    """
    parts = []
    if slope.known:
        spread = (
            "the risks are too extreme (high ones too high, low ones too low)"
            if slope.upper < 1
            else "the risks are too timid (too close to the average)"
            if slope.lower > 1
            else "the interval includes 1, so no wrong spread of the risks is shown"
        )
        parts.append(f"slope {slope}: {spread}")
    if intercept.known:
        level = (
            "on the whole they are too low"
            if intercept.lower > 0
            else "on the whole they are too high"
            if intercept.upper < 0
            else "the interval includes 0, so no wrong level is shown"
        )
        parts.append(f"intercept {intercept}: {level}")
    if not parts:
        return f"Slope and intercept of calibration {NOT_ESTIMATED}: {WHY_NOT_ESTIMATED}."
    told = "; ".join(parts)
    if len(parts) == 1:
        lost = "slope" if told.startswith("intercept") else "intercept"
        told += f"; the {lost} {NOT_ESTIMATED} ({WHY_NOT_ESTIMATED})"
    return f"{told[0].upper()}{told[1:]}."


def flat_risks(risks: Sequence[float]) -> str:
    """That risks are nearly the same for everybody; empty where they are not."""
    here = [risk for risk in risks if _finite(risk)]
    if len(here) < 2 or max(here) - min(here) >= FLAT:
        return ""
    low, high = (number(end) for end in (min(here), max(here)))
    if max(here) == min(here):
        return f"Every test patient has the same risk ({low})."
    ends = f"all {low}" if low == high else f"{low} to {high}"
    return (
        f"The risks hardly differ between the test patients ({ends}): they may rank the patients, "
        "but do not tell how likely it is."
    )


def usefulness(ranges: list[tuple[float, float]]) -> str:
    """Where a decision curve lies above both simple rules; runs under 5 points are scatter."""
    if not ranges:
        return "at no threshold above both simple rules"
    long = [(low, high) for low, high in ranges if high - low >= SCATTER]
    if not long:
        return "above both simple rules at scattered thresholds only"
    parts = [f"from {low:.0%} to {high:.0%}" for low, high in long]
    return f"above both simple rules at thresholds {' and '.join(parts)}"


def stability(median: float, n_stable: int, n: int, threshold: float) -> str:
    """How far a feature keeps its value when the mask comes from elsewhere."""
    stable = share(n_stable, n, "features")
    return f"median ICC {number(median)}, above {threshold:g} for {stable}"


def verdict(
    aucs: Mapping[str, Estimate | None],
    delta: Estimate | None,
    resampled: Estimate | None = None,
) -> str:
    """One line on a target: chance or better by source of masks, and which masks do better."""
    parts = []
    for name, auc in aucs.items():
        if auc is None or not auc.known:
            parts.append(f"{name}: not known")
        elif auc.upper < 0.5:
            parts.append(f"{name}: worse than chance")
        elif auc.lower <= 0.5:
            parts.append(f"{name}: not told from chance")
        else:
            parts.append(f"{name}: better than chance")
    if delta is not None and delta.known:
        if _contradicted(delta, resampled):
            parts.append("no difference shown")
        elif delta.upper < 0:
            parts.append("automatic worse than manual")
        elif delta.lower > 0:
            parts.append("automatic better than manual")
        else:
            parts.append("no difference shown")
    return "; ".join(parts)

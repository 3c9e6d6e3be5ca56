"""What the page says of a patient's results, in plain words; nothing here knows a file.

A missing number is said to be missing; it never becomes 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..reporting.wording import number, plural
from .hanging import SIDES
from .tested import auc_words, doubt

if TYPE_CHECKING:
    from .contour import Region
    from .page_images import Turned
    from .results import ClassRisks, Discrimination, ImageResult, PatientResult, Risk

RESEARCH_ONLY = "Research only: not a medical device, not for decisions about patients."
NOT_MEANT = (
    "A risk speaks of a group of patients like those whom the model was trained on, not of this "
    "one patient: it neither shows nor excludes anything, and it replaces no biopsy, no imaging "
    "and no pathology. It presupposes that a tumour is there and was outlined correctly."
)
UNVERIFIED = "Made by a computer and verified by nobody."
READING = (
    "The outline is the exact border of the mask, pixel by pixel, on the mammogram's own grid. "
    "Size, area and features were measured in the mammogram itself, not in the picture shown here."
)


def cautions(count: int) -> str:
    """``1 caution``, ``2 cautions``."""
    return plural(count, "caution")


def short_name(image: ImageResult) -> str:
    """``R CC``, as it stands on a mammogram; a question mark for what the file does not state."""
    return f"{image.laterality or '?'} {image.view or '?'}"


def long_name(image: ImageResult) -> str:
    """``Right breast, CC view``."""
    side = SIDES.get(image.laterality or "")
    breast = f"{side.capitalize()} breast" if side else "Side not stated"
    return f"{breast}, {f'{image.view} view' if image.view else 'view not stated'}"


def size(region: Region, unit: str) -> str:
    """``23 × 18 mm``; below 10 mm with a decimal."""
    digits = 0 if min(region.longest, region.across) >= 10 or unit != "mm" else 1
    return f"{number(region.longest, digits)} × {number(region.across, digits)} {unit}"


def found_words(region: Region | None, unit: str) -> str:
    """What was found in one mammogram, in a few words."""
    if region is None:
        return "No lesion found"
    more = "" if region.count == 1 else f", largest of {region.count} regions"
    return f"Lesion {size(region, unit)}{more}"


def measurements(image: ImageResult, region: Region | None, unit: str) -> list[tuple[str, str]]:
    """What was measured in one mammogram, as pairs of a term and its value."""
    if region is None:
        return [
            (
                "Finding",
                "No lesion was found. That does not mean that there is none: "
                "the networks overlook some.",
            )
        ]
    parts = "one region" if region.count == 1 else f"{region.count} separate regions"
    rows = [
        ("Size", f"{size(region, unit)} (longest diameter × width across it)"),
        ("Area", f"{_area(image, unit)}, {parts}"),
    ]
    if region.count > 1:
        rows[0] = ("Size of the largest region", rows[0][1])
    probability, dice = image.mean_probability, image.expected_dice
    if probability is None:
        rows.append(("Mean probability inside", "not known"))
    else:
        rows.append(("Mean probability inside", f"{number(probability)} (1 is certain)"))
    if dice is None:
        rows.append(("Expected overlap", "not known"))
    else:
        text = f"Dice {number(dice)} with a radiologist's outline, as the networks expect it"
        rows.append(("Expected overlap", text))
    return rows


def _area(image: ImageResult, unit: str) -> str:
    if unit != "mm":
        return plural(int(image.mask.sum()), "pixel")
    digits = 0 if image.area_mm2 >= 100 else 1
    return f"{number(image.area_mm2, digits)} mm²"


def remarks(image: ImageResult, spacing_known: bool, turn: Turned) -> list[str]:
    """How a mammogram came to be measured and shown as it is."""
    said = []
    if spacing_known:
        row, column = (f"{value:.4g}" for value in image.spacing_mm)
        pixel = row if row == column else f"{row} × {column}"
        said.append(f"One pixel is {pixel} mm, by {image.spacing_source}.")
    else:
        said.append("The size of a pixel is not known: there is no scale, and sizes are in pixels.")
    ways = [way for way, yes in (("sideways", turn.across), ("upside down", turn.down)) if yes]
    if ways:
        said.append(
            f"Mirrored {' and '.join(ways)} for hanging, as its Patient Orientation asks; letters "
            "within the picture are mirrored, too."
        )
    return said


def overview(patient: PatientResult) -> str:
    """How many mammograms there are, and in how many of them a lesion was found."""
    n = len(patient.images)
    if not n:
        return "No mammogram could be processed."
    sides = {image.laterality for image in patient.images}
    only = f", all of the {SIDES[str(min(sides, key=str))]} breast" if _one_side(sides) else ""
    mammograms = plural(n, "mammogram")
    n_found = sum(image.found for image in patient.images)
    if n == 1:
        found = "a lesion was outlined in it" if n_found else "no lesion was found in it"
        return f"One mammogram{only.replace(', all of', ', of')}: {found}."
    if not n_found:
        return f"{mammograms}{only}: no lesion was found in any of them."
    every = "each of them" if n_found == n else f"{n_found} of them"
    return f"{mammograms}{only}: a lesion was outlined in {every}."


def _one_side(sides: set[str | None]) -> bool:
    return len(sides) == 1 and sides <= set(SIDES)


def of_100(probability: float, digits: int = 0) -> str:
    """``34``; never 0 and never 100 of 100 patients."""
    text = f"{100 * probability:.{digits}f}"
    if float(text) == 0:
        return f"fewer than {0.1 if digits else 1}"
    if float(text) == 100:
        return f"more than {99.9 if digits else 99}"
    return text


@dataclass(frozen=True)
class Answer:
    """One classifier's answer as the page shows it.

    Attributes
    ----------
    head : str
        ``34 of 100``, ``No answer``, or why the number is not worth showing.
    sentences : tuple of str
        What it means.
    record : str
        How well the classifier did on test patients, and on how many it was trained.
    doubtful : bool
        Whether it was not told from chance, or never tested: then the number leads nothing.
    verdict : str
        Above or below the threshold; empty without an answer.
    value, lower, upper : float or None
        In percent, for the drawing.
    threshold : float
        In percent.
    """

    head: str
    sentences: tuple[str, ...]
    record: str
    doubtful: bool
    verdict: str
    value: float | None
    lower: float | None
    upper: float | None
    threshold: float


def answer(risk: Risk) -> Answer:
    """Say one risk in words."""
    threshold = 100 * risk.threshold
    if not _known(risk.risk):
        rests = "" if risk.flags else " The reason was not recorded."
        sentence = f"There is no honest answer for this patient. It is not a low risk.{rests}"
        return Answer(
            "No answer", (sentence,), record(risk), False, "", None, None, None, threshold
        )
    value = float(risk.risk or 0.0)
    # Two different numbers must not look the same.
    digits = int(of_100(value) == of_100(risk.threshold) and value != risk.threshold)
    number_of = of_100(value, digits)
    about = number_of if " " in number_of else f"about {number_of}"
    ends = [float(end or 0.0) for end in (risk.lower, risk.upper) if _known(end)]
    if len(ends) == 2:
        low, high = (of_100(end, digits) for end in ends)
        certain = f"95 % interval: {low} to {high}."
    else:
        certain = "How certain that is, is not known: there is no interval."
    cut = of_100(risk.threshold, digits)
    if doubtful_head(risk.tested):
        number_said = (
            f"The number that it gave all the same: {about} of 100 with “{risk.positive}”. "
            f"{certain} The threshold is {cut} of 100."
        )
        return Answer(
            head=doubtful_head(risk.tested),
            sentences=(number_said,),
            record=record(risk),
            doubtful=True,
            verdict="",
            value=100 * value,
            lower=None,
            upper=None,
            threshold=threshold,
        )
    return Answer(
        head=f"{number_of[0].upper()}{number_of[1:]} of 100",
        sentences=(
            f"Of 100 such patients, {about} would be “{risk.positive}”. {certain}",
            f"The threshold, {cut} of 100, was chosen on training patients. "
            f"The risk rests on {plural(risk.n_images, 'mammogram')} of this patient.",
        ),
        record=record(risk),
        doubtful=False,
        verdict=_verdict(risk),
        value=100 * value,
        lower=100 * ends[0] if len(ends) == 2 else None,
        upper=100 * ends[1] if len(ends) == 2 else None,
        threshold=threshold,
    )


def record(risk: Risk) -> str:
    """Say on how many patients a classifier was trained and how well it did on others."""
    trained = f"Trained on {plural(risk.n_train, 'patient')}" if risk.n_train else "Trained"
    if risk.tested is None:
        return f"{trained}; how well it does on patients kept apart is not known."
    return f"{trained}; on {plural(risk.tested.n, 'patient')} kept apart, {auc_words(risk.tested)}."


def doubtful_head(tested: Discrimination | None) -> str:
    """Head a number that is not worth a look; empty where it is."""
    if doubt(tested) is None:
        return ""
    return "Not told from chance" if tested else "Not known to work"


def record_of_classes(classes: ClassRisks) -> str:
    """Say how the classes' shares come about and how well they do on patients kept apart."""
    made = "Put together from the scores of the single risks; these need not add up to 100"
    if classes.tested is None:
        return f"{made}. How well it does on patients kept apart is not known."
    return (
        f"{made}. On {plural(classes.tested.n, 'patient')} kept apart, mean of each class against "
        f"the rest: {auc_words(classes.tested)}."
    )


def doubts(risks: Sequence[Risk]) -> list[str]:
    """Say first which risks are not worth a look, and why."""
    reasons = {
        "not-told-from-chance": "On the patients kept apart from the training {its} could not be "
        "told from chance.",
        "untested": "How well {its} would do on patients kept apart from the training is not "
        "known.",
    }
    said = []
    given = [risk for risk in risks if _known(risk.risk)]
    for code, reason in reasons.items():
        titles = [
            f"“{risk.title}”"
            for risk in given
            if (found := doubt(risk.tested)) and found.code == code
        ]
        if titles:
            one = len(titles) == 1
            these, its = (
                ("this risk", "its classifier") if one else ("these risks", "their classifiers")
            )
            said.append(f"Do not go by {these}: {', '.join(titles)}. {reason.format(its=its)}")
    return said


def _verdict(risk: Risk) -> str:
    if risk.above_threshold is None:
        return "Not compared with the threshold"
    if risk.above_threshold:
        return f"At or above the threshold: counts as “{risk.positive}”"
    return f"Below the threshold: does not count as “{risk.positive}”"


def _known(value: float | None) -> bool:
    return value is not None and math.isfinite(value)

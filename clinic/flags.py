"""Reasons to doubt a result, each with its numbers; what they mean is said in docs/infer.md.

Of an image: ``no-lesion, uncertain-mask, several-lesions, outside-training-intensity,
outside-training-spacing, outside-training-size, outside-training-lesion-size,
outside-training-view, other-intent, spacing-given, implant, no-features``.
Of a patient: ``no-lesion, one-view, both-breasts, side-unknown, several-studies, images-failed``.
Of a risk: ``not-told-from-chance, untested`` (:mod:`.tested`), ``not-measured, views-missing,
other-intent, unlike-training, outside-training-features, missing-features, prevalence-only``.

The limits are the training images' own (:mod:`.ranges`), with the slack that :data:`.ranges.MARGIN`
and :data:`.ranges.SAME` allow. A quantity that the bundle does not know raises no flag.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ..segmentation.uncertainty import Flag as UncertaintyFlag
from .ranges import UNKNOWN, Ranges
from .results import Flag, ImageResult

UNLIKE = (
    "outside-training-intensity",
    "outside-training-spacing",
    "outside-training-size",
    "outside-training-lesion-size",
    "outside-training-view",
    "other-intent",
)
"""Flags of an image that is unlike the training images: an interval would claim too much."""
_GROUPS = {
    "outside-training-intensity": (
        ("breast_low", "breast_median", "breast_high"),
        "The grey levels of the breast are",
    ),
    "outside-training-spacing": (
        ("spacing_row_mm", "spacing_column_mm"),
        "The pixel spacing (mm) is",
    ),
    "outside-training-size": (("height_mm", "width_mm"), "The size of the image (mm) is"),
    "outside-training-lesion-size": (("lesion_area_mm2",), "The area of the mask (mm²) is"),
}
_NAMES = {
    "breast_low": "1st percentile",
    "breast_median": "median",
    "breast_high": "99.8th percentile",
    "spacing_row_mm": "between rows",
    "spacing_column_mm": "between columns",
    "height_mm": "height",
    "width_mm": "width",
    "lesion_area_mm2": "area",
}
_INTENTS = {"presentation": "For Presentation", "processing": "For Processing"}


@dataclass(frozen=True)
class Seen:
    """What the flags of an image look at.

    Attributes
    ----------
    numbers : Mapping
        As :func:`.ranges.numbers_of` gives them, and ``lesion_area_mm2`` where there is a mask.
    intent, view : str or None
        Of the file.
    found : bool
        Whether a lesion was drawn.
    expected_dice : float
        How sure the networks are of the mask.
    n_regions, n_drawn : int
        Regions that reach the threshold and are large enough, and those of them in the mask.
    spacing_given : bool
        Whether the user said what the file does not.
    implant : bool
        Whether the file says that there is a breast implant.
    """

    numbers: Mapping[str, float]
    intent: str | None
    view: str | None
    found: bool
    expected_dice: float
    n_regions: int
    n_drawn: int
    spacing_given: bool
    implant: bool


def image_flags(seen: Seen, ranges: Ranges, uncertainty: UncertaintyFlag | None) -> list[Flag]:
    """Give the flags of one image."""
    found: list[Flag] = []
    if not seen.found:
        found.append(
            Flag("no-lesion", "No region reached the networks' threshold: no lesion was found.")
        )
    elif uncertainty is not None and uncertainty.uncertain(seen.expected_dice):
        found.append(
            Flag(
                "uncertain-mask",
                f"The networks expect a Dice of {seen.expected_dice:.2f} for this mask; at or "
                f"below {uncertainty.threshold:.2f} the study's masks were often poor.",
            )
        )
    if seen.n_regions > seen.n_drawn > 0:
        found.append(
            Flag(
                "several-lesions",
                f"{seen.n_regions} regions reach the threshold; the mask holds the "
                f"{seen.n_drawn} with the largest sum of probabilities.",
            )
        )
    found += _outside(seen.numbers, ranges)
    found += _other_kind(seen, ranges)
    if seen.spacing_given:
        found.append(
            Flag(
                "spacing-given",
                f"The file states no pixel spacing; {seen.numbers['spacing_row_mm']:g} mm was "
                "given by the user, and every size rests on it.",
            )
        )
    if seen.implant:
        found.append(
            Flag(
                "implant",
                "The file says that there is a breast implant: the mask may outline it, and it "
                "changes the grey levels around it.",
            )
        )
    return found


def _outside(numbers: Mapping[str, float], ranges: Ranges) -> Iterator[Flag]:
    for code, (names, what) in _GROUPS.items():
        beyond = [
            f"{_NAMES[name]} {numbers[name]:.5g}, in training {known.minimum:.5g} to "
            f"{known.maximum:.5g}"
            for name in names
            if name in numbers and (known := ranges.numbers.get(name)) is not None
            if known.outside(numbers[name], ranges.scale(name))
        ]
        if beyond:
            yield Flag(code, f"{what} outside the training images' range: {'; '.join(beyond)}.")


def _other_kind(seen: Seen, ranges: Ranges) -> Iterator[Flag]:
    intents = {name for name, n in ranges.kinds.get("intent", {}).items() if n} - {UNKNOWN}
    if seen.intent and intents and seen.intent not in intents:
        trained = " and ".join(_INTENTS.get(name, name) for name in sorted(intents))
        yield Flag(
            "other-intent",
            f"The image is {_INTENTS.get(seen.intent, seen.intent)}, and the training images were "
            f"{trained}: grey levels mean something else.",
        )
    views = {name for name, n in ranges.kinds.get("view", {}).items() if n} - {UNKNOWN}
    if seen.view and views and seen.view not in views:
        yield Flag(
            "outside-training-view",
            f"The view is {seen.view}, and the training images were {', '.join(sorted(views))}.",
        )


def patient_flags(
    images: Sequence[ImageResult], used: Sequence[ImageResult], n_failed: int, n_studies: int
) -> list[Flag]:
    """Give the flags of a patient as a whole.

    Parameters
    ----------
    images : sequence of ImageResult
        Those that could be processed.
    used : sequence of ImageResult
        Those on which the risks rest; none where there are none.
    n_failed : int
        Images that could not be processed.
    n_studies : int
        Examinations from which the images are.
    """
    found: list[Flag] = []
    sides = {image.laterality for image in images if image.found and image.laterality}
    if not any(image.found for image in images):
        found.append(
            Flag(
                "no-lesion",
                f"No lesion was found in any of {len(images)} images: no risk is given.",
            )
        )
    elif len({image.view for image in used}) == 1:
        view = used[0].view or "not known"
        found.append(
            Flag("one-view", f"The risks rest on one view only ({view}), {len(used)} image(s).")
        )
    if used and len(sides) > 1:
        side = {"L": "left", "R": "right"}.get(str(used[0].laterality), "not known")
        found.append(
            Flag(
                "both-breasts",
                f"Lesions were drawn in both breasts; the risks rest on the {side} one, which has "
                "the larger sum of expected Dice over its measured views.",
            )
        )
    n_found = sum(image.found for image in images)
    n_unknown = sum(image.found and not image.laterality for image in images)
    if used and n_unknown and n_found > 1:
        found.append(
            Flag(
                "side-unknown",
                f"Of {n_unknown} of {n_found} images with a lesion the file does not say which "
                "breast it is: risks may rest on both, or leave out a part of one.",
            )
        )
    if n_studies > 1:
        found.append(Flag("several-studies", f"The images are from {n_studies} examinations."))
    if n_failed:
        found.append(
            Flag(
                "images-failed",
                f"{n_failed} of {n_failed + len(images)} images could not be processed.",
            )
        )
    return found

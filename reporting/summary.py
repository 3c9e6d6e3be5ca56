"""The summary, the limits and the methods in words, chosen by rules from the numbers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from . import wording
from .facts_data import unanswered
from .facts_detection import lesion_detection
from .figures_classifiers import metric
from .figures_masks import (
    beside_reader2,
    boxes,
    lesions_beside,
    lesions_missed,
    mean_dice,
    mean_of,
    summary,
)
from .figures_noninferiority import noninferiority_of
from .record import SOURCES, Record
from .results import Results, Target, everyone
from .style import NAME
from .wording import Estimate

ONLY_LESIONS = (
    "Only lesions that a reader outlined count as true, and every mammogram holds one: the figures "
    "do not say how often the networks would outline something where nothing is."
)
OVERLAP_ONLY = (
    "An overlap says how alike two masks are, not whether anything that is decided or measured "
    "with them stays the same."
)


@dataclass(frozen=True)
class Glance:
    """One target at a glance, on the test patients, as text."""

    target: str
    manual: str
    automatic: str
    difference: str
    verdict: str


def difference_of(results: Results, target: Target, interval: str = "") -> Estimate | None:
    """Automatic minus manual test AUC, everyone counted, or ``None`` if they were not compared.

    The interval is DeLong's; with ``interval="bootstrap_"`` that of resampled patients.
    """
    rows = everyone(results.auc)
    rows = rows[(rows["target"] == target.name) & (rows["set"] == "test")]
    if rows.empty:
        return None
    row = rows.iloc[0]
    ends = (float(row[f"{interval}{end}"]) for end in ("lower", "upper"))
    return Estimate(float(row["difference"]), *ends)


def glances(results: Results) -> list[Glance]:
    """All targets at a glance."""
    found = []
    for target in results.targets:
        auc = {
            roi: metric(target, roi, "test", "auc") if roi in target.results else None
            for roi in (SOURCES if results.automatic else SOURCES[:1])
        }
        delta = difference_of(results, target)
        resampled = difference_of(results, target, interval="bootstrap_")
        found.append(
            Glance(
                target.heading,
                str(auc.get("manual") or wording.DASH),
                str(auc.get("automatic") or wording.DASH),
                wording.DASH
                if delta is None
                else wording.interval(delta.value, delta.lower, delta.upper, 3),
                wording.verdict(auc, delta, resampled),
            )
        )
    return found


def target_glance(target: Target) -> str:
    """The test AUC of each source of masks on one line."""
    told = [f"{NAME[roi]} {metric(target, roi, 'test', 'auc')}" for roi in target.results]
    return f"AUC on the test patients: {', '.join(told)}"


def mask_sentences(results: Results) -> list[str]:
    """What the comparison of the masks came to; without a Dice, how many lesions were found."""
    if not results.automatic:
        readers = summary(results, "reader2-manual")
        return [] if readers is None else [wording.readers(mean_of(readers), int(readers["n"]))]
    automatic = mean_dice(results, "automatic-manual")
    sentences = []
    if automatic is not None:
        reader2 = mean_dice(results, "reader2-manual")
        sentences.append(wording.overlap(automatic, reader2, *beside_reader2(results)))
    elif (found := lesion_detection(Record(results.folder))) is not None:
        sentences.append(found.text)
    if boxed := wording.boxes(*boxes(results)):
        sentences.append(boxed)
    missed, n = lesions_missed(results)
    drawn = wording.beside(*lesions_beside(results)) if missed < n else ""
    sentences.append(f"{wording.missed(missed, n)} {drawn}".rstrip())
    return sentences


def target_sentences(results: Results, target: Target) -> list[str]:
    """What a classifier came to: each source of masks, their difference, small numbers."""
    sentences = []
    for roi in target.results:
        auc = metric(target, roi, "test", "auc")
        words = wording.discrimination(auc, target.positive, target.negative)
        table = target.results[roi].predictions
        risks = table.loc[table["set"] == "test", "risk"]
        if len(risks) > 1 and risks.nunique() == 1:  # there is no higher risk to go to anybody
            words = "It tells nobody from anybody."
        flat = wording.flat_risks(risks.tolist())
        sentences.append(f"With {NAME[roi]}: {words} {flat}".rstrip())
    delta = difference_of(results, target)
    if delta is not None:
        resampled = difference_of(results, target, interval="bootstrap_")
        sentences.append(wording.difference(delta, resampled))
    sentences += noninferiority_of(results, target)
    sentences.append(small_numbers(target))
    return [sentence for sentence in sentences if sentence]


def small_numbers(target: Target) -> str:
    """The warning about few test patients, or nothing."""
    if not target.results:
        return ""
    test = next(iter(target.results.values())).metrics["test"]
    return wording.few(int(test["n"]), int(test["n_positive"]), target.positive, target.negative)


def estimated_spacings(results: Results) -> int:
    """Images whose pixel spacing is an estimate."""
    if "spacing_source" not in results.images:
        return 0
    return int((results.images["spacing_source"] == "estimated").sum())


def limits(results: Results) -> list[str]:
    """What the figures do not allow to be said."""
    record, found = Record(results.folder), []
    if results.synthetic:
        found.append(
            "The mammograms are phantoms and the patients are invented. The figures show that the "
            "software works and how large an effect it can find; they say nothing about women."
        )
    found.append(
        "Training and test patients come from the same cohort. How the models do elsewhere, with "
        "other mammography systems and other patients, is not known until it is tried there."
        if results.splits["test"]
        else "All patients come from the same cohort. How the networks do elsewhere, with other "
        "mammography systems and other patients, is not known until it is tried there."
    )
    if not results.classifiers:
        # Of mammograms without a lesion it was measured.
        found += [] if record.has("normals.csv") else [ONLY_LESIONS]
        found.append(OVERLAP_ONLY)
    n_estimated = estimated_spacings(results)
    if n_estimated:
        found.append(
            f"The pixel spacing of {wording.share(n_estimated, len(results.images), 'images')} is "
            "estimated, not measured: areas, distances in mm and size features of these images "
            "are estimates as well."
        )
    if boxed := wording.boxes(*boxes(results)):
        found.append(boxed)
    n_missed, n_masks = lesions_missed(results)
    if n_missed:
        found.append(
            f"In {wording.share(n_missed, n_masks, 'images')} no lesion was found automatically. "
            + (
                "Their Dice is 0 and counts in every mean; distances do not exist for them."
                if results.agreement["dice"].notna().any()
                else "They count as missed."  # no manual mask is an outline
            )
            + (
                " A patient of whom a classifier has no features gets the average risk: she "
                "counts in every figure but those of lesions always found."
                if results.classifiers
                else ""
            )
        )
    for target in results.targets:
        if small_numbers(target):
            found.append(f"{target.heading}. {small_numbers(target)}")
    failed = {
        case for stage, of in results.failures.items() if stage != "models" for case in of["case"]
    }
    if failed:
        n = len(failed)
        found.append(
            f"{wording.plural(n, 'case')} failed; if they are special in some way, so are the rest."
        )
    if lost := unanswered(record):
        found.append(f"{lost}.")
    if results.classifiers:
        found.append(
            "Risks are calibrated to the share of positive patients in this cohort; where that "
            "share differs, the risks must be calibrated anew."
        )
    return found


def flatten(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Nested settings as pairs of a dotted name and a text, in their order."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from flatten(item, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list) and any(isinstance(item, (dict, list)) for item in value):
        for at, item in enumerate(value):
            yield from flatten(item, f"{name}[{at}]")
    elif isinstance(value, list):
        yield name, ", ".join(map(str, value)) or "none"
    else:
        yield name, "not set" if value is None else str(value)

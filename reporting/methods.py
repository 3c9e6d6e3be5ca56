"""The methods section of a paper about a run, written by the run: ``methods.md``.

Every sentence is a fact read from the run's files (:mod:`.facts`) and is left out where its file or
key is missing, so that nothing is claimed that was not done. Figures of single models are given
as ranges: they belong into the tables of results. What only people know is listed at the end for
them to add.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ..errors import MammoroiError
from ..files import read_csv, write_text
from .facts import FACTS
from .facts_features import plain
from .record import Record
from .references import cite
from .standards import FOLDER, TITLES

SECTIONS: dict[str, tuple[str, ...]] = {
    "Patients": (
        "cohort", "source", "exclusions", "centres", "outcomes", "questions", "missing_method",
        "split",
    ),
    "Images and manual masks": ("imaging", "masks"),
    "Automatic segmentation": ("network", "postprocessing", "cross_fitted"),
    "Radiomic features": (
        "extraction", "feature_kinds", "ibsi_method", "views",
    ),
    "Selection of features": (
        "harmonisation", "stability_filter", "incomplete_features", "scaling", "t_test", "tuning",
    ),
    "Classifiers": (
        "classifier", "imbalance", "risk_calibration", "threshold", "class_method", "comparators",
        "clinical_method", "imputation",
    ),
    "Validation": ("inside_folds", "final_model", "centre_method"),
    "Statistical analysis": (
        "baseline", "regressions", "measures", "class_measures", "uncertainty",
        "paired_comparison", "noninferiority", "agreement_measures", "detection_method",
        "icc_method", "stability_measure", "subgroup_methods", "multiplicity", "size_method",
        "leakage_method",
    ),
    "Software": ("software",),
}  # fmt: skip
TABLE_OF = "Radiomic features"
BY_PEOPLE = ("8", "10", "11", "14", "16", "18", "19", "20")
"""Items of CLEAR that a methods section needs and no file holds."""
BY_PEOPLE_OF_MASKS = ("5", "8", "10", "11", "13", "14", "15", "16")
"""The same of CLAIM, for a study of the masks alone."""


@dataclass(frozen=True)
class Section:
    """A part of the methods section.

    Attributes
    ----------
    heading : str
        Its title.
    text : str
        The sentences for which there is evidence.
    rows : list of tuple
        A table of names and values; mostly empty.
    works : list of str
        Of the references alone: the works, the first one is cited as ``[1]``.
    """

    heading: str
    text: str
    rows: list[tuple[str, str]] = field(default_factory=list)
    works: list[str] = field(default_factory=list)


def sections(study: Path) -> list[Section]:
    """The parts for which a study holds evidence, and the references that they cite.

    Raises
    ------
    MammoroiError
        When there is no such folder, or a file in it cannot be read.
    """
    study = Path(study)
    if not study.is_dir():
        raise MammoroiError(f"there is no folder {study}", "give the folder of a study")
    record = Record(study)
    texts = {
        heading: " ".join(fact.text for name in names if (fact := FACTS[name](record)) is not None)
        for heading, names in SECTIONS.items()
    }
    headings = [heading for heading, text in texts.items() if text]
    marked, works = cite([texts[heading] for heading in headings])
    found = [
        Section(heading, text, image_processing(record) if heading == TABLE_OF else [])
        for heading, text in zip(headings, marked, strict=True)
    ]
    return [*found, Section("References", "", works=works)] if works else found


def image_processing(record: Record) -> list[tuple[str, str]]:
    """The table of image processing that IBSI asks for: name and value of each known parameter."""
    about, _ = record.features()
    rows = []
    for name, key in (
        ("Resampling", "resampling"),
        ("Grey levels", "preprocessing"),
        ("Discretisation", "discretisation"),
    ):
        found = FACTS[key](record)
        if found:
            rows.append((name, found.text.removesuffix(".")))
    bins, pixels = about.get("bins", {}).get("original"), about.get("roi_pixels")
    rows += [
        (name, f"{of['least']} to {of['greatest']} (median {of['median']:g})")
        for name, of in (("Grey levels per lesion", bins), ("Pixels per lesion", pixels))
        if of
    ]
    settings = about.get("settings", {})
    if "distances" in settings:
        rows.append(("Distances of texture matrices", f"{plain(settings['distances'])} pixel"))
    types = FACTS["image_types"](record)
    if types:
        rows.append(("Images", types.text.removeprefix("Image types: ").removesuffix(".")))
    return rows


def to_add(study: Path) -> str:
    """What a person has to add; the checklist CLEAR, or CLAIM, holds advice on each."""
    name, numbers = "clear", BY_PEOPLE
    if not Record(Path(study)).classifiers:
        name, numbers = "claim", BY_PEOPLE_OF_MASKS
    items = read_csv(FOLDER / f"{name}.csv", dtype=str).set_index("item")
    topics = [items["topic"][item] for item in numbers]
    shown = "; ".join(topic[0].lower() + topic[1:] for topic in topics)
    return f"To be added by the authors (advice is in the checklist {TITLES[name]}): {shown}."


def methods(study: Path) -> str:
    """The methods section as Markdown."""
    parts = ["# Methods", ""]
    for section in sections(study):
        parts += [f"## {section.heading}", ""]
        if section.text:
            parts += [section.text, ""]
        if section.works:
            parts += [*(f"{at}. {work}." for at, work in enumerate(section.works, 1)), ""]
        if section.rows:
            parts += ["| Image processing | Value |", "|---|---|"]
            parts += [f"| {name} | {value.replace('|', '/')} |" for name, value in section.rows]
            parts.append("")
    return "\n".join([*parts, to_add(study), ""])


def write_methods(study: Path) -> Path:
    """Write ``methods.md`` into the study folder."""
    return write_text(Path(study) / "methods.md", methods(study))

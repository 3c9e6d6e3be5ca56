"""What the files say about patients, mammograms and their division."""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from . import wording
from .record import Fact, Record, coded, heading, listed, span

if TYPE_CHECKING:
    import pandas as pd

MODEL_FAILURES = "models/failures.csv"
FEW = 4
"""As many centres, devices or variables are named; more are counted."""


def cohort(record: Record) -> Fact | None:
    """How many patients and mammograms there are, and whether they are real."""
    images, about = record.table("cohort.csv"), record.json("cohort.json") or {}
    if images is None:
        return None
    views = dict(images["view"].value_counts().sort_index()) if "view" in images else {}
    text = (
        f"The study used {wording.plural(len(images), 'mammogram')} of "
        f"{wording.plural(images['patient_id'].nunique(), 'patient')}"
    )
    if len(views):
        text += f" ({', '.join(f'{count} {view}' for view, count in views.items())})"
    if about.get("synthetic"):
        text += ", computed phantoms that show no patients"
    return Fact(f"{text}.", ("cohort.csv", *(("cohort.json",) if about else ())))


def source(record: Record) -> Fact | None:
    """Where the data come from, in the words of whoever made the cohort."""
    given = source_name((record.json("cohort.json") or {}).get("source"))
    return Fact(f"Declared source: {given}.", ("cohort.json",)) if given else None


def source_name(given: object) -> str:
    """The declared source; of a path on some machine the file's name only."""
    text = str(given or "")
    return PurePath(text).name if PurePath(text).is_absolute() else text


def exclusions(record: Record) -> Fact | None:
    """How many of those who came in were used."""
    about = record.json("cohort.json") or {}
    names = [f"n_{what}_{end}" for what in ("images", "patients") for end in ("in", "used")]
    if any(name not in about for name in names):
        return None
    images_in, images, patients_in, patients = (about[name] for name in names)
    files: tuple[str, ...] = ("cohort.json",)
    if images_in == images and patients_in == patients:
        text = "All that were offered could be used."
    else:
        text = (
            f"Of {images_in} mammograms of {patients_in} patients that were offered, {images} of "
            f"{patients} could be used"
        )
        if record.has("excluded.csv"):
            files += ("excluded.csv",)
            text += "; the others and the reasons are listed in excluded.csv"
        text += "."
    return Fact(text, files)


def flow(record: Record) -> Fact | None:
    """Whether there is a flow chart."""
    return _drawn(record, "figures/flow_of_cases", "A flow chart of the cases was drawn.")


def _drawn(record: Record, name: str, text: str) -> Fact | None:
    files = tuple(f"{name}.{kind}" for kind in ("csv", "svg"))
    return Fact(text, files) if all(map(record.has, files)) else None


def baseline(record: Record) -> Fact | None:
    """Whether characteristics are tabulated by set."""
    for name in ("tables/table1_baseline.csv", "tables/baseline.csv"):
        table = record.table(name)
        if table is not None and len(table):
            splits = record.json("splits.json")
            n = table["variable"].nunique()
            if splits and not splits["test"]:
                given = wording.plural(n, "characteristic")
                return Fact(f"The patients were described by {given}.", (name,))
            tests = sorted(table["method"].dropna().unique()) if "method" in table else []
            how = f" ({listed(tests)} tests)" if tests else ""
            return Fact(
                f"{wording.plural(n, 'characteristic')} of training and test patients "
                f"{'was' if n == 1 else 'were'} compared{how}.",
                (name,),
            )
    return None


def clinical_variables(record: Record) -> Fact | None:
    """Which variables the patients' table holds beside the outcomes."""
    from ..cohort.schema import PATIENT_COLUMNS

    patients = record.table("patients.csv")
    if patients is None:
        return None
    known = {column.name: column for column in PATIENT_COLUMNS}
    shown = []
    for name in _variables(record, patients):
        unit = f", {known[name].unit}" if name in known and known[name].unit else ""
        meaning = f" ({known[name].meaning}{unit})" if name in known else ""
        shown.append(f"{name}{meaning}")
    if not shown:
        return None
    return Fact(f"The patients' table holds {listed(shown)}.", ("patients.csv",))


def _variables(record: Record, patients: pd.DataFrame) -> list[str]:
    outcomes = {entry.get("label") for entry in record.json("models/targets.json") or []}
    left_out = {"patient_id", "split", "her2_ihc", "her2_fish", *outcomes}
    names = [str(name) for name in patients]
    return [name for name in names if name not in left_out and patients[name].notna().any()]


def outcomes(record: Record) -> Fact | None:
    """How often each outcome occurs."""
    patients, entries = record.table("patients.csv"), record.json("models/targets.json")
    if patients is None or not entries:
        return None
    titles: dict[str, str] = {}
    for entry in entries:
        suffix = f": {entry['positive']} against the rest"
        titles.setdefault(entry["label"], str(entry["title"]).removesuffix(suffix))
    sentences = []
    for label, title in titles.items():
        if label not in patients:
            continue
        counts = patients[label].value_counts().sort_index()
        n = int(counts.sum())
        parts = [f"{coded(name)} in {k} ({wording.percent(k, n)})" for name, k in counts.items()]
        sentences.append(f"{title} was {listed(parts)} of {wording.plural(n, 'patient')}.")
    files = ("patients.csv", "models/targets.json")
    return Fact(" ".join(sentences), files) if sentences else None


def questions(record: Record) -> Fact | None:
    """Which questions the models answer, by the short names that the other sentences use."""
    entries = record.json("models/targets.json")
    if not entries:
        return None
    tasks: dict[str, list[dict[str, Any]]] = {}
    for entry in entries:
        tasks.setdefault(str(entry.get("label", entry["target"])), []).append(entry)
    parts = []
    for of_task in tasks.values():
        names = listed([str(entry["target"]) for entry in of_task])
        one = of_task[0]
        if len(of_task) > 1:
            parts.append(f"{names} (each class against the others)")
        elif {"positive", "negative"} <= set(one):
            parts.append(f"{names} ({one['positive']} against {one['negative']})")
        else:
            parts.append(f"{names} ({heading(one)})")
    text, files = f"The questions were {'; '.join(parts)}.", ["models/targets.json"]
    if lost := unanswered(record):
        text += f" {lost}."
        files.append(MODEL_FAILURES)
    return Fact(text, tuple(files))


def unanswered(record: Record) -> str:
    """Which questions were asked and have no classifier; empty where all have theirs."""
    table, entries = record.table(MODEL_FAILURES), record.json("models/targets.json") or []
    if table is None or table.empty:
        return ""
    targets = {entry["target"] for entry in entries}
    # Where a class has none there is no model of all classes together: that is not said again.
    tasks = {entry.get("task") for entry in entries} - targets
    lost: dict[str, list[str]] = {}
    for case, stage in zip(table["case"], table["stage"], strict=True):
        if case not in tasks:
            lost.setdefault(case, []).append(str(stage).removeprefix("model/"))
    names = [
        f"{case} with {listed(rois)} masks" if case in targets else case
        for case, rois in lost.items()
    ]
    return f"No classifier could be fitted for {listed(names)} ({MODEL_FAILURES})" if names else ""


def missing_values(record: Record) -> Fact | None:
    """Which variables have how many missing values; columns that no setting names are none."""
    from ..cohort.schema import PATIENT_COLUMNS

    patients = record.table("patients.csv")
    if patients is None:
        return None
    # HER2 has been derived: what is still empty cannot be told.
    asked = {c.name for c in PATIENT_COLUMNS if c.missing == "not known" or c.name == "her2"}
    for setting, key in (("clinical.variables", "name"), ("modeling.tasks", "label")):
        named = record.setting(setting)[0] or []
        asked |= {one[key] for one in named if isinstance(one, dict)}
    asked &= {*patients} - {"patient_id"}
    if not asked:
        return None
    gaps = [
        f"{name} ({n} of {len(patients)})"
        for name in patients
        if name in asked and (n := int(patients[name].isna().sum()))
    ]
    text = (
        f"Values are missing in the patients' table for {listed(gaps)}."
        if gaps
        else "No value is missing in the patients' table."
    )
    return Fact(text, ("patients.csv",))


def missing_method(record: Record) -> Fact | None:
    """The same in short: many variables are counted, not named."""
    found = missing_values(record)
    if found is None:
        return None
    counts = [int(n) for n in re.findall(r"\((\d+) of \d+\)", found.text)]
    if len(counts) <= FEW:
        return found
    patients = record.table("patients.csv")
    assert patients is not None
    return Fact(
        f"Values are missing for {len(counts)} variables, each in {span(counts)} of "
        f"{len(patients)} patients.",
        found.files,
    )


def centres(record: Record) -> Fact | None:
    """How many patients each centre contributed."""
    patients = record.table("patients.csv")
    if patients is None or "centre" not in patients or patients["centre"].isna().all():
        return None
    counts = patients["centre"].value_counts()
    parts = [f"{name} ({n})" for name, n in counts.items()]
    each = f"{span(counts.tolist())} patients each"
    shown = listed(parts) if len(parts) <= FEW else each
    return Fact(
        f"The patients come from {wording.plural(len(counts), 'centre')}: {shown}.",
        ("patients.csv",),
    )


def split(record: Record) -> Fact | None:
    """How the patients were divided; no evidence of a proper division where sets overlap."""
    splits, patients = record.json("splits.json"), record.table("patients.csv")
    if not splits:
        return None
    train, test = splits["train"], splits["test"]
    whole = len(train) + len(test)
    if set(train) & set(test):
        return Fact("Patients are in both training and test set.", ("splits.json",), shown=False)
    given = patients is not None and "split" in patients
    how = "as their column split says" if given else f"at random (seed {splits['seed']})"
    if not test:
        text = f"All {whole} patients were divided {how} into {len(splits['folds'])} folds"
    else:
        shares = " and ".join(wording.percent(len(part), whole) for part in (train, test))
        text = (
            f"Patients were divided {how} into {len(train)} for training and {len(test)} for "
            f"testing ({shares})"
        )
    by = [name for name in splits["stratify"] if patients is not None and name in patients]
    drawn = f", stratified by {listed(by)}" if by else ""
    folds = f", the training patients into {len(splits['folds'])} folds" if test else ""
    # Whoever wrote the column stratified as they did; only the folds were drawn.
    text += f"{folds}{drawn}" if given else f"{drawn}{folds}"
    if not record.unused:
        text += "; segmentation and classifiers share this division"
    return Fact(f"{text}.", ("splits.json",))


def imaging(record: Record) -> Fact | None:
    """Devices and pixel spacing, as far as the tables tell."""
    images = record.table("cohort.csv")
    if images is None:
        return None
    about, file = record.features()
    text, files = [], ["cohort.csv"]
    if "device" in images and images["device"].notna().any():
        counts = images["device"].value_counts()
        names = [f"{name} ({n} mammograms)" for name, n in counts.items()]
        text.append(
            f"Devices: {listed(names)}."
            if len(names) <= FEW
            else f"{len(names)} kinds of device took {span(counts.tolist())} mammograms each."
        )
    spacing = about.get("spacing_mm")
    if spacing:
        text.append(f"The pixel spacing was {spacing_range(spacing)}.")
        files.append(file)
    elif "spacing_mm" in images and images["spacing_mm"].notna().any():
        text.append(f"The pixel spacing was {span(images['spacing_mm'].dropna().tolist(), 3)} mm.")
    if "spacing_source" in images:
        n = int((images["spacing_source"] == "estimated").sum())
        if n:
            share = wording.share(n, len(images), "mammograms")
            text.append(f"It is estimated, not measured, for {share}.")
    return Fact(" ".join(text), tuple(files)) if text else None


def spacing_range(spacing: dict[str, float]) -> str:
    """``0.070 to 0.094 mm (median 0.085 mm)`` of the entry ``spacing_mm`` of a features file."""
    ends = span([spacing["least"], spacing["greatest"]], 3)
    return f"{ends} mm" if "to" not in ends else f"{ends} mm (median {spacing['median']:.3f} mm)"


def readers(record: Record) -> Fact | None:
    """That a radiologist's mask exists for each mammogram."""
    images = record.table("cohort.csv")
    if images is None or "mask" not in images or images["mask"].isna().all():
        return None
    n, boxes = int(images["mask"].notna().sum()), boxed(images)
    text = f"A manual mask of the lesion exists for {n} mammograms."
    if boxes:
        text += f" It is a box around the lesion, not its outline, in {boxes} of them."
    return Fact(text, ("cohort.csv",))


def boxed(images: pd.DataFrame) -> int:
    """Of how many mammograms the manual mask is a box."""
    return int((images["mask_kind"] == "box").sum()) if "mask_kind" in images else 0


def masks(record: Record) -> Fact | None:
    """Both readers in one sentence."""
    first, second = readers(record), second_reader(record)
    if first is None or second is None:
        return first
    images = record.table("cohort.csv")
    assert images is not None
    if boxed(images):
        return Fact(f"{first.text} {second.text}", first.files)
    n, both = (int(images[name].notna().sum()) for name in ("mask", "mask_reader2"))
    return Fact(
        f"A reader outlined the lesion in {n} mammograms, a second reader in {both} "
        f"({wording.percent(both, len(images))}).",
        ("cohort.csv",),
    )


def second_reader(record: Record) -> Fact | None:
    """How much a second reader outlined; None where nobody did."""
    images = record.table("cohort.csv")
    if images is None or "mask_reader2" not in images or images["mask_reader2"].isna().all():
        return None
    n = int(images["mask_reader2"].notna().sum())
    share = wording.share(n, len(images), "mammograms")
    return Fact(f"A second reader outlined the lesion in {share}.", ("cohort.csv",))


FACTS = (
    cohort, source, exclusions, flow, baseline, clinical_variables, outcomes, questions,
    missing_values, missing_method, centres, split, imaging, readers, second_reader, masks,
)  # fmt: skip

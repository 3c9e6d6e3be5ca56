"""What came of an inference, as lines for the terminal: one for each image and each patient."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..files import read_csv, read_json
from ..reporting.wording import interval, plural
from .page_words import of_100

MOST_IMAGES = 40
_DOUBTS = {"not-told-from-chance": "not told from chance", "untested": "not known to work"}


def closing_lines(out: Path) -> list[str]:
    """Say what was found, and where the pages are.

    Parameters
    ----------
    out : Path
        The folder of the results, with ``results.json``.

    Returns
    -------
    list of str
        After 40 images it says how many more there are.

    Raises
    ------
    MammoroiError
        When ``results.json`` cannot be read.
    """
    patients = read_json(out / "results.json")["patients"]
    lines = [line for patient in _first(patients) for line in _patient_lines(patient)]
    n_images = sum(len(patient["images"]) for patient in patients)
    n_shown = sum(len(patient["images"]) for patient in _first(patients))
    if n_shown < n_images:
        lines.append(
            f"... and {plural(n_images - n_shown, 'more image', 'more images')}: see "
            f"{out / 'predictions.csv'} and {out / 'risks.csv'}"
        )
    pages = sorted((out / "pages").glob("*.html"))
    if len(pages) == 1:
        lines.append(f"Page: {pages[0]}")
    elif pages:
        lines.append(f"Pages: {out / 'pages'}, {len(pages)} files")
    return lines


def validation_lines(out: Path) -> list[str]:
    """Say how a validation went: the Dice, and of each question AUC and patients.

    Parameters
    ----------
    out : Path
        The folder of the results of :func:`.validate.validate`.
    """
    lines = []
    if (out / "agreement_summary.csv").exists():
        rows = read_csv(out / "agreement_summary.csv").to_dict("records")
        (dice,) = (row for row in rows if row["metric"] == "dice")
        lines.append(f"masks: mean Dice {_interval(dice, 'mean')} of {dice['n']:.0f} images")
    if (out / "performance.csv").exists():
        for row in read_csv(out / "performance.csv").to_dict("records"):
            here, study = (_interval(row, name) for name in ("auc", "study_auc"))
            lines.append(
                f"{row['target']}: AUC {here} of {row['n']} patients, {row['n_positive']} of them "
                f"positive ({row['patients']}); in the study {study}"
            )
    if (out / "classes_performance.csv").exists():
        for row in read_csv(out / "classes_performance.csv").to_dict("records"):
            here, study = (_interval(row, name) for name in ("macro_auc", "study_macro_auc"))
            lines.append(
                f"{row['task']}, all classes: macro AUC {here} of {row['n']} patients "
                f"({row['patients']}); in the study {study}"
            )
    return lines


def _interval(row: Mapping[Any, Any], name: str) -> str:
    return interval(row[name], row[f"{name}_lower"], row[f"{name}_upper"])


def _first(patients: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The first patients, together with not much more than 40 images."""
    shown: list[Mapping[str, Any]] = []
    n = 0
    for patient in patients:
        if n >= MOST_IMAGES:
            break
        shown.append(patient)
        n += len(patient["images"])
    return shown


def _patient_lines(patient: Mapping[str, Any]) -> Iterator[str]:
    name = patient["patient_id"]
    for image in patient["images"]:
        found = (
            f"lesion found, {image['area_mm2']:.0f} mm²" if image["found"] else "no lesion found"
        )
        yield f"{name}  {image['image_id']}: {found}{_flags(image['flags'])}"
    risks = "; ".join(map(_risk_words, patient["risks"])) or "none, the model has no classifiers"
    yield f"{name}  risks: {risks}{_flags(patient['flags'])}"
    for one in patient.get("classes", []):
        yield f"{name}  {one['task']}, all classes: {_class_words(one)}"


def _risk_words(risk: Mapping[str, Any]) -> str:
    said = "no answer"
    if risk["risk"] is not None:
        said = f"{of_100(risk['risk'])} of 100 with “{risk['positive']}”"
        said = _doubt(risk["flags"]) or said
    return f"{risk['target']} {said}{_flags(risk['flags'], leave_out=tuple(_DOUBTS))}"


def _class_words(classes: Mapping[str, Any]) -> str:
    said = "no answer"
    if classes["risks"] is not None:
        shares = zip(classes["classes"], map(of_100, classes["risks"]), strict=True)
        said = ", ".join(f"{name} {share}" for name, share in shares) + " of 100"
        said = _doubt(classes["flags"]) or said
    return said + _flags(classes["flags"], leave_out=tuple(_DOUBTS))


def _doubt(flags: Sequence[Mapping[str, str]]) -> str:
    """What stands in place of a number that is not worth a look; empty where it is."""
    codes = [flag["code"] for flag in flags]
    return next((words for code, words in _DOUBTS.items() if code in codes), "")


def _flags(flags: Sequence[Mapping[str, str]], leave_out: tuple[str, ...] = ()) -> str:
    codes = [flag["code"] for flag in flags if flag["code"] not in leave_out]
    return f" ({', '.join(codes)})" if codes else ""

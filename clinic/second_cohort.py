"""A cohort on which a frozen model is to be tried: its images, masks and outcomes, as they are.

Nothing is opened here. A line of ``cohort.csv`` without a name, an image or a patient of
``patients.csv``, with a name that another line has, with a number that cannot be meant, or whose
patient has several lines in ``patients.csv``, is excluded; a file that cannot be read fails later,
and is counted there. Masks and outcomes are not needed: what can be said without them is said.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..cohort.cohort import load_about, read_cells, records
from ..cohort.labels import derive_her2
from ..cohort.schema import IMAGE_COLUMNS, PATIENT_COLUMNS, check_spacing
from ..errors import Failure, MammoroiError
from .patients import NewImage, NewPatient

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Reference:
    """The manual mask of an image.

    Attributes
    ----------
    mask : Path
        Its file.
    label : int or None
        The value that is the lesion.
    """

    mask: Path
    label: int | None


@dataclass(frozen=True)
class SecondCohort:
    """What can be tried.

    Attributes
    ----------
    name : str
        The cohort's name.
    synthetic : bool
        Whether its images were made by a program.
    patients : list of NewPatient
        Named as in the tables.
    outcomes : DataFrame
        ``patients.csv`` as text, HER2 derived where IHC and FISH determine it.
    references : dict of str to Reference
        Manual masks by image; rectangles do not count.
    excluded : list of Failure
        Lines of ``cohort.csv`` that cannot be used.
    n_images, n_patients : int
        Lines of both tables.
    """

    name: str
    synthetic: bool
    patients: list[NewPatient]
    outcomes: pd.DataFrame
    references: dict[str, Reference]
    excluded: list[Failure]
    n_images: int
    n_patients: int


def read_cohort(folder: Path) -> SecondCohort:
    """Read both tables of a cohort.

    Raises
    ------
    MammoroiError
        When a table or a column that cannot be done without is missing, or nothing is left.
    """
    if not folder.is_dir():
        raise MammoroiError(f"{folder} is no folder", "give a folder with cohort.csv")
    images = read_cells(folder / "cohort.csv", IMAGE_COLUMNS)
    patients = read_cells(folder / "patients.csv", PATIENT_COLUMNS)
    for table, name, needed in (
        (images, "cohort.csv", ("image_id", "patient_id", "image")),
        (patients, "patients.csv", ("patient_id",)),
    ):
        for column in needed:
            if column not in table:
                raise MammoroiError(f"{folder / name} has no column '{column}'", "add it")
    lines = patients["patient_id"].dropna().value_counts()
    names = images["image_id"]
    repeated = set(names[names.duplicated(keep=False)].dropna())
    found: dict[str, list[NewImage]] = {}
    references: dict[str, Reference] = {}
    excluded: list[Failure] = []
    for line, row in zip(images.index + 2, records(images), strict=True):
        reason = _unusable(row, lines, repeated)
        if reason is not None:
            case = row["image_id"] or f"line {line}"
            excluded.append(Failure(case, "validate/cohort", *reason))
            continue
        image = NewImage(
            image_id=row["image_id"],
            file=folder / row["image"],
            spacing_mm=float(row["spacing_mm"]) if row.get("spacing_mm") else None,
            spacing_source=row.get("spacing_source") or "measured",
            view=row.get("view"),
            laterality=row.get("laterality"),
        )
        found.setdefault(row["patient_id"], []).append(image)
        if row.get("mask") and row.get("mask_kind") != "box":
            label = int(float(row["mask_label"])) if row.get("mask_label") else None
            references[image.image_id] = Reference(folder / row["mask"], label)
    if not found:
        raise MammoroiError(
            f"no line of {folder / 'cohort.csv'} can be used; first: {excluded[0].error}",
            excluded[0].action,
        )
    about = load_about(folder)
    return SecondCohort(
        name=str(about["name"]),
        synthetic=bool(about["synthetic"]),
        patients=[NewPatient(tuple(group), name) for name, group in found.items()],
        outcomes=derive_her2(patients.drop_duplicates("patient_id", keep=False)),
        references=references,
        excluded=excluded,
        n_images=len(images),
        n_patients=len(lines),
    )


def _unusable(row: dict[str, Any], lines: pd.Series, repeated: set[str]) -> tuple[str, str] | None:
    """Why a line cannot be used, and what to do; ``lines`` counts those of each patient."""
    for column in ("image_id", "patient_id", "image"):
        if not row[column]:
            return f"{column} is empty", "fill it"
    if row["image_id"] in repeated:
        return "another line has the same image_id", "keep one, or rename it"
    if row["patient_id"] not in lines:
        return "its patient is not in patients.csv", "add the patient, or correct patient_id"
    if lines[row["patient_id"]] > 1:
        return "its patient has several lines in patients.csv", "keep one of them"
    for column in ("spacing_mm", "mask_label"):
        try:
            number = float(row.get(column) or 1)
            if column == "spacing_mm":
                check_spacing(number)
            elif not number.is_integer():
                return f"{column} is '{row[column]}', which is no whole number", "correct it"
        except ValueError:
            return f"{column} is '{row[column]}', which is no number", "correct or empty it"
        except MammoroiError as error:
            return error.found, error.action
    return None

"""What the importers of published data sets share: how a release is described.

A module of a data set says which images its release has, whose they are and how their findings are
outlined (:class:`Release`); :mod:`.import_write` makes a cohort folder of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import Failure

IMAGE = "import/image"
"""Stage of an image that is left out, in ``excluded.csv``."""
PATIENT = "import/patient"
"""Stage of something about a patient that is left empty or missing, in ``excluded.csv``."""

Mask = NDArray[np.bool_]
Several = Literal["unite", "largest", "exclude"]
WithoutMask = Literal["exclude", "keep", "normal"]

DENSITIES = {"1": "a", "2": "b", "3": "c", "4": "d"}
"""Density as BI-RADS numbered it until its fourth edition, to the letters of the fifth."""

SIDES = {"LEFT": "L", "RIGHT": "R", "L": "L", "R": "R"}


@dataclass(frozen=True)
class Wanted:
    """What the user wants of a release; see :func:`mammoroi.cohort.importers.import_dataset`."""

    folder: Path
    findings: tuple[str, ...]
    several: Several
    images_without_mask: WithoutMask
    spacing_mm: float | None
    gather: bool = False
    subtracted: bool = False


@dataclass(frozen=True)
class Case:
    """One image of a release.

    Attributes
    ----------
    image_id, patient_id : str
        As they will stand in ``cohort.csv``.
    image : Path
        The file: DICOM, or a picture.
    view, laterality : str or None
        What table or file name say; None: only the DICOM header does.
    outlines : callable or None
        From (rows, columns) of the image to a mask for each finding that is wanted; an empty list,
        or None: the release outlines none here. Raises :class:`MammoroiError` for a fault.
    columns : dict
        Further cells of ``cohort.csv``.
    spacing_holds : bool
        Whether the spacing that the user gives is that of this image's detector.
    normal : bool
        Whether the release says that nothing is to be seen in it.
    """

    image_id: str
    patient_id: str
    image: Path
    view: str | None = None
    laterality: str | None = None
    outlines: Callable[[tuple[int, int]], list[Mask]] | None = None
    columns: dict[str, str | None] = field(default_factory=dict)
    spacing_holds: bool = True
    normal: bool = False


@dataclass(frozen=True)
class Release:
    """A published data set as it lies on the disk.

    Attributes
    ----------
    name, doi, licence : str
        For ``cohort.json``.
    mask_kind : str
        ``outline`` or ``box``.
    tables : tuple of Path
        The tables that were read.
    cases : list of Case
        The images that have a file.
    patients : list of dict
        Cells of ``patients.csv``, with ``patient_id``; rows of a patient must agree on them.
    excluded : list of Failure
        Images that are left out already, ``import/image``.
    notes : list of Failure
        What is left empty or missing of patients already, ``import/patient``.
    expected : dict
        (patient, side) that the tables describe, where images are not listed one by one, to the
        least number of its images.
    """

    name: str
    doi: str
    licence: str
    mask_kind: Literal["outline", "box"]
    tables: tuple[Path, ...]
    cases: list[Case]
    patients: list[dict[str, str | None]]
    excluded: list[Failure] = field(default_factory=list)
    notes: list[Failure] = field(default_factory=list)
    expected: dict[tuple[str, str], int] = field(default_factory=dict)


def left_out(case: str, found: str, action: str) -> Failure:
    """Describe an image that is not imported."""
    return Failure(case, IMAGE, found, action)


def side_of(text: str | None) -> str | None:
    """Read a side, ``L`` or ``R``, in whichever way it is written; None: it is none."""
    return SIDES.get((text or "").strip().upper())


def cell(value: Any) -> str | None:
    """Turn a cell of a table into text without blanks around it, or None."""
    return str(value).strip() or None if isinstance(value, str) else None


def joined(values: Sequence[str | None]) -> str | None:
    """Join the different values of an image's findings, in their order."""
    return "; ".join(dict.fromkeys(value for value in values if value)) or None


def malignant(values: list[str | None]) -> str | None:
    """Label a patient by the classes of her findings.

    ``yes``: one is malignant; ``no``: all are known and none is; None: otherwise.
    """
    if any((value or "").casefold() == "malignant" for value in values):
        return "yes"
    return None if None in values else "no"

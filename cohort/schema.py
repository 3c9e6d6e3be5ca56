"""The columns of ``cohort.csv`` and ``patients.csv``: meaning, unit, allowed values, missing rule.

The two tables :data:`IMAGE_COLUMNS` and :data:`PATIENT_COLUMNS` are the only place where this is
written down: reading, checking and importing follow them. An empty cell is a missing value, no
other text is. Columns that are not listed are allowed, kept and not checked.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Literal

from ..errors import MammoroiError
from ..imaging.view import VIEWS as DICOM_VIEWS

SAFE_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
"""What an ``image_id`` may look like: it becomes part of file names on every system."""

_MOST_SHOWN = 30
_ALIKE = 0.6
"""So much alike (ratio of difflib) are a misspelt value and the one that is meant."""

VIEWS = tuple(view for view in DICOM_VIEWS.values() if view != "SPECIMEN")
"""Views of the breast in DICOM context group 4014, by their abbreviations."""


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes
    ----------
    name : str
        The heading in the CSV file.
    kind : {"id", "text", "path", "choice", "number", "integer"}
        How a cell is read: numbers and integers as float64 (so that they can be missing),
        everything else as text.
    meaning : str
        What it says.
    unit : str
        Unit of a number.
    values : tuple of str
        Allowed values of a choice, in their natural order.
    minimum, maximum : float
        Range of a number, both ends allowed.
    required : bool
        Whether the column must exist and every cell be filled.
    missing : str
        What an empty cell means.
    """

    name: str
    kind: Literal["id", "text", "path", "choice", "number", "integer"]
    meaning: str
    unit: str = ""
    values: tuple[str, ...] = ()
    minimum: float = -math.inf
    maximum: float = math.inf
    required: bool = False
    missing: str = "not known"

    @property
    def numeric(self) -> bool:
        """Whether the cells are numbers."""
        return self.kind in ("number", "integer")

    def fault(self, cell: str) -> tuple[str, str] | None:
        """Say what is wrong with a filled cell, and what to do; None when nothing is."""
        if self.kind == "choice" and cell not in self.values:
            return f"{self.name} is '{cell}'", nearest_word(cell, self.values)
        if self.numeric:
            try:
                # Python's own numbers, such as 5_0 and those in other scripts, are no table's.
                number = float(cell if cell.isascii() and "_" not in cell else "")
            except ValueError:
                return (
                    f"{self.name} is '{cell}', no number",
                    "write a number with a point, or nothing",
                )
            if self.kind == "integer" and number % 1:
                return f"{self.name} is {cell}, no whole number", "write a whole number, or nothing"
            if not self.minimum <= number <= self.maximum:
                unit = f" {self.unit}" if self.unit else ""
                return (
                    f"{self.name} is {cell}",
                    f"write a value from {self.minimum:g} to {self.maximum:g}{unit}, or nothing",
                )
        return None


def nearest(found: str, valid: tuple[str, ...] | list[str], label: str = "allowed") -> str:
    """Advise on a value that is not among the valid ones, naming the nearest and the first few."""
    folded = {value.casefold(): value for value in valid}
    close = get_close_matches(found.casefold(), folded, n=1, cutoff=0.4)
    return _advice(folded[close[0]] if close else None, valid, label)


def _advice(word: str | None, valid: tuple[str, ...] | list[str], label: str) -> str:
    """Name the value that may be meant, if there is one, and the first few valid ones."""
    more = ", ..." if len(valid) > _MOST_SHOWN else ""
    choices = f"{label}: {', '.join(valid[:_MOST_SHOWN])}{more}"
    return f"did you mean '{word}'? ({choices})" if word else choices


def meant(cell: str, allowed: tuple[str, ...] | list[str]) -> str | None:
    """The allowed value that a cell abbreviates or misspells, if there is one.

    It is a stricter likeness than that of :func:`nearest`: a value is a finding, and 'unknown' is
    neither 'no' nor 'negative', of which it has half the letters.
    """
    folded = {value.casefold(): value for value in allowed}
    word = cell.strip().casefold()
    begun = [value for value in folded if word and value.startswith(word)]
    if word in folded or len(begun) == 1:
        return folded[word if word in folded else begun[0]]
    close = get_close_matches(word, folded, n=1, cutoff=_ALIKE)
    return folded[close[0]] if close else None


def nearest_word(cell: str, allowed: tuple[str, ...] | list[str]) -> str:
    """Advise on a cell that is none of the allowed values, naming the one that may be meant."""
    return _advice(meant(cell, allowed), allowed, "allowed")


def label_cell(row: Mapping[str, Any], column: str) -> Any:
    """The cell of a row of ``cohort.csv`` that names the lesion's value in a mask; None is all.

    Parameters
    ----------
    row : mapping
        Cells by column; empty ones are None.
    column : {"mask", "mask_reader2"}
        Whose mask.
    """
    own = row.get("mask_label_reader2") if column == "mask_reader2" else None
    return own or row.get("mask_label")


def _no_yes(name: str, meaning: str) -> Column:
    return Column(name, "choice", meaning, values=("no", "yes"))


def _percent(name: str, meaning: str) -> Column:
    return Column(name, "number", meaning, unit="%", minimum=0, maximum=100)


_NEGATIVE_POSITIVE = ("negative", "positive")

IMAGE_COLUMNS = (
    Column("image_id", "id", "unique name of the image, safe as a file name", required=True),
    Column("patient_id", "id", "the patient, as in patients.csv", required=True),
    Column("view", "choice", "mammographic view", values=VIEWS, required=True),
    Column("laterality", "choice", "side of the breast", values=("L", "R"), required=True),
    Column("image", "path", "the mammogram, relative to this table or absolute", required=True),
    Column("mask", "path", "the radiologist's mask of the lesion", required=True),
    Column("mask_reader2", "path", "a second reader's mask", missing="not read twice"),
    Column(
        "mask_label",
        "integer",
        "the value that marks the lesion in the mask files",
        minimum=1,
        maximum=65535,
        missing="every non-zero pixel is lesion",
    ),
    Column(
        "mask_label_reader2",
        "integer",
        "the same in the second reader's files",
        minimum=1,
        maximum=65535,
        missing="as mask_label",
    ),
    Column(
        "mask_kind",
        "choice",
        "what the masks are: drawn along the lesion, or rectangles around it",
        values=("outline", "box"),
        missing="outline",
    ),
    Column(
        "spacing_mm",
        "number",
        "distance of neighbouring pixels, the same along rows and columns",
        unit="mm",
        minimum=0.01,
        maximum=2.0,
        missing="taken from the image file; features in mm are refused where that has none",
    ),
    Column(
        "spacing_source",
        "choice",
        "where spacing_mm comes from",
        values=("measured", "estimated"),
        missing="measured",
    ),
    Column("device", "text", "the mammography system"),
)

PATIENT_COLUMNS = (
    Column("patient_id", "id", "unique name of the patient", required=True),
    Column("centre", "text", "the hospital or practice where the mammogram was taken"),
    Column("age", "number", "age at the mammogram", unit="years", minimum=15, maximum=110),
    Column("ethnicity", "choice", "ethnic group", values=("han", "minority")),
    Column(
        "size_cm", "number", "largest diameter of the lesion", unit="cm", minimum=0.1, maximum=25
    ),
    _no_yes("lymphovascular_invasion", "tumour cells in lymph or blood vessels"),
    _percent("er_percent", "cells that stain for the oestrogen receptor"),
    _percent("pr_percent", "cells that stain for the progesterone receptor"),
    _percent("ki67_percent", "cells that stain for Ki-67"),
    _no_yes("nerve_invasion", "perineural invasion"),
    _no_yes("menopause", "after the menopause"),
    Column("ck5_6", "choice", "cytokeratin 5/6", values=_NEGATIVE_POSITIVE),
    Column("lesion_shape", "choice", "shape of the mass", values=("round", "irregular")),
    Column("lesion_margin", "choice", "margin of the mass", values=("smooth", "spiculated")),
    Column("mass_density", "choice", "density of the mass", values=("isodense", "high")),
    _no_yes("architectural_distortion", "distortion of the parenchyma"),
    _no_yes("calcification", "calcifications in the lesion"),
    _no_yes("skin_change", "thickened or retracted skin"),
    Column("grade", "choice", "histological grade", values=("I", "II", "III")),
    Column("stage", "choice", "clinical stage", values=("I", "II", "III", "IV")),
    Column(
        "breast_density",
        "choice",
        "density of the breast, in words or by BI-RADS",
        values=("fatty", "scattered", "heterogeneous", "extremely_dense", "a", "b", "c", "d"),
    ),
    Column("sln", "choice", "sentinel lymph node at surgery", values=_NEGATIVE_POSITIVE),
    Column("her2_ihc", "choice", "HER2 immunohistochemistry", values=("0", "1+", "2+", "3+")),
    Column(
        "her2_fish",
        "choice",
        "HER2 amplification by in situ hybridisation",
        values=_NEGATIVE_POSITIVE,
        missing="not done",
    ),
    Column(
        "her2",
        "choice",
        "HER2 expression",
        values=("zero", "low", "positive"),
        missing="derived from her2_ihc and her2_fish",
    ),
    Column(
        "split",
        "choice",
        "a division that is already decided; the column is absent or filled for every patient",
        values=("train", "test"),
        missing="refused when other patients have one",
    ),
)


def required(columns: tuple[Column, ...]) -> list[str]:
    """Name the columns that must exist."""
    return [column.name for column in columns if column.required]


def check_spacing(spacing_mm: float | None) -> None:
    """Refuse a pixel size that cannot be meant, such as one in micrometres; None is not known.

    Raises
    ------
    MammoroiError
        When it is outside the range of the column ``spacing_mm``.
    """
    column = next(one for one in IMAGE_COLUMNS if one.name == "spacing_mm")
    if spacing_mm is not None and not column.minimum <= spacing_mm <= column.maximum:
        raise MammoroiError(
            f"spacing_mm is {spacing_mm:g}",
            f"give millimetres per pixel, {column.minimum:g} to {column.maximum:g}",
        )

"""The mammogram that a result belongs to: its header, with what result objects need put in order.

Patient and study are kept as they are. Attributes of type 2 that the file lacks are added empty,
which the standard allows; values that are none of their kind (a date that is text, a sex other
than F, M or O, several names in place of one) become empty; a frame of reference, which a
projection does not have, is left out. What cannot be done without is asked for by name.
"""

from __future__ import annotations

import datetime as dt
import re
from typing import TYPE_CHECKING

from ..errors import MammoroiError
from ..imaging.dicom import open_dicom

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from .results import ImageResult

UNDATED = "19000101"
"""Stands for a content date where the mammogram has no date at all."""

_REQUIRED = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
_EMPTY_ALLOWED = (
    "PatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
    "AccessionNumber",
    "StudyID",
    "StudyDate",
    "StudyTime",
    "ReferringPhysicianName",
)
_DATED = ("Content", "Acquisition", "Series", "Study")
_UID = re.compile(r"(0|[1-9]\d*)(\.(0|[1-9]\d*))+")
_DIRECTIONS = re.compile(r"[AFHLPR]{1,3}")
_TIME = re.compile(r"([01]\d|2[0-3])([0-5]\d(([0-5]\d|60)(\.\d{1,6})?)?)?")


def read_source(image: ImageResult) -> Dataset:
    """Read the header of a result's mammogram, without pixels.

    Raises
    ------
    MammoroiError
        When the file is damaged, or lacks a UID without which a result cannot name its source.
    """
    source = open_dicom(image.file)
    for tag in [tag for tag in source.keys() if tag.group >= 0x5000]:  # noqa: SIM118
        del source[tag]
    missing = [_named(keyword) for keyword in _REQUIRED if not _is_uid(source.get(keyword))]
    if missing:
        raise MammoroiError(
            f"the mammogram of image {image.image_id} has no valid {', '.join(missing)}",
            "results cannot be filed beside it: send it from the archive again, or do without "
            "standard objects",
        )
    for keyword in _EMPTY_ALLOWED:
        if source.get(keyword) is None:
            setattr(source, keyword, "")
    for keyword in ("PatientBirthDate", "StudyDate"):
        if not _is_date(source.get(keyword)):
            setattr(source, keyword, "")
    if not _is_time(source.get("StudyTime")):
        source.StudyTime = ""
    if source.PatientSex not in ("", "F", "M", "O"):
        source.PatientSex = ""
    for keyword in ("PatientName", "ReferringPhysicianName"):
        if source[keyword].VM > 1:
            setattr(source, keyword, "")
    for keyword in ("FrameOfReferenceUID", "PositionReferenceIndicator"):
        if keyword in source:
            del source[keyword]
    source.Rows, source.Columns = image.mask.shape
    source.PatientOrientation = orientation_of(source)
    return source


def orientation_of(source: Dataset) -> list[str]:
    """Directions along a row and down a column, such as ``["A", "FR"]``; empty when not stated.

    Digitised film often holds the view there (``CC``), which is no direction.
    """
    value = source.get("PatientOrientation")
    stated = [value] if isinstance(value, str) else [str(part) for part in value or ()]
    well = len(stated) == 2 and all(_DIRECTIONS.fullmatch(part) for part in stated)
    return stated if well else []


def moment_of(source: Dataset) -> tuple[str, str]:
    """Date (YYYYMMDD) and time (HHMMSS) of the mammogram, or :data:`UNDATED`, which are a result's.

    A result is a function of the image and the model, and says the same whenever it is made.
    """
    for kind in _DATED:
        date, time = source.get(f"{kind}Date"), source.get(f"{kind}Time")
        if date and _is_date(date):
            return str(date), str(time) if time and _is_time(time) else "000000"
    return UNDATED, "000000"


def character_set_of(source: Dataset) -> list[str] | None:
    """The mammogram's Specific Character Set; UTF-8 for one that is none; None without."""
    from pydicom.charset import python_encoding

    value = source.get("SpecificCharacterSet")
    if not value:
        return None
    stated = [value] if isinstance(value, str) else [str(part or "") for part in value]
    return stated if all(part in python_encoding for part in stated) else ["ISO_IR 192"]


def _named(keyword: str) -> str:
    from pydicom.datadict import dictionary_description, tag_for_keyword

    tag = tag_for_keyword(keyword) or 0
    return f"{dictionary_description(tag)} ({tag >> 16:04X},{tag & 0xFFFF:04X})"


def _is_uid(value: object) -> bool:
    text = str(value or "")
    return len(text) <= 64 and _UID.fullmatch(text) is not None


def _is_date(value: object) -> bool:
    text = str(value or "")
    if not text:
        return True
    try:
        dt.datetime.strptime(text, "%Y%m%d").replace(tzinfo=dt.UTC)
    except ValueError:
        return False
    return len(text) == 8


def _is_time(value: object) -> bool:
    return not value or _TIME.fullmatch(str(value)) is not None

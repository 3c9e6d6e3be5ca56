"""What all result objects share: who made them, that they are research, and when."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .. import __version__
from .codes import ascii_text
from .object_source import character_set_of, moment_of

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from .results import PatientResult

RESEARCH = "Research, not verified"
MAKER = "mammoroi"
_SERIES_NUMBER = {"seg": 9001, "sr": 9002, "sc": 9003}
_LO = 64


def algorithm_version(patient: PatientResult) -> str:
    """Software and model, in at most 64 characters."""
    name = ascii_text(patient.model_name, 32)
    return ascii_text(f"{__version__}, {name} {patient.model_sha256[:12]}", _LO)


def series(kind: str, series_uid: str, what: str) -> dict[str, Any]:
    """Arguments that name a result's own series."""
    return {
        "series_instance_uid": series_uid,
        "series_number": _SERIES_NUMBER[kind],
        "instance_number": 1,
        "manufacturer": MAKER,
        "series_description": ascii_text(f"{what} ({RESEARCH.lower()})", _LO),
        "content_qualification": "RESEARCH",
        # highdicom knows fewer character sets than pydicom: finish() sets it.
        "specific_character_set": None,
    }


def equipment(patient: PatientResult) -> dict[str, Any]:
    """Arguments that name software and model as the equipment."""
    return {
        "manufacturer_model_name": ascii_text(f"{MAKER} {patient.model_name}", _LO),
        "software_versions": __version__,
        "device_serial_number": patient.model_sha256,
    }


def side_and_view(laterality: str | None, view: str | None) -> str:
    """``L CC``, as far as it is known."""
    return " ".join(part for part in (laterality, view) if part)


def finish(result: Dataset, source: Dataset) -> None:
    """Give a result the mammogram's character set, and its date and time for those of the making.

    highdicom also writes when it was called, which nobody could repeat: that is left out.
    """
    character_set = character_set_of(source)
    if character_set is not None:
        result.SpecificCharacterSet = character_set
    result.ContentDate, result.ContentTime = moment_of(source)
    for keyword in ("InstanceCreationDate", "InstanceCreationTime"):
        if keyword in result:
            delattr(result, keyword)
    for item in result.get("ContributingEquipmentSequence", ()):
        if "ContributionDateTime" in item:
            del item.ContributionDateTime

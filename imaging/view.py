"""Side and view of a mammogram, from the standard's coded attributes.

The view is the abbreviation of its code (DICOM PS3.16, CID 4014); modifiers (CID 4015) follow,
each after a plus sign and in alphabetical order: ``"CC"``, ``"MLO+ID"`` (implant displaced),
``"CC+M+S"`` (magnified spot compression).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

VIEWS: dict[str, str] = {
    "CranioCaudal": "CC",
    "MedioLateralObliqueProjection": "MLO",
    "MedioLateralProjection": "ML",
    "LateroMedial": "LM",
    "LateroMedialOblique": "LMO",
    "CaudoCranial": "FB",
    "SuperolateralToInferomedialOblique": "SIO",
    "InferomedialToSuperolateralOblique": "ISO",
    "CranioCaudalExaggeratedLaterally": "XCCL",
    "CranioCaudalExaggeratedMedially": "XCCM",
    "TissueSpecimenFromBreast": "SPECIMEN",
}
"""Keyword of CID 4014 in pydicom's code dictionary to abbreviation."""

MODIFIERS: dict[str, str] = {
    "AnteriorCompression": "AC",
    "AxillaryTail": "AT",
    "AxillaryTissue": "AX",
    "Cleavage": "CV",
    "ImplantDisplaced": "ID",
    "InfraMammaryFold": "IMF",
    "Magnification": "M",
    "NippleInProfile": "NP",
    "RolledInferior": "RI",
    "RolledLateral": "RL",
    "RolledMedial": "RM",
    "RolledSuperior": "RS",
    "SpotCompression": "S",
    "Tangential": "TAN",
}
"""Keyword of CID 4015 in pydicom's code dictionary to abbreviation."""

_OLD_SNOMED = {"SNM3", "99SDM"}


def _abbreviation(item: Dataset, group: str, names: dict[str, str]) -> str | None:
    """The abbreviation of a coded concept of one context group; SNOMED-RT counts as SNOMED CT."""
    from pydicom.sr.codedict import codes
    from pydicom.sr.coding import Code

    scheme = str(item.get("CodingSchemeDesignator") or "").strip()
    scheme = "SRT" if scheme in _OLD_SNOMED else scheme
    code = Code(str(item.get("CodeValue") or "").strip(), scheme, "")
    concepts = getattr(codes, group)
    return next((short for key, short in names.items() if code == getattr(concepts, key)), None)


def laterality_of(dataset: Dataset) -> str | None:
    """``"L"`` or ``"R"``: Image Laterality (0020,0062), else Laterality (0020,0060)."""
    for keyword in ("ImageLaterality", "Laterality"):
        value = str(dataset.get(keyword) or "").strip().upper()
        if value in ("L", "R"):
            return value
    return None


def view_of(dataset: Dataset) -> str | None:
    """The view: View Code Sequence (0054,0220), else View Position (0018,5101).

    Digitised film often carries the view in Patient Orientation (0020,0020), where the standard
    wants directions; a view is told from those and is taken last. ``None`` when none holds one.
    """
    for item in dataset.get("ViewCodeSequence") or ():
        view = _abbreviation(item, "CID4014", VIEWS)
        if view is not None:
            modifiers = {
                _abbreviation(modifier, "CID4015", MODIFIERS) or "OTHER"
                for modifier in item.get("ViewModifierCodeSequence") or ()
            }
            return "+".join([view, *sorted(modifiers)])
    for keyword in ("ViewPosition", "PatientOrientation"):
        position = str(dataset.get(keyword) or "").strip().upper()
        if position in VIEWS.values():
            return position
    return None

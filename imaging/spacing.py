"""Pixel spacing in the breast, and where it came from.

A projection image is magnified: the detector's pitch (Imager Pixel Spacing) is coarser than the
spacing in the breast. The order of trust is that of DICOM PS3.3, 10.7.1.3:

1. Pixel Spacing, when it was calibrated, stands alone, or differs from Imager Pixel Spacing;
2. Imager Pixel Spacing / Estimated Radiographic Magnification Factor;
3. Imager Pixel Spacing / (Distance Source to Detector / Distance Source to Patient);
4. Imager Pixel Spacing as it is (in the plane of the detector);
5. of a digitised film, Nominal Scanned Pixel Spacing, with the magnification of 2 or 3 or as it is;
6. what the manifest states, or the user for all files at once; 7. nothing.

What cannot be true counts as absent: a spacing outside 0.01 to 2 mm (a header in micrometres or
metres), an uncalibrated Pixel Spacing of exactly 1 x 1 mm (a converter's that knew nothing), a
magnification below 1 or above 5.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import MammoroiError
from .mammogram import Spacing

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

TOLERANCE = 0.01
"""A manifest value may differ from the file's by this fraction."""

GIVEN = "given by the user for all files"
"""Source of a spacing for those files that state none: no contradiction of one that does."""

FINEST_MM, COARSEST_MM = 0.01, 2.0
"""Pixel spacings that a mammogram can have."""

_LARGEST_MAGNIFICATION = 5.0
_SAME = 1e-3
"""Relative difference of two attributes of which one is the other, rounded."""
_SOURCES = ("measured", "estimated")


def _number(value: object) -> float | None:
    """A positive, finite number, or ``None``."""
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) and number > 0 else None


def _pair(dataset: Dataset, keyword: str) -> tuple[float, float] | None:
    """(between rows, between columns) in mm, or ``None`` when absent or not :func:`possible`."""
    value = dataset.get(keyword)
    if value is None or isinstance(value, str) or not hasattr(value, "__len__") or len(value) != 2:
        return None
    row, column = _number(value[0]), _number(value[1])
    if row is None or column is None:
        return None
    return (row, column) if possible(row, column) else None


def possible(*spacings_mm: float) -> bool:
    """Whether a mammogram can have these spacings."""
    return all(FINEST_MM <= spacing <= COARSEST_MM for spacing in spacings_mm)


def _magnification(dataset: Dataset) -> tuple[float, str] | None:
    """The factor by which the detector's image is larger than the breast, and its source."""
    factor = _number(dataset.get("EstimatedRadiographicMagnificationFactor"))
    if factor is not None and 1 <= factor <= _LARGEST_MAGNIFICATION:
        return factor, "Estimated Radiographic Magnification Factor (0018,1114)"
    detector = _number(dataset.get("DistanceSourceToDetector"))
    patient = _number(dataset.get("DistanceSourceToPatient"))
    if detector and patient and 1 <= detector / patient <= _LARGEST_MAGNIFICATION:
        return (
            detector / patient,
            "(Distance Source to Detector (0018,1110) / Distance Source to Patient (0018,1111))",
        )
    return None


def dicom_spacing(dataset: Dataset) -> Spacing | None:
    """Apply rules 1 to 5 to a DICOM data set; ``None`` when it states no spacing."""
    spacing = _pair(dataset, "PixelSpacing")
    imager = _pair(dataset, "ImagerPixelSpacing")
    calibration = str(dataset.get("PixelSpacingCalibrationType") or "").strip().upper()
    calibrated = calibration in ("GEOMETRY", "FIDUCIAL")
    if spacing is not None and (calibrated or spacing != (1.0, 1.0)):
        name = "Pixel Spacing (0028,0030)"
        if calibrated:
            return Spacing(*spacing, f"{name}, calibrated by {calibration.lower()}")
        if imager is None:
            return Spacing(*spacing, f"{name}, calibration not stated")
        if any(abs(s - i) > _SAME * i for s, i in zip(spacing, imager, strict=True)):
            return Spacing(*spacing, f"{name}, differs from Imager Pixel Spacing (0018,1164)")
    name, plane = "Imager Pixel Spacing (0018,1164)", "detector"
    if imager is None:
        imager = _pair(dataset, "NominalScannedPixelSpacing")
        name, plane = "Nominal Scanned Pixel Spacing (0018,2010)", "film"
    if imager is None or (plane == "film" and imager == (1.0, 1.0)):
        return None
    magnification = _magnification(dataset)
    if magnification is None:
        return Spacing(*imager, f"{name}, in the plane of the {plane}")
    factor, source = magnification
    return Spacing(imager[0] / factor, imager[1] / factor, f"{name} / {source}")


def manifest_spacing(spacing_mm: float | None, spacing_source: str) -> Spacing | None:
    """The manifest's or the user's square spacing; ``None`` when there is none (``None``, NaN).

    Raises
    ------
    MammoroiError
        When no mammogram can have the value, or its source is neither measured, estimated nor
        :data:`GIVEN`.
    """
    if spacing_source not in (*_SOURCES, GIVEN):
        raise MammoroiError(
            f"spacing_source is {spacing_source!r}",
            "write measured or estimated (an empty cell means measured)",
        )
    if spacing_mm is None or math.isnan(spacing_mm):
        return None
    if not possible(spacing_mm):
        raise MammoroiError(
            f"a pixel spacing of {spacing_mm:g} mm (spacing_mm)",
            f"give mm per pixel from {FINEST_MM} to {COARSEST_MM:g}, such as 0.07, or nothing",
        )
    manifest = f"the manifest (column spacing_mm, {spacing_source})"
    return Spacing(spacing_mm, spacing_mm, GIVEN if spacing_source == GIVEN else manifest)


def agreed_spacing(path: Path, stated: Spacing | None, manifest: Spacing | None) -> Spacing | None:
    """The file's own spacing, or else the manifest's or the user's.

    Raises
    ------
    MammoroiError
        When the manifest's differs from the file's by more than :data:`TOLERANCE`.
    """
    if stated is None or manifest is None:
        return stated if stated is not None else manifest
    if manifest.source == GIVEN:
        return stated
    pairs = ((stated.row_mm, manifest.row_mm), (stated.column_mm, manifest.column_mm))
    if any(abs(ours - theirs) > TOLERANCE * ours for ours, theirs in pairs):
        raise MammoroiError(
            f"{path} states a pixel spacing of {stated}, but the manifest says "
            f"{manifest.row_mm:.6g} mm",
            "leave spacing_mm empty to use the file's own value, or correct the wrong one",
        )
    return stated

"""What a mammogram is to every other room: pixels, spacing and where it came from, view, side."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import MammoroiError


@dataclass(frozen=True)
class Spacing:
    """The distance between the centres of neighbouring pixels, in mm.

    Attributes
    ----------
    row_mm : float
        Between one row and the next (down the image); positive and finite.
    column_mm : float
        Between one column and the next (across the image); positive and finite.
    source : str
        Where the value came from: the DICOM attributes, the NIfTI header or the manifest, and
        whether it was estimated.
    """

    row_mm: float
    column_mm: float
    source: str

    def __post_init__(self) -> None:
        for value in (self.row_mm, self.column_mm):
            if not (math.isfinite(value) and value > 0):
                raise MammoroiError(
                    f"a pixel spacing of {value} mm ({self.source})",
                    "give the distance between pixel centres in mm, a positive number such as 0.07",
                )

    def __str__(self) -> str:
        return f"{self.row_mm:.6g} x {self.column_mm:.6g} mm from {self.source}"


@dataclass(frozen=True, eq=False)
class Mammogram:
    """One mammographic projection.

    Attributes
    ----------
    pixels : NDArray[np.float32]
        (rows, columns); brighter is more attenuating; no display window was applied.
    spacing : Spacing | None
        ``None`` when neither the file nor the manifest states one.
    laterality : str | None
        ``"L"`` or ``"R"``; ``None`` when the file does not say.
    view : str | None
        ``"CC"``, ``"MLO"``, ...; modifiers follow a plus sign (``"CC+M+S"`` is a magnified spot
        compression view, see :mod:`mammoroi.imaging.view`); ``None`` when the file does not say.
    intent : str | None
        ``"presentation"`` or ``"processing"``; ``None`` for files that are not DICOM or do not say.
    bits_stored : int | None
        Bits of one stored pixel; ``None`` for floating-point files.
    source : Path
        The file.
    implant : bool
        Whether the file says that there is a breast implant (it may be displaced out of the view).
    """

    pixels: NDArray[np.float32]
    spacing: Spacing | None
    laterality: str | None
    view: str | None
    intent: str | None
    bits_stored: int | None
    source: Path
    implant: bool = False

    def require_spacing(self) -> Spacing:
        """Return the spacing.

        Raises
        ------
        MammoroiError
            When there is none: it is asked for, never invented.
        """
        if self.spacing is None:
            raise MammoroiError(
                f"{self.source} states no pixel spacing that can be true (0.01 to 2 mm), so "
                "nothing can be measured in mm",
                "give --spacing_mm (mm per pixel, for example 0.07) with new mammograms, or use a "
                "file that says it; in a cohort fill the column spacing_mm of cohort.csv (put "
                "'estimated' in spacing_source if it was not measured)",
            )
        return self.spacing

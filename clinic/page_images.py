"""A mammogram as small pictures for the page, with more grey levels than a screen shows at once.

The whole mammogram is shown at no more than 1600 pixels in height, each the mean of the pixels that
it covers. Such means lie between the 256 levels of the display: a second picture holds the two bits
that follow, so that a narrow window shows up to 1021 levels. The lesion's surroundings come a
second time, in the mammogram's own resolution, for looking closely.
"""

from __future__ import annotations

import base64
import io
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from ..imaging.dicom import open_mammogram
from ..imaging.formats import Format, identify

if TYPE_CHECKING:
    import PIL.Image
    from numpy.typing import NDArray

    from .results import ImageResult

Scalar = TypeVar("Scalar", bound=np.generic)

HEIGHT = 1600
"""Greatest height, and width, of the picture of a whole mammogram, in pixels."""

CLOSE = 900
"""Greatest side of the picture of a lesion, in pixels."""

_MARGIN = 0.35
_BLACK = 8
_FINE_BITS = 2


@dataclass(frozen=True)
class Layer:
    """One picture and the part of the mammogram that it covers.

    Attributes
    ----------
    base : str
        Data URI of a PNG, grey 0..255, as the mammogram's file asks to be shown.
    fine : str
        Data URI of a PNG of the same size with the two bits below, 0..3; empty where there are
        none.
    width, height : int
        Of both, in pixels.
    box : (float, float, float, float)
        Left, top, width and height, in percent of the mammogram.
    """

    base: str
    fine: str
    width: int
    height: int
    box: tuple[float, float, float, float]


@dataclass(frozen=True)
class Turned:
    """How a mammogram and its mask are turned for hanging.

    Attributes
    ----------
    across, down : bool
        Whether left and right, or top and bottom, change places.
    """

    across: bool = False
    down: bool = False

    def __call__(self, array: NDArray[Scalar]) -> NDArray[Scalar]:
        """Turn (rows, columns)."""
        return array[:: -1 if self.down else 1, :: -1 if self.across else 1]


def turned(image: ImageResult) -> Turned:
    """How the file's Patient Orientation (0020,0020) says that it must be turned for hanging.

    Mammograms are hung with the chest wall of a right breast to the right and of a left breast to
    the left; MLO views head up, CC views with the outer side up. Nothing is turned unless the file
    says so: not by the looks of the picture.
    """
    if image.laterality not in ("L", "R") or identify(image.file) is not Format.DICOM:
        return Turned()
    directions = open_mammogram(image.file).get("PatientOrientation") or ()
    if len(directions) != 2:
        return Turned()
    row, column = (str(direction).strip().upper() for direction in directions)
    # Rows of a right breast lead backwards, of a left one forwards; columns lead downwards, or
    # from the outer to the inner side.
    wrong_row = "A" if image.laterality == "R" else "P"
    wrong_column = image.laterality if "CC" in (image.view or "") else "H"
    return Turned(row.startswith(wrong_row), column.startswith(wrong_column))


def without_margins(shown: NDArray[np.uint8], mask: NDArray[np.bool_]) -> slice:
    """The columns that are left when black margins at both sides go, so that chest walls meet.

    Some detectors and exports add them. A margin is made of columns without any pixel above
    8 of 255 and without any pixel of the mask; rows stay, so that heights can be compared.
    """
    used = np.flatnonzero((shown.max(axis=0) > _BLACK) | mask.any(axis=0))
    return slice(int(used[0]), int(used[-1]) + 1) if len(used) else slice(0, shown.shape[1])


def known_spacing(image: ImageResult) -> tuple[float, float] | None:
    """Row and column spacing in mm; None where they are no positive numbers."""
    known = all(math.isfinite(value) and value > 0 for value in image.spacing_mm)
    return image.spacing_mm if known else None


def layers(shown: NDArray[np.uint8], box: tuple[int, int, int, int] | None) -> tuple[Layer, ...]:
    """The pictures of a mammogram: all of it, then the lesion's, where that shows more.

    Parameters
    ----------
    shown : uint8 (rows, columns)
        The mammogram for showing, as it hangs.
    box : (int, int, int, int) or None
        The lesion in it: first row and column, row and column after the last.
    """
    rows, columns = shown.shape
    whole = _layer(shown, (0, 0, rows, columns), HEIGHT)
    if box is None or (whole.height >= rows and whole.width >= columns):
        return (whole,)
    top, left, bottom, right = box
    aside = round(_MARGIN * max(bottom - top, right - left))
    around = (
        max(0, top - aside),
        max(0, left - aside),
        min(rows, bottom + aside),
        min(columns, right + aside),
    )
    return whole, _layer(shown, around, CLOSE)


def _layer(shown: NDArray[np.uint8], box: tuple[int, int, int, int], most: int) -> Layer:
    """The picture of a box, its greater side no more than ``most`` pixels."""
    import PIL.Image

    top, left, bottom, right = box
    rows, columns = shown.shape
    part = np.ascontiguousarray(shown[top:bottom, left:right])
    tall, wide = part.shape
    scale = min(1.0, most / max(tall, wide))
    width, height = max(1, round(wide * scale)), max(1, round(tall * scale))
    fine = ""
    if scale < 1:
        image = PIL.Image.fromarray(part.astype(np.float32))
        mean = np.asarray(image.resize((width, height), PIL.Image.Resampling.BOX))
        levels = np.rint(mean * (1 << _FINE_BITS)).astype(np.uint16)
        part = (levels >> _FINE_BITS).astype(np.uint8)
        below = PIL.Image.fromarray((levels & ((1 << _FINE_BITS) - 1)).astype(np.uint8))
        below.putpalette([level for level in range(1 << _FINE_BITS) for _ in "rgb"])
        fine = _png(below, bits=_FINE_BITS)
    across, down = 100 / columns, 100 / rows
    covered = (left * across, top * down, wide * across, tall * down)
    return Layer(_png(PIL.Image.fromarray(part)), fine, width, height, covered)


def _png(image: PIL.Image.Image, **options: Any) -> str:
    stream = io.BytesIO()
    image.save(stream, "PNG", **options)
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode()

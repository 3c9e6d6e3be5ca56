"""Where a mammogram's breast lies, and the exact way to the working array and back.

The working array shows the breast's bounding box, mirrored where needed so that the chest wall is
on the left, with square pixels of about the working spacing. Both grids cover the same rectangle
edge to edge; pixel values are resampled bilinearly, with area weights when shrinking (Pillow).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from ..imaging.mammogram import Spacing


@dataclass(frozen=True)
class Mapping:
    """The way between a mammogram's own grid and its working array.

    Attributes
    ----------
    rows, columns : int
        Size of the mammogram.
    row_mm, column_mm : float
        Its pixel spacing in mm.
    spacing_source : str
        Where the spacing came from.
    top, left, height, width : int
        The breast's box in the mammogram, in pixels.
    mirrored : bool
        Whether the box is mirrored left to right in the working array.
    working_rows, working_columns : int
        Size of the working array.
    """

    rows: int
    columns: int
    row_mm: float
    column_mm: float
    spacing_source: str
    top: int
    left: int
    height: int
    width: int
    mirrored: bool
    working_rows: int
    working_columns: int

    @classmethod
    def of_breast(
        cls, region: NDArray[np.bool_], spacing: Spacing, working_spacing_mm: float
    ) -> Mapping:
        """Find the box of a breast region; without any region it is the whole image.

        The breast is tallest at the chest wall and narrows to the nipple, so the taller side of
        the box is the chest wall. The pixels decide, not the label: some files are stored
        mirrored, and raster files carry no label.
        """
        rows, columns = region.shape
        box = bounding_box(region) or (0, rows, 0, columns)
        top, bottom, left, right = box
        inside = region[top:bottom, left:right]
        side = max(1, (right - left) // 4)
        return cls(
            rows=rows,
            columns=columns,
            row_mm=spacing.row_mm,
            column_mm=spacing.column_mm,
            spacing_source=spacing.source,
            top=top,
            left=left,
            height=bottom - top,
            width=right - left,
            mirrored=bool(inside[:, -side:].sum() > inside[:, :side].sum()),
            working_rows=bottom - top,
            working_columns=right - left,
        ).at(working_spacing_mm)

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Mapping:
        """Build a mapping from what :func:`mammoroi.files.write_json` wrote."""
        return cls(**content)

    @property
    def pixel_area_mm2(self) -> float:
        """Area of a pixel of the mammogram."""
        return self.row_mm * self.column_mm

    @property
    def working_pixel_mm(self) -> tuple[float, float]:
        """Height and width of a pixel of the working array."""
        return (
            self.height * self.row_mm / self.working_rows,
            self.width * self.column_mm / self.working_columns,
        )

    @property
    def working_pixel_area_mm2(self) -> float:
        """Area of a pixel of the working array."""
        area = self.pixel_area_mm2 * self.height * self.width
        return area / (self.working_rows * self.working_columns)

    @property
    def spacing(self) -> tuple[float, float]:
        """Pixel spacing (row, column) of the mammogram in mm."""
        return self.row_mm, self.column_mm

    @property
    def box(self) -> tuple[slice, slice]:
        """The breast's box as an index into the mammogram."""
        rows = slice(self.top, self.top + self.height)
        return rows, slice(self.left, self.left + self.width)

    def at(self, working_spacing_mm: float) -> Mapping:
        """Give the way to a working array of the same box with pixels of another size."""
        return replace(
            self,
            working_rows=max(1, round(self.height * self.row_mm / working_spacing_mm)),
            working_columns=max(1, round(self.width * self.column_mm / working_spacing_mm)),
        )

    def to_working(self, pixels: NDArray[Any]) -> NDArray[np.float32]:
        """Bring (rows, columns) of the mammogram's grid to (working_rows, working_columns)."""
        return resize(self._mirror(pixels[self.box]), (self.working_rows, self.working_columns))

    def mask_to_working(self, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Bring a mask to the working array; a lesion smaller than a pixel keeps one pixel."""
        share = self.to_working(mask.astype(np.float32))
        working: NDArray[np.bool_] = share >= 0.5
        if not working.any() and share.max() > 0:
            working = share == share.max()
        return working

    def to_original(self, values: NDArray[Any]) -> NDArray[np.float32]:
        """Bring (working_rows, working_columns) back to (rows, columns); 0 outside the box."""
        original = np.zeros((self.rows, self.columns), np.float32)
        original[self.box] = self._mirror(resize(values, (self.height, self.width)))
        return original

    def _mirror(self, array: NDArray[Any]) -> NDArray[Any]:
        return array[:, ::-1] if self.mirrored else array


def resize(array: NDArray[Any], shape: tuple[int, int]) -> NDArray[np.float32]:
    """Resample a 2-D array to ``shape``, edge to edge, bilinearly; shrinking averages areas."""
    from PIL import Image

    image = Image.fromarray(np.ascontiguousarray(array, dtype=np.float32))
    resized = image.resize((shape[1], shape[0]), Image.Resampling.BILINEAR)
    return np.asarray(resized, dtype=np.float32)


def bounding_box(mask: NDArray[np.bool_]) -> tuple[int, int, int, int] | None:
    """Smallest (top, bottom, left, right), ends excluded, that holds all of a mask."""
    rows = np.flatnonzero(mask.any(axis=1))
    columns = np.flatnonzero(mask.any(axis=0))
    if rows.size == 0:
        return None
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1


def padded_size(size: int, multiple: int) -> int:
    """Round a length up to a multiple, as a network with halving levels needs it."""
    return math.ceil(size / multiple) * multiple

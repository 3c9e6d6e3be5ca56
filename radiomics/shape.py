"""pyradiomics' 3D class ``shape`` on a volume of one slice, in linear time.

pyradiomics compares every pair of surface points, and in one slice every pixel is surface. Here

* the diameters come from the pixels on the mask's edge, which hold the farthest pairs;
* the mesh's area and volume are sums over the 2 x 2 patterns of the mask (each corner of the grid
  sees one of 16), whose shares are measured with pyradiomics' own mesh on masks of a few pixels.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from radiomics import cShape
from radiomics.shape import RadiomicsShape
from scipy.ndimage import binary_erosion

# Bits of a pattern: 1 upper left, 2 upper right, 4 lower left, 8 lower right.
_ROWS, _COLUMNS, _BITS = (0, 0, 1, 1), (0, 1, 0, 1), (1, 2, 4, 8)


class OneSliceShape(RadiomicsShape):  # type: ignore[misc]
    """The 14 features of a mask with one slice."""

    def _initSegmentBasedCalculation(self) -> None:  # noqa: N802
        self.pixelSpacing = np.array(self.inputImage.GetSpacing()[::-1])
        mask = self.imageArray[0] == self.label
        self.maskArray = mask[None]
        self.labelledVoxelCoordinates = np.where(self.maskArray)
        self.SurfaceArea, self.Volume = mesh_area_and_volume(mask, self.pixelSpacing)
        edge = mask & ~binary_erosion(mask, np.ones((3, 3), dtype=bool))
        self.diameters = _measure(edge, self.pixelSpacing)[2]
        coordinates = np.argwhere(self.maskArray) * self.pixelSpacing
        coordinates -= coordinates.mean(axis=0)
        covariance = coordinates.T @ coordinates / len(coordinates)
        self.eigenValues = np.sort(np.linalg.eigvalsh(covariance).clip(min=0))


def mesh_area_and_volume(
    mask: NDArray[np.bool_], spacing: NDArray[np.float64]
) -> tuple[float, float]:
    """Surface (mm²) and volume (mm³) of pyradiomics' mesh around a mask of one slice.

    Parameters
    ----------
    mask : NDArray[np.bool_]
        (rows, columns).
    spacing : NDArray[np.float64]
        (slice_mm, row_mm, column_mm).
    """
    total = _pattern_counts(mask) @ _shares(spacing)
    return float(total[0]), float(total[1])


def _measure(
    mask: NDArray[np.bool_], spacing: NDArray[np.float64]
) -> tuple[float, float, tuple[float, ...]]:
    area, volume, diameters = cShape.calculate_coefficients(np.pad(mask[None], 1), spacing)
    return area, volume, diameters


def _pattern_counts(mask: NDArray[np.bool_]) -> NDArray[np.intp]:
    padded = np.pad(mask, 1).astype(np.intp)
    height, width = padded.shape[0] - 1, padded.shape[1] - 1
    pattern = sum(
        bit * padded[row : row + height, column : column + width]
        for row, column, bit in zip(_ROWS, _COLUMNS, _BITS, strict=True)
    )
    return np.bincount(np.ravel(pattern), minlength=16)


def _shares(spacing: NDArray[np.float64]) -> NDArray[np.float64]:
    """Area and volume of each pattern (16, 2): the solution for all masks of 3 x 3 pixels."""
    masks = [np.array(list(f"{number:09b}")).reshape(3, 3) == "1" for number in range(1, 512)]
    counts = np.array([_pattern_counts(mask)[1:] for mask in masks])
    measured = np.array([_measure(mask, spacing)[:2] for mask in masks])
    shares = np.linalg.lstsq(counts, measured, rcond=None)[0]
    return np.vstack([np.zeros((1, 2)), shares])

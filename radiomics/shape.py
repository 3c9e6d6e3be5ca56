"""The shape of a mask: pyradiomics' 2D class, and its 3D class on a volume of one slice.

In 3D pyradiomics compares every pair of surface points, and in one slice every pixel is surface.
Here

* the diameters come from the pixels on the mask's edge, which hold the farthest pairs;
* the mesh's area and volume are sums over the 2 x 2 patterns of the mask (each corner of the grid
  sees one of 16), whose shares are measured with pyradiomics' own mesh on masks of a few pixels.

Formulas: pyradiomics' documentation, classes ``shape2D`` and ``shape``.
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray
from radiomics import cShape
from scipy.linalg import qr
from scipy.ndimage import binary_erosion

# Bits of a pattern: 1 upper left, 2 upper right, 4 lower left, 8 lower right.
_ROWS, _COLUMNS, _BITS = (0, 0, 1, 1), (0, 1, 0, 1), (1, 2, 4, 8)


def shape2d(mask: NDArray[np.bool_], spacing: tuple[float, float]) -> dict[str, float]:
    """The 9 features of an outline.

    Parameters
    ----------
    mask : NDArray[np.bool_]
        (rows, columns), some of them true.
    spacing : tuple[float, float]
        (row_mm, column_mm).
    """
    perimeter, surface, diameter = cShape.calculate_coefficients2D(
        np.pad(mask, 1), np.array(spacing)
    )
    minor, major = _axes_mm(mask, spacing)
    return {
        "Elongation": minor / major,
        "MajorAxisLength": major,
        "MaximumDiameter": diameter,
        "MeshSurface": surface,
        "MinorAxisLength": minor,
        "Perimeter": perimeter,
        "PerimeterSurfaceRatio": perimeter / surface,
        "PixelSurface": int(mask.sum()) * spacing[0] * spacing[1],
        "Sphericity": 2 * np.sqrt(np.pi * surface) / perimeter,
    }


def shape_of_one_slice(
    mask: NDArray[np.bool_], spacing: tuple[float, float], thickness_mm: float
) -> dict[str, float]:
    """The 14 features of a mask of one slice, (rows, columns), of a given thickness."""
    surface, volume = mesh_area_and_volume(mask, (thickness_mm, *spacing))
    minor, major = _axes_mm(mask, spacing)
    edge = mask & ~binary_erosion(mask, np.ones((3, 3), dtype=bool))
    in_slice, in_column, in_row, anywhere = _measure(edge, (thickness_mm, *spacing))[2]
    return {
        "Elongation": minor / major,
        "Flatness": 0.0,
        "LeastAxisLength": 0.0,
        "MajorAxisLength": major,
        "Maximum2DDiameterColumn": in_column,
        "Maximum2DDiameterRow": in_row,
        "Maximum2DDiameterSlice": in_slice,
        "Maximum3DDiameter": anywhere,
        "MeshVolume": volume,
        "MinorAxisLength": minor,
        "Sphericity": (36 * np.pi * volume**2) ** (1 / 3) / surface,
        "SurfaceArea": surface,
        "SurfaceVolumeRatio": surface / volume,
        "VoxelVolume": int(mask.sum()) * thickness_mm * spacing[0] * spacing[1],
    }


def mesh_area_and_volume(
    mask: NDArray[np.bool_], spacing: tuple[float, float, float]
) -> tuple[float, float]:
    """Surface (mm²) and volume (mm³) of pyradiomics' mesh around a mask of one slice.

    Parameters
    ----------
    mask : NDArray[np.bool_]
        (rows, columns).
    spacing : tuple[float, float, float]
        (slice_mm, row_mm, column_mm).
    """
    total = _pattern_counts(mask) @ _shares(spacing)
    return float(total[0]), float(total[1])


def _axes_mm(mask: NDArray[np.bool_], spacing: tuple[float, float]) -> tuple[float, float]:
    """Minor and major axis: four standard deviations along the principal axes."""
    coordinates = np.argwhere(mask) * np.asarray(spacing)
    coordinates -= coordinates.mean(axis=0)
    covariance = coordinates.T @ coordinates / len(coordinates)
    minor, major = 4 * np.sqrt(np.linalg.eigvalsh(covariance).clip(min=0))
    return float(minor), float(major)


def _measure(
    mask: NDArray[np.bool_], spacing: tuple[float, float, float]
) -> tuple[float, float, tuple[float, float, float, float]]:
    area, volume, diameters = cShape.calculate_coefficients(
        np.pad(mask[None], 1), np.array(spacing)
    )
    return area, volume, diameters


def _pattern_counts(mask: NDArray[np.bool_]) -> NDArray[np.intp]:
    padded = np.pad(mask, 1).astype(np.intp)
    height, width = padded.shape[0] - 1, padded.shape[1] - 1
    pattern = sum(
        bit * padded[row : row + height, column : column + width]
        for row, column, bit in zip(_ROWS, _COLUMNS, _BITS, strict=True)
    )
    return np.bincount(np.ravel(pattern), minlength=16)


@functools.cache
def _telling_masks() -> tuple[list[NDArray[np.bool_]], NDArray[np.intp]]:
    """Masks of 3 x 3 pixels whose pattern counts (masks, 15) span those of all masks."""
    masks = [np.array(list(f"{number:09b}")).reshape(3, 3) == "1" for number in range(1, 512)]
    counts = np.array([_pattern_counts(mask)[1:] for mask in masks])
    chosen = qr(counts.T, mode="r", pivoting=True)[1][: np.linalg.matrix_rank(counts)]
    return [masks[n] for n in chosen], counts[chosen]


@functools.lru_cache(maxsize=64)
def _shares(spacing: tuple[float, float, float]) -> NDArray[np.float64]:
    """Area and volume of each pattern (16, 2), solved from masks that are measured."""
    masks, counts = _telling_masks()
    measured = np.array([_measure(mask, spacing)[:2] for mask in masks])
    shares = np.linalg.lstsq(counts, measured, rcond=None)[0]
    return np.vstack([np.zeros((1, 2)), shares])

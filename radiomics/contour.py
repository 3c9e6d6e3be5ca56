"""Shape from the contour: how round, how lobed and how ragged the outline of a mass is.

The feature class ``contour`` of a preset, in mm, of the closed outline of the ROI's largest region
(pixels that touch, be it at a corner) with its holes filled. The outline is the level of one half
of the mask smoothed by a Gaussian with an SD of one pixel, to a fraction of a pixel. Without the
smoothing an outline follows the pixel grid, and its length is 5.5 % too much at any resolution.

With A and P the area and perimeter of the outline, and d its distance from its centroid, divided
by the largest one (the normalised radial length), at points evenly spaced along it:

======================================  ======================================================
``Area`` (mm²), ``Perimeter`` (mm)      A, P
``Circularity``                         4 pi A / P², 1 for a disc (Cox 1927, J Paleontol 1:179)
``Solidity``                            A / area of the convex hull (ISO 9276-6)
``Convexity``                           perimeter of the convex hull / P (ISO 9276-6)
``Eccentricity``                        of the ellipse with the same second moments of area, 0 for
                                        a disc (Prokop and Reeves 1992, CVGIP 54:438)
``RadialLengthMean``,                   mean and SD of d
``RadialLengthStandardDeviation``
``RadialLengthEntropy``                 of d in 100 bins from 0 to 1, in bits
``RadialLengthAreaRatio``               mean of what d exceeds its mean by, divided by its mean
``RadialLengthZeroCrossings``           how often d crosses its mean, once around
======================================  ======================================================

The five last are those of Kilday, Palmieri and Fox 1993, IEEE Trans Med Imaging 12:664. The numbers
of points and of bins, which they depend on, are fixed here. A crossing counts when it leads from
more than half a pixel on one side of the mean to as much on the other: without that, a round mass
had the most of all, made by the pixel grid.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from ..errors import MammoroiError
from ..imaging.mammogram import Spacing

CLASS = "contour"
NAMES = (
    "Area",
    "Perimeter",
    "Circularity",
    "Solidity",
    "Convexity",
    "Eccentricity",
    "RadialLengthMean",
    "RadialLengthStandardDeviation",
    "RadialLengthEntropy",
    "RadialLengthAreaRatio",
    "RadialLengthZeroCrossings",
)
_SMOOTHING_PIXELS = 1.0
_MARGIN_PIXELS = 5
_POINTS = 4096
_BINS = 100


def contour_features(
    mask: NDArray[np.bool_], spacing: Spacing, names: Iterable[str] | None = None
) -> dict[str, float]:
    """Describe the outline of an ROI.

    Parameters
    ----------
    mask : NDArray[np.bool_]
        (rows, columns), with some true pixels.
    spacing : Spacing
        Of its pixels.
    names : Iterable[str] | None
        Some of :data:`NAMES`; all when None.

    Returns
    -------
    dict[str, float]
        By names such as ``original_contour_Circularity``; always defined.

    Raises
    ------
    MammoroiError
        When the ROI is too thin to have an outline.
    """
    values = describe(outline(mask, spacing), max(spacing.row_mm, spacing.column_mm))
    return {f"original_{CLASS}_{name}": values[name] for name in names or NAMES}


def outline(mask: NDArray[np.bool_], spacing: Spacing) -> NDArray[np.float64]:
    """The outline of the largest region of a mask.

    Parameters
    ----------
    mask : NDArray[np.bool_]
        (rows, columns), with some true pixels.
    spacing : Spacing
        Of its pixels.

    Returns
    -------
    NDArray[np.float64]
        (points, 2): row and column in mm from the centre of the first pixel; the last point is
        followed by the first.

    Raises
    ------
    MammoroiError
        When nothing of the region is two pixels wide.
    """
    from scipy import ndimage
    from skimage.measure import find_contours

    regions, count = ndimage.label(mask, np.ones((3, 3)))
    largest = 1 + int(np.argmax(np.bincount(regions.ravel(), minlength=count + 1)[1:]))
    window = ndimage.find_objects(regions)[largest - 1]
    region = np.pad(ndimage.binary_fill_holes(regions[window] == largest), _MARGIN_PIXELS)
    smooth = ndimage.gaussian_filter(region.astype(np.float64), _SMOOTHING_PIXELS)
    closed = find_contours(smooth, 0.5)
    if not closed:
        raise MammoroiError(
            "the ROI is nowhere two pixels wide, so it has no outline to describe",
            "check the mask, or leave the feature class contour out of the preset",
        )
    corner = np.array([axis.start for axis in window]) - _MARGIN_PIXELS
    scale = np.array([spacing.row_mm, spacing.column_mm])
    points: list[NDArray[np.float64]] = [(line[:-1] + corner) * scale for line in closed]
    return max(points, key=lambda line: _moments(line)[0])


def describe(points: NDArray[np.float64], pixel_mm: float) -> dict[str, float]:
    """Give every descriptor of a closed polygon.

    Parameters
    ----------
    points : NDArray[np.float64]
        (points, 2) in mm; the last point is followed by the first.
    pixel_mm : float
        What crossings are judged by.
    """
    from scipy.spatial import ConvexHull

    area, centroid, covariance = _moments(points)
    perimeter = float(_lengths(points).sum())
    hull = ConvexHull(points)  # of a polygon, SciPy calls the perimeter area and the area volume
    small, large = np.linalg.eigvalsh(covariance)
    radial = np.hypot(*(_evenly_spaced(points) - centroid).T)
    half_a_pixel = pixel_mm / 2 / radial.max()
    radial /= radial.max()
    mean = float(radial.mean())
    shares = np.histogram(radial, _BINS, (0.0, 1.0))[0] / len(radial)
    shares = shares[shares > 0]
    side = np.sign(radial - mean)[np.abs(radial - mean) > half_a_pixel]
    return {
        "Area": area,
        "Perimeter": perimeter,
        "Circularity": 4 * math.pi * area / perimeter**2,
        "Solidity": area / float(hull.volume),
        "Convexity": float(hull.area) / perimeter,
        "Eccentricity": math.sqrt(max(0.0, 1.0 - float(small / large))),
        "RadialLengthMean": mean,
        "RadialLengthStandardDeviation": float(radial.std()),
        "RadialLengthEntropy": float(-(shares * np.log2(shares)).sum()) + 0.0,
        "RadialLengthAreaRatio": float((radial - mean).clip(min=0).mean() / mean),
        "RadialLengthZeroCrossings": float(np.count_nonzero(side != np.roll(side, 1))),
    }


def _lengths(points: NDArray[np.float64]) -> NDArray[np.float64]:
    steps = np.roll(points, -1, axis=0) - points
    return np.hypot(steps[:, 0], steps[:, 1])


def _evenly_spaced(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Points at equal distances along a closed polygon."""
    lengths = _lengths(points)
    along = np.concatenate([[0.0], np.cumsum(lengths)])
    closed = np.vstack([points, points[:1]])
    wanted = np.arange(_POINTS) * along[-1] / _POINTS
    return np.stack([np.interp(wanted, along, closed[:, axis]) for axis in (0, 1)], axis=1)


def _moments(
    points: NDArray[np.float64],
) -> tuple[float, NDArray[np.float64], NDArray[np.float64]]:
    """Area, centroid and covariance of the inside of a closed polygon (Green's theorem)."""
    first = points.mean(axis=0)  # near the middle, so that little is lost in differences
    a = points - first
    b = np.roll(a, -1, axis=0)
    cross = a[:, 0] * b[:, 1] - b[:, 0] * a[:, 1]
    area = cross.sum() / 2
    centroid = ((a + b) * cross[:, None]).sum(axis=0) / (6 * area)
    products = [
        [
            (cross * (2 * a[:, i] * a[:, j] + a[:, i] * b[:, j] + b[:, i] * a[:, j]
                      + 2 * b[:, i] * b[:, j])).sum() / (24 * area)
            for j in (0, 1)
        ]
        for i in (0, 1)
    ]  # fmt: skip
    covariance = np.array(products) - np.outer(centroid, centroid)
    return abs(float(area)), centroid + first, covariance

"""Filtered images inside the box of an ROI, equal to those of a filtered whole image.

pyradiomics filters the whole mammogram and then looks at a small part of it. Here only what a
filter can see from the ROI is filtered:

* Gradient and LBP reach a few pixels.
* The recursive Laplacian of Gaussian (:mod:`.gaussian`) has an infinite reach. What lies beyond 16
  sigma changes the last digit of single precision in a few pixels of a thousand; beyond 10 sigma it
  would still move a pixel in three, enough for some to fall into another grey level.
* The wavelet continues the image periodically, so that near a border the far one is in reach.
* Square, square root, logarithm and exponential look at one pixel, but scale by the largest
  absolute value of the whole image, which is therefore planted beside the box.

The other filters are pyradiomics' own.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pywt
import SimpleITK as sitk
from numpy.typing import NDArray
from radiomics import imageoperations

from .gaussian import laplacian_of_gaussian

LOG_REACH_SIGMAS = 16.0
NEAR_REACH_PIXELS = 5
_POINTWISE = ("Square", "SquareRoot", "Logarithm", "Exponential")
# With 9 samples no sampling position lies on a diagonal. With 8, equal weights make exact ties,
# which rounding decides by the pixel's absolute position.
_LBP_SAMPLES_FREE_OF_TIES = 9

Settings = Mapping[str, Any]


@dataclass(frozen=True)
class FilteredImage:
    """One image type inside the box.

    Attributes
    ----------
    name : str
        pyradiomics' name, such as ``wavelet-LH``.
    pixels : NDArray
        (rows, columns) of the box of the ROI.
    settings : Mapping
        What the feature classes are told.
    """

    name: str
    pixels: NDArray[Any]
    settings: Settings


@dataclass(frozen=True)
class Box:
    """A rectangle of pixels; ``stop`` is excluded."""

    row_start: int
    row_stop: int
    column_start: int
    column_stop: int

    @classmethod
    def around(cls, mask: NDArray[np.bool_]) -> Box:
        """The smallest box that holds every true pixel of a mask that has some."""
        rows = np.flatnonzero(mask.any(axis=1))
        columns = np.flatnonzero(mask.any(axis=0))
        return cls(int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1)

    def cut(self, array: NDArray[Any]) -> NDArray[Any]:
        """The part of an array inside the box."""
        return array[self.row_start : self.row_stop, self.column_start : self.column_stop]

    def widened(self, rows: int, columns: int, shape: tuple[int, ...]) -> Box:
        """The box with a margin, cut at the image's border."""
        return Box(
            max(self.row_start - rows, 0),
            min(self.row_stop + rows, shape[0]),
            max(self.column_start - columns, 0),
            min(self.column_stop + columns, shape[1]),
        )

    def within(self, outer: Box) -> Box:
        """The same rectangle, counted from the first pixel of ``outer``."""
        row, column = outer.row_start, outer.column_start
        return Box(
            self.row_start - row,
            self.row_stop - row,
            self.column_start - column,
            self.column_stop - column,
        )


def filtered_images(
    pixels: NDArray[np.float32],
    spacing: tuple[float, float],
    box: Box,
    settings: Settings,
    image_types: Mapping[str, Settings],
) -> Iterator[FilteredImage]:
    """Filter the surroundings of a box by every image type, in their order.

    Parameters
    ----------
    pixels : NDArray[np.float32]
        The whole mammogram.
    spacing : tuple[float, float]
        (column_mm, row_mm), as SimpleITK counts.
    box : Box
        Of the ROI.
    settings, image_types : Mapping
        Of the preset.
    """
    extreme = _extreme(pixels) if set(_POINTWISE) & set(image_types) else math.nan
    for image_type, custom in image_types.items():
        arguments = {**settings, **custom}
        if image_type == "Original":
            yield FilteredImage("original", box.cut(pixels), arguments)
        elif image_type in _POINTWISE:
            yield from _pointwise(image_type, box.cut(pixels), extreme, spacing, arguments)
        elif image_type == "Wavelet":
            yield from _wavelet(pixels, spacing, box, arguments)
        elif image_type == "LoG":
            yield from _laplacians(pixels, spacing, box, arguments)
        elif image_type == "LBP2D":
            outer = _lbp_surroundings(pixels.shape, box, arguments)
            yield from _near(image_type, pixels, spacing, box, outer, arguments)
        else:
            outer = box.widened(NEAR_REACH_PIXELS, NEAR_REACH_PIXELS, pixels.shape)
            yield from _near(image_type, pixels, spacing, box, outer, arguments)


def as_image(array: NDArray[Any], spacing: tuple[float, ...]) -> sitk.Image:
    """An array (rows, columns) as an image with spacing (column_mm, row_mm)."""
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(spacing)
    return image


def _apply(
    image_type: str,
    array: NDArray[Any],
    spacing: tuple[float, float],
    wanted: Box,
    settings: Settings,
) -> Iterator[FilteredImage]:
    function = getattr(imageoperations, f"get{image_type}Image")
    with warnings.catch_warnings():
        # scikit-image advises against LBP on floating-point pixels; these are whole numbers
        warnings.filterwarnings("ignore", message="Applying `local_binary_pattern`")
        for image, name, used in function(as_image(array, spacing), None, **settings):
            inside = wanted.cut(sitk.GetArrayViewFromImage(image))
            yield FilteredImage(name, inside.copy(), used)


def _near(
    image_type: str,
    pixels: NDArray[np.float32],
    spacing: tuple[float, float],
    box: Box,
    outer: Box,
    settings: Settings,
) -> Iterator[FilteredImage]:
    return _apply(image_type, outer.cut(pixels), spacing, box.within(outer), settings)


def _laplacians(
    pixels: NDArray[np.float32], spacing: tuple[float, float], box: Box, settings: Settings
) -> Iterator[FilteredImage]:
    """Laplacian of Gaussian for each sigma (mm), for which the image is large enough."""
    size = np.array(pixels.shape[::-1])
    for sigma in settings.get("sigma", []):
        if size.min() < 4 or sigma <= 0 or (size < np.ceil(sigma / np.array(spacing)) + 1).any():
            continue
        rows = math.ceil(LOG_REACH_SIGMAS * sigma / spacing[1])
        columns = math.ceil(LOG_REACH_SIGMAS * sigma / spacing[0])
        outer = box.widened(rows, columns, pixels.shape)
        inner = box.within(outer)
        found = laplacian_of_gaussian(
            outer.cut(pixels),
            spacing[::-1],
            slice(inner.row_start, inner.row_stop),
            slice(inner.column_start, inner.column_stop),
            sigma,
        )
        name = f"log-sigma-{str(sigma).replace('.', '-')}-mm-3D"
        yield FilteredImage(name, found, settings)


def _lbp_surroundings(shape: tuple[int, ...], box: Box, settings: Settings) -> Box:
    reach = max(NEAR_REACH_PIXELS, math.ceil(settings.get("lbp2DRadius", 1)) + 2)
    outer = box.widened(reach, reach, shape)
    if settings.get("lbp2DSamples", 8) == _LBP_SAMPLES_FREE_OF_TIES:
        return outer
    return Box(0, outer.row_stop, 0, outer.column_stop)


def _extreme(pixels: NDArray[np.float32]) -> float:
    """The value with the largest absolute one."""
    lowest, highest = float(pixels.min()), float(pixels.max())
    return lowest if -lowest > highest else highest


def _pointwise(
    image_type: str,
    inside: NDArray[np.float32],
    extreme: float,
    spacing: tuple[float, float],
    settings: Settings,
) -> Iterator[FilteredImage]:
    planted = np.vstack([inside, np.full((1, inside.shape[1]), extreme, inside.dtype)])
    wanted = Box(0, inside.shape[0], 0, inside.shape[1])
    return _apply(image_type, planted, spacing, wanted, settings)


def _wavelet(
    pixels: NDArray[np.float32], spacing: tuple[float, float], box: Box, settings: Settings
) -> Iterator[FilteredImage]:
    levels = settings.get("start_level", 0) + settings.get("level", 1)
    reach = pywt.Wavelet(settings.get("wavelet", "coif1")).dec_len * levels
    outer = Box(
        *_within_reach(box.row_start, box.row_stop, reach, pixels.shape[0]),
        *_within_reach(box.column_start, box.column_stop, reach, pixels.shape[1]),
    )
    return _near("Wavelet", pixels, spacing, box, outer, settings)


def _within_reach(start: int, stop: int, reach: int, length: int) -> tuple[int, int]:
    """What a periodic filter can see along one axis: near a border, the other border too."""
    if start < reach or stop + reach > length:
        return 0, length
    return start - reach, stop + reach

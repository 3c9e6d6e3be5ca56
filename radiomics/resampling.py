"""Mammogram and mask at another spacing.

Both are brought to a grid of that spacing with the same centre. What the new grid could not show is
smoothed away first, by a Gaussian whose full width at half maximum, joined with the old spacing, is
the new one (Cardoso et al. 2015, MICCAI, LNCS 9350:675); a finer grid needs none. Pixels: cubic
B-spline, kept within the range of the image, which a spline leaves beside sharp edges. Mask:
linear, and inside where the result is 0.5 or more.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import MammoroiError
from ..imaging.mammogram import Mammogram, Spacing
from .filters import Box, as_image

_FWHM = 2 * math.sqrt(2 * math.log(2))
"""Full width at half maximum of a Gaussian, in SD."""
_SAME = 1e-6
"""Relative difference of two spacings that are one."""


def resampled(mammogram: Mammogram, spacing_mm: float) -> Mammogram:
    """Bring a mammogram to a spacing, the same along rows and columns."""
    import SimpleITK as sitk

    old = mammogram.require_spacing()
    if _is_spacing(old, spacing_mm):
        return mammogram
    rows, columns = mammogram.pixels.shape
    everything = Box(0, rows, 0, columns)
    pixels = _on_grid(mammogram.pixels, old, spacing_mm, everything, sitk.sitkBSpline)
    np.clip(pixels, mammogram.pixels.min(), mammogram.pixels.max(), out=pixels)
    source = f"{old.source}, resampled to {spacing_mm:g} mm"
    return replace(mammogram, pixels=pixels, spacing=Spacing(spacing_mm, spacing_mm, source))


def resampled_mask(
    mask: NDArray[np.bool_], spacing: Spacing, spacing_mm: float
) -> NDArray[np.bool_]:
    """Bring a mask to a spacing: inside is where half of the mask, interpolated, or more is.

    Raises
    ------
    MammoroiError
        When no pixel is left.
    """
    import SimpleITK as sitk

    if _is_spacing(spacing, spacing_mm):
        return mask
    old = (spacing.row_mm, spacing.column_mm)
    rows, columns = (3 + math.ceil(2 * spacing_mm / mm) for mm in old)  # what is smoothed reaches
    seen = Box.around(mask).widened(rows, columns, mask.shape)
    inside = _on_grid(mask, spacing, spacing_mm, seen, sitk.sitkLinear) >= 0.5
    if not inside.any():
        pixels = np.count_nonzero(mask)
        raise MammoroiError(
            f"the ROI of {pixels} pixels at {spacing} vanishes at {spacing_mm:g} mm",
            "choose a finer spacing_mm in the preset's preparation, or leave this image out",
        )
    return inside


def _is_spacing(spacing: Spacing, spacing_mm: float) -> bool:
    return all(
        math.isclose(mm, spacing_mm, rel_tol=_SAME) for mm in (spacing.row_mm, spacing.column_mm)
    )


def _on_grid(
    array: NDArray[Any], spacing: Spacing, spacing_mm: float, seen: Box, interpolator: int
) -> NDArray[np.float32]:
    """Resample the part of an array inside a box; the rest of the new array is zero."""
    import SimpleITK as sitk
    from scipy.ndimage import gaussian_filter

    old = (spacing.row_mm, spacing.column_mm)
    smooth = seen.cut(array).astype(np.float32)
    sigmas = [math.sqrt(max(spacing_mm**2 - mm**2, 0.0)) / _FWHM / mm for mm in old]
    if any(sigmas):
        smooth = gaussian_filter(smooth, sigmas, mode="nearest")
    image = as_image(smooth, old[::-1])
    image.SetOrigin((seen.column_start * old[1], seen.row_start * old[0]))
    bounds = ((seen.row_start, seen.row_stop), (seen.column_start, seen.column_stop))
    shape, first, stop, origin = [], [], [], []
    for length, mm, (start, end) in zip(array.shape, old, bounds, strict=True):
        shape.append(max(1, round(length * mm / spacing_mm)))
        at = ((length - 1) * mm - (shape[-1] - 1) * spacing_mm) / 2  # the same centre
        first.append(max(0, math.ceil(((start - 0.5) * mm - at) / spacing_mm)))
        stop.append(min(shape[-1], 1 + math.floor(((end - 0.5) * mm - at) / spacing_mm)))
        origin.append(at + first[-1] * spacing_mm)
    resample = sitk.ResampleImageFilter()
    resample.SetInterpolator(interpolator)
    resample.SetSize([stop[1] - first[1], stop[0] - first[0]])
    resample.SetOutputOrigin(origin[::-1])
    resample.SetOutputSpacing((spacing_mm, spacing_mm))
    resample.UseNearestNeighborExtrapolatorOn()  # half a pixel beyond the outermost centres
    result = np.zeros(shape, dtype=np.float32)
    window = Box(first[0], stop[0], first[1], stop[1])
    window.cut(result)[...] = sitk.GetArrayFromImage(resample.Execute(image))
    return result

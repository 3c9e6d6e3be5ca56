"""Pixels and mask as a preset wants them: resampled, normalised, with rings around the ROI.

Resampling
    Mammogram and mask are brought to one spacing on a grid with the same centre. What the new grid
    could not show is smoothed away first, by a Gaussian whose full width at half maximum, joined
    with the old spacing, is the new one (Cardoso et al. 2015, MICCAI, LNCS 9350:675); a finer
    grid needs none. Pixels: cubic B-spline, kept within the range of the image, which a spline
    leaves beside sharp edges. Mask: linear, and inside where the result is 0.5 or more.
Normalisation
    ``scale * (x - offset) / divisor``: mean and SD (z-score), or the low percentile and its
    distance to the high one, of the whole image or of the breast. Nothing is clipped: the
    brightest hundredth of a breast is where masses are.
Rings
    Successive shells around the ROI. A pixel belongs to the ring whose edges enclose its distance
    to the nearest pixel of the ROI (centre to centre: the ring out to w mm is what a dilation by a
    disc of w mm adds), when it lies in the breast. Holes of the ROI are no surroundings of it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import MammoroiError
from ..imaging.breast import breast_region
from ..imaging.mammogram import Mammogram, Spacing
from .filters import Box, as_image
from .preparation_config import Normalisation, Preparation

if TYPE_CHECKING:
    from collections.abc import Mapping

_FWHM = 2 * math.sqrt(2 * math.log(2))
"""Full width at half maximum of a Gaussian, in SD."""
_SAME = 1e-6
"""Relative difference of two spacings that are one."""


@dataclass(frozen=True)
class Prepared:
    """What the engine gets.

    Attributes
    ----------
    mammogram : Mammogram
        Resampled and normalised.
    mask : NDArray[np.bool_]
        (rows, columns) of that mammogram.
    rings : Mapping[str, NDArray[np.bool_]]
        Masks on the same grid, by the name that their features start with.
    facts : Mapping[str, float]
        ``normalise_offset`` and ``normalise_divisor`` (grey levels of the file), ``roi_pixels``
        after resampling, ``<ring>_pixels``, and ``<ring>_share``: the part of the ring that lies
        within the image and the breast.
    """

    mammogram: Mammogram
    mask: NDArray[np.bool_]
    rings: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)
    facts: Mapping[str, float] = field(default_factory=dict)


def prepare(
    mammogram: Mammogram, mask: NDArray[np.bool_], preparation: Preparation | None
) -> Prepared:
    """Resample, normalise and draw the rings, as far as each is asked for.

    Parameters
    ----------
    mammogram : Mammogram
        With spacing.
    mask : NDArray[np.bool_]
        (rows, columns), with some true pixels.
    preparation : Preparation | None
        What to do; None leaves everything as it is.

    Raises
    ------
    MammoroiError
        When the ROI vanishes at the new spacing, or the pixels are all the same.
    """
    if preparation is None:
        return Prepared(mammogram, mask)
    facts: dict[str, float] = {}
    if preparation.spacing_mm is not None:
        mask = resampled_mask(mask, mammogram.require_spacing(), preparation.spacing_mm)
        mammogram = resampled(mammogram, preparation.spacing_mm)
        facts["roi_pixels"] = float(np.count_nonzero(mask))
    method = preparation.normalise
    breast = None
    if preparation.rings_mm or (method is not None and method.within == "breast"):
        breast = breast_region(mammogram.pixels)
    spacing = mammogram.require_spacing()
    if method is not None:
        region = breast if method.within == "breast" else None
        pixels, offset, divisor = normalised(mammogram.pixels, method, region)
        mammogram = replace(mammogram, pixels=pixels)
        facts |= {"normalise_offset": offset, "normalise_divisor": divisor}
    rings: dict[str, NDArray[np.bool_]] = {}
    for name, (inner_mm, outer_mm) in preparation.rings.items():
        drawn, whole = ring(mask, spacing, inner_mm, outer_mm)
        rings[name] = drawn & breast
        count = np.count_nonzero(rings[name])
        facts |= {f"{name}_pixels": float(count), f"{name}_share": count / max(whole, 1)}
    return Prepared(mammogram, mask, rings, facts)


def resampled(mammogram: Mammogram, spacing_mm: float) -> Mammogram:
    """Bring a mammogram to a spacing, the same along rows and columns."""
    import SimpleITK as sitk

    old = mammogram.require_spacing()
    if _is_spacing(old, spacing_mm):
        return mammogram
    pixels = _on_grid(mammogram.pixels, old, spacing_mm, sitk.sitkBSpline)
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
    inside = _on_grid(mask.astype(np.float32), spacing, spacing_mm, sitk.sitkLinear) >= 0.5
    if not inside.any():
        pixels = np.count_nonzero(mask)
        raise MammoroiError(
            f"the ROI of {pixels} pixels at {spacing} vanishes at {spacing_mm:g} mm",
            "choose a finer spacing_mm in the preset's preparation, or leave this image out",
        )
    return inside


def normalised(
    pixels: NDArray[np.float32], method: Normalisation, region: NDArray[np.bool_] | None
) -> tuple[NDArray[np.float32], float, float]:
    """Shift and scale grey levels by what the pixels of a region are.

    Parameters
    ----------
    pixels : NDArray[np.float32]
        (rows, columns).
    method : Normalisation
        How.
    region : NDArray[np.bool_] | None
        (rows, columns): the pixels that decide; None for all.

    Returns
    -------
    pixels : NDArray[np.float32]
        All of them, ``scale * (x - offset) / divisor``.
    offset, divisor : float
        Mean and SD (of a sample, n - 1), or low percentile and its distance to the high one.

    Raises
    ------
    MammoroiError
        When the region is empty, or its pixels do not differ.
    """
    values = (pixels if region is None else pixels[region]).astype(np.float64)
    if values.size < 2:
        raise MammoroiError(
            f"the breast has {values.size} pixels, of which nothing can be normalised",
            "look at the image; normalise within the image in the preset's preparation",
        )
    if method.method == "z-score":
        offset, divisor = float(values.mean()), float(values.std(ddof=1))
    else:
        low, high = np.percentile(values, method.percentiles)
        offset, divisor = float(low), float(high - low)
    if divisor <= _SAME * max(abs(offset), 1e-30):
        raise MammoroiError(
            f"the pixels within the {method.within} do not differ (about {offset:g}), so there is "
            f"no {method.method}",
            "look at the file: it shows no breast, or is saturated",
        )
    scaled = method.scale * (pixels.astype(np.float64) - offset) / divisor
    return scaled.astype(np.float32), offset, divisor


def ring(
    mask: NDArray[np.bool_], spacing: Spacing, inner_mm: float, outer_mm: float
) -> tuple[NDArray[np.bool_], int]:
    """The shell around a mask between two distances from it.

    Parameters
    ----------
    mask : NDArray[np.bool_]
        (rows, columns), with some true pixels.
    spacing : Spacing
        Of its pixels.
    inner_mm, outer_mm : float
        Distances from the mask; the inner edge is excluded, the outer one belongs to the shell.

    Returns
    -------
    ring : NDArray[np.bool_]
        (rows, columns), as much of the shell as the image holds.
    whole : int
        Pixels of the shell, those beyond the image's border included.
    """
    from scipy.ndimage import binary_fill_holes, distance_transform_edt

    rows, columns = (math.ceil(outer_mm / mm) for mm in (spacing.row_mm, spacing.column_mm))
    box = Box.around(mask)
    filled = binary_fill_holes(np.pad(box.cut(mask), ((rows, rows), (columns, columns))))
    far = distance_transform_edt(~filled, sampling=(spacing.row_mm, spacing.column_mm))
    # a millionth of a pixel: whole multiples of the spacing are on the edge, rounding or not
    slack = _SAME * min(spacing.row_mm, spacing.column_mm)
    shell = (far > inner_mm + slack) & (far <= outer_mm + slack)
    seen = box.widened(rows, columns, mask.shape)
    drawn = np.zeros_like(mask)
    top, left = box.row_start - rows, box.column_start - columns
    seen.cut(drawn)[...] = shell[
        seen.row_start - top : seen.row_stop - top,
        seen.column_start - left : seen.column_stop - left,
    ]
    return drawn, int(np.count_nonzero(shell))


def _is_spacing(spacing: Spacing, spacing_mm: float) -> bool:
    return all(
        math.isclose(mm, spacing_mm, rel_tol=_SAME) for mm in (spacing.row_mm, spacing.column_mm)
    )


def _on_grid(
    array: NDArray[np.float32], spacing: Spacing, spacing_mm: float, interpolator: int
) -> NDArray[Any]:
    import SimpleITK as sitk
    from scipy.ndimage import gaussian_filter

    old = (spacing.row_mm, spacing.column_mm)
    sigmas = [math.sqrt(max(spacing_mm**2 - mm**2, 0.0)) / _FWHM / mm for mm in old]
    smooth = gaussian_filter(array, sigmas, mode="nearest") if any(sigmas) else array
    size = [max(1, round(n * mm / spacing_mm)) for n, mm in zip(array.shape, old, strict=True)]
    origin = [
        ((n - 1) * mm - (wanted - 1) * spacing_mm) / 2
        for n, mm, wanted in zip(array.shape, old, size, strict=True)
    ]
    image = sitk.Resample(
        as_image(smooth, old[::-1]),
        size[::-1],
        sitk.Transform(),
        interpolator,
        origin[::-1],
        (spacing_mm, spacing_mm),
        (1.0, 0.0, 0.0, 1.0),
        0.0,
        sitk.sitkFloat32,
        True,  # beyond the outermost pixel centres, the nearest one
    )
    return sitk.GetArrayFromImage(image)

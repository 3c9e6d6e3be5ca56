"""Pixels and mask as a preset wants them: resampled, normalised, with rings around the ROI.

Resampling
    To one spacing: :mod:`.resampling`.
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

import functools
import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..errors import MammoroiError
from ..imaging.breast import WORKING_SIDE, breast_region
from ..imaging.mammogram import Mammogram, Spacing
from .filters import Box
from .preparation_config import Normalisation, Preparation
from .resampling import resampled, resampled_mask

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_TISSUE = 0.1
"""Brightness above the air at which the breast begins, as a part of its median's."""
_SEAM = 3
"""How far the edge of the breast may be off, in pixels of the copy that it is sought on."""
_SAME = 1e-6
"""What rounding may make of two equal values, relative to them."""


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
    image, breast, of_image = _prepared_image(mammogram, preparation)
    facts = dict(of_image)
    if preparation.spacing_mm is not None:
        mask = resampled_mask(mask, mammogram.require_spacing(), preparation.spacing_mm)
        facts["roi_pixels"] = float(np.count_nonzero(mask))
    rings: dict[str, NDArray[np.bool_]] = {}
    if breast is not None and preparation.rings_mm:
        shells = shells_around(mask, image.require_spacing(), preparation.rings.values())
        for name, (shell, whole) in zip(preparation.rings, shells, strict=True):
            rings[name] = shell & breast
            pixels = int(np.count_nonzero(rings[name]))
            facts |= {f"{name}_pixels": float(pixels), f"{name}_share": pixels / max(whole, 1)}
    return Prepared(image, mask, rings, facts)


@functools.lru_cache(maxsize=1)  # an image comes with all of its masks, one after the other
def _prepared_image(
    mammogram: Mammogram, preparation: Preparation
) -> tuple[Mammogram, NDArray[np.bool_] | None, dict[str, float]]:
    """The image, its breast where somebody asks for it, and the facts of the normalisation."""
    if preparation.spacing_mm is not None:
        mammogram = resampled(mammogram, preparation.spacing_mm)
    method = preparation.normalise
    breast = None
    if preparation.rings_mm or (method is not None and method.within == "breast"):
        breast = breast_tissue(mammogram.pixels)
    if method is None:
        return mammogram, breast, {}
    region = breast if method.within == "breast" else None
    pixels, offset, divisor = normalised(mammogram.pixels, method, region)
    facts = {"normalise_offset": offset, "normalise_divisor": divisor}
    return replace(mammogram, pixels=pixels), breast, facts


def breast_tissue(pixels: NDArray[np.float32]) -> NDArray[np.bool_]:
    """The breast without the seam of air that :func:`breast_region` leaves around it.

    That region is found on a small, smoothed copy and reaches some 2 mm beyond the skin, and
    beyond the chest wall where the image is padded: much of a narrow ring. Along its edge, for
    three pixels of the small copy, a pixel has to be brighter than the air by a tenth of what the
    breast's median is. The image's border is no edge, and dark fat farther in stays.

    Parameters
    ----------
    pixels : NDArray[np.float32]
        (rows, columns), brighter is more attenuating.

    Raises
    ------
    MammoroiError
        When all pixels have the same value.
    """
    from scipy.ndimage import minimum_filter

    region = breast_region(pixels)
    if region.all():
        return region
    air, tissue = np.median(pixels[~region]), np.median(pixels[region])
    bright = pixels > air + _TISSUE * (tissue - air)
    seam = math.ceil(_SEAM * max(1.0, max(pixels.shape) / WORKING_SIDE))
    inner: NDArray[np.bool_] = minimum_filter(region, 2 * seam + 1, mode="nearest")
    return region & (bright | inner)


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


def shells_around(
    mask: NDArray[np.bool_], spacing: Spacing, edges_mm: Iterable[tuple[float, float]]
) -> Iterator[tuple[NDArray[np.bool_], int]]:
    """The shells around a mask between two distances from it.

    Parameters
    ----------
    mask : NDArray[np.bool_]
        (rows, columns), with some true pixels.
    spacing : Spacing
        Of its pixels.
    edges_mm : Iterable[tuple[float, float]]
        Inner edge, which is excluded, and outer one, which belongs to the shell.

    Yields
    ------
    shell : NDArray[np.bool_]
        (rows, columns), as much of the shell as the image holds.
    whole : int
        Pixels of the shell, those beyond the image's border included.
    """
    from scipy.ndimage import binary_fill_holes, distance_transform_edt

    edges = list(edges_mm)
    reach = max(outer for _, outer in edges)
    rows, columns = (math.ceil(reach / mm) for mm in (spacing.row_mm, spacing.column_mm))
    box = Box.around(mask)
    filled = binary_fill_holes(np.pad(box.cut(mask), ((rows, rows), (columns, columns))))
    far = distance_transform_edt(~filled, sampling=(spacing.row_mm, spacing.column_mm))
    seen = box.widened(rows, columns, mask.shape)
    top, left = box.row_start - rows, box.column_start - columns
    # a millionth of a pixel: a multiple of the spacing lies on the edge, however it is rounded
    slack = _SAME * min(spacing.row_mm, spacing.column_mm)
    for inner, outer in edges:
        shell = (far > inner + slack) & (far <= outer + slack)
        drawn = np.zeros_like(mask)
        seen.cut(drawn)[...] = shell[
            seen.row_start - top : seen.row_stop - top,
            seen.column_start - left : seen.column_stop - left,
        ]
        yield drawn, int(np.count_nonzero(shell))

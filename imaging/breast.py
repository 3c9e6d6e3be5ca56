"""Where the breast is: one connected region, without labels, markers and film edges."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import MammoroiError

WORKING_SIDE = 256
"""The longer side, in pixels, of the small copy on which the breast is sought."""

_CEILING = 99.0
_SMOOTHING = 1.0
_DEPTH = 0.4
_OPENING = 5
_CLOSING = 6


def breast_recipe() -> dict[str, int | float | str]:
    """Give the numbers with which :func:`breast_region` works, in its order of steps.

    Returns
    -------
    dict
        Lengths are in pixels of the small copy.
    """
    return {
        "function": f"{__name__}.{breast_region.__name__}",
        "longer_side_of_small_copy": WORKING_SIDE,
        "gaussian_sigma": _SMOOTHING,
        "clipped_above_percentile": _CEILING,
        "compressed_by": "square root of the difference from the smallest value",
        "threshold": "Otsu",
        "cut_between_background_median_and_threshold": _DEPTH,
        "opening_disk_radius": _OPENING,
        "kept": "the largest region",
        "closing_disk_radius": _CLOSING,
        "closed_at_the_edges": "as if the region went on beyond the image",
        "holes": "filled",
        "enlarged": "to the mammogram's size, bilinearly; the breast is where it is half or more",
    }


def breast_region(pixels: NDArray[Any]) -> NDArray[np.bool_]:
    """Find the breast (with the pectoral muscle, where it is seen).

    A small, smoothed copy is compressed by a square root, so that dense tissue and markers do not
    outweigh fatty tissue. Otsu's threshold parts it in two; since it tends to leave fat with the
    background, the cut is made at 0.4 of the way from the background's median up to it. An opening
    parts labels from the breast; the largest region stays, its bays are closed, its holes filled.

    Parameters
    ----------
    pixels : NDArray
        (rows, columns), brighter is more attenuating, any range.

    Returns
    -------
    NDArray[np.bool_]
        (rows, columns), true inside the breast; never empty.

    Raises
    ------
    MammoroiError
        When all pixels have the same value.
    """
    import PIL.Image
    from scipy import ndimage
    from skimage.filters import threshold_otsu
    from skimage.morphology import disk

    rows, columns = pixels.shape
    scale = min(1.0, WORKING_SIDE / max(rows, columns))
    size = (max(1, round(columns * scale)), max(1, round(rows * scale)))
    image = PIL.Image.fromarray(np.asarray(pixels, dtype=np.float32))
    small = np.asarray(image.resize(size, PIL.Image.Resampling.BOX), dtype=np.float64)
    if small.min() == small.max():
        raise MammoroiError(
            f"all pixels of the image have the same value ({small.flat[0]:g})",
            "look at the file: it shows no breast",
        )
    small = ndimage.gaussian_filter(small, _SMOOTHING)
    low, high = small.min(), np.percentile(small, _CEILING)
    small = np.sqrt(np.clip(small - low, 0, max(high - low, 1e-12)))
    otsu = threshold_otsu(small)
    background = np.median(small[small <= otsu])
    bright = small > background + _DEPTH * (otsu - background)
    parted = ndimage.binary_opening(bright, disk(_OPENING))
    regions, count = ndimage.label(parted if parted.any() else bright)
    sizes = np.bincount(regions.ravel(), minlength=count + 1)
    sizes[0] = 0
    # Padded, so that bays at the edge of the image are closed as those inside are.
    region = np.pad(regions == sizes.argmax(), _CLOSING, mode="edge")
    region = ndimage.binary_fill_holes(ndimage.binary_closing(region, disk(_CLOSING)))
    region = region[_CLOSING:-_CLOSING, _CLOSING:-_CLOSING]
    grown = PIL.Image.fromarray(region.astype(np.uint8) * np.uint8(255))
    full = np.asarray(grown.resize((columns, rows), PIL.Image.Resampling.BILINEAR))
    return full >= 128

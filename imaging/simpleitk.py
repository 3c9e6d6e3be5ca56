"""Mammograms and masks as SimpleITK images, which pyradiomics wants."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import MammoroiError
from .mammogram import Mammogram

if TYPE_CHECKING:
    import SimpleITK as sitk


def _image(array: NDArray[Any], mammogram: Mammogram) -> sitk.Image:
    import SimpleITK as sitk

    spacing = mammogram.require_spacing()
    image = sitk.GetImageFromArray(array)
    image.SetSpacing((spacing.column_mm, spacing.row_mm))  # SimpleITK counts columns first
    return image


def to_sitk(mammogram: Mammogram) -> sitk.Image:
    """The pixels as a 2-D float32 image with spacing (column, row) in mm, origin 0, no rotation.

    Raises
    ------
    MammoroiError
        When the mammogram has no spacing.
    """
    return _image(mammogram.pixels.astype(np.float32, copy=False), mammogram)


def mask_to_sitk(mask: NDArray[np.bool_], mammogram: Mammogram) -> sitk.Image:
    """A mask as a 2-D uint8 image, 0 outside and 1 inside, on the mammogram's grid and spacing.

    Raises
    ------
    MammoroiError
        When the mammogram has no spacing or the mask another shape.
    """
    if mask.shape != mammogram.pixels.shape:
        raise MammoroiError(
            f"a mask of {mask.shape} for {mammogram.source} of {mammogram.pixels.shape}",
            "give the mask that was drawn on this mammogram",
        )
    return _image(mask.astype(np.uint8), mammogram)

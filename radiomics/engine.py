"""Exact and fast: the features of :mod:`.reference`, filtered only where the ROI can see.

What differs from pyradiomics' extractor: the image types are computed around the ROI
(:mod:`.filters`), the grey levels once per image type (:mod:`.texture`), and the one-slice shape
without comparing every pair of pixels (:mod:`.shape`). A preset with settings that this does not
cover (resampling, normalisation, resegmentation, ...) is computed by the reference.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

import numpy as np
import radiomics  # pyradiomics: this folder has no __init__.py, so the name is free
from numpy.typing import NDArray
from radiomics import imageoperations
from radiomics.shape2D import RadiomicsShape2D

from ..errors import MammoroiError
from ..imaging.mammogram import Mammogram
from .filters import Box, as_image, filtered_images
from .presets import Preset
from .reference import reference_features
from .shape import OneSliceShape
from .texture import CLASSES, Discretised

ENGINE_VERSION = f"1 pyradiomics-bhklab {version('pyradiomics-bhklab')}"
"""Part of every cache key: raised when a value changes."""

# pyradiomics reports at ERROR each feature that it cannot compute, and at WARNING each symmetric
# GLCM; the former become NaN, which the stage counts and names.
logging.getLogger(radiomics.__name__).setLevel(logging.CRITICAL)


@dataclass(frozen=True)
class Features:
    """What one ROI yielded.

    Attributes
    ----------
    by_name : dict[str, float]
        By pyradiomics' names; NaN where a feature is not defined, never infinite.
    bins : dict[str, int]
        Grey levels inside the ROI, by image type; empty when the reference computed it.
    """

    by_name: dict[str, float]
    bins: dict[str, int] = field(default_factory=dict)


def features_of(mammogram: Mammogram, mask: NDArray[np.bool_], preset: Preset) -> Features:
    """Extract one ROI.

    Parameters
    ----------
    mammogram : Mammogram
        With spacing.
    mask : NDArray[np.bool_]
        (rows, columns), true inside the ROI; several regions are one ROI.
    preset : Preset
        What to compute.

    Raises
    ------
    MammoroiError
        When the mammogram has no spacing, or the ROI is empty, on another grid or too small.
    ValueError
        pyradiomics' own, when the ROI is a horizontal or vertical line.
    """
    spacing = mammogram.require_spacing()
    _check_roi(mammogram, mask, preset)
    if not preset.exact:
        values = reference_features(mammogram, mask, preset)
        return Features({name: _finite(value) for name, value in values.items()})

    box = Box.around(mask)
    inside = np.ascontiguousarray(box.cut(mask))
    size = (spacing.column_mm, spacing.row_mm)
    roi = as_image(inside.astype(np.uint32), size)
    original = as_image(box.cut(mammogram.pixels), size)
    imageoperations.checkMask(original, roi, **preset.settings)

    values = dict(_shape_values(original, roi, inside, preset))
    bins: dict[str, int] = {}
    for filtered in filtered_images(
        mammogram.pixels, size, box, preset.settings, preset.image_types
    ):
        discretised = Discretised.of(filtered.image, inside, filtered.settings)
        bins[filtered.name] = len(discretised.levels)
        settings = {**filtered.settings, "discretised": discretised}
        for name, enabled in preset.feature_classes.items():
            if name in CLASSES:
                computed = CLASSES[name](filtered.image, roi, **settings)
                values.update(_execute(computed, enabled, f"{filtered.name}_{name}"))
    return Features(values, bins)


def _check_roi(mammogram: Mammogram, mask: NDArray[np.bool_], preset: Preset) -> None:
    if mask.shape != mammogram.pixels.shape:
        raise MammoroiError(
            f"a mask of {mask.shape} for {mammogram.source} of {mammogram.pixels.shape}",
            "give the mask that was drawn on this mammogram",
        )
    pixels = int(np.count_nonzero(mask))
    if pixels == 0:
        raise MammoroiError("the mask is empty", "outline the lesion, or leave this image out")
    if pixels < preset.minimum_pixels:
        raise MammoroiError(
            f"the ROI has {pixels} pixels, and {preset.minimum_pixels} are the least",
            "check the mask; the least is the preset's minimumROISize + 1",
        )


def _shape_values(
    image: Any, roi: Any, mask: NDArray[np.bool_], preset: Preset
) -> Iterable[tuple[str, float]]:
    if "shape" in preset.feature_classes:
        spacing = (*image.GetSpacing(), preset.slice_thickness_mm)
        one_slice = as_image(mask[None].astype(np.uint32), spacing)
        solid = OneSliceShape(one_slice, one_slice, **preset.settings)
        yield from _execute(solid, preset.feature_classes["shape"], "original_shape")
    if "shape2D" in preset.feature_classes:
        flat = RadiomicsShape2D(image, roi, **preset.settings)
        yield from _execute(flat, preset.feature_classes["shape2D"], "original_shape2D")


def _execute(
    feature_class: Any, enabled: list[str] | None, prefix: str
) -> Iterable[tuple[str, float]]:
    for name in enabled or []:
        feature_class.enableFeatureByName(name)
    for name, value in feature_class.execute().items():
        yield f"{prefix}_{name}", _finite(float(np.real(value)))


def _finite(value: float) -> float:
    return value if math.isfinite(value) else math.nan

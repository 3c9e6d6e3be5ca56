"""Exact and fast: the features of :mod:`.reference`, filtered only where the ROI can see.

What differs from pyradiomics' extractor: the image types are computed around the ROI
(:mod:`.filters`), the grey levels once per image type (:mod:`.texture`), and the one-slice shape
without comparing every pair of pixels (:mod:`.shape`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from radiomics import imageoperations
from radiomics.shape2D import RadiomicsShape2D

from ..imaging.mammogram import Mammogram
from .filters import Box, as_image, filtered_images
from .presets import Preset
from .shape import OneSliceShape
from .texture import CLASSES, Discretised


def exact_features(
    mammogram: Mammogram, mask: NDArray[np.bool_], preset: Preset
) -> tuple[dict[str, float], dict[str, int]]:
    """Features of one ROI by pyradiomics' names, and its grey levels by image type.

    Parameters
    ----------
    mammogram : Mammogram
        With spacing.
    mask : NDArray[np.bool_]
        (rows, columns), with some true pixels.
    preset : Preset
        With settings that are covered (``preset.exact``).

    Raises
    ------
    ValueError
        pyradiomics' own, when the ROI is a horizontal or vertical line.
    """
    spacing = mammogram.require_spacing()
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
    return values, bins


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

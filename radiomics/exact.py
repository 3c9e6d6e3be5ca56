"""Exact and fast: the features of :mod:`.reference`, computed only where the ROI can see.

What differs from pyradiomics' extractor: the image types are computed around the ROI
(:mod:`.filters`), the grey levels once per image type (:mod:`.levels`), the matrices and features
in compiled passes (:mod:`.texture`), and the one-slice shape without comparing every pair of pixels
(:mod:`.shape`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..errors import MammoroiError
from ..imaging.mammogram import Mammogram
from .filters import Box, filtered_images
from .levels import GreyLevels
from .presets import Preset
from .shape import shape2d, shape_of_one_slice
from .texture import CLASSES, texture_features


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
    MammoroiError
        When the ROI is a single pixel, or a horizontal or vertical line.
    """
    spacing = mammogram.require_spacing()
    box = Box.around(mask)
    _check_dimensions(box, preset)
    inside = np.ascontiguousarray(box.cut(mask))
    values: dict[str, float] = {}
    bins: dict[str, int] = {}
    size = (spacing.row_mm, spacing.column_mm)
    if preset.slice_thickness_mm and "shape" in preset.feature_classes:
        found = shape_of_one_slice(inside, size, preset.slice_thickness_mm)
        values |= _named("original_shape", found, preset.feature_classes["shape"])
    if "shape2D" in preset.feature_classes:
        found = shape2d(inside, size)
        values |= _named("original_shape2D", found, preset.feature_classes["shape2D"])
    classes = [name for name in preset.feature_classes if name in CLASSES]
    for filtered in filtered_images(
        mammogram.pixels, size[::-1], box, preset.settings, preset.image_types
    ):
        levels = GreyLevels.of(filtered.pixels, inside, filtered.settings)
        bins[filtered.name] = len(levels.levels)
        of_class = texture_features(levels, size, filtered.settings, classes)
        for name, found in of_class.items():
            values |= _named(f"{filtered.name}_{name}", found, preset.feature_classes[name])
    return values, bins


def _named(prefix: str, found: dict[str, float], enabled: list[str] | None) -> dict[str, float]:
    """The enabled features, or all in pyradiomics' order, which is that of its methods' names."""
    names = enabled or sorted(found, key=lambda name: f"{name}FeatureValue")
    return {f"{prefix}_{name}": found[name] for name in names}


def _check_dimensions(box: Box, preset: Preset) -> None:
    rows, columns = box.row_stop - box.row_start, box.column_stop - box.column_start
    dimensions = (rows > 1) + (columns > 1)
    if dimensions < max(1, preset.settings.get("minimumROIDimensions", 2)):
        raise MammoroiError(
            f"the ROI is {rows} x {columns} pixels: too few dimensions for shape and texture",
            "check the mask: a lesion has an extent in both directions",
        )

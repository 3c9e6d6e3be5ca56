"""The door to the features of one ROI: preparation, checks, then the chosen engine.

The engine sees the prepared pixels and mask (:mod:`.preparation`) and knows of nothing else. The
rings around the ROI go the same way, without the classes of shape; their features are called as
those of the ROI, with the ring's name in front: ``ring-0-2mm_original_firstorder_Mean``.

``exact``
    :mod:`.exact`: pyradiomics' values, many times faster. A preset with settings that it does not
    cover (resegmentation, 3D settings, ...) is computed by the other.
``pyradiomics``
    :mod:`.reference`: plain pyradiomics on the whole image.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from importlib.metadata import version

import numpy as np
from numpy.typing import NDArray

from ..errors import MammoroiError
from ..imaging.mammogram import Mammogram
from . import contour
from .exact import exact_features
from .preparation import prepare
from .presets import SHAPE_CLASSES, Preset
from .reference import reference_features

ENGINES = ("exact", "pyradiomics")
ENGINE_VERSION = f"5 pyradiomics-bhklab {version('pyradiomics-bhklab')}"
"""Part of every cache key: raised when a value changes."""


@dataclass(frozen=True)
class Features:
    """What one ROI yielded.

    Attributes
    ----------
    by_name : dict[str, float]
        By pyradiomics' names; NaN where a feature is not defined, never infinite.
    bins : dict[str, int]
        Grey levels inside the ROI, by image type (of a ring with its name in front, as features
        have it); empty when pyradiomics computed it.
    facts : dict[str, float]
        What the preparation came to (:class:`.preparation.Prepared`); empty without one.
    """

    by_name: dict[str, float]
    bins: dict[str, int] = field(default_factory=dict)
    facts: dict[str, float] = field(default_factory=dict)


def engine_of(preset: Preset, engine: str) -> str:
    """Which engine computes a preset when ``engine`` is asked for."""
    return engine if preset.exact else "pyradiomics"


def features_of(
    mammogram: Mammogram, mask: NDArray[np.bool_], preset: Preset, engine: str = "exact"
) -> Features:
    """Extract one ROI.

    Parameters
    ----------
    mammogram : Mammogram
        With spacing.
    mask : NDArray[np.bool_]
        (rows, columns), true inside the ROI; several regions are one ROI.
    preset : Preset
        What to compute.
    engine : {"exact", "pyradiomics"}
        Who computes it; the values are the same.

    Raises
    ------
    MammoroiError
        When the mammogram has no spacing, or the ROI is no mask of true and false, empty, on
        another grid, too small or too thin; when the preparation cannot be done, or leaves too
        little of a ring.
    ValueError
        pyradiomics' own, when the ROI is a horizontal or vertical line.
    """
    mammogram.require_spacing()
    _check_mask(mammogram, mask)
    prepared = prepare(mammogram, mask, preset.preparation)
    image, roi = prepared.mammogram, prepared.mask
    _check_size("the ROI", roi, preset, "check the mask")
    for name, ring in prepared.rings.items():
        # named, not left empty: a ring that is nearly all air or chest wall has no texture
        advice = "give wider rings_mm in the preset's preparation, or leave this image out"
        _check_size(f"{name} within the breast", ring, preset, advice)

    features = _computed(image, roi, preset.without([contour.CLASS]), engine)
    if contour.CLASS in preset.feature_classes:
        names = preset.feature_classes[contour.CLASS]
        outline = contour.contour_features(roi, image.require_spacing(), names)
        features = replace(features, by_name=outline | features.by_name)
    texture_only = preset.without(SHAPE_CLASSES)
    for name, ring in prepared.rings.items():
        around = _computed(image, ring, texture_only, engine)
        features.by_name.update({f"{name}_{key}": v for key, v in around.by_name.items()})
        features.bins.update({f"{name}_{key}": n for key, n in around.bins.items()})
    return replace(features, facts=dict(prepared.facts))


def _computed(
    mammogram: Mammogram, mask: NDArray[np.bool_], preset: Preset, engine: str
) -> Features:
    if not preset.feature_classes:
        return Features({})
    if engine_of(preset, engine) == "exact":
        values, bins = exact_features(mammogram, mask, preset)
    else:
        values, bins = reference_features(mammogram, mask, preset), {}
    return Features({name: _finite(value) for name, value in values.items()}, bins)


def _check_mask(mammogram: Mammogram, mask: NDArray[np.bool_]) -> None:
    if mask.shape != mammogram.pixels.shape:
        raise MammoroiError(
            f"a mask of {mask.shape} for {mammogram.source} of {mammogram.pixels.shape}",
            "give the mask that was drawn on this mammogram",
        )
    if mask.dtype != np.bool_:
        raise MammoroiError(
            f"the mask holds {mask.dtype}, not true and false",
            "say which pixels are the lesion, such as by `mask > 0`",
        )
    if not mask.any():
        raise MammoroiError("the mask is empty", "outline the lesion, or leave this image out")


def _check_size(what: str, mask: NDArray[np.bool_], preset: Preset, advice: str) -> None:
    pixels = int(np.count_nonzero(mask))
    if pixels < preset.minimum_pixels:
        raise MammoroiError(
            f"{what} has {pixels} pixels, and {preset.minimum_pixels} are the least",
            f"{advice}; the least is the preset's minimumROISize + 1",
        )


def _finite(value: float) -> float:
    return value if math.isfinite(value) else math.nan

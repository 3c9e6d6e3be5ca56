"""The door to the features of one ROI: checks, then the chosen engine.

``exact``
    :mod:`.exact`: pyradiomics' values, many times faster. A preset with settings that it does not
    cover (resegmentation, 3D settings, ...) is computed by the other.
``pyradiomics``
    :mod:`.reference`: plain pyradiomics on the whole image.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from importlib.metadata import version

import numpy as np
from numpy.typing import NDArray

from ..errors import MammoroiError
from ..imaging.mammogram import Mammogram
from .exact import exact_features
from .presets import Preset
from .reference import reference_features

ENGINES = ("exact", "pyradiomics")
ENGINE_VERSION = f"2 pyradiomics-bhklab {version('pyradiomics-bhklab')}"
"""Part of every cache key: raised when a value changes."""


@dataclass(frozen=True)
class Features:
    """What one ROI yielded.

    Attributes
    ----------
    by_name : dict[str, float]
        By pyradiomics' names; NaN where a feature is not defined, never infinite.
    bins : dict[str, int]
        Grey levels inside the ROI, by image type; empty when pyradiomics computed it.
    """

    by_name: dict[str, float]
    bins: dict[str, int] = field(default_factory=dict)


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
        When the mammogram has no spacing, or the ROI is empty, on another grid or too small.
    ValueError
        pyradiomics' own, when the ROI is a horizontal or vertical line.
    """
    mammogram.require_spacing()
    _check_roi(mammogram, mask, preset)
    if engine_of(preset, engine) == "exact":
        values, bins = exact_features(mammogram, mask, preset)
    else:
        values, bins = reference_features(mammogram, mask, preset), {}
    return Features({name: _finite(value) for name, value in values.items()}, bins)


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


def _finite(value: float) -> float:
    return value if math.isfinite(value) else math.nan

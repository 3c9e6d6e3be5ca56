"""Plain pyradiomics on the whole image: what :mod:`.engine` must equal."""

from __future__ import annotations

import logging

import numpy as np
import radiomics  # pyradiomics: this folder has no __init__.py, so the name is free
import SimpleITK as sitk
from numpy.typing import NDArray
from radiomics.featureextractor import RadiomicsFeatureExtractor

from ..imaging.mammogram import Mammogram
from ..imaging.simpleitk import mask_to_sitk, to_sitk
from .presets import Preset

# pyradiomics reports at ERROR each feature that it cannot compute, and at WARNING each symmetric
# GLCM; the former become NaN, which the stage counts and names.
logging.getLogger(radiomics.__name__).setLevel(logging.CRITICAL)


def reference_features(
    mammogram: Mammogram, mask: NDArray[np.bool_], preset: Preset
) -> dict[str, float]:
    """Features of one ROI by pyradiomics' own extractor, without a crop.

    The class ``shape`` comes from a second call, on the mask as a volume of one slice.

    Parameters
    ----------
    mammogram : Mammogram
        With spacing.
    mask : NDArray[np.bool_]
        (rows, columns), true inside the ROI; several regions are one ROI.
    preset : Preset
        What to compute.

    Returns
    -------
    dict[str, float]
        By pyradiomics' names; NaN where a feature is not defined.

    Raises
    ------
    ValueError
        pyradiomics' own, when the mask is empty, too small or a line.
    MammoroiError
        When the mammogram has no spacing.
    """
    image, roi = to_sitk(mammogram), mask_to_sitk(mask, mammogram)
    values: dict[str, float] = {}
    if "shape" in preset.feature_classes:
        parameters = preset.parameters(["shape"]) | {"imageType": {"Original": {}}}
        thickness = preset.slice_thickness_mm
        values |= _execute(parameters, _one_slice(image, thickness), _one_slice(roi, thickness))
    flat = [name for name in preset.feature_classes if name != "shape"]
    return values | (_execute(preset.parameters(flat), image, roi) if flat else {})


def _one_slice(image: sitk.Image, thickness_mm: float | None) -> sitk.Image:
    volume = sitk.GetImageFromArray(sitk.GetArrayViewFromImage(image)[None])
    volume.SetSpacing((*image.GetSpacing(), thickness_mm))
    return volume


def _execute(parameters: dict[str, object], image: sitk.Image, roi: sitk.Image) -> dict[str, float]:
    extracted = RadiomicsFeatureExtractor(parameters).execute(image, roi)
    return {
        name: float(np.real(value))
        for name, value in extracted.items()
        if not name.startswith("diagnostics_")
    }

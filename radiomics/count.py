"""The number of features that a preset promises, asserted before the first case."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..errors import MammoroiError
from ..imaging.mammogram import Mammogram
from .engine import engine_of, features_of
from .phantom import textured_phantom
from .presets import Preset

_LIMITS = ("minimumROISize", "resegmentRange")
_ERRORS = (ArithmeticError, AssertionError, LookupError, RuntimeError, TypeError, ValueError)


def check_count(preset: Preset) -> tuple[str, ...]:
    """Extract from a small phantom: the names of the features, in the order of the tables.

    The preset's limits of an ROI (``minimumROISize``, ``resegmentRange``) are left out: they are
    about the size and the grey levels of patients' lesions, and decide no name.

    Raises
    ------
    MammoroiError
        When the number of features is not the promised one, with the image types that differ, or
        nothing is computed.
    """
    settings = {key: value for key, value in preset.settings.items() if key not in _LIMITS}
    unlimited, engine = replace(preset, settings=settings), engine_of(preset, "exact")
    try:
        names = tuple(features_of(*_phantom(preset), unlimited, engine).by_name)
    except _ERRORS as error:
        raise MammoroiError(
            f"{preset.name} cannot be computed: {type(error).__name__}: {error}",
            "correct the setting that this is about; a mammogram has two dimensions",
        ) from None
    found = Counter(name.split("_")[0] for name in names)
    if not names or (preset.features is not None and len(names) != preset.features):
        wanted = "some" if preset.features is None else f"{preset.features:,}"
        counts = ", ".join(f"{image_type} {count}" for image_type, count in found.items())
        raise MammoroiError(
            f"{preset.name} promises {wanted} features, but {len(names):,} came out ({counts})"
            + "".join(f"; {reason}" for reason in _reasons(preset, found)),
            "install what is missing, or correct `features` in the preset",
        )
    return names


def _phantom(preset: Preset) -> tuple[Mammogram, NDArray[np.bool_]]:
    """A phantom in which the preparation can be done: room for the rings, air around the breast.

    As large as LoG wants it at the new spacing: pyradiomics leaves out a sigma that is larger than
    the image.
    """
    wanted = preset.preparation
    if wanted is None:
        return textured_phantom()
    narrowest = min((outer - inner for inner, outer in wanted.rings.values()), default=4.0)
    spacing = wanted.spacing_mm or min(1.0, narrowest / 4)
    radius, air = 12, 6
    width = math.ceil(max(wanted.rings_mm, default=0.0) / spacing)
    sigmas = {**preset.settings, **preset.image_types.get("LoG", {})}.get("sigma") or [0]
    side = max(64, 2 * (radius + width + air), 2 + math.ceil(max(sigmas) / spacing))
    mammogram, mask = textured_phantom((side, side), radius, spacing)
    pixels = np.pad(mammogram.pixels[air:-air, air:-air], air)
    return replace(mammogram, pixels=pixels), mask


def _reasons(preset: Preset, found: Mapping[str, int]) -> Iterable[str]:
    starts = {"LBP2D": "lbp-2D", "LoG": "log-sigma", "Wavelet": "wavelet", "LBP3D": "lbp-3D"}
    hints = {
        "LBP2D": "pyradiomics leaves it out when scikit-image is not installed",
        "LoG": "it needs `sigma`, and an image of 4 pixels or more in every dimension",
    }
    for image_type in preset.image_types:
        start = starts.get(image_type, image_type.lower())
        if not any(name.startswith(start) for name in found):
            hint = hints.get(image_type)
            yield f"no feature of {image_type}" + (f": {hint}" if hint else "")
    if preset.settings.get("force2D"):
        yield "force2D takes an axis from the wavelet: leave it out, a mammogram is 2D already"

"""How a feature table was made, and what in it deserves a second look.

``<roi>.json`` holds

``preset``, ``description``, ``settings``, ``image_types``, ``feature_classes``,
``slice_thickness_mm``, ``preparation``, ``settings_sha256``, ``engine``, ``engine_version``,
``versions``
    What was computed and with what; ``engine`` is ``exact`` or ``pyradiomics``.
``n_features``, ``names_sha256``
    Of the features, in the order of the columns.
``counts``
    ``cases_in = used + missed + failed``; of the used: ``several_regions`` (used as one ROI),
    ``estimated_spacing``.
``roi_pixels``, ``spacing_mm``
    Least, median and greatest of the used cases.
``bins``
    Grey levels per ROI, by image type: least, median, greatest, and how many ROIs lie outside
    16 to 128 (the usual range for texture) or have a single one.
``degenerate_features``
    Features with one value in all cases (two or more).
``nan``
    How many cases have no value, by feature; features that are always defined are left out.

Nothing in it depends on when, where or how fast a table was made: equal tables have equal files.
"""

from __future__ import annotations

import logging
import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..errors import Failure
from ..files import sha256_of
from ..imaging.mammogram import Spacing
from .engine import ENGINE_VERSION
from .presets import Preset

LOGGER = logging.getLogger(__name__)
FEWEST_BINS, MOST_BINS = 16, 128
BINS = "bins_"
"""Begins the columns of ``<roi>_cases.csv`` that hold grey levels, by image type."""
LIBRARIES = (
    "pyradiomics-bhklab",
    "SimpleITK",
    "PyWavelets",
    "scikit-image",
    "numba",
    "numpy",
    "scipy",
)


@dataclass(frozen=True)
class Case:
    """What became of one mask: a row of values, a missed lesion or a failure.

    Attributes
    ----------
    image_id : str
        The image.
    roi : str
        Source of the mask.
    row : NDArray[np.float64] | None
        The features, in the order of the table; NaN where one is not defined.
    bins : dict[str, int]
        Grey levels inside the ROI, by image type.
    facts : dict[str, float]
        What the preparation came to.
    pixels, regions : int
        Of the ROI.
    spacing : Spacing | None
        Of the mammogram.
    missed : bool
        Whether the automatic mask is empty.
    failure : Failure | None
        Why there is no row.
    from_cache : bool
        Whether the values were computed by an earlier run, or from an equal mask.
    cpu_seconds : float
        Reading and computing.
    peak_memory_mb : float
        Most memory (MiB, resident) that its process had held when it was done.
    """

    image_id: str
    roi: str
    row: NDArray[np.float64] | None = None
    bins: dict[str, int] = field(default_factory=dict)
    facts: dict[str, float] = field(default_factory=dict)
    pixels: int = 0
    regions: int = 0
    spacing: Spacing | None = None
    missed: bool = False
    failure: Failure | None = None
    from_cache: bool = False
    cpu_seconds: float = 0.0
    peak_memory_mb: float = 0.0


def how_made(preset: Preset, engine: str, names: Sequence[str]) -> dict[str, Any]:
    """What tables must agree on to be used together, and what else describes their making.

    Parameters
    ----------
    preset : Preset
        What was computed.
    engine : str
        Who computed it.
    names : Sequence[str]
        The features, in the order of the columns.
    """
    return {
        "preset": preset.name,
        "description": preset.description,
        "settings": dict(preset.settings),
        "image_types": dict(preset.image_types),
        "feature_classes": dict(preset.feature_classes),
        "slice_thickness_mm": preset.slice_thickness_mm,
        "preparation": preset.preparation,
        "settings_sha256": preset.sha256,
        "engine": engine,
        "engine_version": ENGINE_VERSION,
        "versions": {"python": platform.python_version()}
        | {library: version(library) for library in LIBRARIES},
        "n_features": len(names),
        "names_sha256": sha256_of(list(names)),
    }


def what_came(
    cases: pd.DataFrame, missed: int, failed: int, degenerate: list[str], undefined: dict[str, int]
) -> dict[str, Any]:
    """What a table holds and what is missing from it.

    Parameters
    ----------
    cases : DataFrame
        ``<roi>_cases.csv``: a row for each row of the table.
    missed, failed : int
        Cases without a row.
    degenerate : list[str]
        Features with a single value.
    undefined : dict[str, int]
        Cases without a value, by feature.
    """
    return {
        "counts": {
            "cases_in": len(cases) + missed + failed,
            "used": len(cases),
            "missed": missed,
            "failed": failed,
            "several_regions": int((cases["regions"] > 1).sum()),
            "estimated_spacing": int(cases["spacing_source"].str.contains("estimated").sum()),
        },
        "roi_pixels": _spread(cases["roi_pixels"]),
        "spacing_mm": _spread(cases["spacing_row_mm"]),
        "bins": {
            name.removeprefix(BINS): _levels(cases[name])
            for name in map(str, cases)
            if name.startswith(BINS)
        },
        "degenerate_features": degenerate,
        "nan": undefined,
    }


def _spread(values: pd.Series) -> dict[str, float] | None:
    if values.empty:
        return None
    return {
        "least": values.min(),
        "median": float(values.median()),
        "greatest": values.max(),
    }


def _levels(counts: pd.Series) -> dict[str, Any]:
    return {
        **(_spread(counts) or {}),
        "outside_16_to_128": int((~counts.between(FEWEST_BINS, MOST_BINS)).sum()),
        "single": int((counts == 1).sum()),
    }


def warn(roi: str, about: dict[str, Any]) -> None:
    """Say what of a table deserves a second look before it is used."""
    used, original = about["counts"]["used"], about["bins"].get("original")
    if original and original["outside_16_to_128"]:
        LOGGER.warning(
            "%s: %d of %d ROIs have fewer than %d or more than %d grey levels (median %g); "
            "texture depends on it: choose another binWidth in a preset of your own",
            roi,
            original["outside_16_to_128"],
            used,
            FEWEST_BINS,
            MOST_BINS,
            original["median"],
        )
    for found, meaning in (
        (about["degenerate_features"], "have the same value in all ROIs"),
        (about["nan"], "are not defined for some ROIs"),
    ):
        if found:
            LOGGER.warning(
                "%s: %d of %d features %s, such as %s",
                roi,
                len(found),
                about["n_features"],
                meaning,
                next(iter(found)),
            )

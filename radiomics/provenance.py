"""How a feature table was made, and what in it deserves a second look.

``<roi>.json`` holds

``preset``, ``description``, ``settings``, ``image_types``, ``feature_classes``,
``slice_thickness_mm``, ``settings_sha256``, ``engine``, ``engine_version``, ``versions``
    What was computed and with what; ``engine`` is ``exact`` or ``reference``.
``counts``
    ``cases_in = used + missed + failed``; of the used: ``from_cache``, ``several_regions`` (used as
    one ROI), ``estimated_spacing``.
``roi_pixels``, ``spacing_mm``
    Least, median and greatest of the used cases.
``bins``
    Grey levels per ROI, by image type: least, median, greatest, and how many ROIs lie outside
    16 to 128 (the usual range for texture) or have a single one.
``degenerate_features``
    Features with one value in all cases (two or more).
``nan``
    How many cases have no value, by feature; features that are always defined are left out.
``seconds``, ``cpu_seconds_per_case``
    Wall time of the whole stage; median CPU time of the cases that were not in the cache.
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
from ..imaging.mammogram import Spacing
from .engine import ENGINE_VERSION
from .presets import Preset

LOGGER = logging.getLogger(__name__)
FEWEST_BINS, MOST_BINS = 16, 128
_LIBRARIES = ("pyradiomics-bhklab", "SimpleITK", "PyWavelets", "scikit-image", "numpy", "scipy")


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
    """

    image_id: str
    roi: str
    row: NDArray[np.float64] | None = None
    bins: dict[str, int] = field(default_factory=dict)
    pixels: int = 0
    regions: int = 0
    spacing: Spacing | None = None
    missed: bool = False
    failure: Failure | None = None
    from_cache: bool = False
    cpu_seconds: float = 0.0


def provenance(
    roi: str, preset: Preset, cases: Sequence[Case], features: pd.DataFrame, seconds: float
) -> dict[str, Any]:
    """Describe one feature table; warns of unusual numbers of grey levels.

    Parameters
    ----------
    roi : str
        Source of the masks.
    preset : Preset
        What was computed.
    cases : Sequence[Case]
        All of the source, used or not.
    features : DataFrame
        The table without its identifiers.
    seconds : float
        Wall time of the stage.
    """
    used = [case for case in cases if case.row is not None]
    spacings = [case.spacing for case in used if case.spacing is not None]
    computed = [case.cpu_seconds for case in used if not case.from_cache]
    undefined = features.isna().sum()
    constant = [name for name in features if _is_constant(features[name].to_numpy())]
    bins = _bins(used)
    _warn_of_bins(roi, bins, len(used))
    return {
        "roi": roi,
        "preset": preset.name,
        "description": preset.description,
        "settings": dict(preset.settings),
        "image_types": dict(preset.image_types),
        "feature_classes": dict(preset.feature_classes),
        "slice_thickness_mm": preset.slice_thickness_mm,
        "settings_sha256": preset.sha256,
        "engine": "exact" if preset.exact else "reference",
        "engine_version": ENGINE_VERSION,
        "versions": {"python": platform.python_version()}
        | {library: version(library) for library in _LIBRARIES},
        "n_features": features.shape[1],
        "counts": {
            "cases_in": len(cases),
            "used": len(used),
            "missed": sum(case.missed for case in cases),
            "failed": sum(case.failure is not None for case in cases),
            "from_cache": sum(case.from_cache for case in used),
            "several_regions": sum(case.regions > 1 for case in used),
            "estimated_spacing": sum("estimated" in spacing.source for spacing in spacings),
        },
        "roi_pixels": _spread([case.pixels for case in used]),
        "spacing_mm": _spread([spacing.row_mm for spacing in spacings]),
        "bins": bins,
        "degenerate_features": constant if len(used) > 1 else [],
        "nan": {name: int(count) for name, count in undefined.items() if count},
        "seconds": round(seconds, 3),
        "cpu_seconds_per_case": round(float(np.median(computed)), 3) if computed else None,
    }


def _is_constant(column: NDArray[np.float64]) -> bool:
    return bool(np.isnan(column).all() or (column == column[0]).all())


def _spread(values: Sequence[float]) -> dict[str, float] | None:
    if not values:
        return None
    return {"least": min(values), "median": float(np.median(values)), "greatest": max(values)}


def _bins(used: Sequence[Case]) -> dict[str, dict[str, Any]]:
    image_types = used[0].bins if used else {}
    table = {name: [case.bins[name] for case in used] for name in image_types}
    return {
        name: {
            **(_spread(counts) or {}),
            "outside_16_to_128": sum(not FEWEST_BINS <= n <= MOST_BINS for n in counts),
            "single": sum(n == 1 for n in counts),
        }
        for name, counts in table.items()
    }


def _warn_of_bins(roi: str, bins: dict[str, dict[str, Any]], n_used: int) -> None:
    original = bins.get("original")
    if original and original["outside_16_to_128"]:
        LOGGER.warning(
            "%s: %d of %d ROIs have fewer than %d or more than %d grey levels (median %g); "
            "texture depends on it: choose another binWidth in a preset of your own",
            roi,
            original["outside_16_to_128"],
            n_used,
            FEWEST_BINS,
            MOST_BINS,
            original["median"],
        )

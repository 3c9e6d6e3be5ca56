"""First-order and texture features of one image type, with everything shared that can be.

One :class:`.levels.GreyLevels` serves all six classes, one pass over its pixels yields the three
matrices of neighbours. The values are those of pyradiomics' classes.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np

from .firstorder import firstorder
from .glcm import distances_mm, glcm
from .levels import GreyLevels
from .matrices import RUN_DIRECTIONS, half_plane, neighbour_matrices, run_matrices, zones
from .ngtdm import ngtdm
from .sizes import gldm, glrlm, glszm

CLASSES = ("firstorder", "glcm", "glrlm", "glszm", "gldm", "ngtdm")


def texture_features(
    levels: GreyLevels,
    spacing: tuple[float, float],
    settings: Mapping[str, Any],
    classes: Collection[str] = CLASSES,
) -> dict[str, dict[str, float]]:
    """Features by class and name; NaN where one is not defined.

    Parameters
    ----------
    levels : GreyLevels
        Of the ROI.
    spacing : tuple[float, float]
        (row_mm, column_mm).
    settings : Mapping
        pyradiomics' settings of the image type.
    classes : Collection[str]
        Which of :data:`CLASSES`.
    """
    offsets = half_plane(tuple(settings.get("distances", [1])))
    border = int(np.abs(offsets).max())
    ranks = np.pad(levels.ranks, border)
    of: dict[str, Callable[[], dict[str, float]]] = {
        "firstorder": lambda: firstorder(levels, spacing, settings)
    }
    if {"glcm", "gldm", "ngtdm"} & set(classes):
        alpha = float(settings.get("gldm_a", 0))
        pairs, dependences, differences = neighbour_matrices(
            ranks, border, levels.levels, offsets, alpha
        )
        of["glcm"] = lambda: glcm(pairs, levels.levels, offsets, spacing, settings)
        of["gldm"] = lambda: gldm(dependences, levels.levels)
        of["ngtdm"] = lambda: ngtdm(levels.counts, differences, levels.levels)
    of["glrlm"] = lambda: glrlm(
        run_matrices(ranks, border, len(levels.levels)),
        levels.levels,
        _run_weights(spacing, settings.get("weightingNorm")),
    )
    of["glszm"] = lambda: glszm(*zones(ranks, border), levels.levels)
    return {name: of[name]() for name in classes}


def _run_weights(spacing: tuple[float, float], norm: str | None) -> Any:
    if norm is None:
        return None
    directions = np.array(RUN_DIRECTIONS)
    if norm == "no_weighting":
        return np.ones(len(directions))
    return distances_mm(directions, spacing, norm)

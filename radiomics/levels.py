"""An ROI in grey levels: what all texture features of one image type share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from radiomics import imageoperations

from .compiled import compiled


@dataclass(frozen=True)
class GreyLevels:
    """The pixels of an ROI, binned.

    Attributes
    ----------
    values : NDArray[np.float64]
        (pixels,) grey values, row by row.
    ranks : NDArray[np.int32]
        (rows, columns) of the box: 1 to n for the n levels that occur, 0 outside the ROI.
    levels : NDArray[np.float64]
        (n,) grey level of each rank, ascending; the lowest bin of the ROI is level 1.
    counts : NDArray[np.float64]
        (n,) pixels of each rank.
    """

    values: NDArray[np.float64]
    ranks: NDArray[np.int32]
    levels: NDArray[np.float64]
    counts: NDArray[np.float64]

    @classmethod
    def of(
        cls, pixels: NDArray[Any], mask: NDArray[np.bool_], settings: Mapping[str, Any]
    ) -> GreyLevels:
        """Bin the pixels of an ROI as pyradiomics does: fixed width from zero, or fixed count.

        Parameters
        ----------
        pixels : NDArray
            (rows, columns) of the box around the ROI.
        mask : NDArray[np.bool_]
            (rows, columns), some of them true.
        settings : Mapping
            ``binWidth`` (default 25) or ``binCount``.
        """
        values = pixels[mask]
        ends = np.array([values.min(), values.max()])  # all that the edges depend on
        edges = np.asarray(imageoperations.getBinEdges(ends, **settings), dtype=np.float64)
        values = values.astype(np.float64)
        binned = _digitise(values, edges)
        occurring = np.bincount(binned, minlength=len(edges))
        levels = np.flatnonzero(occurring)
        rank_of = np.zeros(len(occurring), dtype=np.int32)
        rank_of[levels] = np.arange(1, len(levels) + 1)
        ranks = np.zeros(mask.shape, dtype=np.int32)
        ranks[mask] = rank_of[binned]
        return cls(values, ranks, levels.astype(np.float64), occurring[levels].astype(np.float64))


@compiled
def _digitise(values: NDArray[np.float64], edges: NDArray[np.float64]) -> NDArray[np.int64]:
    """``numpy.digitize`` for equidistant edges: a guess by division, then the edges decide."""
    width = edges[1] - edges[0]
    last = len(edges) - 1
    levels = np.empty(len(values), np.int64)
    for n in range(len(values)):
        value = values[n]
        k = min(max(int((value - edges[0]) / width), 0), last)
        while k > 0 and value < edges[k]:
            k -= 1
        while k < last and value >= edges[k + 1]:
            k += 1
        levels[n] = k + 1
    return levels

"""Windows of one size over what a first look proposes, as few as it takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Box = tuple[int, int, int, int]
"""Top, bottom, left, right in pixels; bottom and right are excluded."""
Shape = tuple[int, int]

MARGIN = 0.125
"""Surroundings that a region is to have on each side where they fit, as a share of the window."""


def proposals(probability: NDArray[Any], least: float) -> list[Box]:
    """List the boxes of the regions of at least this probability (neighbours by edge or corner)."""
    from scipy import ndimage

    regions, _ = ndimage.label(probability >= least, np.ones((3, 3)))
    return [
        (rows.start, rows.stop, columns.start, columns.stop)
        for rows, columns in ndimage.find_objects(regions)
    ]


def windows_over(boxes: Sequence[Box], size: Shape, shape: Shape) -> list[tuple[int, int]]:
    """Place windows so that every box that fits into one lies wholly in one.

    Boxes that fit into a window together share it. A box that is larger than a window is covered by
    several, evenly spread.

    Parameters
    ----------
    boxes : sequence of Box
        Within the array.
    size : (int, int)
        Rows and columns of a window.
    shape : (int, int)
        Those of the array.

    Returns
    -------
    list of (int, int)
        Upper left corners. Windows lie within the array; where it is smaller than a window, they
        begin at its edge and reach beyond.
    """
    clusters: list[Box] = []
    largest_first = sorted(boxes, key=lambda box: -(box[1] - box[0]) * (box[3] - box[2]))
    for box in largest_first:
        grown = _with_margin(box, size, shape)
        for number, other in enumerate(clusters):
            both = _union(grown, other)
            if both[1] - both[0] <= size[0] and both[3] - both[2] <= size[1]:
                clusters[number] = both
                break
        else:
            clusters.append(grown)
    return [
        (top, left)
        for above, below, before, behind in clusters
        for top in _starts(above, below, size[0], shape[0])
        for left in _starts(before, behind, size[1], shape[1])
    ]


def _with_margin(box: Box, size: Shape, shape: Shape) -> Box:
    """Give a box its surroundings, along each side where a window still holds both."""
    sides: list[int] = []
    for low, high, length, extent in zip(box[::2], box[1::2], size, shape, strict=True):
        margin = round(MARGIN * length)
        wide = max(0, low - margin), min(extent, high + margin)
        sides += wide if wide[1] - wide[0] <= length else (low, high)
    return sides[0], sides[1], sides[2], sides[3]


def _union(one: Box, other: Box) -> Box:
    top, bottom, left, right = zip(one, other, strict=True)
    return min(top), max(bottom), min(left), max(right)


def _starts(low: int, high: int, length: int, extent: int) -> list[int]:
    """Begin of the windows along one side: one around the middle, or several from end to end."""
    count = -(-(high - low) // length)
    if count == 1:
        starts = [(low + high - length) // 2]
    else:
        starts = np.round(np.linspace(low, high - length, count)).astype(int).tolist()
    return [min(max(0, start), max(0, extent - length)) for start in starts]

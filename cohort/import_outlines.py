"""Outlines that are published as corners: drawn into masks.

A pixel belongs to an outline when its centre is inside; centres have whole numbers.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .import_common import Mask

Corners = np.ndarray[Any, np.dtype[np.float64]]
"""The corners of a region, (number, 2): row and column in pixels."""

_FAR = 4
"""An outline of more than so many times the image's size is drawn no more: it belongs elsewhere."""


def outlines_nothing(corners: Corners) -> bool:
    """Whether the corners enclose no area: a point, or all of them on one line."""
    return len(corners) < 3 or int(np.linalg.matrix_rank(corners - corners.mean(axis=0))) < 2


def filled(corners: Corners, shape: tuple[int, int]) -> tuple[Mask, float]:
    """Draw one region.

    Parameters
    ----------
    corners : ndarray
        (number, 2), row and column in pixels; at least three.
    shape : (int, int)
        Rows and columns of the image.

    Returns
    -------
    Mask
        The region within the image. One so small that it passes between the centres of the pixels
        keeps those that its corners touch.
    float
        The share of its pixels that lie within the image, 0 to 1.
    """
    from skimage.draw import polygon

    mask = np.zeros(shape, dtype=np.bool_)
    start = np.floor(corners.min(axis=0))
    if (np.ptp(corners, axis=0) > _FAR * np.array(shape)).any():
        return mask, 0.0
    pixels = np.stack(polygon(*(corners - start).T), axis=1) + start.astype(int)
    if not len(pixels):
        pixels = np.unique(np.rint(corners).astype(int), axis=0)
    inside = ((pixels >= 0) & (pixels < shape)).all(axis=1)
    mask[tuple(pixels[inside].T)] = True
    return mask, float(inside.mean())

"""Where a crop of a training image lies when lesions are what it is about.

Three quarters of the crops show a lesion: one of its pixels, drawn at random, lies up to a quarter
of the crop's sides from the centre, so that a network cannot learn that lesions are in the middle.
The others have any pixel of the breast there: what is to be called no lesion.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

LESIONS = 0.75
JITTER = 0.25
"""Largest distance of the chosen pixel from the centre, as a share of the sides."""


def near_lesions(
    image: NDArray[Any],
    mask: NDArray[Any],
    patch: tuple[int, int],
    canvas: tuple[int, int],
    rng: np.random.Generator,
) -> tuple[int, int]:
    """Draw the upper left corner of a crop.

    Parameters
    ----------
    image, mask : (rows, columns)
        Working array (air is 0) and mask.
    patch, canvas : (int, int)
        Rows and columns of the crop, and of what it is taken from.
    rng : numpy.random.Generator
        Decides pixel and place.
    """
    shows_lesion = rng.random() < LESIONS
    chosen = np.flatnonzero(mask) if shows_lesion else np.empty(0, np.int64)
    if not chosen.size:
        chosen = np.flatnonzero(image > 0)
    middle = canvas[0] // 2, canvas[1] // 2
    if chosen.size:
        middle = divmod(int(chosen[rng.integers(chosen.size)]), image.shape[1])
    shift = np.round(rng.uniform(-JITTER, JITTER, 2) * patch).astype(int)
    return corner_around((middle[0] + int(shift[0]), middle[1] + int(shift[1])), patch, canvas)


def corner_around(
    centre: tuple[int, int], patch: tuple[int, int], canvas: tuple[int, int]
) -> tuple[int, int]:
    """Give the upper left corner of the crop around a pixel, moved to within the canvas."""
    top, left = (
        min(max(0, at - small // 2), max(0, large - small))
        for at, small, large in zip(centre, patch, canvas, strict=True)
    )
    return top, left

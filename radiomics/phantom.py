"""A small textured image with a round ROI, to find out what a preset yields and to time it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..imaging.mammogram import Mammogram, Spacing


def textured_phantom(
    shape: tuple[int, int] = (64, 64),
    radius: float = 12.0,
    spacing_mm: float = 1.0,
    seed: int = 0,
) -> tuple[Mammogram, NDArray[np.bool_]]:
    """A sum of smoothed white noise at three scales and a brighter disc.

    Parameters
    ----------
    shape : tuple[int, int]
        (rows, columns).
    radius : float
        Of the disc in the middle, in pixels; the disc is the ROI.
    spacing_mm : float
        mm per pixel.
    seed : int
        Of the noise.

    Returns
    -------
    mammogram : Mammogram
        Whole numbers from 0 to 4095.
    mask : NDArray[np.bool_]
        The disc.
    """
    from scipy.ndimage import gaussian_filter

    noise = np.random.default_rng(seed)
    texture = sum(300 * s * gaussian_filter(noise.normal(size=shape), s) for s in (0.7, 3.0, 12.0))
    rows, columns = np.indices(shape)
    mask = (rows - shape[0] // 2) ** 2 + (columns - shape[1] // 2) ** 2 <= radius**2
    pixels = np.clip(np.round(1500 + texture + 400 * mask), 0, 4095).astype(np.float32)
    spacing = Spacing(spacing_mm, spacing_mm, "phantom")
    return Mammogram(pixels, spacing, None, None, None, 12, Path("phantom")), mask

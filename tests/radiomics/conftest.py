"""Phantoms with ROIs that an engine could get wrong.

This folder has no ``__init__.py``: with one, pytest would take it for pyradiomics' ``radiomics``.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from mammoroi.imaging.mammogram import Mammogram, Spacing
from mammoroi.radiomics.phantom import textured_phantom

Case = tuple[Mammogram, NDArray[np.bool_]]


def _with(
    mammogram: Mammogram, pixels: NDArray[np.float32], row: float, column: float
) -> Mammogram:
    return replace(
        mammogram, pixels=pixels.astype(np.float32), spacing=Spacing(row, column, "test")
    )


@pytest.fixture(scope="session")
def phantom() -> Callable[[str], Case]:
    """Makes a phantom by its name."""
    return _phantom


@functools.cache
def _phantom(name: str) -> Case:
    """A textured disc, changed as ``name`` says; odd sizes on purpose."""
    mammogram, disc = textured_phantom((161, 130), radius=15, spacing_mm=0.5)
    pixels = mammogram.pixels.copy()
    rows, columns = np.indices(pixels.shape)
    if name == "marker":  # far from the ROI and brighter than all of it
        pixels[2:12, 2:30] = 16383
    elif name == "negative":  # the largest absolute value is below zero
        pixels -= 3000
        pixels[2:6, 2:6] = -9000
    elif name == "border":
        disc = (rows - 3) ** 2 + (columns - 126) ** 2 <= 20**2
    elif name == "two parts":
        disc = disc & (np.abs(columns - 65) > 3)
    elif name == "ring":
        disc = disc & ((rows - 80) ** 2 + (columns - 65) ** 2 > 9**2)
    elif name == "small":
        disc = np.zeros_like(disc)
        disc[70:75, 60:66] = True
    elif name == "eight bits":  # few grey levels and many ties
        pixels = np.round(pixels / 16)
    elif name == "anisotropic":
        return _with(mammogram, pixels, 0.4, 0.7), disc
    elif name == "whole image":
        pixels, disc = pixels[:41, :36], np.ones((41, 36), dtype=bool)
    elif name == "flat":
        pixels[disc] = 700
    elif name == "thin ring":  # one pixel wide
        distance = np.hypot(rows - 80, columns - 65)
        disc = np.abs(distance - 20) < 0.5
    elif name == "dust":  # pixels without neighbours
        disc = disc & (rows % 2 == 0) & (columns % 3 == 0)
    elif name == "two levels":
        pixels[disc] = np.where((rows // 3 + columns // 3) % 2 == 0, 500, 530)[disc]
    elif name == "thin diagonal":
        disc = np.eye(*pixels.shape, dtype=bool) & (rows > 20) & (rows < 80)
    return _with(mammogram, pixels, 0.5, 0.5), disc

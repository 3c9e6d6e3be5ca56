"""The lesion of a phantom: outline, spicules, distortion, calcifications, and its texture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import map_coordinates

from .texture import lesion_field

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

    from .texture import LesionTexture

TEXTURE_SD = 105.0
# Share of the parenchyma's own variation that is hidden by the lesion.
_HIDDEN = 0.85
_N_ANGLES = 1440


@dataclass(frozen=True)
class Lesion:
    """Everything about a lesion's form that does not depend on pixels; lengths in mm.

    Attributes
    ----------
    row_mm, column_mm : float
        Centre.
    radius_mm : float
        Radius of the disc of the same area.
    outline : NDArray[np.float64]
        Relative radius at 1,440 equal angles; mean square 1.
    softness_mm : float
        Width over which the edge fades.
    contrast : float
        Grey levels above the surroundings.
    spicules : NDArray[np.float64]
        One row each: angle, length, half-width, curvature, brightness as a share of ``contrast``.
    distortion : float
        Pull on the surrounding tissue, 0 for none.
    calcifications : NDArray[np.float64]
        One row each: row and column from the centre, radius, brightness.
    """

    row_mm: float
    column_mm: float
    radius_mm: float
    outline: NDArray[np.float64]
    softness_mm: float
    contrast: float
    spicules: NDArray[np.float64]
    distortion: float
    calcifications: NDArray[np.float64]

    @classmethod
    def draw(
        cls,
        *,
        row_mm: float,
        column_mm: float,
        radius_mm: float,
        irregular: bool,
        spiculated: bool,
        high_density: bool,
        distortion: bool,
        calcification: bool,
        rng: Generator,
    ) -> Lesion:
        """Draw a lesion's form for its findings."""
        spicules = np.empty((0, 5))
        if spiculated:
            spicules = _rays(int(rng.integers(16, 27)), (0.5, 1.2), radius_mm, (0.3, 0.65), rng)
        if distortion:
            rays = _rays(int(rng.integers(8, 13)), (1.2, 2.0), radius_mm, (0.15, 0.3), rng)
            spicules = np.concatenate([spicules, rays])
        mean, spread = (500.0, 90.0) if high_density else (290.0, 70.0)
        return cls(
            row_mm=row_mm,
            column_mm=column_mm,
            radius_mm=radius_mm,
            outline=_outline(irregular, spiculated, rng),
            softness_mm=float(rng.uniform(0.6, 1.0) if spiculated else rng.uniform(0.25, 0.45)),
            contrast=float(np.clip(rng.normal(mean, spread), 160, 760)),
            spicules=spicules,
            distortion=float(rng.uniform(0.2, 0.35)) if distortion else 0.0,
            calcifications=_cluster(radius_mm, rng) if calcification else np.empty((0, 4)),
        )


@dataclass(frozen=True)
class Window:
    """The part of the image that a lesion changes.

    Attributes
    ----------
    slices : tuple[slice, slice]
        Rows and columns of the image.
    down, right : NDArray[np.float32]
        Position from the lesion's centre in mm, (rows, 1) and (1, columns).
    spacing_mm : float
        Pixel spacing.
    """

    slices: tuple[slice, slice]
    down: NDArray[np.float32]
    right: NDArray[np.float32]
    spacing_mm: float

    @classmethod
    def around(cls, lesion: Lesion, shape: tuple[int, int], spacing_mm: float) -> Window:
        """Cut a window of 3 radii to each side, and 8 mm, out of the image."""
        reach = 3 * lesion.radius_mm + 8
        spans, axes = [], []
        for centre, size in zip((lesion.row_mm, lesion.column_mm), shape, strict=True):
            first = max(0, int((centre - reach) / spacing_mm))
            last = min(size, int((centre + reach) / spacing_mm) + 1)
            spans.append(slice(first, last))
            axes.append(((np.arange(first, last) + 0.5) * spacing_mm - centre).astype(np.float32))
        return cls((spans[0], spans[1]), axes[0][:, None], axes[1][None, :], spacing_mm)


def draw_lesion(
    lesion: Lesion,
    texture: LesionTexture,
    pixels: NDArray[np.float32],
    window: Window,
    rng: Generator,
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Draw a lesion into a window; returns the new grey levels and the true mask, same shape."""
    radius = np.hypot(window.down, window.right)
    edge = np.interp(
        np.arctan2(window.down, window.right) % (2 * np.pi),
        np.linspace(0, 2 * np.pi, _N_ANGLES, endpoint=False),
        lesion.radius_mm * lesion.outline,
        period=2 * np.pi,
    ).astype(np.float32)
    inside = edge - radius
    mask = np.asarray(inside > 0)
    cover = 1 / (1 + np.exp(-np.clip(inside / (0.5 * lesion.softness_mm), -30, 30)))

    pixels = _pulled(pixels, lesion, window, radius)
    tissue = _HIDDEN * (pixels[mask].mean() - pixels)
    dome = 0.85 + 0.15 * np.sqrt(np.clip(1 - (radius / edge) ** 2, 0, 1))
    pattern = TEXTURE_SD * lesion_field(texture, mask, window.spacing_mm, rng)
    drawn = pixels + cover * (tissue + lesion.contrast * dome + pattern)
    drawn += (1 - cover) * _spicule_levels(lesion, window)
    drawn += _calcification_levels(lesion, window)
    return np.asarray(drawn, dtype=np.float32), mask


def _outline(irregular: bool, spiculated: bool, rng: Generator) -> NDArray[np.float64]:
    """Relative radius by angle: a near-circle, lobes when irregular, teeth when spiculated."""
    angle = np.linspace(0, 2 * np.pi, _N_ANGLES, endpoint=False)
    sizes = {2: 0.05, 3: 0.02}
    if irregular:
        sizes = {k: 0.20 / k**0.75 for k in range(2, 8)}
    if spiculated:
        sizes |= dict.fromkeys(range(9, 17), 0.022)
    outline = np.ones_like(angle)
    for k, size in sizes.items():
        amplitude = size * np.clip(rng.normal(0.6, 0.25), 0.1, 1.1)
        outline += amplitude * np.cos(k * angle + rng.uniform(0, 2 * np.pi))
    outline = np.clip(outline, 0.45, None)
    return np.asarray(outline / np.sqrt((outline**2).mean()))


def _rays(
    n: int,
    lengths: tuple[float, float],
    radius_mm: float,
    brightness: tuple[float, float],
    rng: Generator,
) -> NDArray[np.float64]:
    """Draw ``n`` lines that leave the lesion; lengths as shares of its radius."""
    angles = 2 * np.pi * (np.arange(n) + rng.uniform(-0.45, 0.45, n)) / n + rng.uniform(0, np.pi)
    return np.stack(
        [
            angles,
            rng.uniform(*lengths, n) * (0.6 * radius_mm + 3),
            rng.uniform(0.25, 0.55, n),
            rng.normal(0, 0.012, n),
            rng.uniform(*brightness, n),
        ],
        axis=1,
    )


def _cluster(radius_mm: float, rng: Generator) -> NDArray[np.float64]:
    """Draw a cluster of calcifications at the lesion's border and beyond it."""
    n = int(rng.integers(8, 22))
    angle, spread = rng.uniform(0, 2 * np.pi), float(np.clip(0.3 * radius_mm, 2.0, 4.0))
    centre = (1.15 * radius_mm + 0.8 * spread) * np.array([np.sin(angle), np.cos(angle)])
    return np.column_stack(
        [
            centre + spread * rng.standard_normal((n, 2)),
            rng.uniform(0.12, 0.3, n),
            rng.uniform(500, 1100, n),
        ]
    )


def _pulled(
    pixels: NDArray[np.float32],
    lesion: Lesion,
    window: Window,
    radius: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Draw the surrounding tissue in towards the lesion (architectural distortion)."""
    if not lesion.distortion:
        return pixels.copy()
    pull = 1 + lesion.distortion * np.exp(-((radius / (1.8 * lesion.radius_mm)) ** 2))
    centre = [axis.ravel()[0] / window.spacing_mm for axis in (window.down, window.right)]
    positions = np.stack(
        [
            pull * window.down / window.spacing_mm - centre[0],
            pull * window.right / window.spacing_mm - centre[1],
        ]
    )
    return map_coordinates(pixels, positions, order=1, mode="nearest")


def _spicule_levels(lesion: Lesion, window: Window) -> NDArray[np.float32]:
    """Grey levels of the spicules: tapering, slightly curved lines."""
    levels = np.zeros((len(window.down), window.right.shape[1]), dtype=np.float32)
    for angle, length, half_width, curvature, level in lesion.spicules.astype(np.float32):
        along = np.cos(angle) * window.right + np.sin(angle) * window.down
        across = np.cos(angle) * window.down - np.sin(angle) * window.right + curvature * along**2
        left = np.clip((lesion.radius_mm + length - along) / length, 0, 1)
        near = (along > 0) & (left > 0) & (np.abs(across) < 4 * half_width)
        width = half_width * (0.4 + 0.9 * left[near])
        levels[near] += (
            lesion.contrast * level * left[near] ** 0.7 * np.exp(-((across[near] / width) ** 2))
        )
    return levels


def _calcification_levels(lesion: Lesion, window: Window) -> NDArray[np.float32]:
    """Grey levels of the calcifications: specks as bright as their share of a pixel allows."""
    levels = np.zeros((len(window.down), window.right.shape[1]), dtype=np.float32)
    for down, right, size, level in lesion.calcifications:
        width = max(size, 0.45 * window.spacing_mm)
        rows = np.exp(-0.5 * ((window.down - down) / width) ** 2)
        columns = np.exp(-0.5 * ((window.right - right) / width) ** 2)
        levels += level * (size / width) ** 2 * rows * columns
    return levels

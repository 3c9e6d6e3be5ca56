"""One synthetic breast: a compressed breast with parenchyma, skin, chest muscle and a lesion.

No anatomy of any person goes in: outlines are superellipses, parenchyma is power-law noise. The
chest wall is drawn on the left and mirrored for a right breast. Lengths are in mm; grey levels are
those of a 12-bit image for presentation, air 0, brighter = more attenuating.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import distance_transform_edt

from .phantom_lesion import Lesion, Window, draw_lesion
from .texture import power_law

if TYPE_CHECKING:
    from numpy.random import Generator, SeedSequence
    from numpy.typing import NDArray

    from .texture import LesionTexture

FIELD_MM = (200.0, 110.0)
VIEWS = ("CC", "MLO")
BITS_STORED = 12

_FAT, _GLAND, _MUSCLE, _SKIN = 820.0, 800.0, 1600.0, 420.0
# How far the four densities push tissue towards gland, and how sharply gland ends.
_GLAND_PUSH = {"fatty": -1.9, "scattered": -0.9, "heterogeneous": 0.15, "extremely_dense": 1.7}
_ROLL_OFF_MM = 17.0
_NOISE_AT_300_UM = 9.0
_GRID_MM = 2.0


@dataclass(frozen=True)
class Findings:
    """What the clinical table says that the image must show.

    Attributes
    ----------
    breast_density : str
        ``fatty``, ``scattered``, ``heterogeneous`` or ``extremely_dense``.
    size_mm : float
        Greatest size of the lesion; above 25 mm it is drawn smaller (:func:`drawn_diameter`).
    irregular, spiculated, high_density, distortion, calcification, skin_change : bool
        Lesion shape, margin and density, and the associated features.
    """

    breast_density: str
    size_mm: float
    irregular: bool
    spiculated: bool
    high_density: bool
    distortion: bool
    calcification: bool
    skin_change: bool


@dataclass(frozen=True)
class Anatomy:
    """What both views of a breast share.

    Attributes
    ----------
    depth_mm : float
        Chest wall to skin behind the nipple.
    half_height_mm : float
        Half the breast's extent along the chest wall in CC.
    lesion_depth : float
        Distance of the lesion from the chest wall, as a share of ``depth_mm``.
    lesion_sideways : float
        Its position along the chest wall in CC, as a share of ``half_height_mm``; up = lateral.
    lesion_upwards : float
        The same in MLO; up = cranial.
    """

    depth_mm: float
    half_height_mm: float
    lesion_depth: float
    lesion_sideways: float
    lesion_upwards: float


@dataclass(frozen=True)
class Phantom:
    """One synthetic view.

    Attributes
    ----------
    pixels : NDArray[np.uint16]
        (rows, columns), 0 to 4095.
    lesion : NDArray[np.bool_]
        The true mask, same shape; without any pixel where there is no lesion.
    diameter_mm : float
        Diameter of the disc with the lesion's nominal area; 0 without a lesion.
    """

    pixels: NDArray[np.uint16]
    lesion: NDArray[np.bool_]
    diameter_mm: float


def draw_anatomy(findings: Findings, rng: Generator) -> Anatomy:
    """Draw a breast; fatty ones tend to be larger. Most lesions lie in the upper outer quadrant."""
    larger = 8.0 if findings.breast_density == "fatty" else 0.0
    depth = float(np.clip(rng.normal(76 + larger, 8), 58, 98))
    return Anatomy(
        depth_mm=depth,
        half_height_mm=float(np.clip(rng.normal(78 + 0.5 * larger, 5), 66, 90)),
        lesion_depth=float(rng.uniform(0.32, 0.68)),
        lesion_sideways=float(np.clip(rng.normal(0.2, 0.3), -0.6, 0.6)),
        lesion_upwards=float(np.clip(rng.normal(0.2, 0.3), -0.6, 0.6)),
    )


def drawn_diameter(size_mm: float) -> float:
    """Diameter that fits a breast: the size up to 25 mm, half of what is beyond, 42 mm at most."""
    return min(size_mm, 25 + 0.5 * max(0.0, size_mm - 25), 42.0)


def draw_view(
    view: str,
    laterality: str,
    anatomy: Anatomy,
    findings: Findings,
    texture: LesionTexture | None,
    spacing_mm: float,
    seed: SeedSequence,
) -> Phantom:
    """Draw one view of a breast; without a ``texture`` there is no lesion in it.

    Shape, place and findings do not depend on ``spacing_mm``; the noise fields do.
    """
    geometry, tissue, lesion_rng, noise = (np.random.default_rng(s) for s in seed.spawn(4))
    shape = (round(FIELD_MM[0] / spacing_mm), round(FIELD_MM[1] / spacing_mm))
    row = (np.arange(shape[0], dtype=np.float32)[:, None] + 0.5) * np.float32(spacing_mm)
    column = (np.arange(shape[1], dtype=np.float32)[None, :] + 0.5) * np.float32(spacing_mm)

    nipple, reach = _outline(view, anatomy, row[:, 0], geometry)
    depth = _skin_depth(column < reach[:, None], spacing_mm)
    muscle, behind = _muscle(view, row, column, geometry)
    pixels = _parenchyma(
        anatomy, findings.breast_density, nipple, row, column, depth, spacing_mm, tissue
    )
    fibres = _MUSCLE + 5 * np.clip(-behind, 0, 45) + 0.45 * (pixels - pixels.mean())
    pixels += (fibres - pixels) * muscle

    upwards = anatomy.lesion_sideways if view == "CC" else anatomy.lesion_upwards
    wanted = (nipple - upwards * anatomy.half_height_mm, anatomy.lesion_depth * anatomy.depth_mm)
    radius = drawn_diameter(findings.size_mm) / 2
    row_mm, column_mm, radius = _place(wanted, radius, depth, behind, spacing_mm)
    lesion_mask = np.zeros(shape, dtype=bool)
    if texture is not None:
        lesion = Lesion.draw(
            row_mm=row_mm,
            column_mm=column_mm,
            radius_mm=radius,
            irregular=findings.irregular,
            spiculated=findings.spiculated,
            high_density=findings.high_density,
            distortion=findings.distortion,
            calcification=findings.calcification,
            rng=geometry,
        )
        window = Window.around(lesion, shape, spacing_mm)
        pixels[window.slices], lesion_mask[window.slices] = draw_lesion(
            lesion, texture, pixels[window.slices], window, lesion_rng
        )

    pixels *= _thickness(depth)
    pixels += _skin(findings.skin_change, depth, row, row_mm)
    pixels += _noise_sd(spacing_mm) * noise.standard_normal(shape, dtype=np.float32)
    pixels[depth <= 0] = 0
    levels = np.clip(np.rint(pixels), 0, 2**BITS_STORED - 1).astype(np.uint16)
    if laterality == "R":
        levels, lesion_mask = levels[:, ::-1], lesion_mask[:, ::-1]
    diameter = 0.0 if texture is None else 2 * radius
    return Phantom(np.ascontiguousarray(levels), np.ascontiguousarray(lesion_mask), diameter)


def _noise_sd(spacing_mm: float) -> float:
    """Noise per pixel: finer pixels catch fewer quanta, processing for display evens this out."""
    return _NOISE_AT_300_UM * math.sqrt(0.3 / spacing_mm)


def _outline(
    view: str, anatomy: Anatomy, row: NDArray[np.float32], rng: Generator
) -> tuple[float, NDArray[np.float32]]:
    """Row of the nipple, and how far the breast reaches from the chest wall in every row (mm)."""
    if view == "CC":
        nipple = float(FIELD_MM[0] / 2 + rng.normal(0, 3))
        above = below = anatomy.half_height_mm
    else:
        nipple = float(rng.normal(118, 4))
        above, below = 2.1 * anatomy.half_height_mm, 0.92 * anatomy.half_height_mm
        below = min(below, FIELD_MM[0] - nipple - 6)
    offset = (row - nipple) / np.where(row < nipple, above, below)
    power = rng.uniform(2.0, 2.3)
    reach = anatomy.depth_mm * np.clip(1 - np.abs(offset) ** power, 0, 1) ** (1 / power)
    waves = np.arange(2, 6)[:, None]
    phases = rng.uniform(0, 2 * np.pi, (4, 1))
    wobble = (np.sin(waves * np.pi * row / FIELD_MM[0] + phases) / waves).sum(axis=0)
    reach += np.where(reach > 0, 1.2 * wobble, 0)
    reach += 3.5 * np.exp(-(((row - nipple) / 5.5) ** 4))
    return nipple, reach.astype(np.float32)


def _skin_depth(breast: NDArray[np.bool_], spacing_mm: float) -> NDArray[np.float32]:
    """Distance of every pixel of the breast from the air, in mm; the chest wall is no air."""
    return np.asarray(distance_transform_edt(breast) * spacing_mm, dtype=np.float32)


def _thickness(depth: NDArray[np.float32]) -> NDArray[np.float32]:
    """Compressed thickness as a share of the full one: a rounded edge, partly equalised."""
    inward = np.clip(depth / _ROLL_OFF_MM, 0, 1)
    return np.asarray((1 - (1 - inward) ** 2) ** np.float32(0.45), dtype=np.float32)


def _muscle(
    view: str, row: NDArray[np.float32], column: NDArray[np.float32], rng: Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Chest muscle (0 to 1) and the distance in front of it in mm; CC shows none."""
    if view == "CC":
        return np.zeros((1, 1), np.float32), np.broadcast_to(column, (len(row), column.shape[1]))
    width, height = rng.uniform(34, 48), rng.uniform(95, 130)
    bulge = rng.uniform(0.02, 0.1) * np.sin(np.pi * np.clip(row / height, 0, 1))
    inside = 1 - column / width - row / height + bulge
    front = -inside / np.hypot(1 / width, 1 / height)
    muscle = 1 / (1 + np.exp(np.clip(front / 0.9, -30, 30)))
    return muscle.astype(np.float32), np.minimum(front, column).astype(np.float32)


def _parenchyma(
    anatomy: Anatomy,
    density: str,
    nipple: float,
    row: NDArray[np.float32],
    column: NDArray[np.float32],
    depth: NDArray[np.float32],
    spacing_mm: float,
    rng: Generator,
) -> NDArray[np.float32]:
    """Fat and gland: gland where power-law noise plus a push towards the breast's middle is high.

    Thin bright strands follow the zero lines of a second field, as ligaments and vessels do.
    """
    shape = (row.shape[0], column.shape[1])
    clumps = power_law(shape, spacing_mm, 3.4, 1.4, rng)
    fine = power_law(shape, spacing_mm, 3.0, 1.6, rng)
    central = 1 - ((column / anatomy.depth_mm - 0.56) / 0.52) ** 2
    central = central - ((row - nipple) / anatomy.half_height_mm / 0.72) ** 2
    central = np.clip(central, -1.5, 1)
    under_skin = np.clip((depth - 5) / 9, 0, 1)
    push = 1.2 * central + _GLAND_PUSH[density] + float(rng.normal(0, 0.25))
    gland = under_skin / (1 + np.exp(-np.clip(1.7 * (push + 0.9 * clumps), -30, 30)))
    strands = np.exp(-((fine / 0.07) ** 2)) * np.clip(depth / 10, 0, 1)
    pixels = _FAT + _GLAND * gland * (0.9 + 0.13 * fine) + 45 * clumps + 40 * fine
    return np.asarray(pixels + (90 - 40 * gland) * strands, dtype=np.float32)


def _skin(
    changed: bool, depth: NDArray[np.float32], row: NDArray[np.float32], lesion_row: float
) -> NDArray[np.float32]:
    """Grey levels of the skin: a band of 1.5 mm, up to 5 mm beside the lesion when changed."""
    thick = np.full_like(row, 1.5)
    if changed:
        thick += 3.5 * np.exp(-(((row - lesion_row) / 45) ** 2))
    band = 1 / (1 + np.exp(np.clip((depth - thick) / 0.25, -30, 30)))
    return np.asarray(_SKIN * band, dtype=np.float32)


def _place(
    wanted: tuple[float, float],
    radius: float,
    depth: NDArray[np.float32],
    behind: NDArray[np.float32],
    spacing_mm: float,
) -> tuple[float, float, float]:
    """Row, column and radius in mm: the free place nearest to the wanted one.

    The lesion keeps clear of skin, chest wall and muscle; where it does not fit it is drawn
    smaller, in the roomiest place.
    """
    step = round(_GRID_MM / spacing_mm)
    start = step // 2
    room = np.minimum(depth - 6, behind - 2)[start::step, start::step]
    rows, columns = ((np.arange(n) * step + start + 0.5) * spacing_mm for n in room.shape)
    radius = min(radius, float(room.max()))
    distance = np.hypot(rows[:, None] - wanted[0], columns[None, :] - wanted[1])
    i, j = np.unravel_index(np.argmin(np.where(room >= radius, distance, np.inf)), room.shape)
    return float(rows[i]), float(columns[j]), radius

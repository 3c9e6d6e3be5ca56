"""What the augmentation of a batch changes in an image: drawn on the host, applied on the device.

The changes and their ranges are those of :class:`.data.Augmentation`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Changes = dict[str, NDArray[np.float32] | np.float32]

BEND_SPACING = 48
"""Pixels between the points whose random shifts bend an image."""
CURVE_POINTS = 256
"""Values of a grey curve, over equal steps from the darkest to the brightest."""


@dataclass(frozen=True)
class Ranges:
    """How far and how often an image is changed, beside being turned upside down half of the time.

    Attributes
    ----------
    place, bend, bent, scaled, curve, blur, coarse, noise : float
        How often: turn, shear, scale and shift together; local shifts; gamma; factor; another grey
        curve; blur; fewer pixels; noise.
    turn_rad, shear, scale, shift_pixels, bend_pixels : float
        Largest turn, shear, change of size, shift, and local shift.
    gamma : (float, float)
        Smallest and largest.
    factor : float
        Largest change of the grey values' factor.
    noise_sd : float
        Largest standard deviation.
    """

    place: float = 0.0
    turn_rad: float = 0.0
    shear: float = 0.0
    scale: float = 0.0
    shift_pixels: float = 0.0
    bend: float = 0.0
    bend_pixels: float = 0.0
    bent: float = 0.0
    gamma: tuple[float, float] = (1.0, 1.0)
    scaled: float = 0.0
    factor: float = 0.0
    curve: float = 0.0
    blur: float = 0.0
    coarse: float = 0.0
    noise: float = 0.0
    noise_sd: float = 0.0

    @property
    def local(self) -> bool:
        """Whether there is more than the affine map, gamma, factor and noise."""
        return max(self.bend, self.curve, self.blur, self.coarse) > 0


KINDS = {
    "flips": Ranges(),
    "full": Ranges(
        place=0.7, turn_rad=0.2, scale=0.15, shift_pixels=8.0, bent=0.3, gamma=(0.8, 1.25),
        scaled=0.3, factor=0.1, noise=0.3, noise_sd=0.03,
    ),
    "strong": Ranges(
        place=0.9, turn_rad=0.35, shear=0.1, scale=0.25, shift_pixels=8.0, bend=0.3,
        bend_pixels=4.0, bent=0.5, gamma=(0.67, 1.5), scaled=0.5, factor=0.3, curve=0.3, blur=0.2,
        coarse=0.2, noise=0.3, noise_sd=0.06,
    ),
}  # fmt: skip
"""Values of ``augmentation`` that can be done on the device."""


def window_size(patch: tuple[int, int], ranges: Ranges) -> tuple[int, int]:
    """Give the size of the window that holds a patch however it is bent, turned and shifted.

    The margin is even, so that window and patch have the same centre.
    """
    rows, columns = (
        (1 + ranges.scale) * (side + 2 * ranges.bend_pixels) + 2 * ranges.shift_pixels
        for side in patch
    )
    shear = ranges.shear
    rows, columns = rows + shear * columns, (1 + shear**2) * columns + shear * rows
    sine = math.sin(ranges.turn_rad)
    sides = rows + sine * columns, columns + sine * rows
    height, width = (
        small + 2 * math.ceil((large - small) / 2)
        for large, small in zip(sides, patch, strict=True)
    )
    return height, width


def draw_changes(generator: np.random.Generator, ranges: Ranges, patch: tuple[int, int]) -> Changes:
    """Draw one image's changes.

    Returns
    -------
    dict
        ``affine`` (2, 3), see :func:`affine_matrix`; ``grey`` (3): gamma, factor and standard
        deviation of the noise. For ranges with local changes also ``bend`` (2, rows, columns):
        shifts of rows and columns in pixels at points :data:`BEND_SPACING` apart; ``curve``
        (:data:`CURVE_POINTS`); ``blur`` (2): sigma in pixels of rows and columns, 0 for none;
        ``zoom``: 1 or less.
    """

    def happens(how_often: float) -> bool:
        return bool(generator.random() < how_often)

    def symmetric(largest: float) -> tuple[float, float]:
        one, other = generator.uniform(-largest, largest, 2)
        return float(one), float(other)

    flip = happens(0.5)
    turn, shear, scale, shift = 0.0, (0.0, 0.0), (1.0, 1.0), (0.0, 0.0)
    if happens(ranges.place):
        turn, _ = symmetric(ranges.turn_rad)
        shear, shift = symmetric(ranges.shear), symmetric(ranges.shift_pixels)
        rows, columns = symmetric(ranges.scale)
        scale = (1 + rows, 1 + columns)
    gamma = generator.uniform(*ranges.gamma) if happens(ranges.bent) else 1.0
    factor = 1 + symmetric(ranges.factor)[0] if happens(ranges.scaled) else 1.0
    noise = generator.uniform(0, ranges.noise_sd) if happens(ranges.noise) else 0.0
    changes: Changes = {
        "affine": affine_matrix(flip, turn, scale, shift, shear),
        "grey": np.array([gamma, factor, noise], np.float32),
    }
    if ranges.local:
        points = [math.ceil(side / BEND_SPACING) + 2 for side in patch]
        size = generator.uniform(0, ranges.bend_pixels) if happens(ranges.bend) else 0.0
        bend = size * generator.uniform(-1, 1, (2, *points))
        blur = generator.uniform(0.5, 1.0, 2) if happens(ranges.blur) else np.zeros(2)
        zoom = generator.uniform(0.5, 1.0) if happens(ranges.coarse) else 1.0
        changes["bend"] = bend.astype(np.float32)
        changes["curve"] = grey_curve(generator if happens(ranges.curve) else None)
        changes["blur"] = blur.astype(np.float32)
        changes["zoom"] = np.float32(zoom)
    return changes


def affine_matrix(
    flip: bool,
    turn: float,
    scale: tuple[float, float],
    shift: tuple[float, float],
    shear: tuple[float, float] = (0.0, 0.0),
) -> NDArray[np.float32]:
    """Give the way from a pixel of the result to the pixel of the window that it shows.

    Rows, then columns, in pixels from the centre:
    ``source = flip(turn(shear(scale * result + shift)))``; 2 x 3, the last column being the
    constant part. The order is that of MONAI's ``Affine``.
    """
    cosine, sine = math.cos(turn), math.sin(turn)
    sheared = np.array([[1, shear[0]], [shear[1], 1 + shear[0] * shear[1]]])
    turned = np.array([[cosine, -sine], [sine, cosine]]) @ sheared
    matrix = np.column_stack([turned @ np.diag(scale), turned @ np.array(shift)])
    if flip:
        matrix[0] *= -1
    return matrix.astype(np.float32)


def grey_curve(generator: np.random.Generator | None) -> NDArray[np.float32]:
    """Draw a rising curve from 0 to 1 through 5 to 9 points, as MONAI's ``RandHistogramShift``.

    None gives the straight line, which changes nothing.
    """
    line = np.linspace(0, 1, CURVE_POINTS)
    if generator is None:
        return line.astype(np.float32)
    points = np.linspace(0, 1, int(generator.integers(5, 10)))
    values = points.copy()
    for number in range(1, len(points) - 1):
        values[number] = generator.uniform(values[number - 1], values[number + 1])
    return np.interp(line, points, values).astype(np.float32)

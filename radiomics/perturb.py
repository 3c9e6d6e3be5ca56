"""Masks as another reader could have drawn them: larger, smaller, with another edge, elsewhere.

All four work on the signed distance in mm to the mask's outline, not on its pixels, so that a
tenth of a millimetre counts where a pixel is larger than that. The outline is the 0.5 level of the
slightly smoothed mask, which takes the stairs out of it, but leaves every pixel's centre on its
side: no change asked is no change made. A disc gets the radius that was asked for to a sixth of a
pixel. The image's own edge is no outline: a lesion that the image cuts off stays cut off there.

Perturbed masks in place of a second reader: Zwanenburg et al., Sci Rep 2019;9:614.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, shift
from scipy.spatial import KDTree
from skimage.measure import find_contours

from ..errors import MammoroiError
from ..files import sha256_of
from ..imaging.mammogram import Spacing
from .perturbation_config import Perturbation

Mask = NDArray[np.bool_]
_SMOOTHING = 1.0  # pixels
_MARGIN = 0.02  # of the smoothed mask around 0.5: how near the outline may come to a centre
_POINTS_PER_STEP = 8  # of the outline, between two neighbouring pixels
_WAVES = 64


@dataclass(frozen=True, eq=False)
class _Field:
    """The part of an image around a mask, and how far each of its pixels is from the outline.

    Attributes
    ----------
    window : tuple of slice
        Rows and columns of the image.
    distance : NDArray[np.float64]
        mm, negative inside; infinite beyond the reach that was asked for.
    nearest : NDArray[np.intp]
        The nearest point of the outline; ``len(outline)`` beyond the reach.
    outline : NDArray[np.float64]
        (points, 2): row and column in mm, counted from the window's corner.
    """

    window: tuple[slice, slice]
    distance: NDArray[np.float64]
    nearest: NDArray[np.intp]
    outline: NDArray[np.float64]


def perturbed(
    mask: Mask, spacing: Spacing, perturbation: Perturbation, image_id: str, seed: int
) -> Mask:
    """Apply one perturbation of a study's list; the result may be empty.

    Chance depends on the seed, the image and the perturbation's name only, never on the order in
    which images are done.
    """
    if perturbation.kind == "grow":
        return grow(mask, spacing, perturbation.mm)
    if perturbation.kind == "shrink":
        return grow(mask, spacing, -perturbation.mm)
    if perturbation.kind == "translate":
        down, right = perturbation.direction
        return translate(mask, spacing, down * perturbation.mm, right * perturbation.mm)
    rng = np.random.default_rng(int(sha256_of(seed, image_id, perturbation.name), 16))
    return roughen(mask, spacing, perturbation.mm, perturbation.length_mm, rng)


def grow(mask: Mask, spacing: Spacing, mm: float) -> Mask:
    """Move the outline outwards by ``mm``; inwards where it is negative.

    Parameters
    ----------
    mask : NDArray[np.bool_]
        (rows, columns).
    spacing : Spacing
        Rows and columns may differ.
    mm : float
        A pixel belongs to the new mask when its centre does.

    Raises
    ------
    MammoroiError
        When the mask is empty.
    """
    field = _field(mask, spacing, abs(mm))
    return _placed(mask, field, field.distance <= mm)


def translate(mask: Mask, spacing: Spacing, row_mm: float, column_mm: float) -> Mask:
    """Move the mask down by ``row_mm`` and right by ``column_mm``, which may be negative.

    Raises
    ------
    MammoroiError
        When the mask is empty.
    """
    reach = float(np.hypot(row_mm, column_mm) + 2 * np.hypot(spacing.row_mm, spacing.column_mm))
    field = _field(mask, spacing, reach)
    # A hair less than asked: an outline that would come to lie on pixel centres takes those of one
    # side and leaves those of the other, so that the area stays.
    pixels = np.array([row_mm / spacing.row_mm, column_mm / spacing.column_mm]) * (1 - 1e-9)
    distance = shift(field.distance.clip(-reach, reach), pixels, order=1, mode="nearest")
    return _placed(mask, field, distance <= 0)


def roughen(
    mask: Mask, spacing: Spacing, sd_mm: float, length_mm: float, rng: np.random.Generator
) -> Mask:
    """Move each point of the outline along its normal by a smooth random distance.

    Parameters
    ----------
    mask : NDArray[np.bool_]
        (rows, columns).
    spacing : Spacing
        Rows and columns may differ.
    sd_mm : float
        Standard deviation of the distance, which is normal with mean 0.
    length_mm : float
        Points that are so far apart correlate by 1/e: the correlation at h mm is
        exp(-(h / length)²). An outline much shorter than this grows or shrinks as a whole.
    rng : numpy.random.Generator
        Of the noise.

    Raises
    ------
    MammoroiError
        When the mask is empty.

    Notes
    -----
    The noise is a sum of cosines of random frequency and phase (Rahimi & Recht, NIPS 2007, random
    Fourier features), so that it depends on places in mm and not on the grid.
    """
    field = _field(mask, spacing, 4 * sd_mm)
    noise = np.zeros(len(field.outline) + 1)
    frequencies = rng.normal(scale=np.sqrt(2) / length_mm, size=(_WAVES, 2))
    phases = rng.uniform(0, 2 * np.pi, _WAVES)
    for frequency, phase in zip(frequencies, phases, strict=True):
        noise[:-1] += np.cos(field.outline @ frequency + phase)
    noise = (noise * np.sqrt(2 / _WAVES) * sd_mm).clip(-4 * sd_mm, 4 * sd_mm)
    return _placed(mask, field, field.distance <= noise[field.nearest])


def _field(mask: Mask, spacing: Spacing, reach_mm: float) -> _Field:
    """Measure the signed distance to the outline as far as ``reach_mm`` from it."""
    if not mask.any():
        raise MammoroiError("the mask is empty", "outline the lesion, or leave this image out")
    steps = (spacing.row_mm, spacing.column_mm)
    window = []
    for axis, step in enumerate(steps):
        inside = np.flatnonzero(mask.any(axis=1 - axis))
        margin = int(np.ceil(reach_mm / step)) + 2
        window.append(slice(max(0, int(inside[0]) - margin), int(inside[-1]) + margin + 1))
    part = mask[window[0], window[1]]
    contours = [_densely(contour) for contour in find_contours(_antialiased(part), 0.5)]
    outline = np.concatenate([*contours, np.empty((0, 2))]) * steps
    centres = np.argwhere(np.ones_like(part)) * steps
    distance = np.full(len(centres), np.inf)
    nearest = np.full(len(centres), len(outline))
    if len(outline):
        found = KDTree(outline).query(centres, distance_upper_bound=reach_mm * (1 + 1e-9))
        distance, nearest = np.asarray(found[0]), np.asarray(found[1])
    signed = np.where(part, -1.0, 1.0) * distance.reshape(part.shape)
    return _Field((window[0], window[1]), signed, nearest.reshape(part.shape), outline)


def _antialiased(mask: Mask) -> NDArray[np.float64]:
    """Smooth a mask to values from 0 to 1, of which those inside stay above 0.5, others below."""
    smooth = gaussian_filter(mask.astype(np.float64), _SMOOTHING, mode="nearest")
    return np.where(mask, smooth.clip(min=0.5 + _MARGIN), smooth.clip(max=0.5 - _MARGIN))


def _densely(contour: NDArray[np.float64]) -> NDArray[np.float64]:
    shares = np.arange(_POINTS_PER_STEP)[:, None, None] / _POINTS_PER_STEP
    between = contour[:-1] + shares * np.diff(contour, axis=0)
    return np.concatenate([between.transpose(1, 0, 2).reshape(-1, 2), contour[-1:]])


def _placed(mask: Mask, field: _Field, part: Mask) -> Mask:
    whole = np.zeros_like(mask)
    whole[field.window] = part
    return whole

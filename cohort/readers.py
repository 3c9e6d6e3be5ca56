"""Two readers' masks from a true mask: how outlines of one lesion plausibly differ.

A reader moves the true contour by a smooth random amount along it, draws all of it a little wide
or tight, and misplaces it a little. Published agreement of radiologists on masses is a Dice of
about 0.85 to 0.91.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import binary_fill_holes, distance_transform_edt, find_objects, label, shift

from .texture import gaussian, standardised

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Habits:
    """How far a reader's contour strays, as shares of the lesion's radius (standard deviations).

    Attributes
    ----------
    wander : float
        Smooth movement along the contour.
    width : float
        The whole contour drawn wide or tight.
    offset : float
        Displacement along each axis.
    """

    wander: float = 0.062
    width: float = 0.028
    offset: float = 0.028


CLEAR = Habits()
ILL_DEFINED = Habits(wander=0.080, width=0.034, offset=0.031)


def read_lesion(lesion: NDArray[np.bool_], habits: Habits, rng: Generator) -> NDArray[np.bool_]:
    """Draw one reader's mask of a lesion.

    Parameters
    ----------
    lesion : NDArray[np.bool_]
        The true mask (rows, columns), one region, not empty.
    habits : Habits
        How far the reader strays.
    rng : Generator
        Source of the reader's choices.

    Returns
    -------
    NDArray[np.bool_]
        Same shape, one region without holes.
    """
    radius = float(np.sqrt(lesion.sum() / np.pi))
    rows, columns = find_objects(lesion.astype(np.uint8))[0]
    margin = int(np.ceil(0.6 * radius)) + 3
    window = (
        slice(max(0, rows.start - margin), rows.stop + margin),
        slice(max(0, columns.start - margin), columns.stop + margin),
    )
    true = np.pad(lesion[window], 1)
    # Half a pixel less on either side: the contour runs between pixels.
    signed = distance_transform_edt(true) - distance_transform_edt(~true)
    signed -= 0.5 * np.sign(signed)
    signed = shift(signed, habits.offset * radius * rng.standard_normal(2), order=1, mode="nearest")
    width = 0.28 * radius
    wander = standardised(gaussian((true.shape[0], true.shape[1]), 1.0, (width, width), rng))
    drawn = signed + radius * (habits.wander * wander + habits.width * rng.standard_normal()) > 0
    mask = np.zeros_like(lesion)
    mask[window] = _largest_region(drawn)[1:-1, 1:-1]
    return mask


def _largest_region(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Keep the largest connected region and fill its holes."""
    regions, _ = label(mask)
    sizes = np.bincount(regions.ravel())[1:]
    return np.asarray(binary_fill_holes(regions == 1 + sizes.argmax()))

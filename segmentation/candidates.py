"""Regions that may be lesions, each with a score, before the mask keeps the best of them.

``masks/candidates.csv`` has a row per candidate: ``image_id, region`` (1 is the one with the
highest score), ``score`` (mean probability of its pixels), ``area_mm2, row, column`` (centroid),
``top, bottom, left, right`` (its box, ends excluded); all in pixels of the mammogram.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .mapping import bounding_box

# Well below any threshold of a mask: faint regions are the right end of an FROC curve.
CANDIDATE_PROBABILITY = 0.1


@dataclass(frozen=True)
class Candidate:
    """One region, as a row of ``candidates.csv`` without the image's name."""

    region: int
    score: float
    area_mm2: float
    row: float
    column: float
    top: int
    bottom: int
    left: int
    right: int


def find_candidates(
    probability: NDArray[np.float32], pixel_area_mm2: float, minimum_area_mm2: float
) -> list[Candidate]:
    """List the regions of probability 0.1 or more (neighbours by edge or corner), best first.

    Parameters
    ----------
    probability : float32 (rows, columns)
        0..1, on the mammogram's own grid.
    pixel_area_mm2 : float
        Area of a pixel.
    minimum_area_mm2 : float
        Smaller regions are left out.
    """
    from scipy import ndimage

    high = probability >= CANDIDATE_PROBABILITY
    whole = bounding_box(high)
    if whole is None:
        return []
    above, below, before, behind = whole  # the rest of a large mammogram need not be looked at
    probability = probability[above:below, before:behind]
    regions, count = ndimage.label(high[above:below, before:behind], np.ones((3, 3)))
    found = []
    for label, box in enumerate(ndimage.find_objects(regions, count), start=1):
        inside = regions[box] == label
        area = float(inside.sum() * pixel_area_mm2)
        if area < minimum_area_mm2:
            continue
        rows, columns = np.nonzero(inside)
        found.append(
            Candidate(
                region=0,
                score=float(probability[box][inside].mean()),
                area_mm2=area,
                row=float(rows.mean() + (above + box[0].start)),
                column=float(columns.mean() + (before + box[1].start)),
                top=above + box[0].start,
                bottom=above + box[0].stop,
                left=before + box[1].start,
                right=before + box[1].stop,
            )
        )
    found.sort(key=lambda one: -one.score)
    return [
        Candidate(**{**vars(one), "region": number}) for number, one in enumerate(found, start=1)
    ]

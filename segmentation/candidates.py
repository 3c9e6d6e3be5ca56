"""Regions that may be lesions, each with a score, before the mask keeps the best of them.

Their area is ``minimum_area_mm2`` of the settings or more, whatever was learnt for masks.
``masks/candidates.csv`` has a row per candidate: ``image_id, region`` (1 is the one with the
highest score), ``score`` (mean probability of its pixels), ``area_mm2, row, column`` (centroid),
``top, bottom, left, right`` (its box, ends excluded); all in pixels of the mammogram.
"""

from __future__ import annotations

from collections.abc import Iterator
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


def without_faint(probability: NDArray[np.float32], minimum_score: float) -> NDArray[np.float32]:
    """Set to 0 what is in no region with a score above the limit.

    Parameters
    ----------
    probability : float32 (rows, columns)
        0..1.
    minimum_score : float
        Regions of this score or a lower one become 0; with 0 nothing is changed.
    """
    if minimum_score <= 0:
        return probability
    left = np.zeros_like(probability)
    for box, inside in _regions(probability):
        if _score(probability[box][inside]) > minimum_score:
            left[box][inside] = probability[box][inside]
    return left


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
    found = []
    for box, inside in _regions(probability):
        area = float(inside.sum() * pixel_area_mm2)
        if area < minimum_area_mm2:
            continue
        rows, columns = np.nonzero(inside)
        found.append(
            Candidate(
                region=0,
                score=_score(probability[box][inside]),
                area_mm2=area,
                row=float(rows.mean() + box[0].start),
                column=float(columns.mean() + box[1].start),
                top=box[0].start,
                bottom=box[0].stop,
                left=box[1].start,
                right=box[1].stop,
            )
        )
    found.sort(key=lambda one: -one.score)
    return [
        Candidate(**{**vars(one), "region": number}) for number, one in enumerate(found, start=1)
    ]


def _score(probabilities: NDArray[np.float32]) -> float:
    return float(probabilities.mean())


def _regions(
    probability: NDArray[np.float32],
) -> Iterator[tuple[tuple[slice, slice], NDArray[np.bool_]]]:
    """Give the box of each region, and which of its pixels belong to it."""
    from scipy import ndimage

    high = probability >= CANDIDATE_PROBABILITY
    whole = bounding_box(high)
    if whole is None:
        return
    above, below, before, behind = whole  # the rest of a large mammogram need not be looked at
    regions, count = ndimage.label(high[above:below, before:behind], np.ones((3, 3)))
    for label, (rows, columns) in enumerate(ndimage.find_objects(regions, count), start=1):
        box = (
            slice(above + rows.start, above + rows.stop),
            slice(before + columns.start, before + columns.stop),
        )
        yield box, regions[rows, columns] == label

"""The exact outline of a mask, along the edges of its pixels, and how large the lesion is.

Nothing is smoothed: what is shown is what was measured. Coordinates are those of the pixels'
corners: pixel (row, column) covers the square from (column, row) to (column + 1, row + 1).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Region:
    """The largest region of a mask; pixels that touch, be it at a corner, are one region.

    Attributes
    ----------
    count : int
        How many regions the mask has.
    box : (int, int, int, int)
        First row, first column, and the row and column after the last, of the largest region.
    longest : float
        The greatest distance between two points of its outline.
    across : float
        Its extent at right angles to that.
    """

    count: int
    box: tuple[int, int, int, int]
    longest: float
    across: float


def outline_path(mask: NDArray[np.bool_]) -> str:
    """The outline of a mask as the ``d`` of an SVG path, in pixels; empty for an empty mask.

    Outer borders run clockwise, those of holes the other way; pixels that touch at a corner only
    have outlines of their own.

    Parameters
    ----------
    mask : bool (rows, columns)
        Any number of regions, with or without holes.
    """
    top, left, bottom, right = _box(mask)
    if top == bottom:
        return ""
    part = np.pad(mask[top:bottom, left:right], 1).astype(np.int8)
    across = _runs(np.diff(part, axis=0)[:, 1:-1])
    # A left border is walked upwards, a right one down.
    along = _runs(-np.diff(part, axis=1)[1:-1].T)
    vertical: dict[tuple[int, int], list[int]] = {}
    for column, start, end in along:
        vertical.setdefault((start, column), []).append(end)
    horizontal: dict[tuple[int, int], list[int]] = {}
    for row, start, end in across:
        horizontal.setdefault((row, start), []).append(end)
    pieces = []
    while horizontal:
        first = next(iter(horizontal))
        pieces.append(f"M{first[1] + left} {first[0] + top}")
        row, column, rightwards = first[0], first[1], True
        while True:
            end = _turn(horizontal, (row, column), column, larger=not rightwards)
            pieces.append(f"h{end - column}")
            rightwards, column = end > column, end
            end = _turn(vertical, (row, column), row, larger=rightwards)
            pieces.append(f"v{end - row}")
            # From an edge walked down a right turn leads to the left.
            rightwards, row = end > row, end
            if (row, column) == first:
                pieces.append("z")
                break
    return "".join(pieces)


def _box(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """First row and column, and those after the last; all 0 for an empty mask."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return 0, 0, 0, 0
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1


def _runs(steps: NDArray[np.int8]) -> list[tuple[int, int, int]]:
    """Runs of equal signs in each line, as (line, start, end); a negative run goes backwards."""
    padded = np.pad(steps, ((0, 0), (1, 1)))
    here = padded[:, 1:-1]
    line, first = np.nonzero((here != 0) & (here != padded[:, :-2]))
    _, last = np.nonzero((here != 0) & (here != padded[:, 2:]))
    forward = here[line, first] > 0
    start, end = np.where(forward, (first, last + 1), (last + 1, first))
    return list(zip(line.tolist(), start.tolist(), end.tolist(), strict=True))


def _turn(
    runs: dict[tuple[int, int], list[int]], at: tuple[int, int], here: int, *, larger: bool
) -> int:
    """Take the run that starts at a corner; where two do, the one to the larger or smaller side."""
    found = runs[at]
    chosen = found[0] if len(found) == 1 else next(e for e in found if (e > here) == larger)
    found.remove(chosen)
    if not found:
        del runs[at]
    return chosen


def largest_region(mask: NDArray[np.bool_], spacing: tuple[float, float]) -> Region | None:
    """Measure the largest region of a mask; None for an empty mask.

    Parameters
    ----------
    mask : bool (rows, columns)
        The mask.
    spacing : (float, float)
        Row and column spacing, in the unit in which lengths are wanted: mm, or 1 for pixels.

    Returns
    -------
    Region or None
        Lengths include the whole of the pixels at both ends.
    """
    from scipy import ndimage
    from scipy.spatial import ConvexHull, distance

    top, left, bottom, right = _box(mask)
    if top == bottom:
        return None
    regions, count = ndimage.label(mask[top:bottom, left:right], np.ones((3, 3)))
    sizes = np.bincount(regions.ravel())
    sizes[0] = 0
    largest = int(sizes.argmax())
    rows, columns = ndimage.find_objects(regions, largest)[largest - 1]
    corners = _corners(regions[rows, columns] == largest) * np.asarray(spacing)
    hull = corners[ConvexHull(corners).vertices]
    apart = distance.squareform(distance.pdist(hull))
    one, other = np.unravel_index(int(apart.argmax()), apart.shape)
    direction = (hull[other] - hull[one]) / apart[one, other]
    sideways = hull @ np.array([-direction[1], direction[0]])
    return Region(
        count=int(count),
        box=(top + rows.start, left + columns.start, top + rows.stop, left + columns.stop),
        longest=float(apart[one, other]),
        across=float(np.ptp(sideways)),
    )


def _corners(region: NDArray[np.bool_]) -> NDArray[Any]:
    """The outer corners of the first and last pixel of every row, as (row, column)."""
    rows = np.flatnonzero(region.any(axis=1))
    first = region[rows].argmax(axis=1)
    last = region.shape[1] - region[rows, ::-1].argmax(axis=1)
    ends = [np.column_stack([rows + down, column]) for down in (0, 1) for column in (first, last)]
    return np.concatenate(ends).astype(float)

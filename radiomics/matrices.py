"""The texture matrices of a 2D ROI, each in one pass over its pixels.

All take ``ranks`` (rows, columns) of :class:`.levels.GreyLevels` with a border of zeros as wide as
the farthest neighbour, so that no step asks whether a neighbour lies inside the image.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .compiled import compiled

Ranks = NDArray[np.int32]
Offsets = NDArray[np.int64]

# Rows and columns to the next pixel of a run, in the order of the matrices.
RUN_DIRECTIONS = ((0, 1), (1, 0), (1, 1), (1, -1))


def half_plane(distances: tuple[int, ...]) -> Offsets:
    """Neighbours at the given distances (maximum norm), one of each pair of opposite ones.

    Returns
    -------
    NDArray[np.int64]
        (neighbours, 2): rows, columns.
    """
    reach = max(distances)
    found = [
        (row, column)
        for row in range(reach + 1)
        for column in range(-reach, reach + 1)
        if max(row, abs(column)) in distances and (row > 0 or column > 0)
    ]
    return np.array(found, dtype=np.int64)


@compiled
def neighbour_matrices(
    ranks: Ranks, border: int, levels: NDArray[np.float64], offsets: Offsets, alpha: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """GLCM, GLDM and NGTDM.

    Parameters
    ----------
    ranks : NDArray[np.int32]
        (rows, columns), bordered.
    border : int
        Its width, at least the largest distance.
    levels : NDArray[np.float64]
        (n,) grey levels of the ranks.
    offsets : NDArray[np.int64]
        (offsets, 2), of :func:`half_plane`.
    alpha : float
        Largest difference in grey level of a dependent neighbour.

    Returns
    -------
    cooccurrences : NDArray[np.float64]
        (offsets, n, n): how often a rank has another as its neighbour, in one direction.
    dependences : NDArray[np.float64]
        (n, 2 offsets + 1): pixels by their number of dependent neighbours.
    differences : NDArray[np.float64]
        (n,): sums of the absolute differences between a pixel's level and its neighbours' mean.
    """
    n, directions = len(levels), len(offsets)
    cooccurrences = np.zeros((directions, n, n))
    dependences = np.zeros((n, 2 * directions + 1))
    differences = np.zeros(n)
    for row in range(border, ranks.shape[0] - border):
        for column in range(border, ranks.shape[1] - border):
            rank = ranks[row, column]
            if rank == 0:
                continue
            level = levels[rank - 1]
            dependent = neighbours = 0
            total = 0.0
            for k in range(directions):
                down, right = offsets[k, 0], offsets[k, 1]
                after = ranks[row + down, column + right]
                if after > 0:
                    cooccurrences[k, rank - 1, after - 1] += 1
                    neighbours += 1
                    total += levels[after - 1]
                    dependent += abs(levels[after - 1] - level) <= alpha
                before = ranks[row - down, column - right]
                if before > 0:
                    neighbours += 1
                    total += levels[before - 1]
                    dependent += abs(levels[before - 1] - level) <= alpha
            dependences[rank - 1, dependent] += 1
            if neighbours > 0:
                differences[rank - 1] += abs(level - total / neighbours)
    return cooccurrences, dependences, differences


@compiled
def run_matrices(ranks: Ranks, border: int, n: int) -> NDArray[np.float64]:
    """GLRLM in the four directions of :data:`RUN_DIRECTIONS`.

    A direction in which no line meets the ROI in more than one pixel has no runs: it is left zero,
    as pyradiomics does.

    Returns
    -------
    NDArray[np.float64]
        (4, n, longest possible run): runs by rank and length - 1.
    """
    rows, columns = ranks.shape
    runs = np.zeros((4, n, max(rows, columns) - 2 * border))
    length = np.zeros((4, 2, columns), np.int64)  # of the runs that end in this row and the last
    for row in range(border, rows - border):
        this, last = row % 2, (row + 1) % 2
        for column in range(border, columns - border):
            rank = ranks[row, column]
            if rank == 0:
                continue
            for k in range(4):
                down = 0 if k == 0 else 1
                right = 0 if k == 1 else (-1 if k == 3 else 1)
                run = 1
                if ranks[row - down, column - right] == rank:
                    run += length[k, last if down else this, column - right]
                length[k, this, column] = run
                if ranks[row + down, column + right] != rank:
                    runs[k, rank - 1, run - 1] += 1
    for k in range(4):
        if not _a_line_has_two(ranks, k):
            runs[k] = 0
    return runs


@compiled
def _a_line_has_two(ranks: Ranks, direction: int) -> bool:
    rows, columns = ranks.shape
    seen = np.zeros(rows + columns, np.bool_)
    for row in range(rows):
        for column in range(columns):
            if ranks[row, column] > 0:
                if direction == 0:
                    line = row
                elif direction == 1:
                    line = column
                elif direction == 2:
                    line = row - column + columns
                else:
                    line = row + column
                if seen[line]:
                    return True
                seen[line] = True
    return False


@compiled
def zones(ranks: Ranks, border: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Connected zones of equal rank (8 neighbours), by union and find.

    Returns
    -------
    rank, size : NDArray[np.int64]
        (zones,) each.
    """
    rows, columns = ranks.shape
    parent = np.empty(rows * columns, np.int32)
    flat = ranks.ravel()
    for row in range(border, rows - border):
        for column in range(border, columns - border):
            here = row * columns + column
            rank = flat[here]
            if rank == 0:
                continue
            parent[here] = here
            for there in (here - columns - 1, here - columns, here - columns + 1, here - 1):
                if flat[there] == rank:
                    one, other = _root(parent, here), _root(parent, there)
                    parent[max(one, other)] = min(one, other)
    size = np.zeros(rows * columns, np.int64)
    found = 0
    for here in range(rows * columns):
        if flat[here] > 0:
            root = _root(parent, here)
            found += size[root] == 0
            size[root] += 1
    ranks_of, sizes = np.empty(found, np.int64), np.empty(found, np.int64)
    k = 0
    for here in range(rows * columns):
        if size[here] > 0:
            ranks_of[k], sizes[k] = flat[here], size[here]
            k += 1
    return ranks_of, sizes


@compiled
def _root(parent: NDArray[np.int32], pixel: int) -> int:
    while parent[pixel] != pixel:
        parent[pixel] = parent[parent[pixel]]
        pixel = parent[pixel]
    return pixel

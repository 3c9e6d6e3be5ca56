"""Windows hold what is proposed, as few as it takes."""

from __future__ import annotations

import numpy as np
import pytest

from mammoroi.segmentation.windows import Box, proposals, windows_over


def random_boxes(rng: np.random.Generator, shape: tuple[int, int], largest: int) -> list[Box]:
    boxes = []
    for _ in range(int(rng.integers(0, 12))):
        height, width = (int(rng.integers(1, min(side, largest) + 1)) for side in shape)
        top, left = (
            int(rng.integers(0, side - own + 1))
            for side, own in zip(shape, (height, width), strict=True)
        )
        boxes.append((top, top + height, left, left + width))
    return boxes


@pytest.mark.parametrize("seed", range(300))
def test_windows_hold_every_region_that_fits_and_cover_all_others(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape = int(rng.integers(10, 200)), int(rng.integers(10, 200))
    size = int(rng.integers(8, 100)), int(rng.integers(8, 100))
    boxes = random_boxes(rng, shape, largest=int(rng.integers(4, 200)))
    windows = windows_over(boxes, size, shape)
    assert bool(windows) == bool(boxes)
    covered = np.zeros(shape, bool)
    for top, left in windows:
        assert 0 <= top <= max(0, shape[0] - size[0])
        assert 0 <= left <= max(0, shape[1] - size[1])
        covered[top : top + size[0], left : left + size[1]] = True
    for above, below, before, behind in boxes:
        assert covered[above:below, before:behind].all()
        if below - above <= size[0] and behind - before <= size[1]:
            assert any(
                top <= above
                and below <= top + size[0]
                and left <= before
                and behind <= left + size[1]
                for top, left in windows
            )


def test_neighbours_share_a_window_and_a_lone_region_lies_in_its_middle() -> None:
    assert windows_over([(50, 60, 40, 52)], (40, 40), (200, 100)) == [(35, 26)]
    assert len(windows_over([(50, 55, 40, 45), (60, 65, 50, 55)], (40, 40), (200, 100))) == 1
    assert len(windows_over([(50, 55, 40, 45), (90, 95, 50, 55)], (40, 40), (200, 100))) == 2
    # They would both fit, but without their surroundings of an eighth of the window.
    assert len(windows_over([(50, 55, 40, 45), (80, 85, 40, 45)], (40, 40), (200, 100))) == 2
    assert len(windows_over([(50, 55, 40, 45), (75, 80, 40, 45)], (40, 40), (200, 100))) == 1
    assert windows_over([(10, 50, 0, 40)], (40, 40), (200, 100)) == [(10, 0)]  # just as large
    # Larger than a window: several, from end to end.
    assert windows_over([(0, 100, 0, 20)], (40, 40), (200, 100)) == [(0, 0), (30, 0), (60, 0)]


def test_proposals_are_the_boxes_of_the_regions() -> None:
    probability = np.zeros((20, 30))
    probability[2:5, 3:9] = 0.3
    probability[5, 9] = 0.06  # touches by a corner
    probability[15, 20] = 0.04
    probability[18, 2] = 0.05
    assert proposals(probability, 0.05) == [(2, 6, 3, 10), (18, 19, 2, 3)]
    assert proposals(probability, 0.5) == []

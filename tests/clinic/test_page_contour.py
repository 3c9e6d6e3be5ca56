"""The outline on the page is the mask's own border; sizes are those of known shapes."""

import re

import numpy as np
import pytest

from mammoroi.clinic.contour import largest_region, outline_path


def filled(path: str, shape: tuple[int, int]) -> np.ndarray:
    """Fill a path of vertical and horizontal steps by the nonzero rule."""
    winding = np.zeros(shape, int)
    for loop in path.split("M")[1:]:
        column, row = map(int, re.match(r"(\d+) (\d+)", loop).groups())
        start = column, row
        assert loop.endswith("z")
        for kind, step in re.findall(r"([hv])(-?\d+)", loop):
            if kind == "h":
                column += int(step)
            else:
                first, last = sorted((row, row + int(step)))
                winding[first:last, :column] += 1 if int(step) > 0 else -1
                row += int(step)
        assert (column, row) == start
    return winding


@pytest.mark.parametrize("share", [0.1, 0.5, 0.8])
def test_filling_the_outline_gives_the_mask_again(share):
    rng = np.random.default_rng(0)
    for _ in range(40):
        mask = rng.random((13, 9)) < share  # holes, corners that touch, borders of the image
        assert (filled(outline_path(mask), mask.shape) == mask).all()


def test_outline_of_one_pixel_and_of_none():
    mask = np.zeros((5, 6), bool)
    assert outline_path(mask) == ""
    assert largest_region(mask, (1, 1)) is None
    mask[2, 3] = True
    assert outline_path(mask) == "M3 2h1v1h-1v-1z"
    one = largest_region(mask, (3.0, 4.0))
    assert one.longest == pytest.approx(5)
    assert one.count == 1
    assert one.box == (2, 3, 3, 4)


def test_disc_has_its_diameter_both_ways():
    row, column = np.ogrid[:200, :300]
    mask = (row - 90) ** 2 + (column - 170) ** 2 <= 60**2
    disc = largest_region(mask, (0.1, 0.1))
    assert disc.longest == pytest.approx(12, rel=0.02)
    assert disc.across == pytest.approx(12, rel=0.02)


def test_tilted_ellipse_with_pixels_that_are_not_square():
    row, column = np.mgrid[:400, :300]
    y, x = (row - 200) * 0.1, (column - 150) * 0.2
    along, across = (x + y) / np.sqrt(2), (x - y) / np.sqrt(2)
    mask = (along / 12) ** 2 + (across / 5) ** 2 <= 1
    ellipse = largest_region(mask, (0.1, 0.2))
    assert ellipse.longest == pytest.approx(24, rel=0.02)
    assert ellipse.across == pytest.approx(10, rel=0.03)


def test_largest_of_several_regions_counts():
    mask = np.zeros((40, 40), bool)
    mask[2:4, 2:4] = True
    mask[4, 4] = True  # touches at a corner: one region with the square
    mask[10:30, 20:25] = True
    found = largest_region(mask, (1, 1))
    assert found.count == 2
    assert found.box == (10, 20, 30, 25)
    assert found.longest == pytest.approx(np.hypot(20, 5))

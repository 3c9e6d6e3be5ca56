"""The contour's descriptors against shapes whose values are known."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import ellipe

from mammoroi.errors import MammoroiError
from mammoroi.imaging.mammogram import Spacing
from mammoroi.radiomics.contour import NAMES, contour_features, describe, outline

Shape = Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.bool_]]


def mask_of(shape: Shape, row_mm: float = 0.1, column_mm: float = 0.1) -> NDArray[np.bool_]:
    """40 x 40 mm, its centre on no pixel's centre."""
    rows, columns = np.indices((round(40 / row_mm), round(40 / column_mm)))
    y, x = (rows + 0.3) * row_mm - 20, (columns + 0.7) * column_mm - 20
    return shape(y, x)


def of(mask: NDArray[np.bool_], row_mm: float = 0.1, column_mm: float = 0.1) -> dict[str, float]:
    values = contour_features(mask, Spacing(row_mm, column_mm, "test"))
    return {name.removeprefix("original_contour_"): value for name, value in values.items()}


def disc(radius: float, y0: float = 0.0, x0: float = 0.0) -> Shape:
    return lambda y, x: np.hypot(y - y0, x - x0) <= radius


def star(lobes: int) -> Shape:
    return lambda y, x: np.hypot(y, x) <= 8 * (1 + 0.2 * np.cos(lobes * np.arctan2(y, x)))


@pytest.mark.parametrize(
    ("row_mm", "column_mm"), [(0.05, 0.05), (0.1, 0.1), (0.2, 0.2), (0.07, 0.1)]
)
def test_a_disc(row_mm: float, column_mm: float) -> None:
    values = of(mask_of(disc(8.0), row_mm, column_mm), row_mm, column_mm)
    assert values["Area"] == pytest.approx(math.pi * 64, rel=0.003)
    assert values["Perimeter"] == pytest.approx(math.pi * 16, rel=0.008)
    assert values["Circularity"] == pytest.approx(1, abs=0.015)
    assert values["Solidity"] == pytest.approx(1, abs=0.005)
    assert values["Convexity"] == pytest.approx(1, abs=0.007)
    assert values["Eccentricity"] < 0.05
    assert values["RadialLengthMean"] > 0.99
    assert values["RadialLengthStandardDeviation"] < 0.004
    assert values["RadialLengthZeroCrossings"] == 0


def test_an_ellipse() -> None:
    values = of(mask_of(lambda y, x: (y / 12) ** 2 + (x / 6) ** 2 <= 1))
    assert values["Area"] == pytest.approx(math.pi * 72, rel=0.002)
    assert values["Perimeter"] == pytest.approx(48 * ellipe(0.75), rel=0.007)
    assert values["Eccentricity"] == pytest.approx(math.sqrt(0.75), abs=0.002)
    assert values["RadialLengthZeroCrossings"] == 4


@pytest.mark.parametrize("turned", [0.0, 0.4, math.pi / 4])
def test_a_square_however_it_lies(turned: float) -> None:
    def square(y: NDArray[np.float64], x: NDArray[np.float64]) -> NDArray[np.bool_]:
        u = y * math.cos(turned) + x * math.sin(turned)
        v = x * math.cos(turned) - y * math.sin(turned)
        return (np.abs(u) < 8) & (np.abs(v) < 8)

    values = of(mask_of(square))
    assert values["Area"] == pytest.approx(256, rel=0.005)
    assert values["Perimeter"] == pytest.approx(64, rel=0.01)
    assert values["Circularity"] == pytest.approx(math.pi / 4, rel=0.015)
    assert values["RadialLengthZeroCrossings"] == 8


@pytest.mark.parametrize("lobes", [4, 8, 16])
def test_a_lobed_outline_is_that_of_the_curve_itself(lobes: int) -> None:
    found = of(mask_of(star(lobes), 0.05, 0.05), 0.05, 0.05)
    angle = np.linspace(0, 2 * math.pi, 20_000, endpoint=False)
    radius = 8 * (1 + 0.2 * np.cos(lobes * angle))
    curve = np.stack([radius * np.sin(angle), radius * np.cos(angle)], axis=1)
    exact = describe(curve, 0.05)
    for name in set(NAMES) - {"Eccentricity", "RadialLengthEntropy"}:
        assert found[name] == pytest.approx(exact[name], rel=0.012), name
    assert found["RadialLengthEntropy"] == pytest.approx(exact["RadialLengthEntropy"], abs=0.3)
    assert exact["RadialLengthZeroCrossings"] == 2 * lobes
    assert exact["Area"] == pytest.approx(math.pi * 64 * 1.02, rel=1e-6)


@pytest.mark.parametrize(("pixels", "crossings"), [(0.4, 0), (0.6, 12), (0.9, 12)])
def test_a_crossing_counts_from_half_a_pixel_on(pixels: float, crossings: int) -> None:
    angle = np.linspace(0, 2 * math.pi, 20_000, endpoint=False)
    radius = 8 + pixels * 0.1 * np.cos(6 * angle)
    curve = np.stack([radius * np.sin(angle), radius * np.cos(angle)], axis=1)
    assert describe(curve, 0.1)["RadialLengthZeroCrossings"] == crossings


def test_exact_values_of_a_polygon() -> None:
    values = describe(np.array([[0.0, 0.0], [0.0, 4.0], [2.0, 4.0], [2.0, 0.0]]), 0.1)
    assert values["Area"] == 8
    assert values["Perimeter"] == 12
    assert values["Circularity"] == pytest.approx(32 * math.pi / 144)
    assert values["Solidity"] == values["Convexity"] == 1
    assert values["Eccentricity"] == pytest.approx(math.sqrt(0.75))  # sides 2 and 4
    square = describe(np.array([[0.0, 0.0], [0.0, 4.0], [4.0, 4.0], [4.0, 0.0]]), 0.1)
    radial = np.hypot(2, np.linspace(-2, 2, 1_000_001)) / math.hypot(2, 2)
    shares = np.histogram(radial, 100, (0, 1))[0] / radial.size
    bits = -sum(share * math.log2(share) for share in shares if share > 0)
    assert square["RadialLengthEntropy"] == pytest.approx(bits, abs=0.005)
    assert square["RadialLengthMean"] == pytest.approx(radial.mean(), abs=1e-4)
    assert square["RadialLengthStandardDeviation"] == pytest.approx(radial.std(), abs=1e-4)
    excess = (radial - radial.mean()).clip(min=0).mean() / radial.mean()
    assert square["RadialLengthAreaRatio"] == pytest.approx(excess, abs=1e-4)
    notched = describe(np.array([[0, 0], [0, 4], [2, 2], [4, 4], [4, 0.0]]), 0.1)
    assert notched["Solidity"] == pytest.approx(0.75)
    assert notched["Convexity"] == pytest.approx(16 / (12 + 2 * math.sqrt(8)))


def test_the_largest_region_counts_and_its_holes_are_filled() -> None:
    whole = of(mask_of(disc(8.0)))

    def two(y: NDArray[np.float64], x: NDArray[np.float64]) -> NDArray[np.bool_]:
        return (disc(8.0)(y, x) & ~disc(3.0, 1.0)(y, x)) | disc(4.0, 0.0, 14.0)(y, x)

    assert of(mask_of(two)) == whole
    # Also a hole that leaves two pixels of wall.
    thin = mask_of(lambda y, x: disc(8.0)(y, x) & ~disc(7.8)(y, x))
    assert of(thin) == whole


def test_what_touches_at_a_corner_is_one_region() -> None:
    pair = np.zeros((120, 120), dtype=bool)
    pair[20:50, 20:50] = pair[50:80, 50:80] = True
    apart = pair.copy()
    apart[80:119, 5:44] = True  # larger than either, smaller than both
    assert of(apart) == of(pair)


def test_an_outline_is_closed_along_the_image_border() -> None:
    values = of(mask_of(disc(8.0, y0=-20.0)))
    assert values["Area"] == pytest.approx(math.pi * 32, rel=0.01)
    assert values["Perimeter"] == pytest.approx(math.pi * 8 + 16, rel=0.01)


def test_where_the_outline_is() -> None:
    points = outline(mask_of(disc(5.0, 3.0, -6.0)), Spacing(0.1, 0.1, "test"))
    centre = np.array([20 + 3.0 - 0.03, 20 - 6.0 - 0.07])
    assert np.hypot(*(points - centre).T) == pytest.approx(5, abs=0.06)


def test_too_thin_is_said() -> None:
    line = np.eye(60, dtype=bool)
    with pytest.raises(MammoroiError, match="nowhere two pixels wide"):
        of(line)

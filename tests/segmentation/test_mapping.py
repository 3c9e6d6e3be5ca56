from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mammoroi.errors import MammoroiError
from mammoroi.imaging.breast import breast_region
from mammoroi.imaging.mammogram import Mammogram, Spacing
from mammoroi.segmentation.mapping import Mapping, bounding_box, padded_size
from mammoroi.segmentation.prepare import working_array


def mammogram(rows: int, columns: int, right: bool, spacing: tuple[float, float]) -> Mammogram:
    y, x = np.mgrid[:rows, :columns]
    inside = ((y - rows / 2) / (0.44 * rows)) ** 2 + (x / (0.8 * columns)) ** 2 <= 1
    pixels = inside * (1000 + 200 * np.sin(x / 9.0) * np.cos(y / 7.0))
    pixels = pixels[:, ::-1] if right else pixels
    return Mammogram(
        pixels=np.ascontiguousarray(pixels, dtype=np.float32),
        spacing=Spacing(*spacing, source="test"),
        laterality=None,
        view="CC",
        intent=None,
        bits_stored=None,
        source=Path("test.png"),
    )


def dice(one: np.ndarray, other: np.ndarray) -> float:
    return float(2 * (one & other).sum() / (one.sum() + other.sum()))


@pytest.mark.parametrize("right", [False, True])
@pytest.mark.parametrize(
    ("rows", "columns", "spacing"),
    [(667, 367, (0.3, 0.3)), (501, 333, (0.31, 0.29)), (1024, 701, (0.1, 0.1))],
)
def test_a_mask_comes_back_where_it_was(
    rows: int, columns: int, spacing: tuple[float, float], right: bool
) -> None:
    image = mammogram(rows, columns, right, spacing)
    array, mapping, _ = working_array(image, working_spacing_mm=0.8)
    assert array.shape == (mapping.working_rows, mapping.working_columns)
    assert mapping.mirrored is right
    y, x = np.mgrid[:rows, :columns]
    column = 0.3 * columns if not right else 0.7 * columns
    radius_mm = 12.0
    mask = np.hypot((y - 0.4 * rows) * spacing[0], (x - column) * spacing[1]) <= radius_mm
    there = mapping.mask_to_working(mask)
    back = mapping.to_original(there.astype(np.float32)) >= 0.5
    assert back.shape == mask.shape
    assert dice(back, mask) > 0.97
    for axis in (0, 1):
        centres = [np.nonzero(drawn)[axis].mean() * spacing[axis] for drawn in (mask, back)]
        assert centres[0] == pytest.approx(centres[1], abs=0.1)


@pytest.mark.parametrize("right", [False, True])
def test_a_marker_in_a_corner_of_the_box_lands_in_the_right_corner(right: bool) -> None:
    region = np.zeros((91, 57), bool)
    region[3:88, :41] = True
    region[40:50, 41:47] = True
    region = region[:, ::-1] if right else region
    mapping = Mapping.of_breast(region, Spacing(0.5, 0.5, "test"), 1.0)
    corner = np.zeros(region.shape, np.float32)
    chest_wall = 0 if not right else 56
    corner[3:7, min(chest_wall, 53) : min(chest_wall, 53) + 4] = 1  # upper end of the chest wall
    working = mapping.to_working(corner)
    assert np.unravel_index(working.argmax(), working.shape) == (0, 0)
    assert working[3:].max() == 0
    assert working[:, 3:].max() == 0
    back = mapping.to_original(working)
    assert back[3, chest_wall] > 0.5
    assert back[20:].max() == 0


def test_working_pixels_are_square_where_those_of_the_mammogram_are_not() -> None:
    region = np.zeros((120, 90), bool)
    region[20:100, 10:70] = True
    assert bounding_box(region) == (20, 100, 10, 70)
    mapping = Mapping.of_breast(region, Spacing(0.1, 0.2, "test"), 0.5)
    assert (mapping.top, mapping.height, mapping.left, mapping.width) == (20, 80, 10, 60)
    assert (mapping.working_rows, mapping.working_columns) == (16, 24)  # of 8 x 12 mm
    assert mapping.working_pixel_mm == pytest.approx((0.5, 0.5))
    assert mapping.working_pixel_area_mm2 == pytest.approx(0.25)
    assert (mapping.spacing, mapping.pixel_area_mm2) == ((0.1, 0.2), pytest.approx(0.02))
    # Where the spacing does not divide the box, pixels are as large as it takes.
    odd = mapping.at(0.7)
    assert (odd.working_rows, odd.working_columns) == (11, 17)
    assert odd.working_pixel_mm == pytest.approx((8 / 11, 12 / 17))
    assert odd.working_pixel_area_mm2 == pytest.approx(8 / 11 * 12 / 17)
    # Same rectangle, same areas, the value of each part.
    values = np.zeros(region.shape, np.float32)
    values[20:60, 10:70] = 1
    working = mapping.to_working(values)
    assert working[:7].min() == 1
    assert working[9:].max() == 0
    assert working.mean() == pytest.approx(0.5)


def test_a_canvas_is_never_smaller_than_what_it_holds() -> None:
    assert [padded_size(size, 16) for size in (1, 16, 17, 64, 65)] == [16, 16, 32, 64, 80]


def test_the_working_array_is_scaled_within_the_breast() -> None:
    array, _, (low, high) = working_array(mammogram(400, 300, False, (0.4, 0.4)), 0.8)
    assert array.dtype == np.float16
    assert array.min() == 0
    assert array.max() == pytest.approx(1, abs=2e-3)
    assert low < 1000
    assert 1150 < high < 1220


def test_grey_values_do_not_depend_on_how_much_air_is_around_the_breast() -> None:
    image = mammogram(400, 300, False, (0.4, 0.4))
    inside = image.pixels[breast_region(image.pixels)]
    assert working_array(image, 0.8)[2] == pytest.approx(np.percentile(inside, (1, 99.8)))
    wide = replace(image, pixels=np.pad(image.pixels, ((0, 0), (0, 900))))
    for one, other in zip(working_array(image, 0.8)[2], working_array(wide, 0.8)[2], strict=True):
        assert one == pytest.approx(other, rel=1e-3)


def test_a_lesion_smaller_than_a_working_pixel_is_kept() -> None:
    region = np.ones((40, 40), bool)
    mapping = Mapping.of_breast(region, Spacing(0.1, 0.1, "test"), 1.0)
    mask = np.zeros((40, 40), bool)
    mask[12:15, 21:24] = True
    assert mapping.mask_to_working(mask).sum() == 1


def test_without_spacing_the_column_to_fill_is_named() -> None:
    image = mammogram(100, 80, False, (1, 1))
    bare = Mammogram(**{**vars(image), "spacing": None})
    with pytest.raises(MammoroiError, match="spacing_mm"):
        working_array(bare, 0.8)

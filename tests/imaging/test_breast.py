"""The breast region against a breast whose outline is known."""

from __future__ import annotations

import time

import numpy as np
import pytest

from mammoroi.errors import MammoroiError
from mammoroi.imaging.breast import breast_region


def half_ellipse(rows: int, columns: int) -> np.ndarray:
    y, x = np.mgrid[:rows, :columns]
    return ((y - rows / 2) / (0.4 * rows)) ** 2 + (x / (0.6 * columns)) ** 2 < 1


def breast(rows=1000, columns=800, scale=4000.0, noise=20.0, background=100.0) -> np.ndarray:
    """Fat with a dense island and a dark hole inside, a bright label outside, detector noise."""
    inside = half_ellipse(rows, columns)
    image = np.where(inside, 0.35 * scale, background)
    image[rows // 3 : rows // 2, columns // 8 : columns // 3] = 0.9 * scale
    image[rows // 2 + 40 : rows // 2 + 90, 150:200] = background
    image[30:90, columns - 160 : columns - 40] = scale
    noisy = image + np.random.default_rng(0).normal(0, noise, image.shape)
    return noisy.clip(0).astype(np.float32)


def iou(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / (a | b).sum())


@pytest.mark.parametrize("size", [(1000, 800), (4000, 3300), (200, 160)])
@pytest.mark.parametrize("mirrored", [False, True])
def test_known_outline(size, mirrored):
    image, truth = breast(), half_ellipse(1000, 800)
    rows = np.arange(size[0]) * 1000 // size[0]
    columns = np.arange(size[1]) * 800 // size[1]
    image, truth = image[np.ix_(rows, columns)], truth[np.ix_(rows, columns)]
    if mirrored:
        image, truth = image[:, ::-1], truth[:, ::-1]
    found = breast_region(image)
    assert found.dtype == bool
    assert iou(found, truth) > 0.97


def test_eight_bits_with_black_padding():
    image = (breast(noise=3, background=0) / 16).clip(0, 255).astype(np.uint8)
    padded = np.pad(image, ((0, 0), (100, 100)))
    truth = np.pad(half_ellipse(1000, 800), ((0, 0), (100, 100)))
    assert iou(breast_region(padded), truth) > 0.95


def test_negative_values_are_no_trouble():
    np.testing.assert_array_equal(breast_region(breast() - 5000), breast_region(breast()))


def test_holes_are_filled_and_labels_left_out():
    found = breast_region(breast())
    assert found[540:590, 150:200].all()
    assert not found[30:90, 640:760].any()


def test_fast_enough():
    image = breast()
    breast_region(image)
    begin = time.process_time()
    breast_region(image)
    assert time.process_time() - begin < 0.15


def test_a_blank_image_is_refused():
    with pytest.raises(MammoroiError, match="all pixels of the image have the same value"):
        breast_region(np.full((50, 40), 7, dtype=np.float32))

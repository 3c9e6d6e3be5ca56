from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from monai.metrics import (
    compute_average_surface_distance,
    compute_dice,
    compute_hausdorff_distance,
    compute_iou,
    compute_surface_dice,
)

from mammoroi.errors import MammoroiError
from mammoroi.segmentation.metrics import contour, similarity

SHAPE = (40, 30)
SPACING = (0.5, 0.8)


def square(top: int, left: int, side: int) -> np.ndarray:
    mask = np.zeros(SHAPE, bool)
    mask[top : top + side, left : left + side] = True
    return mask


EMPTY = np.zeros(SHAPE, bool)
SQUARE = square(5, 5, 10)
DIAGONAL = math.hypot(40 * 0.5, 30 * 0.8)


@pytest.mark.parametrize(
    ("prediction", "reference", "expected"),
    [
        # dice, iou, surface_dice, hd95, hd95_penalised, assd, area_ratio, found
        (EMPTY, EMPTY, (1, 1, 1, 0, 0, 0, None, None)),
        (EMPTY, SQUARE, (0, 0, 0, None, DIAGONAL, None, 0, False)),
        (SQUARE, EMPTY, (0, 0, 0, None, DIAGONAL, None, None, None)),
        (SQUARE, SQUARE, (1, 1, 1, 0, 0, 0, 1, True)),
    ],
)
def test_truth_table(prediction: np.ndarray, reference: np.ndarray, expected: tuple) -> None:
    found = similarity(prediction, reference, SPACING, 1.0)
    measured = (
        found.dice,
        found.iou,
        found.surface_dice,
        found.hd95_mm,
        found.hd95_penalised_mm,
        found.assd_mm,
        found.area_ratio,
        found.found,
    )
    assert measured == expected
    assert found.area_mm2 == pytest.approx(prediction.sum() * 0.4)
    assert found.reference_area_mm2 == pytest.approx(reference.sum() * 0.4)


def test_touching_squares_share_nothing_and_are_one_column_apart() -> None:
    found = similarity(square(5, 5, 10), square(5, 15, 10), SPACING, 0.8)
    assert (found.dice, found.found, found.area_ratio) == (0, False, 1)
    # 10 facing pixels of 36 on each contour are one column of 0.8 mm apart.
    assert found.surface_dice == pytest.approx(10 / 36)


@pytest.mark.parametrize("rows_shifted", [1, 3])
def test_distances_are_in_mm_of_the_right_axis(rows_shifted: int) -> None:
    fine = similarity(square(5, 5, 10), square(5 + rows_shifted, 5, 10), (0.07, 0.1), 1.0)
    coarse = similarity(square(5, 5, 10), square(5 + rows_shifted, 5, 10), (0.1, 0.07), 1.0)
    assert fine.hd95_mm == pytest.approx(0.07 * rows_shifted)
    assert coarse.hd95_mm == pytest.approx(0.1 * rows_shifted)


@pytest.mark.parametrize("seed", range(6))
def test_equals_monai(seed: int) -> None:
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    masks = []
    for _ in range(2):
        row, column, a, b = rng.uniform([12, 8, 4, 3], [28, 22, 11, 8])
        masks.append(((y - row) / a) ** 2 + ((x - column) / b) ** 2 <= 1)
    prediction, reference = masks
    found = similarity(prediction, reference, SPACING, 1.5)
    pair = [torch.from_numpy(mask)[None, None].float() for mask in masks]
    distance = {"include_background": True, "spacing": SPACING}
    assert found.dice == pytest.approx(compute_dice(*pair).item(), abs=1e-5)
    assert found.iou == pytest.approx(compute_iou(*pair).item(), abs=1e-5)
    assert found.area_ratio == pytest.approx(prediction.sum() / reference.sum())
    hd95 = compute_hausdorff_distance(*pair, percentile=95, **distance).item()
    assert found.hd95_mm == pytest.approx(hd95, abs=1e-4)
    assd = compute_average_surface_distance(*pair, symmetric=True, **distance).item()
    assert found.assd_mm == pytest.approx(assd, abs=1e-4)
    surface = compute_surface_dice(*pair, class_thresholds=[1.5], **distance).item()
    assert found.surface_dice == pytest.approx(surface, abs=1e-4)


def test_a_mask_that_the_image_cuts_off_ends_at_its_border() -> None:
    whole, corner = np.ones(SHAPE, bool), square(0, 0, 12)
    found = similarity(corner, whole, SPACING, 1.5)
    pair = [torch.from_numpy(mask)[None, None].float() for mask in (corner, whole)]
    hd95 = compute_hausdorff_distance(
        *pair, percentile=95, include_background=True, spacing=SPACING
    ).item()
    assert found.hd95_mm == pytest.approx(hd95, abs=1e-4)
    # By hand: of the square's 44 contour pixels the 23 along the border are on the other contour.
    assert (contour(corner) & contour(whole)).sum() == 23
    assert contour(corner).sum() == 44
    assert contour(whole).sum() == 2 * (40 + 30) - 4


def test_masks_of_different_sizes_are_refused() -> None:
    with pytest.raises(MammoroiError, match="grid of the same mammogram"):
        similarity(SQUARE, SQUARE.T, SPACING, 1.0)

"""Lesions that are mixed into other breasts."""

from __future__ import annotations

import numpy as np
import torch
from scipy import ndimage

from mammoroi.segmentation.mixing import LesionMixing, mix


def _breast(level: float, at: tuple[int, int] | None) -> tuple[np.ndarray, np.ndarray]:
    """A half-round breast of one grey level, with or without a brighter square."""
    y, x = np.mgrid[:80, :60]
    image = (((y - 40) / 36) ** 2 + (x / 50) ** 2 <= 1) * level
    mask = np.zeros(image.shape, np.bool_)
    if at is not None:
        mask[at[0] : at[0] + 9, at[1] : at[1] + 9] = True
        image = image + mask * 0.3
    return image.astype(np.float32), mask


def test_a_lesion_moves_with_its_contrast_to_a_place_within_the_breast() -> None:
    image, mask = _breast(0.3, None)
    donor, donor_mask = _breast(0.5, (30, 20))
    for seed in range(20):
        mixed, both = mix(image, mask, donor, donor_mask, np.random.default_rng(seed))
        assert both.sum() == 81
        assert (image[both] > 0).mean() >= 0.98
        core = np.zeros_like(both)
        rows, columns = np.nonzero(both)
        core[rows.min() + 3 : rows.max() - 2, columns.min() + 3 : columns.max() - 2] = True
        assert abs(float(mixed[core].mean()) - 0.6) < 0.05  # its own contrast, the other's level
        far = image > 0
        top, left = max(rows.min() - 9, 0), max(columns.min() - 9, 0)
        far[top : rows.max() + 10, left : columns.max() + 10] = False
        assert np.allclose(mixed[far], image[far], atol=1e-3)
    assert not mask.any()  # what was given is not changed


def test_one_region_moves_with_its_own_pixels_and_no_other_is_lost() -> None:
    image, mask = _breast(0.3, (30, 20))
    donor, _ = _breast(0.5, None)
    y, x = np.mgrid[:80, :60]
    wedge = (y >= 30) & (y < 46) & (x >= 10) & (x < 10 + y - 29)  # turned over it is another one
    square = (y >= 26) & (y < 31) & (x >= 16) & (x < 21)  # within its margin
    donor = donor + 0.3 * wedge.astype(np.float32)
    areas, turned = set(), set()
    for seed in range(60):
        mixed, both = mix(image, mask, donor, wedge | square, np.random.default_rng(seed))
        assert both[mask].all()
        new = both & ~mask
        areas.add(int(new.sum()))
        if new.sum() == wedge.sum():  # it lies apart from what was there
            inner = ndimage.binary_erosion(new, iterations=2)
            assert mixed[inner].min() > 0.52
            turned.add(bool(new.sum(axis=1)[new.any(axis=1)][0] > 1))
    assert {int(wedge.sum()), 25} < areas
    assert max(areas) == wedge.sum()
    assert turned == {True, False}
    # What is larger than a tenth of the breast would cover it.
    large = (y >= 20) & (y < 40) & (x < 20)
    for seed in range(10):
        assert mix(image, mask, donor, large, np.random.default_rng(seed))[0] is image


def test_nothing_changes_without_a_lesion_that_fits() -> None:
    image, mask = _breast(0.3, (30, 20))
    for donor in (_breast(0.5, None), (np.ones((80, 60), np.float32), np.ones((80, 60), np.bool_))):
        mixed, both = mix(image, mask, *donor, np.random.default_rng(1))
        assert mixed is image
        assert both is mask


class Breasts(list):
    """What the mixing needs of an ArrayStore; those without a lesion come last."""

    @property
    def with_lesion(self) -> int:
        return sum(bool(mask.any()) for _, mask in self)


def test_breasts_without_a_lesion_are_given_one_and_give_none() -> None:
    pairs = [_breast(0.4, (20, 10)), *(_breast(0.5, None) for _ in range(20))]
    arrays = Breasts((torch.tensor(image)[None], torch.tensor(mask)[None]) for image, mask in pairs)
    mixing = LesionMixing(0.25, 3)
    given = [bool(mixing(arrays, epoch, 7)[1].any()) for epoch in range(80)]
    assert 12 < sum(given) < 28  # where the donor is any of 21, one in 84


def test_it_depends_on_seed_epoch_and_number_alone() -> None:
    pairs = [_breast(0.3 + 0.1 * k, (20 + 8 * k, 10)) for k in range(4)]
    arrays = Breasts(
        (torch.tensor(image)[None], torch.tensor(mask.astype(np.uint8))[None])
        for image, mask in pairs
    )
    one, other = LesionMixing(0.5, 3), LesionMixing(0.5, 3)
    other(arrays, 0, 0)
    areas = set()
    for epoch in range(12):
        image, mask = one(arrays, epoch, 2)
        assert image.equal(other(arrays, epoch, 2)[0])
        assert image.shape == mask.shape == (1, 80, 60)
        areas.add(int(mask.sum()))
    assert 81 in areas  # left alone
    assert max(areas) > 81  # given another

"""What the loader's processes change in images and masks, and what they never do."""

from __future__ import annotations

import pytest
import torch

from mammoroi.segmentation.data import Augmentation
from mammoroi.segmentation.distortion import Distortion


def test_the_host_turns_images_upside_down_and_nothing_else() -> None:
    image = torch.arange(24.0).reshape(1, 6, 4)
    augment, turned = Augmentation(3, "flips", None), []
    for number in range(60):
        case = augment({"image": image, "mask": (image > 7).float()}, 0, number)
        turned.append(bool(case["image"].equal(image.flip(1))))
        assert turned[-1] or case["image"].equal(image)
        assert case["mask"].equal((case["image"] > 7).float())
    assert 18 < sum(turned) < 42


@pytest.mark.parametrize("kind", ["full", "strong"])
def test_masks_have_no_values_between(kind: str) -> None:
    mask = torch.zeros(1, 64, 48)
    mask[0, 20:36, 10:30] = 1
    augment = Augmentation(3, kind, None)
    for number in range(30):
        case = augment({"image": mask / 2, "mask": mask}, 0, number)
        assert set(case["mask"].unique().tolist()) == {0.0, 1.0}
        # The mask goes where its lesion goes.
        assert ((case["image"] > 0.25) ^ (case["mask"] > 0)).sum() < 0.3 * mask.sum()


def test_half_of_the_crops_are_around_a_lesion_pixel() -> None:
    image, mask = torch.ones(2, 1, 300, 200)
    mask[:] = 0
    mask[0, 30:34, 50:54] = 1
    augment = Augmentation(3, "flips", (16, 16))
    shown = [bool(augment({"image": image, "mask": mask}, 0, n)["mask"].any()) for n in range(120)]
    assert 42 < sum(shown) < 78


def test_crops_of_lesions_lie_elsewhere_in_each_image_and_epoch() -> None:
    image = torch.arange(1.0, 60 * 50 + 1).reshape(1, 60, 50)
    mask = (image % 50 > 25).float()
    augment = Augmentation(3, "flips", (16, 16), "lesions")
    for items in ([(0, n) for n in range(20)], [(epoch, 0) for epoch in range(20)]):
        found = [augment({"image": image, "mask": mask}, *item)["image"] for item in items]
        assert len({float(one.min()) for one in found}) > 15  # the upper left pixel


def test_patches_to_restore_show_the_breast_and_differ_by_seed_epoch_and_number() -> None:
    image = torch.zeros(1, 64, 64)
    image[0, 20:32, :10] = torch.rand(12, 10, generator=torch.manual_seed(1)) / 2 + 0.5
    distort = Distortion(5, (8, 8), (64, 64))
    for number in range(40):
        assert (distort({"image": image}, 0, number)["mask"] > 0).any()
    whole, other = (Distortion(seed, None, (64, 64)) for seed in (5, 6))
    items = [whole({"image": image}, *at)["image"] for at in ((0, 0), (0, 1), (1, 0))]
    items.append(other({"image": image}, 0, 0)["image"])
    for n, item in enumerate(items):
        assert not any(item.equal(one) for one in items[:n])
    assert items[0].equal(whole({"image": image}, 0, 0)["image"])

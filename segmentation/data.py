"""Prepared arrays in memory, augmented on the way to the network.

An item's augmentation and an epoch's order depend on the seed, the epoch and the image alone, not
on how many processes or devices load them or on what was drawn before: an interrupted training
that is resumed sees what it would have seen.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset, Sampler

Batch = dict[str, Any]


class PreparedImages(Dataset[Batch]):
    """Working arrays and masks of some images, padded to one canvas.

    An item is ``image`` (float32, 1 x rows x columns, 0..1) and ``mask`` (float32, same shape, 0
    or 1). The breast lies in the canvas's upper left corner, its chest wall on the left.

    Parameters
    ----------
    folder : Path
        ``segmentation/prepared``.
    image_ids : list of str
        Images that have a prepared mask.
    canvas : (int, int)
        Rows and columns of the canvas; no image may be larger.
    seed : int, optional
        Augment, starting from this seed; None leaves the images as they are.
    """

    def __init__(
        self, folder: Path, image_ids: list[str], canvas: tuple[int, int], seed: int | None = None
    ) -> None:
        shape = (len(image_ids), 1, *canvas)
        self.images = torch.zeros(shape, dtype=torch.float16)
        self.masks = torch.zeros(shape, dtype=torch.uint8)
        for number, image_id in enumerate(image_ids):
            image = torch.from_numpy(np.load(folder / f"{image_id}.npy"))
            mask = torch.from_numpy(np.load(folder / f"{image_id}.mask.npy"))
            rows, columns = image.shape
            self.images[number, 0, :rows, :columns] = image
            self.masks[number, 0, :rows, :columns] = mask
        self.seed = seed
        self.augment = augmentation() if seed is not None else None

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, item: tuple[int, int]) -> Batch:
        epoch, number = item
        case = {"image": self.images[number].float(), "mask": self.masks[number].float()}
        if self.augment is None or self.seed is None:
            return case
        state = np.random.SeedSequence([self.seed, epoch, number]).generate_state(1)
        self.augment.set_random_state(seed=int(state[0]))
        changed = self.augment(case)
        # Plain tensors: MONAI's own kind slows every step down and would end up in checkpoints.
        return {name: changed[name].as_subclass(torch.Tensor) for name in case}


class EpochSampler(Sampler[tuple[int, int]]):
    """Pairs of epoch and number, in an order that depends on the seed and the epoch.

    With several devices each takes every ``world_size``-th pair; the first pairs are repeated
    where the count does not divide, so that all devices take equally many steps.
    """

    def __init__(self, size: int, seed: int | None, rank: int = 0, world_size: int = 1) -> None:
        self.size = size
        self.seed = seed
        self.rank = rank
        self.world_size = world_size
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Tell which epoch comes next; Lightning calls this."""
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-self.size // self.world_size)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        order = np.arange(self.size)
        if self.seed is not None:
            order = np.random.default_rng([self.seed, self.epoch]).permutation(self.size)
        order = np.resize(order, len(self) * self.world_size)
        return ((self.epoch, int(number)) for number in order[self.rank :: self.world_size])


def augmentation() -> Any:
    """MONAI's random flips, small rotations, scalings and shifts, and changes of grey values."""
    from monai.transforms.compose import Compose
    from monai.transforms.intensity.dictionary import (
        RandAdjustContrastd,
        RandGaussianNoised,
        RandScaleIntensityd,
    )
    from monai.transforms.spatial.dictionary import RandAffined, RandFlipd

    both = ("image", "mask")
    return Compose(
        [
            RandFlipd(both, prob=0.5, spatial_axis=0),
            RandAffined(
                both,
                prob=0.7,
                rotate_range=0.2,
                scale_range=(0.15, 0.15),
                translate_range=(8, 8),
                mode=("bilinear", "nearest"),
                padding_mode="zeros",
            ),
            RandAdjustContrastd("image", prob=0.3, gamma=(0.8, 1.25)),
            RandScaleIntensityd("image", factors=0.1, prob=0.3),
            RandGaussianNoised("image", prob=0.3, std=0.03),
        ]
    )

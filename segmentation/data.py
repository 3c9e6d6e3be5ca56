"""Prepared arrays, augmented on the way to the network.

An item's augmentation and an epoch's order depend on the seed, the epoch and the image alone, not
on how many processes or devices load them or on what was drawn before: an interrupted training
that is resumed sees what it would have seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset, Sampler

from .crops import corner_around, near_lesions
from .mapping import bounding_box
from .mixing import LesionMixing
from .store import ArrayStore

Batch = dict[str, Any]
BOTH = ("image", "mask")


class PreparedImages(Dataset[Batch]):
    """Working arrays and masks of some images, padded to one canvas.

    An item is ``image`` (float32, 1 x rows x columns, 0..1) and ``mask`` (float32, same shape, 0
    or 1). The breast lies in the canvas's upper left corner, its chest wall on the left.

    Parameters
    ----------
    folder : Path
        ``segmentation/prepared``.
    image_ids : list of str
        As for :class:`.store.ArrayStore`.
    canvas : (int, int)
        Rows and columns of the canvas; no image may be larger.
    augment : callable, optional
        Change every item, given with epoch and number (:class:`Augmentation`,
        :class:`LesionPart`); None leaves the images as they are.
    mixing : LesionMixing, optional
        Before that, put other images' lesions into some of the items.
    masked : bool
        False reads no masks: images without one can be among them.
    """

    def __init__(
        self,
        folder: Path,
        image_ids: list[str],
        canvas: tuple[int, int],
        augment: Callable[[Batch, int, int], Batch] | None = None,
        mixing: LesionMixing | None = None,
        masked: bool = True,
    ) -> None:
        self.arrays = ArrayStore(folder, image_ids, canvas, masked=masked)
        self.augment = augment
        self.mixing = mixing

    def __len__(self) -> int:
        return len(self.arrays)

    def __getitem__(self, item: tuple[int, int]) -> Batch:
        epoch, number = item
        image, mask = (part.float() for part in self.arrays[number])
        if self.mixing is not None:
            image, mask = self.mixing(self.arrays, epoch, number)
        case = {"image": image, "mask": mask}
        return case if self.augment is None else self.augment(case, epoch, number)


class EpochSampler(Sampler[tuple[int, int]]):
    """Pairs of epoch and number, in an order that depends on the seed and the epoch.

    With several devices each takes every ``world_size``-th pair; the first pairs are repeated
    where the count does not divide, so that all devices take equally many steps.

    Parameters
    ----------
    size : int
        How many images there are.
    seed : int or None
        None takes them in their order.
    rank, world_size : int
        This device's number, and how many there are.
    sometimes : (int, int)
        So many of the images, the last ones, take turns: an epoch takes the second number of them.
    """

    def __init__(
        self,
        size: int,
        seed: int | None,
        rank: int = 0,
        world_size: int = 1,
        sometimes: tuple[int, int] = (0, 0),
    ) -> None:
        self.sometimes, self.taken = sometimes
        self.always = size - self.sometimes
        self.seed = seed
        self.rank = rank
        self.world_size = world_size
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Tell which epoch comes next; Lightning calls this."""
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-(self.always + self.taken) // self.world_size)

    def _numbers(self) -> NDArray[np.intp]:
        """Numbers of the epoch's images."""
        turns = np.arange(self.sometimes)
        if self.seed is not None:
            turns = np.random.default_rng([self.seed, self.sometimes]).permutation(turns)
        place = self.epoch * self.taken + np.arange(self.taken)
        return np.append(np.arange(self.always), self.always + np.take(turns, place, mode="wrap"))

    def __iter__(self) -> Iterator[tuple[int, int]]:
        order = self._numbers()
        if self.seed is not None:
            order = np.random.default_rng([self.seed, self.epoch]).permutation(order)
        order = np.resize(order, len(self) * self.world_size)
        return ((self.epoch, int(number)) for number in order[self.rank :: self.world_size])


class Augmentation:
    """Random changes by MONAI that depend on the seed, the epoch and the image alone.

    Parameters
    ----------
    seed : int
        The training's seed.
    kind : str
        As in :class:`.config.SegmentationConfig`.
    patch : (int, int), optional
        Crop to so many rows and columns, around a lesion pixel half of the time; where there is no
        lesion, near a pixel of the breast.
    crops : str
        As in the settings; ``lesions`` crops by :func:`.crops.near_lesions` instead.
    with_lesion : int, optional
        The images from this number on have no lesion.
    """

    def __init__(
        self,
        seed: int,
        kind: str,
        patch: tuple[int, int] | None,
        crops: str = "halves",
        with_lesion: int | None = None,
    ) -> None:
        from monai.transforms.compose import Compose

        self.seed = seed
        self.patch = patch
        self.only_near = crops == "lesions"
        self.with_lesion = with_lesion
        further = {"flips": list, "full": _full, "strong": _strong}[kind]
        self.changes = Compose(flips() + further())
        crop = [] if patch is None else [_crop(patch)]
        self.crop_and_changes = Compose(crop + flips() + further())

    def __call__(self, case: Batch, epoch: int, number: int) -> Batch:
        """Change a case's ``image`` and, where pixels move, its ``mask`` alike."""
        normal = self.with_lesion is not None and number >= self.with_lesion
        near = self.patch is not None and (self.only_near or normal)
        if near and self.patch is not None:
            # Apart from the numbers of the changes and of the mixing, which come of the same three.
            rng = np.random.default_rng([self.seed, epoch, number, 2])
            image, mask = (case[name][0].numpy() for name in BOTH)
            corner = near_lesions(image, mask, self.patch, (image.shape[0], image.shape[1]), rng)
            case = cropped(case, corner, self.patch)
        transforms = self.changes if near else self.crop_and_changes
        return changed(case, transforms, [self.seed, epoch, number])


def changed(case: Batch, transforms: Any, seeds: list[int]) -> Batch:
    """Apply MONAI's random transforms, whose draws depend on ``seeds`` alone."""
    state = np.random.SeedSequence(seeds).generate_state(1)
    transforms.set_random_state(seed=int(state[0]))
    done = transforms(case)
    if isinstance(done, list):  # MONAI's crops come as a list, here of one
        (done,) = done
    # Plain tensors: MONAI's own kind slows every step down and would end up in checkpoints.
    return {name: done[name].as_subclass(torch.Tensor) for name in case}


class LesionPart:
    """The part of an image around its lesions, for tuning where training sees crops of lesions.

    Parameters
    ----------
    patch : (int, int)
        Rows and columns of the part.
    """

    def __init__(self, patch: tuple[int, int]) -> None:
        self.patch = patch

    def __call__(self, case: Batch, _epoch: int, _number: int) -> Batch:
        """Crop ``image`` and ``mask`` alike, the box of all lesions in the middle."""
        mask = case["mask"][0].numpy() > 0
        rows, columns = mask.shape
        top, bottom, left, right = bounding_box(mask) or (0, rows, 0, columns)
        middle = (top + bottom) // 2, (left + right) // 2
        return cropped(case, corner_around(middle, self.patch, (rows, columns)), self.patch)


def cropped(case: Batch, corner: tuple[int, int], patch: tuple[int, int]) -> Batch:
    """Crop ``image`` and ``mask``, (1, rows, columns) both, at an upper left corner."""
    (top, left), (height, width) = corner, patch
    return {name: case[name][:, top : top + height, left : left + width] for name in BOTH}


def _crop(patch: tuple[int, int]) -> Any:
    from monai.transforms.croppad.dictionary import RandCropByPosNegLabeld

    return RandCropByPosNegLabeld(BOTH, "mask", patch, pos=1, neg=1, num_samples=1)


def flips() -> list[Any]:
    """Give the transforms that turn ``image`` and ``mask`` upside down, half of the time."""
    from monai.transforms.spatial.dictionary import RandFlipd

    return [RandFlipd(BOTH, prob=0.5, spatial_axis=0)]


def _full() -> list[Any]:
    from monai.transforms.intensity.dictionary import (
        RandAdjustContrastd,
        RandGaussianNoised,
        RandScaleIntensityd,
    )
    from monai.transforms.spatial.dictionary import RandAffined

    return [
        RandAffined(
            BOTH,
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


def _strong() -> list[Any]:
    """Larger changes of place than ``full``, local ones, and other exposures, noise and blur."""
    from monai.transforms.intensity.dictionary import (
        RandAdjustContrastd,
        RandGaussianNoised,
        RandGaussianSmoothd,
        RandHistogramShiftd,
        RandScaleIntensityd,
    )
    from monai.transforms.spatial.dictionary import (
        Rand2DElasticd,
        RandAffined,
        RandSimulateLowResolutiond,
    )
    from monai.utils.enums import InterpolateMode

    mode = ("bilinear", "nearest")
    return [
        RandAffined(
            BOTH,
            prob=0.9,
            rotate_range=0.35,
            shear_range=(0.1, 0.1),
            scale_range=(0.25, 0.25),
            translate_range=(8, 8),
            mode=mode,
            padding_mode="zeros",
        ),
        Rand2DElasticd(
            BOTH,
            spacing=(48, 48),
            magnitude_range=(0, 4),
            prob=0.3,
            mode=mode,
            padding_mode="zeros",
        ),
        RandAdjustContrastd("image", prob=0.5, gamma=(0.67, 1.5)),
        RandScaleIntensityd("image", factors=0.3, prob=0.5),
        RandHistogramShiftd("image", num_control_points=(5, 9), prob=0.3),
        RandGaussianSmoothd("image", sigma_x=(0.5, 1.0), sigma_y=(0.5, 1.0), prob=0.2),
        RandSimulateLowResolutiond(
            "image", prob=0.2, zoom_range=(0.5, 1.0), upsample_mode=InterpolateMode.BILINEAR
        ),
        RandGaussianNoised("image", prob=0.3, std=0.06),
    ]

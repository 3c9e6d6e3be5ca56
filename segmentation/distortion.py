"""Patches that a network has to restore: other grey values, shuffled pixels, parts painted over.

After Zhou et al. 2021, Models Genesis, Medical Image Analysis 67:101840, with MONAI's transforms.
"""

from __future__ import annotations

from typing import Any

from monai.transforms.compose import Compose, OneOf
from monai.transforms.croppad.dictionary import RandCropByPosNegLabeld
from monai.transforms.intensity.dictionary import (
    RandCoarseDropoutd,
    RandCoarseShuffled,
    RandHistogramShiftd,
)

from .data import BOTH, Batch, changed, flips


class Distortion:
    """Distorted patches around pixels of the breast, depending on seed, epoch and image alone.

    Parameters
    ----------
    seed : int
        The training's seed.
    patch : (int, int) or None
        Rows and columns; None takes the whole canvas.
    canvas : (int, int)
        Rows and columns of the images.
    """

    def __init__(self, seed: int, patch: tuple[int, int] | None, canvas: tuple[int, int]) -> None:
        self.seed = seed
        around_breast = RandCropByPosNegLabeld(BOTH, "mask", patch or canvas, pos=1, neg=0)
        crop = [around_breast] if patch is not None else []
        self.transforms = Compose([*crop, *flips(), *_distortions(patch or canvas)])

    def __call__(self, case: Batch, epoch: int, number: int) -> Batch:
        """Give ``image``, distorted, and as ``mask`` the same patch as it was."""
        image = case["image"]
        both = {"image": image, "mask": image.clone()}
        return changed(both, self.transforms, [self.seed, epoch, number])


def _distortions(patch: tuple[int, int]) -> list[Any]:
    """Grey values in 9 of 10 patches, shuffled squares in half, painted parts in 9 of 10."""

    def part(of: float) -> tuple[int, ...]:
        return tuple(max(1, round(side * of)) for side in patch)

    grey = RandHistogramShiftd("image", num_control_points=(4, 8), prob=0.9)
    shuffled = RandCoarseShuffled(
        "image", 20, part(0.02), max_holes=60, max_spatial_size=part(0.08), prob=0.5
    )
    holes, frames = (
        RandCoarseDropoutd(
            "image",
            *(number, part(smallest), inside, (0.0, 1.0)),
            max_holes=most,
            max_spatial_size=part(largest),
            prob=0.9,
        )
        for number, most, smallest, largest, inside in (
            (2, 5, 0.1, 0.3, True),
            (1, 4, 0.4, 0.7, False),
        )
    )
    return [grey, shuffled, OneOf([holes, frames], weights=(0.8, 0.2))]

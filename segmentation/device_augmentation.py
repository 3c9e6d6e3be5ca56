"""Augmentation of whole batches where the network is, so that a GPU does not wait for it.

What is changed is drawn on the way (by :class:`Windows`, in the loader's processes) and depends on
the seed, the epoch and the image alone, as in :mod:`.data`; applying it (:func:`augment_batch`) is
arithmetic on the batch. Only the values of the noise are drawn on the device, from a seed that
belongs to the batch's first image: they differ between kinds of device, all else does not.

The changes and their ranges are those of :class:`.data.Augmentation`, but the draws are others, and
a crop turns together with what lies around it: no corner is filled with zeros, as when a finished
crop is turned. Flip, turn, scale, shift and crop are one resampling, not several.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from torch.utils.data import Dataset

from ..errors import MammoroiError
from .config import SegmentationConfig
from .data import Batch
from .mixing import LesionMixing
from .store import Arrays, ArrayStore, window

KINDS = ("full", "flips")
"""Values of ``augmentation`` that can be done here."""

TURN_RAD = 0.2
SCALE = 0.15
SHIFT_PIXELS = 8.0


def on_device(config: SegmentationConfig, accelerator: str) -> bool:
    """Tell whether training batches are augmented on the device.

    Raises
    ------
    MammoroiError
        When the settings insist on it for a kind of augmentation that is only done on the host.
    """
    can = config.augmentation in KINDS
    if config.augment_on == "auto":
        return accelerator == "gpu" and can
    if config.augment_on == "device" and not can:
        raise MammoroiError(
            f"segmentation.augmentation '{config.augmentation}' cannot be done on the device",
            f"set segmentation.augment_on to host, or augmentation to {' or '.join(KINDS)}",
        )
    return config.augment_on == "device"


class Windows(Dataset[Batch]):
    """Windows of prepared images, each with what is to be changed in it.

    An item is ``image`` (float16, 1 x rows x columns), ``mask`` (uint8, same shape), ``affine``
    (float32, 2 x 3, see :func:`affine_matrix`), ``grey`` (float32, 3: gamma, factor, standard
    deviation of the noise) and ``seed`` (int). The window is the patch with a margin, from which
    :func:`augment_batch` takes what a turned patch shows of its surroundings.

    Parameters
    ----------
    arrays : ArrayStore
        The prepared images.
    seed : int
        The training's seed.
    kind : str
        One of :data:`KINDS`.
    patch : (int, int), optional
        Rows and columns that the network gets, around a lesion pixel half of the time; None gives
        the whole canvas.
    mixing : LesionMixing, optional
        Put other images' lesions into some of them first.
    """

    def __init__(
        self,
        arrays: ArrayStore,
        seed: int,
        kind: str,
        patch: tuple[int, int] | None,
        mixing: LesionMixing | None = None,
    ) -> None:
        self.arrays = arrays
        self.mixing = mixing
        self.seed = seed
        self.kind = kind
        self.crops = patch is not None
        self.patch = patch or arrays.canvas
        self.size = window_size(self.patch) if kind == "full" and self.crops else self.patch

    def __len__(self) -> int:
        return len(self.arrays)

    def __getitem__(self, item: tuple[int, int]) -> Batch:
        epoch, number = item
        generator = np.random.default_rng([self.seed, epoch, number])
        arrays: Arrays = self.arrays.arrays(number)
        if self.mixing is not None:
            image, mask = self.mixing(self.arrays, epoch, number)
            arrays = image[0].numpy().astype(np.float16), mask[0].numpy().astype(np.uint8)
        top, left = self._corner(arrays[1], generator) if self.crops else (0, 0)
        top, left = (
            corner - (large - small) // 2
            for corner, large, small in zip((top, left), self.size, self.patch, strict=True)
        )
        shown = [torch.from_numpy(window(array, top, left, *self.size)) for array in arrays]
        affine, grey = draw_changes(generator, self.kind)
        return {
            "image": shown[0],
            "mask": shown[1],
            "affine": torch.from_numpy(affine),
            "grey": torch.from_numpy(grey),
            "seed": int(generator.integers(2**31)),
        }

    def _corner(self, mask: NDArray[np.uint8], generator: np.random.Generator) -> tuple[int, int]:
        """Draw the patch's upper left corner, within the canvas."""
        lesion = np.flatnonzero(mask) if generator.random() < 0.5 else np.empty(0, np.int64)
        if lesion.size:
            centre = divmod(int(lesion[generator.integers(lesion.size)]), mask.shape[1])
        else:
            rows, columns = self.arrays.canvas
            centre = int(generator.integers(rows)), int(generator.integers(columns))
        top, left = (
            min(max(0, at - small // 2), max(0, large - small))
            for at, small, large in zip(centre, self.patch, self.arrays.canvas, strict=True)
        )
        return top, left


def window_size(patch: tuple[int, int]) -> tuple[int, int]:
    """Give the size of the window that holds a patch however it is turned, scaled and shifted.

    The margin is even, so that window and patch have the same centre.
    """
    rows, columns = ((1 + SCALE) * side + 2 * SHIFT_PIXELS for side in patch)
    sides = (rows + math.sin(TURN_RAD) * columns, columns + math.sin(TURN_RAD) * rows)
    height, width = (
        patch_side + 2 * math.ceil((side - patch_side) / 2)
        for side, patch_side in zip(sides, patch, strict=True)
    )
    return height, width


def draw_changes(
    generator: np.random.Generator, kind: str
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Draw one image's changes: the affine matrix, and gamma, factor and noise."""
    flip = generator.random() < 0.5
    turn, scale, shift = 0.0, (1.0, 1.0), (0.0, 0.0)
    gamma, factor, noise = 1.0, 1.0, 0.0
    if kind == "full":
        if generator.random() < 0.7:
            turn = generator.uniform(-TURN_RAD, TURN_RAD)
            scale = tuple(1 + generator.uniform(-SCALE, SCALE, 2))
            shift = tuple(generator.uniform(-SHIFT_PIXELS, SHIFT_PIXELS, 2))
        if generator.random() < 0.3:
            gamma = generator.uniform(0.8, 1.25)
        if generator.random() < 0.3:
            factor = 1 + generator.uniform(-0.1, 0.1)
        if generator.random() < 0.3:
            noise = generator.uniform(0, 0.03)
    return affine_matrix(flip, turn, scale, shift), np.array([gamma, factor, noise], np.float32)


def affine_matrix(
    flip: bool, turn: float, scale: tuple[float, float], shift: tuple[float, float]
) -> NDArray[np.float32]:
    """Give the way from a pixel of the result to the pixel of the window that it shows.

    Rows, then columns, in pixels from the centre: ``source = flip(turn(scale * result + shift))``;
    2 x 3, the last column being the constant part. The order is that of MONAI's ``Affine``.
    """
    cosine, sine = math.cos(turn), math.sin(turn)
    rotation = np.array([[cosine, -sine], [sine, cosine]])
    matrix = np.column_stack([rotation @ np.diag(scale), rotation @ np.array(shift)])
    if flip:
        matrix[0] *= -1
    return matrix.astype(np.float32)


def augment_batch(batch: dict[str, Any], patch: tuple[int, int]) -> dict[str, Tensor]:
    """Apply what was drawn to a batch, on the device on which it is.

    Returns
    -------
    dict of Tensor
        ``image`` and ``mask``, float32, (batch, 1, rows, columns) of the patch.
    """
    image, mask = batch["image"].float(), batch["mask"].float()
    grid = sampling_grid(batch["affine"], (image.shape[2], image.shape[3]), patch)
    image = functional.grid_sample(image, grid, "bilinear", "zeros", align_corners=False)
    mask = functional.grid_sample(mask, grid, "nearest", "zeros", align_corners=False)
    gamma, factor, noise = (part[:, None, None, None] for part in batch["grey"].unbind(1))
    low, high = image.amin((1, 2, 3), keepdim=True), image.amax((1, 2, 3), keepdim=True)
    span = (high - low).clamp(min=1e-7)
    bent = ((image - low) / span).clamp(0, 1) ** gamma * span + low
    image = torch.where(gamma == 1, image, bent) * factor
    generator = torch.Generator(image.device).manual_seed(int(batch["seed"]))
    image = image + noise * torch.randn(image.shape, device=image.device, generator=generator)
    return {"image": image, "mask": mask}


def sampling_grid(affine: Tensor, window: tuple[int, int], patch: tuple[int, int]) -> Tensor:
    """Give ``grid_sample``'s grid, (batch, rows, columns, 2), of matrices in pixels.

    Its coordinates are columns, then rows, and reach from -1 to 1 over the window's edges.
    """
    rows, columns = patch[0] / window[0], patch[1] / window[1]
    row, column = affine[:, 0], affine[:, 1]
    theta = torch.stack(
        [
            torch.stack(
                [
                    column[:, 1] * columns,
                    column[:, 0] * patch[0] / window[1],
                    column[:, 2] * 2 / window[1],
                ],
                1,
            ),
            torch.stack(
                [
                    row[:, 1] * patch[1] / window[0],
                    row[:, 0] * rows,
                    row[:, 2] * 2 / window[0],
                ],
                1,
            ),
        ],
        1,
    )
    return functional.affine_grid(theta, [len(affine), 1, *patch], align_corners=False)

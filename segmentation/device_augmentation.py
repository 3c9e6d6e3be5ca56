"""Augmentation of whole batches where the network is, so that a GPU does not wait for it.

What is changed is drawn on the way (by :class:`Windows`, in the loader's processes) and depends on
the seed, the epoch and the image alone, as in :mod:`.data`; applying it (:func:`augment_batch`) is
arithmetic on the batch. Only the values of the noise are drawn on the device, from a seed that
belongs to the batch's first image: they differ between kinds of device, all else does not.

The changes and their ranges are those of :class:`.data.Augmentation`, but the draws are others, and
a crop turns together with what lies around it: no corner is filled with zeros, as when a finished
crop is turned. Flip, turn, scale, shift, bend and crop are one resampling, not several.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.data import Dataset

from ..errors import MammoroiError
from .config import SegmentationConfig
from .crops import corner_around, near_lesions
from .data import Batch
from .draws import BEND_SPACING, KINDS, draw_changes, window_size
from .mixing import LesionMixing
from .store import Arrays, ArrayStore, window


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

    An item is ``image`` (float16, 1 x rows x columns), ``mask`` (uint8, same shape), what
    :func:`.draws.draw_changes` gives, and ``seed`` (int). The window is the patch with a margin,
    from which :func:`augment_batch` takes what a turned patch shows of its surroundings.

    Parameters
    ----------
    arrays : ArrayStore
        The prepared images.
    seed : int
        The training's seed.
    kind : str
        One of :data:`.draws.KINDS`.
    patch : (int, int), optional
        Rows and columns that the network gets, around a lesion pixel half of the time, near a pixel
        of the breast where there is no lesion; None gives the whole canvas.
    mixing : LesionMixing, optional
        Put other images' lesions into some of them first.
    crops : str
        As in :class:`.config.SegmentationConfig`.
    """

    def __init__(
        self,
        arrays: ArrayStore,
        seed: int,
        kind: str,
        patch: tuple[int, int] | None,
        mixing: LesionMixing | None = None,
        crops: str = "halves",
    ) -> None:
        self.arrays = arrays
        self.near_lesions = crops == "lesions"
        self.mixing = mixing
        self.seed = seed
        self.ranges = KINDS[kind]
        self.crops = patch is not None
        self.patch = patch or arrays.canvas
        self.size = window_size(self.patch, self.ranges) if self.crops else self.patch

    def __len__(self) -> int:
        return len(self.arrays)

    def __getitem__(self, item: tuple[int, int]) -> Batch:
        epoch, number = item
        generator = np.random.default_rng([self.seed, epoch, number])
        arrays: Arrays = self.arrays.arrays(number)
        if self.mixing is not None:
            image, mask = self.mixing(self.arrays, epoch, number)
            arrays = image[0].numpy().astype(np.float16), mask[0].numpy().astype(np.uint8)
        near = self.near_lesions or number >= self.arrays.with_lesion
        top, left = self._corner(arrays, generator, near) if self.crops else (0, 0)
        top, left = (
            corner - (large - small) // 2
            for corner, large, small in zip((top, left), self.size, self.patch, strict=True)
        )
        shown = [torch.from_numpy(window(array, top, left, *self.size)) for array in arrays]
        changes = draw_changes(generator, self.ranges, self.patch)
        return {
            "image": shown[0],
            "mask": shown[1],
            **{name: torch.as_tensor(value) for name, value in changes.items()},
            "seed": int(generator.integers(2**31)),
        }

    def _corner(
        self, arrays: Arrays, generator: np.random.Generator, near: bool
    ) -> tuple[int, int]:
        """Draw the patch's upper left corner, within the canvas."""
        image, mask = arrays
        if near:
            return near_lesions(image, mask, self.patch, self.arrays.canvas, generator)
        lesion = np.flatnonzero(mask) if generator.random() < 0.5 else np.empty(0, np.int64)
        if lesion.size:
            centre = divmod(int(lesion[generator.integers(lesion.size)]), mask.shape[1])
        else:
            rows, columns = self.arrays.canvas
            centre = int(generator.integers(rows)), int(generator.integers(columns))
        return corner_around(centre, self.patch, self.arrays.canvas)


def for_host(batch: Batch) -> Batch:
    """Take out of a batch, before it goes to the device, what the host has to know.

    ``seed`` becomes that of the first image, ``zoom`` a list: read back from a GPU they would make
    the host wait for it.
    """
    if "seed" not in batch:
        return batch
    batch = {**batch, "seed": int(batch["seed"][0])}
    return batch | ({"zoom": batch["zoom"].tolist()} if "zoom" in batch else {})


def augment_batch(batch: dict[str, Any], patch: tuple[int, int]) -> dict[str, Tensor]:
    """Apply what was drawn to a batch, on the device on which it is.

    Parameters
    ----------
    batch : dict
        Items of :class:`Windows`, collated and given to :func:`for_host`.
    patch : (int, int)
        Rows and columns of the result.

    Returns
    -------
    dict of Tensor
        ``image`` and ``mask``, float32, (batch, 1, rows, columns).
    """
    image, mask = batch["image"].float(), batch["mask"].float()
    grid = sampling_grid(
        batch["affine"], batch.get("bend"), (image.shape[2], image.shape[3]), patch
    )
    image = functional.grid_sample(image, grid, "bilinear", "zeros", align_corners=False)
    mask = functional.grid_sample(mask, grid, "nearest", "zeros", align_corners=False)
    gamma, factor, noise = (part[:, None, None, None] for part in batch["grey"].unbind(1))
    image = torch.where(gamma == 1, image, _between(image, lambda share: share**gamma)) * factor
    if "bend" in batch:
        image = _between(image, lambda share: _on_curve(share, batch["curve"]))
        image = coarsened(blurred(image, batch["blur"]), batch["zoom"])
    generator = torch.Generator(image.device).manual_seed(int(batch["seed"]))
    image = image + noise * torch.randn(image.shape, device=image.device, generator=generator)
    return {"image": image, "mask": mask}


def sampling_grid(
    affine: Tensor, bend: Tensor | None, window: tuple[int, int], patch: tuple[int, int]
) -> Tensor:
    """Give ``grid_sample``'s grid, (batch, rows, columns, 2), of what is given in pixels.

    Its coordinates are columns, then rows, and reach from -1 to 1 over the window's edges.
    """
    device = affine.device
    rows, columns = (torch.arange(side, device=device) - (side - 1) / 2 for side in patch)
    place = torch.stack(torch.meshgrid(rows, columns, indexing="ij"))[None]  # 1, 2, rows, columns
    if bend is not None:
        place = place + _spread(bend, patch)
    source = torch.einsum("bij,bjrc->birc", affine[:, :, :2], place.expand(len(affine), -1, -1, -1))
    source = source + affine[:, :, 2, None, None]
    # By numbers of the host: a tensor made of them would make the host wait for a GPU.
    height, width = window
    return torch.stack((source[:, 1] / (width / 2), source[:, 0] / (height / 2)), dim=-1)


def _spread(bend: Tensor, patch: tuple[int, int]) -> Tensor:
    """Spread the shifts of the points over the pixels, (batch, 2, rows, columns)."""
    field = functional.interpolate(bend, scale_factor=BEND_SPACING, mode="bicubic")
    top, left = ((large - small) // 2 for large, small in zip(field.shape[2:], patch, strict=True))
    return field[:, :, top : top + patch[0], left : left + patch[1]]


def _between(image: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:
    """Change the grey values as shares, 0..1, of the way from each image's darkest to brightest."""
    low, high = image.amin((1, 2, 3), keepdim=True), image.amax((1, 2, 3), keepdim=True)
    span = (high - low).clamp(min=1e-7)
    return change(((image - low) / span).clamp(0, 1)) * span + low


def _on_curve(share: Tensor, curve: Tensor) -> Tensor:
    """Read each image's curve (batch, points) at shares from 0 to 1."""
    at = share.flatten(1) * (curve.shape[1] - 1)
    below = at.floor().clamp(max=curve.shape[1] - 2)
    index = below.long()
    low, high = curve.gather(1, index), curve.gather(1, index + 1)
    return (low + (at - below) * (high - low)).view_as(share)


def blurred(image: Tensor, sigma: Tensor) -> Tensor:
    """Blur each image by its own Gaussian; 0 leaves it as it is.

    Parameters
    ----------
    image : (batch, 1, rows, columns)
    sigma : (batch, 2)
        In pixels, of rows and columns, at most 1.
    """
    place = torch.arange(-4, 5, device=image.device, dtype=image.dtype)
    width = sigma.clamp(min=1e-3)[:, :, None] * 2**0.5
    weight = (torch.erf((place + 0.5) / width) - torch.erf((place - 0.5) / width)) / 2
    together = image.transpose(0, 1)  # one image per channel
    for axis, shape in ((0, (-1, 1, 9, 1)), (1, (-1, 1, 1, 9))):
        kernel = weight[:, axis].reshape(shape)
        padding = (4, 0) if axis == 0 else (0, 4)
        together = functional.conv2d(together, kernel, padding=padding, groups=len(image))
    return together.transpose(0, 1)


def coarsened(image: Tensor, zoom: list[float]) -> Tensor:
    """Show images as if they had fewer pixels: that share of them along each side; 1 for all."""
    few = [number for number, share in enumerate(zoom) if share < 1]
    if not few:
        return image
    image = image.clone()
    rows, columns = image.shape[2:]
    for number in few:
        size = [max(1, round(side * zoom[number])) for side in (rows, columns)]
        small = functional.interpolate(image[number : number + 1], size, mode="nearest")
        image[number] = functional.interpolate(small, (rows, columns), mode="bilinear")[0]
    return image

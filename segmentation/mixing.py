"""Other patients' lesions in a breast: more lesions and more places than the images have.

A region of another training image's mask is cut out, turned upside down half of the time, moved to
a place within the breast, brought to the grey level around it, and blended in with a soft edge
(as copy-paste: Ghiasi et al. 2021, arXiv:2012.07177).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

    from .store import ArrayStore

Image = NDArray[np.float32]
Mask = NDArray[np.bool_]

BREAST = 0.1
"""Grey values above it are breast; the air is 0."""
INSIDE = 0.98
"""Share of a lesion that has to lie in the breast."""
LARGEST = 0.1
"""A lesion above this share of the breast is not moved: it would cover what is there."""
MARGIN = 6
TRIES = 10


def mix(
    image: Image, mask: Mask, donor: Image, donor_mask: Mask, rng: np.random.Generator
) -> tuple[Image, Mask]:
    """Put one lesion of the donor into the image; unchanged where none fits.

    Parameters
    ----------
    image, donor : float32 (rows, columns)
        Working arrays, 0..1; their sizes may differ.
    mask, donor_mask : bool (rows, columns)
        Their masks.
    rng : numpy.random.Generator
        Decides region, direction and place.

    Returns
    -------
    image, mask : as given, copies where they were changed
    """
    from scipy import ndimage

    regions, count = ndimage.label(donor_mask)
    breast = image > BREAST
    if count == 0 or not breast.any():
        return image, mask
    label = int(rng.integers(count)) + 1
    rows, columns = ndimage.find_objects(regions)[label - 1]
    box = tuple(slice(max(part.start - MARGIN, 0), part.stop + MARGIN) for part in (rows, columns))
    lesion, pixels = regions[box] == label, donor[box]
    if lesion.sum() > LARGEST * breast.sum():
        return image, mask
    if rng.random() < 0.5:
        lesion, pixels = lesion[::-1], pixels[::-1]
    place = _place(breast, lesion, rng)
    if place is None:
        return image, mask
    soft = ndimage.gaussian_filter(ndimage.binary_dilation(lesion, iterations=2) * 1.0, 2)
    ring = ndimage.binary_dilation(lesion, iterations=5) & ~lesion
    ring &= breast[place] & (pixels > BREAST)
    below = image[place]
    shift = below[ring].mean() - pixels[ring].mean() if ring.any() else 0.0
    mixed, both = image.copy(), mask.copy()
    mixed[place] = np.clip(below * (1 - soft) + (pixels + shift) * soft, 0, 1)
    both[place] |= lesion
    return mixed, both


def _place(breast: Mask, lesion: Mask, rng: np.random.Generator) -> tuple[slice, slice] | None:
    """Draw a place for the lesion's box, so that nearly all of the lesion lies in the breast."""
    inside = np.argwhere(breast)
    for _ in range(TRIES):
        centre = inside[rng.integers(len(inside))]
        top, left = (int(at) - size // 2 for at, size in zip(centre, lesion.shape, strict=True))
        bottom, right = top + lesion.shape[0], left + lesion.shape[1]
        if top < 0 or left < 0 or bottom > breast.shape[0] or right > breast.shape[1]:
            continue
        place = slice(top, bottom), slice(left, right)
        if breast[place][lesion].mean() >= INSIDE:
            return place
    return None


class LesionMixing:
    """Mixes lesions into images of a training set, depending on seed, epoch and number alone.

    Parameters
    ----------
    probability : float
        How often an image is given a lesion.
    seed : int
        The training's seed.
    """

    def __init__(self, probability: float, seed: int) -> None:
        self.probability = probability
        self.seed = seed

    def __call__(
        self, arrays: ArrayStore, epoch: int, number: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Give image and mask of a number, (1, rows, columns) both, perhaps with a lesion more.

        Parameters
        ----------
        arrays : ArrayStore
            The whole training set; those with a lesion give theirs.
        """
        import torch

        image, mask = (part.float() for part in arrays[number])
        # Apart from the augmentation's numbers, which come of the same three.
        rng = np.random.default_rng([self.seed, epoch, number, 1])
        if rng.random() >= self.probability:
            return image, mask
        donor, donor_mask = arrays[int(rng.integers(arrays.with_lesion))]
        mixed, both = mix(
            image[0].numpy(),
            mask[0].numpy() > 0,
            donor[0].float().numpy(),
            donor_mask[0].numpy() > 0,
            rng,
        )
        return torch.from_numpy(mixed)[None], torch.from_numpy(both)[None].float()

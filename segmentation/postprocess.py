"""From probabilities to a mask."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .mapping import bounding_box


def draw_mask(
    probability: NDArray[np.float32],
    pixel_area_mm2: float,
    threshold: float,
    max_components: int,
    minimum_area_mm2: float,
) -> NDArray[np.bool_]:
    """Keep the regions of high probability that count.

    Pixels at or above the threshold form regions (neighbours by edge or corner). Regions smaller
    than the minimum area are dropped; of the others the ``max_components`` with the largest sum of
    probabilities stay (0: all). That sum prefers a large certain region over a larger faint one.

    Parameters
    ----------
    probability : float32 (rows, columns)
        0..1, on the mammogram's own grid.
    pixel_area_mm2 : float
        Area of a pixel.
    threshold, max_components, minimum_area_mm2
        As in :class:`.config.SegmentationConfig`.

    Returns
    -------
    bool (rows, columns); without any true pixel the lesion was missed.
    """
    from scipy import ndimage

    mask = np.zeros(probability.shape, np.bool_)
    high = probability >= threshold
    box = bounding_box(high)
    if box is None:
        return mask
    top, bottom, left, right = box  # the rest of a large mammogram need not be looked at
    probability = probability[top:bottom, left:right]
    regions, count = ndimage.label(high[top:bottom, left:right], structure=np.ones((3, 3)))
    labels = np.arange(1, count + 1)
    areas = np.bincount(regions.ravel(), minlength=count + 1)[1:] * pixel_area_mm2
    sums = ndimage.sum_labels(probability, regions, labels)
    order = labels[np.argsort(-sums, kind="stable")]
    kept = [label for label in order if areas[label - 1] >= minimum_area_mm2]
    mask[top:bottom, left:right] = np.isin(regions, kept[: max_components or None])
    return mask

"""From probabilities to a mask."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .candidates import CANDIDATE_PROBABILITY
from .config import EXPECTED_DICE
from .mapping import bounding_box

_STEPS = 1000


def draw_mask(
    probability: NDArray[np.float32],
    pixel_area_mm2: float,
    threshold: float | str,
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
    return draw_regions(probability, pixel_area_mm2, threshold, max_components, minimum_area_mm2)[0]


def draw_regions(
    probability: NDArray[np.float32],
    pixel_area_mm2: float,
    threshold: float | str,
    max_components: int,
    minimum_area_mm2: float,
) -> tuple[NDArray[np.bool_], int]:
    """Draw the mask of :func:`draw_mask`; give with it how many regions there were to keep.

    Parameters
    ----------
    probability, pixel_area_mm2, threshold, max_components, minimum_area_mm2
        As for :func:`draw_mask`.

    Returns
    -------
    mask : bool (rows, columns)
        As :func:`draw_mask` gives it.
    n_regions : int
        The regions of the minimum area or more, those that the mask does not keep among them.
    """
    from scipy import ndimage

    mask = np.zeros(probability.shape, np.bool_)
    high = probability >= threshold_of(probability, threshold)
    box = bounding_box(high)
    if box is None:
        return mask, 0
    top, bottom, left, right = box  # the rest of a large mammogram need not be looked at
    probability = probability[top:bottom, left:right]
    regions, count = ndimage.label(high[top:bottom, left:right], structure=np.ones((3, 3)))
    labels = np.arange(1, count + 1)
    areas = np.bincount(regions.ravel(), minlength=count + 1)[1:] * pixel_area_mm2
    sums = ndimage.sum_labels(probability, regions, labels)
    order = labels[np.argsort(-sums, kind="stable")]
    large = [label for label in order if areas[label - 1] >= minimum_area_mm2]
    mask[top:bottom, left:right] = np.isin(regions, large[: max_components or None])
    return mask, len(large)


def threshold_of(probability: NDArray[np.float32], threshold: float | str) -> float:
    """Give the threshold of one image.

    With ``expected-dice`` it is the one whose mask has the largest expected Dice if the probability
    is calibrated: a sure lesion is cut near 0.5, a faint one lower, at half of the Dice that is to
    be expected (Lipton et al. 2014, arXiv:1402.1892). It is never below the probability of a
    candidate region, so that where nothing is probable nothing is drawn.

    Parameters
    ----------
    probability : float32 array
        0..1.
    threshold : float or str
        As in :class:`.config.SegmentationConfig`.
    """
    if threshold != EXPECTED_DICE:
        return float(threshold)
    values = probability.ravel()
    step = np.minimum((values * _STEPS).astype(np.int64), _STEPS - 1)
    # Pixels at or above each step, and the sum of their probabilities.
    count, total = (
        np.bincount(step, weights, _STEPS)[::-1].cumsum()[::-1] for weights in (None, values)
    )
    first = int(np.ceil(CANDIDATE_PROBABILITY * _STEPS))
    expected = 2 * total[first:] / np.maximum(total[0] + count[first:], 1e-12)
    return (first + int(np.argmax(expected))) / _STEPS

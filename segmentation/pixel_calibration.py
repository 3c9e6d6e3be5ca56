"""Whether a pixel's probability means what it says.

Compared on the working array (where the networks speak), in two regions: ``near`` holds the pixels
within 10 mm of the manual mask or of any pixel of probability 0.5 or more, ``breast`` all pixels
that are not air. Most of a breast is surely no lesion, so ``near`` is the harder question.

``pixel_calibration.csv``: ``region, set, bin_from, bin_to, n_pixels, probability`` (mean in the
bin), ``share`` (of these pixels that are lesion in the manual mask)``, lower, upper``: 95 %
bootstrap intervals of the share over patients. The expected calibration error (Guo et al., ICML
2017) of an image is the mean over its pixels of the distance of a bin's share from its mean
probability; ``agreement.csv`` has it as ``ece_near`` and ``ece_breast``.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..files import atomic
from .bootstrap import draw_patients, limits

if TYPE_CHECKING:
    import pandas as pd

Values = NDArray[np.float64]
BINS = 10
NEAR_MM = 10.0
REGIONS = ("near", "breast")
RELIABILITY = ("bin_from", "bin_to", "n_pixels", "probability", "share", "lower", "upper")
"""The columns of a reliability table."""


def write_probability(path: Path, probability: NDArray[np.float32]) -> None:
    """Write a probability map as an 8-bit PNG: 0..1 in 255 steps."""
    from PIL import Image

    with atomic(path) as temporary:
        Image.fromarray(np.round(probability * 255).astype(np.uint8)).save(temporary, format="PNG")


def read_probability(path: Path) -> NDArray[np.float32]:
    """Read what :func:`write_probability` wrote."""
    from PIL import Image

    with Image.open(path) as image:
        return np.asarray(image, dtype=np.float32) / np.float32(255)


def counts_in_regions(
    probability: NDArray[np.float32],
    manual: NDArray[np.bool_],
    breast: NDArray[np.bool_],
    pixel_mm: tuple[float, float],
) -> dict[str, Values]:
    """Count one image's pixels by probability, in each region.

    Parameters
    ----------
    probability, manual, breast : (rows, columns) of the working array
        Probability of lesion, manual mask, and where there is breast.
    pixel_mm : (float, float)
        Size of a working pixel.

    Returns
    -------
    dict of float (3, bins)
        Number of pixels, sum of their probabilities, number of lesion pixels.
    """
    from scipy.ndimage import distance_transform_edt

    marked = manual | (probability >= 0.5)
    near = np.zeros_like(marked)
    if marked.any():
        near = distance_transform_edt(~marked, sampling=pixel_mm) <= NEAR_MM
    inside = breast | manual
    return {
        "near": bin_counts(probability[near & inside], manual[near & inside]),
        "breast": bin_counts(probability[inside], manual[inside]),
    }


def bin_counts(probability: NDArray[np.float32], lesion: NDArray[np.bool_]) -> Values:
    """Count pixels, sum probabilities and count lesion pixels in ten equal bins: float (3, 10)."""
    place = np.minimum((probability * BINS).astype(np.intp), BINS - 1)
    return np.stack(
        [
            np.bincount(place, weights, BINS)
            for weights in (np.ones(place.size), probability.astype(float), lesion.astype(float))
        ]
    )


def calibration_error(counts: Values) -> float | None:
    """Give the expected calibration error of counts (3, bins); None without a pixel."""
    pixels, probability, lesion = counts
    return float(np.abs(lesion - probability).sum() / pixels.sum()) if pixels.sum() else None


def reliability(
    counts: Values, patients: NDArray[np.object_], samples: int, seed: int
) -> pd.DataFrame:
    """Pool images into a reliability table, with intervals by resampling patients.

    Parameters
    ----------
    counts : float (images, 3, bins)
        Of :func:`bin_counts`.
    patients : (images,)
        Whose image it is.
    """
    import pandas as pd

    names, owner = np.unique(patients.astype(str), return_inverse=True)
    of_patient = np.zeros((len(names), *counts.shape[1:]))
    np.add.at(of_patient, owner, counts)
    draws = draw_patients(len(names), samples, seed)
    pixels, probability, lesion = of_patient.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        shares = (draws @ of_patient[:, 2]) / (draws @ of_patient[:, 0])
        table = {
            "bin_from": np.arange(BINS) / BINS,
            "bin_to": np.arange(1, BINS + 1) / BINS,
            "n_pixels": pixels.astype(np.int64),
            "probability": probability / pixels,
            "share": lesion / pixels,
        }
    lower, upper = limits(shares, (of_patient[:, 0] > 0).sum(axis=0))
    return pd.DataFrame(table | {"lower": lower, "upper": upper})

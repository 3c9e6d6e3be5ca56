"""How alike two masks are: overlap, distances between their contours in mm, areas.

Definitions are MONAI's: a contour is the set of mask pixels that have a neighbour (by edge)
outside the mask; distances run from each contour pixel to the nearest pixel of the other contour.

Rules for empty masks ("reference" is the mask that counts as true):

====================  ==========  ============================  ==================
measure               both empty  only the prediction is empty  only the reference
====================  ==========  ============================  ==================
dice, iou             1           0                             0
surface_dice          1           0                             0
hd95_mm, assd_mm      0           missing                       missing
hd95_penalised_mm     0           image diagonal                image diagonal
area_ratio            missing     0                             missing
found                 missing     false                         missing
====================  ==========  ============================  ==================

A mean of ``hd95_mm`` over images improves when more lesions are missed, since these drop out;
read it with the share found, or read ``hd95_penalised_mm``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import MammoroiError
from .mapping import bounding_box

Distances = NDArray[np.float64]


@dataclass(frozen=True)
class Similarity:
    """The measures of one pair of masks; None where the table above says missing.

    Attributes
    ----------
    dice, iou : float
        0 (nothing shared) to 1 (equal).
    hd95_mm : float or None
        The larger of the two 95th percentiles of the distances between the contours.
    hd95_penalised_mm : float
        The same, with the image's diagonal where one mask is empty.
    assd_mm : float or None
        Average symmetric surface distance: the mean over all distances, both ways.
    surface_dice : float
        Share of both contours that is within the tolerance of the other one.
    area_ratio : float or None
        Predicted area divided by reference area.
    found : bool or None
        Whether prediction and reference share a pixel.
    reference_area_mm2, area_mm2 : float
        Areas of the reference and of the prediction.
    """

    dice: float
    iou: float
    hd95_mm: float | None
    hd95_penalised_mm: float
    assd_mm: float | None
    surface_dice: float
    area_ratio: float | None
    found: bool | None
    reference_area_mm2: float
    area_mm2: float


def similarity(
    prediction: NDArray[np.bool_],
    reference: NDArray[np.bool_],
    spacing: tuple[float, float],
    tolerance_mm: float,
) -> Similarity:
    """Compare two masks of one image.

    Parameters
    ----------
    prediction, reference : bool (rows, columns)
        The masks.
    spacing : (float, float)
        Pixel spacing (row, column) in mm.
    tolerance_mm : float
        Tolerance of the surface Dice.

    Raises
    ------
    MammoroiError
        When the masks have different sizes.
    """
    if prediction.shape != reference.shape:
        raise MammoroiError(
            f"masks of {prediction.shape} and {reference.shape} pixels are compared",
            "draw both on the grid of the same mammogram",
        )
    pixel = spacing[0] * spacing[1]
    area, reference_area = int(prediction.sum()), int(reference.sum())
    shared = int((prediction & reference).sum())
    union = area + reference_area - shared
    areas = {"reference_area_mm2": reference_area * pixel, "area_mm2": area * pixel}
    if area and reference_area:
        there, back = contour_distances(prediction, reference, spacing)
        both = np.concatenate([there, back])
        hd95 = float(max(np.percentile(there, 95), np.percentile(back, 95)))
        return Similarity(
            dice=2 * shared / (area + reference_area),
            iou=shared / union,
            hd95_mm=hd95,
            hd95_penalised_mm=hd95,
            assd_mm=float(both.mean()),
            surface_dice=float((both <= tolerance_mm).mean()),
            area_ratio=area / reference_area,
            found=shared > 0,
            **areas,
        )
    agree = union == 0
    rows, columns = reference.shape
    diagonal = math.hypot(rows * spacing[0], columns * spacing[1])
    return Similarity(
        dice=float(agree),
        iou=float(agree),
        hd95_mm=0.0 if agree else None,
        hd95_penalised_mm=0.0 if agree else diagonal,
        assd_mm=0.0 if agree else None,
        surface_dice=float(agree),
        area_ratio=0.0 if reference_area else None,
        found=False if reference_area else None,
        **areas,
    )


def contour_distances(
    one: NDArray[np.bool_], other: NDArray[np.bool_], spacing: tuple[float, float]
) -> tuple[Distances, Distances]:
    """Distances in mm from each contour pixel of one mask to the other's contour, both ways.

    Neither mask may be empty. Only the box that holds both is looked at, so the size of the image
    does not matter.
    """
    from scipy.ndimage import distance_transform_edt

    box = bounding_box(one | other)
    assert box is not None
    top, bottom, left, right = box
    contours = [contour(mask[top:bottom, left:right]) for mask in (one, other)]
    maps = [distance_transform_edt(~line, sampling=spacing) for line in contours]
    there: Distances = np.asarray(maps[1])[contours[0]]
    back: Distances = np.asarray(maps[0])[contours[1]]
    return there, back


def contour(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pixels of a mask that have a neighbour by edge outside it; beyond the image is outside."""
    from scipy.ndimage import binary_erosion

    inner: NDArray[np.bool_] = binary_erosion(mask)
    return mask & ~inner


def size_group(area_mm2: float) -> str:
    """Name the size of a lesion by the diameter of a circle of its area."""
    diameter_mm = 2 * math.sqrt(area_mm2 / math.pi)
    if diameter_mm < 10:
        return "<10mm"
    return "10-20mm" if diameter_mm <= 20 else ">20mm"

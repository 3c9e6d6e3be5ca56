"""Find the lesions: sensitivity against false positives per image (FROC).

Every region of a manual mask (neighbours by edge or corner) is a lesion; every row of
``masks/candidates.csv`` is a mark with a score. A mark hits a lesion by one of two criteria:

``iou``       the boxes of mark and lesion have an intersection over union of at least ``hit_iou``
              (0.2 by default, usual for masses in mammography: Dhungel et al., DICTA 2015;
              Kozegar et al., 2013); of several lesions the one with the largest is hit
``centroid``  the mark's centroid lies in the lesion

A lesion's score is that of its best hit; further hits of it count neither for nor against, marks
without a hit are false positives (as in LUNA16 and CAMELYON16). Images count whose mask was drawn
and whose manual mask could be read. All of them have a lesion (:mod:`mammoroi.cohort.check` refuses
a mask without one). Where the settings name mammograms without a lesion (:mod:`.normals`), the
group ``normals`` of the curves and of the summary counts the false positives on those alone; the
lesions are the same.

Of a box around a lesion (``mask_kind``) the box is known and nothing else: areas and sizes of such
lesions are missing, and ``centroid`` asks whether the centroid lies in the box. Boxes that touch or
overlap are one region, hence one lesion.

A mark is no region of the mask: at the lower level of a candidate, regions that lie apart in the
mask may be one, which then may hit nothing. So the curve may pass below the masks themselves:
``froc_masks.csv`` says where these are, each region of a mask being a mark: ``group`` (``all``,
``set=train``, ``set=test``), ``n_images, n_lesions, sensitivity, lower, upper, false_regions,
false_lower, false_upper``, the last three per image.

``lesions.csv``: ``image_id, patient_id, set, lesion, area_mm2, size_group, view, breast_density,
score`` (empty: no candidate hits it) and ``hit_by_mask`` (whether a region of the mask does).
``froc.csv``: ``set, score, fp_per_image, sensitivity``, the corners of the curves (``set`` is
``all``, ``train``, ``test`` or ``normals``). ``froc_summary.csv``: ``group, fp_per_image, n_images,
n_lesions, sensitivity, lower, upper``; ``fp_per_image`` is a rate of the settings, or ``mean`` for
the average sensitivity over them. The sensitivity at a rate is the highest that a threshold reaches
without exceeding the rate. Intervals are 95 % bootstrap intervals over patients. For
``size_group=...`` the lesions are those of the size, the images all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .bootstrap import draw_patients, limits

if TYPE_CHECKING:
    import pandas as pd

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Marks:
    """Lesions and false positives of a set of images, as the curve needs them.

    Attributes
    ----------
    lesion_scores : float (lesions,)
        Score of the best hit; -inf where none hits.
    false_scores : float (false positives,)
        Scores of the marks that hit nothing.
    lesion_patients, false_patients, image_patients : int
        Number of the patient of each lesion, false positive and image.
    """

    lesion_scores: Values
    false_scores: Values
    lesion_patients: NDArray[np.intp]
    false_patients: NDArray[np.intp]
    image_patients: NDArray[np.intp]

    @property
    def patients(self) -> int:
        """How many patients there are."""
        numbers = np.concatenate([self.lesion_patients, self.image_patients])
        return 1 + int(max(numbers, default=0))


def lesions_and_marks(
    manual: NDArray[np.bool_], candidates: list[dict[str, Any]], hit: str, hit_iou: float
) -> tuple[list[tuple[int, float]], list[float]]:
    """Match one image's candidates with its lesions.

    Parameters
    ----------
    manual : bool (rows, columns)
        The manual mask.
    candidates : list of dict
        Rows of ``candidates.csv``.
    hit : str
        One of :data:`.config.HITS`.
    hit_iou : float
        Smallest intersection over union of the boxes for ``iou``.

    Returns
    -------
    lesions : list of (int, float)
        Area in pixels and score of each lesion; -inf where no candidate hits it.
    false_positives : list of float
        Scores of the candidates that hit none.
    """
    from scipy import ndimage

    regions, count = ndimage.label(manual, np.ones((3, 3)))
    boxes = [
        (rows.start, rows.stop, columns.start, columns.stop)
        for rows, columns in ndimage.find_objects(regions, count)
    ]
    scores = [-np.inf] * count
    false_positives = []
    for one in candidates:
        lesion = _by_box(one, boxes, hit_iou) if hit == "iou" else _by_centroid(one, regions)
        if lesion is None:
            false_positives.append(float(one["score"]))
        else:
            scores[lesion] = max(scores[lesion], float(one["score"]))
    areas = np.bincount(regions.ravel(), minlength=count + 1)[1:].tolist()
    return list(zip(areas, scores, strict=True)), false_positives


def _by_centroid(one: dict[str, Any], regions: NDArray[Any]) -> int | None:
    lesion = int(regions[round(float(one["row"])), round(float(one["column"]))])
    return lesion - 1 if lesion else None


def _by_box(
    one: dict[str, Any], boxes: list[tuple[int, int, int, int]], least: float
) -> int | None:
    mark = tuple(int(one[side]) for side in ("top", "bottom", "left", "right"))
    overlaps = [box_iou(mark, box) for box in boxes]
    if not overlaps or max(overlaps) < least:
        return None
    return int(np.argmax(overlaps))


def box_iou(one: tuple[int, ...], other: tuple[int, ...]) -> float:
    """Intersection over union of two boxes (top, bottom, left, right), ends excluded."""
    rows = max(0, min(one[1], other[1]) - max(one[0], other[0]))
    columns = max(0, min(one[3], other[3]) - max(one[2], other[2]))
    areas = [(box[1] - box[0]) * (box[3] - box[2]) for box in (one, other)]
    return rows * columns / (sum(areas) - rows * columns)


def froc_curve(
    marks: Marks, weights: NDArray[np.int64] | None = None
) -> tuple[Values, Values, Values]:
    """Compute the corners of the FROC curve, from the strictest threshold to the loosest.

    The definition is that of ``monai.metrics.froc``, whose curve leaves out its last point, where
    every mark counts.

    Parameters
    ----------
    marks : Marks
        Lesions and false positives.
    weights : int (patients,), optional
        How often each patient counts; once by default.

    Returns
    -------
    (thresholds, false positives per image, sensitivity)
    """
    if weights is None:
        weights = np.ones(marks.patients, np.int64)
    found = np.isfinite(marks.lesion_scores)
    scores = np.concatenate([marks.lesion_scores[found], marks.false_scores])
    true = weights[marks.lesion_patients[found]]
    false = weights[marks.false_patients]
    order = np.argsort(-scores, kind="stable")
    nothing = np.zeros(1)
    hits = np.concatenate([true, np.zeros_like(false)])[order].cumsum()
    errors = np.concatenate([np.zeros_like(true), false])[order].cumsum()
    thresholds = scores[order]
    last = np.append(thresholds[1:] != thresholds[:-1], True)[: len(thresholds)]
    images, lesions = weights[marks.image_patients].sum(), weights[marks.lesion_patients].sum()
    with np.errstate(invalid="ignore", divide="ignore"):
        return (
            np.append(np.inf, thresholds[last]),
            np.concatenate([nothing, errors[last]]) / images,
            np.concatenate([nothing, hits[last]]) / lesions,
        )


def sensitivity_at(rates: Values, fp_per_image: Values, sensitivity: Values) -> Values:
    """Give the highest sensitivity of the curve's corners that do not exceed each rate.

    NaN where there is no image, so that there is no rate.
    """
    if np.isnan(fp_per_image).any():
        return np.full_like(rates, np.nan)
    corner = np.searchsorted(fp_per_image, rates, side="right") - 1
    reached: Values = sensitivity[corner]
    return reached


def froc_estimates(
    marks: Marks, rates: Values, samples: int, seed: int
) -> list[tuple[float, float, float]]:
    """Estimate the sensitivity at each rate, and last its mean over the rates.

    Returns
    -------
    list of (value, lower, upper)
        With 95 % intervals by resampling patients, NaN where few have a lesion or an image; all is
        NaN without a lesion or an image, and resamples without one do not count.
    """

    def measured(weights: NDArray[np.int64] | None) -> Values:
        _, fp_per_image, sensitivity = froc_curve(marks, weights)
        at = sensitivity_at(rates, fp_per_image, sensitivity)
        return np.append(at, at.mean())

    draws = draw_patients(marks.patients, samples, seed)
    drawn = np.array([measured(weights) for weights in draws])
    kinds = (marks.lesion_patients, marks.image_patients)
    lower, upper = limits(drawn, min(len(np.unique(kind)) for kind in kinds))
    value = measured(None)
    return [(float(v), float(a), float(b)) for v, a, b in zip(value, lower, upper, strict=True)]


def marks_of(images: pd.DataFrame, lesions: pd.DataFrame, false: pd.DataFrame) -> Marks:
    """Bring tables with ``patient_id`` (and ``score``) of some images into :class:`Marks`."""
    import pandas as pd

    patients = pd.Index(sorted({*images["patient_id"], *lesions["patient_id"]}))

    def number(table: pd.DataFrame) -> NDArray[np.intp]:
        return np.asarray(patients.get_indexer(table["patient_id"]), dtype=np.intp)

    return Marks(
        lesions["score"].fillna(-np.inf).to_numpy(dtype=float),
        false["score"].to_numpy(dtype=float),
        number(lesions),
        number(false),
        number(images),
    )


def summarise_detection(
    images: pd.DataFrame,
    lesions: pd.DataFrame,
    false: pd.DataFrame,
    rates: tuple[float, ...],
    samples: int,
    seed: int,
    normals: tuple[pd.DataFrame, pd.DataFrame] | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Make ``froc.csv`` and ``froc_summary.csv``.

    Parameters
    ----------
    images, lesions, false : DataFrame
        A row per image, lesion and false positive, each with ``image_id, patient_id``; images
        also with ``set, view, breast_density``, lesions with ``size_group``, and lesions and
        false positives with ``score``.
    rates, samples, seed
        Of :func:`froc_estimates`.
    normals : (DataFrame, DataFrame), optional
        Images without a lesion, and the false positives on them, with the same columns.
    """
    import pandas as pd

    def part(kept: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
        ids = kept["image_id"]
        return kept, lesions[lesions["image_id"].isin(ids)], false[false["image_id"].isin(ids)]

    parts = {"all": (images, lesions, false)}
    for column in ("view", "breast_density", "n_regions", "set"):
        for value, kept in images.groupby(column):
            parts[f"{column}={value}"] = part(kept)
    for value, kept in lesions.groupby("size_group"):
        parts[f"size_group={value}"] = (images, kept, false)
    if normals is not None:
        parts["normals"] = (normals[0], lesions, normals[1])
    curves, rows = [], []
    for group, (of_images, of_lesions, of_false) in parts.items():
        marks = marks_of(of_images, of_lesions, of_false)
        if group in ("all", "set=train", "set=test", "normals"):
            thresholds, fp_per_image, sensitivity = froc_curve(marks)
            curve = {
                "set": group.removeprefix("set="),
                "score": thresholds,
                "fp_per_image": fp_per_image,
                "sensitivity": sensitivity,
            }
            curves.append(pd.DataFrame(curve))
        estimates = froc_estimates(marks, np.array(rates, dtype=float), samples, seed)
        for rate, (value, lower, upper) in zip((*rates, "mean"), estimates, strict=True):
            rows.append(
                {
                    "group": group,
                    "fp_per_image": f"{rate:g}" if isinstance(rate, float) else rate,
                    "n_images": len(of_images),
                    "n_lesions": len(of_lesions),
                    "sensitivity": value,
                    "lower": lower,
                    "upper": upper,
                }
            )
    return pd.concat(curves, ignore_index=True), pd.DataFrame(rows)


def summarise_masks(
    images: pd.DataFrame, lesions: pd.DataFrame, false: pd.DataFrame, samples: int, seed: int
) -> pd.DataFrame:
    """Make ``froc_masks.csv``: which lesions the regions of the masks hit, and how many hit none.

    Parameters
    ----------
    images, lesions, false : DataFrame
        A row per image, lesion and region that hits none, each with ``image_id, patient_id``;
        images also with ``set``, lesions with ``hit_by_mask``.
    samples, seed : int
        Of the resampling of patients.
    """
    import pandas as pd

    lesions = lesions.assign(score=lesions["hit_by_mask"].map({True: 1.0, False: np.nan}))
    rows = []
    parts = [("all", images), *((f"set={name}", part) for name, part in images.groupby("set"))]
    for group, kept in parts:
        of_lesions, of_false = (
            table[table["image_id"].isin(kept["image_id"])] for table in (lesions, false)
        )
        marks = marks_of(kept, of_lesions.astype({"score": float}), of_false.assign(score=1.0))

        def measured(weights: NDArray[np.int64] | None, marks: Marks = marks) -> Values:
            _, per_image, sensitivity = froc_curve(marks, weights)
            return np.array([sensitivity[-1], per_image[-1]])

        drawn = np.array([measured(one) for one in draw_patients(marks.patients, samples, seed)])
        lower, upper = limits(drawn, len(np.unique(marks.lesion_patients)))
        found = measured(None)
        rows.append(
            {
                "group": group,
                "n_images": len(kept),
                "n_lesions": len(of_lesions),
                "sensitivity": found[0],
                "lower": lower[0],
                "upper": upper[0],
                "false_regions": found[1],
                "false_lower": lower[1],
                "false_upper": upper[1],
            }
        )
    return pd.DataFrame(rows)

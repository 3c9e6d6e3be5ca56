"""What the networks mark in mammograms without a lesion (:mod:`.normals`).

``normals.csv``: ``measure, n, value, lower, upper``, with 95 % bootstrap intervals over patients:

``left_empty``  share of the normal mammograms in which nothing is drawn
``area_mm2``    mean area that is drawn in them, 0 where nothing is
``auc``         how well the highest score of an image's candidates (0 without any) tells images
                with a lesion from normal ones; ``n`` counts both

How many false positives there are at which sensitivity is in ``froc_summary.csv``
(:mod:`.detection`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..errors import MammoroiError
from ..files import read_csv
from .bootstrap import draw_patients, limits, mean_and_median
from .config import SegmentationConfig
from .prepare import NORMALS

if TYPE_CHECKING:
    import pandas as pd

Values = NDArray[np.float64]


@dataclass(frozen=True)
class DrawnNormals:
    """The mammograms without a lesion that were drawn.

    Attributes
    ----------
    images : DataFrame
        ``image_id, patient_id, found, area_mm2, score`` (of the best candidate, 0 without any).
    false_positives : DataFrame
        ``image_id, patient_id, score`` of every candidate.
    """

    images: pd.DataFrame
    false_positives: pd.DataFrame


def read_drawn_normals(study: Path, config: SegmentationConfig) -> DrawnNormals | None:
    """Read what was drawn in the mammograms without a lesion; None where the settings name none.

    Raises
    ------
    MammoroiError
        When the settings name some that were not drawn.
    """
    if config.normal_cohort is None:
        return None
    masks = study / "masks" / NORMALS
    if not (masks / "predictions.csv").exists():
        raise MammoroiError(
            f"segmentation.normal_cohort is set, but {masks / 'predictions.csv'} is missing",
            "run mammoroi segment",
        )
    images = read_csv(masks / "predictions.csv", dtype={"image_id": str, "patient_id": str})
    marks = read_csv(masks / "candidates.csv", dtype={"image_id": str, "score": float})
    best = marks.groupby("image_id")["score"].max()
    images = images.assign(score=images["image_id"].map(best).fillna(0.0).astype(float))
    false = marks.merge(images[["image_id", "patient_id"]], on="image_id")
    return DrawnNormals(
        images[["image_id", "patient_id", "found", "area_mm2", "score"]],
        false[["image_id", "patient_id", "score"]],
    )


def summarise_normals(
    normals: DrawnNormals, with_lesion: pd.DataFrame, config: SegmentationConfig
) -> pd.DataFrame:
    """Make ``normals.csv``.

    Parameters
    ----------
    normals : DrawnNormals
        Those that were drawn.
    with_lesion : DataFrame
        ``patient_id, score`` of the images with a lesion.
    config : SegmentationConfig
        For resamples and seed.
    """
    import pandas as pd

    images, samples, seed = normals.images, config.bootstrap_samples, config.seed
    owners = images["patient_id"].to_numpy(dtype=object)
    rows = []
    for measure, values in (
        ("left_empty", 1.0 - images["found"].astype(float)),
        ("area_mm2", images["area_mm2"]),
    ):
        mean, _ = mean_and_median(np.asarray(values, dtype=np.float64), owners, samples, seed)
        rows.append((measure, len(images), mean.value, mean.lower, mean.upper))
    if len(images) and len(with_lesion):
        both = pd.concat([with_lesion, images], ignore_index=True)
        lesion = np.arange(len(both)) < len(with_lesion)
        found = auc_over_patients(
            both["score"].to_numpy(dtype=float),
            lesion,
            both["patient_id"].to_numpy(dtype=object),
            samples,
            seed,
        )
        rows.append(("auc", len(both), *found))
    return pd.DataFrame(rows, columns=["measure", "n", "value", "lower", "upper"])


def auc_over_patients(
    scores: Values,
    lesion: NDArray[np.bool_],
    patients: NDArray[np.object_],
    samples: int,
    seed: int,
) -> tuple[float, float, float]:
    """Estimate the area under the ROC curve of images, resampling patients with all theirs.

    Parameters
    ----------
    scores : float (images,)
        Higher where there is more of a lesion.
    lesion : bool (images,)
        Whether there is one.
    patients : (images,)
        Whose image it is.
    samples, seed : int
        Of the resampling; samples without images of both kinds do not count.

    Returns
    -------
    (value, lower, upper)
        With the 95 % interval; NaN where few patients have images of one kind.
    """
    from sklearn.metrics import roc_auc_score

    _, owner = np.unique(patients.astype(str), return_inverse=True)
    fewest = min(len(np.unique(owner[kind])) for kind in (lesion, ~lesion))
    draws = draw_patients(int(owner.max()) + 1, samples, seed)
    drawn = [
        roc_auc_score(lesion, scores, sample_weight=weights)
        for weights in draws[:, owner]
        if weights[lesion].any() and weights[~lesion].any()
    ]
    lower, upper = limits(np.array(drawn), fewest)
    return float(roc_auc_score(lesion, scores)), float(lower), float(upper)

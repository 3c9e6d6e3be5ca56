"""From the features of a patient's images to her risks, or to the reason why there is none.

Risks rest on the images of one breast in which a lesion was found and measured: the classifiers
learnt from patients with a lesion on one side. Where lesions were measured in both, it is the
breast with the larger sum of expected Dice over these views. Where a patient has images of the
training's presentation intent and of another, as archives with both of every exposure, those of the
training's count.

There is no risk without a measured lesion, where all images are of another presentation intent than
the training's, when a view is missing that the classifier needs, and when more than half of its
features are outside the training patients' range. There is a risk but no interval when the study
holds too little for one, or when anything about the patient is outside the training's range:
then the interval would claim a certainty that nobody has measured.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..modeling.calibration import Calibration
from ..modeling.persist import apply_model, taken_values
from ..modeling.table import CONCAT_VIEWS
from .bundle import Bundle, Classifier
from .flags import UNLIKE
from .ranges import beyond
from .results import Flag, ImageResult, Risk
from .tested import doubt

if TYPE_CHECKING:
    import pandas as pd

MOST_OUTSIDE = 0.5
"""Part of a classifier's features that may be outside the training's range, or missing."""


def index_images(images: Sequence[ImageResult]) -> list[ImageResult]:
    """Choose the images on which a patient's risks rest; see the module.

    None where nothing was measured, as by a bundle without classifiers.
    """
    measured = [image for image in images if image.features is not None]
    known = [one for one in measured if all(flag.code != "other-intent" for flag in one.flags)]
    sides: dict[str | None, list[ImageResult]] = defaultdict(list)
    for image in known or measured:
        sides[image.laterality].append(image)
    if not sides:
        return []
    return max(sides.values(), key=lambda side: sum(one.expected_dice or 0.0 for one in side))


def risks_of(
    bundle: Bundle, patient_id: str, used: Sequence[ImageResult], batch: str | None
) -> tuple[Risk, ...]:
    """Apply every classifier of a bundle to one patient.

    Parameters
    ----------
    bundle : Bundle
        With its classifiers.
    patient_id : str
        Her name in the results.
    used : sequence of ImageResult
        The images of :func:`index_images`.
    batch : str or None
        Her centre or device, where the classifiers need it.
    """
    import pandas as pd

    table = pd.DataFrame(
        [
            {
                "image_id": image.image_id,
                "patient_id": patient_id,
                "view": image.view,
                "laterality": image.laterality,
                **(image.features or {}),
            }
            for image in used
        ]
    )
    batches = pd.Series([batch], index=[patient_id], dtype=object)
    return tuple(_risk(one, used, table, batches) for one in bundle.classifiers)


def _risk(
    classifier: Classifier, images: Sequence[ImageResult], table: pd.DataFrame, batches: pd.Series
) -> Risk:
    obstacle = _obstacle(classifier, images)
    if obstacle is not None:
        return _withheld(classifier, obstacle)
    about = classifier.model.about
    row: dict[Any, Any] = apply_model(classifier.model, table, batches).iloc[0].to_dict()
    doubtful = doubt(classifier.tested)
    flags = [*([doubtful] if doubtful else []), *_feature_flags(classifier, table, batches)]
    if any(flag.code == "unlike-training" for flag in flags):
        return _withheld(classifier, *flags)
    unlike = [flag.code for image in images for flag in image.flags if flag.code in UNLIKE]
    unlike += [flag.code for flag in flags if flag.code == "outside-training-features"]
    lower = upper = None
    if classifier.spread is None:
        flags.append(
            Flag("no-interval", "No interval: the study holds too few out-of-fold predictions.")
        )
    elif unlike:
        flags.append(
            Flag(
                "no-interval",
                "No interval: it holds for patients like those of the training, and this one is "
                f"not ({', '.join(dict.fromkeys(unlike))}).",
            )
        )
    else:
        lower, upper = classifier.spread.interval(
            Calibration(**about["calibration"]), float(row["score"])
        )
    return Risk(
        target=classifier.target,
        title=classifier.title,
        positive=classifier.positive,
        risk=float(row["risk"]),
        lower=lower,
        upper=upper,
        threshold=classifier.threshold,
        above_threshold=bool(row["positive"]),
        n_images=int(row["n_images"]),
        flags=tuple(flags),
        score=float(row["score"]),
        radscore=float(row["radscore"]),
        n_filled=int(row["n_filled"]),
        n_outside=int(row["n_outside"]),
        n_train=classifier.n_train,
        tested=classifier.tested,
    )


def _withheld(classifier: Classifier, *flags: Flag) -> Risk:
    return Risk(
        target=classifier.target,
        title=classifier.title,
        positive=classifier.positive,
        risk=None,
        lower=None,
        upper=None,
        threshold=classifier.threshold,
        above_threshold=None,
        n_images=0,
        flags=flags,
        n_train=classifier.n_train,
        tested=classifier.tested,
    )


def _obstacle(classifier: Classifier, images: Sequence[ImageResult]) -> Flag | None:
    """Why there can be no risk, before anything is computed."""
    if not images:
        return Flag("not-measured", "No risk: no lesion was found and measured.")
    if any(flag.code == "other-intent" for image in images for flag in image.flags):
        return Flag(
            "other-intent", "No risk: the classifier knows images of another presentation intent."
        )
    views = {image.view for image in images}
    if classifier.model.about["views"] == "concat" and not set(CONCAT_VIEWS) <= views:
        missing = " and ".join(sorted(set(CONCAT_VIEWS) - views))
        return Flag(
            "views-missing",
            f"No risk: the classifier takes {' and '.join(CONCAT_VIEWS)} of a breast, and there "
            f"is no measured lesion in {missing}.",
        )
    return None


def _feature_flags(classifier: Classifier, table: pd.DataFrame, batches: pd.Series) -> list[Flag]:
    """What the values say that the classifier takes."""
    known = classifier.model.about["features"]
    if not known:
        return [
            Flag(
                "prevalence-only",
                "No feature was selected in training: everybody's risk is the share of positive "
                "training patients.",
            )
        ]
    values = taken_values(classifier.model, table, batches).iloc[0]
    missing = [one["name"] for one in known if not np.isfinite(values[one["name"]])]
    outside = [
        one["name"]
        for one in known
        if np.isfinite(values[one["name"]])
        # A classifier measures a feature by its spread, not by its size: 0.98 may be far from 0.95.
        and beyond(float(values[one["name"]]), one["minimum"], one["maximum"], same=0.0)
    ]
    flags = []
    if missing:
        flags.append(
            Flag(
                "missing-features",
                f"{len(missing)} of {len(known)} features have no value and became the training "
                f"median: {_few(missing)}.",
            )
        )
    if outside:
        first = next(one for one in known if one["name"] == outside[0])
        flags.append(
            Flag(
                "outside-training-features",
                f"{len(outside)} of {len(known)} features are outside the training patients' "
                f"range: {_few(outside)} ({first['name']} is {values[first['name']]:.4g}, in "
                f"training {first['minimum']:.4g} to {first['maximum']:.4g}).",
            )
        )
    if len(outside) + len(missing) > MOST_OUTSIDE * len(known):
        flags.append(
            Flag(
                "unlike-training",
                f"No risk: {len(outside) + len(missing)} of {len(known)} features are outside the "
                "training patients' range or have no value.",
            )
        )
    return flags


def _few(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more

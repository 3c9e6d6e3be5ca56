"""What the training images were like, so that a new one can be told to be unlike them.

``ranges.json``: ``numbers``, ``features`` (of single images, before views are combined) and
``kinds``. A distribution is ``n, mean, sd`` and ``quantiles``, at :data:`QUANTILES`. Numbers:

=====================  ===========================================================================
``breast_low``         grey level of the file that the network saw as 0: 1st percentile within the
                       breast
``breast_median``      median grey level of the breast, air left out
``breast_high``        grey level that it saw as 1: 99.8th percentile
``spacing_row_mm``     pixel spacing, ``spacing_column_mm`` alike
``height_mm``          size of the image, ``width_mm`` alike
``lesion_area_mm2``    area of the automatic mask, of images in which a lesion was found
``expected_dice``      how sure the networks were of it
=====================  ===========================================================================

``kinds`` counts the images by ``intent`` (``presentation``, ``processing``, ``unknown``) and by
``view``. All are of training patients; what the study does not hold is left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..files import read_csv, read_json

if TYPE_CHECKING:
    from ..segmentation.mapping import Mapping as BreastMapping

QUANTILES = (0.0, 0.025, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.975, 1.0)
MARGIN = 0.1
"""A value is outside when it is beyond the training's smallest or largest by more than this part
of their distance: the next patient of the same kind may be a little beyond."""
SAME = 0.02
"""And by more than this part of the end itself: training images may hardly have differed."""
UNKNOWN = "unknown"


@dataclass(frozen=True)
class Distribution:
    """How a number was distributed over the training images.

    Attributes
    ----------
    n : int
        Images.
    mean, sd : float
        Mean and standard deviation (n - 1; 0 of a single image).
    quantiles : tuple of float
        At :data:`QUANTILES`.
    """

    n: int
    mean: float
    sd: float
    quantiles: tuple[float, ...]

    @classmethod
    def of(cls, values: ArrayLike) -> Distribution | None:
        """Describe values; NaN does not count, None without any other."""
        found = np.asarray(values, dtype=float)
        found = found[np.isfinite(found)]
        if not found.size:
            return None
        sd = found.std(ddof=1) if found.size > 1 else 0.0
        quantiles = tuple(_rounded(value) for value in np.quantile(found, QUANTILES))
        return cls(int(found.size), _rounded(found.mean()), _rounded(sd), quantiles)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Distribution:
        """Build it from what JSON kept."""
        quantiles = tuple(float(value) for value in content["quantiles"])
        return cls(int(content["n"]), float(content["mean"]), float(content["sd"]), quantiles)

    @property
    def minimum(self) -> float:
        """The smallest value."""
        return self.quantiles[0]

    @property
    def maximum(self) -> float:
        """The largest value."""
        return self.quantiles[-1]

    def outside(self, value: float, scale: float = 0.0, same: float = SAME) -> bool:
        """Whether a value is beyond the range, see :func:`beyond`."""
        return beyond(value, self.minimum, self.maximum, scale, same)


def _rounded(value: float) -> float:
    """Ten digits, so that equal studies give equal bytes on every machine."""
    return float(f"{value:.10g}")


def beyond(
    value: float, minimum: float, maximum: float, scale: float = 0.0, same: float = SAME
) -> bool:
    """Whether a value is beyond a range by more than :data:`MARGIN` and :data:`SAME` allow.

    Parameters
    ----------
    value, minimum, maximum : float
        The value and the range.
    scale : float
        How large such values can be, where the range does not tell: a darkest grey level of 0.
    same : float
        In place of :data:`SAME`; 0 where the range is what a difference is measured by.
    """
    slack = max(MARGIN * (maximum - minimum), same * max(abs(minimum), abs(maximum), scale))
    return bool(value < minimum - slack or value > maximum + slack)


@dataclass(frozen=True)
class Ranges:
    """The distributions of a study's training images; see the module."""

    numbers: Mapping[str, Distribution]
    features: Mapping[str, Distribution]
    kinds: Mapping[str, Mapping[str, int]]

    def scale(self, name: str) -> float:
        """How large a number can be, see :func:`beyond`: of grey levels, that of the brightest."""
        brightest = self.numbers.get("breast_high")
        return brightest.maximum if brightest and name.startswith("breast_") else 0.0

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Ranges:
        """Build it from ``ranges.json``."""
        numbers, features = (
            {name: Distribution.from_json(one) for name, one in content[part].items()}
            for part in ("numbers", "features")
        )
        return cls(numbers, features, content["kinds"])


def numbers_of(
    array: NDArray[np.float16], mapping: BreastMapping, limits: tuple[float, float]
) -> dict[str, float]:
    """Numbers of one image.

    Parameters
    ----------
    array : float16 (working rows, working columns)
        What the network sees, see :func:`..segmentation.prepare.working_array`.
    mapping : Mapping
        Size and spacing of the image.
    limits : (float, float)
        The grey levels that became 0 and 1.
    """
    low, high = limits
    tissue = array[array > 0]
    median = float(np.median(tissue.astype(np.float32))) if tissue.size else 0.0
    return {
        "breast_low": low,
        "breast_median": low + median * (high - low),
        "breast_high": high,
        "spacing_row_mm": mapping.row_mm,
        "spacing_column_mm": mapping.column_mm,
        "height_mm": mapping.rows * mapping.row_mm,
        "width_mm": mapping.columns * mapping.column_mm,
    }


def study_ranges(study: Path, features: Iterable[str]) -> Ranges:
    """Describe the training images of a study.

    Parameters
    ----------
    study : Path
        The study folder.
    features : iterable of str
        Names of the features to describe, those of automatic masks.
    """
    from ..cohort.cohort import load_cohort
    from ..cohort.split import load_splits

    training = set(load_splits(study).train)
    cohort = load_cohort(study)
    images = cohort.images[cohort.images["patient_id"].isin(training)]
    rows = [
        found for name in images["image_id"] if (found := _prepared(study, str(name))) is not None
    ]
    values: dict[str, Any] = {
        name: [row[name] for row in rows] for name in (rows[0] if rows else ())
    }
    drawn = study / "masks" / "predictions.csv"
    if drawn.exists():
        table = read_csv(drawn, dtype={"image_id": str, "patient_id": str, "fold": str})
        table = table[table["patient_id"].isin(training) & table["found"]]
        values["lesion_area_mm2"] = table["area_mm2"]
        values["expected_dice"] = table["expected_dice"]
    kinds = {
        "intent": dict(Counter(_intent(cohort.path(str(file))) for file in images["image"])),
        "view": dict(Counter(images["view"].fillna(UNKNOWN).astype(str))),
    }
    return Ranges(
        _described(values), _described(_features(study, training, sorted(set(features)))), kinds
    )


def _described(values: Mapping[str, Any]) -> dict[str, Distribution]:
    found = {name: Distribution.of(column) for name, column in values.items()}
    return {name: one for name, one in found.items() if one is not None}


def _prepared(study: Path, image_id: str) -> dict[str, float] | None:
    """Numbers of a training image, from what the networks were trained on."""
    from ..segmentation.mapping import Mapping as BreastMapping

    folder = study / "segmentation" / "prepared"
    record, array = folder / f"{image_id}.json", folder / f"{image_id}.npy"
    if not record.exists() or not array.exists():
        return None
    content = read_json(record)
    mapping = BreastMapping.from_json(content["mapping"])
    return numbers_of(np.load(array), mapping, (content["low"], content["high"]))


def _features(study: Path, training: set[str], names: list[str]) -> dict[str, Any]:
    import pandas as pd

    path = study / "features" / "automatic.parquet"
    if not names or not path.exists():
        return {}
    table = pd.read_parquet(path, columns=["patient_id", *names])
    table = table[table["patient_id"].isin(training)]
    return {name: table[name] for name in names}


def _intent(file: Path) -> str:
    """What a file says it is for; unknown where it is not DICOM, or not there any more."""
    import pydicom
    from pydicom.errors import InvalidDicomError

    from ..imaging.dicom import intent_of

    tags = ["SOPClassUID", "PresentationIntentType"]
    try:
        dataset = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=tags)
    except (InvalidDicomError, OSError, ValueError):
        return UNKNOWN
    return intent_of(dataset) or UNKNOWN

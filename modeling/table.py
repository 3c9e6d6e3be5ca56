"""Feature tables of the radiomics stage, brought to one row for each patient.

Reads ``features/<roi>.parquet`` (``image_id, patient_id, view, laterality``, then features), its
``.json`` (how it was made) and ``features/missed.csv`` (``image_id, patient_id, roi``). Tables
that were made with different settings are never put together.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ..errors import MammoroiError
from ..files import read_csv
from .config import Views

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

KEYS = ("image_id", "patient_id", "view", "laterality")
ROIS = ("manual", "automatic")
SECOND_READER = "reader2"
CONCAT_VIEWS = ("CC", "MLO")
AREAS = (
    "original_shape2D_PixelSurface",
    "original_shape2D_MeshSurface",
    "original_shape_VoxelVolume",
    "original_shape_MeshVolume",
    "original_contour_Area",
)
"""Features that say how large a lesion is; the first one present is used."""


@dataclass(frozen=True)
class FeatureTable:
    """The features of one source of masks.

    Attributes
    ----------
    roi : str
        ``manual``, ``reader2`` or ``automatic``.
    images : DataFrame
        A row for each image: the keys, then the features.
    path : Path
        Where it was read; how it was made is told by the ``.json`` beside it.
    """

    roi: str
    images: pd.DataFrame
    path: Path


def has_features(study: Path, roi: str) -> bool:
    """Whether the study has a feature table of a source of masks."""
    return (study / "features" / f"{roi}.parquet").exists()


def load_features(study: Path, roi: str) -> FeatureTable:
    """Read one feature table and how it was made.

    Raises
    ------
    MammoroiError
        When a file is missing or is not what the radiomics stage writes.
    """
    import pandas as pd

    path = study / "features" / f"{roi}.parquet"
    if not path.exists():
        raise MammoroiError(f"{path} does not exist", "run `mammoroi extract CONFIG`")
    images = pd.read_parquet(path)
    check_features(images, str(path), may_be_empty=roi == ROIS[1])
    return FeatureTable(roi, images, path)


def check_features(images: pd.DataFrame, name: str, *, may_be_empty: bool = False) -> None:
    """Refuse a table that is no feature table.

    Raises
    ------
    MammoroiError
        When a key is missing, an image occurs twice, a feature is no number, or there is no row
        and must be one: networks that found nothing are a result.
    """
    missing = [key for key in KEYS if key not in images]
    if missing:
        raise MammoroiError(f"{name} has no column '{missing[0]}'", "write it with 'extract'")
    if images.empty and not may_be_empty:
        raise MammoroiError(
            f"{name} has no rows",
            "see features/failures.csv; `modeling: {tasks: []}` makes a study of the masks alone",
        )
    twice = images["image_id"][images["image_id"].duplicated()]
    if len(twice):
        raise MammoroiError(f"{name} has image {twice.iloc[0]} twice", "keep one of the rows")
    for feature in feature_names(images):
        if images[feature].dtype.kind not in "fiu":
            raise MammoroiError(f"{name}: column '{feature}' holds no numbers", "remove the column")


def feature_names(images: pd.DataFrame) -> list[str]:
    """Name the columns that are features."""
    return [str(name) for name in images.columns if name not in KEYS]


def check_made_alike(tables: Sequence[FeatureTable]) -> None:
    """Refuse to put tables together that were not made alike.

    Raises
    ------
    MammoroiError
        When two tables differ in a setting, the engine or its version (see
        :func:`.merge.require_same`), or in their columns.
    """
    from ..radiomics.merge import require_same

    require_same([table.path.with_suffix(".json") for table in tables])
    first = tables[0]
    for other in tables[1:]:
        if feature_names(first.images) != feature_names(other.images):
            raise MammoroiError(
                f"{first.path} and {other.path} hold different features", "make both again"
            )


def combine_views(
    images: pd.DataFrame, views: Views, *, may_be_empty: bool = False
) -> pd.DataFrame:
    """Bring a feature table to one row for each patient.

    Parameters
    ----------
    images : DataFrame
        A row for each image; a patient has those of her views in which a lesion was found.
    views : {"mean", "maximum", "minimum", "largest", "concat"}
        ``mean``, ``maximum``, ``minimum``: of each feature, over all of the patient's images: of
        both breasts where she has lesions in both, and of every image where a view was taken twice.
        ``largest``: the image with the largest lesion; of equal ones the first by ``image_id``.
        ``concat``: columns ``<feature>@CC`` and ``<feature>@MLO``, each the mean over the images of
        that view; patients who lack one of the two are left out, and named in the log: nothing is
        made up for the view that is not there.
    may_be_empty : bool
        Whether ``concat`` may find nobody with both views: of automatic or a second reader's masks
        that is a result, of the masks that a model rests on it is not.

    Returns
    -------
    DataFrame
        Indexed by ``patient_id`` (sorted). A feature that is missing in one of the images that
        are put together is missing.

    Raises
    ------
    MammoroiError
        When ``largest`` finds no feature that says how large a lesion is, or ``concat`` nobody
        with both views.
    """
    import pandas as pd

    features = feature_names(images)
    if views == "largest":
        chosen = images[images["image_id"].isin(largest_images(images))]
        return chosen.set_index("patient_id")[features].sort_index()
    if views != "concat":
        return _over_images(images, features, views)
    parts = []
    for view in CONCAT_VIEWS:
        part = _over_images(images[images["view"] == view], features, "mean")
        parts.append(part.rename(columns={name: f"{name}@{view}" for name in features}))
    table = pd.concat(parts, axis=1, join="inner").sort_index()
    if table.empty and len(images) and not may_be_empty:
        raise MammoroiError(
            f"no patient has both views {' and '.join(CONCAT_VIEWS)}",
            "set views to mean or largest",
        )
    left_out = sorted(set(images["patient_id"]) - set(table.index))
    if left_out:
        log.warning(
            "views is concat: %d patients without both %s are left out: %s",
            len(left_out),
            " and ".join(CONCAT_VIEWS),
            ", ".join(left_out),
        )
    return table


def largest_images(images: pd.DataFrame) -> list[str]:
    """Name each patient's image with the largest lesion; see :func:`combine_views`."""
    area = next((name for name in AREAS if name in images), None)
    if area is None:
        raise MammoroiError(
            "views is 'largest', but the features hold no lesion size",
            "set views to mean, or extract the class shape2D",
        )
    ordered = images.sort_values([area, "image_id"], ascending=[False, True])
    return ordered.drop_duplicates("patient_id")["image_id"].tolist()


def missed_images(study: Path) -> pd.DataFrame:
    """Read ``features/missed.csv``: images whose automatic mask is empty; no rows without it."""
    import pandas as pd

    path = study / "features" / "missed.csv"
    columns = ["image_id", "patient_id", "roi"]
    if not path.exists():
        return pd.DataFrame(columns=columns, dtype=str)
    table = read_csv(path, dtype=str)
    return table[table["roi"] == "automatic"][columns]


def _over_images(
    images: pd.DataFrame, features: list[str], how: Literal["mean", "maximum", "minimum"]
) -> pd.DataFrame:
    """Bring each patient's images to one row; one missing value makes the result missing."""
    patients = images["patient_id"]
    missing = images[features].isna().groupby(patients).any()
    names = {"mean": "mean", "maximum": "max", "minimum": "min"}
    combined: pd.DataFrame = images[features].groupby(patients).agg(names[how])
    return combined.mask(missing)

"""The same lesions outlined more than once: what the stability of a feature is judged by.

Either a second reader outlined some of the images (``features/reader2.parquet``), or the manual
masks of the training patients were perturbed (``stability/perturbed.parquet``: a row is an image
with one ``perturbation``; ``.json`` beside it). A second reader comes first: perturbations stand in
for one where there is none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from ..errors import MammoroiError
from .config import Views
from .table import FeatureTable, check_made_alike, combine_views, largest_images

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

IccKind = Literal["1,1", "2,1"]
Source = Literal["reader2", "perturbation"]
KIND: dict[Source, IccKind] = {"reader2": "2,1", "perturbation": "1,1"}
"""Two readers are the same two on every image; perturbations are exchangeable."""


@dataclass(frozen=True)
class Repeats:
    """The features of two or more outlines of the same lesions, a row for each patient.

    Attributes
    ----------
    source : {"reader2", "perturbation"}
        Where the other outlines come from.
    tables : tuple of DataFrame
        The manual masks first; indexed by ``patient_id``, the same patients and features.
    """

    source: Source
    tables: tuple[pd.DataFrame, ...]

    @property
    def kind(self) -> IccKind:
        """Which ICC judges them."""
        return KIND[self.source]

    def moved(self, transform: Callable[[pd.DataFrame], pd.DataFrame]) -> Repeats:
        """Give the same after a transformation of every table."""
        return replace(self, tables=tuple(map(transform, self.tables)))

    def ratings(self, patients: pd.Index, features: pd.Index) -> NDArray[np.float64]:
        """Give an array (patients, outlines, features) of those patients who are in the tables."""
        known = self.tables[0].index.intersection(patients)
        return np.stack(
            [table.loc[known, features].to_numpy(float) for table in self.tables], axis=1
        )


def find_repeats(
    study: Path, manual: FeatureTable, second: FeatureTable | None, views: Views
) -> Repeats | None:
    """Take the second reader, or else the perturbations, or else None."""
    if second is not None:
        return Repeats("reader2", patients_of([manual.images, second.images], views))
    perturbed = load_perturbed(study, manual)
    if not perturbed:
        return None
    return Repeats("perturbation", patients_of([manual.images, *perturbed.values()], views))


def patients_of(tables: Sequence[pd.DataFrame], views: Views) -> tuple[pd.DataFrame, ...]:
    """Bring the images that are in all tables to one row for each patient and table.

    With ``largest`` the first table decides which image of a patient it is.
    """
    common = set.intersection(*(set(table["image_id"]) for table in tables))
    if views == "largest":
        first = tables[0]
        common = set(largest_images(first[first["image_id"].isin(common)]))
    chosen = (table[table["image_id"].isin(common)] for table in tables)
    return tuple(combine_views(table, views, may_be_empty=True) for table in chosen)


def load_perturbed(study: Path, manual: FeatureTable) -> dict[str, pd.DataFrame]:
    """Read the features of the perturbed masks, by perturbation; nothing where there are none.

    Raises
    ------
    MammoroiError
        When they were not made as those of the manual masks were, or none is left.
    """
    import pandas as pd

    path = study / "stability" / "perturbed.parquet"
    if not path.exists():
        return {}
    table = pd.read_parquet(path)
    check_made_alike([manual, FeatureTable("perturbed", table.drop(columns="perturbation"), path)])
    parts = {
        str(name): part.drop(columns="perturbation")
        for name, part in table.groupby("perturbation", sort=False)
    }
    common = [set(part["image_id"]) for part in (manual.images, *parts.values())]
    if len(parts) == 0 or not set.intersection(*common):
        raise MammoroiError(
            f"{path} holds no image with all of its perturbations",
            "see stability/masks.csv: most likely the lesions are too small for the shrinkage",
        )
    return parts

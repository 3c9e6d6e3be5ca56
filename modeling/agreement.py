"""Per-feature agreement of two sources of masks on the same images.

``comparison/icc.csv`` (manual and automatic) and ``comparison/icc_readers.csv`` (the two readers;
without rows where there is no second reader): ``feature, family, image_type, n, icc_2_1, lower,
upper``; an empty cell is an ICC that cannot be told. ``comparison/icc_summary.csv``: ``comparison
(automatic-manual | reader2-manual), group (all | family=... | image_type=...), n_features,
n_unknown, median, lower_quartile, upper_quartile, n_stable, share_stable``; stable means above the
threshold of the stability filter, and features whose ICC cannot be told count as not stable.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .icc import icc
from .table import feature_names

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ["feature", "family", "image_type", "n", "icc_2_1", "lower", "upper"]


def feature_agreement(first: pd.DataFrame, second: pd.DataFrame | None) -> pd.DataFrame:
    """Tabulate ICC(2,1) of each feature over the images that both feature tables hold.

    Parameters
    ----------
    first, second : DataFrame
        A row for each image, the same features. Without the second the result has no rows.
    """
    import pandas as pd

    if second is None:
        return pd.DataFrame(columns=COLUMNS)
    features = feature_names(first)
    left, right = (table.set_index("image_id")[features] for table in (first, second))
    both = left.index.intersection(right.index)
    agreed = icc(
        np.stack([left.loc[both].to_numpy(float), right.loc[both].to_numpy(float)], axis=1)
    )
    types, families = zip(*(split_name(name) for name in features), strict=True)
    values = (features, families, types, agreed.n, agreed.value, agreed.lower, agreed.upper)
    return pd.DataFrame(dict(zip(COLUMNS, values, strict=True)))


def split_name(feature: str) -> tuple[str, str]:
    """Take image type and family from pyradiomics' ``<image type>_<family>_<name>``.

    Any other name is of image type ``other`` and family ``other``.
    """
    parts = feature.rsplit("_", 2)
    return (parts[0], parts[1]) if len(parts) == 3 else ("other", "other")


def summarise(comparison: str, table: pd.DataFrame, threshold: float) -> pd.DataFrame:
    """Summarise :func:`feature_agreement` over all features, by family and by image type."""
    import pandas as pd

    if table.empty:
        return pd.DataFrame()
    groups = [("all", table)]
    for column in ("family", "image_type"):
        groups += [(f"{column}={name}", part) for name, part in table.groupby(column, sort=True)]
    rows = []
    for name, part in groups:
        known = part["icc_2_1"].dropna()
        lower, median, upper = known.quantile([0.25, 0.5, 0.75])
        stable = int((known > threshold).sum())
        rows.append(
            {
                "comparison": comparison,
                "group": name,
                "n_features": len(part),
                "n_unknown": len(part) - len(known),
                "median": median,
                "lower_quartile": lower,
                "upper_quartile": upper,
                "n_stable": stable,
                "share_stable": stable / len(part),
            }
        )
    return pd.DataFrame(rows)

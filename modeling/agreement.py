"""How far each feature keeps its value when the same lesion is outlined differently.

``comparison/stability.csv``: ``feature, family, image_type``, and for each source of other outlines
(``reader``, ``perturbation``, ``automatic``) ``icc_<source>, icc_<source>_lower,
icc_<source>_upper`` (95 % interval) and ``n_<source>``, the images that it rests on. Every one is
against the manual masks, and counts images, not patients: what :data:`UNITS` says in words. An
empty cell is an ICC that cannot be told, or a source that the study does not have.

``comparison/icc_summary.csv``: ``comparison (reader2-manual | perturbed-manual | automatic-manual),
group (all | family=... | image_type=...), n_features, n_unknown, median, lower_quartile,
upper_quartile, n_stable, share_stable``; stable means above the threshold of the stability filter,
and features whose ICC cannot be told count as not stable.

The filter itself (:class:`.selection.StableFeatures`) looks at the same features, but with a row
for each training patient (her views combined), so that its ICC is another number.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from .icc import icc
from .repeats import IccKind
from .table import feature_names

if TYPE_CHECKING:
    import pandas as pd

SOURCES = {
    "reader": "reader2-manual",
    "perturbation": "perturbed-manual",
    "automatic": "automatic-manual",
}
UNITS = {
    "reader": "ICC(2,1) of the two readers, over the images of all patients that both outlined",
    "perturbation": (
        "ICC(1,1) of the manual mask and its perturbations, over the images of the training "
        "patients that have all of them"
    ),
    "automatic": (
        "ICC(2,1) of the manual and the automatic mask, over the images of all patients in which "
        "a lesion was found"
    ),
}


def feature_agreement(tables: Sequence[pd.DataFrame], kind: IccKind) -> pd.DataFrame:
    """Tabulate the ICC of each feature over the images that all feature tables hold.

    Parameters
    ----------
    tables : sequence of DataFrame
        Two or more with a row for each image and the same features.
    kind : {"1,1", "2,1"}
        See :func:`.icc.icc`.

    Returns
    -------
    DataFrame
        Indexed by feature: ``icc, lower, upper, n``.
    """
    import pandas as pd

    features = feature_names(tables[0])
    by_image = [table.set_index("image_id")[features] for table in tables]
    common = by_image[0].index
    for table in by_image[1:]:
        common = common.intersection(table.index)
    found = icc(np.stack([table.loc[common].to_numpy(float) for table in by_image], axis=1), kind)
    values = {"icc": found.value, "lower": found.lower, "upper": found.upper, "n": found.n}
    return pd.DataFrame(values, index=pd.Index(features, name="feature"))


def stability_table(features: Sequence[str], found: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Put :func:`feature_agreement` of each source side by side, as in ``stability.csv``."""
    import pandas as pd

    types, families = zip(*(split_name(name) for name in features), strict=True)
    table = pd.DataFrame({"feature": features, "family": families, "image_type": types})
    for source in SOURCES:
        part = found[source].loc[list(features)] if source in found else None
        for column, name in (
            ("icc", f"icc_{source}"),
            ("lower", f"icc_{source}_lower"),
            ("upper", f"icc_{source}_upper"),
        ):
            table[name] = np.nan if part is None else part[column].to_numpy()
        table[f"n_{source}"] = 0 if part is None else part["n"].to_numpy()
    return table


def split_name(feature: str) -> tuple[str, str]:
    """Take image type and family from pyradiomics' ``<image type>_<family>_<name>``.

    Any other name is of image type ``other`` and family ``other``.
    """
    parts = feature.rsplit("_", 2)
    return (parts[0], parts[1]) if len(parts) == 3 else ("other", "other")


def summarise(table: pd.DataFrame, source: str, threshold: float) -> pd.DataFrame:
    """Summarise one source of ``stability.csv`` over all features, by family and image type."""
    import pandas as pd

    groups = [("all", table)]
    for column in ("family", "image_type"):
        groups += [(f"{column}={name}", part) for name, part in table.groupby(column, sort=True)]
    rows = []
    for name, part in groups:
        known = part[f"icc_{source}"].dropna()
        lower, median, upper = known.quantile([0.25, 0.5, 0.75])
        stable = int((known > threshold).sum())
        rows.append(
            {
                "comparison": SOURCES[source],
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

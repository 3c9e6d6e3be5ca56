"""Features from automatic against those from manual masks: by overlap, and their bias.

``comparison/icc_dice.csv``: ``stratum, dice_from, dice_to`` (lower bound included), ``feature,
family, image_type, icc, lower, upper`` (ICC(2,1), 95 % interval), ``n``, the images of the stratum.
``comparison/icc_dice_summary.csv``: ``stratum, dice_from, dice_to, n_images, few`` (whether these
are fewer than 20, too few to tell much), then ``group`` and the rest as in ``icc_summary.csv``
(:mod:`.agreement`). Lesions that were missed have no features and are in no stratum. A stratum in
which lesions are alike has lower ICCs for that reason alone.

``comparison/feature_bias.csv``: ``feature, family, image_type, n, sd_manual``, then Bland and
Altman's figures (:mod:`.bland_altman`) of automatic minus manual in units of ``sd_manual``, the
standard deviation over the patients of the values with manual masks: ``bias, bias_lower,
bias_upper, sd, limit_lower, limit_upper``, and of either limit the interval, ``limit_..._from``
and ``limit_..._to``. A row of the data is a patient, her images combined as the classifiers see
them and taken from both sources where both have them. Empty where a feature does not vary.

``comparison/feature_bias_summary.csv``: ``group (all | family=... | image_type=...), n_features,
n_unknown, median_bias, median_absolute_bias, median_limits_width, share_biased`` (features whose
bias has an interval without 0; not corrected for their number).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from .agreement import feature_agreement, split_name, stability_table, summarise
from .bland_altman import limits_of_agreement
from .table import feature_names

if TYPE_CHECKING:
    import pandas as pd

FEW_IMAGES = 20


def icc_by_dice(
    manual: pd.DataFrame,
    automatic: pd.DataFrame,
    dice: pd.Series,
    cuts: Sequence[float],
    threshold: float,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Estimate the ICC of each feature in strata of how far the two masks overlap.

    Parameters
    ----------
    manual, automatic : DataFrame
        Feature tables, a row for each image.
    dice : Series
        Of the automatic with the manual mask, 0 to 1, indexed by ``image_id``.
    cuts : sequence of float
        Where one stratum ends and the next begins.
    threshold : float
        Above which a feature is stable.

    Returns
    -------
    features, summary : DataFrame
        As in ``icc_dice.csv`` and ``icc_dice_summary.csv``; without rows where no image has a Dice.
    """
    import pandas as pd

    known = dice.dropna()
    features, summaries = [], []
    for low, high in pairwise([0.0, *cuts, np.inf]):
        inside = known.index[(known >= low) & (known < high)]
        tables = [table[table["image_id"].isin(inside)] for table in (manual, automatic)]
        both = tables[0]["image_id"].isin(tables[1]["image_id"]).sum()
        stratum: dict[str, Any] = {
            "stratum": f"{low:g} and above" if np.isinf(high) else f"{low:g} to {high:g}",
            "dice_from": low,
            "dice_to": min(high, 1.0),
        }
        names = feature_names(manual)
        table = stability_table(names, {"automatic": feature_agreement(tables, "2,1")})
        summary = summarise(table, "automatic", threshold)
        summary = summary.drop(columns="comparison").assign(few=both < FEW_IMAGES)
        summaries.append(summary.assign(**stratum, n_images=both))
        kept = ["icc_automatic", "icc_automatic_lower", "icc_automatic_upper", "n_automatic"]
        table = table[["feature", "family", "image_type", *kept]]
        table.columns = [*table.columns[:3], "icc", "lower", "upper", "n"]
        features.append(table.assign(**stratum))
    keys = ["stratum", "dice_from", "dice_to"]
    joined = (
        _first(pd.concat(features, ignore_index=True), keys),
        _first(pd.concat(summaries, ignore_index=True), [*keys, "n_images", "few"]),
    )
    return joined if len(known) else (joined[0].iloc[:0], joined[1].iloc[:0])


def feature_bias(manual: pd.DataFrame, automatic: pd.DataFrame) -> pd.DataFrame:
    """Compare each feature by Bland and Altman, as in ``feature_bias.csv``.

    Parameters
    ----------
    manual, automatic : DataFrame
        The features from either source, indexed by ``patient_id``, the same patients and columns.
    """
    names = [str(name) for name in manual.columns]
    first = manual.to_numpy(float)
    second = automatic.loc[manual.index, names].to_numpy(float)
    known = np.isfinite(first) & np.isfinite(second)
    n = known.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.where(known, first, 0.0).sum(axis=0) / n
        squares = np.where(known, (first - mean) ** 2, 0.0).sum(axis=0)
        sd = np.sqrt(squares / (n - 1))
        scale = np.where(sd > 1e-12 * np.abs(mean), sd, np.nan)
        found = limits_of_agreement(second / scale, first / scale)
    table = found.frame()
    table["n"] = n
    types, families = zip(*(split_name(name) for name in names), strict=True)
    table = table.assign(feature=names, family=families, image_type=types, sd_manual=sd)
    return _first(table, ["feature", "family", "image_type", "n", "sd_manual"])


def summarise_bias(table: pd.DataFrame) -> pd.DataFrame:
    """Summarise ``feature_bias.csv`` over all features, by family and by image type."""
    import pandas as pd

    groups = [("all", table)]
    for column in ("family", "image_type"):
        groups += [(f"{column}={name}", part) for name, part in table.groupby(column, sort=True)]
    rows = []
    for name, part in groups:
        known = part.dropna(subset=["bias"])
        biased = (known["bias_lower"] > 0) | (known["bias_upper"] < 0)
        rows.append(
            {
                "group": name,
                "n_features": len(part),
                "n_unknown": len(part) - len(known),
                "median_bias": known["bias"].median(),
                "median_absolute_bias": known["bias"].abs().median(),
                "median_limits_width": (known["limit_upper"] - known["limit_lower"]).median(),
                "share_biased": biased.mean() if len(known) else np.nan,
            }
        )
    return pd.DataFrame(rows)


def _first(table: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    """Put some columns before the others."""
    return table[[*columns, *(name for name in table.columns if name not in columns)]]

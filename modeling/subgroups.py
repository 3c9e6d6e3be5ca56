"""For whom a classifier works: its figures in groups of patients, and the masks' in the same.

:func:`subgroup_performance` gives a row for each set, grouping and group: ``set, grouping, group,
n, n_positive, stated``, and, each with ``_lower`` and ``_upper``, ``auc, calibration_intercept,
calibration_slope, observed_expected`` (see :mod:`.discrimination` and :mod:`.calibration`). A group
with fewer than 10 patients of either class has ``stated`` false and no figures: the intervals would
not hold. :func:`heterogeneity` gives a row for each set and grouping: ``set, grouping, groups, q,
p_value, p_holm``. :func:`subgroup_agreement` gives ``grouping, group, n_images, n_patients, stated,
dice, dice_lower, dice_upper``.

Groups of patients overlap between groupings and are small: an interval that lies beside another is
a reason to look, no finding. The one test is whether the AUC differs at all within a grouping, and
its P is adjusted for the number of groupings by Holm.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import logit
from scipy.stats import chi2, norm

from ..cohort.schema import IMAGE_COLUMNS, PATIENT_COLUMNS
from ..segmentation.bootstrap import mean_and_median
from .calibration import calibration_intercept, calibration_slope, observed_expected
from .discrimination import auc_interval
from .multiplicity import adjusted

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd
    from numpy.typing import ArrayLike

LEAST_OF_A_CLASS = 10
LEAST_IMAGES = 10
NOT_KNOWN = "not known"

AGE_LIMITS, AGE_GROUPS = (-np.inf, 50, 70, np.inf), ("under 50", "50 to 69", "70 and over")
"""Years; most screening programmes invite women from 50 to 69."""
SIZE_LIMITS = (-np.inf, 2, 5, np.inf)
SIZE_GROUPS = ("up to 2 cm", "over 2 to 5 cm", "over 5 cm")
"""The limits of T1, T2 and T3 in the TNM classification."""
PATIENT_GROUPINGS = ("ethnicity", "breast_density", "centre")
IMAGE_GROUPINGS = ("view", "device")

FIGURES: dict[str, Callable[[ArrayLike, ArrayLike], tuple[float, float, float]]] = {
    "auc": auc_interval,
    "calibration_intercept": calibration_intercept,
    "calibration_slope": calibration_slope,
    "observed_expected": observed_expected,
}


def patient_groups(patients: pd.DataFrame, images: pd.DataFrame | None = None) -> pd.DataFrame:
    """Sort patients into groups.

    Parameters
    ----------
    patients : DataFrame
        ``patient_id`` and any of ``age`` (years), ``size_cm``, ``ethnicity, breast_density,
        centre``.
    images : DataFrame, optional
        ``patient_id, view, device``. A patient is in the group of all her values together, such as
        ``CC + MLO``.

    Returns
    -------
    DataFrame
        Indexed by ``patient_id``; a column of ordered categories for each grouping that the tables
        allow: ``age, size, ethnicity, breast_density, centre, view, device``. Patients without a
        value are ``not known``; a grouping without any value, or with one for all, is left out.
    """
    import pandas as pd

    table = patients.set_index("patient_id")
    columns: dict[str, pd.Series] = {}
    if "age" in table:
        columns["age"] = pd.cut(table["age"], AGE_LIMITS, right=False, labels=AGE_GROUPS)
    if "size_cm" in table:
        columns["size"] = pd.cut(table["size_cm"], SIZE_LIMITS, labels=SIZE_GROUPS)
    columns |= {name: table[name] for name in PATIENT_GROUPINGS if name in table}
    for name in IMAGE_GROUPINGS:
        if images is not None and name in images:
            joined = images.dropna(subset=name).groupby("patient_id")[name]
            columns[name] = joined.agg(lambda values: " + ".join(sorted(set(map(str, values)))))
    groups = pd.DataFrame(
        {name: _ordered(name, column.reindex(table.index)) for name, column in columns.items()},
        index=table.index,
    )
    return groups[[name for name in groups if (groups[name] != groups[name].iloc[0]).any()]]


def subgroup_performance(predictions: pd.DataFrame, groups: pd.DataFrame) -> pd.DataFrame:
    """Describe a model's predictions in every group; columns as in the module's description.

    Parameters
    ----------
    predictions : DataFrame
        ``patient_id, set, label, risk``, a row for each patient.
    groups : DataFrame
        See :func:`patient_groups`.
    """
    import pandas as pd

    rows: list[dict[str, Any]] = []
    for name, table in predictions.groupby("set", sort=False):
        sorted_in = groups.reindex(table["patient_id"]).fillna(NOT_KNOWN)
        for grouping in groups:
            for group in groups[grouping].cat.categories:
                part = table[(sorted_in[grouping] == group).to_numpy()]
                if len(part):
                    row = {"set": name, "grouping": grouping, "group": group}
                    rows.append(row | _figures(part))
    bounds = [name + suffix for name in FIGURES for suffix in ("", "_lower", "_upper")]
    columns = ["set", "grouping", "group", "n", "n_positive", "stated", *bounds]
    return pd.DataFrame(rows, columns=columns)


def heterogeneity(performance: pd.DataFrame, level: float = 0.95) -> pd.DataFrame:
    """Test whether the AUC is the same in all groups of a grouping.

    Cochran's Q (Biometrics 1954;10:101-129) of the AUCs' logits, weighted by DeLong's variances:
    groups share no patient, so that their AUCs are independent. Groups that are not stated or not
    known, and those whose AUC is 0 or 1, which have no variance, are left out; P is NaN with
    fewer than 2 others. Holm's adjustment counts the groupings
    of one set.

    Parameters
    ----------
    performance : DataFrame
        See :func:`subgroup_performance`.
    level : float
        Coverage of its intervals.
    """
    import pandas as pd

    rows = []
    for (name, grouping), part in performance.groupby(["set", "grouping"], sort=False):
        known = part[(part["group"] != NOT_KNOWN) & part["auc_lower"].notna()]
        centre = logit(known["auc"].to_numpy(dtype=float))
        width = logit(known["auc_upper"].to_numpy(dtype=float)) - logit(
            known["auc_lower"].to_numpy(dtype=float)
        )
        keep = (width > 0) & np.isfinite(width)
        weight = (2 * norm.ppf(0.5 + level / 2) / width[keep]) ** 2
        q = p_value = float("nan")
        if keep.sum() > 1:
            mean = np.average(centre[keep], weights=weight)
            q = float(np.sum(weight * (centre[keep] - mean) ** 2))
            p_value = float(chi2.sf(q, keep.sum() - 1))
        rows.append((name, grouping, int(keep.sum()), q, p_value))
    table = pd.DataFrame(rows, columns=["set", "grouping", "groups", "q", "p_value"])
    table["p_holm"] = np.nan
    for _, part in table.groupby("set"):
        table.loc[part.index, "p_holm"] = adjusted(part["p_value"], "holm")
    return table


def subgroup_agreement(
    agreement: pd.DataFrame,
    groups: pd.DataFrame,
    images: pd.DataFrame | None,
    n_bootstrap: int,
    seed: int,
) -> pd.DataFrame:
    """Give the mean Dice of the automatic masks in every group.

    Parameters
    ----------
    agreement : DataFrame
        ``image_id, patient_id, dice``, the rows of one comparison; images without a Dice do not
        count.
    groups : DataFrame
        See :func:`patient_groups`.
    images : DataFrame, optional
        ``image_id, view, device``: for these two, an image is in its own group, not in that of its
        patient, so that they are there where all patients have the same views. Without this table
        neither is looked at.
    n_bootstrap, seed : int
        Bootstrap samples of patients, each with all her images.

    Returns
    -------
    DataFrame
        Columns as in the module's description; with fewer than 10 images, or of one patient, no
        Dice is stated.
    """
    import pandas as pd

    known = agreement.dropna(subset="dice")
    own = _vary(images)
    rows = []
    for grouping in [*(name for name in groups if name not in IMAGE_GROUPINGS), *own]:
        if images is not None and grouping in own:
            value = images.set_index("image_id")[grouping].reindex(known["image_id"])
            value = _ordered(str(grouping), value)
        else:
            value = groups[grouping].reindex(known["patient_id"]).fillna(NOT_KNOWN)
        for group in value.cat.categories:
            part = known[(value == group).to_numpy()]
            if part.empty:
                continue
            count = part["patient_id"].nunique()
            stated = len(part) >= LEAST_IMAGES and count > 1
            dice = (float("nan"),) * 3
            if stated:
                mean, _ = mean_and_median(
                    part["dice"].to_numpy(dtype=float),
                    part["patient_id"].to_numpy(dtype=object),
                    n_bootstrap,
                    seed,
                )
                dice = (mean.value, mean.lower, mean.upper)
            rows.append((grouping, group, len(part), count, stated, *dice))
    columns = ["grouping", "group", "n_images", "n_patients", "stated"]
    return pd.DataFrame(rows, columns=[*columns, "dice", "dice_lower", "dice_upper"])


def _figures(part: pd.DataFrame) -> dict[str, Any]:
    label, risk = part["label"].to_numpy(dtype=int), part["risk"].to_numpy(dtype=float)
    positive = int(label.sum())
    stated = min(positive, len(label) - positive) >= LEAST_OF_A_CLASS
    row: dict[str, Any] = {"n": len(label), "n_positive": positive, "stated": stated}
    if stated:
        for name, figure in FIGURES.items():
            value, lower, upper = figure(label, risk)
            row |= {name: value, f"{name}_lower": lower, f"{name}_upper": upper}
    return row


def _vary(images: pd.DataFrame | None) -> list[str]:
    """Name the groupings of images in which not all are alike."""
    if images is None:
        return []
    known = images.fillna(NOT_KNOWN)
    names = [name for name in IMAGE_GROUPINGS if name in known]
    return [name for name in names if (known[name] != known[name].iloc[0]).any()]


def _ordered(name: str, values: pd.Series) -> pd.Series:
    """Make categories in their natural order, those without a value last."""
    import pandas as pd

    if isinstance(values.dtype, pd.CategoricalDtype):
        order = [str(value) for value in values.cat.categories]
    else:
        described = {column.name: column for column in (*PATIENT_COLUMNS, *IMAGE_COLUMNS)}
        natural = described[name].values if name in described else ()  # noqa: PD011
        found = sorted(set(values.dropna().astype(str)))
        order = [*(v for v in natural if v in found), *(v for v in found if v not in natural)]
    text = values.astype(object).where(values.notna(), NOT_KNOWN).astype(str)
    return text.astype(pd.CategoricalDtype([*order, NOT_KNOWN], ordered=True))

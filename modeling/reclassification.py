"""Who is put into another category of risk when the risks come from elsewhere.

Net reclassification, of patients with and without the event apart: Pencina et al., Stat Med
2008;27:157-172; the interval of a difference of paired proportions: Bonett & Price, J Educ Behav
Stat 2012;37:479-488, which has a width even where nobody moved. The two are not added up, and say
nothing about whether the risks are right: miscalibration alone can make them look good (Kerr et
al., Epidemiology 2014;25:114-121; Hilden & Gerds, Stat Med 2014;33:3405-3414).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import norm

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import ArrayLike, NDArray

CAVEAT = (
    "Net reclassification counts moves between categories, not whether the risks are right: risks "
    "that are miscalibrated can make it look better. It is given for patients with and without the "
    "event apart, is not added up, and decides nothing; net benefit weighs the two."
)


def categories(risks: ArrayLike, thresholds: Sequence[float]) -> NDArray[np.int64]:
    """Number the category of each risk, from 0; a risk at a threshold is in the upper one."""
    found = np.digitize(np.asarray(risks, dtype=float), np.asarray(thresholds, dtype=float))
    return np.asarray(found, dtype=np.int64)


def category_names(thresholds: Sequence[float]) -> list[str]:
    """Name the categories: ``below 0.1``, ``0.1 to 0.3``, ``0.3 and above``."""
    between = [f"{low:g} to {high:g}" for low, high in pairwise(thresholds)]
    return [f"below {thresholds[0]:g}", *between, f"{thresholds[-1]:g} and above"]


def reclassification(
    labels: ArrayLike, before: ArrayLike, after: ArrayLike, names: Sequence[str]
) -> pd.DataFrame:
    """Count the patients by both categories, those with and without the event apart.

    Parameters
    ----------
    labels : array, shape (patients,)
        0 or 1.
    before, after : array of int, shape (patients,)
        Categories, numbered from 0.
    names : sequence of str
        Of the categories.

    Returns
    -------
    DataFrame
        ``label, before, after, n``: a row for each cell, those without anybody too.
    """
    import pandas as pd

    y, rows, columns = (np.asarray(values, dtype=int) for values in (labels, before, after))
    cells = np.zeros((2, len(names), len(names)), dtype=int)
    np.add.at(cells, (y, rows, columns), 1)
    index = pd.MultiIndex.from_product([[0, 1], names, names], names=["label", "before", "after"])
    return pd.DataFrame({"n": cells.ravel()}, index=index).reset_index()


def net_reclassification(
    labels: ArrayLike, before: ArrayLike, after: ArrayLike, level: float = 0.95
) -> pd.DataFrame:
    """Balance the moves in the right direction against those in the wrong one.

    Parameters
    ----------
    labels, before, after : array
        As for :func:`reclassification`.
    level : float
        Coverage of the intervals.

    Returns
    -------
    DataFrame
        ``group (events|non-events), n, n_up, n_down, nri, nri_lower, nri_upper``. ``nri`` is
        positive when more moved in the right direction: up with the event, down without. NaN where
        the group is empty.
    """
    import pandas as pd

    y = np.asarray(labels, dtype=int)
    change = np.sign(np.asarray(after, dtype=int) - np.asarray(before, dtype=int))
    rows = []
    for group, label, right in (("events", 1, 1), ("non-events", 0, -1)):
        moved = change[y == label]
        gained, lost = int((moved == right).sum()), int((moved == -right).sum())
        up, down = (gained, lost) if right > 0 else (lost, gained)
        rows.append((group, len(moved), up, down, *_paired(gained, lost, len(moved), level)))
    names = ["group", "n", "n_up", "n_down", "nri", "nri_lower", "nri_upper"]
    return pd.DataFrame(rows, columns=names)


def _paired(gained: int, lost: int, n: int, level: float) -> tuple[float, float, float]:
    """Give the difference of two paired proportions and its adjusted Wald interval."""
    if n == 0:
        return float("nan"), float("nan"), float("nan")
    more, less = (gained + 1) / (n + 2), (lost + 1) / (n + 2)
    centre = more - less
    reach = norm.ppf(0.5 + level / 2) * np.sqrt((more + less - centre**2) / (n + 2))
    return (gained - lost) / n, max(float(centre - reach), -1.0), min(float(centre + reach), 1.0)

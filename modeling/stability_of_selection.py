"""How much of a selection of features is the data's, how much the sample's.

A selection is made again on parts of the patients (the training patients of each fold). What is
selected each time makes a matrix, parts by features; its column means are the selection frequencies
(Meinshausen & Bühlmann, J R Stat Soc B 2010;72:417-473), and Nogueira's index (Nogueira, Sechidis &
Brown, J Mach Learn Res 2018;18(174):1-54, definition 4, theorem 7 and corollary 9) says in one
number how alike its rows are: 1 when they are the same, about 0 when features are drawn at random,
above 0.75 excellent, below 0.4 poor.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import norm

from ..errors import MammoroiError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


@dataclass(frozen=True)
class SelectionStability:
    """Nogueira's index with its interval.

    Attributes
    ----------
    value, lower, upper : float
        The index and its normal interval, at most 1; NaN when nothing or everything is selected
        every time, which says nothing about the choice.
    variance : float
        Of the index.
    mean_selected : float
        Features selected in a subsample, on average.
    """

    value: float
    lower: float
    upper: float
    variance: float
    mean_selected: float


def nogueira(selected: ArrayLike, level: float = 0.95) -> SelectionStability:
    """Measure the stability of a selection.

    Parameters
    ----------
    selected : array of bool, shape (subsamples, features)
        What was selected on each; features that were never selected belong in it.
    level : float
        Coverage of the interval.

    Raises
    ------
    MammoroiError
        With fewer than 2 subsamples.
    """
    chosen = np.asarray(selected, dtype=float)
    m, d = chosen.shape
    if m < 2:
        raise MammoroiError(
            f"stability of a selection was asked of {m} selections", "make at least 2, better 100"
        )
    frequency, sizes = chosen.mean(axis=0), chosen.sum(axis=1)
    mean_size = frequency.sum()
    expected = mean_size / d * (1 - mean_size / d)
    if expected == 0:
        unknown = float("nan")
        return SelectionStability(unknown, unknown, unknown, unknown, float(mean_size))
    value = 1 - m / (m - 1) * np.mean(frequency * (1 - frequency)) / expected
    product = sizes * mean_size / d**2
    influence = (
        chosen @ frequency / d - product + value / 2 * (2 * product - sizes / d - mean_size / d + 1)
    ) / expected
    variance = 4 / m**2 * np.sum((influence - influence.mean()) ** 2)
    reach = norm.ppf(0.5 + level / 2) * np.sqrt(variance)
    return SelectionStability(
        float(value),
        float(value - reach),
        float(min(value + reach, 1.0)),
        float(variance),
        float(mean_size),
    )

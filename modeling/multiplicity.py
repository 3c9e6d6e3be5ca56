"""Many tests at once: P values adjusted by Holm or by Benjamini and Hochberg.

Holm, Scand J Stat 1979;6:65-70, keeps the chance of any false finding at the level chosen;
Benjamini & Hochberg, J R Stat Soc B 1995;57:289-300, the share of false ones among the findings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


def adjusted(p_values: ArrayLike, method: Literal["holm", "fdr_bh"]) -> NDArray[np.float64]:
    """Adjust P values for their number.

    Parameters
    ----------
    p_values : array
        NaN where a test could not be made: it stays NaN and does not count as a test, which
        ``multipletests`` of statsmodels would turn into NaN for all.
    method : {"holm", "fdr_bh"}
        As statsmodels names them.

    Returns
    -------
    ndarray
        In the order given.
    """
    from statsmodels.stats.multitest import multipletests

    found = np.asarray(p_values, dtype=float)
    result = np.full(found.shape, np.nan)
    known = np.isfinite(found)
    if known.any():
        result[known] = multipletests(found[known], method=method)[1]
    return result

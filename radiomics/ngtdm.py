"""The 5 features of the neighbouring grey tone difference matrix.

Formulas: pyradiomics' documentation, class ``ngtdm`` (Amadasun & King, IEEE Trans Syst Man Cybern
1989;19:1264-1274). A pixel without a neighbour counts with a difference of 0.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .compiled import compiled

_NAMES = ("Busyness", "Coarseness", "Complexity", "Contrast", "Strength")
_COARSEST = 1e6  # of an ROI without any difference


def ngtdm(
    counts: NDArray[np.float64], differences: NDArray[np.float64], levels: NDArray[np.float64]
) -> dict[str, float]:
    """The features from (n,) pixels, summed differences and grey levels."""
    found = _features(counts, differences, levels)
    return dict(zip(_NAMES, found.tolist(), strict=True))


@compiled
def _features(
    counts: NDArray[np.float64], differences: NDArray[np.float64], levels: NDArray[np.float64]
) -> NDArray[np.float64]:
    n, pixels = len(levels), counts.sum()
    share = counts / pixels
    weighted = (share * differences).sum()
    spread = busy = complexity = strength = 0.0
    for a in range(n):
        for b in range(n):
            distance = abs(levels[a] - levels[b])
            both = share[a] + share[b]
            spread += share[a] * share[b] * distance**2
            busy += abs(levels[a] * share[a] - levels[b] * share[b])
            complexity += distance * (share[a] * differences[a] + share[b] * differences[b]) / both
            strength += both * distance**2
    total = differences.sum()
    contrast = spread * total / pixels / (n * (n - 1)) if n > 1 else 0.0
    return np.array(
        [
            weighted / busy if busy != 0 else 0.0,
            1 / weighted if weighted != 0 else _COARSEST,
            complexity / pixels,
            contrast,
            strength / total if total != 0 else 0.0,
        ]
    )

"""Whether the images of another cohort are like those of the training.

``drift.csv`` has a row for each number and feature of :mod:`.ranges`: ``kind`` (``image``,
``feature``), ``name, n_training, mean_training, sd_training, n, mean, sd``; ``difference``, the
difference of the means in training standard deviations; ``outside``, the share of images outside
the training's range (:meth:`.ranges.Distribution.outside`); ``psi``, the population stability index
over the training's tenths; ``p_value``, twice the smaller P (Bonferroni) of Welch's t-test, which
sees shifts, and of a chi-squared test that both are distributed alike over these tenths, which sees
the rest, with images counted as if each patient had one, since hers are alike; ``q_value``, by
Benjamini and Hochberg; and ``drifted``: q below 0.05, or, where the training's values do not differ
and so cannot be tested, more than a twentieth outside.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..modeling.multiplicity import adjusted
from .ranges import QUANTILES, SAME, Distribution, Ranges

if TYPE_CHECKING:
    import pandas as pd

LEVEL = 0.05
_TENTHS = [QUANTILES.index(value) for value in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)]
COLUMNS = (
    "kind", "name", "n_training", "mean_training", "sd_training", "n", "mean", "sd", "difference",
    "outside", "psi", "p_value", "q_value", "drifted",
)  # fmt: skip


def drift_table(
    ranges: Ranges,
    numbers: Sequence[Mapping[str, float]],
    features: Sequence[Mapping[str, float]],
    images_per_patient: float,
) -> pd.DataFrame:
    """Compare images with those of the training.

    Parameters
    ----------
    ranges : Ranges
        Of the bundle.
    numbers, features : sequence of Mapping
        Of each image, as :func:`.ranges.numbers_of` and the extraction give them.
    images_per_patient : float
        On average, here and in training.
    """
    import pandas as pd

    rows = []
    for kind, known, given in (
        ("image", ranges.numbers, numbers),
        ("feature", ranges.features, features),
    ):
        for name, training in known.items():
            values = np.array([row[name] for row in given if name in row], dtype=float)
            values = values[np.isfinite(values)]
            if values.size:
                # As for single images (clinic/flags.py) and for classifiers (clinic/risks.py).
                slack = (ranges.scale(name), SAME) if kind == "image" else (0.0, 0.0)
                outside = float(np.mean([training.outside(value, *slack) for value in values]))
                row = _row(training, values, images_per_patient, outside)
                rows.append({"kind": kind, "name": name, **row})
    table = pd.DataFrame(
        rows, columns=[name for name in COLUMNS if name not in ("q_value", "drifted")]
    )
    table["q_value"] = adjusted(table["p_value"], "fdr_bh")
    untested = table["p_value"].isna() & (table["outside"] > LEVEL)
    table["drifted"] = (table["q_value"] < LEVEL) | untested
    return table[list(COLUMNS)]


def _row(
    training: Distribution, values: NDArray[np.float64], images_per_patient: float, outside: float
) -> dict[str, Any]:
    sd = float(values.std(ddof=1)) if values.size > 1 else 0.0
    difference = (
        (float(values.mean()) - training.mean) / training.sd if training.sd > 0 else float("nan")
    )
    psi, p_shape = _by_tenths(training, values, images_per_patient)
    p_values = [
        p_shape,
        _shift(training, float(values.mean()), sd, values.size, images_per_patient),
    ]
    known = [p for p in p_values if np.isfinite(p)]
    return {
        "n_training": training.n,
        "mean_training": training.mean,
        "sd_training": training.sd,
        "n": int(values.size),
        "mean": float(values.mean()),
        "sd": sd,
        "difference": difference,
        "outside": outside,
        "psi": psi,
        "p_value": min(1.0, len(known) * min(known)) if known else float("nan"),
    }


def _shift(
    training: Distribution, mean: float, sd: float, n: int, images_per_patient: float
) -> float:
    """P of Welch's test of the means; NaN where either does not vary."""
    from scipy.stats import ttest_ind_from_stats

    counts = [round(size / max(1.0, images_per_patient)) for size in (training.n, n)]
    if training.sd == 0 or sd == 0 or min(counts) < 2:
        return float("nan")
    test = ttest_ind_from_stats(
        training.mean, training.sd, counts[0], mean, sd, counts[1], equal_var=False
    )
    return float(test.pvalue)


def _by_tenths(
    training: Distribution, values: NDArray[np.float64], images_per_patient: float
) -> tuple[float, float]:
    """Stability index and P over the training's tenths; equal edges make one bin."""
    from scipy.stats import chi2_contingency

    levels = np.array([QUANTILES[at] for at in _TENTHS])
    edges = np.array([training.quantiles[at] for at in _TENTHS])
    kept = np.append(np.diff(edges) > 0, True)  # of equal edges the last, where most lies below
    edges, levels = edges[kept], levels[kept]
    if training.maximum <= edges[-1]:
        edges, levels = edges[:-1], levels[:-1]
    if not edges.size:
        return float("nan"), float("nan")
    expected = np.diff(np.concatenate([[0.0], levels, [1.0]]))
    counts = np.bincount(np.searchsorted(edges, values, side="left"), minlength=len(expected))
    shares = np.clip(counts / values.size, 0.5 / values.size, None)
    psi = float(((shares - expected) * np.log(shares / expected)).sum())
    observed = np.array([expected * training.n, counts]) / max(1.0, images_per_patient)
    return psi, float(chi2_contingency(observed, correction=False).pvalue)

"""ComBat: features of several centres or devices brought to one location and scale.

Johnson et al., Biostatistics 2007;8:118-127, with the parametric empirical-Bayes estimates; for
images: Fortin et al., NeuroImage 2018;167:104-120; for radiomics: Orlhac et al., J Nucl Med
2018;59:1321-1328. Everything is learnt from the rows given to `fit`; rows that come later are only
moved by what was learnt.

No covariate is protected. Protecting the outcome would write labels into features, those of
held-out patients among them, and no new patient has one; protecting clinical variables would ask
for them of every new patient. The price: where one centre has more positive patients than another,
the part of the signal that lies between the centres goes with the centres' difference; that within
them stays.

A batch of which fewer than 5 patients are among those fitted, and a patient of no known batch,
cannot be moved by anything that was learnt: their features stay as they are, and are counted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import BaseEstimator

from ..errors import MammoroiError
from ..files import read_csv

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd
    from numpy.typing import ArrayLike, NDArray

    from .config import ModelingConfig
    from .repeats import Repeats

LEAST_OF_A_BATCH = 5
TOLERANCE = 1e-10
MOST_ITERATIONS = 1000


class Combat(BaseEstimator):  # type: ignore[misc]
    """Moves and scales each feature of a batch; every batch and feature by a straight line.

    Features that are missing or infinite in a training row stay as they are; those that are
    constant within every batch are moved, not scaled.

    Parameters
    ----------
    batches : Series
        The batch of each patient, indexed by ``patient_id``; missing where it is not known.

    Attributes
    ----------
    counts_ : dict of str to int
        Training patients of each batch that was estimated; without any where fewer than two could
        be.
    slope_, offset_ : ndarray, shape (batches, features)
        A value becomes ``slope * value + offset``.
    n_as_they_are_ : int
        Training patients whose features were not moved.
    """

    def __init__(self, batches: pd.Series) -> None:
        self.batches = batches

    def fit(self, X: pd.DataFrame, y: ArrayLike | None = None) -> Combat:  # noqa: ARG002
        """Learn from X, a table of features indexed by `patient_id`; labels play no part."""
        batch = self.batches.reindex(X.index)
        counts = batch.value_counts().sort_index()
        enough = counts[counts >= LEAST_OF_A_BATCH]
        self.counts_ = {str(name): int(n) for name, n in enough.items()} if len(enough) > 1 else {}
        self.n_as_they_are_ = int((~batch.isin(list(self.counts_))).sum())
        shape = (len(self.counts_), X.shape[1])
        self.slope_, self.offset_ = np.ones(shape), np.zeros(shape)
        if self.counts_:
            values = X.to_numpy(dtype=np.float64)
            rows = [(batch == name).to_numpy() for name in self.counts_]
            columns = np.flatnonzero(np.isfinite(values).all(axis=0))
            slope, offset = _lines([values[np.ix_(row, columns)] for row in rows])
            self.slope_[:, columns], self.offset_[:, columns] = slope, offset
        return self

    def transform(self, X: pd.DataFrame) -> pd.DataFrame:
        """Move rows by their batch; what is missing stays missing."""
        import pandas as pd

        values = X.to_numpy(dtype=np.float64, copy=True)
        batch = self.batches.reindex(X.index)
        for number, name in enumerate(self.counts_):
            rows = (batch == name).to_numpy()
            values[rows] = values[rows] * self.slope_[number] + self.offset_[number]
        return pd.DataFrame(values, X.index, X.columns)

    def lines(self, columns: list[int]) -> dict[str, dict[str, list[float]]]:
        """Give slope and offset of some features, by batch."""
        return {
            name: {
                "slope": self.slope_[number, columns].tolist(),
                "offset": self.offset_[number, columns].tolist(),
            }
            for number, name in enumerate(self.counts_)
        }


def harmonised(
    batches: pd.Series | None, X: pd.DataFrame, repeats: Repeats | None
) -> tuple[dict[str, Combat], pd.DataFrame, Repeats | None]:
    """Fit ComBat to X and move X and the other outlines by it; nothing where ``batches`` is None.

    The other outlines are moved as well because a difference of centres lies between patients: it
    would pass for one of patients and make a feature look stable.
    """
    if batches is None:
        return {}, X, repeats
    combat = Combat(batches).fit(X)
    moved = None if repeats is None else repeats.moved(combat.transform)
    return {"combat": combat}, combat.transform(X), moved


def batches_of(patients: pd.DataFrame, study: Path, config: ModelingConfig) -> pd.Series | None:
    """Give each patient's batch by ``patient_id``; None without harmonisation.

    Parameters
    ----------
    patients : DataFrame
        ``patients.csv``, with the column ``centre``.
    study : Path
        In its ``cohort.csv`` stands the ``device`` of each image, where that is asked for; a
        patient on two devices is of the batch ``A + B``.
    config : ModelingConfig
        Its ``harmonise`` and ``harmonise_by``.

    Raises
    ------
    MammoroiError
        When harmonisation is asked for and there are not two batches to bring together.
    """
    if config.harmonise == "none":
        return None
    by = config.harmonise_by
    file = "patients.csv" if by == "centre" else "cohort.csv"
    table = patients if by == "centre" else read_csv(study / file, dtype=str)
    if by not in table:
        raise MammoroiError(
            f"harmonise is combat, but {file} has no column '{by}'",
            "fill it in, or set harmonise to none",
        )
    known = table.dropna(subset=by).astype({"patient_id": str, by: str})
    found = known.groupby("patient_id")[by].agg(lambda names: " + ".join(sorted(set(names))))
    counts = found.value_counts()
    if (counts >= LEAST_OF_A_BATCH).sum() < 2:
        raise MammoroiError(
            f"harmonise is combat, but column '{by}' of {file} does not have two values with "
            f"{LEAST_OF_A_BATCH} patients each",
            "join small ones, or set harmonise to none",
        )
    return found


def _lines(parts: list[NDArray[np.float64]]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Give slope and offset (batches, features) from the rows of each batch."""
    whole = np.concatenate(parts)
    grand = whole.mean(axis=0)
    means = np.stack([part.mean(axis=0) for part in parts])
    inside = np.concatenate([part - mean for part, mean in zip(parts, means, strict=True)])
    spread = np.sqrt((inside**2).mean(axis=0))
    varies = spread > 1e-9 * np.abs(whole).max(axis=0)  # less is rounding error
    slope, offset = np.ones_like(means), grand - means
    if varies.any():
        centre, scale = grand[varies], spread[varies]
        for number, part in enumerate(parts):
            gamma, delta = _posterior((part[:, varies] - centre) / scale)
            slope[number, varies] = 1 / np.sqrt(delta)
            offset[number, varies] = centre - (centre + scale * gamma) / np.sqrt(delta)
    return slope, offset


def _posterior(Z: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Estimate location and variance of a batch's standardised features, drawn to their common one.

    Without a spread between features there is no prior to draw them to.
    """
    n = len(Z)
    mean, variance = Z.mean(axis=0), Z.var(axis=0, ddof=1)
    start = np.where(variance > 0, variance, 1.0)
    if Z.shape[1] < 2 or mean.var() == 0 or start.var() == 0:
        return mean, start
    prior, tau2 = mean.mean(), mean.var(ddof=1)
    m, s2 = start.mean(), start.var(ddof=1)
    shape, rate = 2 + m**2 / s2, m + m**3 / s2
    gamma, delta = mean, start
    for _ in range(MOST_ITERATIONS):
        before = gamma, delta
        gamma = (n * tau2 * mean + delta * prior) / (n * tau2 + delta)
        squares = (n - 1) * variance + n * (mean - gamma) ** 2
        delta = (rate + squares / 2) / (n / 2 + shape - 1)
        if max(np.abs(gamma - before[0]).max(), np.abs(delta - before[1]).max()) < TOLERANCE:
            break
    return gamma, delta

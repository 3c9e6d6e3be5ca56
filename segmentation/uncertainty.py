"""How sure the networks are of a mask, without the manual one.

================  ==================================================================================
``entropy``       mean binary entropy of the probability over the mask, in bits: 0 sure, 1 guessing
``expected_dice`` soft Dice of the mask with its own probability map (Borges et al., Soft Dice
                  Confidence, arXiv:2402.10665): about the Dice to be expected if the map is
                  calibrated; 0 without a mask
``member_dice``   mean Dice between the masks that the single members draw, a member being one
                  network on one view, the image, its upside-down copy or one of another scale
                  (Roy et al., NeuroImage 2019)
================  ==================================================================================

Missing: ``entropy`` without a mask, ``member_dice`` with a single member or where no member draws
anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..files import read_json
from .bootstrap import Estimate, draw_patients, limits

Values = NDArray[np.float64]
MEASURES = ("entropy", "expected_dice", "member_dice")


@dataclass(frozen=True)
class Uncertainty:
    """The measures of one mask; None is missing."""

    entropy: float | None
    expected_dice: float
    member_dice: float | None


def uncertainty(
    probability: NDArray[np.float32], mask: NDArray[np.bool_], members: list[NDArray[np.bool_]]
) -> Uncertainty:
    """Measure the uncertainty of a mask.

    Parameters
    ----------
    probability : float32 (rows, columns)
        Mean probability, 0..1.
    mask : bool, same shape
        The mask that was drawn from it.
    members : list of bool arrays
        The members' masks, on any common grid.
    """
    inside = probability[mask].astype(np.float64)
    total = float(probability.sum(dtype=np.float64)) + inside.size
    pairs = pairwise_dice(members)
    return Uncertainty(
        entropy=float(binary_entropy(inside).mean()) if inside.size else None,
        expected_dice=float(2 * inside.sum() / total) if total else 0.0,
        member_dice=float(pairs.mean()) if pairs.size else None,
    )


def binary_entropy(probability: Values) -> Values:
    """Entropy in bits of events of these probabilities."""
    from scipy.special import entr

    bits: Values = (entr(probability) + entr(1 - probability)) / np.log(2)
    return bits


def pairwise_dice(masks: Sequence[NDArray[np.bool_]]) -> Values:
    """Dice of each two of some masks on one grid, without the pairs of which both are empty."""
    if len(masks) < 2:
        return np.empty(0)
    flat = np.stack([mask.ravel() for mask in masks])
    flat = flat[:, flat.any(axis=0)].astype(np.float64)
    common = flat @ flat.T
    sizes = common.diagonal()
    one, other = np.triu_indices(len(masks), 1)
    total = sizes[one] + sizes[other]
    dice: Values = 2 * common[one, other][total > 0] / total[total > 0]
    return dice


@dataclass(frozen=True)
class Flag:
    """When a mask is called uncertain, and how often that caught poor masks.

    Attributes
    ----------
    threshold : float or None
        A mask is uncertain when its ``expected_dice`` is at or below it; None where no training
        mask was poor, so that nothing can be learned.
    poor_dice : float
        A mask is poor below this Dice.
    wanted : float
        Share of the poor training masks that the threshold had to catch.
    n_train, n_poor_train : int
        Masks of training patients from which it was chosen, and the poor ones among them.
    """

    threshold: float | None
    poor_dice: float
    wanted: float
    n_train: int
    n_poor_train: int

    def uncertain(self, expected_dice: float) -> bool | None:
        """Tell whether a mask is uncertain; an empty one (expected Dice 0) always is."""
        if expected_dice == 0:
            return True
        return None if self.threshold is None else bool(expected_dice <= self.threshold)


def choose_flag(expected_dice: Values, dice: Values, poor_dice: float, wanted: float) -> Flag:
    """Choose the lowest threshold that catches the wanted share of the poor masks.

    Give training patients' masks only, without the empty ones: that nothing was drawn is seen
    without a threshold.
    """
    poor = np.sort(expected_dice[dice < poor_dice])
    threshold = float(poor[int(np.ceil(wanted * poor.size)) - 1]) if poor.size else None
    return Flag(threshold, poor_dice, wanted, int(dice.size), int(poor.size))


def load_flag(study: Path) -> Flag | None:
    """Read the flag that the stage ``agree`` of a study chose; None where it has not run."""
    file = Path(study) / "uncertainty.json"
    return Flag(**read_json(file)["flag"]) if file.exists() else None


def rank_correlation(
    one: Values, other: Values, patients: NDArray[np.object_], samples: int, seed: int
) -> Estimate:
    """Spearman's rank correlation of two values of images, resampling patients.

    NaN with fewer than three images or where one side does not vary; the limits with few patients.
    """
    value = _spearman(one, other)
    if not np.isfinite(value):
        return Estimate(value, np.nan, np.nan)
    names, owner = np.unique(patients.astype(str), return_inverse=True)
    draws = draw_patients(len(names), samples, seed)
    drawn = []
    for weights in draws:
        rows = np.repeat(np.arange(one.size), weights[owner])
        drawn.append(_spearman(one[rows], other[rows]))
    lower, upper = limits(np.array(drawn), len(names))
    return Estimate(value, float(lower), float(upper))


def _spearman(one: Values, other: Values) -> float:
    from scipy.stats import rankdata

    if one.size < 3 or np.ptp(one) == 0 or np.ptp(other) == 0:
        return float("nan")
    return float(np.corrcoef(rankdata(one), rankdata(other))[0, 1])

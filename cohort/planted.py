"""The signal that is planted in the lesion's texture, and what can at best be read from it.

Three scores with unit variance within their class: one carries the sentinel node, two carry HER2.
Their distributions are known, so the true risks and the AUC of the best possible reader are too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

    from .synthetic_config import SyntheticConfig

HER2_CLASSES = ("zero", "low", "positive")
N_VIEWS = 2
_N_DRAWS = 100_000


@dataclass(frozen=True)
class Scores:
    """Latent texture scores, of a patient or of one of her images.

    Attributes
    ----------
    sln_score : float
        Sets the correlation length.
    her2_direction : float
        Sets the anisotropy.
    her2_grain : float
        Sets the share of fine grain.
    """

    sln_score: float
    her2_direction: float
    her2_grain: float


def sln_step(auc: float) -> float:
    """Difference between two unit normal classes whose best AUC is ``auc``."""
    return math.sqrt(2) * NormalDist().inv_cdf(auc)


def her2_means(separation: float) -> NDArray[np.float64]:
    """Means of the classes zero, low, positive: an equilateral triangle about 0, shape (3, 2)."""
    angles = np.deg2rad([90.0, 210.0, 330.0])
    return separation / math.sqrt(3) * np.stack([np.cos(angles), np.sin(angles)], axis=1)


def draw_scores(sln: str, her2: str, config: SyntheticConfig, rng: Generator) -> Scores:
    """Draw a patient's scores given her classes."""
    noise = rng.standard_normal(3)
    side = 0.5 if sln == "positive" else -0.5
    direction, grain = her2_means(config.her2_separation)[HER2_CLASSES.index(her2)]
    return Scores(
        sln_score=float(sln_step(config.auc_sln) * side + noise[0]),
        her2_direction=float(direction + noise[1]),
        her2_grain=float(grain + noise[2]),
    )


def view_scores(scores: Scores, view_noise: float, rng: Generator) -> Scores:
    """Scatter a patient's scores for one of her images."""
    noise = view_noise * rng.standard_normal(3)
    return Scores(
        sln_score=float(scores.sln_score + noise[0]),
        her2_direction=float(scores.her2_direction + noise[1]),
        her2_grain=float(scores.her2_grain + noise[2]),
    )


def sln_risk(score: float, config: SyntheticConfig, prevalence: float) -> float:
    """Probability of a positive node given the patient's own SLN score."""
    logit = math.log(prevalence / (1 - prevalence)) + sln_step(config.auc_sln) * score
    return 1 / (1 + math.exp(-logit))


def her2_risks(
    scores: NDArray[np.float64], separation: float, prevalences: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Probabilities of zero, low, positive given the two HER2 scores (n, 2); returns (n, 3)."""
    distances = ((scores[:, None, :] - her2_means(separation)[None]) ** 2).sum(axis=2)
    weights = prevalences * np.exp(-0.5 * (distances - distances.min(axis=1, keepdims=True)))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def ceilings(config: SyntheticConfig, her2_prevalences: NDArray[np.float64]) -> dict[str, float]:
    """AUCs of the best possible reader: of the patient's scores, and of the mean of her views.

    The SLN values are exact; the one-versus-rest values of HER2 come from 100,000 draws per class
    (standard error below 0.001).
    """
    views = math.sqrt(1 + config.view_noise**2 / N_VIEWS)
    result = {
        "sln": config.auc_sln,
        "sln_two_views": NormalDist().cdf(sln_step(config.auc_sln) / views / math.sqrt(2)),
    }
    for suffix, separation in (
        ("", config.her2_separation),
        ("_two_views", config.her2_separation / views),
    ):
        aucs = _her2_aucs(separation, her2_prevalences)
        result |= {
            f"her2-{name}{suffix}": auc for name, auc in zip(HER2_CLASSES, aucs, strict=True)
        }
    return {name: round(value, 4) for name, value in result.items()}


def _her2_aucs(separation: float, prevalences: NDArray[np.float64]) -> list[float]:
    """One-versus-rest AUC of the true risk, for the three classes."""
    rng = np.random.default_rng(0)
    risks = [
        her2_risks(mean + rng.standard_normal((_N_DRAWS, 2)), separation, prevalences)
        for mean in her2_means(separation)
    ]
    aucs = []
    for k in range(3):
        own = np.sort(risks[k][:, k])
        others = [j for j in range(3) if j != k]
        wins = [_share_above(own, risks[j][:, k]) for j in others]
        aucs.append(float(np.average(wins, weights=prevalences[others])))
    return aucs


def _share_above(high: NDArray[np.float64], low: NDArray[np.float64]) -> float:
    """P(high > low), ties counted half; ``high`` is sorted."""
    below = np.searchsorted(high, low, "left") + np.searchsorted(high, low, "right")
    return float(1 - below.mean() / 2 / high.size)

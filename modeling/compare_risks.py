"""Risks from automatic against those from manual ROIs, of the same patients.

Every table begins with ``target, set (train|test|all; out-of-fold but for test), rule``.

``comparison/noninferiority.csv``: ``n, margin`` and the figures of
:class:`.noninferiority.NonInferiority`; ``manual_above_chance``, whether the 95 % interval of the
AUC with manual ROIs lies above 0.5: if not, not to be inferior to it means little.
``comparison/risk_agreement.csv``: Bland and Altman's figures of automatic minus manual risk, on the
scale of risks; columns as in ``feature_bias.csv`` (:mod:`.compare_features`).
``comparison/reclassification.csv``: ``label, category_manual, category_automatic, n``.
``comparison/net_reclassification.csv``: ``group (events|non-events), n, n_up, n_down, nri,
nri_lower, nri_upper``: from the categories by manual to those by automatic ROIs; see the caveats in
:mod:`.reclassification`. ``comparison/decision_difference.csv``: ``threshold, net_benefit_manual,
net_benefit_automatic, difference, lower, upper`` (95 % score interval).
``comparison/calibration.csv``: ``roi, n``, and with ``_lower`` and ``_upper``, their 95 % interval:
``calibration_intercept, calibration_slope, observed_expected, brier``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np

from .bland_altman import limits_of_agreement
from .calibration import calibration_intercept, calibration_slope, observed_expected
from .discrimination import auc_interval
from .netbenefit import net_benefit_difference
from .noninferiority import non_inferiority
from .reclassification import categories, category_names, net_reclassification, reclassification
from .risk_errors import brier_scores
from .table import ROIS

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import ArrayLike, NDArray

    Codes = NDArray[np.int64]

OWN = ("below its threshold", "at or above its threshold")


def compare_risks(
    pairs: pd.DataFrame,
    margin: float,
    thresholds: Sequence[float],
    own_thresholds: dict[str, float],
    n_bootstrap: int,
    seed: int,
) -> dict[str, pd.DataFrame]:
    """Compare the risks of one target for one set of patients.

    Parameters
    ----------
    pairs : DataFrame
        ``label, risk_manual, risk_automatic`` and, where known, the patient's own
        ``threshold_manual, threshold_automatic``; a row for each patient, at least one.
    margin : float
        Of non-inferiority in AUC.
    thresholds : sequence of float
        That cut the risks into categories; where empty, ``own_thresholds`` do.
    own_thresholds : dict
        By ``manual`` and ``automatic``: the classifier's threshold, for pairs without.
    n_bootstrap, seed : int
        Bootstrap samples of patients.

    Returns
    -------
    dict of str to DataFrame
        By the file's name without ending, the tables above without their first columns.
    """
    import pandas as pd

    label = pairs["label"].to_numpy(int)
    manual, automatic = (pairs[f"risk_{roi}"].to_numpy(float) for roi in ROIS)
    found = non_inferiority(label, automatic, manual, margin, n_bootstrap, seed)
    above = {"manual_above_chance": auc_interval(label, manual)[1] > 0.5}
    own = [pairs.get(f"threshold_{roi}", own_thresholds[roi]) for roi in ROIS]
    before, after = (
        categories(risks, thresholds) if thresholds else (risks >= np.asarray(cut)).astype(int)
        for risks, cut in zip((manual, automatic), own, strict=True)
    )
    moved = _moves(label, before, after, category_names(thresholds) if thresholds else OWN)
    decision = net_benefit_difference(label, automatic, manual)
    names = {"first": "net_benefit_automatic", "second": "net_benefit_manual"}
    columns = ["threshold", "net_benefit_manual", "net_benefit_automatic", "difference"]
    calibrated = [
        {"roi": roi, "n": len(pairs), **calibration_of(label, risks, n_bootstrap, seed)}
        for roi, risks in zip(ROIS, (manual, automatic), strict=True)
    ]
    return {
        "noninferiority": pd.DataFrame(
            [{"n": len(pairs), "margin": margin, **asdict(found), **above}]
        ),
        "risk_agreement": limits_of_agreement(automatic, manual).frame(),
        **moved,
        "decision_difference": decision.rename(columns=names)[[*columns, "lower", "upper"]],
        "calibration": pd.DataFrame(calibrated),
    }


def calibration_of(
    labels: ArrayLike, risks: ArrayLike, n_bootstrap: int, seed: int
) -> dict[str, float]:
    """Measure how far risks can be trusted, as in ``calibration.csv``."""
    figures = {
        "calibration_intercept": calibration_intercept(labels, risks),
        "calibration_slope": calibration_slope(labels, risks),
        "observed_expected": observed_expected(labels, risks),
        "brier": brier_scores(labels, risks, n_bootstrap, seed)["brier"],
    }
    ends = ("", "_lower", "_upper")
    return {
        f"{name}{end}": value
        for name, values in figures.items()
        for end, value in zip(ends, values, strict=True)
    }


def _moves(
    label: Codes, before: Codes, after: Codes, names: Sequence[str]
) -> dict[str, pd.DataFrame]:
    columns = {"before": "category_manual", "after": "category_automatic"}
    return {
        "reclassification": reclassification(label, before, after, names).rename(columns=columns),
        "net_reclassification": net_reclassification(label, before, after),
    }

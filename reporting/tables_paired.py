"""The tables on the same patients under manual and automatic masks, everyone counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import wording
from .results import Results, everyone
from .tables import SHORT_SET, Table, blank_repeats

if TYPE_CHECKING:
    import pandas as pd

ALL_SETS = {**SHORT_SET, "all": "all, out of fold"}


def cross_application(results: Results) -> Table | None:
    """Classifiers on the masks that they were trained on, and on the others."""
    frame = results.paired.get("cross_application")
    if frame is None or frame.empty:
        return None
    cells = [
        [
            str(row["target"]),
            ALL_SETS[row["set"]],
            f"{row['trained_on']} → {row['applied_to']}",
            f"{row['n']:.0f} ({row['n_missed']:.0f})",
            _interval(row, "auc"),
            _interval(row, "difference", 3) if row["trained_on"] != row["applied_to"] else "",
            *(
                wording.estimated(row[name], row[f"{name}_lower"], row[f"{name}_upper"])
                for name in ("calibration_intercept", "calibration_slope")
            ),
        ]
        for _, row in everyone(frame).iterrows()
    ]
    blank_repeats(cells, 2)
    return Table(
        "cross_application",
        "Classifiers trained on one source of masks and applied to the other",
        "Difference = AUC on the other masks minus that of the same classifier on the masks it was "
        "trained on (95% confidence interval). An intercept below 0 says that the risks are too "
        "high, above 0 too low; a slope below 1 that they are too extreme. "
        f"“{wording.NOT_ESTIMATED}”: {wording.WHY_NOT_ESTIMATED}.",
        frame,
        [
            "Target",
            "Patients",
            "Trained on → applied to",
            "n (nothing measured)",
            "AUC",
            "Difference",
            "Intercept",
            "Slope",
        ],
        cells,
    )


def net_reclassification(results: Results) -> Table | None:
    """Who changes category of risk with the other masks."""
    frame = results.paired.get("net_reclassification")
    if frame is None or frame.empty:
        return None
    groups = {
        (target.name, group): name
        for target in results.targets
        for group, name in (("events", target.positive), ("non-events", target.negative))
    }
    cells = [
        [
            str(row["target"]),
            ALL_SETS[row["set"]],
            groups[row["target"], row["group"]],
            f"{row['n']:.0f}",
            f"{row['n_up']:.0f}",
            f"{row['n_down']:.0f}",
            _interval(row, "nri", 3),
        ]
        for _, row in everyone(frame).iterrows()
    ]
    return Table(
        "net_reclassification",
        "Patients who change category of risk",
        "From manual to automatic masks. Net = share that moved in the right direction less the "
        "share that moved in the wrong one (95% confidence interval). It says nothing about "
        "whether the risks are right, and miscalibrated risks can make it look better: the "
        "difference of decision curves weighs what it counts.",
        frame,
        ["Target", "Patients", "Truly", "n", "Up", "Down", "Net"],
        cells,
    )


def _interval(row: pd.Series, name: str, digits: int = 2) -> str:
    return wording.interval(row[name], row[f"{name}_lower"], row[f"{name}_upper"], digits)

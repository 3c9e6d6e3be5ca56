"""The figure about each patient: the risk from manual and from automatic masks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import wording
from .results import SETS, Target
from .style import COLOUR, GREY, INK, SET_NAME, Plot, legend_below, panels

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes


def paired_risks(target: Target) -> pd.DataFrame | None:
    """Every patient's risk from manual and from automatic masks (rows: patients with both)."""
    if not {"manual", "automatic"} <= target.results.keys():
        return None
    manual, automatic = (
        target.results[roi].predictions[["patient_id", "set", "label", "risk"]]
        for roi in ("manual", "automatic")
    )
    both = manual.merge(
        automatic[["patient_id", "set", "risk"]],
        on=["patient_id", "set"],
        suffixes=("_manual", "_automatic"),
    ).dropna(subset=["risk_manual", "risk_automatic"])
    for roi in ("manual", "automatic"):
        cut = target.results[roi].metrics["threshold"]
        both[f"above_threshold_{roi}"] = both[f"risk_{roi}"] >= cut
    return both


def draw_risks(target: Target) -> Plot | None:
    """Risk from automatic masks over risk from manual masks, one dot per patient."""
    table = paired_risks(target)
    if table is None:
        return None
    figure, (axes,) = panels(1, 2, 5.0)
    findings = []
    for ax, part in zip(axes, SETS, strict=True):
        rows = table[table["set"] == part]
        ax.plot([0, 1], [0, 1], color=GREY, lw=1, ls=(0, (1, 2)))
        scatter_patients(ax, rows, "risk_manual", "risk_automatic", target)
        ax.axvline(target.results["manual"].metrics["threshold"], color=COLOUR["manual"], lw=1)
        ax.axhline(
            target.results["automatic"].metrics["threshold"], color=COLOUR["automatic"], lw=1
        )
        ax.set_box_aspect(1)
        ax.set_xlim(-0.02, 1.02)
        ax.set_ylim(-0.02, 1.02)
        ax.set_title(SET_NAME[part])
        ax.set_xlabel("risk, manual masks", color=COLOUR["manual"])
        if len(rows):
            gap = float((rows["risk_automatic"] - rows["risk_manual"]).abs().mean())
            moved = int((rows["above_threshold_manual"] != rows["above_threshold_automatic"]).sum())
            findings.append(
                f"{SET_NAME[part].capitalize()}: risks differ by {wording.number(gap)} "
                f"on average; {wording.share(moved, len(rows), 'patients')} fall on the other "
                "side of the threshold."
            )
    axes[0].set_ylabel("risk, automatic masks", color=COLOUR["automatic"])
    legend_below(figure, axes[0])
    return Plot(
        f"risks_{target.name}",
        f"Risk of each patient, {target.heading}",
        "Each dot is one patient; on the dotted diagonal both masks give the same risk. The "
        "coloured lines are the thresholds for acting: in the upper left and lower right corner "
        "the two masks would lead to different decisions.",
        "\n".join(findings),
        figure,
        table,
    )


def scatter_patients(ax: Axes, rows: pd.DataFrame, x: str, y: str, target: Target) -> None:
    """Draw a circle for each patient: filled where the label is positive."""
    for label, fill, name in ((0, "white", target.negative), (1, INK, target.positive)):
        those = rows[rows["label"] == label]
        ax.plot(those[x], those[y], "o", ms=4.5, mfc=fill, mec=INK, mew=0.8, alpha=0.75, label=name)

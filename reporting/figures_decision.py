"""Decision curves of one target: net benefit beside simple rules and the clinical model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import wording
from .figures_classifiers import each, stacked, titled
from .predictors import AGAINST, PREDICTORS
from .results import Target
from .style import COLOUR, GREY, INK, LINE, NAME, Plot, legend_below, panels

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

CLINICAL = "#CC79A7"


def useful_ranges(rows: pd.DataFrame) -> list[tuple[float, float]]:
    """Runs of thresholds at which the net benefit is above treating all and treating none."""
    rows = rows.sort_values("threshold")
    above = rows["net_benefit"] > rows["treat_all"].clip(lower=0)
    runs = (above != above.shift()).cumsum()[above]
    return [
        (float(part["threshold"].iloc[0]), float(part["threshold"].iloc[-1]))
        for _, part in rows[above].groupby(runs)
    ]


def draw_decision(target: Target) -> Plot:
    """Net benefit over threshold probabilities, and what it is above treating all."""
    table = stacked(target, "decision")
    against_all = "over_all" in table
    figure, grid = panels(2 if against_all else 1, 2, 7.4 if against_all else 4.2, sharey="row")
    axes = grid[0]
    clinical, name = _clinical(target)
    for ax, part in titled(axes):
        for roi, rows in each(table, part):
            _band(ax, rows, "net_benefit", roi)
        everyone = table[table["set"] == part].drop_duplicates("threshold").sort_values("threshold")
        ax.plot(
            everyone["threshold"],
            everyone["treat_all"],
            color=GREY,
            lw=1.3,
            ls="-.",
            label="treat all",
        )
        ax.axhline(0, color=INK, lw=1.1, label="treat none")
        if clinical is not None:
            rows = clinical[clinical["set"] == part].sort_values("threshold")
            ax.plot(rows["threshold"], rows["second"], color=CLINICAL, lw=1.5, ls=":", label=name)
    top = float(table[["net_benefit", "treat_all"]].max().max()) if len(table) else 1.0
    axes[0].set_ylim(-0.25 * top, 1.15 * top)
    axes[0].set_ylabel("net benefit per patient")
    if against_all:
        _over_all(grid[1], table)
    for ax in grid[-1]:
        ax.set_xlabel("threshold probability")
    legend_below(figure, axes[0])
    findings = [
        f"Test patients, {NAME[roi]}: {wording.usefulness(useful_ranges(rows))}."
        for roi, rows in each(table, "test")
    ]
    return Plot(
        f"decision_{target.name}",
        "Decision curves",
        "The threshold is the risk from which one would act. A model is worth using where its "
        "curve lies above both simple rules, acting on everyone and acting on no one; shaded "
        "bands are 95% confidence intervals."
        + (
            " Below, the net benefit minus that of acting on everyone; against acting on no one "
            "it is the net benefit itself."
            if against_all
            else ""
        )
        + (
            f" Dotted: a model of the {name} variables, on the same patients."
            if clinical is not None
            else ""
        ),
        "\n".join(findings),
        figure,
        table,
    )


def _band(ax: Axes, rows: pd.DataFrame, name: str, roi: str) -> None:
    rows = rows.sort_values("threshold")
    if f"{name}_lower" in rows:
        ax.fill_between(
            rows["threshold"],
            rows[f"{name}_lower"],
            rows[f"{name}_upper"],
            color=COLOUR[roi],
            alpha=0.13,
            lw=0,
        )
    ax.plot(rows["threshold"], rows[name], color=COLOUR[roi], ls=LINE[roi], label=NAME[roi])


def _over_all(axes: list[Axes], table: pd.DataFrame) -> None:
    """Net benefit minus that of treating all; it grows without bound, so only its start is seen."""
    for ax, (_, part) in zip(axes, titled(axes), strict=True):
        for roi, rows in each(table, part):
            _band(ax, rows, "over_all", roi)
        ax.axhline(0, color=GREY, lw=1.3, ls="-.")
        ax.set_title("")
    seen = table.loc[table["threshold"] <= 0.5, ["over_all", "over_all_lower"]]
    reach = max(float(seen["over_all"].max()), 0.02)
    axes[0].set_ylim(min(-0.25 * reach, 1.1 * float(seen.min().min())), 1.15 * reach)
    axes[0].set_ylabel("net benefit above “treat all”")


def _clinical(target: Target) -> tuple[pd.DataFrame | None, str]:
    """The net benefit of the clinical variables alone, and which they are."""
    for result in target.results.values():
        table = result.predictors_decision
        for together in AGAINST:
            rows = table[table["predictor"] == together]
            if len(rows) and "second" in rows:
                return rows, PREDICTORS[together.removeprefix("radiomics+")]
    return None, ""

"""Figures about how well a classifier does: ROC, calibration and decision curves of one target."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import wording
from .results import SETS, Target
from .style import COLOUR, GREY, INK, LINE, MARKER, NAME, SET_NAME, Plot, legend_below, panels
from .wording import Estimate

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes


def metric(target: Target, roi: str, part: str, name: str) -> Estimate:
    """A metric with its interval from ``metrics.json``; ``part`` is ``train`` or ``test``."""
    values = target.results[roi].metrics[SETS[part]]
    return Estimate(*(_number(values.get(key)) for key in (name, f"{name}_lower", f"{name}_upper")))


def _number(value: Any) -> float:
    return float("nan") if value is None else float(value)


def _stacked(target: Target, name: str) -> pd.DataFrame:
    """One curve table of all sources of masks, with a leading column ``roi``."""
    import pandas as pd

    tables = []
    for roi, result in target.results.items():
        table: pd.DataFrame = getattr(result, name)
        table = table[table["set"].isin(SETS)]
        tables.append(table.assign(roi=roi)[["roi", *table.columns]])
    return pd.concat(tables, ignore_index=True)


def _each(table: pd.DataFrame, part: str) -> list[tuple[str, pd.DataFrame]]:
    rows = table[table["set"] == part]
    return [(str(roi), group) for roi, group in rows.groupby("roi", sort=False) if len(group)]


def _titled(axes: list[Axes]) -> list[tuple[Axes, str]]:
    for ax, part in zip(axes, SETS, strict=True):
        ax.set_title(SET_NAME[part])
    return list(zip(axes, SETS, strict=True))


def draw_roc(target: Target) -> Plot:
    """ROC curves, manual and automatic overlaid, out of fold and test."""
    table = _stacked(target, "roc")
    figure, (axes,) = panels(1, 2, 4.6)
    for ax, part in _titled(axes):
        ax.plot([0, 1], [0, 1], color=GREY, lw=1, ls=(0, (1, 2)))
        for roi, rows in _each(table, part):
            auc = metric(target, roi, part, "auc")
            ax.plot(
                rows["false_positive_rate"],
                rows["true_positive_rate"],
                color=COLOUR[roi],
                ls=LINE[roi],
                drawstyle="steps-post",
                label=f"{NAME[roi]}: AUC {auc}",
            )
        ax.set_box_aspect(1)
        ax.set_xlim(-0.01, 1.01)
        ax.set_ylim(-0.01, 1.01)
        ax.set_xlabel("1 − specificity")
        ax.legend(loc="lower right", fontsize=8.5, handlelength=1.8)
    axes[0].set_ylabel("sensitivity")
    findings = [
        f"Test patients, {NAME[roi]}: "
        + wording.discrimination(
            metric(target, roi, "test", "auc"), target.positive, target.negative
        )
        for roi in target.results
    ]
    return Plot(
        f"roc_{target.name}",
        "ROC curves",
        "A curve shows what sensitivity costs in false alarms; the closer to the upper left "
        "corner the better, the dotted diagonal is tossing a coin.",
        "\n".join(findings),
        figure,
        table,
    )


def draw_calibration(target: Target) -> Plot:
    """Observed share against predicted risk, with intervals."""
    table = _stacked(target, "calibration")
    figure, (axes,) = panels(1, 2, 4.6)
    for ax, part in _titled(axes):
        ax.plot([0, 1], [0, 1], color=GREY, lw=1, ls=(0, (1, 2)))
        for roi, rows in _each(table, part):
            if "observed_lower" in rows:
                ax.vlines(
                    rows["predicted"],
                    rows["observed_lower"],
                    rows["observed_upper"],
                    color=COLOUR[roi],
                    lw=1.2,
                    alpha=0.6,
                )
            ax.plot(
                rows["predicted"],
                rows["observed"],
                marker=MARKER[roi],
                ms=5.5,
                lw=1.3,
                color=COLOUR[roi],
                ls=LINE[roi],
                label=NAME[roi],
            )
        ax.set_box_aspect(1)
        ax.set_xlim(-0.02, 1.02)
        ax.set_ylim(-0.02, 1.02)
        ax.set_xlabel("predicted risk")
    axes[0].set_ylabel(f"observed share of “{target.positive}”")
    legend_below(figure, axes[0])
    findings = []
    for roi, result in target.results.items():
        values = result.metrics["test"]
        words = wording.calibration(
            values.get("calibration_slope"), values.get("calibration_intercept")
        )
        findings.append(f"Test patients, {NAME[roi]}: {words}")
    return Plot(
        f"calibration_{target.name}",
        "Calibration",
        "Patients are grouped by predicted risk; on the dotted diagonal, as many are positive as "
        "was predicted. Below it risks are too high, above it too low; vertical lines are 95% "
        "confidence intervals.",
        "\n".join(findings),
        figure,
        table,
    )


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
    """Net benefit over threshold probabilities, beside treating all and treating none."""
    table = _stacked(target, "decision")
    figure, (axes,) = panels(1, 2, 4.2, sharey=True)
    for ax, part in _titled(axes):
        for roi, rows in _each(table, part):
            rows = rows.sort_values("threshold")
            if "net_benefit_lower" in rows:
                ax.fill_between(
                    rows["threshold"],
                    rows["net_benefit_lower"],
                    rows["net_benefit_upper"],
                    color=COLOUR[roi],
                    alpha=0.13,
                    lw=0,
                )
            ax.plot(
                rows["threshold"],
                rows["net_benefit"],
                color=COLOUR[roi],
                ls=LINE[roi],
                label=NAME[roi],
            )
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
        ax.set_xlabel("threshold probability")
    top = float(table[["net_benefit", "treat_all"]].max().max()) if len(table) else 1.0
    axes[0].set_ylim(-0.25 * top, 1.15 * top)
    axes[0].set_ylabel("net benefit per patient")
    legend_below(figure, axes[0])
    findings = [
        f"Test patients, {NAME[roi]}: {wording.usefulness(useful_ranges(rows))}."
        for roi, rows in _each(table, "test")
    ]
    return Plot(
        f"decision_{target.name}",
        "Decision curves",
        "The threshold is the risk from which one would act. A model is worth using where its "
        "curve lies above both simple rules, acting on everyone and acting on no one; shaded "
        "bands are 95% confidence intervals.",
        "\n".join(findings),
        figure,
        table,
    )

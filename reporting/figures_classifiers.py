"""Figures about how well a classifier does: ROC and calibration curves of one target."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import wording
from .results import SETS, Target
from .style import COLOUR, GREY, LINE, MARKER, NAME, SET_NAME, Plot, legend_below, panels
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


def stacked(target: Target, name: str) -> pd.DataFrame:
    """One curve table of all sources of masks, with a leading column ``roi``."""
    import pandas as pd

    tables = []
    for roi, result in target.results.items():
        table: pd.DataFrame = getattr(result, name)
        table = table[table["set"].isin(SETS)]
        tables.append(table.assign(roi=roi)[["roi", *table.columns]])
    return pd.concat(tables, ignore_index=True)


def each(table: pd.DataFrame, part: str) -> list[tuple[str, pd.DataFrame]]:
    """The rows of one set of patients, by source of masks."""
    rows = table[table["set"] == part]
    return [(str(roi), group) for roi, group in rows.groupby("roi", sort=False) if len(group)]


def titled(axes: list[Axes]) -> list[tuple[Axes, str]]:
    """Give each panel the title of its set of patients."""
    for ax, part in zip(axes, SETS, strict=True):
        ax.set_title(SET_NAME[part])
    return list(zip(axes, SETS, strict=True))


def draw_roc(target: Target) -> Plot:
    """ROC curves, manual and automatic overlaid, out of fold and test."""
    table = stacked(target, "roc")
    figure, (axes,) = panels(1, 2, 4.6)
    for ax, part in titled(axes):
        ax.plot([0, 1], [0, 1], color=GREY, lw=1, ls=(0, (1, 2)))
        for roi, rows in each(table, part):
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


WRITTEN = {
    "calibration_intercept": ("intercept", 2),
    "calibration_slope": ("slope", 2),
    "ici": ("ICI", 3),
    "brier": ("Brier score", 3),
}


def draw_calibration(target: Target) -> Plot:
    """Observed share against predicted risk, with intervals and the figures of calibration."""
    table = stacked(target, "calibration")
    figure, (axes, below) = panels(
        2, 2, 5.0 + 0.62 * len(target.results), heights=[4.3, 0.62 * len(target.results)]
    )
    for (ax, part), text in zip(titled(axes), below, strict=True):
        ax.plot([0, 1], [0, 1], color=GREY, lw=1, ls=(0, (1, 2)))
        for roi, rows in each(table, part):
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
        _write(text, target, part)
    axes[0].set_ylabel(f"observed share of “{target.positive}”")
    legend_below(figure, axes[0])
    findings = []
    for roi in target.results:
        slope, intercept = (
            metric(target, roi, "test", f"calibration_{name}") for name in ("slope", "intercept")
        )
        words = wording.calibration(slope, intercept)
        findings.append(f"Test patients, {NAME[roi]}: {words}")
    return Plot(
        f"calibration_{target.name}",
        "Calibration",
        "Patients are grouped by predicted risk; on the dotted diagonal, as many are positive as "
        "was predicted. Below it risks are too high, above it too low; vertical lines and brackets "
        "are 95% confidence intervals. Intercept: 0 is right; slope: 1 is right; ICI (mean "
        "distance of the risks from the observed share) and Brier score: smaller is better.",
        "\n".join(findings),
        figure,
        table,
    )


def _write(ax: Axes, target: Target, part: str) -> None:
    """The figures of calibration as text, two a line, for each source of masks."""
    ax.axis("off")
    for at, roi in enumerate(target.results):
        for column, names in enumerate((list(WRITTEN)[:2], list(WRITTEN)[2:])):
            lines = [
                f"{label} {_told(value, name, digits)}"
                for name in names
                for label, digits in [WRITTEN[name]]
                for value in [metric(target, roi, part, name)]
            ]
            ax.text(
                -0.06 + 0.56 * column,
                1 - at / len(target.results),
                "\n".join(lines),
                color=COLOUR[roi],
                fontsize=8,
                va="top",
                transform=ax.transAxes,
            )


def _told(value: Estimate, name: str, digits: int) -> str:
    """A figure of calibration; slope and intercept are not always to be had."""
    if name.startswith("calibration_"):
        return wording.estimated(value.value, value.lower, value.upper)
    return wording.interval(value.value, value.lower, value.upper, digits)

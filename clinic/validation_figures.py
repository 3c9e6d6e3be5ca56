"""The figures of an external validation, in the report's style."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..modeling.recalibration import recalibrated
from ..reporting import wording
from ..reporting.figures_decision import useful_ranges
from ..reporting.style import COLOUR, GREY, INK, Plot, bare, legend_below, panels

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from .bundle import Classifier

HERE = COLOUR["automatic"]
MOST_ROWS = 40


def draw_target(one: Classifier, tables: Mapping[str, pd.DataFrame]) -> Plot | None:
    """ROC, calibration and decision curve of one target; None without both classes."""
    curves = {
        name: tables[key]
        for name in ("roc", "calibration", "decision")
        if (key := f"curves/{one.target}_{name}") in tables
    }
    if len(curves) < 3:
        return None
    measured = _row(tables["performance"], target=one.target, patients="with a risk")
    figure, ((left, middle, right),) = panels(1, 3, 3.9)
    for ax in (left, middle):
        ax.plot([0, 1], [0, 1], color=GREY, lw=1, ls=(0, (1, 2)))
        ax.set_box_aspect(1)
        ax.set_xlim(-0.02, 1.02)
        ax.set_ylim(-0.02, 1.02)
    left.plot(
        curves["roc"]["false_positive_rate"],
        curves["roc"]["true_positive_rate"],
        color=HERE,
        drawstyle="steps-post",
    )
    left.set_title("ROC")
    left.set_xlabel("1 − specificity")
    left.set_ylabel("sensitivity")
    _calibration(middle, one, curves["calibration"], tables["recalibration"])
    rows = curves["decision"]
    right.fill_between(
        rows["threshold"], rows["net_benefit_lower"], rows["net_benefit_upper"],
        color=HERE, alpha=0.13, lw=0,
    )  # fmt: skip
    right.plot(rows["threshold"], rows["net_benefit"], color=HERE, label="frozen model")
    right.plot(rows["threshold"], rows["treat_all"], color=GREY, ls="-.", lw=1.3, label="treat all")
    right.axhline(0, color=INK, lw=1.1, label="treat none")
    right.axvline(one.threshold, color=GREY, lw=1, ls=":")
    top = max(float(rows[["net_benefit", "treat_all"]].max().max()), 0.02)
    right.set_ylim(-0.25 * top, 1.15 * top)
    right.set_box_aspect(1)
    right.set_title("Decision curve")
    right.set_xlabel("threshold probability")
    right.set_ylabel("net benefit per patient")
    legend_below(figure, right)
    auc, slope, intercept = (
        wording.Estimate(*(measured[f"{name}{end}"] for end in ("", "_lower", "_upper")))
        for name in ("auc", "calibration_slope", "calibration_intercept")
    )
    negative = str(one.model.about["negative"])
    return Plot(
        f"validation_{one.target}",
        f"{one.title}: discrimination, calibration, usefulness",
        "Left: the closer to the upper left corner the better. Middle: patients are grouped by "
        "risk; on the dotted diagonal as many are positive as was predicted, below it risks are "
        "too high; vertical lines are 95% confidence intervals; the dashed line is the logistic "
        "recalibration. Right: worth using where the curve lies above both simple rules; the "
        "dotted line is the model's own threshold.",
        "\n".join(
            [
                wording.discrimination(auc, one.positive, negative),
                wording.calibration(slope, intercept),
                f"Decision curve: {wording.usefulness(useful_ranges(rows))}.",
            ]
        ),
        figure,
        rows,
    )


def _calibration(
    ax: Axes, one: Classifier, curve: pd.DataFrame, recalibration: pd.DataFrame
) -> None:
    import numpy as np

    ax.vlines(
        curve["predicted"], curve["observed_lower"], curve["observed_upper"],
        color=HERE, lw=1.2, alpha=0.6,
    )  # fmt: skip
    ax.plot(curve["predicted"], curve["observed"], "s-", color=HERE, ms=5, lw=1.3)
    rows = recalibration[recalibration["target"] == one.target]
    logistic = rows[rows["method"] == "logistic"]
    if len(logistic):
        x = np.linspace(0.01, 0.99, 99)
        y = recalibrated(x, float(logistic["intercept"].iloc[0]), float(logistic["slope"].iloc[0]))
        ax.plot(x, y, color=INK, lw=1.2, ls="--")
    ax.set_title("Calibration")
    ax.set_xlabel("predicted risk")
    ax.set_ylabel("observed share")


def draw_drift(table: pd.DataFrame) -> Plot | None:
    """Differences from the training images, the largest first."""
    rows = table[table["difference"].notna()]
    if rows.empty:
        return None
    order = rows["difference"].abs().sort_values(ascending=False, kind="stable").index
    shown = rows.loc[order[:MOST_ROWS]].iloc[::-1]
    figure, ((ax,),) = panels(1, 1, 1.4 + 0.26 * len(shown))
    ax.axvline(0, color=GREY, lw=1)
    for at, (_, row) in enumerate(shown.iterrows()):
        drifted = bool(row["drifted"])
        ax.plot(
            row["difference"], at, "D" if drifted else "o",
            color=HERE if drifted else GREY, ms=6, mfc=HERE if drifted else "white",
        )  # fmt: skip
    ax.set_yticks(range(len(shown)), [str(name) for name in shown["name"]], fontsize=8)
    reach = max(1.0, float(shown["difference"].abs().max()) * 1.08)
    ax.set_xlim(-reach, reach)
    ax.set_xlabel("difference of the means, in training standard deviations")
    bare(ax)
    n = int(table["drifted"].sum())
    names = ", ".join(table.loc[table["drifted"], "name"].astype(str).head(6))
    finding = (
        f"{n} of {len(table)} quantities are distributed otherwise than in training ({names}"
        f"{', ...' if n > 6 else ''})."
        if n
        else f"None of {len(table)} quantities is shown to be distributed otherwise than in "
        "training."
    )
    return Plot(
        "drift",
        "Are the images like those of the training?",
        "Each mark is a quantity of the images or a feature that a classifier takes. Filled "
        "diamonds: distributed otherwise than in training (Welch's and chi-squared test, false "
        "discovery rate 5%). Open circles: no difference shown.",
        finding,
        figure,
        table,
    )


def _row(table: pd.DataFrame, **where: Any) -> dict[str, Any]:
    for name, value in where.items():
        table = table[table[name] == value]
    return {str(key): value for key, value in table.iloc[0].items()}

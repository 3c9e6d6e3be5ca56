"""Figures about the same patients, or lesions, under manual and automatic masks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import wording
from .figures_risks import paired_risks, scatter_patients
from .results import SETS, Results, Target
from .style import COLOUR, GREY, INK, PALE, SET_NAME, Plot, legend_below, panels

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

RULE = "intention_to_diagnose"


def draw_icc_dice(results: Results) -> Plot | None:
    """Median ICC of the features by how far the two masks overlap."""
    import numpy as np

    table = results.paired.get("icc_dice_summary")
    if table is None or table.empty:
        return None
    strata = table[table["group"] == "all"]
    columns = [
        f"{row['stratum']}\n{wording.plural(int(row['n_images']), 'image')}"
        + ("\n(few)" if row["few"] else "")
        for _, row in strata.iterrows()
    ]
    groups = {kind: _groups(table, kind) for kind in ("family", "image_type")}
    tallest = max(map(len, groups.values()))
    figure, (axes,) = panels(1, 2, 1.5 + 0.29 * tallest)
    for ax, (kind, names) in zip(axes, groups.items(), strict=True):
        cells = np.full((len(names), len(strata)), np.nan)
        for at, (_, stratum) in enumerate(strata.iterrows()):
            rows = table[table["stratum"] == stratum["stratum"]].set_index("group")
            cells[:, at] = rows["median"].reindex([f"{kind}={name}" for name in names])
        cells[0] = strata["median"]
        ax.set_facecolor(PALE)
        ax.imshow(cells, cmap="Blues", vmin=0, vmax=1, aspect="auto")
        for (row, column), value in np.ndenumerate(cells):
            ax.text(
                column,
                row,
                wording.number(value),
                ha="center",
                va="center",
                fontsize=8.5,
                color="white" if value > 0.6 else INK,
            )
        ax.set_yticks(range(len(names)), names, fontsize=8.5)
        ax.set_xticks(range(len(columns)), columns, fontsize=8)
        ax.set_xlabel("Dice of automatic with manual mask")
        ax.set_title("by family" if kind == "family" else "by image type")
        ax.grid(visible=False)
        ax.tick_params(length=0)
        for spine in ax.spines.values():
            spine.set_visible(False)
    words = [_stratum_words(row, results.icc_threshold) for _, row in strata.iterrows()]
    return Plot(
        "icc_dice",
        "Do features keep their values where the masks overlap well?",
        "Each number is the median ICC(2,1) of the features of that row, automatic against manual "
        "masks, over the lesions of that column: 1 is the same value for every lesion. Lesions "
        "that are alike have lower ICCs for that reason alone.",
        "\n".join(words),
        figure,
        table,
    )


def _stratum_words(row: pd.Series, threshold: float) -> str:
    text = f"Dice {row['stratum']}, {wording.plural(int(row['n_images']), 'image')}"
    if row["median"] != row["median"]:
        return f"{text}: too few to tell an ICC."
    counts = int(row["n_stable"]), int(row["n_features"])
    stable = wording.stability(row["median"], *counts, threshold)
    return f"{text}{', too few to tell much' if row['few'] else ''}: {stable}."


def _groups(table: pd.DataFrame, kind: str) -> list[str]:
    names = table["group"][table["group"].str.startswith(f"{kind}=")].unique()
    return ["all features", *(str(name).removeprefix(f"{kind}=") for name in names)]


def draw_risk_agreement(results: Results, target: Target) -> Plot | None:
    """Bland and Altman's plot of the two risks of each patient."""
    found = results.paired.get("risk_agreement")
    pairs = paired_risks(target)
    if found is None or pairs is None:
        return None
    table = pairs[["patient_id", "set", "label"]].assign(
        mean=(pairs["risk_manual"] + pairs["risk_automatic"]) / 2,
        difference=pairs["risk_automatic"] - pairs["risk_manual"],
    )
    figure, (axes,) = panels(1, 2, 4.2, sharey=True)
    findings = []
    for ax, part in zip(axes, SETS, strict=True):
        rows = table[table["set"] == part]
        ax.axhline(0, color=GREY, lw=1, ls=(0, (1, 2)))
        scatter_patients(ax, rows, "mean", "difference", target)
        figures = _one(found, target, part)
        if figures is not None:
            _draw_limits(ax, figures)
            findings.append(
                f"{SET_NAME[part].capitalize()}: the risk with automatic masks minus that with "
                "manual masks is on average "
                f"{wording.interval(figures['bias'], figures['bias_lower'], figures['bias_upper'])}"
                f", and for 95% of patients expected from {wording.number(figures['limit_lower'])} "
                f"to {wording.number(figures['limit_upper'])}."
            )
        ax.set_title(SET_NAME[part])
        ax.set_xlim(-0.02, 1.02)
        ax.set_xlabel("mean of both risks")
    axes[0].set_ylabel("risk, automatic minus manual masks")
    legend_below(figure, axes[0])
    return Plot(
        f"risk_agreement_{target.name}",
        f"How far the two risks of a patient differ, {target.heading}",
        "Each dot is one patient. The solid line is the mean difference, the dashed lines are the "
        "limits between which 95% of differences are expected; bands are 95% confidence intervals.",
        "\n".join(findings),
        figure,
        table,
    )


def _draw_limits(ax: Axes, figures: pd.Series) -> None:
    for name, low, high, style in (
        ("bias", "bias_lower", "bias_upper", "-"),
        ("limit_lower", "limit_lower_from", "limit_lower_to", "--"),
        ("limit_upper", "limit_upper_from", "limit_upper_to", "--"),
    ):
        ax.axhspan(figures[low], figures[high], color=COLOUR["automatic"], alpha=0.13, lw=0)
        ax.axhline(figures[name], color=COLOUR["automatic"], lw=1.4, ls=style)


def draw_decision_difference(results: Results, target: Target) -> Plot | None:
    """Net benefit with automatic minus that with manual masks, over thresholds."""
    found = results.paired.get("decision_difference")
    if found is None or not (found["target"] == target.name).any():
        return None
    table = found[found["target"] == target.name]
    figure, (axes,) = panels(1, 2, 3.8, sharey=True)
    findings = []
    for ax, part in zip(axes, SETS, strict=True):
        rows = table[(table["set"] == part) & (table["rule"] == RULE)]
        ax.axhline(0, color=INK, lw=1.1)
        ax.fill_between(
            rows["threshold"],
            rows["lower"],
            rows["upper"],
            color=COLOUR["automatic"],
            alpha=0.15,
            lw=0,
        )
        ax.plot(rows["threshold"], rows["difference"], color=COLOUR["automatic"])
        ax.set_title(SET_NAME[part])
        ax.set_xlabel("threshold probability")
        ax.set_xlim(0, 1)
        if len(rows):
            findings.append(f"{SET_NAME[part].capitalize()}: {_apart(rows)}")
    seen = table[(table["threshold"] <= 0.8) & (table["rule"] == RULE)]
    reach = 1.1 * float(seen[["lower", "upper"]].abs().max().max()) if len(seen) else 0.1
    axes[0].set_ylim(-max(reach, 0.01), max(reach, 0.01))
    axes[0].set_ylabel("net benefit, automatic minus manual")
    return Plot(
        f"decision_difference_{target.name}",
        "Decision curves, automatic minus manual masks",
        "Above 0 decisions are better with automatic masks, below 0 with manual ones: 0.01 is one "
        "true positive more in 100 patients at no more false alarms. The band is the 95% "
        "confidence interval.",
        "\n".join(findings),
        figure,
        table,
    )


def _apart(rows: pd.DataFrame) -> str:
    """Where the interval of the difference leaves out 0."""
    worse, better = int((rows["upper"] < 0).sum()), int((rows["lower"] > 0).sum())
    if not worse and not better:
        return f"at none of {len(rows)} thresholds does the interval exclude 0."
    return (
        f"the interval lies below 0 (automatic worse) at {worse} and above 0 (automatic better) "
        f"at {better} of {len(rows)} thresholds."
    )


def _one(table: pd.DataFrame, target: Target, part: str) -> Any:
    """The row of a target and set, everyone counted; None where there is none."""
    rows = table[
        (table["target"] == target.name) & (table["set"] == part) & (table["rule"] == RULE)
    ]
    return None if rows.empty else rows.iloc[0]

"""What radiomics adds to decisions: decision curves against the clinical model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .results import SETS, Target
from .style import COLOUR, INK, LINE, NAME, SET_NAME, Plot, legend_below, panels

if TYPE_CHECKING:
    import pandas as pd

CHOSEN = ("radiomics+preoperative", "radiomics+clinical")
WORDS = {
    "radiomics+preoperative": "the preoperative clinical variables",
    "radiomics+clinical": "the clinical variables",
}


def draw_increment(target: Target) -> Plot | None:
    """Net benefit of both together minus that of the clinical variables, over thresholds."""
    import pandas as pd

    tables = [result.predictors_decision.assign(roi=roi) for roi, result in target.results.items()]
    table = pd.concat(tables, ignore_index=True)
    chosen = next((name for name in CHOSEN if (table["predictor"] == name).any()), None)
    if chosen is None:
        return None
    table = table[table["predictor"] == chosen]
    figure, (axes,) = panels(1, 2, 3.9, sharey=True)
    findings = []
    for ax, part in zip(axes, SETS, strict=True):
        ax.axhline(0, color=INK, lw=1.1)
        for roi in target.results:
            rows = table[(table["set"] == part) & (table["roi"] == roi)]
            if rows.empty:
                continue
            at = rows["threshold"]
            ax.fill_between(at, rows["lower"], rows["upper"], color=COLOUR[roi], alpha=0.13, lw=0)
            ax.plot(at, rows["difference"], color=COLOUR[roi], ls=LINE[roi], label=NAME[roi])
            findings.append(f"{SET_NAME[part].capitalize()}, {NAME[roi]}: {_apart(rows)}")
        ax.set_title(SET_NAME[part])
        ax.set_xlabel("threshold probability")
        ax.set_xlim(0, 1)
    seen = table.loc[table["threshold"] <= 0.8, ["lower", "upper"]].abs().max().max()
    reach = max(1.1 * float(seen), 0.01)
    axes[0].set_ylim(-reach, reach)
    axes[0].set_ylabel("net benefit gained by radiomics")
    legend_below(figure, axes[0])
    return Plot(
        f"increment_decision_{target.name}",
        f"Decisions with radiomics and {WORDS[chosen]}, against the latter alone",
        "Above 0 decisions are better with radiomics as well: 0.01 is one true positive more in "
        "100 patients at no more false alarms. Bands are 95% confidence intervals.",
        "\n".join(findings),
        figure,
        table,
    )


def _apart(rows: pd.DataFrame) -> str:
    """Where the interval of the difference leaves out 0."""
    better, worse = int((rows["lower"] > 0).sum()), int((rows["upper"] < 0).sum())
    if not worse and not better:
        return f"at none of {len(rows)} thresholds does the interval exclude 0."
    return (
        f"the interval lies above 0 (better with radiomics) at {better} and below 0 (worse) at "
        f"{worse} of {len(rows)} thresholds."
    )

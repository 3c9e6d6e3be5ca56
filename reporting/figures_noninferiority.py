"""The figure of non-inferiority: differences in AUC against the margin that was declared."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import wording
from .figures_compare import FILL, RULES
from .results import Results, Target, everyone
from .style import COLOUR, GREY, INK, Plot, bare, legend_below, panels

if TYPE_CHECKING:
    pass

SET_LABEL = {"test": "test", "train": "out of fold", "all": "all, out of fold"}
WORDS = {
    "non-inferior": "automatic masks are non-inferior",
    "not shown": "non-inferiority of automatic masks is not shown",
    "inferior": "automatic masks are inferior",
}


def draw_noninferiority(results: Results) -> Plot | None:
    """Differences in AUC with their one-sided bounds, against the margin."""
    table = results.paired.get("noninferiority")
    if table is None or table.empty:
        return None
    lines = [
        (target.name, part)
        for part in SET_LABEL
        for target in results.targets
        if ((table["target"] == target.name) & (table["set"] == part)).any()
    ]
    margin = float(table["margin"].iloc[0])
    figure, ((ax,),) = panels(1, 1, 1.5 + 0.5 * len(lines))
    known = table[["lower", "upper"]].to_numpy(float)
    reach = max(1.6 * margin, 1.08 * float(abs(known[known == known]).max(initial=0)))
    ax.axvspan(-margin, reach, color=COLOUR["reader2"], alpha=0.08, lw=0)
    ax.axvline(0, color=GREY, lw=1, ls=(0, (1, 2)))
    ax.axvline(-margin, color=INK, lw=1.4, ls="--", label=f"margin, −{margin:g}")
    for at, (name, part) in enumerate(lines):
        rows = table[(table["target"] == name) & (table["set"] == part)].set_index("rule")
        for shift, rule in ((-0.17, "complete_case"), (0.17, "intention_to_diagnose")):
            if rule not in rows.index:
                continue
            row = rows.loc[rule]
            ax.hlines(at + shift, row["lower"], row["upper"], color=INK, lw=1.6)
            ax.plot(
                row["difference"],
                at + shift,
                "D",
                color=INK,
                mfc=FILL[rule],
                ms=5.5,
                label=RULES[rule],
            )
            ax.annotate(
                str(row["verdict"]),
                (1.01, at + shift),
                xycoords=("axes fraction", "data"),
                va="center",
                fontsize=8.5,
            )
    ax.set_yticks(
        range(len(lines)), [f"{name}\n{SET_LABEL[part]}" for name, part in lines], fontsize=9
    )
    ax.set_ylim(len(lines) - 0.5, -0.5)
    ax.set_xlim(-reach, reach)
    ax.set_xlabel("AUC with automatic masks minus AUC with manual masks")
    bare(ax)
    legend_below(figure, ax)
    return Plot(
        "noninferiority",
        "Are automatic masks good enough?",
        "A line runs between the one-sided 97.5% bounds of the difference. Wholly in the shaded "
        f"part, the automatic masks are shown to lose less than the margin of {margin:g}, which "
        "the settings name: non-inferior; if it does not reach 0, a smaller loss is shown. "
        "Wholly left of the dashed line they are inferior; across it neither is shown.",
        "\n".join(line for one in results.targets for line in noninferiority_of(results, one)),
        figure,
        table,
    )


def noninferiority_of(results: Results, target: Target) -> list[str]:
    """The verdict on a target, everyone counted: on all patients out of fold, on the test patients.

    Without a comparison, or where a set was not compared, there is none.
    """
    table = results.paired.get("noninferiority")
    if table is None or table.empty:
        return []
    words = []
    for part, who in (("all", "all patients, out of fold"), ("test", "test patients")):
        rows = everyone(table)
        rows = rows[(rows["target"] == target.name) & (rows["set"] == part)]
        for _, row in rows.iterrows():
            bounds = wording.interval(row["difference"], row["lower"], row["upper"], 3)
            text = f"{target.heading}, {who}, everyone: {WORDS[row['verdict']]} ({bounds})"
            detectable = row["minimal_detectable_difference"]
            if detectable == detectable:
                text += (
                    f"; these {row['n']:.0f} patients can detect a difference of "
                    f"{wording.number(detectable, 3)}, and {row['patients_needed']:.0f} would be "
                    "needed to show non-inferiority of classifiers that are equal"
                )
            if not row["manual_above_chance"] and row["verdict"] != "inferior":
                text += (
                    "; with manual masks the classifier cannot be told from chance, so that not "
                    "to be inferior to it means little"
                )
            words.append(f"{text}.")
    return words

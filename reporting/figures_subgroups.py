"""Forest figures: AUC and Dice in groups of patients, beside those of everybody."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .figures_masks import mean_dice
from .results import METRIC_SETS, Results, Target
from .style import COLOUR, COMPARISON, GREY, MARKER, NAME, Plot, bare, legend_below, panels
from .subgroup_words import GROUPING, SETS, main_set, name_of, shown
from .subgroups import NOT_STATED, dice_findings, findings, stacked

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

INCHES = 0.27
READING = (
    "The dashed lines are everybody, in the colour of the masks. Groups overlap between groupings, "
    "and the smaller a group the longer its interval: one that lies apart is a reason to look"
)


def draw_subgroups(target: Target) -> Plot | None:
    """AUC by group, manual and automatic masks side by side; out of fold, and test patients."""
    import pandas as pd

    table = stacked(target)
    if table.empty:
        return None
    parts = (main_set(table), "test")
    lines = _lines(pd.concat([table[table["set"] == part] for part in parts]))
    low = table["auc_lower"].min()
    figure, (axes,) = panels(1, 2, 1.6 + INCHES * len(lines), sharey=True)
    for ax, part in zip(axes, parts, strict=True):
        chosen = table[table["set"] == part]
        overall = {
            roi: result.metrics.get(METRIC_SETS[part], {}).get("auc")
            for roi, result in target.results.items()
        }
        series = {roi: chosen[chosen["roi"] == roi] for roi in target.results}
        ax.axvline(0.5, color=GREY, lw=1, ls=(0, (1, 2)))
        _forest(ax, lines, series, overall, "auc")
        counts = {
            (row["grouping"], row["group"]): f"{row['n']:.0f} ({row['n_positive']:.0f})"
            for _, row in chosen[::-1].iterrows()
        }
        _beside(ax, lines, counts, "n (positive)")
        for at, line in enumerate(lines):
            rows = chosen[(chosen["grouping"] == line[0]) & (chosen["group"] == line[1])]
            if len(rows) and not rows["stated"].any():
                ax.annotate(
                    NOT_STATED,
                    (0.02, at),
                    xycoords=("axes fraction", "data"),
                    va="center",
                    fontsize=8,
                    color=GREY,
                    bbox={"fc": "white", "ec": "none", "pad": 1},
                )
        ax.set_xlim(min(0.4, low - 0.02 if low == low else 0.4), 1.02)
        ax.set_xlabel("AUC")
        ax.set_title(SETS[part])
        bare(ax)
    _name(axes[0], lines)
    legend_below(figure, axes[0])
    return Plot(
        f"subgroup_auc_{target.name}",
        "For whom the classifiers work",
        "AUC of the patients of each group, with 95% confidence interval; the dotted line is "
        f"tossing a coin. {READING}; whether the AUC differs at all within a grouping is what "
        "the test says (Cochran's Q, adjusted by Holm).",
        "\n".join(findings(target)),
        figure,
        table,
    )


def draw_subgroups_dice(results: Results) -> Plot | None:
    """Mean Dice by group, automatic masks and a second reader's side by side."""
    table = results.paired.get("subgroups_dice")
    if table is None or table.empty:
        return None
    lines = _lines(table)
    figure, ((ax,),) = panels(1, 1, 1.6 + INCHES * len(lines))
    series, overall = {}, {}
    for kind, (roi, _) in COMPARISON.items():
        rows = table[table["comparison"] == kind]
        if rows.empty:
            continue
        mean = mean_dice(results, kind)
        series[roi], overall[roi] = rows, None if mean is None else mean.value
    _forest(ax, lines, series, overall, "dice")
    words: dict[tuple[str, str], list[str]] = {}
    for rows in series.values():
        for _, row in rows.iterrows():
            words.setdefault((row["grouping"], row["group"]), []).append(f"{row['n_images']:.0f}")
    heading = "images" if len(series) == 1 else "images (reader 2)"
    counts = {
        key: numbers[0] + "".join(f" ({n})" for n in numbers[1:]) for key, numbers in words.items()
    }
    _beside(ax, lines, counts, heading)
    _name(ax, lines)
    ax.set_xlabel("mean Dice with the manual masks")
    bare(ax)
    legend_below(figure, ax)
    return Plot(
        "subgroup_dice",
        "For whom the masks fit",
        "Mean Dice of the images of each group, with 95% confidence interval over resampled "
        f"patients; a missed lesion counts as 0. {READING}. A dot is missing where there are fewer "
        "than 10 images; a second reader's dots rest on the images that were read twice.",
        "\n".join(dice_findings(results)),
        figure,
        table,
    )


def _lines(table: pd.DataFrame) -> list[tuple[str, str | None]]:
    """The lines of a forest from the top: a grouping's heading (no group), then its groups."""
    there = list(dict.fromkeys(table["grouping"]))
    order = [name for name in GROUPING if name in there]
    lines: list[tuple[str, str | None]] = []
    for grouping in [*order, *(name for name in there if name not in order)]:
        lines.append((grouping, None))
        groups = dict.fromkeys(table.loc[table["grouping"] == grouping, "group"])
        lines += [(grouping, group) for group in groups]
    return lines


def _forest(
    ax: Axes,
    lines: list[tuple[str, str | None]],
    series: dict[str, pd.DataFrame],
    overall: dict[str, float | None],
    name: str,
) -> None:
    """Draw dots with intervals, one series beside the other, and everybody as a line."""
    shifts = (-0.15, 0.15) if len(series) > 1 else (0.0,)
    for shift, (roi, rows) in zip(shifts, series.items(), strict=False):
        value = overall[roi]
        if value is not None and value == value:
            ax.axvline(value, color=COLOUR[roi], lw=1, ls="--", alpha=0.7)
        label: str | None = NAME[roi]
        found = {(row["grouping"], row["group"]): row for _, row in rows.iterrows()}
        for at, line in enumerate(lines):
            row = found.get((line[0], line[1] or ""))
            if row is None or row[name] != row[name]:
                continue
            ax.hlines(at + shift, row[f"{name}_lower"], row[f"{name}_upper"], COLOUR[roi], lw=1.6)
            ax.plot(row[name], at + shift, MARKER[roi], color=COLOUR[roi], ms=5, label=label)
            label = None
    ax.set_ylim(len(lines) - 0.5, -0.8)


def _name(ax: Axes, lines: list[tuple[str, str | None]]) -> None:
    """Write the groups on the left, below the name of their grouping."""
    ax.set_yticks(
        range(len(lines)),
        [shown(group) if group else name_of(grouping) for grouping, group in lines],
    )
    for label, (_, group) in zip(ax.get_yticklabels(), lines, strict=True):
        label.set_fontsize(9)
        label.set_fontweight("normal" if group else "bold")


def _beside(
    ax: Axes, lines: list[tuple[str, str | None]], counts: dict[tuple[str, str], str], heading: str
) -> None:
    """Write the counts on the right."""
    texts = [(0.0, heading)]
    texts += [
        (float(at), counts[grouping, group])
        for at, (grouping, group) in enumerate(lines)
        if group and (grouping, group) in counts
    ]
    for at, text in texts:
        ax.annotate(
            text,
            (1.01, at),
            xycoords=("axes fraction", "data"),
            va="center",
            fontsize=8,
            color=GREY,
        )

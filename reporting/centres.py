"""Each centre, predicted from the others: a forest plot and a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import wording
from .results import Target
from .style import COLOUR, GREY, INK, MARKER, NAME, Plot, bare, legend_below, panels
from .tables import Table

if TYPE_CHECKING:
    import pandas as pd

POOLED, ANOTHER = "mean of the centres", "expected in another centre"
MEASURES = {
    "auc": "AUC",
    "calibration_intercept": "Calibration intercept",
    "calibration_slope": "Calibration slope",
    "observed_expected": "Observed / expected",
}
NETWORK = (
    "The networks that drew the automatic masks were trained on patients of all centres: only the "
    "figures of manual masks are about a centre that is wholly new."
)


def draw_centres(target: Target) -> Plot | None:
    """AUC of each centre held out, their mean, and what to expect in another one."""
    import pandas as pd

    parts = [_forest_rows(target, roi) for roi in target.results]
    if all(part.empty for part in parts):
        return None
    table = pd.concat([part for part in parts if len(part)], ignore_index=True)
    lines = list(dict.fromkeys(table["line"]))
    lines = [name for name in lines if name not in (POOLED, ANOTHER)] + [POOLED, ANOTHER]
    figure, ((ax,),) = panels(1, 1, 1.5 + 0.42 * len(lines))
    rois = list(dict.fromkeys(table["roi"]))
    for at, roi in enumerate(rois):
        shift = 0.26 * (at - (len(rois) - 1) / 2)
        for row in table[table["roi"] == roi].to_dict("records"):
            height = lines.index(str(row["line"])) + shift
            wide = 3.2 if row["line"] == POOLED else 1.8
            dotted = (0, (2, 1.5)) if row["line"] == ANOTHER else "-"
            ax.hlines(height, row["lower"], row["upper"], color=COLOUR[roi], lw=wide, ls=dotted)
            marker = "D" if row["line"] == POOLED else MARKER[roi]
            if row["line"] != ANOTHER:
                ax.plot(row["auc"], height, marker, color=COLOUR[roi], ms=7)
        ax.plot([], [], MARKER[roi], color=COLOUR[roi], label=NAME[roi])
    ax.axvline(0.5, color=GREY, lw=1, ls=(0, (1, 2)))
    ax.axhline(len(lines) - 2.5, color=INK, lw=0.8)
    counts = table.groupby("line")["n"].max()
    labels = [
        f"{name} (n = {counts[name]:.0f})" if name not in (POOLED, ANOTHER) else name
        for name in lines
    ]
    ax.set_yticks(range(len(lines)), labels)
    ax.set_ylim(len(lines) - 0.5, -0.5)
    ax.set_xlabel("AUC of a centre that gave the model no patient; dotted line: chance")
    bare(ax)
    legend_below(figure, ax)
    return Plot(
        f"centres_auc_{target.name}",
        "A centre that the classifier has not seen",
        "Each centre was held out in turn, with everything fitted to the patients of the others. "
        "Lines are 95% confidence intervals; the lowest one is where the AUC of another centre is "
        f"expected to lie, wide where centres are few. {NETWORK}",
        "\n".join(_finding(target, roi) for roi in rois),
        figure,
        table,
    )


def centre_table(targets: list[Target]) -> Table | None:
    """Figures of every centre, and why some were not held out; None without centres."""
    import pandas as pd

    frames, cells = [], []
    for target in targets:
        for roi, result in target.results.items():
            if result.centres.empty:
                continue
            frames.append(result.centres.assign(target=target.name, roi=roi))
            for row in result.centres.to_dict("records"):
                first = [target.name, roi, str(row["centre"])]
                first.append(f"{row['n']} ({row['n_positive']})")
                figures = [_cell(row, name) for name in MEASURES]
                if not row["held_out"]:
                    figures[0] = str(row["reason"])
                cells.append(first + figures)
            for row in result.centres_summary.iloc[:1].to_dict("records"):
                named = result.centres_summary.set_index("quantity").T.to_dict()
                pooled = [
                    wording.interval(*(named[name][end] for end in ("estimate", "lower", "upper")))
                    for name in MEASURES
                ]
                cells.append([target.name, roi, POOLED, f"{row['k']:.0f} centres", *pooled])
    if not frames:
        return None
    return Table(
        f"centres_{targets[0].task}",
        "By centre, each predicted from the others",
        f"In brackets the 95% confidence interval; with n the positive patients. {NETWORK}",
        pd.concat(frames, ignore_index=True),
        ["Question", "Masks", "Centre", "n (positive)", *MEASURES.values()],
        cells,
    )


def _forest_rows(target: Target, roi: str) -> pd.DataFrame:
    import pandas as pd

    result = target.results[roi]
    columns = ["target", "roi", "line", "n", "auc", "lower", "upper"]
    rows: list[tuple[Any, ...]] = [
        (row["centre"], row["n"], row["auc"], row["auc_lower"], row["auc_upper"])
        for row in result.centres.to_dict("records")
        if row["held_out"]
    ]
    for row in result.centres_summary.query("quantity == 'auc'").to_dict("records"):
        rows.append((POOLED, None, row["estimate"], row["lower"], row["upper"]))
        rows.append((ANOTHER, None, None, row["prediction_lower"], row["prediction_upper"]))
    return pd.DataFrame([(target.name, roi, *row) for row in rows], columns=columns)


def _finding(target: Target, roi: str) -> str:
    """The mean, what to expect elsewhere, and whether the centres differ, in words."""
    summary = target.results[roi].centres_summary
    row: dict[Any, Any] = summary.query("quantity == 'auc'").iloc[0].to_dict()
    if not row["k"] >= 2:
        return f"{NAME[roi].capitalize()}: too few centres have an AUC with an interval to pool."
    mean = wording.interval(row["estimate"], row["lower"], row["upper"])
    text = f"{NAME[roi].capitalize()}: mean AUC of {row['k']:.0f} centres {mean}"
    if row["k"] > 2:
        low, high = (wording.number(row[f"prediction_{end}"]) for end in ("lower", "upper"))
        text += f"; another centre's is expected between {low} and {high}"
    else:
        text += "; two centres do not tell what to expect in a third"
    return f"{text}. Differences between centres: {wording.p_value(row['p_value'])}."


def _cell(row: dict[Any, Any], name: str) -> str:
    if not row["held_out"]:
        return ""
    return wording.interval(row[name], row[f"{name}_lower"], row[f"{name}_upper"])

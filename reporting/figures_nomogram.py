"""The nomogram: the model of clinical variables and radiomics as scales of points."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..cohort.schema import PATIENT_COLUMNS
from . import wording
from .baseline import title_of
from .results import Target
from .style import COLOUR, INK, NAME, Plot, panels

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

POINTS, TOTAL, RISK, RADIOMICS = "points", "total points", "risk", "radiomics risk"
TITLES = {
    POINTS: "Points",
    TOTAL: "Total points",
    RISK: "Risk",
    RADIOMICS: "Risk by radiomics alone",
}
WIDE = 1.35  # points that a letter takes
GAP = 0.8  # points between labels
SHORT = 25.0
FEW = 3
"""So many numbers are written one by one beside a line that is too short for labels."""


def draw_nomogram(target: Target, roi: str) -> Plot | None:
    """Scales of points of each variable, their total, and the risk."""
    result = target.results[roi]
    table = result.nomogram
    own = [str(name) for name in dict.fromkeys(table["variable"]) if name not in (TOTAL, RISK)]
    if not own:
        return None
    figure, ((ax,),) = panels(1, 1, 0.9 + 0.5 * (len(own) + 3))
    drawn = set(table["variable"])  # a model that gives everybody one risk has no line for it
    names = [POINTS, *own, *(name for name in (TOTAL, RISK) if name in drawn)]
    totals = table[table["variable"] == TOTAL]["points"].astype(float)
    stretch = 100 / max(float(totals.max()), 1e-9)
    _scale(ax, 0, [(at, f"{at}") for at in range(0, 101, 10)], COLOUR[roi])
    for height, name in enumerate(names[1:], start=1):
        rows = table[table["variable"] == name]
        factor = stretch if name in (TOTAL, RISK) else 1.0
        at = [
            (factor * float(point), _text(value, name))
            for point, value in zip(rows["points"], rows["value"], strict=True)
        ]
        _scale(ax, height, at, INK)
    ax.set_yticks(range(len(names)), [_title(name) for name in names])
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.set_xlim(-2, 102)
    ax.set_xticks([])
    ax.grid(visible=False)
    for x in range(0, 101, 10):
        ax.plot([x, x], [0, len(own) + 0.3], color="#ececec", lw=0.8, zorder=0)
    for spine in ax.spines.values():
        spine.set_visible(False)
    ax.tick_params(axis="y", length=0)
    return Plot(
        f"nomogram_{target.name}_{roi}",
        f"Nomogram, {NAME[roi]}",
        "For each line find the patient's value and read the points above it on the first line; "
        "add them up, find the sum on the line of total points, and read the risk below. It is "
        "the fitted model in another form, and no more certain than its figures on the test "
        "patients; it was not tested on patients from elsewhere.",
        _finding(table, own),
        figure,
        table,
    )


def _title(name: str) -> str:
    units = {column.name: column.unit for column in PATIENT_COLUMNS}
    unit = f", {units[name]}" if units.get(name) else ""
    return TITLES.get(name) or f"{title_of(name)}{unit}"


def _finding(table: pd.DataFrame, own: list[str]) -> str:
    reach = {
        name: float(table.loc[table["variable"] == name, "points"].astype(float).max())
        for name in own
    }
    ordered = sorted(reach, key=lambda name: -reach[name])
    parts = [
        f"{_title(name)} (up to {wording.plural(round(reach[name]), 'point')})"
        for name in ordered[:3]
    ]
    return f"Most weight: {', '.join(parts)}."


def _scale(ax: Axes, height: int, ticks: list[tuple[float, str]], colour: str) -> None:
    """A line with ticks, labelled above and below; beside it where it is too short for that.

    The ticks are in the order of the values, which need not be that of the points.
    """
    ordered = sorted(ticks)
    ax.hlines(height, ordered[0][0], ordered[-1][0], color=colour, lw=1.2)
    placed, reached = [], {-1: float("-inf"), 1: float("-inf")}
    for at, text in ordered:
        half = max(0.5 * WIDE * len(text), 0.8)
        side = next((side for side in reached if at - half >= reached[side] + GAP), 0)
        placed.append((at, text, side))
        if side:
            reached[side] = at + half
    style: dict[str, Any] = {"fontsize": 7.5, "color": colour}
    short = ordered[-1][0] - ordered[0][0] < SHORT and any(side == 0 for _, _, side in placed)
    for at, _, side in [placed[0], placed[-1]] if short else placed:
        ax.plot([at, at], [height, height + 0.1 * (side or -1)], color=colour, lw=1)
    if short:
        ax.annotate(_beside(ticks), (ordered[-1][0] + 1, height), ha="left", va="center", **style)
        return
    for at, text, side in placed:
        if side:  # no room for the others: their points stand in the CSV
            vertical = "bottom" if side < 0 else "top"
            ax.annotate(text, (at, height + 0.13 * side), ha="center", va=vertical, **style)


def _beside(ticks: list[tuple[float, str]]) -> str:
    """The values of a short line with their points; of many numbers, which rise or fall, the ends.

    Levels, and a value that is missing, can lie anywhere between or beyond the ends.
    """
    told = [f"{text}: {wording.number(at, 1)}" for at, text in ticks]
    numbers = [n for n, (_, text) in enumerate(ticks) if _number(text.removesuffix("%"))]
    if len(numbers) > FEW:
        (low, first), (high, last) = ticks[numbers[0]], ticks[numbers[-1]]
        ends = f"{first} to {last}: {wording.number(low, 1)} to {wording.number(high, 1)}"
        told = [ends, *(one for n, one in enumerate(told) if n not in numbers)]
    return f"{', '.join(told)} points"


def _number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _text(value: Any, name: str) -> str:
    try:
        number = float(value)
    except ValueError:
        return str(value).replace("_", " ")
    if name in (RISK, RADIOMICS):
        return f"{100 * number:.{2 if number < 0.1 else 3}g}%"
    return f"{number:g}"

"""How every figure looks: one colour, marker and line per source of masks, deterministic SVG.

The colours are Okabe and Ito's, which people with any common colour blindness tell apart
(https://jfly.uni-koeln.de/color/); markers and line styles say the same again.
"""

from __future__ import annotations

import re
from collections import Counter
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..files import atomic, write_csv

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOUR = {
    "manual": "#0072B2",
    "automatic": "#D55E00",
    "reader2": "#009E73",
    "perturbed": "#CC79A7",
}
MARKER = {"manual": "o", "automatic": "s", "reader2": "^", "perturbed": "D"}
LINE = {"manual": "-", "automatic": "--", "reader2": ":"}
NAME = {"manual": "manual masks", "automatic": "automatic masks", "reader2": "second reader"}
COMPARISON = {
    "automatic-manual": ("automatic", "automatic against manual"),
    "reader2-manual": ("reader2", "second reader against manual"),
    "perturbed-manual": ("perturbed", "perturbed against manual"),
}
SET_NAME = {"train": "training patients, out of fold", "test": "test patients"}
INK, GREY, PALE = "#222222", "#767676", "#d9d9d9"
_METADATA = re.compile(r"\s*<metadata>.*?</metadata>", re.DOTALL)
_PLACES = re.compile(r' d="[^"]*"|translate\([^)]*\)|<use [^>]*>')
_STYLE = re.compile(r'style="([^"]+)"')
_DECIMALS = re.compile(r"-?\d+\.\d{3,}(?!e)")
OFTEN = 20  # elements of one style, from which on it is written once
WIDTH = 9.0  # inches; 648 points, shown at about 860 pixels

_RC: dict[Any, Any] = {
    "svg.hashsalt": "mammoroi",
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.labelcolor": INK,
    "axes.edgecolor": GREY,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": "#ececec",
    "grid.linewidth": 0.8,
    "xtick.color": INK,
    "ytick.color": INK,
    "text.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 9.5,
    "lines.linewidth": 1.8,
    "figure.constrained_layout.use": True,
    "figure.facecolor": "white",
    "savefig.dpi": 200,
}


@dataclass(frozen=True)
class Plot:
    """A drawn figure, its numbers, and the words above it.

    ``reading`` says how to read such a figure, ``finding`` what this one shows.
    """

    name: str
    title: str
    reading: str
    finding: str
    figure: Figure
    table: pd.DataFrame


def drawing() -> AbstractContextManager[None]:
    """The house style of figures, for as long as the block lasts (drawing and saving)."""
    import matplotlib as mpl

    return mpl.rc_context(_RC)


def panels(
    rows: int,
    columns: int,
    height: float,
    *,
    sharey: bool | Literal["row"] = False,
    widths: list[float] | None = None,
    heights: list[float] | None = None,
) -> tuple[Figure, list[list[Axes]]]:
    """A figure of the common width with ``rows`` x ``columns`` axes; ``height`` in inches."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, height))
    FigureCanvasSVG(figure)
    axes = figure.subplots(
        rows, columns, squeeze=False, sharey=sharey, width_ratios=widths, height_ratios=heights
    )
    return figure, [list(row) for row in axes]


def save(plot: Plot, folder: Path) -> tuple[Path, Path]:
    """Write ``<name>.svg`` and ``<name>.csv`` into ``folder``; equal numbers give equal bytes."""
    svg, data = folder / f"{plot.name}.svg", folder / f"{plot.name}.csv"
    with atomic(svg) as temporary:
        plot.figure.savefig(temporary, format="svg", metadata={"Date": None, "Creator": None})
        temporary.write_text(smaller(temporary.read_text("utf-8")), "utf-8")
    return svg, write_csv(data, plot.table)


def smaller(svg: str) -> str:
    """A drawing without metadata, with coordinates of a hundredth of a point and shared styles."""

    def rounded(places: re.Match[str]) -> str:
        return _DECIMALS.sub(lambda one: f"{float(one[0]):.2f}".rstrip("0").rstrip("."), places[0])

    svg = _PLACES.sub(rounded, _METADATA.sub("", svg))
    found = Counter(_STYLE.findall(svg))
    often = [style for style, count in found.items() if count > OFTEN]
    for number, style in enumerate(often):
        svg = svg.replace(f'style="{style}"', f'class="s{number}"')
    rules = "".join(f".s{number}{{{style}}}" for number, style in enumerate(often))
    return svg.replace("</style>", f"{rules}</style>", 1)


def bare(axes: Axes, axis: str = "x") -> None:
    """Keep the grid of one axis only and drop the frame of the other (for category plots)."""
    axes.grid(visible=False, axis="y" if axis == "x" else "x")
    axes.spines["left" if axis == "x" else "bottom"].set_visible(False)
    axes.tick_params(axis="y" if axis == "x" else "x", length=0)


def labelled(*axes: Axes) -> tuple[list[Any], list[str]]:
    """What carries a label in any of the ``axes``, each label once: for a legend of them all."""
    found: dict[str, Any] = {}
    for one in axes:
        for handle, label in zip(*one.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    return list(found.values()), list(found)


def legend_below(figure: Figure, axes: Axes) -> None:
    """Put the legend of ``axes`` in one row under the figure."""
    handles, labels = labelled(axes)
    if handles:
        figure.legend(handles, labels, loc="outside lower center", ncols=min(len(handles), 4))

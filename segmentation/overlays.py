"""Pictures of a mammogram with its masks' contours: manual solid, automatic dashed.

``overlays/overlays.csv``: ``image_id, rank (worst|median|best), dice, file``; ``file`` is a PNG in
the same folder. An image may have several ranks where a study has few.
"""

from __future__ import annotations

from collections.abc import Mapping as Dictionary
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import Failure
from ..files import atomic, write_csv
from .cases import map_cases
from .mapping import Mapping
from .prepare import Source, load_mapping

if TYPE_CHECKING:
    import pandas as pd

# Sky blue and orange of Okabe and Ito, which colour-blind readers can tell apart.
MANUAL_COLOUR = "#56B4E9"
AUTOMATIC_COLOUR = "#E69F00"
SOLID: Literal["solid"] = "solid"
DASHED: Literal["dashed"] = "dashed"
MAXIMUM_SIDE = 1400
MAXIMUM_WIDTH = 28.0
"""Of a picture, in inches: that of a thin strip would fill the memory."""


class Compared(Protocol):
    """An image with its two masks."""

    @property
    def source(self) -> Source:
        """The image."""

    @property
    def manual(self) -> Path:
        """Its manual mask."""

    @property
    def other(self) -> Path:
        """Its automatic mask."""


def write_overlays(
    folder: Path,
    agreement: pd.DataFrame,
    compared: Dictionary[str, Compared],
    study: Path,
    count: int,
) -> list[Failure]:
    """Draw the cases with the smallest, the middle and the largest Dice; write ``overlays.csv``.

    Parameters
    ----------
    folder : Path
        Where the pictures go; earlier ones there are removed once these are drawn.
    agreement : DataFrame
        ``image_id, dice`` of the automatic masks.
    compared : dict of str to Compared
        The files of each image.
    study : Path
        The study folder, for the mappings.
    count : int
        Cases per rank.

    Returns
    -------
    list of Failure
        Images of which no picture could be drawn, each once.
    """
    import pandas as pd

    from ..imaging.mask import read_mask
    from ..imaging.read import read_display

    def draw_case(row: dict[str, Any]) -> dict[str, Any]:
        item = compared[row["image_id"]]
        mapping = load_mapping(study, row["image_id"])
        shape = (mapping.rows, mapping.columns)
        draw_overlay(
            folder / row["file"],
            read_display(item.source.image),
            mapping,
            title=f"{row['image_id']}, Dice {row['dice']:.2f}",
            manual=read_mask(item.manual, shape, item.source.mask_label),
            automatic=read_mask(item.other, shape),
        )
        return row

    cases = [(row["image_id"], (row,)) for row in rank_cases(agreement, count)]
    results = list(map_cases(draw_case, cases, "segmentation/overlays", "Drawing overlays"))
    rows = [result for result in results if not isinstance(result, Failure)]
    drawn = {row["file"] for row in rows}
    for path in folder.glob("[!.]*.png"):
        if path.name not in drawn:
            path.unlink()
    columns = ["image_id", "rank", "dice", "file"]
    write_csv(folder / "overlays.csv", pd.DataFrame(rows, columns=columns))
    return list({one.case: one for one in results if isinstance(one, Failure)}.values())


def rank_cases(agreement: pd.DataFrame, count: int) -> list[dict[str, Any]]:
    """Choose the cases to draw, rank by rank, within a rank from the smallest Dice up."""
    order = agreement.sort_values(["dice", "image_id"], ignore_index=True)
    total = len(order)
    count = min(count, total)
    middle = (total - count) // 2
    starts = {"worst": 0, "median": middle, "best": total - count}
    return [
        {
            "image_id": case.image_id,
            "rank": rank,
            "dice": case.dice,
            "file": f"{rank}-{number + 1}-{case.image_id}.png",
        }
        for rank, start in starts.items()
        for number, case in enumerate(order[start : start + count].itertuples())
    ]


def draw_overlay(
    path: Path,
    display: NDArray[np.uint8],
    mapping: Mapping,
    title: str,
    manual: NDArray[np.bool_] | None = None,
    automatic: NDArray[np.bool_] | None = None,
) -> Path:
    """Draw one mammogram, cropped to the breast, with contours of one or two masks.

    Parameters
    ----------
    path : Path
        The PNG to write.
    display : uint8 (rows, columns)
        The mammogram for showing.
    mapping : Mapping
        Gives the breast's box and the pixel spacing.
    title : str
        Text above the picture.
    manual, automatic : bool (rows, columns), optional
        The masks; an empty one has no contour, and the legend says so.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    step = -(-max(mapping.height, mapping.width) // MAXIMUM_SIDE)
    shown = display[mapping.box][::step, ::step]
    height_mm = mapping.height * mapping.row_mm
    width_mm = mapping.width * mapping.column_mm
    wide = min(7 * width_mm / height_mm, MAXIMUM_WIDTH)
    figure = Figure(figsize=(wide + 0.4, 7.9), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    extent = (0.0, width_mm, height_mm, 0.0)
    axes.imshow(shown, cmap="gray", vmin=0, vmax=255, extent=extent)
    legend = []
    for name, mask, colour, style in (
        ("manual", manual, MANUAL_COLOUR, SOLID),
        ("automatic", automatic, AUTOMATIC_COLOUR, DASHED),
    ):
        if mask is None:
            continue
        part = mask[mapping.box][::step, ::step]
        if part.any() and not part.all():
            # A frame of zeros closes contours that reach the edge of the box.
            framed = np.pad(part.astype(float), 1)
            rows, columns = part.shape
            y = (np.arange(-1, rows + 1) + 0.5) * height_mm / rows
            x = (np.arange(-1, columns + 1) + 0.5) * width_mm / columns
            axes.contour(x, y, framed, [0.5], colors=colour, linestyles=style, linewidths=1.4)
        label = name if mask.any() else f"{name}: no lesion"
        legend.append(Line2D([], [], color=colour, linestyle=style, label=label))
    axes.set_xlim(0, width_mm)
    axes.set_ylim(height_mm, 0)
    axes.set_axis_off()
    axes.set_title(title, fontsize=9, parse_math=False)  # a name may have a $
    figure.legend(handles=legend, loc="outside lower center", ncols=2, fontsize=8, frameon=False)
    with atomic(path) as temporary:
        figure.savefig(temporary, dpi=150)
    return path

"""The pictures of a mammogram with both outlines, as a page shows them.

The stage `agree` draws a grey mammogram with coloured outlines on white paper, with a title and a
legend that nobody can read once the picture is small. A page has words of its own beside it, so the
paper is cut off, and a small picture shows the part around the outlines.
"""

from __future__ import annotations

import base64
import io
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from . import wording
from .results import Results

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image

log = logging.getLogger(__name__)

SMALL_PICTURE = 360
"""Longer side of a small picture in pixels."""
PAPER = 250
"""From this grey value on a pixel may be paper."""
COLOURED = 40
"""A pixel whose channels differ by more is no pixel of the mammogram."""
DRAWN, THICK = 3.0, 3.0
"""Width of the outlines in pixels, as drawn, and wanted in the small picture."""
SMALLEST_PART = 0.25
"""A small picture shows at least this share of the longer side."""


@dataclass(frozen=True)
class Overlay:
    """A mammogram with both outlines, whole and the part around them; a remark to the Dice."""

    image_id: str
    rank: str
    dice: str
    remark: str
    image: str
    part: str


def overlays(results: Results, pixels: int) -> list[Overlay]:
    """Overlays as JPEG of at most ``pixels`` on the longer side; worst first."""
    from PIL import Image as images

    found = []
    empty = set(results.masks.loc[~results.masks["found"].astype(bool), "image_id"])
    order = {"worst": 0, "median": 1, "best": 2}
    rows = results.overlays.sort_values("rank", key=lambda rank: rank.map(order), kind="stable")
    for _, row in rows.iterrows():
        path = results.folder / "overlays" / Path(str(row["file"])).name
        if not path.exists():
            log.warning("%s is named in overlays.csv and missing", path)
            continue
        with images.open(path) as image:
            whole = without_paper(image.convert("RGB"))
        part = around_outlines(whole, SMALL_PICTURE)
        whole.thumbnail((pixels, pixels))
        name = str(row["image_id"])
        remark = ", nothing outlined automatically" if name in empty else ""
        dice = wording.number(row["dice"])
        found.append(Overlay(name, str(row["rank"]), dice, remark, _jpeg(whole), _jpeg(part)))
    return found


def _jpeg(picture: Image) -> str:
    """A picture as a data URI."""
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=88, subsampling=0, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(stream.getvalue()).decode()}"


def without_paper(picture: Image) -> Image:
    """Cut the white frame with title and legend off a picture; one without a frame stays whole."""
    inside = np.asarray(picture.convert("RGB")).min(axis=2) < PAPER
    rows = np.flatnonzero(inside.mean(axis=1) > 0.5)
    if not len(rows):
        return picture
    columns = np.flatnonzero(inside[rows[0] : rows[-1] + 1].mean(axis=0) > 0.5)
    if not len(columns):
        return picture
    return picture.crop((int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1))


def around_outlines(picture: Image, pixels: int) -> Image:
    """Give the square around all outlines, with as much again beside them, at ``pixels`` a side.

    Without outlines, and where the square leaves the picture, it is as large as the picture allows.
    """
    box = _box(_coloured(picture))
    if box is None:
        box = (0, 0, picture.width, picture.height)
    left, upper, right, lower = box
    side = max(2 * (right - left), 2 * (lower - upper), round(SMALLEST_PART * max(picture.size)))
    left, right = _span(left, right, side, picture.width)
    upper, lower = _span(upper, lower, side, picture.height)
    part = picture.crop((left, upper, right, lower))
    scale = pixels / max(part.size)
    part = _bolder(part, round((THICK / scale - DRAWN) / 2))
    return part.resize((max(1, round(part.width * scale)), max(1, round(part.height * scale))))


def _bolder(picture: Image, by: int) -> Image:
    """Widen the outlines on both sides by so many pixels."""
    from PIL import Image as images
    from PIL import ImageFilter

    if by < 1:
        return picture
    outlines = images.fromarray((_coloured(picture) * 255).astype(np.uint8))
    colours = images.composite(picture, images.new("RGB", picture.size), outlines)
    wider = ImageFilter.MaxFilter(2 * by + 1)
    return images.composite(colours.filter(wider), picture, outlines.filter(wider))


def _coloured(picture: Image) -> NDArray[np.bool_]:
    spread = np.ptp(np.asarray(picture.convert("RGB")).astype(int), axis=2)
    return np.asarray(spread > COLOURED)


def _box(marked: NDArray[np.bool_]) -> tuple[int, int, int, int] | None:
    rows, columns = np.flatnonzero(marked.any(axis=1)), np.flatnonzero(marked.any(axis=0))
    if not len(rows):
        return None
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _span(low: int, high: int, side: int, whole: int) -> tuple[int, int]:
    """The ends of ``side`` pixels around the middle of two, inside ``whole``."""
    if side >= whole:
        return 0, whole
    start = min(max((low + high - side) // 2, 0), whole - side)
    return start, start + side

"""The outline of a mask on its mammogram, as a small PNG that says what it is."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from textwrap import wrap

import numpy as np
from numpy.typing import NDArray

from ..files import atomic
from .results import ImageResult

MAXIMUM_SIDE = 1400
MINIMUM_SIDE = 900
"""A longer side below this is enlarged to it: the words would be wider than the picture."""
COLOUR = (230, 159, 0)
"""Orange of Okabe and Ito, which colour-blind readers can tell from grey."""
_DASH, _GAP = 9.0, 5.0
_FONT = 17
_LINE = 24
_MARGIN = 12
_NARROWEST = 300


def draw_outline(
    path: Path, image: ImageResult, display: NDArray[np.uint8], notices: Iterable[str] = ()
) -> Path:
    """Draw a mammogram with the dashed outline of its mask, its name above and notices below.

    Parameters
    ----------
    path : Path
        The PNG to write; the mammogram's longer side is 900 to 1400 pixels in it.
    image : ImageResult
        The mask, the name and the flags.
    display : uint8 (rows, columns)
        The mammogram for showing.
    notices : iterable of str
        What every user of the model must know.
    """
    import PIL.Image
    import PIL.ImageDraw
    import PIL.ImageFont

    rows, columns = display.shape
    height_mm, width_mm = rows * image.spacing_mm[0], columns * image.spacing_mm[1]
    size = _size((rows, columns), (height_mm, width_mm))
    picture = PIL.Image.fromarray(display).resize(size, PIL.Image.Resampling.BOX, reducing_gap=2.0)
    # Across a narrow picture few letters fit.
    width = max(size[0], _NARROWEST)
    letters = int((width - 2 * _MARGIN) / (0.56 * _FONT))
    heading = [*wrap(image.image_id, letters), *wrap(_mask_words(image), letters)]
    below = [line for notice in notices for line in wrap(notice, letters)]
    top, bottom = (2 * _MARGIN + _LINE * len(lines) for lines in (heading, below))
    canvas = PIL.Image.new("RGB", (width, size[1] + top + bottom), "white")
    canvas.paste(picture.convert("RGB"), (0, top))
    pen, font = PIL.ImageDraw.Draw(canvas), PIL.ImageFont.load_default(_FONT)
    for outline in _outlines(image.mask, size):
        for dash in _dashes(outline + np.array([0.0, top])):
            pen.line([tuple(point) for point in dash.tolist()], fill=COLOUR, width=3)
    pen.text((_MARGIN, _MARGIN), "\n".join(heading), "black", font, spacing=_LINE - _FONT - 2)
    pen.text(
        (_MARGIN, top + size[1] + _MARGIN), "\n".join(below), "black", font,
        spacing=_LINE - _FONT - 2,
    )  # fmt: skip
    with atomic(path) as temporary:
        canvas.save(temporary, format="PNG", compress_level=3)
    return path


def _size(shape: tuple[int, int], shape_mm: tuple[float, float]) -> tuple[int, int]:
    """Width and height of the picture: large mammograms made smaller, small ones larger."""
    height_mm, width_mm = shape_mm
    own = min(shape[0] / height_mm, shape[1] / width_mm)
    longest = min(MAXIMUM_SIDE, max(MINIMUM_SIDE, own * max(shape_mm)))
    scale = longest / max(shape_mm)
    return max(1, round(width_mm * scale)), max(1, round(height_mm * scale))


def _mask_words(image: ImageResult) -> str:
    if not image.found:
        return "no lesion found"
    codes = ", ".join(flag.code for flag in image.flags)
    found = f"automatic mask, {image.area_mm2:.0f} square mm"
    return f"{found}; flags: {codes}" if codes else found


def _outlines(mask: NDArray[np.bool_], size: tuple[int, int]) -> list[NDArray[np.float64]]:
    """Outlines of a mask as points (x, y) of a picture of a size (width, height)."""
    import PIL.Image
    from skimage.measure import find_contours

    if not mask.any():
        return []
    small = PIL.Image.fromarray(mask.astype(np.uint8) * np.uint8(255))
    shares = np.asarray(small.resize(size, PIL.Image.Resampling.BOX), dtype=float) / 255
    if shares.max() < 0.5:  # a lesion smaller than a pixel of the picture
        shares = shares / shares.max()
    # A frame of zeros closes outlines that reach the edge.
    return [line[:, ::-1] - 0.5 for line in find_contours(np.pad(shares, 1), 0.5)]


def _dashes(line: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """Cut a line into dashes."""
    steps = np.hypot(*np.diff(line, axis=0).T)
    along = np.concatenate([[0.0], np.cumsum(steps)])
    pieces = []
    for start in np.arange(0.0, along[-1], _DASH + _GAP):
        at = np.linspace(start, min(start + _DASH, along[-1]), 6)
        pieces.append(np.column_stack([np.interp(at, along, line[:, axis]) for axis in (0, 1)]))
    return pieces

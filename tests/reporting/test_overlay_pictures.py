"""The small pictures of the report: no paper, and outlines that can be seen."""

from __future__ import annotations

import numpy as np
from PIL import Image

from mammoroi.reporting.overlay_pictures import around_outlines, without_paper
from mammoroi.segmentation.mapping import Mapping
from mammoroi.segmentation.overlays import draw_overlay

BLUE, ORANGE = (86, 180, 233), (230, 159, 0)


def page(*boxes: tuple[int, int, int, int]) -> Image.Image:
    """A grey picture of 200 x 600 pixels on white paper, with outlines one pixel wide."""
    picture = np.full((660, 240, 3), 255, np.uint8)
    picture[40:640, 20:220] = 90
    for (left, upper, right, lower), colour in zip(boxes, (BLUE, ORANGE), strict=False):
        picture[upper, left:right] = picture[lower, left:right] = colour
        picture[upper:lower, left] = picture[upper:lower, right] = colour
    return Image.fromarray(picture)


def coloured(picture: Image.Image) -> float:
    """Share of the pixels that belong to an outline."""
    return float((np.ptp(np.asarray(picture).astype(int), axis=2) > 40).mean())


def test_paper_is_cut_off() -> None:
    picture = without_paper(page())
    assert picture.size == (200, 600)
    assert np.asarray(picture).max() == 90
    assert without_paper(picture).size == (200, 600)
    white = Image.new("RGB", (10, 20), "white")
    assert without_paper(white).size == (10, 20)


def test_the_part_around_a_lesion_is_enlarged() -> None:
    picture = without_paper(page((100, 300, 160, 350), (105, 305, 165, 355)))
    part = around_outlines(picture, 360)
    assert part.size == (360, 360)
    pixels = np.asarray(part).astype(int)
    rows = np.flatnonzero((np.ptp(pixels, axis=2) > 40).any(axis=1))
    assert 0.25 < (rows[-1] - rows[0]) / 360 < 0.6
    assert coloured(part) > 3 * coloured(picture)


def test_outlines_far_apart_are_drawn_bolder() -> None:
    picture = without_paper(page((60, 60, 90, 90), (60, 590, 90, 620)))
    part = around_outlines(picture, 200)
    assert part.size == (67, 200)
    plain = picture.resize(part.size)
    assert coloured(part) > 2 * coloured(plain)


def test_without_outlines_the_middle_stays() -> None:
    assert around_outlines(without_paper(page()), 300).size == (100, 300)


def test_the_pictures_of_the_stage_are_such(tmp_path) -> None:
    """Grey pixels, coloured outlines, white paper: what the stage `agree` really draws."""
    shape = (300, 200)
    mask = np.zeros(shape, bool)
    mask[140:170, 60:90] = True
    display = np.full(shape, 120, np.uint8)
    mapping = Mapping(*shape, 1.0, 1.0, "measured", 0, 0, *shape, False, *shape)
    path = draw_overlay(tmp_path / "a.png", display, mapping, "a title", mask, mask)
    with Image.open(path) as image:
        whole = without_paper(image.convert("RGB"))
    assert abs(whole.height / whole.width - 1.5) < 0.02
    grey = np.asarray(whole)
    assert (grey == 255).mean() < 0.01
    assert around_outlines(whole, 360).size == (360, 360)

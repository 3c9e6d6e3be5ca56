"""Perturbed masks against the geometry of discs."""

from __future__ import annotations

import numpy as np
import pytest

from mammoroi.errors import MammoroiError
from mammoroi.imaging.mammogram import Spacing
from mammoroi.radiomics.perturb import grow, perturbed, roughen, translate
from mammoroi.radiomics.perturbation_config import StabilityConfig

ALL = StabilityConfig((0.5,), (0.5,), (0.5,), 2, 5.0, (0.5,))


def disc(radius_mm, row_mm=0.1, column_mm=0.1, centre=(0.0, 0.0)):
    """A disc in the middle of an image that is 4 mm larger on every side."""
    spacing = Spacing(row_mm, column_mm, "test")
    half = [int((radius_mm + 4) / step) for step in (row_mm, column_mm)]
    rows, columns = np.indices((2 * half[0] + 1, 2 * half[1] + 1)).astype(float)
    rows = (rows - half[0]) * row_mm - centre[0]
    columns = (columns - half[1]) * column_mm - centre[1]
    return rows**2 + columns**2 <= radius_mm**2, spacing


def radius_of(mask, spacing):
    """Of the disc of the same area, in mm."""
    return np.sqrt(mask.sum() * spacing.row_mm * spacing.column_mm / np.pi)


@pytest.mark.parametrize("steps", [(0.05, 0.05), (0.1, 0.1), (0.3, 0.3), (0.1, 0.25), (0.4, 0.2)])
@pytest.mark.parametrize("mm", [-1.0, -0.5, -0.1, 0.1, 0.5, 1.0])
def test_a_grown_disc_is_the_larger_disc(steps, mm):
    """Its radius is right to a sixth of a pixel on average over places, to a fourth at each."""
    places = [(0.3, 0.7), (0.8, 0.1), (0.15, 0.45), (0.65, 0.9)]
    errors = []
    for row, column in places:
        mask, spacing = disc(4, *steps, (row * steps[0], column * steps[1]))
        errors.append(radius_of(grow(mask, spacing, mm), spacing) - (4 + mm))
    assert abs(np.mean(errors)) < max(steps) / 6
    assert np.max(np.abs(errors)) < max(steps) / 4


def test_growth_below_a_pixel_moves_an_oblique_edge():
    """0.1 mm of pixels of 0.3 mm: whole pixels could not tell."""
    mask, spacing = disc(10, 0.3, 0.3, (0.1, 0.04))
    grown = radius_of(grow(mask, spacing, 0.1), spacing) - radius_of(mask, spacing)
    assert grown == pytest.approx(0.1, abs=0.05)


@pytest.mark.parametrize("steps", [(0.1, 0.1), (0.1, 0.25)])
def test_nothing_asked_is_nothing_changed(steps):
    rng = np.random.default_rng(0)
    mask, spacing = disc(3, *steps)
    mask |= rng.random(mask.shape) > 0.97  # single pixels, some of them at the image's edge
    for same in (
        grow(mask, spacing, 0),
        translate(mask, spacing, 0, 0),
        roughen(mask, spacing, 0, 5, rng),
    ):
        assert np.array_equal(same, mask)


@pytest.mark.parametrize(("rows", "columns"), [(1, 0), (0, -1), (-3, 2)])
def test_translation_by_whole_pixels_is_the_shifted_mask(rows, columns):
    mask, spacing = disc(3, 0.1, 0.25)
    mask[30:34, 20:22] ^= True
    moved = translate(mask, spacing, rows * 0.1, columns * 0.25)
    assert np.array_equal(moved, np.roll(mask, (rows, columns), axis=(0, 1)))


@pytest.mark.parametrize("share", [0.25, 0.5, 0.8])
def test_translation_by_part_of_a_pixel_moves_the_centre_and_keeps_the_area(share):
    mask, spacing = disc(6, 0.3, 0.3, (0.04, 0.1))
    moved = translate(mask, spacing, share * 0.3, 0)
    down, right = (np.argwhere(moved).mean(axis=0) - np.argwhere(mask).mean(axis=0)) * 0.3
    assert down == pytest.approx(share * 0.3, abs=0.06)
    assert right == pytest.approx(0, abs=0.01)
    assert moved.sum() == pytest.approx(mask.sum(), rel=0.02)


def test_a_square_that_moves_by_half_a_pixel_keeps_its_area():
    mask = np.zeros((40, 40), dtype=bool)
    mask[10:30, 10:30] = True
    moved = translate(mask, Spacing(0.2, 0.2, "test"), 0.5, 0)
    assert abs(int(moved.sum()) - 400) <= 12  # a row has 20; corners are rounded


def radii(mask, spacing, n_angles=180):
    """Radius of a disc's outline at equal angles, in mm."""
    centre = (np.array(mask.shape) - 1) / 2
    along = np.arange(0, 16, spacing.row_mm / 10)
    angles = np.linspace(0, 2 * np.pi, n_angles, endpoint=False)
    rows = np.rint(centre[0] + np.outer(np.sin(angles), along) / spacing.row_mm).astype(int)
    columns = np.rint(centre[1] + np.outer(np.cos(angles), along) / spacing.column_mm).astype(int)
    inside = mask[rows.clip(0, mask.shape[0] - 1), columns.clip(0, mask.shape[1] - 1)]
    return along[np.argmin(inside, axis=1)]


@pytest.mark.parametrize("sd", [0.3, 0.6])
def test_noise_has_the_standard_deviation_and_the_length_that_were_asked(sd):
    mask, spacing = disc(12, 0.2, 0.2)
    rng = np.random.default_rng(1)
    found = np.array([radii(roughen(mask, spacing, sd, 4, rng), spacing) for _ in range(40)]) - 12
    assert found.std() == pytest.approx(sd, rel=0.1)
    assert found.mean() == pytest.approx(0, abs=0.15 * sd)
    assert ((found - found.mean()) ** 4).mean() / found.var() ** 2 == pytest.approx(3, abs=0.4)
    step = round(np.rad2deg(4 / 12) / 2)  # 4 mm along the outline; an angle is 2 degrees
    correlation = (found * np.roll(found, step, axis=1)).mean() / found.var()
    assert correlation == pytest.approx(np.exp(-1), abs=0.12)


def test_noise_does_not_depend_on_the_grid():
    """The same lesion at half the pixel size gets the same outline."""
    fine, spacing = disc(8, 0.1, 0.1)
    coarse, wide = disc(8, 0.2, 0.2)
    seed = 5
    shapes = [
        radii(roughen(mask, steps, 0.5, 5, np.random.default_rng(seed)), steps)
        for mask, steps in ((fine, spacing), (coarse, wide))
    ]
    assert np.corrcoef(*shapes)[0, 1] > 0.9


def test_seeded_by_image_not_by_order():
    mask, spacing = disc(5)
    noise = [one for one in ALL.perturbations() if one.kind == "noise"]
    made = {
        (image, one.name): perturbed(mask, spacing, one, image, 15)
        for image in ("a", "b")
        for one in noise
    }
    for (image, name), first in reversed(made.items()):
        one = next(one for one in noise if one.name == name)
        assert np.array_equal(perturbed(mask, spacing, one, image, 15), first)
    assert len({mask.tobytes() for mask in made.values()}) == 4
    other = perturbed(mask, spacing, noise[0], "a", 16)
    assert not np.array_equal(other, made["a", noise[0].name])


def test_each_perturbation_is_what_its_name_says():
    mask, spacing = disc(6, 0.1, 0.25)
    found = {one.name: perturbed(mask, spacing, one, "a", 15) for one in ALL.perturbations()}
    for name, down, right in (("up", -5, 0), ("down", 5, 0), ("left", 0, -2), ("right", 0, 2)):
        moved = np.roll(mask, (down, right), axis=(0, 1))
        assert np.array_equal(found[f"translate-0.5mm-{name}"], moved)
    for name, mm in (("grow", 0.5), ("shrink", -0.5)):
        assert np.array_equal(found[f"{name}-0.5mm"], grow(mask, spacing, mm))
    ratios = [found[f"{name}-0.5mm"].sum() / mask.sum() for name in ("shrink", "grow")]
    assert ratios == pytest.approx([(5.5 / 6) ** 2, (6.5 / 6) ** 2], rel=0.01)


def test_half_a_millimetre_leaves_a_lesion_of_a_centimetre_recognisable():
    """A disc of radius 5 mm that grows by 0.5 mm keeps a Dice of 2 / (1 + 1.1²) = 0.905."""
    mask, spacing = disc(5)
    for one in ALL.perturbations():
        changed = perturbed(mask, spacing, one, "a", 15)
        dice = 2 * (mask & changed).sum() / (mask.sum() + changed.sum())
        assert 0.85 < dice < 0.99, one.name
        if one.kind == "grow":
            assert dice == pytest.approx(2 / (1 + 1.1**2), abs=0.005)


def test_the_image_s_edge_is_no_outline():
    """A lesion that the image cuts off at its left edge shrinks elsewhere only."""
    mask = np.zeros((60, 60), dtype=bool)
    mask[20:40, :20] = True
    shrunk = grow(mask, Spacing(0.1, 0.1, "test"), -0.3)
    assert shrunk[23:37, :17].all()
    assert shrunk.sum() == 14 * 17
    whole = np.ones((20, 20), dtype=bool)
    assert grow(whole, Spacing(0.1, 0.1, "test"), -0.3).all()


def test_what_cannot_be_perturbed():
    spacing = Spacing(0.1, 0.1, "test")
    with pytest.raises(MammoroiError, match="empty"):
        grow(np.zeros((9, 9), dtype=bool), spacing, 1)
    assert not grow(disc(0.5)[0], spacing, -0.6).any()
    for wrong in ({"growth_mm": (0.0,)}, {"noise_mm": (float("nan"),)}, {"noise_repeats": 0}):
        with pytest.raises(MammoroiError, match=r"stability\."):
            StabilityConfig(**wrong)

"""Preparation against physical truth, pyradiomics' own steps and the reference engine."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from numpy.typing import NDArray
from radiomics import imageoperations
from scipy.spatial.distance import cdist

from mammoroi.errors import MammoroiError
from mammoroi.imaging.mammogram import Mammogram, Spacing
from mammoroi.imaging.mask import read_mask
from mammoroi.imaging.read import read_mammogram
from mammoroi.imaging.simpleitk import to_sitk
from mammoroi.radiomics.engine import Features, features_of
from mammoroi.radiomics.phantom import textured_phantom
from mammoroi.radiomics.preparation import (
    breast_tissue,
    normalised,
    prepare,
    shells_around,
)
from mammoroi.radiomics.preparation_config import Normalisation, Preparation
from mammoroi.radiomics.presets import Preset, load_preset
from mammoroi.radiomics.reference import reference_features
from mammoroi.radiomics.resampling import resampled, resampled_mask

SPACINGS = [(0.05, 0.05), (0.07, 0.07), (0.094, 0.094), (0.2, 0.2), (0.08, 0.12)]
Z_SCORE = Normalisation("z-score", "image", 100.0)


def on_grid(
    function: Callable[..., NDArray[np.float64]],
    spacing: tuple[float, float],
    size_mm: float = 30.0,
) -> NDArray[np.float64]:
    """A function of (mm down, mm right) from the centre, at the centres of pixels."""
    rows, columns = (round(size_mm / mm) for mm in spacing)
    y = (np.arange(rows) - (rows - 1) / 2) * spacing[0]
    x = (np.arange(columns) - (columns - 1) / 2) * spacing[1]
    return function(y[:, None], x[None])


def image(pixels: NDArray[np.float64], spacing: tuple[float, float]) -> Mammogram:
    where = Spacing(*spacing, "test")
    return Mammogram(pixels.astype(np.float32), where, None, None, None, None, Path("test"))


def breast() -> tuple[Mammogram, NDArray[np.bool_]]:
    """Tissue against the left border, air at its right; a round mass of 5 mm at 0.2 mm."""
    mammogram, _ = textured_phantom((200, 160), spacing_mm=0.2)
    pixels = mammogram.pixels.copy()
    rows, columns = np.indices(pixels.shape)
    pixels[np.hypot(rows - 100, columns) > 90] = 20
    mask = np.hypot(rows - 100, columns - 40) <= 12.5
    return replace(mammogram, pixels=pixels + 300 * mask), mask


@pytest.fixture(scope="module")
def small() -> Preset:
    """A preset of a few image types."""
    types = {"Original": {}, "Wavelet": {}, "Square": {}, "Exponential": {}, "LoG": {"sigma": [1]}}
    return replace(load_preset("mammography-prepared"), image_types=types, features=None)


@pytest.mark.parametrize("spacing", SPACINGS, ids=str)
def test_a_band_limited_image_is_what_it_would_be_at_the_new_spacing(spacing) -> None:
    def wave(y: NDArray[np.float64], x: NDArray[np.float64]) -> NDArray[np.float64]:
        return 1000 + 200 * np.sin(2 * np.pi * 0.4 * x + 0.3) + 150 * np.cos(2 * np.pi * 0.3 * y)

    result = resampled(image(on_grid(wave, spacing), spacing), 0.1)
    assert result.spacing is not None
    assert (result.spacing.row_mm, result.spacing.column_mm) == (0.1, 0.1)
    y, x = ((np.arange(n) - (n - 1) / 2) * 0.1 for n in result.pixels.shape)
    inside = (slice(20, -20), slice(20, -20))
    error = np.abs(result.pixels - wave(y[:, None], x[None]))[inside]
    assert error.max() < 0.005 * 350


def test_what_the_new_grid_cannot_show_is_smoothed_away() -> None:
    fine = on_grid(lambda y, x: 1000 + 200 * np.sin(2 * np.pi * 9 * x) + 0 * y, (0.05, 0.05))
    result = resampled(image(fine, (0.05, 0.05)), 0.2).pixels[10:-10, 10:-10]
    assert np.abs(result - 1000).max() < 2  # without smoothing an alias of full height


@pytest.mark.parametrize("spacing", [(0.05, 0.12), (0.12, 0.05), (0.3, 0.05)], ids=str)
def test_smoothing_joins_the_old_spacing_to_the_new_one(spacing) -> None:
    """A round blob widens by what the new pixel's square is larger than the old one's."""
    blob = on_grid(lambda y, x: 1000 * np.exp(-(y**2 + x**2) / (2 * 0.3**2)), spacing, 8.0)
    found = resampled(image(blob, spacing), 0.2).pixels.astype(np.float64)
    for axis, mm in enumerate(spacing):
        profile = found.sum(axis=1 - axis)
        place = (np.arange(profile.size) - (profile.size - 1) / 2) * 0.2
        variance = (profile * place**2).sum() / profile.sum()
        wider = max(0.2**2 - mm**2, 0) / (8 * np.log(2))
        assert variance == pytest.approx(0.3**2 + wider, rel=0.005)


def test_a_sharp_edge_leaves_the_range_of_the_pixels_nowhere() -> None:
    edge = on_grid(lambda y, x: np.where(x + 0 * y > 0.1, 900.0, 100.0), (0.3, 0.3))
    found = resampled(image(edge, (0.3, 0.3)), 0.1).pixels
    assert (found.min(), found.max()) == (100, 900)


@pytest.mark.parametrize("spacing", [(0.05, 0.12), (0.3, 0.2)], ids=str)
def test_pixels_at_the_border_are_those_that_are_there(spacing) -> None:
    flat = on_grid(lambda y, x: np.where(np.hypot(y, x) < 2, 100.0, 700.0), spacing)
    found = resampled(image(flat, spacing), 0.17).pixels
    for border in (found[0], found[-1], found[:, 0], found[:, -1]):
        np.testing.assert_allclose(border, 700, atol=0.1)


@pytest.mark.parametrize("spacing", SPACINGS, ids=str)
def test_a_disc_keeps_its_area_and_diameter(spacing) -> None:
    disc = on_grid(lambda y, x: np.hypot(y - 0.013, x + 0.021) <= 7.3, spacing)
    mask = resampled_mask(disc, Spacing(*spacing, "test"), 0.1)
    assert mask.sum() * 0.01 == pytest.approx(np.pi * 7.3**2, rel=0.005)
    for axis in (0, 1):
        assert mask.any(axis=axis).sum() * 0.1 == pytest.approx(14.6, abs=max(0.1, *spacing))


def test_a_mask_on_the_border_stays_there() -> None:
    mask = np.zeros((100, 80), dtype=bool)
    mask[40:60, :10] = mask[90:, 70:] = True
    finer = resampled_mask(mask, Spacing(0.4, 0.4, "test"), 0.1)
    assert finer.shape == (400, 320)
    assert finer[161:239, :39].all()
    assert finer[361:, 281:].all()
    assert finer.sum() == pytest.approx(16 * mask.sum(), rel=0.002)  # corners are rounded


def test_a_roi_that_vanishes_is_said() -> None:
    line = np.zeros((50, 50), dtype=bool)
    line[20:30, 25] = True
    with pytest.raises(MammoroiError, match=r"vanishes at 0\.5 mm"):
        resampled_mask(line, Spacing(0.05, 0.05, "test"), 0.5)


def test_z_score_of_the_image_is_pyradiomics_normalize() -> None:
    mammogram, _ = breast()
    ours = normalised(mammogram.pixels, Z_SCORE, None)[0]
    theirs = imageoperations.normalizeImage(to_sitk(mammogram), normalizeScale=100)
    np.testing.assert_allclose(ours, sitk.GetArrayFromImage(theirs), atol=1e-3)


def test_devices_agree_after_normalisation_within_the_breast(small) -> None:
    mammogram, mask = breast()
    for method in ("z-score", "percentile"):
        wanted = Preparation(normalise=Normalisation(method, "breast", 1000.0))
        other = replace(mammogram, pixels=(3.7 * mammogram.pixels + 150).astype(np.float32))
        one, two = (prepare(each, mask, wanted).mammogram.pixels for each in (mammogram, other))
        np.testing.assert_allclose(one, two, atol=0.05)
    # air and what lies in it do not matter to the breast, and do to the image
    marked = mammogram.pixels.copy()
    marked[:20, 130:] = 9000
    for within, same in (("breast", True), ("image", False)):
        facts = [
            prepare(
                replace(mammogram, pixels=pixels),
                mask,
                Preparation(normalise=Normalisation("z-score", within, 100.0)),
            ).facts
            for pixels in (mammogram.pixels, marked)
        ]
        close = facts[0]["normalise_divisor"] == pytest.approx(
            facts[1]["normalise_divisor"], rel=0.03
        )
        assert close is same


def test_percentiles_are_where_they_are_asked_for_and_nothing_is_clipped() -> None:
    method = Normalisation("percentile", "image", 1000.0, (5.0, 95.0))
    pixels = np.arange(10_001, dtype=np.float32).reshape(73, 137)
    scaled, low, width = normalised(pixels, method, None)
    assert (low, width) == (500.0, 9000.0)
    np.testing.assert_allclose(np.percentile(scaled, (5, 95)), (0, 1000), atol=1e-3)
    assert scaled.max() == pytest.approx(1055.56, abs=0.01)


@pytest.mark.parametrize("ends", [(-1.0, 99.0), (1.0, 101.0), (99.0, 1.0), (50.0, 50.0)], ids=str)
def test_percentiles_that_are_none_are_refused(ends) -> None:
    with pytest.raises(MammoroiError, match=r"percentiles are .* from 0 to 100, the smaller first"):
        Normalisation("percentile", "image", 1000.0, ends)


@pytest.mark.parametrize("method", ["z-score", "percentile"])
def test_pixels_that_do_not_differ_are_refused(method) -> None:
    wanted = Normalisation(method, "image", 100.0)
    flat = np.full((20, 20), 700, dtype=np.float32)
    with pytest.raises(MammoroiError, match="within the image do not differ"):
        normalised(flat, wanted, None)
    with pytest.raises(MammoroiError, match="the breast has 0 pixels"):
        normalised(flat, wanted, np.zeros_like(flat, dtype=bool))


@pytest.mark.parametrize("spacing", [(0.05, 0.05), (0.1, 0.1), (0.08, 0.12)], ids=str)
def test_rings_of_a_disc_have_their_widths_in_mm(spacing) -> None:
    distance = on_grid(np.hypot, spacing)
    disc = distance <= 6.0
    pixel = max(spacing)
    edges = [(0.0, 2.0), (2.0, 5.0)]
    for (inner, outer), (shell, whole) in zip(
        edges, shells_around(disc, Spacing(*spacing, "test"), edges), strict=True
    ):
        assert distance[shell].min() == pytest.approx(6 + inner, abs=pixel)
        assert distance[shell].max() == pytest.approx(6 + outer, abs=pixel)
        area = np.pi * ((6 + outer) ** 2 - (6 + inner) ** 2)
        assert shell.sum() * spacing[0] * spacing[1] == pytest.approx(area, rel=0.02)
        assert whole == shell.sum()
        assert not (shell & disc).any()


@pytest.mark.parametrize("spacing", [(0.3, 0.7), (0.9, 0.35)], ids=str)
def test_rings_are_those_of_every_pixels_distance(spacing) -> None:
    rows, columns = np.indices((50, 40))
    mask = (np.hypot(rows - 22, 2 * (columns - 17)) < 7) | (np.hypot(rows - 30, columns - 20) < 4)
    inside, everywhere = (np.argwhere(part) * spacing for part in (mask, mask | True))
    distance = cdist(everywhere, inside).min(axis=1).reshape(mask.shape)
    edges = [(0.0, 2.0), (2.0, 5.0)]
    shells = shells_around(mask, Spacing(*spacing, "test"), edges)
    for (inner, outer), (shell, whole) in zip(edges, shells, strict=True):
        expected = (distance > inner) & (distance <= outer)
        assert np.array_equal(shell, expected)
        assert whole == expected.sum()


@pytest.mark.parametrize("edges", [(2.0, 2.0), (5.0, 2.0), (0.0, 2.0)], ids=str)
def test_rings_without_a_width_are_refused(edges) -> None:
    with pytest.raises(MammoroiError, match=r"rings_mm is .* from the innermost on"):
        Preparation(rings_mm=edges)


def test_rings_stay_in_the_image_and_out_of_holes() -> None:
    mask = np.zeros((60, 60), dtype=bool)
    mask[20:40, :10] = True
    mask[28:32, 3:7] = False  # a hole
    ((shell, whole),) = shells_around(mask, Spacing(1.0, 1.0, "test"), [(0.0, 5.0)])
    assert not shell[28:32, 3:7].any()
    assert not shell[20:40, :10].any()
    assert shell[15:45, :10].sum() == 2 * 5 * 10
    assert whole > shell.sum() + 20 * 5  # and as much to the left of the border


def test_rings_lie_in_the_breast_and_say_how_much_of_them_does(small) -> None:
    mammogram, mask = breast()
    mask = np.roll(mask, 25, axis=1)  # 2.5 mm of tissue are left beside it
    rows, columns = np.indices(mask.shape)
    prepared = prepare(mammogram, mask, Preparation(rings_mm=(2.0, 5.0)))
    air = np.hypot(rows - 100, columns) > 90
    for ring in prepared.rings.values():
        assert ring.any()
        assert not (ring & air).any()
    assert prepared.facts["ring-0-2mm_share"] > 0.95
    assert 0.5 < prepared.facts["ring-2-5mm_share"] < 0.85


def test_the_breast_ends_where_the_air_begins_and_keeps_its_dark_fat() -> None:
    mammogram, _ = breast()
    pixels = mammogram.pixels.copy()
    rows, columns = np.indices(pixels.shape)
    pixels[np.hypot(rows - 100, columns - 40) < 4] = 20  # as dark as air
    tissue = np.hypot(rows - 100, columns) <= 90
    assert (breast_tissue(pixels) ^ tissue).mean() < 0.001
    # padded at the chest wall, as scanned films and some archives are
    padded = np.pad(pixels, ((0, 0), (80, 0)), constant_values=20)
    assert (breast_tissue(padded) ^ np.pad(tissue, ((0, 0), (80, 0)))).mean() < 0.001


def test_where_the_breast_ends_does_not_depend_on_the_device() -> None:
    mammogram, _ = breast()
    rows, columns = np.indices(mammogram.pixels.shape)
    beyond = np.hypot(rows - 100, columns) - 90
    skin = np.clip(1 - beyond / 6, 0, 1)  # fades out over six pixels
    pixels = np.where(beyond > 0, 20 + 500 * skin, mammogram.pixels).astype(np.float32)
    found = breast_tissue(pixels)
    air, tissue = 20.0, float(np.median(pixels[beyond <= 0]))
    assert ((pixels > air + 0.1 * (tissue - air)) ^ found).sum() < 0.002 * found.sum()
    for factor, offset in ((3.0, 5000.0), (0.25, 100.0)):
        other = (factor * pixels + offset).astype(np.float32)
        assert (breast_tissue(other) ^ found).sum() < 0.0005 * found.sum()
    brighter = pixels + 150
    brighter[5, 150] = 0  # one dead pixel is not the air
    assert (breast_tissue(brighter) ^ found).sum() < 0.002 * found.sum()


def test_too_little_of_a_ring_fails_by_its_name(small) -> None:
    mammogram, _ = breast()
    rows, columns = np.indices(mammogram.pixels.shape)
    whole = np.hypot(rows - 100, columns) <= 92
    with pytest.raises(MammoroiError, match=r"ring-0-2mm within the breast has \d+ pixels"):
        features_of(mammogram, whole, replace(small, preparation=Preparation(rings_mm=(2, 5))))


def assert_equal(ours: dict[str, float], theirs: dict[str, float]) -> None:
    assert list(ours) == list(theirs)
    for name, value in theirs.items():
        np.testing.assert_allclose(ours[name], value, rtol=1e-6, atol=1e-6, err_msg=name)


@pytest.fixture(scope="module")
def both(small) -> tuple[Features, Features]:
    return tuple(features_of(*breast(), small, engine) for engine in ("exact", "pyradiomics"))


def test_both_engines_agree_on_what_was_prepared(both) -> None:
    assert_equal(both[0].by_name, both[1].by_name)
    assert both[0].facts == both[1].facts


def test_the_engine_computes_pyradiomics_values_of_the_prepared_pixels(both, small) -> None:
    prepared = prepare(*breast(), small.preparation)
    plain = replace(small.without(["contour"]), preparation=None)
    assert prepared.mammogram.pixels.shape == (400, 320)
    around = reference_features(
        prepared.mammogram, prepared.rings["ring-2-5mm"], plain.without(["shape2D"])
    )
    theirs = reference_features(prepared.mammogram, prepared.mask, plain)
    theirs |= {f"ring-2-5mm_{name}": value for name, value in around.items()}
    assert_equal({name: both[0].by_name[name] for name in theirs}, theirs)


def test_names_bins_and_facts(both) -> None:
    features = both[0]
    regions = {name.rsplit("_", 3)[0] for name in features.by_name if name.startswith("ring")}
    assert regions == {"ring-0-2mm", "ring-2-5mm"}
    assert not [name for name in features.by_name if "ring" in name and "shape" in name]
    assert "ring-0-2mm_original" in features.bins
    assert features.bins["original"] > 10
    assert set(features.facts) == {
        "normalise_offset",
        "normalise_divisor",
        "roi_pixels",
        *(f"{ring}_{what}" for ring in regions for what in ("pixels", "share")),
    }
    assert features.facts["roi_pixels"] * 0.01 == pytest.approx(np.pi * 2.5**2, rel=0.02)


def test_without_a_preparation_nothing_changes() -> None:
    mammogram, mask = breast()
    prepared = prepare(mammogram, mask, None)
    assert prepared.mammogram is mammogram
    assert prepared.mask is mask
    assert features_of(mammogram, mask, load_preset()).facts == {}


@pytest.mark.parametrize("image_id", ["P287_L_DM_MLO", "P205_L_DM_MLO"])
def test_real_mammograms(small, image_id: str) -> None:
    if not os.environ.get("MAMMOROI_DATA"):
        pytest.skip("MAMMOROI_DATA is not set")
    folder = Path(os.environ["MAMMOROI_DATA"]) / "cdd-cesm"
    mammogram = read_mammogram(
        folder / "images" / f"{image_id}.jpg", spacing_mm=0.42, spacing_source="estimated"
    )
    mask = read_mask(folder / "masks" / f"{image_id}.png", mammogram.pixels.shape)
    assert small.preparation is not None
    coarse = replace(small, preparation=replace(small.preparation, spacing_mm=0.4))
    exact, plain = (features_of(mammogram, mask, coarse, e) for e in ("exact", "pyradiomics"))
    assert_equal(exact.by_name, plain.by_name)
    assert not np.isnan(list(exact.by_name.values())).any()
    for ring in ("", "ring-0-2mm_", "ring-2-5mm_"):
        assert 16 <= exact.bins[f"{ring}original"] <= 128
    # a mass is brighter than what is around it
    mean = [exact.by_name[f"{ring}original_firstorder_Mean"] for ring in ("", "ring-0-2mm_")]
    assert mean[0] > mean[1]

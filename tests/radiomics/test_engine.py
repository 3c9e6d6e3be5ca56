"""The fast engine against plain pyradiomics on the whole image."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
from radiomics import imageoperations

from mammoroi.errors import MammoroiError
from mammoroi.imaging.mask import read_mask
from mammoroi.imaging.read import read_mammogram
from mammoroi.radiomics.engine import features_of
from mammoroi.radiomics.filters import Box, as_image, filtered_images
from mammoroi.radiomics.presets import load_preset
from mammoroi.radiomics.reference import reference_features

IMAGE_TYPES = (
    "original",
    "wavelet-LH",
    "wavelet-HL",
    "wavelet-HH",
    "wavelet-LL",
    "log-sigma-1-mm-3D",
    "log-sigma-2-mm-3D",
    "log-sigma-3-mm-3D",
    "log-sigma-4-mm-3D",
    "square",
    "squareroot",
    "logarithm",
    "exponential",
    "gradient",
    "lbp-2D",
)
PHANTOMS = (
    "plain",
    "marker",
    "negative",
    "border",
    "two parts",
    "ring",
    "small",
    "eight bits",
    "anisotropic",
    "whole image",
    "thin diagonal",
    "thin ring",
    "dust",
    "flat",
    "two levels",
)
CLASSES = {"firstorder": 18, "glcm": 24, "glrlm": 16, "glszm": 16, "gldm": 14, "ngtdm": 5}


@pytest.fixture(scope="module")
def both(phantom) -> Callable[[str], tuple[dict[str, float], dict[str, float]]]:
    @functools.cache
    def computed(name: str) -> tuple[dict[str, float], dict[str, float]]:
        mammogram, mask = phantom(name)
        preset = load_preset("paper-1409")
        return (
            features_of(mammogram, mask, preset).by_name,
            reference_features(mammogram, mask, preset),
        )

    return computed


def assert_equal(ours: dict[str, float], theirs: dict[str, float]) -> None:
    assert list(ours) == list(theirs)
    for name, value in theirs.items():
        expected = value if np.isfinite(value) else np.nan
        # the root of an eigenvalue that rounds to zero is tiny, or zero
        least = 1e-6 if name.startswith("original_shape") else 1e-9
        np.testing.assert_allclose(ours[name], expected, rtol=1e-6, atol=least, err_msg=name)


@pytest.mark.parametrize("feature_class", CLASSES)
@pytest.mark.parametrize("image_type", IMAGE_TYPES)
@pytest.mark.parametrize("name", PHANTOMS)
def test_equals_pyradiomics(both, name: str, image_type: str, feature_class: str) -> None:
    ours, theirs = (
        {key: value for key, value in values.items() if key.startswith(prefix)}
        for values in both(name)
        for prefix in [f"{image_type}_{feature_class}_"]
    )
    assert len(ours) == CLASSES[feature_class]
    assert_equal(ours, theirs)


@pytest.mark.parametrize("name", PHANTOMS)
def test_shapes_equal_pyradiomics(both, phantom, name: str) -> None:
    preset = replace(load_preset(), feature_classes={"shape2D": None}, features=None)
    flat = [compute(*phantom(name), preset) for compute in (features_of, reference_features)]
    solid = [{k: v for k, v in values.items() if "_shape_" in k} for values in both(name)]
    assert len(flat[1]) == 9
    assert len(solid[1]) == 14
    assert_equal(flat[0].by_name, flat[1])
    assert_equal(*solid)


def test_flat_roi_equals_pyradiomics_and_stores_nothing_infinite(phantom) -> None:
    mammogram, mask = phantom("plain")
    flat = replace(mammogram, pixels=np.where(mask, np.float32(700), mammogram.pixels))
    preset = load_preset()
    features = features_of(flat, mask, preset)
    assert_equal(features.by_name, reference_features(flat, mask, preset))
    assert features.bins["original"] == features.bins["square"] == 1
    assert not any(np.isinf(value) for value in features.by_name.values())


@pytest.mark.parametrize("preset_name", ["mammography-1311", "mammography-8bit-1311"])
def test_the_other_presets_equal_pyradiomics(phantom, preset_name: str) -> None:
    mammogram, mask = phantom("anisotropic")
    preset = load_preset(preset_name)
    assert_equal(
        features_of(mammogram, mask, preset).by_name,
        reference_features(mammogram, mask, preset),
    )


def test_a_planted_square_has_its_area_and_diameter(phantom) -> None:
    mammogram, _ = phantom("plain")  # 0.5 mm
    mask = np.zeros(mammogram.pixels.shape, dtype=bool)
    mask[40:60, 30:50] = True
    values = features_of(mammogram, mask, load_preset()).by_name
    assert values["original_shape2D_PixelSurface"] == pytest.approx(400 * 0.25)
    inside = mammogram.pixels[mask].astype(float)
    assert values["original_firstorder_Mean"] == pytest.approx(inside.mean())
    assert values["original_firstorder_Energy"] == pytest.approx((inside**2).sum())
    # pixel centres of opposite corners, and half a pixel of mesh beyond
    diagonal = 0.5 * np.hypot(19, 19)
    assert 0 <= values["original_shape2D_MaximumDiameter"] - diagonal < 0.5


@pytest.mark.parametrize(
    "pixels", [[(30, 30), (31, 31)], [(30, 30), (50, 45)], [(30, 30), (30, 31), (40, 50)]]
)
def test_a_few_pixels_equal_pyradiomics(phantom, tmp_path: Path, pixels: list) -> None:
    """As a parameter file without minimumROISize lets them pass; some features are not defined."""
    mammogram, mask = phantom("plain")
    mask = np.zeros_like(mask)
    mask[tuple(np.transpose(pixels))] = True
    path = tmp_path / "own.yaml"
    classes = ", ".join(f"{name}: " for name in (*CLASSES, "shape2D"))
    types = "{Original: , LBP2D: {binWidth: 25}}"
    path.write_text(f"imageType: {types}\nfeatureClass: {{{classes}}}\n")
    preset = load_preset(str(path))
    ours = features_of(mammogram, mask, preset).by_name
    assert_equal(ours, reference_features(mammogram, mask, preset))
    if len(pixels) == 2:
        assert np.isnan(ours["original_firstorder_RobustMeanAbsoluteDeviation"])


@pytest.mark.parametrize("axis", [0, 1])
def test_a_line_fails_as_in_pyradiomics(phantom, axis: int) -> None:
    mammogram, _ = phantom("plain")
    mask = np.zeros(mammogram.pixels.shape, dtype=bool)
    line = mask[40] if axis == 0 else mask[:, 40]
    line[20:70] = True
    for compute in (features_of, reference_features):
        with pytest.raises((MammoroiError, ValueError), match="too few dimensions"):
            compute(mammogram, mask, load_preset())


@pytest.mark.parametrize(
    ("pixels", "message"),
    [(0, "the mask is empty"), (2, "has 2 pixels, and 25 are the least"), (24, "24 pixels")],
)
def test_too_small_is_said(phantom, pixels: int, message: str) -> None:
    mammogram, _ = phantom("plain")
    mask = np.zeros(mammogram.pixels.shape, dtype=bool)
    mask[50:56, 50:54] = np.arange(24).reshape(6, 4) < pixels
    with pytest.raises(MammoroiError, match=message):
        features_of(mammogram, mask, load_preset())


def test_missing_spacing_and_a_foreign_mask_are_refused(phantom) -> None:
    mammogram, mask = phantom("plain")
    with pytest.raises(MammoroiError, match="spacing_mm"):
        features_of(replace(mammogram, spacing=None), mask, load_preset())
    with pytest.raises(MammoroiError, match="on this mammogram"):
        features_of(mammogram, mask[1:], load_preset())
    for numbers in (mask.astype(np.uint8) * 255, mask.astype(float)):
        with pytest.raises(MammoroiError, match=r"not true and false -> .*`mask > 0`"):
            features_of(mammogram, numbers, load_preset())


def test_settings_that_the_engine_does_not_cover_go_to_pyradiomics(phantom, tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(
        "setting: {resampledPixelSpacing: [1.0, 1.0], interpolator: sitkBSpline, binWidth: 25}\n"
        "imageType: {Original: {}}\nfeatureClass: {firstorder: [Mean, Energy]}\n"
    )
    preset = load_preset(str(path))
    mammogram, mask = phantom("plain")
    assert not preset.exact
    ours = features_of(mammogram, mask, preset).by_name
    assert ours == reference_features(mammogram, mask, preset)
    assert list(ours) == ["original_firstorder_Mean", "original_firstorder_Energy"]


@pytest.mark.parametrize(
    "image_types",
    [
        {"Wavelet": {"wavelet": "db3", "level": 2}},
        {"Wavelet": {"wavelet": "db3", "level": 4}},
        {"Wavelet": {"wavelet": "haar", "start_level": 1}},
        {"LBP2D": {"lbp2DSamples": 8, "lbp2DRadius": 2.5, "binWidth": 1}},
        {"Gradient": {"gradientUseSpacing": False}},
        {"LoG": {"sigma": [0.7, 2.5]}},
        {"Original": {"binCount": 32, "weightingNorm": "euclidean"}},
        {"Original": {"binWidth": 5, "gldm_a": 2}},
        {"Original": {"weightingNorm": "infinity"}},
        {"Original": {"weightingNorm": "manhattan"}},
        {"Original": {"weightingNorm": "no_weighting"}},
        {"Original": {"symmetricalGLCM": False, "gldm_a": 1, "distances": [1, 2]}},
    ],
    ids=lambda image_types: str(image_types).replace("'", ""),
)
@pytest.mark.parametrize("name", ["eight bits", "border", "anisotropic"])
def test_other_settings_equal_pyradiomics(phantom, name: str, image_types: dict[str, dict]) -> None:
    preset = replace(load_preset(), image_types=image_types, features=None)
    mammogram, mask = phantom(name)
    assert_equal(
        features_of(mammogram, mask, preset).by_name,
        reference_features(mammogram, mask, preset),
    )


@pytest.mark.parametrize("place", [(511, 401), (317, 77)], ids=str)
def test_ties_of_local_patterns_fall_as_in_the_whole_image(place: tuple[int, int]) -> None:
    """Of 8 samples some lie on diagonals, where rounding depends on the pixel's position."""
    pixels = np.random.default_rng(0).integers(0, 4, (700, 600)).astype(np.float32)
    box = Box(place[0], place[0] + 60, place[1], place[1] + 45)
    settings = {"lbp2DSamples": 8, "lbp2DRadius": 1.0}
    (found,) = filtered_images(pixels, (0.1, 0.1), box, {}, {"LBP2D": settings})
    whole = imageoperations.getLBP2DImage(as_image(pixels, (0.1, 0.1)), None, **settings)
    expected = sitk.GetArrayFromImage(next(whole)[0])
    assert np.array_equal(found.pixels, box.cut(expected))


def test_levels_as_rare_as_one_pixel_in_tens_of_thousands(phantom) -> None:
    """Two pixels apart, of a level of their own: there pyradiomics' epsilon moves its MCC."""
    mammogram, _ = phantom("plain")
    noise = np.random.default_rng(0).normal(size=(320, 320)).astype(np.float32)
    pixels = 1000 + 120 * noise
    mask = np.ones(pixels.shape, dtype=bool)
    mask[:2, :3] = False
    mask[0, :2], pixels[0, :2] = True, 4000
    large = replace(mammogram, pixels=pixels)
    preset = replace(load_preset(), image_types={"Original": {}}, features=None)
    assert_equal(
        features_of(large, mask, preset).by_name,
        reference_features(large, mask, preset),
    )


@pytest.mark.parametrize("symmetrical", [True, False])
def test_a_level_without_a_neighbour_in_some_directions(phantom, symmetrical: bool) -> None:
    """The tip of an ROI has a level of its own: other directions see a single level."""
    mammogram, _ = phantom("plain")
    mask = np.zeros(mammogram.pixels.shape, dtype=bool)
    mask[40:60, 40:60] = mask[39, 50] = True
    pixels = np.full(mask.shape, 500, np.float32)
    pixels[39, 50] = 540
    pixels[59, 59] = 580  # a corner: seen from one side where the matrices are not symmetrical
    settings = {"binWidth": 25, "symmetricalGLCM": symmetrical}
    types = {"Original": {}}
    preset = replace(load_preset(), settings=settings, image_types=types, features=None)
    tipped = replace(mammogram, pixels=pixels)
    assert_equal(
        features_of(tipped, mask, preset).by_name, reference_features(tipped, mask, preset)
    )


def test_filters_do_not_look_at_the_whole_image(phantom) -> None:
    mammogram, mask = phantom("plain")
    far = mammogram.pixels.copy()
    far[:5, :5] = mammogram.pixels.max()  # the extreme stays what it is
    near = {"Gradient": {}, "LBP2D": {"lbp2DSamples": 9}, "Wavelet": {}, "Square": {}}
    first, second = (
        list(filtered_images(pixels, (0.5, 0.5), Box.around(mask), {}, near))
        for pixels in (mammogram.pixels, far)
    )
    for one, other in zip(first, second, strict=True):
        assert one.pixels.shape == (31, 31)
        np.testing.assert_array_equal(one.pixels, other.pixels)


@pytest.mark.parametrize("number", range(0, 206, 20))
def test_real_mammograms_equal_pyradiomics(number: int) -> None:
    if not os.environ.get("MAMMOROI_DATA"):
        pytest.skip("MAMMOROI_DATA is not set")
    folder = Path(os.environ["MAMMOROI_DATA"]) / "cdd-cesm"
    name = pd.read_csv(folder / "index.csv")["image_id"][number]
    mammogram = read_mammogram(
        folder / "images" / f"{name}.jpg", spacing_mm=0.4, spacing_source="estimated"
    )
    mask = read_mask(folder / "masks" / f"{name}.png", mammogram.pixels.shape)
    preset = load_preset("mammography-8bit-1311")
    assert_equal(
        features_of(mammogram, mask, preset).by_name,
        reference_features(mammogram, mask, preset),
    )

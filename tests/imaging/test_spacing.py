"""The chain of trust for the pixel spacing, a row for each rule, and its quarrels."""

from __future__ import annotations

import math

import pytest

from mammoroi.errors import MammoroiError
from mammoroi.imaging.mammogram import Spacing
from mammoroi.imaging.read import read_mammogram
from mammoroi.imaging.spacing import GIVEN

IMAGER = {"ImagerPixelSpacing": [0.07, 0.1]}

CHAIN = {
    "calibrated by geometry": (
        {"PixelSpacing": [0.05, 0.06], "PixelSpacingCalibrationType": "GEOMETRY", **IMAGER},
        (0.05, 0.06, "Pixel Spacing (0028,0030), calibrated by geometry"),
    ),
    "calibrated, equal to the imager's": (
        {
            "PixelSpacing": [0.07, 0.1],
            "PixelSpacingCalibrationType": "FIDUCIAL",
            "EstimatedRadiographicMagnificationFactor": 1.8,
            **IMAGER,
        },
        (0.07, 0.1, "Pixel Spacing (0028,0030), calibrated by fiducial"),
    ),
    "differs from the imager's": (
        {"PixelSpacing": [0.05, 0.06], "EstimatedRadiographicMagnificationFactor": 1.8, **IMAGER},
        (0.05, 0.06, "Pixel Spacing (0028,0030), differs from Imager Pixel Spacing (0018,1164)"),
    ),
    "differs from the imager's by the least magnification": (
        {"PixelSpacing": [0.0693, 0.099], **IMAGER},
        (0.0693, 0.099, "Pixel Spacing (0028,0030), differs from Imager Pixel Spacing (0018,1164)"),
    ),
    "equal to the imager's but for rounding": (
        {"PixelSpacing": [0.07002, 0.10003], **IMAGER},
        (0.07, 0.1, "Imager Pixel Spacing (0018,1164), in the plane of the detector"),
    ),
    "stands alone": (
        {"PixelSpacing": [0.05, 0.06]},
        (0.05, 0.06, "Pixel Spacing (0028,0030), calibration not stated"),
    ),
    "magnification factor": (
        {"EstimatedRadiographicMagnificationFactor": 1.8, **IMAGER},
        (
            0.07 / 1.8,
            0.1 / 1.8,
            "Imager Pixel Spacing (0018,1164) / Estimated Radiographic Magnification Factor "
            "(0018,1114)",
        ),
    ),
    "magnification factor, uncalibrated equal Pixel Spacing": (
        {
            "PixelSpacing": [0.07, 0.1],
            "EstimatedRadiographicMagnificationFactor": 1.8,
            "DistanceSourceToDetector": 660,
            "DistanceSourceToPatient": 600,
            **IMAGER,
        },
        (
            0.07 / 1.8,
            0.1 / 1.8,
            "Imager Pixel Spacing (0018,1164) / Estimated Radiographic Magnification Factor "
            "(0018,1114)",
        ),
    ),
    "distances": (
        {"DistanceSourceToDetector": 660, "DistanceSourceToPatient": 600, **IMAGER},
        (
            0.07 / 1.1,
            0.1 / 1.1,
            "Imager Pixel Spacing (0018,1164) / (Distance Source to Detector (0018,1110) / "
            "Distance Source to Patient (0018,1111))",
        ),
    ),
    "impossible magnification and distances": (
        {
            "EstimatedRadiographicMagnificationFactor": 0,
            "DistanceSourceToDetector": 660,
            "DistanceSourceToPatient": 0,
            **IMAGER,
        },
        (0.07, 0.1, "Imager Pixel Spacing (0018,1164), in the plane of the detector"),
    ),
    "imager": (
        IMAGER,
        (0.07, 0.1, "Imager Pixel Spacing (0018,1164), in the plane of the detector"),
    ),
    "impossible Pixel Spacing": (
        {"PixelSpacing": [0, 0], **IMAGER},
        (0.07, 0.1, "Imager Pixel Spacing (0018,1164), in the plane of the detector"),
    ),
    "rounded copy of the imager's": (
        {
            "PixelSpacing": [0.07001, 0.1],
            "EstimatedRadiographicMagnificationFactor": 2,
            **IMAGER,
        },
        (
            0.035,
            0.05,
            "Imager Pixel Spacing (0018,1164) / Estimated Radiographic Magnification Factor "
            "(0018,1114)",
        ),
    ),
    "magnification in percent, distances in two units": (
        {
            "EstimatedRadiographicMagnificationFactor": 180,
            "DistanceSourceToDetector": 660,
            "DistanceSourceToPatient": 60,
            **IMAGER,
        },
        (0.07, 0.1, "Imager Pixel Spacing (0018,1164), in the plane of the detector"),
    ),
    "Pixel Spacing of a converter": (
        {"PixelSpacing": [1, 1], **IMAGER},
        (0.07, 0.1, "Imager Pixel Spacing (0018,1164), in the plane of the detector"),
    ),
    "a film's": (
        {"NominalScannedPixelSpacing": [0.05, 0.05]},
        (0.05, 0.05, "Nominal Scanned Pixel Spacing (0018,2010), in the plane of the film"),
    ),
    "a film's, magnified": (
        {
            "NominalScannedPixelSpacing": [0.05, 0.05],
            "EstimatedRadiographicMagnificationFactor": 1.5,
        },
        (
            0.05 / 1.5,
            0.05 / 1.5,
            "Nominal Scanned Pixel Spacing (0018,2010) / Estimated Radiographic Magnification "
            "Factor (0018,1114)",
        ),
    ),
    "the imager's before a film's": (
        {"NominalScannedPixelSpacing": [0.05, 0.05], **IMAGER},
        (0.07, 0.1, "Imager Pixel Spacing (0018,1164), in the plane of the detector"),
    ),
    "a film's of a converter": ({"NominalScannedPixelSpacing": [1, 1]}, None),
    "a converter's alone": ({"PixelSpacing": [1, 1]}, None),
    "micrometres": ({"PixelSpacing": [70, 70]}, None),
    "metres": ({"ImagerPixelSpacing": [0.00007, 0.00007]}, None),
    "nothing": ({}, None),
    "empty": ({"ImagerPixelSpacing": ""}, None),
}


@pytest.mark.parametrize(("attributes", "expected"), CHAIN.values(), ids=CHAIN)
def test_chain(write_mg, phantom, attributes, expected):
    spacing = read_mammogram(write_mg(phantom, **attributes)).spacing
    if expected is None:
        assert spacing is None
        return
    assert (spacing.row_mm, spacing.column_mm) == pytest.approx(expected[:2])
    assert spacing.source == expected[2]


def test_manifest_fills_in_and_says_so(write_mg, phantom):
    path = write_mg(phantom)
    spacing = read_mammogram(path, spacing_mm=0.094, spacing_source="estimated").spacing
    assert spacing == Spacing(0.094, 0.094, "the manifest (column spacing_mm, estimated)")
    assert read_mammogram(path, spacing_mm=math.nan).spacing is None


def test_manifest_within_one_percent_yields_to_the_file(write_mg, phantom):
    path = write_mg(phantom, ImagerPixelSpacing=[0.07, 0.07])
    spacing = read_mammogram(path, spacing_mm=0.0706).spacing
    assert spacing.row_mm == 0.07
    assert spacing.source.startswith("Imager Pixel Spacing")


@pytest.mark.parametrize("pitch", [[0.07, 0.07], [0.0709, 0.1]])
def test_manifest_against_the_file_is_refused(write_mg, phantom, pitch):
    with pytest.raises(MammoroiError) as caught:
        read_mammogram(write_mg(phantom, ImagerPixelSpacing=pitch), spacing_mm=0.071)
    assert "mg.dcm states a pixel spacing of 0.07" in caught.value.found
    assert "the manifest says 0.071 mm" in caught.value.found
    assert "leave spacing_mm empty" in caught.value.action


def test_what_a_user_gives_for_all_files_is_for_those_that_state_none(write_mg, phantom):
    own = write_mg(phantom, ImagerPixelSpacing=[0.07, 0.07])
    kept = read_mammogram(own, spacing_mm=0.5, spacing_source=GIVEN).spacing
    assert (kept.row_mm, kept.column_mm) == (0.07, 0.07)
    assert kept.source.startswith("Imager Pixel Spacing")
    none = read_mammogram(write_mg(phantom), spacing_mm=0.5, spacing_source=GIVEN).spacing
    assert none == Spacing(0.5, 0.5, "given by the user for all files")


@pytest.mark.parametrize("value", [0, -0.07, math.inf, 70, 0.00007])
def test_impossible_manifest_values(write_mg, phantom, value):
    """Those in micrometres and metres, too, which a cohort that was not checked may have."""
    with pytest.raises(MammoroiError, match=r"from 0\.01 to 2, such as 0\.07"):
        read_mammogram(write_mg(phantom), spacing_mm=value)


def test_unknown_spacing_source(write_mg, phantom):
    with pytest.raises(MammoroiError, match="spacing_source is 'guessed' -> write measured or est"):
        read_mammogram(write_mg(phantom), spacing_mm=0.07, spacing_source="guessed")

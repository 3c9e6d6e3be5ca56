"""Pixel Padding Value (DICOM PS3.3, C.7.5.1.1.2): what lies beside the image is no tissue."""

from __future__ import annotations

import numpy as np
import pytest

from mammoroi.imaging.breast import breast_region
from mammoroi.imaging.read import read_both, read_display, read_mammogram

FOR_PROCESSING = "1.2.840.10008.5.1.4.1.1.1.2.1"
AIR, TISSUE, MARKER = 150, 1500, 4095
WINDOW = {"WindowCenter": 1500, "WindowWidth": 1000}


def scene() -> tuple[np.ndarray, np.ndarray]:
    """Attenuation of half a disc of tissue with a marker in it, and where the frame around is."""
    rows, columns = np.indices((240, 200))
    pixels = np.where((rows - 120) ** 2 + columns**2 < 80**2, TISSUE, AIR)
    pixels += np.random.default_rng(0).integers(-9, 10, pixels.shape)
    pixels[110:114, 30:34] = MARKER
    frame = (rows < 20) | (rows >= 220) | (columns >= 180)
    return pixels.astype(np.uint16), frame


@pytest.mark.parametrize("window", [{}, WINDOW], ids=["stretched", "window"])
@pytest.mark.parametrize(
    ("inverted", "attributes"),
    [
        (False, {"PixelPaddingValue": 4095}),
        (True, {"PhotometricInterpretation": "MONOCHROME1", "PixelPaddingValue": 0}),
        # Dark as it would be shown, as the standard wants; its small values are little intensity.
        (
            True,
            {
                "SOPClassUID": FOR_PROCESSING,
                "PixelIntensityRelationshipSign": 1,
                "PixelPaddingValue": 0,
            },
        ),
    ],
    ids=["bright", "monochrome1", "processing"],
)
def test_bright_padding_is_background(write_mg, window, inverted, attributes):
    """Also where the value occurs within the image: that is not beside it, and stays."""
    attenuating, frame = scene()
    stored = 4095 - attenuating if inverted else attenuating.copy()
    stored[frame] = attributes["PixelPaddingValue"]
    path = write_mg(stored, **attributes, **window)
    mammogram, shown = read_both(path)
    np.testing.assert_array_equal(mammogram.pixels[~frame], attenuating[~frame])
    assert np.unique(mammogram.pixels[frame]) == attenuating[~frame].min()
    assert not breast_region(mammogram.pixels)[frame].any()
    assert not shown[frame].any()
    assert shown[112, 32] == 255
    np.testing.assert_array_equal(read_mammogram(path).pixels, mammogram.pixels)
    np.testing.assert_array_equal(read_display(path), shown)


@pytest.mark.parametrize("ends", [(4095, 4000), (4000, 4095)])
def test_a_range_of_padding_holds_both_ends(write_mg, ends):
    stored, frame = scene()
    stored[frame] = np.random.default_rng(1).integers(4000, 4096, np.count_nonzero(frame))
    path = write_mg(stored, PixelPaddingValue=ends[0], PixelPaddingRangeLimit=ends[1])
    assert np.unique(read_mammogram(path).pixels[frame]) == stored[~frame].min()


@pytest.mark.parametrize(
    "stated",
    [
        {},
        {"PixelPaddingValue": 0},
        {"PixelPaddingValue": 0, "PixelPaddingRangeLimit": 100},
        {"PixelPaddingValue": 60000},
        {"PixelPaddingValue": [0, 4095]},
        {"PixelPaddingValue": 0, "PixelPaddingRangeLimit": 4095},
        {"PixelPaddingValue": MARKER},
    ],
)
def test_everything_else_stays_as_it_is_stored(write_mg, stated):
    """Dark padding, none, values that are no use, one that only pixels inside the image have."""
    stored, frame = scene()
    stored[frame] = 0
    expected = read_display(write_mg(stored))
    path = write_mg(stored, **stated)
    np.testing.assert_array_equal(read_mammogram(path).pixels, stored)
    np.testing.assert_array_equal(read_display(path), expected)

"""The engine's matrices against the reference values of the IBSI digital phantom.

Zwanenburg et al., Image Biomarker Standardisation Initiative reference manual
(arXiv:1612.07003), digital phantom; texture in 2D, averaged over directions and slices
("2D:avg"). Variance there is that of the population; kurtosis there is without the 3.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mammoroi.imaging.mammogram import Mammogram, Spacing
from mammoroi.radiomics.engine import features_of
from mammoroi.radiomics.presets import load_preset

SLICES = np.array(
    [
        [[1, 4, 4, 1, 1], [1, 4, 6, 1, 1], [4, 1, 6, 4, 1], [4, 4, 6, 4, 1]],
        [[1, 4, 4, 1, 1], [1, 1, 6, 1, 1], [0, 1, 3, 1, 1], [4, 4, 6, 1, 1]],
        [[1, 4, 4, 0, 0], [1, 1, 1, 1, 1], [1, 1, 0, 1, 1], [1, 1, 6, 1, 1]],
        [[1, 4, 4, 0, 0], [1, 1, 1, 1, 1], [1, 1, 1, 1, 1], [1, 1, 6, 1, 1]],
    ],
    dtype=np.float32,
)  # 0 is outside the ROI

REFERENCE = {
    "glcm_MaximumProbability": 0.519,
    "glcm_JointAverage": 2.14,
    "glcm_SumSquares": 2.69,
    "glcm_JointEntropy": 2.05,
    "glcm_DifferenceAverage": 1.42,
    "glcm_Contrast": 5.28,
}


def test_the_phantom_is_the_published_one() -> None:
    values = SLICES[SLICES > 0]
    assert len(values) == 74
    assert values.mean() == pytest.approx(2.15, abs=0.005)
    assert values.var() == pytest.approx(3.05, abs=0.005)


@pytest.mark.parametrize("feature", REFERENCE)
def test_texture_equals_the_reference(feature: str) -> None:
    settings = {"binWidth": 1, "distances": [1]}
    preset = replace(load_preset(), settings=settings, image_types={"Original": {}}, features=None)
    spacing = Spacing(2.0, 2.0, "phantom")
    found = []
    for pixels in SLICES:
        mammogram = Mammogram(pixels, spacing, None, None, None, None, Path("phantom"))
        found.append(features_of(mammogram, pixels > 0, preset).by_name[f"original_{feature}"])
    assert np.mean(found) == pytest.approx(REFERENCE[feature], rel=0.005)

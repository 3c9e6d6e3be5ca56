"""The linear one-slice shape against pyradiomics' own mesh."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
from radiomics.shape import RadiomicsShape

from mammoroi.radiomics.shape import OneSliceShape, mesh_area_and_volume


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.07, 0.12, 1.0)])
def test_equals_pyradiomics(seed: int, spacing: tuple[float, float, float]) -> None:
    chance = np.random.default_rng(seed)
    mask = np.zeros((1, 30, 26), dtype=np.uint32)
    mask[0, 2:28, 3:22] = chance.random((26, 19)) < chance.uniform(0.2, 1.0)
    image = sitk.GetImageFromArray(mask)
    image.SetSpacing(spacing)
    ours, theirs = (made(image, image).execute() for made in (OneSliceShape, RadiomicsShape))
    assert list(ours) == list(theirs)
    assert len(ours) == 14
    for name, value in theirs.items():
        assert float(ours[name]) == pytest.approx(float(value), rel=1e-6, abs=1e-7), name


def test_volume_of_a_large_square_approaches_the_solid() -> None:
    """The mesh reaches half a voxel beyond the centres, in a slice of 1 mm: 1/2 mm each way."""
    mask = np.ones((200, 200), dtype=bool)
    area, volume = mesh_area_and_volume(mask, np.array([1.0, 1.0, 1.0]))
    assert volume == pytest.approx(200 * 200, rel=0.01)
    assert area == pytest.approx(2 * 200 * 200, rel=0.02)

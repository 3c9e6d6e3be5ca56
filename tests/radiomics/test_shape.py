"""The shape of a mask against pyradiomics' own classes."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
from radiomics.shape import RadiomicsShape
from radiomics.shape2D import RadiomicsShape2D

from mammoroi.radiomics.shape import mesh_area_and_volume, shape2d, shape_of_one_slice


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("spacing", [(1.0, 1.0), (0.12, 0.07)])
def test_equals_pyradiomics(seed: int, spacing: tuple[float, float]) -> None:
    chance = np.random.default_rng(seed)
    mask = np.zeros((30, 26), dtype=bool)
    mask[2:28, 3:22] = chance.random((26, 19)) < chance.uniform(0.2, 1.0)
    flat = sitk.GetImageFromArray(mask.astype(np.uint32))
    flat.SetSpacing(spacing[::-1])
    volume = sitk.GetImageFromArray(mask[None].astype(np.uint32))
    volume.SetSpacing((*spacing[::-1], 0.8))
    for ours, theirs in (
        (shape2d(mask, spacing), RadiomicsShape2D(flat, flat).execute()),
        (shape_of_one_slice(mask, spacing, 0.8), RadiomicsShape(volume, volume).execute()),
    ):
        assert list(ours) == list(theirs)
        for name, value in theirs.items():
            assert ours[name] == pytest.approx(float(value), rel=1e-6, abs=1e-7), name


def test_volume_of_a_large_square_approaches_the_solid() -> None:
    """The mesh reaches half a voxel beyond the centres, in a slice of 1 mm: 1/2 mm each way."""
    mask = np.ones((200, 200), dtype=bool)
    area, volume = mesh_area_and_volume(mask, (1.0, 1.0, 1.0))
    assert volume == pytest.approx(200 * 200, rel=0.01)
    assert area == pytest.approx(2 * 200 * 200, rel=0.02)

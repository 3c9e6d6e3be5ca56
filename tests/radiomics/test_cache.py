"""The keys of the cache: what must not be taken for one another."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mammoroi.radiomics import cache
from mammoroi.radiomics.cache import case_key, image_key, settings_key
from mammoroi.radiomics.presets import load_preset


def test_all_that_decides_a_value_is_in_its_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, grey in (("a", 0), ("b", 1)):
        Image.fromarray(np.full((4, 4), grey, np.uint8)).save(tmp_path / f"{name}.png")
    one, other = tmp_path / "a.png", tmp_path / "b.png"
    images = [image_key(*of) for of in product((one, other), (None, 0.1, 0.2), ("measured", "x"))]
    preset = load_preset()
    settings = [
        settings_key(of, engine, names)
        for of in (preset, load_preset("paper-1409"))
        for engine in ("exact", "pyradiomics")
        for names in (("m", "n"), ("n", "m"))
    ]
    monkeypatch.setattr(cache, "environment", lambda: {"numpy": "0"})
    settings.append(settings_key(preset, "exact", ("m", "n")))
    cases = [case_key(*of) for of in product(settings[:2], images[:2], (one, other), (None, 1, 2))]
    for keys in (images, settings, cases):
        assert len(set(keys)) == len(keys)

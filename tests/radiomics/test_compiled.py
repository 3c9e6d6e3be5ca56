"""Compilation where nothing can be written."""

from __future__ import annotations

import pytest
from numba.core.caching import CacheImpl

from mammoroi.radiomics.compiled import compiled


@pytest.mark.parametrize("writable", [True, False])
def test_computes_with_and_without_a_folder_for_the_cache(monkeypatch, writable: bool) -> None:
    if not writable:
        monkeypatch.setattr(CacheImpl, "_locator_classes", [])

    @compiled
    def double(value: float) -> float:
        return 2 * value

    assert double(1.5) == 3.0

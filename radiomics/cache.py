"""Features that were computed before, found again by everything that decides their values.

A record is one ``.npz`` file named by the SHA-256 of pixels, spacing, mask, settings and engine
version. It is written when a case is done, so a run that was killed loses only the cases that were
being computed; two sources with the same mask share one record. Failures are never recorded.
"""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..files import atomic, sha256_of
from ..imaging.mammogram import Mammogram
from .engine import ENGINE_VERSION, Features
from .presets import Preset


def pixels_sha256(mammogram: Mammogram) -> str:
    """SHA-256 of the pixels, their shape and their spacing."""
    spacing = mammogram.require_spacing()
    pixels = np.ascontiguousarray(mammogram.pixels)
    content = hashlib.sha256(pixels.tobytes()).hexdigest()
    return sha256_of(content, pixels.shape, spacing.row_mm, spacing.column_mm)


def case_key(pixels: str, mask: NDArray[np.bool_], preset: Preset) -> str:
    """SHA-256 of one case: pixels (:func:`pixels_sha256`), mask, settings and engine version."""
    content = hashlib.sha256(np.packbits(mask).tobytes()).hexdigest()
    return sha256_of(pixels, content, preset.sha256, ENGINE_VERSION)


def load(folder: Path, key: str) -> Features | None:
    """Read a record; None when there is none, or when it is damaged."""
    try:
        with np.load(folder / f"{key}.npz", allow_pickle=False) as record:
            values = dict(zip(record["names"].tolist(), record["values"].tolist(), strict=True))
            bins = dict(zip(record["images"].tolist(), record["bins"].tolist(), strict=True))
    except (OSError, KeyError, ValueError, zipfile.BadZipFile):
        return None
    return Features(values, bins)


def store(folder: Path, key: str, features: Features) -> Path:
    """Write a record and return its path."""
    path = folder / f"{key}.npz"
    with atomic(path) as temporary:
        np.savez_compressed(
            temporary,
            names=np.array(list(features.by_name), dtype=np.str_),
            values=np.array(list(features.by_name.values()), dtype=np.float64),
            images=np.array(list(features.bins), dtype=np.str_),
            bins=np.array(list(features.bins.values()), dtype=np.int64),
        )
    return path

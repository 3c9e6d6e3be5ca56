"""Cases that were computed before, found again by everything that decides their values.

A record is one ``.npz`` file ``<first two digits>/<key>.npz`` with the features (``values``, in the
order of the table) and what else the case is known by (``about``, the bytes of a JSON text). Its
key is the SHA-256 of

- the image's and the mask's files, the spacing and the label that the manifest adds to them, and
  the code that reads them;
- the preset's settings, the names of the features, the engine and its version;
- the versions of the libraries that compute.

Files are hashed as they are, so a case that is found again costs no decoding. A record is written
when a case is done: a run that was killed loses only the cases that were being computed. Two
sources with equal mask files share a record. Failures and missed lesions are never recorded; a
damaged record is computed again.
"""

from __future__ import annotations

import functools
import json
import platform
import time
import tokenize
import zipfile
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import numpy as np

from ..files import atomic, sha256_file, sha256_of
from ..imaging import formats
from ..imaging.formats import identify
from ..imaging.mammogram import Spacing
from .engine import ENGINE_VERSION, engine_of
from .presets import Preset
from .provenance import LIBRARIES, Case

_DECODERS = ("pydicom", "pylibjpeg-openjpeg", "python-gdcm", "pillow")
_STALE_S = 3600.0
_DAMAGED = (
    *(EOFError, KeyError, OSError, RuntimeError, SyntaxError, TypeError, ValueError),
    *(tokenize.TokenError, zipfile.BadZipFile),
)
"""What NumPy and zipfile make of a record with bytes that are not its own."""


@functools.cache
def environment() -> dict[str, str]:
    """What has to be equal wherever rows of one table are computed, by name."""
    reader = [sha256_file(path) for path in sorted(Path(formats.__file__).parent.glob("*.py"))]
    return {
        "mammoroi's reader": sha256_of(reader)[:12],
        "mammoroi's engine": ENGINE_VERSION,
        "python": ".".join(platform.python_version_tuple()[:2]),
        **{library: version(library) for library in (*LIBRARIES, *_DECODERS)},
    }


def settings_key(preset: Preset, engine: str, names: tuple[str, ...]) -> str:
    """SHA-256 of all that is the same for every case of a run."""
    return sha256_of(preset.sha256, engine_of(preset, engine), names, environment())


def image_key(path: Path, spacing_mm: float | None, spacing_source: str) -> str:
    """SHA-256 of a mammogram's file and of what the manifest says about it.

    Raises
    ------
    MammoroiError
        When the file is missing or of no kind that is read.
    """
    identify(path)
    return sha256_of(sha256_file(path), spacing_mm, spacing_source)


def case_key(settings: str, image: str, mask: Path, label: int | None) -> str:
    """SHA-256 of one case: :func:`settings_key`, :func:`image_key` and the mask's file.

    Raises
    ------
    MammoroiError
        When the mask's file is missing or of no kind that is read.
    """
    identify(mask)
    return sha256_of(settings, image, sha256_file(mask), label)


def load(folder: Path, key: str, image_id: str, roi: str) -> Case | None:
    """Read a record as this image's case; None when there is none, or when it is damaged."""
    try:
        with np.load(_path(folder, key), allow_pickle=False) as record:
            about = json.loads(record["about"].tobytes())
            return Case(
                image_id=image_id,
                roi=roi,
                row=record["values"],
                bins=about["bins"],
                facts=about["facts"],
                pixels=about["pixels"],
                regions=about["regions"],
                spacing=Spacing(**about["spacing"]),
                from_cache=True,
            )
    except _DAMAGED:
        return None


def store(folder: Path, key: str, case: Case) -> Path:
    """Write the record of a case that has a row, and return its path."""
    path = _path(folder, key)
    about = {
        "bins": case.bins,
        "facts": case.facts,
        "pixels": case.pixels,
        "regions": case.regions,
        "spacing": asdict(case.spacing) if case.spacing is not None else None,
    }
    with atomic(path) as temporary:
        text = np.frombuffer(json.dumps(about).encode(), dtype=np.uint8)
        np.savez(temporary, values=np.asarray(case.row), about=text)
    return path


def _path(folder: Path, key: str) -> Path:
    return folder / key[:2] / f"{key}.npz"


def remove_stale(folder: Path) -> None:
    """Remove the records that killed runs did not finish.

    Other studies may be writing to the same cache: what they are about to finish is younger than
    an hour.
    """
    for path in folder.rglob(".part-*"):
        if path.stat().st_mtime < time.time() - _STALE_S:
            path.unlink(missing_ok=True)

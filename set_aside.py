"""What a stage wrote for settings that no longer ask for it: set aside, and brought back.

Features and classifiers take hours, so nothing is deleted. The files go to
``set-aside/<stage>/files/`` in the study folder, where no stage looks, with the stage's entry of
``stages.json`` as ``set-aside/<stage>/stage.json``. They come back when the
settings ask for the stage again; whether they still hold is then found out as for any other stage.
Either way may be interrupted: the next run moves the rest.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from .files import read_json, write_json

logger = logging.getLogger(__name__)

FOLDER = "set-aside"
_FILES, _ENTRY = "files", "stage.json"


def set_aside(name: str, writes: Iterable[str], out: Path, entry: dict[str, Any] | None) -> None:
    """Move what a stage wrote out of the way; nothing happens where it wrote nothing.

    Parameters
    ----------
    name : str
        The stage.
    writes : iterable of str
        Patterns, relative to the study folder, of what it writes.
    out : Path
        The study folder.
    entry : dict, optional
        The entry of a stage that has run.
    """
    found = {path for pattern in writes for path in out.glob(pattern) if path.is_file()}
    place = out / FOLDER / name
    if entry is not None:
        write_json(place / _ENTRY, entry)
    for path in sorted(found):
        _move(path, place / _FILES / path.relative_to(out))
        _remove_empty(path.parent, out)
    if found:
        logger.info("%s: not asked for; what it wrote is in %s", name, place)


def bring_back(name: str, out: Path) -> dict[str, Any] | None:
    """Move what a stage wrote to where it was, and give its entry.

    None where nothing was set aside, or where the stage had not been finished.
    """
    place = out / FOLDER / name
    if not place.is_dir():
        return None
    for path in sorted((place / _FILES).rglob("*")):
        if path.is_file():
            _move(path, out / path.relative_to(place / _FILES))
    entry: dict[str, Any] | None = None
    if (place / _ENTRY).is_file():
        entry = read_json(place / _ENTRY)
    logger.info("%s: asked for again; what it wrote is back from %s", name, place)
    return entry


def forget(name: str, out: Path) -> None:
    """Remove the emptied place of a stage, once its entry is in ``stages.json`` again."""
    shutil.rmtree(out / FOLDER / name, ignore_errors=True)
    with suppress(OSError):
        (out / FOLDER).rmdir()


def _move(path: Path, to: Path) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    path.replace(to)


def _remove_empty(folder: Path, out: Path) -> None:
    """Remove a folder, and those above it, as far as they are empty and in the study folder."""
    with suppress(OSError):  # it is not empty
        while folder != out:
            folder.rmdir()
            folder = folder.parent

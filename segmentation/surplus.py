"""Networks that a study no longer asks for: set aside, and taken back when it asks again.

When ``networks_per_fold`` or the number of folds is lowered, the surplus networks are moved to
``segmentation/set-aside/``, where nothing looks for networks, finished or not; so is a finished one
when settings, patients or images have changed and another is trained in its place. They cost hours
and are not removed; whoever does not want them can remove the folder. Of each name it holds the
last one.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence
from pathlib import Path

from .folds import NetworkName
from .lock import held
from .weights import network_folders

log = logging.getLogger(__name__)

ASIDE = "set-aside"


def arrange(folder: Path, wanted: Sequence[NetworkName], wait_s: float = 0.0) -> None:
    """Set surplus networks aside, and take back those that are wanted again and not there.

    Whether a network that is taken back is still the one that is asked for is for the training to
    see, by its key.

    Parameters
    ----------
    folder : Path
        ``segmentation`` in the study folder.
    wanted : sequence of NetworkName
        The networks that the settings ask for.
    wait_s : float
        How long to wait for a process that still writes one of them.
    """
    aside = folder / ASIDE
    for name, path in network_folders(folder).items():
        if name not in wanted:
            _move(folder, name, path, aside / path.name, wait_s)
            log.warning("%s is not asked for any more: set aside in %s", name, aside)
    for name, path in network_folders(aside).items():
        if name in wanted and not (folder / path.name).exists():
            _move(folder, name, path, folder / path.name, wait_s)
            log.info("%s is taken back from %s", name, aside)


def _move(folder: Path, name: NetworkName, source: Path, target: Path, wait_s: float) -> None:
    with held(folder / name.lock, str(source), wait_s):
        _replace(source, target)


def _replace(source: Path, target: Path) -> None:
    target.parent.mkdir(exist_ok=True)
    shutil.rmtree(target, ignore_errors=True)  # an older one, set aside before
    source.rename(target)


def set_aside(folder: Path, name: NetworkName) -> None:
    """Move a network aside; whoever calls holds its lock."""
    _replace(folder / name.folder, folder / ASIDE / name.folder)


def take_back(folder: Path, name: NetworkName) -> None:
    """Put the network that was set aside in the place of the one that is there, and that aside."""
    place, aside = folder / name.folder, folder / ASIDE / name.folder
    waiting = aside.with_name(f".{aside.name}")
    shutil.rmtree(waiting, ignore_errors=True)
    if place.exists():
        place.rename(waiting)
    aside.rename(place)
    if waiting.exists():
        waiting.rename(aside)
    log.info("%s is taken back from %s", name, folder / ASIDE)

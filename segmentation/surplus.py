"""Networks that a study does not ask for now: set aside, and taken back when it asks again.

When ``networks_per_fold`` or the number of folds is lowered, the surplus networks are moved to
``segmentation/set-aside/``, where nothing looks for networks; so is one when settings, patients or
images have changed and another is trained in its place. Networks that are not finished, their
training or pre-training goes on when they are taken back, are in ``set-aside/unfinished/``: they
take the place of no finished one. Both cost hours and are not removed; whoever does not want them
can remove the folder. Of each name either holds the last one.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence
from pathlib import Path

from ..files import read_json, sha256_file
from ..lock import held
from .fit import PRETRAINED
from .folds import NetworkName
from .weights import network_folders

log = logging.getLogger(__name__)

ASIDE = "set-aside"
UNFINISHED = "unfinished"


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
    for name, path in network_folders(folder).items():
        if name not in wanted:
            with held(folder / name.lock, str(path), wait_s):
                aside = _put_aside(folder, path, path.name)
            log.warning("%s is not asked for any more: set aside in %s", name, aside)
    for aside in (folder / ASIDE, folder / ASIDE / UNFINISHED):
        for name, path in network_folders(aside).items():
            if name in wanted and not (folder / path.name).exists():
                with held(folder / name.lock, str(path), wait_s):
                    path.rename(folder / path.name)
                log.info("%s is taken back from %s", name, aside)


def put_in_place(folder: Path, name: NetworkName, key: str) -> bool:
    """Bring what there is of the network of a key to its place; tell whether it is finished.

    What is there of another key is set aside, which is said. Whoever calls holds its lock.

    Parameters
    ----------
    folder : Path
        ``segmentation`` in the study folder.
    name : NetworkName
        The network.
    key : str
        Of what it is trained on and how.
    """
    place = folder / name.folder
    asides = (folder / ASIDE / place.name, folder / ASIDE / UNFINISHED / place.name)
    if _is_finished(place, key):
        return True
    if _is_finished(asides[0], key):
        _take_back(folder, name, asides[0])
        return True
    if _key_of(place / "training.json") == key:
        return False
    for aside in asides:
        if _key_of(aside / "training.json") == key:
            _take_back(folder, name, aside)
            return False
    if (found := _key_of(place / "model.json")) == key:
        log.warning("%s is trained anew: its weights in %s are damaged", name, place)
    elif found is not None or _is_begun(place):
        log.warning(
            "%s is trained anew: the %sone that was there had other settings, patients or images "
            "and is set aside in %s",
            *(name, "unfinished " if found is None else ""),
            _put_aside(folder, place, place.name),
        )
    shutil.rmtree(place, ignore_errors=True)
    return False


def _take_back(folder: Path, name: NetworkName, aside: Path) -> None:
    """Put the network that was set aside in the place of the one that is there, and that aside."""
    place = folder / name.folder
    waiting = folder / ASIDE / f".{place.name}"
    shutil.rmtree(waiting, ignore_errors=True)
    if place.exists():
        place.rename(waiting)
    aside.rename(place)
    if (waiting / "model.json").exists() or _is_begun(waiting):
        _put_aside(folder, waiting, place.name)
    shutil.rmtree(waiting, ignore_errors=True)
    log.info("%s is taken back from %s", name, aside.parent)


def _put_aside(folder: Path, path: Path, name: str) -> Path:
    """Move what is in a folder aside, in the place of an older one; give the folder where it is."""
    aside = folder / ASIDE
    if not (path / "model.json").exists():
        aside /= UNFINISHED
    aside.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(aside / name, ignore_errors=True)
    path.rename(aside / name)
    return aside


def _is_begun(path: Path) -> bool:
    """Whether a folder holds an epoch of a training or a pre-training."""
    return (path / PRETRAINED).exists() or any(path.glob("*.ckpt*"))


def _is_finished(path: Path, key: str) -> bool:
    """Whether a folder holds the network of a key, undamaged."""
    weights = path / "model.safetensors"
    if not weights.exists() or _key_of(path / "model.json") != key:
        return False
    return bool(sha256_file(weights) == read_json(path / "model.json").get("sha256"))


def _key_of(path: Path) -> str | None:
    return read_json(path).get("key") if path.exists() else None

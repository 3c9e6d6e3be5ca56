"""GPUs for networks that are trained side by side: each process takes a place on one of them.

A process holds the lock file of its place for as long as it lives, so that the place is free again
as soon as its process has ended, however it ended.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
import time
from pathlib import Path

from ..errors import MammoroiError
from ..files import sha256_of
from .config import SegmentationConfig
from .side_by_side import LOOK_S, ORPHAN_S

VISIBLE = "CUDA_VISIBLE_DEVICES"
_held: list[int] = []


def gpus_for_folds(config: SegmentationConfig, accelerator: str) -> list[str]:
    """Give the places for networks, each by the name of its GPU in ``CUDA_VISIBLE_DEVICES``.

    Every GPU is named ``networks_per_gpu`` times, all of them once before one is named again; with
    ``devices: 1`` the first one only. Empty where there is but one place, or where the settings
    give each network several devices.

    Raises
    ------
    MammoroiError
        When they give it more than there are.
    """
    import torch

    if accelerator == "cpu":
        return []
    count = torch.cuda.device_count() if accelerator == "gpu" else 1
    if config.devices != "auto" and int(config.devices) > count:
        raise MammoroiError(
            f"segmentation.devices is {config.devices}, and PyTorch finds {count} here",
            f"set it to auto, or to {count} or less",
        )
    if accelerator != "gpu" or config.devices not in ("auto", 1):
        return []
    names = [name.strip() for name in os.environ.get(VISIBLE, "").split(",") if name.strip()]
    names = names[:count] if len(names) >= count else [str(number) for number in range(count)]
    places = (names[:1] if config.devices == 1 else names) * config.networks_per_gpu
    return places if len(places) > 1 else []


def claim_gpu(folder: Path, names: list[str]) -> str:
    """Take a place that no other process of this training has; see only its GPU from now on.

    To be called in a fresh process, before CUDA is used. Where the file system of ``folder`` knows
    no locks, as some of clusters, the files are in the machine's folder for temporary ones.

    Raises
    ------
    MammoroiError
        When all are taken.
    """
    end = time.monotonic() + ORPHAN_S
    while time.monotonic() < end:
        for number, name in enumerate(names):
            before = names[:number].count(name)
            place = f"{name}-{before}" if before else name
            place = place.replace("/", "_")  # as in the names of MIG devices, MIG-GPU-.../1/0
            if _taken(folder, f".gpu-{place}.lock"):
                os.environ[VISIBLE] = name
                return name
        time.sleep(LOOK_S)
    raise MammoroiError(
        f"all {len(names)} places on GPUs are taken by other processes of this training",
        "wait for them or end them, then run the same command again",
    )


def _taken(folder: Path, file: str) -> bool:
    """Lock a file for as long as this process lives; tell whether nobody else had."""
    handle = os.open(folder / file, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(handle)
        temporary = Path(tempfile.gettempdir())
        if isinstance(error, BlockingIOError) or folder.parent == temporary:
            return False
        elsewhere = temporary / f"mammoroi-{sha256_of(str(folder.resolve()))[:16]}"
        elsewhere.mkdir(exist_ok=True)
        return _taken(elsewhere, file)
    _held.append(handle)
    return True

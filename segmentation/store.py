"""Prepared arrays: held in memory, or read from their files whenever one is asked for.

Both give the same bits. Files are mapped (:func:`numpy.load` with ``mmap_mode``), so that a window
of a large array costs only its own pages, and the operating system keeps what it has room for.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from ..errors import MammoroiError
from ..resources import free_memory
from .prepare import NORMALS
from .side_by_side import processes_beside

log = logging.getLogger(__name__)

Arrays = tuple[NDArray[np.float16], NDArray[np.uint8]]

BYTES_PER_PIXEL = 3  # float16 and uint8
SHARE_OF_FREE_MEMORY = 0.25
"""Arrays that need more than this are not held: those to tune on come on top of it."""


class ArrayStore:
    """Working arrays and masks of some images, on one canvas.

    Parameters
    ----------
    folder : Path
        ``segmentation/prepared``.
    image_ids : list of str
        Images that have a prepared mask, and last those without a lesion, ``normals/...``, whose
        masks are empty.
    canvas : (int, int)
        Rows and columns of the canvas; no image may be larger.
    in_memory : bool, optional
        Hold the arrays; None does so where they need at most a quarter of the free memory.
    masked : bool
        False reads no masks: that of every image is empty.

    Raises
    ------
    MammoroiError
        When an array is missing, damaged or not finite; all are read once.
    """

    def __init__(
        self,
        folder: Path,
        image_ids: list[str],
        canvas: tuple[int, int],
        in_memory: bool | None = None,
        masked: bool = True,
    ) -> None:
        self.folder = folder
        self.image_ids = list(image_ids)
        self.canvas = canvas
        self.masked = masked
        self.with_lesion = sum(not _is_normal(image_id) for image_id in image_ids)
        if in_memory is None:
            in_memory = fits(len(image_ids) * canvas[0] * canvas[1] * BYTES_PER_PIXEL)
        self.in_memory = in_memory
        self._held: list[Arrays] = []
        for image_id in image_ids:
            pair = self._read(image_id, mapped=False)
            if pair[0].shape[0] > canvas[0] or pair[0].shape[1] > canvas[1]:
                raise MammoroiError(
                    f"{folder / image_id}.npy is {pair[0].shape}, larger than the canvas {canvas}",
                    "delete segmentation/plan.json and train again",
                )
            if in_memory:
                self._held.append(pair)

    def __len__(self) -> int:
        return len(self.image_ids)

    def __getstate__(self) -> dict[str, Any]:
        """Go to the process of another device without the arrays.

        Each reads them from the files, of which the system holds one copy for all.
        """
        return vars(self) | {"in_memory": False, "_held": []}

    def __getitem__(self, number: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Give an image (float16) and its mask (uint8), each (1, rows, columns) of the canvas."""
        image, mask = (window(array, 0, 0, *self.canvas) for array in self.arrays(number))
        return torch.from_numpy(image), torch.from_numpy(mask)

    def arrays(self, number: int) -> Arrays:
        """Give an image and its mask as they were prepared, (working rows, working columns)."""
        if self.in_memory:
            return self._held[number]
        # Mapped anew each time: a map per file would be a limit of the system for large cohorts.
        return self._read(self.image_ids[number], mapped=True)

    def _read(self, image_id: str, mapped: bool) -> Arrays:
        image = load_array(self.folder / f"{image_id}.npy", mapped)
        if not self.masked or _is_normal(image_id):
            return image, np.broadcast_to(np.uint8(0), image.shape)
        return image, load_array(self.folder / f"{image_id}.mask.npy", mapped)


def _is_normal(image_id: str) -> bool:
    return image_id.startswith(f"{NORMALS}/")


def fits(needed: int) -> bool:
    """Tell whether so many bytes are at most a quarter of the free memory.

    Networks that are trained side by side load their arrays at the same time, and share it.
    """
    free = free_memory() / processes_beside()
    if needed <= SHARE_OF_FREE_MEMORY * free:
        return True
    log.info(
        "the prepared images would take %.1f GB of the network's %.1f GB of free memory: they stay "
        "on the disk",
        *(needed / 1e9, free / 1e9),
    )
    return False


def load_array(path: Path, mapped: bool = False) -> NDArray[Any]:
    """Read a prepared array, or map its file.

    Raises
    ------
    MammoroiError
        When it is missing or damaged, or, unless it is mapped, not finite.
    """
    again = "prepare it again: run mammoroi train where the mammograms are, and copy the folder"
    mode: Literal["r"] | None = "r" if mapped else None
    try:
        array: NDArray[Any] = np.load(path, mmap_mode=mode)
    except FileNotFoundError:
        raise MammoroiError(f"{path} is missing", again) from None
    except (ValueError, EOFError) as error:
        raise MammoroiError(f"{path} is damaged: {error}", again) from None
    if not mapped and array.dtype.kind == "f" and not np.isfinite(array).all():
        raise MammoroiError(f"{path} holds values that are not finite", again)
    return array


def window(array: NDArray[Any], top: int, left: int, height: int, width: int) -> NDArray[Any]:
    """Copy a window that may reach beyond the array, (1, height, width); 0 outside the array."""
    copy = np.zeros((1, height, width), array.dtype)
    first_row, last_row = max(top, 0), min(top + height, array.shape[0])
    first_column, last_column = max(left, 0), min(left + width, array.shape[1])
    if first_row < last_row and first_column < last_column:
        copy[0, first_row - top : last_row - top, first_column - left : last_column - left] = array[
            first_row:last_row, first_column:last_column
        ]
    return copy

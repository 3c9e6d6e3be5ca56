"""Checkpoints of which there is always a whole one.

Lightning writes a checkpoint into the system's folder for temporary files and moves it from there:
across two file systems this is a copy, and a training that is killed meanwhile leaves half a file.
Here it is written beside its place, to the disk, and renamed.
"""

from __future__ import annotations

import io
import logging
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO

from ..errors import MammoroiError
from ..files import atomic

log = logging.getLogger(__name__)

DAMAGED = ".damaged"
"""Follows the name of a checkpoint that cannot be read, until the network is finished."""


class WholeCheckpoints(TorchCheckpointIO):
    """Writes a checkpoint whole or not at all, and none whose weights are not finite."""

    def save_checkpoint(
        self,
        checkpoint: dict[str, Any],
        path: Any,
        storage_options: Any | None = None,  # noqa: ARG002
    ) -> None:
        """Write a checkpoint.

        Raises
        ------
        MammoroiError
            When a weight is not a finite number; the checkpoint before stays.
        OSError
            When it cannot be written; the checkpoint before stays.
        """
        # With several devices the weights alone go back to the parent this way, at the end.
        if names := not_finite(checkpoint.get("state_dict", checkpoint)):
            when = f"epoch {checkpoint['epoch']}" if "epoch" in checkpoint else "the last epoch"
            raise MammoroiError(
                f"after {when} {len(names)} of the network's tensors hold "
                f"values that are not finite, the first {names[0]}",
                "lower segmentation.learning_rate, or set segmentation.precision to 32",
            )
        content = io.BytesIO()
        torch.save(checkpoint, content)
        write_whole(Path(path), content.getbuffer())


def write_whole(path: Path, content: bytes | memoryview) -> None:
    """Write a file to the disk, whole or not at all."""
    with atomic(path, to_disk=True) as temporary:
        temporary.write_bytes(content)


def network_state(path: Path) -> tuple[dict[str, torch.Tensor], int]:
    """Give the network's tensors in a checkpoint, and its epoch."""
    checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    prefix = "network."
    state = {
        name.removeprefix(prefix): tensor
        for name, tensor in checkpoint["state_dict"].items()
        if name.startswith(prefix)
    }
    return state, int(checkpoint["epoch"])


def not_finite(state: dict[str, torch.Tensor]) -> list[str]:
    """Give the names of the tensors that hold NaN or infinity."""
    floating = {name: tensor for name, tensor in state.items() if tensor.is_floating_point()}
    if not floating:
        return []
    # All in one question: the host waits for a GPU only once.
    finite = torch.stack([tensor.isfinite().all() for tensor in floating.values()]).tolist()
    return [name for name, is_finite in zip(floating, finite, strict=True) if not is_finite]


def usable(path: Path) -> bool:
    """Tell whether a checkpoint is there and whole; a damaged one is said and renamed.

    Raises
    ------
    MammoroiError
        When it cannot be read for a reason that is not the file's own. It stays as it is.
    """
    if not path.exists():
        return False
    content = content_of(path)  # first: torch.load has OSErrors for damaged files, too
    try:
        torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)["loops"]
    except Exception as error:  # whatever torch.load says of a damaged file
        if isinstance(error, MemoryError) or "DefaultCPUAllocator" in str(error):
            raise _not_now(path, error) from error
        aside = path.with_name(path.name + DAMAGED)
        path.replace(aside)
        log.warning(
            "%s cannot be read, the fold starts again; the file is now %s: %s",
            *(path, aside.name, _first_line(error)),
        )
        return False
    return True


def content_of(path: Path) -> bytes:
    """Read a file that a training has saved.

    Raises
    ------
    MammoroiError
        When the disk or the memory fails, which says nothing of the file.
    """
    try:
        return path.read_bytes()
    except (OSError, MemoryError) as error:
        raise _not_now(path, error) from error


def _not_now(path: Path, error: Exception) -> MammoroiError:
    return MammoroiError(
        f"{path} cannot be read now: {_first_line(error)}",
        "see to the disk, its permissions and free memory; the training goes on after the last "
        "epoch that was saved",
    )


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0] or type(error).__name__

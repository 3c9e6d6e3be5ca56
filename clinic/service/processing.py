"""What the service computes unless it is told otherwise: :func:`..infer.infer`, file by file."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ..infer import infer

if TYPE_CHECKING:
    from ...errors import Failure
    from .child import Process


def processing(model: Path | None) -> Process:
    """Give the function that processes one study with a bundle, or with the shipped one."""
    return partial(_process, model)


def _process(model: Path | None, files: Sequence[Path], out: Path) -> list[Failure]:
    return infer(model, files, out)

"""torch.compile, where it is asked for and possible."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from lightning import Callback

from .config import SegmentationConfig

if TYPE_CHECKING:
    from lightning import Trainer
    from torch import nn

log = logging.getLogger(__name__)


class Compiling(Callback):
    """Compiles what a training computes with, in the process of each device.

    A network that is sent to another process arrives there uncompiled.

    Parameters
    ----------
    config : SegmentationConfig
        The settings.
    accelerator : str
        As Lightning names it.
    """

    def __init__(self, config: SegmentationConfig, accelerator: str) -> None:
        self.config = config
        self.accelerator = accelerator

    def setup(self, trainer: Trainer, module: Any, stage: str) -> None:  # noqa: ARG002
        """Compile the network, and what deep supervision adds to it."""
        for part in (module.network, module.supervision):
            if part is not None:
                compile_network(part, self.config, self.accelerator)


def compile_network(network: nn.Module, config: SegmentationConfig, accelerator: str) -> bool:
    """Compile a network in place, so that the names of its weights stay; tell whether it was done.

    Only on a GPU: on the CPU it takes longer to compile than it saves in a training, and results
    would no longer be bit for bit those of the uncompiled network. What cannot be compiled later,
    a new shape for example, is computed uncompiled, which PyTorch says by itself.
    """
    if config.compile == "off" or accelerator != "gpu":
        return False
    import torch._dynamo

    if reason := missing_compiler("cuda"):
        log.warning("torch.compile is not used, the network trains uncompiled: %s", reason)
        return False
    torch._dynamo.config.suppress_errors = True
    network.compile()
    return True


def missing_compiler(device: str) -> str | None:
    """Compile and run a small function on a device; give the reason when that fails."""
    import torch

    def small(values: torch.Tensor) -> torch.Tensor:
        return (values * 2).relu().sum()

    try:
        compiled = torch.compile(small)
        compiled(torch.ones(8, device=device)).item()
    except Exception as error:  # noqa: BLE001 - compilers fail in many ways, and none may end it
        return str(error).strip().partition("\n")[0] or type(error).__name__
    finally:
        torch._dynamo.reset()
    return None

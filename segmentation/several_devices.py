"""Several devices for one network: processes that say in their own words what ended them.

Lightning starts a process per device. PyTorch tells the one that started them of an error only as
a text; here the error itself comes back, so that it is named, and survived, as with one device.
"""

from __future__ import annotations

import logging
import os
import pickle
from collections.abc import Callable
from typing import Any, Final

from lightning.pytorch.strategies import DDPStrategy
from lightning.pytorch.strategies.launchers.multiprocessing import _MultiProcessingLauncher
from torch import multiprocessing
from torch.multiprocessing.spawn import ProcessExitedException, ProcessRaisedException

from ..errors import MammoroiError
from .callbacks import quiet_lightning
from .side_by_side import end_with_parent

log = logging.getLogger(__name__)

START: Final = "spawn"


class SeveralDevices(DDPStrategy):
    """DistributedDataParallel whose processes are quiet and tell of their errors.

    Parameters
    ----------
    unused : bool
        Whether the network may have weights that take no part, as some encoders of
        segmentation-models-pytorch (``efficientnet-b0``): they are then looked for in every step.
    """

    def __init__(self, unused: bool) -> None:
        super().__init__(start_method=START, find_unused_parameters=unused)

    def _configure_launcher(self) -> None:
        self._launcher = _Launcher(self, START)


class _Launcher(_MultiProcessingLauncher):
    def launch(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call a function in a process per device, and raise what the first of them raised."""
        errors = multiprocessing.get_context(START).SimpleQueue()
        try:
            return super().launch(Told(function, errors), *args, **kwargs)
        except ProcessRaisedException as error:
            log.debug("%s", error)
            if errors.empty():
                raise
            raise errors.get() from None
        except ProcessExitedException as error:
            raise MammoroiError(
                f"one of the processes of its devices was killed: {error}",
                "most likely memory ran out: lower segmentation.workers, or raise "
                "segmentation.working_spacing_mm",
            ) from None


class Told:
    """A function that sends an exception away before it raises it.

    Parameters
    ----------
    function : callable
        The function.
    errors
        A queue, to which whoever fails first is the first to write.
    """

    def __init__(self, function: Callable[..., Any], errors: Any) -> None:
        self.function = function
        self.errors = errors
        self.parent = os.getpid()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function, with as little said as where there is one device.

        A process that waits for another one on a GPU hears no signal: it ends with its parent all
        the same.
        """
        if os.getpid() != self.parent:
            end_with_parent(self.parent)
        with quiet_lightning():
            try:
                return self.function(*args, **kwargs)
            except Exception as error:
                self.errors.put(_sendable(error))
                raise


def _sendable(error: Exception) -> Exception:
    """Give the exception, or one that says the same where it cannot be sent."""
    try:
        if type(pickle.loads(pickle.dumps(error))) is type(error):  # noqa: S301 - its own
            return error
    except Exception:  # noqa: BLE001 - whatever an exception of a library cannot do
        log.debug("%s cannot be sent", type(error))
    return RuntimeError(f"{type(error).__name__}: {error}")

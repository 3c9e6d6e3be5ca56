"""One writer at a time: a file that a process holds for as long as it lives."""

from __future__ import annotations

import fcntl
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import MammoroiError

log = logging.getLogger(__name__)

_LOOK_S = 0.1


@contextmanager
def held(path: Path, what: str, wait_s: float = 0.0) -> Iterator[None]:
    """Hold a lock file for a block of code; the kernel frees it when its holder dies.

    Parameters
    ----------
    path : Path
        The file. It stays behind, empty: a file that is held must not be replaced by another.
    what : str
        What is being written, for the message.
    wait_s : float
        How long to wait for another holder.

    Raises
    ------
    MammoroiError
        When another process holds the file; it is named by its id.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="ascii") as stream:
        end = time.monotonic() + wait_s
        while not _taken(stream.fileno(), path):
            if time.monotonic() >= end:
                stream.seek(0)
                holder = stream.read().strip() or "unknown"
                raise MammoroiError(
                    f"{what} is being written by another process (id {holder})",
                    "wait for it or end it, then run the same command again",
                )
            time.sleep(_LOOK_S)
        stream.truncate(0)
        stream.write(str(os.getpid()))
        stream.flush()
        try:
            yield
        finally:
            stream.truncate(0)


def _taken(handle: int, path: Path) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        log.warning("%s cannot be locked (%s): start nothing else here", path, error.strerror)
    return True

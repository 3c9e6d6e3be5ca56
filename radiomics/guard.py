"""Limits of one case: the time that it may take, the memory that its process may allocate.

Both end as an exception inside the case that crossed them, so that the case is recorded and the
others go on; they work alike in the main thread, in worker processes and in a worker's threads.

The time limit is a timer that raises in the working thread. Python delivers such an exception
between two of its own instructions: a call into compiled code is interrupted when it returns, not
before. The memory limit is the kernel's (``RLIMIT_DATA``): an allocation beyond it is refused.
Compiled code that does not check for a refusal may end its process, or never return (OpenBLAS
waits for memory for ever); for the latter :func:`last_resort` ends the process. What becomes of the
case then is for :mod:`.pool` and :mod:`.cluster`. No limit can change a value, so none is part of a
cache key.
"""

from __future__ import annotations

import ctypes
import faulthandler
import resource
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import psutil

from ..errors import MammoroiError
from ..resources import all_memory

Result = TypeVar("Result")
GIB = 2**30
LEAST_SHARE_GIB = 1.0
GRACE_S = 30.0
"""Beyond its time limit, before a process is taken to hang."""


class _Expired(BaseException):
    """The time is up; no ``except Exception`` between the case and its limit takes it."""


def within(seconds: float, call: Callable[[], Result]) -> Result:
    """Call a function that may take so many seconds of wall time; 0 is no limit.

    Raises
    ------
    MammoroiError
        When it took longer, or asked for more memory than its process may have.
    """
    lock = threading.Lock()
    thread = threading.get_ident()
    over = fired = False

    def fire() -> None:
        nonlocal fired
        with lock:
            if not over:
                fired = True
                _raise_in(thread, _Expired)

    timer = threading.Timer(seconds, fire)
    timer.daemon = True
    try:
        try:
            if seconds:
                timer.start()
            return call()
        finally:
            timer.cancel()
            with lock:
                over = True
                if fired:  # raised, but perhaps not yet delivered: it must not hit the next case
                    _raise_in(thread, None)
    except _Expired:
        raise MammoroiError(
            f"not done after {seconds:g} s, the time limit of a case",
            "look at the size of image and mask; raise radiomics.time_limit_s if they are meant",
        ) from None
    except MemoryError as error:
        raise _too_much_memory(error) from None
    except RuntimeError as error:
        if "allocate memory" in str(error):  # how SimpleITK says it
            raise _too_much_memory(error) from None
        raise


def _too_much_memory(error: Exception) -> MammoroiError:
    reason = str(error).rstrip().rpartition("\n")[2] or "an allocation was refused"
    return MammoroiError(
        f"more memory is needed than the process may have: {reason}",
        "look at the size of image and mask; if they are meant, raise radiomics.memory_limit_gb "
        "or lower radiomics.workers",
    )


def _raise_in(thread: int, exception: type[BaseException] | None) -> None:
    """Raise an exception in a thread as soon as it runs Python again; None takes it back."""
    raised = None if exception is None else ctypes.py_object(exception)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), raised)


@contextmanager
def last_resort(seconds: float) -> Iterator[None]:
    """End this process when a block of code takes longer; 0 is never.

    For processes that may be lost, and that do one thing at a time. The timer needs no Python to
    run; it says on the standard error stream where the process hung.
    """
    if seconds:
        faulthandler.dump_traceback_later(seconds, exit=True)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


def share_gib(processes: int) -> float:
    """Memory (GiB) for each of some processes: an equal share of this machine, container or job."""
    return max(all_memory() / processes / GIB, LEAST_SHARE_GIB)


def limit_memory(gib: float) -> None:
    """Limit what this process may allocate from now on; 0, or a limit already set, changes nothing.

    Parameters
    ----------
    gib : float
        Beyond what the process holds now: what its imports took is no case's fault.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if gib and soft == resource.RLIM_INFINITY:
        held = psutil.Process().memory_info().data
        resource.setrlimit(resource.RLIMIT_DATA, (int(held + gib * GIB), hard))


@contextmanager
def limited_memory(gib: float) -> Iterator[None]:
    """:func:`limit_memory` for a block of code."""
    before = resource.getrlimit(resource.RLIMIT_DATA)
    limit_memory(gib)
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)


def peak_memory_mb() -> float:
    """Most memory (MiB, resident) that this process has held so far.

    Not ``getrusage``: a process inherits that number from the one that started it.
    """
    status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    return int(status.split("VmHWM:")[1].split()[0]) / 1024

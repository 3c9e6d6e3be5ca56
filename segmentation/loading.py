"""Loader processes: what ended them, in words.

They load batches for a GPU. PyTorch tells of an error in one as a text with its whole traceback,
and of one that was killed by the number of the signal.
"""

from __future__ import annotations

import errno
import os
import re

from ..errors import MammoroiError

_SHARED = ("allocate shared memory", "out of shared memory")
_KILLED = re.compile(r"DataLoader worker \(pid(?:\(s\))? [0-9, ]+\) (?:is killed|exited)[^.\n]*")
_FILES = ("Too many open files", "received 0 items of ancdata")
_OWN = re.compile(r"MammoroiError: (.+) -> (.+)")


def named(error: BaseException) -> BaseException:
    """Give what a loader process ended with as an error that says what to do, or the error itself.

    Parameters
    ----------
    error : BaseException
        Of a training.
    """
    text = str(error)
    if any(words in text for words in _SHARED):
        return MammoroiError(
            "the shared memory through which loader processes hand over batches (/dev/shm) is full",
            "give a container more of it (docker run --ipc=host, or --shm-size=8g), or lower "
            "segmentation.workers or segmentation.batch_size",
        )
    number = error.errno if isinstance(error, OSError) else None
    if number in (errno.EAGAIN, errno.ENOMEM):
        return MammoroiError(
            f"a process that loads images could not be started: {os.strerror(number)}",
            "lower segmentation.workers, or raise the limits of processes (ulimit -u) and memory",
        )
    if number == errno.EMFILE or any(words in text for words in _FILES):
        return MammoroiError(
            "the training has too many files open",
            "raise the limit (ulimit -n 65536), or lower segmentation.workers",
        )
    if killed := _KILLED.search(text):
        return MammoroiError(
            f"a process that loads images ended: {killed[0]}",
            "most likely memory ran out: lower segmentation.workers, or raise "
            "segmentation.working_spacing_mm",
        )
    last = _OWN.search(text.strip().rpartition("\n")[2])
    if last and "in DataLoader worker" in text:
        return MammoroiError(last[1], last[2])
    return error

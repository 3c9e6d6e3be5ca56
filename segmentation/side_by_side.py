"""Long jobs in processes of this machine (joblib's loky), which end with the one that started them.

A job that raises, or whose process dies, takes no other job with it. The processes look after their
parent: when it is gone, however it ended, they end too, within :data:`LOOK_S`. What they log is
logged by the parent: only it knows the format, and what else is on the terminal, such as bars.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

Result = TypeVar("Result")
LOOK_S = 0.2
ORPHAN_S = 10.0
"""Processes of a training that was killed live on for a moment, and hold what it held: those that
load images look for the one that began them every 5 seconds."""
_together = 1

log = logging.getLogger(__name__)


def side_by_side(
    calls: Sequence[tuple[Callable[..., Result], tuple[Any, ...]]],
    processes: int,
    threads: int,
    begin: Callable[[], Any] | None = None,
) -> Iterator[tuple[int, Result | BaseException]]:
    """Call functions in processes; give each call's number and its result or exception.

    When a process is killed, most likely for want of memory, the calls that were not done are
    called again by half as many processes. Where one is killed again, those that were being
    computed are called one at a time, and the one whose process dies then is given up.

    Parameters
    ----------
    calls : sequence of (function, arguments)
        Functions of modules: they are sent by name.
    processes, threads : int
        How many processes, and how many threads each computes with.
    begin : callable, optional
        What every process does first.
    """
    left = list(range(len(calls)))
    together = processes
    while left and together > 1:
        for number, result in _once(calls, left, together, threads, begin):
            if not isinstance(result, BrokenProcessPool):
                left = [other for other in left if other != number]
                yield number, result
        if not left:
            return
        if together == processes:
            together //= 2
            log.warning(
                "a process was killed, most likely for want of memory; %d of %d go on, %d at once",
                *(len(left), len(calls), together),
            )
            continue
        suspects, left = left[:together], left[together:]  # they are called in this order
        log.warning("a process was killed again; %d go on, one at a time", len(suspects))
        for number in suspects:
            yield from _once(calls, [number], 1, threads, begin)
    for number in left:
        yield from _once(calls, [number], 1, threads, begin)


def processes_beside() -> int:
    """Tell how many processes :func:`side_by_side` keeps busy, in one of them; else 1."""
    return _together


def _once(
    calls: Sequence[tuple[Callable[..., Result], tuple[Any, ...]]],
    numbers: Sequence[int],
    processes: int,
    threads: int,
    begin: Callable[[], Any] | None,
) -> Iterator[tuple[int, Result | BaseException]]:
    from joblib.externals.loky import ProcessPoolExecutor

    names = ("OMP", "OPENBLAS", "MKL", "BLIS", "NUMBA", "NUMEXPR")
    with _relayed() as messages:
        pool = ProcessPoolExecutor(
            processes,
            env={f"{name}_NUM_THREADS": str(threads) for name in names},
            initializer=_begin,
            initargs=(os.getpid(), processes, begin, messages, _package().getEffectiveLevel()),
        )
        running: dict[Future[Result], int] = {}
        try:
            for number in numbers:
                function, arguments = calls[number]
                running[pool.submit(function, *arguments)] = number
            for future in as_completed(running):
                yield running[future], future.exception() or future.result()
        finally:
            pool.shutdown(kill_workers=True)


def _begin(
    parent: int, processes: int, begin: Callable[[], Any] | None, messages: Path, level: int
) -> None:
    global _together
    _together = processes
    end_with_parent(parent)
    logging.getLogger().addHandler(_ToFile(messages))
    _package().setLevel(level)
    if begin is not None:
        try:
            begin()
        except Exception as error:
            log.warning("a process cannot begin: %s", error)
            raise


def _package() -> logging.Logger:
    """Give the logger above all of this package."""
    return logging.getLogger(__name__.partition(".")[0])


class _ToFile(logging.Handler):
    """Appends what is logged to a file, a line each: no lock that a killed process could keep."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self._file = file

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        line = json.dumps([record.levelno, record.name, self.format(record)])
        try:
            with self._file.open("a", encoding="utf-8") as stream:
                stream.write(f"{line}\n")
        except OSError:
            self.handleError(record)


@contextmanager
def _relayed() -> Iterator[Path]:
    """Log here, within, what :class:`_ToFile` writes to the file that is given."""
    with TemporaryDirectory() as folder:
        messages = Path(folder) / "messages"
        messages.touch()
        ended = threading.Event()
        thread = threading.Thread(target=_relay, args=(messages, ended), daemon=True)
        thread.start()
        try:
            yield messages
        finally:
            ended.set()
            thread.join()


def _relay(messages: Path, ended: threading.Event) -> None:
    """Look for new lines, again and again until what writes them has ended."""
    rest = ""
    last = False
    with messages.open(encoding="utf-8") as stream:
        while not last:
            last = ended.wait(LOOK_S)
            *lines, rest = (rest + stream.read()).split("\n")
            for line in lines:
                level, name, text = json.loads(line)
                logging.getLogger(name).log(level, "%s", text)


def end_with_parent(parent: int) -> None:
    """End this process as soon as the one with this id is no longer its parent.

    A thread looks, because Linux' own signal (``PR_SET_PDEATHSIG``) comes when the *thread* that
    started the process ends, and other systems have none.
    """

    def look() -> None:
        while os.getppid() == parent:
            time.sleep(LOOK_S)
        os._exit(1)

    threading.Thread(target=look, daemon=True, name="end with parent").start()

"""Long jobs in processes of this machine (joblib's loky), which end with the one that started them.

A job that raises, or whose process dies, takes no other job with it. The processes look after their
parent: when it is gone, however it ended, they end too, within :data:`LOOK_S`.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

Result = TypeVar("Result")
LOOK_S = 0.2


def side_by_side(
    calls: Sequence[tuple[Callable[..., Result], tuple[Any, ...]]],
    processes: int,
    threads: int,
    begin: Callable[[], Any] | None = None,
) -> Iterator[tuple[int, Result | BaseException]]:
    """Call functions in processes; give each call's number and its result or exception.

    When a process is killed, most likely for want of memory, the calls that were not done are
    called again, one at a time: the one whose process dies again is given up.

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
    for together in (processes, 1):
        for group in [left] if together > 1 else [[number] for number in left]:
            for number, result in _once(calls, group, together, threads, begin):
                if isinstance(result, BrokenProcessPool) and together > 1:
                    continue
                left = [other for other in left if other != number]
                yield number, result


def _once(
    calls: Sequence[tuple[Callable[..., Result], tuple[Any, ...]]],
    numbers: Sequence[int],
    processes: int,
    threads: int,
    begin: Callable[[], Any] | None,
) -> Iterator[tuple[int, Result | BaseException]]:
    from joblib.externals.loky import ProcessPoolExecutor

    names = ("OMP", "OPENBLAS", "MKL", "BLIS", "NUMBA", "NUMEXPR")
    pool = ProcessPoolExecutor(
        processes,
        env={f"{name}_NUM_THREADS": str(threads) for name in names},
        initializer=_begin,
        initargs=(os.getpid(), begin),
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


def _begin(parent: int, begin: Callable[[], Any] | None) -> None:
    end_with_parent(parent)
    if begin is not None:
        begin()


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

"""Items to processes of this machine (joblib's loky), of which any may die.

Only a few items more than there are processes are handed out at a time, so that this process does
not grow with their number. When a process dies, for want of memory or for a fault in compiled code,
the items that were handed out are run again in new processes, one at a time: the one whose process
dies again is given up, and the others have lost nothing but time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from typing import Any, TypeVar

from joblib.externals.loky import ProcessPoolExecutor

from ..errors import MammoroiError

Item = TypeVar("Item")
Result = TypeVar("Result")
SPARE = 2
"""Items handed out beyond one for each process, so that no process waits for its next."""
DEATHS_IN_A_ROW = 10
_IDLE_S = 300
_ONE_THREAD = {
    f"{library}_NUM_THREADS": "1"
    for library in ("OMP", "OPENBLAS", "MKL", "BLIS", "NUMBA", "NUMEXPR")
}


def in_processes(
    call: Callable[[Item], Result], items: Iterable[Item], workers: int
) -> Iterator[tuple[Item, Result | BaseException]]:
    """Call a function on every item; yields each with its result or exception, in any order.

    One worker is this process itself: nothing is started, and nothing survives its death.

    Raises
    ------
    MammoroiError
        When :data:`DEATHS_IN_A_ROW` processes died and no item was done between.
    """
    if workers == 1:
        yield from ((item, call(item)) for item in items)
        return
    fresh, deaths = iter(items), 0
    running: dict[Future[Result], Item] = {}
    pool = _Processes(call, workers)
    try:
        while True:
            for item in islice(fresh, workers + SPARE - len(running)):
                running[pool.submit(item)] = item
            if not running:
                return
            done = wait(running, return_when=FIRST_COMPLETED).done
            if any(_died(future) for future in done):
                done = wait(running).done
                pool.restart()
            ended = [(future, running.pop(future)) for future in done]
            for future, item in ended:
                if not _died(future):
                    deaths = 0
                    yield item, future.exception() or future.result()
            for item in [item for future, item in ended if _died(future)]:
                again = pool.submit(item)
                wait([again])
                if _died(again):
                    deaths += 1
                    _stop_after(deaths)
                    pool.restart()
                    yield item, _given_up()
                else:
                    deaths = 0
                    yield item, again.exception() or again.result()
    finally:
        pool.end()


class _Processes:
    """A pool that can be replaced by a new one."""

    def __init__(self, call: Callable[[Any], Any], workers: int) -> None:
        self._call, self._workers = call, workers
        self._pool = self._start()

    def _start(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(self._workers, timeout=_IDLE_S, env=_ONE_THREAD)

    def submit(self, item: Any) -> Future[Any]:
        try:
            future: Future[Any] = self._pool.submit(self._call, item)
        except BrokenProcessPool as error:  # a process died since the last look
            future = Future()
            future.set_exception(error)
        return future

    def restart(self) -> None:
        self.end()
        self._pool = self._start()

    def end(self) -> None:
        self._pool.shutdown(kill_workers=True)


def _died(future: Future[Any]) -> bool:
    return isinstance(future.exception(), BrokenProcessPool)


def _given_up() -> MammoroiError:
    return MammoroiError(
        "its process was killed twice, the second time while nothing else ran",
        "most likely memory ran out, or it hung beyond its time limit: look at the size of image "
        "and mask, lower radiomics.workers; a lower radiomics.memory_limit_gb may tell more",
    )


def _stop_after(deaths: int) -> None:
    if deaths >= DEATHS_IN_A_ROW:
        raise MammoroiError(
            f"{deaths} processes in a row were killed, whatever they worked on",
            "free memory, or set radiomics.workers lower, and run again: finished cases are kept",
        )

"""One function over many cases: in several processes, with a progress bar, in the cases' order.

This is the room's boundary of one case: whatever goes wrong inside becomes a recorded failure, also
that its process was killed, as by a library that crashes on a file.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from functools import cache
from typing import Any, TypeVar

from ..errors import Failure
from ..progress import with_bar
from ..resources import cores
from .side_by_side import end_with_parent, side_by_side

Result = TypeVar("Result")
Case = tuple[str, tuple[Any, ...]]

log = logging.getLogger(__name__)

# Starting a process that imports the imaging libraries takes as long as this many small images.
_CASES_PER_PROCESS = 60


def map_cases(
    function: Callable[..., Result],
    cases: Sequence[Case],
    stage: str,
    description: str,
    workers: int = 1,
) -> Iterator[Result | Failure]:
    """Yield ``function(*arguments)`` for every case, or why there is none.

    Parameters
    ----------
    function : callable
        With more than one process, a function of a module: it is sent there by name.
    cases : sequence of (str, tuple)
        A case's name and the function's arguments for it.
    stage : str
        The stage as failures name it.
    description : str
        Text before the progress bar.
    workers : int
        Processes; 0 is one per core that may be used. Few cases take fewer.
    """
    processes = min(workers or cores(), 1 + len(cases) // _CASES_PER_PROCESS)
    results: Iterator[Result | Failure]
    if processes == 1:
        results = (_attempt(function, name, stage, arguments) for name, arguments in cases)
    else:
        results = _in_processes(function, cases, stage, processes)
    yield from with_bar(results, description, len(cases))


def _in_processes(
    function: Callable[..., Result], cases: Sequence[Case], stage: str, processes: int
) -> Iterator[Result | Failure]:
    """Call the function in processes; when one is killed, look for the case that it was."""
    from joblib import Parallel, delayed

    done = 0
    while done < len(cases):
        try:
            for result in Parallel(n_jobs=processes, return_as="generator")(
                delayed(_attempt_in_process)(os.getpid(), function, name, stage, arguments)
                for name, arguments in cases[done:]
            ):
                done += 1
                yield result
        except BrokenProcessPool:
            processes = max(2, processes // 2)
            suspects = cases[done : done + 2 * processes]  # so many are handed out at a time
            log.warning(
                "a process was killed, for want of memory or by a library that crashed; %d of the "
                "%d cases left are tried one at a time, the others %d at once",
                *(len(suspects), len(cases) - done, processes),
            )
            for name, arguments in suspects:
                done += 1
                yield _alone(function, name, stage, arguments)


def _attempt_in_process(parent: int, *given: Any) -> Any:
    _watch(parent)
    return _attempt(*given)


@cache
def _watch(parent: int) -> None:
    """Let this process end with its parent, which joblib leaves alive for minutes."""
    end_with_parent(parent)


def _alone(
    function: Callable[..., Result], name: str, stage: str, arguments: tuple[Any, ...]
) -> Result | Failure:
    """Call the function in a process of its own, which may be killed."""
    calls = [(_attempt, (function, name, stage, arguments))]
    ((_, result),) = side_by_side(calls, 1, 1)
    if isinstance(result, BrokenProcessPool):
        return Failure(
            name,
            stage,
            "its process was killed, also when it ran alone",
            "a library crashed on one of its files, or memory ran out: open the files in another "
            "program and save them anew, or take the case out of the cohort",
        )
    if isinstance(result, BaseException):
        raise result
    return result


def _attempt(
    function: Callable[..., Result], name: str, stage: str, arguments: tuple[Any, ...]
) -> Result | Failure:
    try:
        return function(*arguments)
    except Exception as error:  # noqa: BLE001 - one bad case must not stop the others
        return Failure.of(name, stage, error)

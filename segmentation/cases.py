"""One function over many cases: in several processes, with a progress bar, in the cases' order.

This is the room's boundary of one case: whatever goes wrong inside becomes a recorded failure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from ..errors import Failure
from ..progress import with_bar
from ..resources import cores

Result = TypeVar("Result")

# Starting a process that imports the imaging libraries takes as long as this many small images.
_CASES_PER_PROCESS = 60


def map_cases(
    function: Callable[..., Result],
    cases: Sequence[tuple[str, tuple[Any, ...]]],
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
    from joblib import Parallel, delayed

    processes = min(workers or cores(), 1 + len(cases) // _CASES_PER_PROCESS)
    results = Parallel(n_jobs=processes, return_as="generator")(
        delayed(_attempt)(function, name, stage, arguments) for name, arguments in cases
    )
    yield from with_bar(results, description, len(cases))


def _attempt(
    function: Callable[..., Result], name: str, stage: str, arguments: tuple[Any, ...]
) -> Result | Failure:
    try:
        return function(*arguments)
    except Exception as error:  # noqa: BLE001 - one bad case must not stop the others
        return Failure.of(name, stage, error)

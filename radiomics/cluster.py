"""Items to the workers of a Dask cluster.

The scheduler is sent paths and gets rows back, never images, and never more than a few items for
each of its threads, so that it stays small however long the list is. A lost worker's items go to
the others. An item that loses ``distributed.scheduler.allowed-failures`` workers in a row may only
have waited beside the one that killed them: when all others are done it is tried again, alone, and
given up if it loses as many then. Workers that join during a run are used.
"""

from __future__ import annotations

import contextlib
import importlib
import socket
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from .. import __version__
from ..errors import MammoroiError
from .cache import environment

Item = TypeVar("Item")
Result = TypeVar("Result")
PER_THREAD = 2
"""Items handed out for each thread of the cluster, so that none waits for its next."""
_LOOK_EVERY = 50
_CONNECT_S = 20
_WORKERS_S = 60


def on_cluster(
    call: Callable[[Item], Result], items: Iterable[Item], address: str
) -> Iterator[tuple[Item, Result | BaseException]]:
    """Call a function on every item; yields each with its result or exception, in any order.

    Parameters
    ----------
    call : Callable
        Of a module that the workers can import.
    items : Iterable
        Small: they pass through the scheduler.
    address : str
        Of the scheduler, as in ``tcp://host:8786``.

    Raises
    ------
    MammoroiError
        When Dask is not installed here, the scheduler cannot be reached or is lost, no worker
        comes, or a worker's versions are not those of this process.
    """
    distributed = _distributed(address)
    with contextlib.closing(_connect(distributed, address)) as client:
        _require_equal(client)
        fresh = iter(items)
        suspects: list[Item] = []
        alone = False
        running: dict[Any, Item] = {}
        waiting = distributed.as_completed(loop=client.loop)
        room, ended = 0, 0

        def submit(item: Item) -> None:
            future = client.submit(call, item, pure=False)
            running[future.key] = item
            waiting.add(future)

        while True:
            if ended % _LOOK_EVERY == 0:
                room = PER_THREAD * max(sum(client.nthreads().values()), 1)
            for item in fresh if len(running) < room else ():
                submit(item)
                if len(running) >= room:
                    break
            if not running and suspects:  # all others are done
                alone = True
                submit(suspects.pop())
            if not running:
                return
            future = next(waiting)
            ended += 1
            item, outcome = running.pop(future.key), _outcome(distributed, future, address)
            if not alone and _killed(distributed, future):
                suspects.append(item)
            else:
                yield item, outcome


def require_here(*paths: Path) -> None:
    """Check on a worker that it sees the study's files.

    Raises
    ------
    MammoroiError
        For the first path that is not there.
    """
    for path in paths:
        if not path.exists():
            raise MammoroiError(
                f"{path} does not exist on the worker {socket.gethostname()}",
                "give every worker the study and its images at the same absolute path",
            )


def one_thread_here() -> bool:
    """Whether this worker does one thing at a time."""
    worker: Any = importlib.import_module("distributed").get_worker()
    return bool(worker.state.nthreads == 1)


def _distributed(address: str) -> Any:
    try:
        return importlib.import_module("distributed")
    except ImportError:
        raise MammoroiError(
            f"Dask is asked for (radiomics.dask is {address}), and `distributed` is not installed",
            "pip install 'mammoroi[dask]' here and on the workers",
        ) from None


def _connect(distributed: Any, address: str) -> Any:
    try:
        return distributed.Client(address, timeout=_CONNECT_S, set_as_default=False)
    except (OSError, ValueError) as error:
        raise MammoroiError(
            f"no Dask scheduler answers at {address}: {error}",
            "start one with `dask scheduler`, and give the address that it prints",
        ) from None


def _require_equal(client: Any) -> None:
    """Refuse workers whose values, or whose language, could differ from this process's."""
    try:
        client.wait_for_workers(1, timeout=_WORKERS_S)
        there = client.run(environment)
    except TimeoutError:
        raise MammoroiError(
            f"the Dask scheduler has had no worker for {_WORKERS_S} s",
            "start workers with `dask worker ADDRESS`",
        ) from None
    except (ImportError, AttributeError) as error:
        raise MammoroiError(
            f"a Dask worker cannot import mammoroi {__version__}: {error}",
            "start the workers in an environment like this one",
        ) from None
    here = environment()
    for worker, found in there.items():
        for name in sorted(here.keys() | found.keys()):
            if here.get(name) != found.get(name):
                raise MammoroiError(
                    f"the Dask worker {worker} has {name} {found.get(name)}, this process "
                    f"{here.get(name)}",
                    "start the workers in an environment like this one",
                )


def _killed(distributed: Any, future: Any) -> bool:
    return future.status == "error" and isinstance(future.exception(), distributed.KilledWorker)


def _outcome(distributed: Any, future: Any, address: str) -> Any:
    try:
        return future.result()
    except distributed.KilledWorker as error:
        return MammoroiError(
            f"{error.allowed_failures + 1} Dask workers died while it ran, the last of them "
            f"{error.last_worker.address}",
            "most likely memory ran out: give the workers more (`--memory-limit`), or set "
            "radiomics.memory_limit_gb so that the case is stopped with its reason",
        )
    except distributed.CancelledError:
        raise MammoroiError(
            f"the Dask scheduler at {address} was lost",
            "start it again and run again: finished cases are kept",
        ) from None
    except Exception as error:  # noqa: BLE001  whatever the item ran into is the caller's to record
        return error

"""The process that computes. It may crash, hang or eat the memory; the service goes on.

It is started once and does one case after the other, so that models are loaded once. It is killed
when a case takes too long or holds too much memory, and it ends by itself when the service is gone:
it looks for it four times a second. Until it has ended it holds a lock, so that a service that was
killed and started again never shares a case with the process of its predecessor.

What it and its libraries print goes to ``out/process.log`` of the case, and never to the log.
"""

from __future__ import annotations

import fcntl
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from ...errors import Failure, MammoroiError, is_disk_full
from ..privacy import hide_values

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.context import SpawnProcess

LOGGER = logging.getLogger(__name__)
Process = Callable[[Sequence[Path], Path], list[Failure]]
"""What computes: takes the DICOM files of one study and a folder for results.

DICOM objects to be sent are to be in ``OUT/objects`` or below, as ``*.dcm``, when it returns; what
it returns are the images that could not be processed, named by their files' stems. If it has a
method ``prepare()``, that is called once before the first case; it says in a few words what is run,
or raises a :class:`MammoroiError`.
"""

_LOOK_S = 0.25
_PREDECESSOR_S = 60.0
_START_S = 300.0
_LOG = "process.log"


@dataclass(frozen=True)
class Outcome:
    """How a case ended in the process.

    Attributes
    ----------
    reason : str or None
        Why there is no result: ``crash``, ``memory``, ``timeout``, ``error`` (an exception);
        ``stopped`` (the service was told to stop) and ``unready`` (the process could not be
        started, or the disk is full), which are not the case's fault; None when it returned.
    detail : str
        For the case's record, which lies beside its images; never for the log.
    failures : tuple of Failure
        What it returned.
    """

    reason: str | None
    detail: str = ""
    failures: tuple[Failure, ...] = ()


class Child:
    """A process that computes, replaced when it died or is due.

    Parameters
    ----------
    process : callable
        Importable by its name, as it is called in another process.
    lock : Path
        File that the process locks while it lives.
    timeout_s, memory_gb : float
        Limits of a case.
    cases : int
        So many cases a process is used for.

    Attributes
    ----------
    runs : str
        What the process says that it runs, once it was started.
    """

    def __init__(
        self, process: Process, lock: Path, timeout_s: float, memory_gb: float, cases: int
    ) -> None:
        self._process, self._lock, self._cases = process, lock, cases
        self._timeout_s, self._memory = timeout_s, memory_gb * 1e9
        self._handle: SpawnProcess | None = None
        self._running: psutil.Process | None = None
        self._pipe: Connection | None = None
        self._done = 0
        self.runs = ""

    def run(self, files: Sequence[Path], out: Path, stop: threading.Event) -> Outcome:
        """Process one case; kill the process when ``stop`` is set."""
        if self._done >= self._cases:
            self.end()
        try:
            if not self.start(stop):
                return Outcome("stopped")
            assert self._pipe is not None
            self._pipe.send((list(files), out))
        except MammoroiError as error:
            return Outcome("unready", str(error))
        except OSError:
            self.end()
            return Outcome("unready", "the process died while it was idle")
        began = time.monotonic()
        reason = None
        while reason is None:
            try:
                if self._pipe.poll(_LOOK_S):
                    self._done += 1
                    answer: Outcome = self._pipe.recv()
                    return answer
            except (EOFError, OSError):
                return self._died()
            reason = self._over(began, stop)
        self.end()
        return Outcome(reason, "the process was killed by the service")

    def _over(self, began: float, stop: threading.Event) -> str | None:
        """Why the running case has to be stopped; None when it may go on."""
        if stop.is_set():
            return "stopped"
        if time.monotonic() - began > self._timeout_s:
            return "timeout"
        assert self._running is not None
        with suppress(psutil.Error):
            family = [self._running, *self._running.children(recursive=True)]
            if sum(member.memory_info().rss for member in family) > self._memory:
                return "memory"
        return None

    def _died(self) -> Outcome:
        """Say how the process ended by itself."""
        assert self._handle is not None
        self._handle.join(5.0)
        code = self._handle.exitcode
        self.end()
        if code == -signal.SIGKILL:
            return Outcome("memory", "the process was killed, most likely for want of memory")
        return Outcome("crash", f"the process ended with code {code}")

    def start(self, stop: threading.Event) -> bool:
        """Start a process, unless one is there, and wait until it is ready; not if ``stop`` is set.

        What it imports and prepares is no case's time.

        Raises
        ------
        MammoroiError
            When it cannot be started, or its preparation says that it cannot be used.
        """
        if self._running is not None:
            return True
        context = get_context("spawn")  # threads of this process must not be forked
        ours, theirs = context.Pipe()
        self._handle = context.Process(
            target=_work, args=(self._process, theirs, self._lock, os.getpid()), daemon=False
        )
        self._handle.start()
        theirs.close()
        self._pipe, self._done = ours, 0
        self._running = psutil.Process(self._handle.pid)
        answer = self._first_word(ours, stop)
        if isinstance(answer, str):
            if self.runs not in ("", answer):
                LOGGER.warning("worker: the model is another one from now on: %s", answer)
            self.runs = answer
            return True
        self.end()
        if answer is None:
            return False
        raise answer

    @staticmethod
    def _first_word(pipe: Connection, stop: threading.Event) -> str | MammoroiError | None:
        """What the process runs, or why it cannot; None when ``stop`` was set before."""
        until = time.monotonic() + _START_S
        try:
            while not pipe.poll(_LOOK_S):
                if stop.is_set():
                    return None
                if time.monotonic() > until:
                    raise EOFError
            word: str | MammoroiError = pipe.recv()
        except (EOFError, OSError):
            return MammoroiError(
                "the process that computes died, or hung, when it was started",
                "run `mammoroi doctor`, and look at the lines before this one",
            )
        return word

    def end(self) -> None:
        """End the process, and what it started, at once."""
        if self._running is not None:
            with suppress(psutil.Error):
                family = [*self._running.children(recursive=True), self._running]
                for member in family:
                    with suppress(psutil.Error):
                        member.kill()
        if self._handle is not None:
            self._handle.join()
        if self._pipe is not None:
            self._pipe.close()
        self._handle = self._running = self._pipe = None


def wait_for_predecessor(lock: Path) -> None:
    """Wait until the process of a service that was killed has ended.

    Raises
    ------
    MammoroiError
        When it does not end.
    """
    until = time.monotonic() + _PREDECESSOR_S
    with lock.open("ab") as stream:
        while True:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if time.monotonic() > until:
                    raise MammoroiError(
                        f"{lock} is held by the process of an earlier service",
                        "end that process",
                    ) from None
                time.sleep(_LOOK_S)


def _work(process: Process, pipe: Connection, lock: Path, service: int) -> None:
    """Take cases from the pipe until it closes; the whole life of the process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C is for the service
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.umask(0o077)
    held = lock.open("ab")
    fcntl.flock(held, fcntl.LOCK_EX)
    threading.Thread(target=_end_with, args=(service,), daemon=True).start()
    with suppress(OSError):  # if memory runs out, the kernel is to take this process
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    hide_values()
    try:
        pipe.send(getattr(process, "prepare", lambda: "")())
    except MammoroiError as error:
        pipe.send(error)
        return
    while True:
        try:
            files, out = pipe.recv()
        except EOFError:
            return
        if os.getppid() != service:  # gone while this process started: the case is another's now
            return
        out.mkdir(parents=True, exist_ok=True)
        log = os.open(out / _LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.close(log)
        try:
            answer = Outcome(None, failures=tuple(process(files, out)))
        except Exception as error:  # noqa: BLE001  the boundary of one case: recorded
            full = is_disk_full(error)
            told = f"{type(error).__name__}: {error}"
            answer = Outcome("unready", "the disk is full") if full else Outcome("error", told)
        pipe.send(answer)


def _end_with(service: int) -> None:
    while os.getppid() == service:
        time.sleep(_LOOK_S)
    os._exit(1)

"""Puts the parts of the service together, runs them, and stops them cleanly."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable

from ...errors import MammoroiError
from .child import Child, Process, wait_for_predecessor
from .config import ServeConfig
from .destination import destination, destination_words
from .health import Health, HealthServer
from .home import Home
from .inbox import Inbox
from .listener import Listener
from .log import Counters, set_up_logging
from .send import Sender
from .watch import Watch
from .worker import Worker

LOGGER = logging.getLogger(__name__)


class Service:
    """The service; :meth:`start` starts it, :meth:`stop` ends it.

    Parameters
    ----------
    config : ServeConfig
        Its settings.
    process : callable
        What computes, see :data:`.child.Process`.

    Raises
    ------
    MammoroiError
        When its folder cannot be used or an address cannot be had.
    """

    def __init__(self, config: ServeConfig, process: Process) -> None:
        self._config = config
        self.counters = Counters()
        self.home = Home(config.home)
        wait_for_predecessor(self.home.folder / "worker.lock")
        cases = config.cases
        self._child = Child(
            process,
            self.home.folder / "worker.lock",
            cases.timeout_s,
            cases.memory_gb,
            cases.cases_per_process,
        )
        self._inbox = Inbox(self.home, config, self.counters)
        target = destination(config.destination, config.listener.ae_title)
        self._worker = Worker(
            *(self.home, self._inbox, self._child, cases, self.counters),
            keep_results=target is None,
        )
        self._sender = Sender(
            self.home, target, config.destination, self.counters, self._worker.has_results
        )
        self._listener = Listener(config.listener, self._inbox, self.counters)
        self._watch = Watch(config.watch, self.home, self._inbox, self.counters)
        self.health = Health(
            *(self.home, config, self.counters, self._parts, self._sender.state),
            lambda: self._child.runs,
        )
        self._http: HealthServer | None = None
        self._stopping, self._now = threading.Event(), threading.Event()
        self._threads: dict[str, threading.Thread] = {}

    def start(self, stop: threading.Event) -> None:
        """Take up what an earlier service left, then open the doors, unless ``stop`` is set."""
        LOGGER.info("service: starting")
        try:
            if not self._child.start(stop):
                return
        except MammoroiError:
            self.home.close()
            raise
        LOGGER.info("service: model %s", self._child.runs or "(none)")
        LOGGER.info("service: results %s", destination_words(self._config.destination))
        self._worker.recover()
        self._thread("worker", lambda: self._worker.run(self._stopping, self._now))
        self._thread("sender", lambda: self._sender.run(self._stopping))
        if self._config.watch.folder is not None:
            self._thread("watch", lambda: self._watch.run(self._stopping))
        try:
            if self._config.listener.enabled:
                self.health.ports["listener"] = self._listener.start()
            if self._config.health.enabled:
                self._http = HealthServer(self.health, self._config.health)
                self.health.ports["health"] = self._http.port
        except OSError as error:
            self.stop()
            raise MammoroiError(
                f"an address cannot be had: {error.strerror}",
                "choose other ports for listener and health, or end the program that has them",
            ) from None
        self.health.write()
        LOGGER.info("service: running")

    def _thread(self, name: str, run: Callable[[], None]) -> None:
        thread = threading.Thread(target=run, name=name, daemon=True)
        self._threads[name] = thread
        thread.start()

    def _parts(self) -> dict[str, bool]:
        parts = {name: thread.is_alive() for name, thread in self._threads.items()}
        if "watch" in parts:
            parts["watch"] &= self._watch.is_well
        parts["process"] = self._worker.process_is_well
        if self._config.listener.enabled:
            parts["listener"] = self._listener.is_alive
        return parts

    def wait(self, stop: threading.Event) -> None:
        """Write the health again and again until ``stop`` is set."""
        while not stop.wait(self._config.health.every_s):
            self.health.write()

    def stop(self) -> None:
        """Close the doors, let the running case end or put it back, and let go of the folder."""
        LOGGER.info("service: stopping")
        self.health.stopping = True
        self._listener.stop()
        self._stopping.set()
        worker = self._threads.get("worker")
        if worker is not None:
            worker.join(self._config.stop_s)
        self._now.set()
        self._worker.has_results.set()
        for thread in self._threads.values():
            thread.join(self._config.destination.timeout_s)
        self._child.end()
        if self._http is not None:
            self._http.stop()
        self.health.write()
        self.home.close()
        LOGGER.info("service: stopped")


def serve(config: ServeConfig, process: Process) -> None:
    """Run the service until SIGTERM or SIGINT; for a process that does nothing else.

    Parameters
    ----------
    config : ServeConfig
        Its settings.
    process : callable
        What computes; importable by its name, see :data:`.child.Process`.

    Raises
    ------
    MammoroiError
        When its folder cannot be used or an address cannot be had.
    """
    os.umask(0o077)
    set_up_logging()
    stop = threading.Event()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    service = Service(config, process)
    service.start(stop)
    service.wait(stop)
    service.stop()

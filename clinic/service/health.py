"""State and counters as JSON: a file in the service's folder, and HTTP on loopback.

``GET /health`` answers 200 when all is well and 503 when ``problems`` names something that a person
should look at. Nothing in it says anything about a patient: it is made of numbers and fixed words.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import psutil

from ... import __version__
from ...files import plain, write_json
from .config import HealthConfig, ServeConfig
from .home import STATES, Home
from .log import Counters

AWAY_S = 300.0
"""The PACS counts as a problem when it has been away for so long."""


class Health:
    """Gathers the state of all parts.

    Parameters
    ----------
    home, config, counters
        The service's.
    parts : callable
        Gives for each part that should run its name and whether it does.
    sender : callable
        The state of the sending (:meth:`.send.Sender.state`).
    model : callable
        Name and hash of the model that is run now.
    """

    def __init__(
        self,
        home: Home,
        config: ServeConfig,
        counters: Counters,
        parts: Callable[[], dict[str, bool]],
        sender: Callable[[], dict[str, Any]],
        model: Callable[[], str],
    ) -> None:
        self._home, self._config, self._counters = home, config, counters
        self._parts, self._sender, self._model = parts, sender, model
        self._began = time.monotonic()
        self.ports: dict[str, int] = {}
        self.stopping = False

    def read(self) -> dict[str, Any]:
        """Give the state now: plain data for JSON."""
        parts, sender = self._parts(), self._sender()
        free = self._home.free_gb()
        problems = [f"{name}-stopped" for name, runs in parts.items() if not runs]
        if free < self._config.cases.min_free_gb:
            problems.append("disk-full")
        if sender.get("away", {}).get("seconds", 0) > AWAY_S:
            problems.append("pacs-away")
        failed = self._home.failed()
        if any(failed.values()):
            problems.append("failed-cases")
        return {
            "version": __version__,
            "model": self._model(),
            "state": "stopping" if self.stopping else "running",
            "problems": problems,
            "uptime_s": round(time.monotonic() - self._began, 1),
            "ports": self.ports,
            "parts": parts,
            "cases": {state: self._home.count(state) for state in STATES},
            "failed": failed,
            "pacs": sender,
            "counters": self._counters.read(),
            "free_gb": round(free, 1),
            "memory_mb": round(psutil.Process().memory_info().rss / 2**20, 1),
        }

    def write(self) -> None:
        """Write ``health.json``; a disk that is full leaves the last one."""
        try:
            write_json(self._home.folder / "health.json", self.read())
        except OSError:
            self._counters.add("errors")


class HealthServer:
    """Answers ``GET /health`` until it is stopped."""

    def __init__(self, health: Health, config: HealthConfig) -> None:
        class Handler(BaseHTTPRequestHandler):
            timeout = 10

            def do_GET(self) -> None:
                if self.path != "/health":
                    self.send_error(404)
                    return
                state = health.read()
                body = json.dumps(plain(state), indent=2).encode()
                self.send_response(503 if state["problems"] else 200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                """Say nothing: who asks for the health is no event."""

        self._server = ThreadingHTTPServer((config.host, config.port), Handler)
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])
        threading.Thread(target=self._server.serve_forever, args=(0.2,), daemon=True).start()

    def stop(self) -> None:
        """Answer no more."""
        self._server.shutdown()
        self._server.server_close()

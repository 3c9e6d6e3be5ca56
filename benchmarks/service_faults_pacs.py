"""Faults of the PACS: it is away, unwell, silent, or refuses the objects."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from service_lab import Fault, Lab, Row, catalogue, with_service
from service_parts import Service, wait_for

FAULTS: dict[str, Fault] = {}
fault = catalogue(FAULTS)


@fault("PACS is away, then back")
def pacs_away(lab: Lab) -> Iterator[Row]:
    lab.orthanc.stop()
    datasets = [lab.fresh() for _ in range(3)]
    lab.deliver(*datasets)
    wait_for(lambda: lab.service.health()["cases"]["outbox"] == 3, 60, "three in the outbox")
    wait_for(lambda: lab.service.health()["pacs"]["away"].get("failures", 0) >= 3, 60, "retries")
    code = lab.service.health()["pacs"]["away"]["code"]
    lab.orthanc.start()
    for dataset in datasets:
        lab.has_result(dataset.SOPInstanceUID)
        lab.accepted.add(str(dataset.SOPInstanceUID))
    yield "PACS", f"3 cases waited in outbox/ ({code}); sent when it was back"


class _Answer(BaseHTTPRequestHandler):
    """A PACS that answers every request by one status."""

    status = 500

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send_response(self.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def pacs_that(lab: Lab, name: str, status: int | None) -> Service:
    """Start a service whose PACS answers by a status, or (None) takes the call and is silent."""
    if status is None:
        quiet = socket.create_server(("127.0.0.1", 0))
        port = quiet.getsockname()[1]
        lab.keep.append(quiet)
    else:
        handler = type("Handler", (_Answer,), {"status": status})
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        port = server.server_address[1]
        lab.keep.append(server)
    url = f"http://127.0.0.1:{port}/dicom-web"
    sending = lab.service.settings["destination"] | {"url": url, "timeout_s": 1.0}
    return with_service(lab, name, destination=sending).start()


@fault("PACS answers 503, 401, or not at all")
def pacs_unwell(lab: Lab) -> Iterator[Row]:
    for status in (503, 401, None):
        other = pacs_that(lab, f"pacs-{status}", status)
        dataset = lab.fresh()
        lab.deliver(dataset, port=other.port)
        wait_for(lambda other=other: other.counter("send_failures") >= 2, 60, "retries")
        state = other.health()
        assert state["cases"]["outbox"] == 1, state
        other.settings["destination"] = lab.service.settings["destination"]
        other.stop()
        other.start()
        lab.has_result(dataset.SOPInstanceUID)
        lab.accepted.add(str(dataset.SOPInstanceUID))
        other.stop()
        yield "PACS", f"waits in outbox/ ({state['pacs']['away']['code']}); sent when it is well"


@fault("PACS refuses the objects (409)")
def pacs_refuses(lab: Lab) -> Iterator[Row]:
    other = pacs_that(lab, "pacs-409", 409)
    dataset = lab.fresh()
    lab.deliver(dataset, port=other.port)
    wait_for(lambda: other.health()["failed"].get("pacs-refused"), 60, "set aside")
    other.settings["destination"] = lab.service.settings["destination"]
    other.stop()
    (case,) = (other.home / "failed" / "pacs-refused").iterdir()
    case.rename(other.home / "outbox" / case.name)
    other.start()
    lab.has_result(dataset.SOPInstanceUID)
    lab.accepted.add(str(dataset.SOPInstanceUID))
    other.stop()
    yield "PACS", "failed/pacs-refused after 2 tries; moved back to outbox/: sent"

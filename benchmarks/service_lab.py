"""Where faults are done to a service: the service, its PACS, and what was sent and accepted.

A fault is a function that does it to a :class:`Lab` and gives what happened, way by way; it raises
where something was lost or doubled.
"""

from __future__ import annotations

import io
import itertools
import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pydicom
from pydicom.dataset import Dataset
from pynetdicom import AE
from pynetdicom.association import Association
from service_fast import result_uid
from service_parts import Orthanc, Service, free_port, mammogram, send, wait_for

Row = tuple[str, str]
Fault = Callable[["Lab"], Iterator[Row]]
LIMIT_MB = 2.0
NO_ANSWER = ("no answer", "no connection", "cut")


def catalogue(faults: dict[str, Fault]) -> Callable[[str], Callable[[Fault], Fault]]:
    """Give the decorator that enters a function into a catalogue under its name."""

    def fault(name: str) -> Callable[[Fault], Fault]:
        def enter(function: Fault) -> Fault:
            faults[name] = function
            return function

        return enter

    return fault


class Lab:
    """A service, its PACS, and what was sent to it and accepted."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.orthanc = Orthanc(folder / "orthanc").start()
        self.service = Service(
            folder / "service",
            cases={"settle_s": 0.4, "timeout_s": 8.0, "memory_gb": 0.6, "min_free_gb": 0.0}
            | {"max_instance_mb": LIMIT_MB},
            watch={"folder": str(folder / "service" / "watched"), "every_s": 0.05, "stable_s": 0.2},
            listener={"timeout_s": 10.0},
            destination={"url": f"{self.orthanc.url}/dicom-web", "timeout_s": 5.0}
            | {"retry_s": 0.2, "retry_max_s": 0.5, "refusals": 2},
        ).start()
        self._number = itertools.count(1)
        self.keep: list[Any] = []
        self.accepted: set[str] = set()

    def close(self) -> None:
        """End both."""
        self.service.stop()
        self.orthanc.stop()

    def fresh(self, **attributes: Any) -> Dataset:
        """Make a mammogram of a study that nobody has seen."""
        return mammogram(f"F{next(self._number)}", **attributes)

    def change(self, action: Callable[[], Any]) -> tuple[Any, str]:
        """Do something; give its value and the counters that it changed, in words."""
        before = self.service.health()["counters"]
        value = action()
        after = self.service.health()["counters"]
        words = [
            name
            for name in after
            if after[name] != before.get(name, 0)
            and (name.startswith("refused.") or name in ("received", "repeated", "connections_cut"))
        ]
        return value, ", ".join(words) or "nothing counted"

    def by_listener(self, dataset: Dataset, *, cut: bool = False, **options: Any) -> str:
        """Send one data set; its status and what was counted.

        A machine that is too busy to answer in time is asked again, unless it is to cut.
        """
        for _ in range(1 if cut else 5):
            (answer,), counted = self.change(lambda: send(self.service.port, [dataset], **options))
            if answer not in NO_ANSWER:
                break
        if answer == 0:
            self.accepted.add(str(dataset.SOPInstanceUID))
        shown = f"status {answer:04X}" if isinstance(answer, int) else answer
        return f"{shown} ({counted.replace('refused.', '')})"

    def by_folder(self, content: bytes, name: str | bytes = "", seconds: float = 20.0) -> str:
        """Put a file into the watched folder; say what became of it."""
        name = name or f"{next(self._number)}.dcm"
        path = self.service.watched / os.fsdecode(name)
        part = self.service.watched / ".hidden"
        part.write_bytes(content)

        def put() -> None:
            path.parent.mkdir(parents=True, exist_ok=True)
            part.rename(path)
            wait_for(lambda: not os.path.lexists(path), seconds, "the file is taken")

        _, counted = self.change(put)
        reason = counted.removeprefix("refused.")
        if reason == counted:
            return f"taken ({counted})"
        assert self.service.health()["failed"].get(reason), (reason, self.service.health())
        return f"moved to failed/{reason}"

    def file(self, dataset: Dataset) -> bytes:
        """Encode a data set as a file, whatever is wrong with it."""
        stream = io.BytesIO()
        pydicom.dcmwrite(stream, dataset, enforce_file_format=False)
        return stream.getvalue()

    def sound(self, **attributes: Any) -> str:
        """Send a sound mammogram and wait until its result is in the PACS."""
        dataset = self.fresh(**attributes)
        self.deliver(dataset)
        self.accepted.add(str(dataset.SOPInstanceUID))
        self.has_result(dataset.SOPInstanceUID)
        return str(dataset.SOPInstanceUID)

    def deliver(self, *datasets: Dataset, port: int = 0) -> None:
        """Send data sets as a PACS does: again and again until each is confirmed."""
        for dataset in datasets:
            wait_for(lambda d=dataset: send(port or self.service.port, [d]) == [0], 60, "confirmed")

    def has_result(self, uid: str, seconds: float = 60.0) -> None:
        """Wait until the PACS has the result of an image."""
        wait_for(lambda: result_uid(uid) in self.orthanc.instances(), seconds, "a result")

    def check(self) -> None:
        """Every accepted image has one result, unless its case or itself is in failed/."""
        self.service.wait_idle(120)
        stored = self.orthanc.instances()
        assert len(stored) == len(set(stored)), "doubled"
        lost = [uid for uid in self.accepted if result_uid(uid) not in stored]
        assert not lost, f"lost: {len(lost)} of {len(self.accepted)}"
        places = [name for names in self.service.where().values() for name in names]
        images = [name for name in places if name != "file"]
        assert len(images) == len(set(images)), "an image lies in two places"


def begin_to_send(lab: Lab, dataset: Dataset, n_bytes: int) -> Association:
    """Announce an image to the listener and send so many bytes of it; give the association."""
    entity = AE("SENDER")
    entity.add_requested_context(dataset.SOPClassUID, dataset.file_meta.TransferSyntaxUID)
    association = entity.associate("127.0.0.1", lab.service.port, ae_title="MAMMOROI")
    head = struct.pack(">BBLLBB", 4, 0, 100_000, 99_996, 1, 0)
    association.dul.socket.socket.sendall(head + bytes(n_bytes))
    return association


def refused_both_ways(lab: Lab, dataset: Dataset, reason: str, status: int | str) -> Iterator[Row]:
    """Send a bad data set both ways; the reason must be this one."""
    answer = lab.by_listener(dataset)
    shown = f"status {status:04X}" if isinstance(status, int) else status
    assert answer.startswith(shown), answer
    assert isinstance(status, str) or f"({reason})" in answer, answer
    yield "listener", answer
    answer = lab.by_folder(lab.file(dataset))
    assert answer == f"moved to failed/{reason}", answer
    yield "folder", answer


def in_folder(lab: Lab, content: bytes, reason: str, name: str = "") -> Iterator[Row]:
    answer = lab.by_folder(content, name)
    assert answer == f"moved to failed/{reason}", answer
    yield "folder", answer


def with_service(lab: Lab, name: str, **sections: Any) -> Service:
    """Make another service with the same PACS and settings, in a folder of its own."""
    folder = lab.folder / name
    settings = {
        key: value for key, value in lab.service.settings.items() if isinstance(value, dict)
    }
    settings |= {"watch": settings["watch"] | {"folder": str(folder / "watched")}}
    other = Service(folder, **(settings | sections))
    other.settings["listener"]["port"], other.settings["health"]["port"] = free_port(), free_port()
    return other

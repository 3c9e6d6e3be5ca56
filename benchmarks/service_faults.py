r"""Does to a running service what goes wrong in a clinic, and prints what happened as a table.

A service with a fast processing (``service_fast.py``) and an Orthanc as its PACS run on loopback.
Every fault is a function that does it through the real listener or the real watched folder and
raises where something was lost or doubled; at the end every image that was accepted must have
exactly one result in Orthanc::

    OMP_NUM_THREADS=1 python benchmarks/service_faults.py
    OMP_NUM_THREADS=1 python benchmarks/service_faults.py --kills 50
"""

from __future__ import annotations

import argparse
import io
import itertools
import os
import random
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import JPEG2000, CTImageStorage, JPEG2000Lossless, SegmentationStorage
from pynetdicom import AE
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.dsutils import encode
from service_fast import result_uid
from service_parts import (
    Orthanc,
    Service,
    free_port,
    mammogram,
    send,
    study,
    wait_for,
)

from mammoroi.imaging.dicom import TOMOSYNTHESIS

Row = tuple[str, str]
Fault = Callable[["Lab"], Iterator[Row]]
FAULTS: dict[str, Fault] = {}
LIMIT_MB = 2.0
NO_ANSWER = ("no answer", "no connection", "cut")


def fault(name: str) -> Callable[[Fault], Fault]:
    """Enter a function into the catalogue."""

    def enter(function: Fault) -> Fault:
        FAULTS[name] = function
        return function

    return enter


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


@fault("empty file")
def empty(lab: Lab) -> Iterator[Row]:
    yield from in_folder(lab, b"", "empty")


@fault("text file named .dcm")
def text(lab: Lab) -> Iterator[Row]:
    yield from in_folder(lab, b"Dear colleague, " * 100, "not-dicom")


@fault("picture (PNG) named .dcm")
def picture(lab: Lab) -> Iterator[Row]:
    yield from in_folder(lab, b"\x89PNG\r\n\x1a\n" + bytes(500), "not-dicom")


@fault("random bytes after a DICOM preamble")
def noise(lab: Lab) -> Iterator[Row]:
    content = bytes(128) + b"DICM" + random.Random(3).randbytes(4000)
    answer = lab.by_folder(content)
    assert answer.startswith("moved to failed/"), answer
    yield "folder", answer


@fault("file cut in its header")
def cut_header(lab: Lab) -> Iterator[Row]:
    answer = lab.by_folder(lab.file(lab.fresh())[:700])
    assert answer.startswith("moved to failed/"), answer
    yield "folder", answer


@fault("pixels cut short")
def cut_pixels(lab: Lab) -> Iterator[Row]:
    dataset = lab.fresh()
    dataset.PixelData = dataset.PixelData[:1000]
    yield from refused_both_ways(lab, dataset, "truncated", 0xC013)
    yield from in_folder(lab, lab.file(lab.fresh())[:-500], "truncated")


@fault("compressed pixels cut short")
def cut_compressed(lab: Lab) -> Iterator[Row]:
    dataset = lab.fresh()
    dataset.compress(JPEG2000Lossless, generate_instance_uid=False)
    yield from in_folder(lab, lab.file(dataset)[:-300], "truncated")


@fault("sequences nested 3000 deep")
def nested(lab: Lab) -> Iterator[Row]:
    dataset = lab.fresh()
    deep = b"\x08\x00\x40\x11\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff" * 3000
    content = bytes(128) + b"DICM"
    stream = io.BytesIO()
    pydicom.filewriter.write_file_meta_info(stream, dataset.file_meta)
    meta = stream.getvalue().replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2\0\0\0")
    answer = lab.by_folder(content + meta + deep)
    assert answer.startswith("moved to failed/"), answer
    yield "folder", answer


@fault("modality CT in a mammography object")
def wrong_modality(lab: Lab) -> Iterator[Row]:
    yield from refused_both_ways(lab, lab.fresh(Modality="CT"), "wrong-modality", 0xA902)


@fault("CT image")
def ct_image(lab: Lab) -> Iterator[Row]:
    dataset = lab.fresh(Modality="CT", SOPClassUID=CTImageStorage)
    yield from refused_both_ways(lab, dataset, "wrong-modality", "no context")


@fault("other object of modality MG (segmentation)")
def other_object(lab: Lab) -> Iterator[Row]:
    dataset = lab.fresh(SOPClassUID=SegmentationStorage)
    yield from refused_both_ways(lab, dataset, "wrong-object", "no context")


@fault("tomosynthesis")
def tomosynthesis(lab: Lab) -> Iterator[Row]:
    dataset = lab.fresh(SOPClassUID=TOMOSYNTHESIS, NumberOfFrames=1)
    yield from refused_both_ways(lab, dataset, "tomosynthesis", "no context")


@fault("two frames")
def two_frames(lab: Lab) -> Iterator[Row]:
    dataset = lab.fresh(NumberOfFrames=2)
    dataset.PixelData = dataset.PixelData * 2
    yield from refused_both_ways(lab, dataset, "frames", 0xA903)


@fault("colour")
def colour(lab: Lab) -> Iterator[Row]:
    dataset = lab.fresh(SamplesPerPixel=3, PhotometricInterpretation="RGB", PlanarConfiguration=0)
    dataset.PixelData = dataset.PixelData * 3
    yield from refused_both_ways(lab, dataset, "colour", 0xA904)


@fault("no Study Instance UID")
def no_study(lab: Lab) -> Iterator[Row]:
    dataset = lab.fresh(StudyInstanceUID=None)
    yield from refused_both_ways(lab, dataset, "missing-attribute", 0xC014)


@fault("no Rows")
def no_rows(lab: Lab) -> Iterator[Row]:
    yield from refused_both_ways(lab, lab.fresh(Rows=None), "missing-attribute", 0xC014)


@fault("no Modality")
def no_modality(lab: Lab) -> Iterator[Row]:
    yield from refused_both_ways(lab, lab.fresh(Modality=None), "missing-attribute", 0xC014)


@fault("no SOP Instance UID")
def no_instance(lab: Lab) -> Iterator[Row]:
    content = lab.file(lab.fresh(SOPInstanceUID=None))
    yield from in_folder(lab, content, "missing-attribute")


@fault("no Pixel Data")
def no_pixels(lab: Lab) -> Iterator[Row]:
    yield from refused_both_ways(lab, lab.fresh(PixelData=None), "no-pixels", 0xA905)


@fault("65535 x 65535 pixels declared, 6 kB there")
def huge_declared(lab: Lab) -> Iterator[Row]:
    dataset = lab.fresh(Rows=65535, Columns=65535)
    yield from refused_both_ways(lab, dataset, "too-large", 0xA701)


@fault("file above cases.max_instance_mb")
def too_large(lab: Lab) -> Iterator[Row]:
    dataset = lab.fresh(shape=(1100, 1000))
    yield from refused_both_ways(lab, dataset, "too-large", 0xA701)


@fault("file far above cases.max_instance_mb")
def far_too_large(lab: Lab) -> Iterator[Row]:
    dataset = lab.fresh(shape=(2000, 2000))
    answer = lab.by_listener(dataset, cut=True)
    assert answer == "no answer (connections_cut)" or answer == "cut (connections_cut)", answer
    yield "listener", answer


@fault("path in the Study Instance UID")
def path_in_study(lab: Lab) -> Iterator[Row]:
    dataset = lab.fresh()
    dataset.add_new("StudyInstanceUID", "LO", "../../../../etc/cron.d/x")
    dataset["StudyInstanceUID"].VR = "UI"
    yield from refused_both_ways(lab, dataset, "bad-uid", 0xC015)


@fault("path in the SOP Instance UID")
def path_in_instance(lab: Lab) -> Iterator[Row]:
    dataset = lab.fresh()
    dataset.add_new("SOPInstanceUID", "LO", "1/../../../tmp/owned")
    dataset["SOPInstanceUID"].VR = "UI"
    yield from in_folder(lab, lab.file(dataset), "bad-uid")
    assert not Path("/tmp/owned").exists()


@fault("UID of 80 digits")
def long_uid(lab: Lab) -> Iterator[Row]:
    content = lab.file(lab.fresh(StudyInstanceUID="1." + "2" * 78))
    yield from in_folder(lab, content, "bad-uid")


@fault("compressed with loss")
def lossy(lab: Lab) -> Iterator[Row]:
    dataset = lab.fresh()
    dataset.compress(JPEG2000Lossless, generate_instance_uid=False)
    dataset.file_meta.TransferSyntaxUID = JPEG2000
    yield from refused_both_ways(lab, dataset, "transfer-syntax", "no context")


@fault("called AE title is another's")
def wrong_called(lab: Lab) -> Iterator[Row]:
    answer = lab.by_listener(lab.fresh(), called="SOMEONE")
    assert answer.startswith("rejected"), answer
    yield "listener", answer


@fault("calling AE title is not allowed")
def wrong_calling(lab: Lab) -> Iterator[Row]:
    answer = lab.by_listener(lab.fresh(), calling="STRANGER")
    assert answer.startswith("rejected"), answer
    yield "listener", answer


@fault("request and data set name different images")
def mismatch(lab: Lab) -> Iterator[Row]:
    dataset = lab.fresh()
    entity = AE("SENDER")
    entity.add_requested_context(dataset.SOPClassUID, dataset.file_meta.TransferSyntaxUID)
    association = entity.associate("127.0.0.1", lab.service.port, ae_title="MAMMOROI")
    request = C_STORE()
    request.MessageID, request.Priority = 1, 2
    request.AffectedSOPClassUID, request.AffectedSOPInstanceUID = dataset.SOPClassUID, "1.2.3"
    request.DataSet = io.BytesIO(encode(dataset, False, True) or b"")

    def ask() -> int:
        # As send_c_store() does: the association's own thread must not take the answer.
        association._reactor_checkpoint.clear()
        wait_for(lambda: association._is_paused, 10)
        association.dimse.send_msg(request, association.accepted_contexts[0].context_id)
        answer = association.dimse.get_msg(block=True)[1]
        association._reactor_checkpoint.set()
        return int(answer.Status)

    status, counted = lab.change(ask)
    association.release()
    assert status == 0xA906, status
    yield "listener", f"status {status:04X} ({counted.removeprefix('refused.')})"


@fault("web browser on the DICOM port")
def web(lab: Lab) -> Iterator[Row]:
    with socket.create_connection(("127.0.0.1", lab.service.port), 10) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        connection.settimeout(10)
        got = connection.recv(100)
    yield "listener", f"closed after {len(got)} bytes"


@fault("message that announces 4 GB")
def announces(lab: Lab) -> Iterator[Row]:
    with socket.create_connection(("127.0.0.1", lab.service.port), 10) as connection:

        def say() -> bytes:
            connection.sendall(struct.pack(">BBL", 1, 0, 0xFFFFFFFF) + bytes(1000))
            connection.settimeout(10)
            try:
                return connection.recv(100)
            except ConnectionError:
                return b""

        got, counted = lab.change(say)
    assert counted == "connections_cut", counted
    yield "listener", f"closed after {len(got)} bytes ({counted})"


@fault("connection that says nothing, twice as many as allowed")
def silent(lab: Lab) -> Iterator[Row]:
    idle = [socket.create_connection(("127.0.0.1", lab.service.port)) for _ in range(8)]
    time.sleep(0.5)
    during = send(lab.service.port, [lab.fresh()])
    wait_for(lambda: send(lab.service.port, [lab.fresh()]) == [0], 30, "room again")
    for connection in idle:
        connection.close()
    assert during in ([0], ["rejected"], ["no connection"]), during
    yield "listener", f"meanwhile others: {during[0]}; after listener.timeout_s all is as before"


@fault("sender dies in the middle of an image")
def sender_dies(lab: Lab) -> Iterator[Row]:
    dataset = lab.fresh(shape=(800, 800))
    entity = AE("SENDER")
    entity.add_requested_context(dataset.SOPClassUID, dataset.file_meta.TransferSyntaxUID)
    association = entity.associate("127.0.0.1", lab.service.port, ae_title="MAMMOROI")
    wire = association.dul.socket.socket
    wire.sendall(struct.pack(">BBLLBB", 4, 0, 100_000, 99_996, 1, 0) + bytes(5000))
    _, counted = lab.change(wire.close)
    assert counted == "nothing counted", counted
    lab.deliver(dataset)
    lab.accepted.add(str(dataset.SOPInstanceUID))
    yield "listener", "nothing was kept of it; sent again: status 0000"


@fault("image sent twice, at once and after it was done")
def twice(lab: Lab) -> Iterator[Row]:
    dataset = lab.fresh()
    lab.deliver(dataset, dataset)
    lab.has_result(dataset.SOPInstanceUID)
    answer = lab.by_listener(dataset)
    assert answer == "status 0000 (repeated)", answer
    yield "listener", answer
    answer = lab.by_folder(lab.file(dataset))
    assert answer == "taken (repeated)", answer
    yield "folder", answer


@fault("same image, compressed")
def again_compressed(lab: Lab) -> Iterator[Row]:
    dataset = lab.fresh()
    lab.deliver(dataset)
    lab.accepted.add(str(dataset.SOPInstanceUID))
    dataset.compress(JPEG2000Lossless, generate_instance_uid=False)
    answer = lab.by_listener(dataset)
    assert answer == "status 0000 (repeated)", answer
    yield "listener", answer


@fault("same SOP Instance UID, other pixels")
def conflict(lab: Lab) -> Iterator[Row]:
    dataset = lab.fresh()
    lab.deliver(dataset)
    lab.accepted.add(str(dataset.SOPInstanceUID))
    dataset.PixelData = bytes(reversed(dataset.PixelData))
    yield from refused_both_ways(lab, dataset, "conflict", 0x0111)


@fault("a view that comes when the study is done")
def late_view(lab: Lab) -> Iterator[Row]:
    first, late = study(f"F{next(lab._number)}")[:2]
    lab.deliver(first)
    lab.has_result(first.SOPInstanceUID)
    lab.deliver(late)
    lab.has_result(late.SOPInstanceUID)
    lab.accepted |= {str(first.SOPInstanceUID), str(late.SOPInstanceUID)}
    last = [line for line in lab.service.log.read_text().splitlines() if "begun" in line][-1]
    assert ": 2 images, begun" in last, last
    yield "listener", "the study was processed again with both views"


@fault("link to a file, link to a folder, named pipe")
def links(lab: Lab) -> Iterator[Row]:
    outside = lab.folder / "outside"
    outside.mkdir()
    (outside / "a.dcm").write_bytes(lab.file(lab.fresh()))
    watched = lab.service.watched
    before = lab.service.counter("watch_left")
    (watched / "link.dcm").symlink_to(outside / "a.dcm")
    (watched / "folder").symlink_to(outside)
    os.mkfifo(watched / "pipe.dcm")
    wait_for(lambda: lab.service.counter("watch_left") == before + 3, 20, "links are left")
    assert (outside / "a.dcm").exists()
    for name in ("link.dcm", "folder", "pipe.dcm"):
        (watched / name).unlink()
    yield "folder", "left where they are, said once each"


@fault("folders in folders; names with line breaks, umlauts, bytes that are no text")
def odd_names(lab: Lab) -> Iterator[Row]:
    for name in (b"a/b/c/d.dcm", "Müller\n2.dcm".encode(), b"\xff\xfe\x80.dcm", b"no ending"):
        dataset = lab.fresh()
        answer = lab.by_folder(lab.file(dataset), name)
        assert answer == "taken (received)", answer
        lab.accepted.add(str(dataset.SOPInstanceUID))
    assert not (lab.service.watched / "a").exists()
    yield "folder", answer + "; folders that became empty are removed"


@fault("file that is still being written")
def still_written(lab: Lab) -> Iterator[Row]:
    dataset = lab.fresh()
    content = lab.file(dataset)
    path = lab.service.watched / "slow.dcm"
    longest, last = 0.0, time.monotonic()
    with path.open("wb") as stream:
        for at in range(0, len(content), len(content) // 12 + 1):
            stream.write(content[at : at + len(content) // 12 + 1])
            stream.flush()
            time.sleep(0.05)
            now = time.monotonic()
            longest, last = max(longest, now - last), now
            assert path.exists() or longest > 0.15, "taken before it was whole"
    if longest > 0.15:  # this machine is too busy to write without pauses
        yield from still_written(lab)
        return
    wait_for(lambda: not path.exists(), 20, "taken")
    lab.accepted.add(str(dataset.SOPInstanceUID))
    lab.has_result(dataset.SOPInstanceUID)
    yield "folder", "taken when it had not changed for watch.stable_s"


@fault("name of a file under way (.part), hidden file")
def under_way(lab: Lab) -> Iterator[Row]:
    path = lab.service.watched / "x.dcm.part"
    path.write_bytes(lab.file(lab.fresh()))
    time.sleep(1.0)
    assert path.exists()
    path.unlink()
    yield "folder", "left alone"


@fault("file date of 1970, of 2100")
def dates(lab: Lab) -> Iterator[Row]:
    for when in (0, 4_102_444_800):
        dataset = lab.fresh()
        path = lab.service.watched / ".dated"
        path.write_bytes(lab.file(dataset))
        os.utime(path, (when, when))
        target = path.rename(path.with_name(f"{when}.dcm"))
        wait_for(lambda target=target: not target.exists(), 20, "taken")
        lab.accepted.add(str(dataset.SOPInstanceUID))
    yield "folder", "taken like any other"


@fault("watched folder is away for a while")
def folder_away(lab: Lab) -> Iterator[Row]:
    away = lab.service.watched.rename(lab.service.watched.with_name("away"))
    wait_for(lambda: "watched folder is not there" in lab.service.log.read_text(), 20)
    away.rename(lab.service.watched)
    dataset = lab.fresh()
    answer = lab.by_folder(lab.file(dataset))
    assert answer == "taken (received)", answer
    lab.accepted.add(str(dataset.SOPInstanceUID))
    yield "folder", "said once; when it is back: " + answer


def fails(lab: Lab, word: str, reason: str) -> str:
    """Have a case fail in the process: it ends in failed/, and is tried anew when sent again."""
    dataset = lab.fresh(ImageComments=f"do:{word}")
    before = lab.service.health()["failed"].get(reason, 0)
    lab.deliver(dataset)
    wait_for(lambda: lab.service.health()["failed"].get(reason, 0) == before + 1, 60, reason)
    lab.deliver(dataset)
    wait_for(lambda: lab.service.health()["failed"].get(reason, 0) == before, 60, "taken out")
    wait_for(lambda: lab.service.health()["failed"].get(reason, 0) == before + 1, 60, reason)
    lab.sound()
    return f"failed/{reason}; sent again: tried again; the next case is processed"


@fault("processing crashes (segmentation fault)")
def crashes(lab: Lab) -> Iterator[Row]:
    yield "processing", fails(lab, "crash", "crash")


@fault("processing hangs")
def hangs(lab: Lab) -> Iterator[Row]:
    yield "processing", fails(lab, "hang", "timeout")


@fault("processing eats the memory")
def eats(lab: Lab) -> Iterator[Row]:
    yield "processing", fails(lab, "memory", "memory")


@fault("processing raises an error whose text names the patient")
def raises(lab: Lab) -> Iterator[Row]:
    yield "processing", fails(lab, "error", "error")


@fault("processing writes nothing")
def nothing(lab: Lab) -> Iterator[Row]:
    yield "processing", fails(lab, "nothing", "no-result")


@fault("one image of four is unusable")
def one_of_four(lab: Lab) -> Iterator[Row]:
    views = study(f"F{next(lab._number)}")
    views[2].ImageComments = "do:fail"
    lab.deliver(*views)
    for view in (views[0], views[1], views[3]):
        lab.has_result(view.SOPInstanceUID)
        lab.accepted.add(str(view.SOPInstanceUID))
    lab.service.wait_idle()
    assert lab.service.health()["failed"]["images"] == 1
    yield "processing", "three results in the PACS; the fourth image in failed/images"


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


@fault("service is stopped (SIGTERM) during a case")
def stopped(lab: Lab) -> Iterator[Row]:
    dataset = lab.fresh(ImageComments="do:hang")
    lab.deliver(dataset)
    wait_for(lambda: lab.service.health()["cases"]["working"], 30, "working")
    lab.service.settings["stop_s"] = 0.5
    code = lab.service.stop()
    where = lab.service.where()
    assert code in (0, 0), code
    lab.service.start()
    wait_for(lambda: lab.service.health()["failed"].get("timeout"), 60, "timeout")
    assert "working" not in where, where
    yield "service", f"exit code {code}; the case was put back and taken up at the next start"


@fault("second service with the same home")
def second(lab: Lab) -> Iterator[Row]:
    other = Service(lab.folder / "other", home=str(lab.service.home))
    other.start(wait=False)
    assert other.process is not None
    code = other.process.wait(600)
    assert code == 1, code
    assert "another mammoroi serve uses it" in other.log.read_text()
    yield "service", f"refused, exit code {code}; the first goes on"


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


@fault("less free space than cases.min_free_gb")
def quota(lab: Lab) -> Iterator[Row]:
    other = with_service(lab, "quota", cases={"settle_s": 0.3, "min_free_gb": 1e9}).start()
    dataset = lab.fresh()
    path = other.watched / "a.dcm"
    path.write_bytes(lab.file(dataset))
    answer = send(other.port, [dataset])
    assert answer == [0xA700], answer
    wait_for(lambda: other.counter("refused.no-space") >= 2, 20, "the folder was looked at")
    problems = other.health()["problems"]
    other.stop()
    assert path.exists()
    yield "listener", f"status {answer[0]:04X} (no-space), health says {problems}"
    yield "folder", "left where it is"


@fault("disk is full (tmpfs of 1 MB)")
def disk_full(lab: Lab) -> Iterator[Row]:
    disk = lab.folder / "disk"
    disk.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], check=False)
    if done.returncode:
        yield "listener", "NOT TRIED: only root can mount a small disk"
        return
    try:
        other = with_service(
            lab, "small", home=str(disk / "home"), destination={}, cases={"settle_s": 0.3}
        )
        other.home = disk / "home"
        other.start()
        datasets = [lab.fresh(shape=(300, 300)) for _ in range(8)]
        answers = send(other.port, datasets)
        assert answers[0] == 0, answers
        assert answers[-1] == 0xA700, answers
        kept = {path.name for path in other.home.rglob("images/*.dcm")}
        assert len(kept) == answers.count(0), (kept, answers)
        assert not list((other.home / "parts").iterdir())
        alive = other.health()["state"]
        other.stop()
    finally:
        subprocess.run(["umount", disk], check=True)
    yield (
        "listener",
        f"{answers.count(0)} images taken, {answers.count(0xA700)} x status A700; all that were "
        f"confirmed are whole; no half file; {alive}",
    )


@fault("home is read-only")
def read_only(lab: Lab) -> Iterator[Row]:
    other = with_service(lab, "read-only", destination={})
    disk = lab.folder / "read-only-disk"
    disk.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=9m", "tmpfs", disk], check=False)
    if done.returncode:
        yield "service", "NOT TRIED: only root can mount"
        return
    other.settings["home"] = str(disk / "home")
    other.home = disk / "home"
    try:
        other.start()
        other.stop()
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        code = other.start(wait=False).process.wait(600)  # type: ignore[union-attr]
        said = other.log.read_text().splitlines()[-1]
    finally:
        subprocess.run(["umount", disk], check=True)
    assert code == 1, code
    assert "cannot be used" in said, said
    yield "service", f"refused, exit code {code}, said why"


@fault("file without permission to read; folder without permission to remove")
def permission(lab: Lab) -> Iterator[Row]:
    if os.getuid() != 0:
        yield "folder", "NOT TRIED: only root can start a service as another user"
        return
    try:
        subprocess.run([sys.executable, "-c", ""], user=65534, check=True)
    except (PermissionError, subprocess.CalledProcessError):
        yield "folder", "NOT TRIED: another user may not run this Python"
        return
    folder = Path(tempfile.mkdtemp(prefix="permission-"))
    folder.chmod(0o755)
    other = with_service(lab, "permission")
    other.settings |= {"home": str(folder / "home")}
    other.home, other.watched = folder / "home", folder / "watched"
    other.settings["watch"] |= {"folder": str(other.watched)}
    other.home.mkdir()
    other.watched.mkdir()
    os.chown(other.home, 65534, 65534)
    dataset, locked = lab.fresh(), lab.fresh()
    (other.watched / "locked.dcm").write_bytes(lab.file(locked))
    (other.watched / "locked.dcm").chmod(0o600)
    (other.watched / "open.dcm").write_bytes(lab.file(dataset))
    (other.watched / "open.dcm").chmod(0o644)
    for parent in (lab.folder, other.folder):
        parent.chmod(0o755)
    try:
        other.start(user=65534, group=65534, extra_groups=[])
        wait_for(lambda: other.counter("watch_left") >= 2, 30, "both are said")
        lab.has_result(dataset.SOPInstanceUID)
        lab.accepted.add(str(dataset.SOPInstanceUID))
        os.chown(other.watched, 65534, 65534)
        (other.watched / "locked.dcm").chmod(0o644)
        os.utime(other.watched / "locked.dcm")
        lab.has_result(locked.SOPInstanceUID)
        lab.accepted.add(str(locked.SOPInstanceUID))
        other.wait_idle()
        assert other.counter("sent") == 2, other.health()
        other.stop()
    finally:
        shutil.rmtree(folder)
    yield "folder", "said once; the one that cannot be removed is processed once; tried again later"


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


@fault("service is killed in the middle of an image")
def killed_mid_image(lab: Lab) -> Iterator[Row]:
    dataset = lab.fresh(shape=(900, 900))
    entity = AE("SENDER")
    entity.add_requested_context(dataset.SOPClassUID, dataset.file_meta.TransferSyntaxUID)
    association = entity.associate("127.0.0.1", lab.service.port, ae_title="MAMMOROI")
    wire = association.dul.socket.socket
    wire.sendall(struct.pack(">BBLLBB", 4, 0, 100_000, 99_996, 1, 0) + bytes(50_000))
    lab.service.kill()
    association.abort()
    lab.service.start()
    answer = lab.by_listener(dataset)
    assert answer == "status 0000 (received)", answer
    lab.has_result(dataset.SOPInstanceUID)
    yield "listener", "nothing was kept of it; sent again: " + answer


@fault("notes in home are damaged, half files lie about")
def damaged_home(lab: Lab) -> Iterator[Row]:
    lab.sound()
    lab.service.wait_idle()
    lab.service.stop()
    home = lab.service.home
    records = list(home.glob("done/*/record.json"))
    records[0].write_text("{half")
    (home / "parts" / "rest").write_bytes(bytes(100))
    (home / "incoming" / "0123456789abcdef" / "images").mkdir(parents=True)
    (home / "working" / "fedcba9876543210" / "images").mkdir(parents=True)
    (home / "working" / "fedcba9876543210" / "tries.json").write_text("[]")
    lab.service.start()
    lab.sound()
    lab.service.wait_idle()
    assert not list((home / "parts").iterdir())
    yield "service", "starts, empties parts/, goes on"


@fault("key is damaged")
def damaged_key(lab: Lab) -> Iterator[Row]:
    other = with_service(lab, "key").start()
    other.stop()
    (other.home / "key").write_bytes(b"short")
    code = other.start(wait=False).process.wait(600)  # type: ignore[union-attr]
    said = other.log.read_text().splitlines()[-1]
    assert code == 1, code
    assert "is damaged" in said, said
    yield "service", f"does not start, exit code {code}, says to restore it"


def killed_at_random(lab: Lab, kills: int, seed: int = 0) -> Row:
    """Kill the service again and again while images come both ways; nothing may be lost."""
    generator = random.Random(seed)
    stop = threading.Event()
    confirmed: set[str] = set()

    def feed() -> None:
        while not stop.is_set():
            dataset = lab.fresh(ImageComments="do:slow" if generator.random() < 0.3 else "")
            if generator.random() < 0.7:
                while not stop.is_set():  # a sender tries until it is told "success"
                    if send(lab.service.port, [dataset]) == [0]:
                        confirmed.add(str(dataset.SOPInstanceUID))
                        break
                    time.sleep(0.05)
            else:
                part = lab.service.watched / ".feed"
                part.write_bytes(lab.file(dataset))
                part.rename(part.with_name(f"{dataset.SOPInstanceUID}.dcm"))
                confirmed.add(str(dataset.SOPInstanceUID))
            time.sleep(generator.uniform(0.1, 0.5))

    feeder = threading.Thread(target=feed)
    feeder.start()
    interrupted = 0
    for _ in range(kills):
        time.sleep(generator.uniform(0.0, 2.5))
        lab.service.kill()
        interrupted += any((lab.service.home / "working").iterdir())
        lab.service.start(wait=generator.random() < 0.7)
    stop.set()
    feeder.join()
    wait_for(lab.service._runs, 120)
    wait_for(lambda: not list(lab.service.watched.glob("*.dcm")), 120, "the folder is empty")
    lab.service.wait_idle(300)
    lab.accepted |= confirmed
    lab.check()
    return "service", (
        f"killed {kills} times, {interrupted} times during a case; {len(confirmed)} images, "
        f"each with one result in the PACS"
    )


@fault("service is killed (SIGKILL) at random moments")
def killed(lab: Lab) -> Iterator[Row]:
    yield killed_at_random(lab, 3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=3, help="how often the service is killed")
    parser.add_argument("--only", help="faults whose name holds this")
    given = parser.parse_args()
    FAULTS["service is killed (SIGKILL) at random moments"] = lambda lab: iter(
        [killed_at_random(lab, given.kills)]
    )
    chosen = {n: f for n, f in FAULTS.items() if given.only is None or given.only in n}
    with tempfile.TemporaryDirectory() as name:
        lab = Lab(Path(name))
        failed = rows = 0
        try:
            print("| fault | what happened |\n|---|---|")
            for title, function in chosen.items():
                said: dict[str, None] = {}
                try:
                    for way, answer in function(lab):
                        rows += 1
                        said[f"{way}: {answer.replace(' (nothing counted)', '')}"] = None
                except Exception as error:  # noqa: BLE001  said in the table, counted below
                    failed += 1
                    said[f"**UNEXPECTED** {type(error).__name__}: {error}"] = None
                print(f"| {title} | {'; '.join(said)} |", flush=True)
            lab.sound()
            lab.check()
            print(
                f"\n{len(chosen)} faults, {rows} tries, {failed} unexpected; afterwards a sound "
                f"image is processed; {len(lab.accepted)} accepted images have one result each"
            )
        finally:
            lab.close()


if __name__ == "__main__":
    main()

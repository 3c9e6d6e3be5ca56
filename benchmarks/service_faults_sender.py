"""Faults of whoever sends: titles, connections that break off or stay, images sent again."""

from __future__ import annotations

import io
import socket
import struct
import time
from collections.abc import Iterator

from pydicom.uid import JPEG2000Lossless
from pynetdicom import AE
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.dsutils import encode
from service_lab import Fault, Lab, Row, begin_to_send, catalogue, refused_both_ways
from service_parts import send, study, wait_for

FAULTS: dict[str, Fault] = {}
fault = catalogue(FAULTS)


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
    association = begin_to_send(lab, dataset, 5000)
    _, counted = lab.change(association.dul.socket.socket.close)
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

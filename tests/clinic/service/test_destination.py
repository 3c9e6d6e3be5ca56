"""What counts as sent: only what the PACS says it has stored."""

import base64
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from pynetdicom import AE, evt

from mammoroi.clinic.service.config import DestinationConfig
from mammoroi.clinic.service.destination import (
    AwayError,
    CStore,
    RefusedError,
    Stow,
    destination_words,
)

from .conftest import fast, parts

FAILED = {"00081198": {"vr": "SQ", "Value": [{"00081197": {"vr": "US", "Value": [0xC122]}}]}}
JSON, XML = "application/dicom+json", "application/dicom+xml"
FAILED_XML = """<?xml version="1.0"?><NativeDicomModel>
<DicomAttribute tag="00081198" vr="SQ" keyword="FailedSOPSequence"><Item number="1">
<DicomAttribute tag="00081197" vr="US" keyword="FailureReason"><Value number="1">49442</Value>
</DicomAttribute></Item></DicomAttribute></NativeDicomModel>"""


@pytest.fixture
def objects(tmp_path):
    fast.write_capture(parts.mammogram(), tmp_path / "result.dcm")
    return [tmp_path / "result.dcm"]


@pytest.fixture
def stow():
    """Give a destination that answers so, and the requests that it got."""
    servers, asked, said = [], [], []

    def start(status, media_type="", body="", location="", **settings):
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                asked.append(self.path)
                said.append(self.headers.get("Authorization"))
                self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response(status)
                if media_type:
                    self.send_header("Content-Type", media_type)
                if location:
                    self.send_header("Location", location)
                self.send_header("Content-Length", str(len(body.encode())))
                self.end_headers()
                self.wfile.write(body.encode())

            def do_GET(self):
                asked.append(self.path)
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        url = f"http://127.0.0.1:{server.server_address[1]}/dicom-web"
        return Stow(DestinationConfig(url=url, **settings)), asked

    start.said = said
    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("charset", ["", ";charset=utf-8", "; charset=UTF-8"])
@pytest.mark.parametrize(("media_type", "body"), [(JSON, json.dumps(FAILED)), (XML, FAILED_XML)])
def test_objects_that_were_not_stored_are_refused_whatever_the_charset(
    stow, objects, media_type, body, charset
):
    pacs, _ = stow(202, media_type + charset, body)
    with pytest.raises(RefusedError, match="status-C122"):
        pacs.send(objects)


@pytest.mark.parametrize(("status", "to"), [(301, "/login"), (302, "/"), (307, "/"), (300, "")])
def test_a_redirection_stores_nothing_and_is_not_followed(stow, objects, status, to):
    pacs, asked = stow(status, location=to)
    with pytest.raises(AwayError, match=f"http-{status}"):
        pacs.send(objects)
    assert asked == ["/dicom-web/studies"]


@pytest.mark.parametrize("media_type", ["text/html; charset=utf-8", ""])
def test_a_page_of_another_kind_is_no_answer_of_a_pacs(stow, objects, media_type):
    pacs, _ = stow(200, media_type, "<html>Please log in</html>")
    with pytest.raises(AwayError, match="no-dicomweb"):
        pacs.send(objects)


def test_some_stored_without_a_word_which_is_refused_and_all_stored_is_sent(stow, objects):
    pacs, _ = stow(202)
    with pytest.raises(RefusedError, match="http-202"):
        pacs.send(objects)
    for answer in [(200,), (200, f"{JSON};charset=utf-8", "{}"), (202, JSON, "{}")]:
        pacs, _ = stow(*answer)
        pacs.send(objects)


@pytest.mark.parametrize("coding", ["utf-8", "utf-8-sig"])
def test_credentials_of_any_letters_are_sent(stow, objects, tmp_path, coding):
    """Also from a file of an editor that marks UTF-8 by three bytes."""
    secret = tmp_path / "secret"
    secret.touch(mode=0o600)
    secret.write_text("jörg:пароль€\n", encoding=coding)
    pacs, _ = stow(200, credentials=secret)
    pacs.send(objects)
    (said,) = stow.said
    assert base64.b64decode(said.removeprefix("Basic ")).decode() == "jörg:пароль€"


def test_by_c_store_a_pacs_that_takes_none_of_the_objects_is_not_away(objects):
    entity = AE("PACS")
    entity.add_supported_context("1.2.840.10008.5.1.4.1.1.1.2")
    server = entity.start_server(
        ("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, lambda _: 0)]
    )
    config = DestinationConfig(host="127.0.0.1", port=server.socket.getsockname()[1])
    try:
        with pytest.raises(RefusedError, match="no-context"):
            CStore(config, "MAMMOROI").send(objects)
    finally:
        server.shutdown()
    with pytest.raises(AwayError, match="no-connection"):
        CStore(config, "MAMMOROI").send(objects)


def test_a_pacs_without_an_address_is_said_to_get_nothing():
    told = [
        destination_words(DestinationConfig(**settings))
        for settings in (
            {"ae_title": "ARCHIVE", "port": 11112},
            {"ae_title": "ARCHIVE", "host": "192.0.2.20"},
            {"url": "https://pacs.example/dicom-web"},
        )
    ]
    assert told[0].startswith("stay in done/, no PACS is configured")
    assert told[1:] == ["go to the PACS ARCHIVE by C-STORE", "go to the PACS by DICOMweb"]

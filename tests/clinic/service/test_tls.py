"""Encrypted on both sides, by certificates made for the test."""

import shutil
import socket
import ssl
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from pynetdicom import AE, evt
from pynetdicom.sop_class import SecondaryCaptureImageStorage

from mammoroi.clinic.service.config import DestinationConfig
from mammoroi.clinic.service.destination import AwayError, Stow

from .conftest import fast, parts


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """``ours`` and ``theirs``, each its own authority, for localhost."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    folder = tmp_path_factory.mktemp("tls")
    for name in ("ours", "theirs", "strange"):
        subprocess.run(
            [
                *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
                *("-keyout", folder / f"{name}.key", "-out", folder / f"{name}.pem"),
                *("-subj", "/CN=localhost"),
                *("-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
            ],
            check=True,
            capture_output=True,
        )
    return folder


def client(certificates, name):
    context = ssl.create_default_context(cafile=str(certificates / "ours.pem"))
    context.load_cert_chain(certificates / f"{name}.pem", certificates / f"{name}.key")
    return context, "localhost"


@pytest.fixture
def pacs(certificates):
    """A PACS that takes C-STORE over TLS and wants our certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "theirs.pem", certificates / "theirs.key")
    context.load_verify_locations(certificates / "ours.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    entity, stored = AE("ARCHIVE"), []
    entity.add_supported_context(SecondaryCaptureImageStorage)

    def store(event):
        stored.append(str(event.request.AffectedSOPInstanceUID))
        return 0

    server = entity.start_server(
        ("127.0.0.1", 0), block=False, ssl_context=context, evt_handlers=[(evt.EVT_C_STORE, store)]
    )
    yield server.socket.getsockname()[1], stored
    server.shutdown()


def test_in_and_out_over_tls(certificates, pacs, tmp_path):
    port, stored = pacs

    def tls(theirs):
        names = {"certificate": "ours.pem", "key": "ours.key", "authorities": theirs}
        return {key: str(certificates / name) for key, name in names.items()}

    service = parts.Service(
        tmp_path,
        listener={"tls": tls("theirs.pem")},
        destination={"host": "localhost", "port": port, "ae_title": "ARCHIVE"}
        | {"tls": tls("theirs.pem"), "retry_s": 0.2},
    ).start()
    try:
        dataset = parts.mammogram("T", shape=(700, 500))
        with socket.create_connection(("127.0.0.1", service.port)):  # says nothing, holds nobody up
            answer = parts.send(service.port, [dataset], tls=client(certificates, "theirs"))
        assert answer == [0]
        parts.wait_for(lambda: stored == [fast.result_uid(dataset.SOPInstanceUID)], 60)
        plain = parts.send(service.port, [parts.mammogram("U")])
        stranger = parts.send(
            service.port, [parts.mammogram("V")], tls=client(certificates, "strange")
        )
        assert plain == stranger == ["no connection"]
        assert service.counter("received") == 1
        assert "TLS" in service.log.read_text()
    finally:
        service.stop()
    assert threading.active_count() < 30


@pytest.mark.parametrize("system", ["theirs", "strange"])
def test_an_https_pacs_is_believed_by_the_systems_authorities(
    certificates, tmp_path, monkeypatch, system
):
    """As of a clinic's own authority, which is in the system's store and in no package's."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "theirs.pem", certificates / "theirs.key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    fast.write_capture(parts.mammogram(), tmp_path / "result.dcm")
    url = f"https://localhost:{server.server_address[1]}/dicom-web"
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates / f"{system}.pem"))
    try:
        for authorities in (None, certificates / "theirs.pem"):
            pacs = Stow(DestinationConfig(url=url, authorities=authorities))
            if system == "strange" and authorities is None:
                with pytest.raises(AwayError, match="SSLError"):
                    pacs.send([tmp_path / "result.dcm"])
            else:
                pacs.send([tmp_path / "result.dcm"])
    finally:
        server.shutdown()

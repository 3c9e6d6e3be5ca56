"""The DICOM listener: C-STORE of mammograms, C-ECHO, nothing else.

Who may send is decided before a byte of an image comes: AE titles of both sides, and presentation
contexts for the two mammography classes in transfer syntaxes without loss. Any other object is
refused there by its context.

pynetdicom reads whatever length a PDU announces; here a connection is cut when it announces, or has
sent within one message, more than the largest mammogram.
"""

from __future__ import annotations

import logging
import socketserver
import ssl
import threading
from functools import partial
from typing import TYPE_CHECKING, Any

from pydicom.filewriter import write_file_meta_info
from pynetdicom import AE, evt
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined, unused-ignore]
from pynetdicom.transport import RequestHandler, ThreadedAssociationServer

from .admission import SOP_CLASSES, TRANSFER_SYNTAXES
from .config import ListenerConfig, TlsConfig
from .destination import usable
from .inbox import Inbox
from .log import Counters, unexpected

if TYPE_CHECKING:
    from pynetdicom.association import Association

LOGGER = logging.getLogger(__name__)
MAXIMUM_PDU = 131_072
_OVERHEAD = 1 << 20
"""Bytes of protocol that may come with a message, beside the mammogram."""
_CHUNK = 1 << 16
_NAMED = 5
SUCCESS = 0x0000
STOPPING = 0xA700


class Listener:
    """Listens from :meth:`start` to :meth:`stop`.

    Parameters
    ----------
    config : ListenerConfig
        Address, names, limits.
    inbox : Inbox
        Takes what is received.
    counters : Counters
        ``associations``, ``associations_rejected``, ``associations_aborted``, ``echoes``,
        ``nothing_taken`` and ``connections_cut``.

    Raises
    ------
    MammoroiError
        When the certificates cannot be used.
    """

    def __init__(self, config: ListenerConfig, inbox: Inbox, counters: Counters) -> None:
        self._config, self._inbox, self._counters = config, inbox, counters
        self._stopping = threading.Event()
        self._server: Any = None
        self._tls = None
        if config.enabled and config.tls is not None:
            with usable("listener.tls"):
                self._tls = server_context(config.tls)

    def start(self) -> int:
        """Listen; return the port.

        Raises
        ------
        OSError
            When the address cannot be had.
        """
        config = self._config
        entity = AE(config.ae_title)
        entity.require_called_aet = True
        entity.require_calling_aet = list(config.allowed)
        entity.maximum_associations = config.max_associations
        entity.maximum_pdu_size = MAXIMUM_PDU
        entity.network_timeout = entity.dimse_timeout = entity.acse_timeout = config.timeout_s
        entity.add_supported_context(Verification)
        for sop_class in SOP_CLASSES:
            entity.add_supported_context(sop_class, list(TRANSFER_SYNTAXES))
        server: Any = entity.make_server(
            (config.host, config.port),
            ssl_context=self._tls,
            evt_handlers=[
                (evt.EVT_C_STORE, self._store),
                (evt.EVT_C_ECHO, self._echo),
                (evt.EVT_REQUESTED, self._count, ["associations"]),
                (evt.EVT_ACCEPTED, self._accepted),
                (evt.EVT_REJECTED, self._rejected),
                (evt.EVT_ABORTED, self._count, ["associations_aborted"]),
            ],
            server_class=_Server,
            request_handler=_Handler,
        )
        server.max_bytes = int(self._inbox.max_bytes) + _OVERHEAD
        server.timeout_s = config.timeout_s
        server.counters = self._counters
        threading.Thread(target=server.serve_forever, args=(0.2,), daemon=True).start()
        self._server = server
        port = int(server.socket.getsockname()[1])
        LOGGER.info(
            "listener: %s at %s:%d, %s, senders: %s",
            *(config.ae_title, config.host, port, "TLS" if config.tls else "no TLS"),
            ", ".join(config.allowed) or "any on this machine",
        )
        return port

    @property
    def is_alive(self) -> bool:
        """Whether it listens."""
        return self._server is not None and self._server.socket.fileno() >= 0

    def stop(self) -> None:
        """Listen no more; images that are under way are refused with "out of resources"."""
        self._stopping.set()
        if self._server is None:
            return
        self._server.shutdown()
        for association in self._server.active_associations:
            association.abort()
        self._server = None

    def _store(self, event: Any) -> int:
        """Take one image; the status is the answer, and only after the image is on the disk."""
        event.assoc.dul.socket.came = 0
        if self._stopping.is_set():
            return STOPPING
        request = event.request
        data = b"" if request.DataSet is None else request.DataSet.getbuffer()

        def write(stream: Any) -> None:
            stream.write(b"\0" * 128 + b"DICM")
            write_file_meta_info(stream, event.file_meta)
            stream.write(data)

        try:
            expected = (str(request.AffectedSOPClassUID), str(request.AffectedSOPInstanceUID))
            receipt = self._inbox.receive(write, len(data), expected)
        except Exception as error:  # noqa: BLE001  the boundary of one image: the sender is told
            self._counters.add("errors")
            LOGGER.error("listener: unexpected %s", unexpected(error))
            return 0xC000
        return SUCCESS if receipt.refusal is None else receipt.refusal.status

    def _echo(self, event: Any) -> int:
        event.assoc.dul.socket.came = 0
        self._counters.add("echoes")
        return SUCCESS

    def _count(self, _: Any, name: str) -> None:
        self._counters.add(name)

    def _rejected(self, event: Any) -> None:
        self._counters.add("associations_rejected")
        asked = event.assoc.requestor.primitive
        calling, called = asked.calling_ae_title.strip(), asked.called_ae_title.strip()
        if called != self._config.ae_title:
            why = "the called AE title is not ours"
        elif self._config.allowed and calling not in self._config.allowed:
            why = "the calling AE title is not in listener.allowed"
        else:
            why = "there are listener.max_associations already"
        LOGGER.warning(
            "listener: association rejected, %s (calling %s, called %s)",
            *(why, _plain(calling), _plain(called)),
        )

    def _accepted(self, event: Any) -> None:
        """Say when a sender has nothing to offer that is taken: it would only see that it fails."""
        accepted = {context.abstract_syntax for context in event.assoc.accepted_contexts}
        refused = {context.abstract_syntax for context in event.assoc.rejected_contexts}
        if refused and not accepted:
            self._counters.add("nothing_taken")
            names = sorted(uid.name if uid.name != uid else "unknown" for uid in refused)
            LOGGER.warning(
                "listener: %s offers nothing that is taken (or codings that are not): %s%s",
                *(_plain(event.assoc.requestor.ae_title), ", ".join(names[:_NAMED])),
                ", ..." if len(names) > _NAMED else "",
            )


class _Server(ThreadedAssociationServer):  # type: ignore[misc, unused-ignore]
    """Sockets that give up on a silent sender; TLS is negotiated in the connection's own thread."""

    daemon_threads = True
    max_bytes = 0
    timeout_s = 0.0
    counters: Counters

    def get_request(self) -> tuple[Any, Any]:
        listening: Any = self.socket
        connection, address = listening.accept()
        connection.settimeout(self.timeout_s)
        if self.ssl_context is not None:
            connection = self.ssl_context.wrap_socket(
                connection, server_side=True, do_handshake_on_connect=False
            )
        return connection, address

    def handle_error(self, *_: Any) -> None:
        self.counters.add("connections_cut")
        LOGGER.warning("listener: a connection was given up before it said anything")

    def shutdown(self) -> None:
        # Not pynetdicom's, which looks for the server in a list that only start_server() keeps.
        socketserver.BaseServer.shutdown(self)
        self.server_close()


class _Handler(RequestHandler):  # type: ignore[misc, unused-ignore]
    """Connections that can send only so much."""

    server: _Server

    def _create_association(self) -> Association:
        if isinstance(self.request, ssl.SSLSocket):
            self.request.do_handshake()
        association = super()._create_association()
        wire: Any = association.dul.socket
        wire.came = 0
        wire.recv = partial(_receive, wire, self.server)
        return association


def _receive(wire: Any, server: _Server, length: int) -> bytearray:
    """Read so many bytes, as pynetdicom's own, unless the message would become too long.

    Raises
    ------
    OSError
        Then pynetdicom closes the connection.
    """
    wire.came += length
    if wire.came > server.max_bytes:
        server.counters.add("connections_cut")
        LOGGER.warning("listener: connection cut, more than cases.max_instance_mb in one message")
        raise OSError("too much")
    received = bytearray()
    while len(received) < length:
        some = wire.socket.recv(min(length - len(received), _CHUNK))
        if not some:
            break
        received += some
    return received


def server_context(tls: TlsConfig) -> ssl.SSLContext:
    """TLS 1.2 or newer for a listener; with authorities, senders must show a certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(tls.certificate, tls.key, password="")  # none is asked for
    if tls.authorities is not None:
        context.load_verify_locations(tls.authorities)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _plain(title: object) -> str:
    """Give an AE title as it may stand in a log: letters, digits, dash and underscore."""
    text = "".join(char if char.isalnum() or char in "-_" else "?" for char in str(title).strip())
    return text.encode("ascii", "replace").decode() or "(none)"

"""How DICOM objects get into the PACS: DICOMweb (STOW-RS) or C-STORE.

A PACS that has an object already (same SOP Instance UID) accepts it again or says so; both count as
sent.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from ...errors import MammoroiError
from .admission import NATIVE
from .config import DestinationConfig, TlsConfig

_ACCEPTED = (0x0000, 0xB000, 0xB006, 0xB007, 0x0111)
"""Success, its warnings, and Duplicate SOP Instance."""
_BUSY = range(0xA700, 0xA800)
"""Refused: Out of Resources."""
_HTTP_WAIT = (401, 403, 404, 408, 425, 429)
"""Answers that somebody can mend without touching the objects; all of 5xx is among them too."""
_STORE_ANSWERS = (
    *("application/dicom+json", "application/json"),
    *("application/dicom+xml", "application/xml"),
)
"""Media types in which a PACS says which objects it has stored (PS3.18, 10.5.3)."""


class AwayError(Exception):
    """The PACS cannot be reached or cannot take anything now; its text is a short code."""


class RefusedError(Exception):
    """The PACS does not want these objects; its text is a short code."""


class Destination(Protocol):
    """A PACS."""

    def send(self, objects: Sequence[Path]) -> None:
        """Store objects; all of them are stored when it returns.

        Raises
        ------
        AwayError, RefusedError
            When they are not; then all of them are to be sent again.
        """


def destination(config: DestinationConfig, ae_title: str) -> Destination | None:
    """Give the configured PACS; None when results go nowhere."""
    if config.url is not None:
        return Stow(config)
    if config.host is not None:
        return CStore(config, ae_title)
    return None


def destination_words(config: DestinationConfig) -> str:
    """Say in the log where results go: a PACS without `host` or `url` gets nothing."""
    if config.url is not None:
        return "go to the PACS by DICOMweb"
    if config.host is not None:
        return f"go to the PACS {config.ae_title.strip()} by C-STORE"
    return "stay in done/, no PACS is configured (destination.url or destination.host)"


class Stow:
    """A PACS by DICOMweb."""

    def __init__(self, config: DestinationConfig) -> None:
        import requests
        from dicomweb_client.api import DICOMwebClient
        from requests.auth import HTTPBasicAuth

        session = requests.Session()
        session.trust_env = False  # no proxy and no .netrc that the configuration does not name
        session.hooks["response"].append(_see_answer)
        if config.credentials is not None:
            with usable("destination.credentials"):
                line = config.credentials.read_text(encoding="utf-8-sig").strip()
            if line.startswith("Bearer "):
                session.headers["Authorization"] = line
            else:
                user, _, password = line.partition(":")
                # Bytes, since text would go as Latin-1.
                session.auth = HTTPBasicAuth(user.encode(), password.encode())
        system = ssl.get_default_verify_paths()  # requests would take those that came with it
        session.verify = system.cafile or system.capath or True
        if config.authorities is not None:
            with usable("destination.authorities"):
                ssl.create_default_context(cafile=str(config.authorities))
            session.verify = str(config.authorities)
        self._client = DICOMwebClient(
            url=str(config.url).rstrip("/"), session=session, timeout=config.timeout_s
        )
        self._client.set_http_retry_params(retry=False)

    def send(self, objects: Sequence[Path]) -> None:
        """Store all objects by one request."""
        import pydicom
        import requests

        datasets = [pydicom.dcmread(path) for path in objects]
        try:
            answer = self._client.store_instances(datasets)
        except requests.HTTPError as error:
            status = 0 if error.response is None else error.response.status_code
            if status >= 500 or status in _HTTP_WAIT:
                raise AwayError(f"http-{status}") from None
            raise RefusedError(f"http-{status}") from None
        except OSError as error:  # requests' own are; so is a file of certificates that is gone
            raise AwayError(type(error).__name__) from None
        for item in answer.get("FailedSOPSequence") or []:
            reason = int(item.get("FailureReason") or 0)
            if reason in _BUSY:
                raise AwayError(f"status-{reason:04X}")
            if reason not in _ACCEPTED or reason == 0:
                raise RefusedError(f"status-{reason:04X}")


def _see_answer(answer: Any, *_: Any, **__: Any) -> None:
    """Let dicomweb_client read an answer, or say that it is none to objects that were sent.

    It takes what it cannot read for success: an answer whose media type has a ``charset``, a page
    of another kind, and what a redirection leads to, where a POST becomes a GET.

    Raises
    ------
    AwayError, RefusedError
        When the answer does not say that the objects were stored.
    """
    status = int(answer.status_code)
    if 300 <= status < 400:
        raise AwayError(f"http-{status}")
    if not answer.ok:
        return
    media_type = str(answer.headers.get("Content-Type") or "").partition(";")[0].strip().lower()
    answer.headers["Content-Type"] = media_type
    if answer.content and media_type not in _STORE_ANSWERS:
        raise AwayError("no-dicomweb")
    if status == 202 and not answer.content:  # not all of them, and not which
        raise RefusedError("http-202")


class CStore:
    """A PACS by C-STORE."""

    def __init__(self, config: DestinationConfig, ae_title: str) -> None:
        self._config, self._ae_title = config, ae_title
        if config.tls is not None:
            with usable("destination.tls"):
                client_context(config.tls)

    def send(self, objects: Sequence[Path]) -> None:
        """Store objects one after the other by one association."""
        import pydicom
        from pynetdicom import AE

        datasets = [pydicom.dcmread(path) for path in objects]
        entity = AE(self._ae_title)
        seconds = self._config.timeout_s
        entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = seconds
        entity.connection_timeout = seconds
        for sop_class, coding in sorted(
            {(item.SOPClassUID, item.file_meta.TransferSyntaxUID) for item in datasets}
        ):
            entity.add_requested_context(sop_class, list(NATIVE) if coding in NATIVE else coding)
        options: dict[str, Any] = {}
        if self._config.tls is not None:
            try:  # each time anew, since certificates are renewed
                options["tls_args"] = (client_context(self._config.tls), self._config.host)
            except OSError as error:
                raise AwayError(type(error).__name__) from None
        association = entity.associate(
            str(self._config.host),
            self._config.port,
            ae_title=self._config.ae_title,
            **options,
        )
        if not association.is_established:
            if association.rejected_contexts:  # it answers, but takes none of these objects
                raise RefusedError("no-context")
            raise AwayError("rejected" if association.is_rejected else "no-connection")
        try:
            for dataset in datasets:
                _store(association, dataset)
        finally:
            if association.is_established:
                association.release()


def _store(association: Any, dataset: Any) -> None:
    try:
        answer = association.send_c_store(dataset)
    except ValueError:  # no accepted presentation context
        raise RefusedError("no-context") from None
    except RuntimeError:
        raise AwayError("connection-lost") from None
    if "Status" not in answer:
        raise AwayError("no-answer")
    status = int(answer.Status)
    if status in _BUSY:
        raise AwayError(f"status-{status:04X}")
    if status not in _ACCEPTED:
        raise RefusedError(f"status-{status:04X}")


@contextmanager
def usable(setting: str) -> Iterator[None]:
    """Say at the start, and by its name, that a file of the settings cannot be used.

    Raises
    ------
    MammoroiError
        When the block raises an error of a file or of TLS.
    """
    try:
        yield
    except (OSError, UnicodeDecodeError) as error:
        raise MammoroiError(
            f"{setting} cannot be used: {getattr(error, 'strerror', None) or error}",
            "name PEM files that belong together, the key without a passphrase, and credentials "
            "of one line of text",
        ) from None


def client_context(tls: TlsConfig) -> ssl.SSLContext:
    """TLS 1.2 or newer for a connection that we open, with our certificate."""
    cafile = None if tls.authorities is None else str(tls.authorities)
    context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=cafile)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = tls.check_hostname
    context.load_cert_chain(tls.certificate, tls.key, password="")  # none is asked for
    return context

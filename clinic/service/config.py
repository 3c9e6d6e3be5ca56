"""Settings of ``mammoroi serve``: a YAML file, see ``configs/serve.yaml`` and ``docs/serve.md``."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from ...errors import MammoroiError

AE_TITLE_LENGTH = 16


@dataclass(frozen=True)
class TlsConfig:
    """Encryption of a DICOM connection.

    Attributes
    ----------
    certificate : Path
        Our certificate, PEM, with the chain that the other side needs.
    key : Path
        Its private key, PEM, without a passphrase.
    authorities : Path | None
        Certificates by which the other side is believed, PEM. For the listener: senders must then
        show a certificate of theirs. For C-STORE to a PACS: none takes the system's.
    check_hostname : bool
        When we connect: whether the certificate must name the host.
    """

    certificate: Path
    key: Path
    authorities: Path | None = None
    check_hostname: bool = True

    def check(self, section: str) -> None:
        """Refuse files that are not there."""
        for name in ("certificate", "key", "authorities"):
            path = getattr(self, name)
            if path is not None and not path.is_file():
                raise MammoroiError(f"{section}.tls.{name}: {path} is no file", "name a PEM file")


@dataclass(frozen=True)
class ListenerConfig:
    """The DICOM listener.

    Attributes
    ----------
    enabled : bool
        Whether there is one.
    ae_title : str
        Our name; senders that call another are refused.
    host : str
        Address to listen on; any but loopback needs `remote`.
    port : int
        Its port; 0 takes a free one, which the health tells.
    remote : bool
        Whether other machines may connect.
    allowed : tuple of str
        AE titles that may send; with none, any on this machine may. Needed with `remote`.
    max_associations : int
        Connections at a time; each holds one mammogram in memory while it comes in.
    timeout_s : float
        A sender that is silent for so long is cut off.
    tls : TlsConfig | None
        Encryption.
    """

    enabled: bool = True
    ae_title: str = "MAMMOROI"
    host: str = "127.0.0.1"
    port: int = 11112
    remote: bool = False
    allowed: tuple[str, ...] = ()
    max_associations: int = 4
    timeout_s: float = 60.0
    tls: TlsConfig | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "allowed", tuple(self.allowed))
        for title in (self.ae_title, *self.allowed):
            check_ae_title("listener", title)
        require_loopback("listener", self.host, self.remote)
        if self.remote and not self.allowed:
            raise MammoroiError(
                "listener.remote is true, but listener.allowed names nobody",
                "list the AE titles that may send",
            )
        _positive("listener", self, "max_associations", "timeout_s")
        _port("listener", self.port)
        if self.tls is not None:
            self.tls.check("listener")


@dataclass(frozen=True)
class WatchConfig:
    """The watched folder.

    Attributes
    ----------
    folder : Path | None
        Files that appear in it or below are taken, and are gone from it then; none watches nothing.
    every_s : float
        Seconds between two looks.
    stable_s : float
        A file is taken when it has not changed for so long.
    """

    folder: Path | None = None
    every_s: float = 2.0
    stable_s: float = 5.0

    def __post_init__(self) -> None:
        _positive("watch", self, "every_s")


@dataclass(frozen=True)
class CasesConfig:
    """How cases are made of images, and processed. A case is the images of one study.

    Attributes
    ----------
    max_instance_mb : float
        A larger file is refused; so is one whose pixels are larger when decoded.
    settle_s : float
        A study is complete when no image of it came for so long.
    timeout_s : float
        A case that takes longer is stopped.
    memory_gb : float
        A case whose process holds more is stopped.
    attempts : int
        So often a case is tried whose process crashed, was stopped or raised an error.
    cases_per_process : int
        The process that computes is replaced after so many cases.
    min_free_gb : float
        With less free space on the disk of `home` nothing is taken in.
    keep_hours : float
        Images and results of a finished case are kept for so long; an image that comes later is
        then processed together with them.
    forget_days : float
        The note of a finished case, by which a repeated image is recognised, is kept for so long.
    """

    max_instance_mb: float = 200.0
    settle_s: float = 30.0
    timeout_s: float = 900.0
    memory_gb: float = 8.0
    attempts: int = 2
    cases_per_process: int = 100
    min_free_gb: float = 5.0
    keep_hours: float = 24.0
    forget_days: float = 365.0

    def __post_init__(self) -> None:
        _positive("cases", self, "max_instance_mb", "timeout_s", "memory_gb")
        _positive("cases", self, "attempts", "cases_per_process")
        for name in ("settle_s", "min_free_gb", "keep_hours", "forget_days"):
            if not getattr(self, name) >= 0:  # NaN is neither
                raise MammoroiError(f"cases.{name} is {getattr(self, name)}", "set 0 or more")


@dataclass(frozen=True)
class ProcessingConfig:
    """What is computed, see `docs/infer.md`.

    Attributes
    ----------
    model : Path | None
        The bundle that is run; none runs the shipped one, which was trained on phantoms.
    batch : str | None
        The centre or device of all images, where the bundle's classifiers need it.
    geometry : str
        Of the segmentation objects: `none`, or `nominal` for viewers that need positions.
    capture : bool
        Whether pictures with the outline (secondary captures) are made, too.
    pages : bool
        Whether a page per patient is kept in `done/` as long as the images are.
    """

    model: Path | None = None
    batch: str | None = None
    geometry: str = "none"
    capture: bool = False
    pages: bool = False

    def __post_init__(self) -> None:
        if self.geometry not in ("none", "nominal"):
            raise MammoroiError(
                f"processing.geometry is {self.geometry!r}", "give one of: none, nominal"
            )
        if self.model is not None and not self.model.exists():
            raise MammoroiError(f"processing.model: {self.model} does not exist", "name a bundle")


@dataclass(frozen=True)
class DestinationConfig:
    """Where results go: to `url` by DICOMweb, or to `host` by C-STORE, or (neither) nowhere.

    Attributes
    ----------
    url : str | None
        DICOMweb (STOW-RS) address, such as `http://127.0.0.1:8042/dicom-web`.
    credentials : Path | None
        File with one line, `user:password` or `Bearer TOKEN`, that only its owner may read.
    authorities : Path | None
        Certificates by which an `https` server is believed, PEM; none takes the system's.
    host : str | None
        Address of the PACS for C-STORE.
    port : int
        Its port.
    ae_title : str
        Its AE title.
    tls : TlsConfig | None
        Encryption of C-STORE.
    timeout_s : float
        An answer that takes longer counts as none.
    retry_s : float
        Pause after a first failure; it doubles with each further one.
    retry_max_s : float
        The longest such pause.
    refusals : int
        Results that were refused so often are set aside.
    """

    url: str | None = None
    credentials: Path | None = None
    authorities: Path | None = None
    host: str | None = None
    port: int = 104
    ae_title: str = "PACS"
    tls: TlsConfig | None = None
    timeout_s: float = 60.0
    retry_s: float = 2.0
    retry_max_s: float = 300.0
    refusals: int = 5

    def __post_init__(self) -> None:
        if self.url is not None and self.host is not None:
            raise MammoroiError(
                "destination has both url (DICOMweb) and host (C-STORE)", "keep one of them"
            )
        if self.url is not None:
            parts = urlsplit(self.url)
            if parts.scheme not in ("http", "https") or not parts.hostname:
                raise MammoroiError("destination.url is no http(s) address", "mend it")
            if parts.username or parts.password:
                raise MammoroiError(
                    "destination.url holds a user or password", "put them into credentials"
                )
            if parts.scheme == "http" and self.credentials and not is_loopback(parts.hostname):
                raise MammoroiError(
                    "destination.credentials would cross the network unencrypted", "use https"
                )
        if self.credentials is not None:
            if not self.credentials.is_file():
                raise MammoroiError(
                    f"destination.credentials: {self.credentials} is no file", "name the file"
                )
            if self.credentials.stat().st_mode & 0o077:
                raise MammoroiError(
                    f"destination.credentials: others may read {self.credentials}",
                    f"chmod 600 {self.credentials}",
                )
        self._refuse_of_the_other_way()
        check_ae_title("destination", self.ae_title)
        _port("destination", self.port)
        if self.tls is not None:
            self.tls.check("destination")
        _positive("destination", self, "timeout_s", "retry_s", "retry_max_s", "refusals")

    def _refuse_of_the_other_way(self) -> None:
        """Refuse what would be without effect: who asks for encryption must not go without."""
        https = self.url is not None and urlsplit(self.url).scheme == "https"
        for name, useless, action in (
            ("tls", self.url is not None, "for DICOMweb give https and authorities"),
            ("authorities", not https, "they are for https; of C-STORE they stand in tls"),
            ("credentials", self.url is None, "they are for DICOMweb, with url"),
        ):
            if getattr(self, name) is not None and useless:
                raise MammoroiError(f"destination.{name} has no effect here", action)


@dataclass(frozen=True)
class HealthConfig:
    """State and counters as JSON, at `http://host:port/health` and in `home/health.json`.

    Attributes
    ----------
    enabled : bool
        Whether they are served over HTTP; the file is always written.
    host : str
        Address; any but loopback needs `remote`.
    port : int
        Port; 0 takes a free one, which the file tells.
    remote : bool
        Whether other machines may look. There is no password.
    every_s : float
        Seconds between two writings of the file.
    """

    enabled: bool = True
    host: str = "127.0.0.1"
    port: int = 11180
    remote: bool = False
    every_s: float = 10.0

    def __post_init__(self) -> None:
        require_loopback("health", self.host, self.remote)
        _port("health", self.port)
        _positive("health", self, "every_s")


@dataclass(frozen=True)
class ServeConfig:
    """Settings of ``mammoroi serve``.

    Attributes
    ----------
    home : Path
        Folder for everything that the service keeps; one service per folder.
    stop_s : float
        On a stop, the running case has so long to end; then it is put back.
    listener : ListenerConfig
        The DICOM listener.
    watch : WatchConfig
        The watched folder.
    cases : CasesConfig
        Cases and their limits.
    processing : ProcessingConfig
        What is computed.
    destination : DestinationConfig
        Where results go.
    health : HealthConfig
        State and counters.
    """

    home: Path = Path("mammoroi-service")
    stop_s: float = 20.0
    listener: ListenerConfig = field(default_factory=ListenerConfig)
    watch: WatchConfig = field(default_factory=WatchConfig)
    cases: CasesConfig = field(default_factory=CasesConfig)
    processing: ProcessingConfig = field(default_factory=ProcessingConfig)
    destination: DestinationConfig = field(default_factory=DestinationConfig)
    health: HealthConfig = field(default_factory=HealthConfig)

    def __post_init__(self) -> None:
        if not self.listener.enabled and self.watch.folder is None:
            raise MammoroiError(
                "neither listener nor watch.folder: nothing could come in",
                "enable one of them",
            )
        if self.watch.folder is not None:
            watched, home = self.watch.folder.resolve(), self.home.resolve()
            if watched == home or watched in home.parents or home in watched.parents:
                raise MammoroiError(
                    f"watch.folder {watched} and home {home} lie in each other", "keep them apart"
                )


def is_loopback(host: str) -> bool:
    """Whether an address is this machine's own, unreachable for others."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def require_loopback(section: str, host: str, remote: bool) -> None:
    """Refuse an address that others can reach, unless that is asked for."""
    if not remote and not is_loopback(host):
        raise MammoroiError(
            f"{section}.host is {host}, which other machines can reach",
            f"set {section}.remote: true if that is meant (read docs/serve.md), or 127.0.0.1",
        )


def check_ae_title(section: str, title: str) -> None:
    """Refuse what is no AE title: 1 to 16 printable ASCII characters, no backslash (PS3.5, 6.2)."""
    text = title.strip()
    plain = text.isascii() and text.isprintable() and "\\" not in text
    if not (plain and 1 <= len(text) <= AE_TITLE_LENGTH):
        raise MammoroiError(
            f"{section}: {title!r} is no AE title",
            f"give 1 to {AE_TITLE_LENGTH} plain characters",
        )


def _port(section: str, port: int) -> None:
    if not 0 <= port < 2**16:
        raise MammoroiError(f"{section}.port is {port}", "give a port, 0 to 65535")


def _positive(section: str, config: object, *names: str) -> None:
    for name in names:
        if not getattr(config, name) > 0:
            raise MammoroiError(f"{section}.{name} is {getattr(config, name)}", "set more than 0")

"""What the benchmarks and tests of the service share: mammograms, a service, a PACS."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import requests
import yaml
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pynetdicom import AE

from mammoroi.cohort.phantom import Findings, draw_anatomy, draw_view
from mammoroi.cohort.phantom_dicom import ImageName, write_phantom_dicom
from mammoroi.cohort.texture import LesionTexture

PATIENCE = 5
VIEWS = (("CC", "L"), ("CC", "R"), ("MLO", "L"), ("MLO", "R"))
IDENTITY = {
    "PatientName": "Quenstedt^Wilhelmine",
    "PatientID": "MRN-7736451",
    "PatientBirthDate": "19511103",
    "OtherPatientIDs": "OTHER-5521907",
    "PatientAddress": "Wallstrasse 14 Nirgendwo",
    "PatientTelephoneNumbers": "0049-999-4711",
    "AccessionNumber": "ACC-9917263",
    "StudyID": "STUDY-60433",
    "ReferringPhysicianName": "Zimmerle^Ottokar",
    "OperatorsName": "Vogelsang^Irmtraud",
    "InstitutionName": "Klinik Morgentau",
    "StationName": "MAMMO-17",
    "StudyDescription": "Screening Quenstedt",
    "PatientComments": "Schwester Adelheid erkrankt",
}


def mammogram(
    study: str = "S1",
    view: str = "CC",
    laterality: str = "L",
    shape: tuple[int, int] = (64, 48),
    pixels: NDArray[np.uint16] | None = None,
    spacing_mm: float = 1.0,
    **attributes: Any,
) -> Dataset:
    """Make a mammogram that names a person who does not exist: small and noise, if not told."""
    if pixels is None:
        noise = np.random.default_rng(VIEWS.index((view, laterality)))
        pixels = noise.integers(1, 4000, shape, dtype=np.uint16)
    number = 1 + VIEWS.index((view, laterality))
    name = ImageName(f"{study}-{view}-{laterality}", study, view, laterality, number, 60)
    with tempfile.TemporaryDirectory() as folder:
        path = write_phantom_dicom(Path(folder) / "image.dcm", pixels, name, spacing_mm, seed=7)
        dataset = pydicom.dcmread(path)
        dataset.PixelData  # noqa: B018  read before the file is gone
    for keyword, value in (IDENTITY | attributes).items():
        if value is None:
            delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)
    dataset.file_meta.MediaStorageSOPInstanceUID = str(dataset.get("SOPInstanceUID", "1.2.3"))
    return dataset


def study(name: str, **attributes: Any) -> list[Dataset]:
    """Make the four views of a study."""
    return [mammogram(name, view, side, **attributes) for view, side in VIEWS]


def phantom_study(name: str, spacing_mm: float = 0.5) -> list[Dataset]:
    """Draw the four views of a phantom, whose lesions are in both breasts."""
    findings = Findings("scattered", 22.0, True, True, True, False, False, False)
    views = []
    for view, side in VIEWS:
        anatomy = draw_anatomy(findings, np.random.default_rng(len(name) + len(side)))
        seed = np.random.SeedSequence(1 + VIEWS.index((view, side)))
        texture = LesionTexture(0.5, 0.0, 0.2)
        drawn = draw_view(view, side, anatomy, findings, texture, spacing_mm, seed)
        patient = {"PatientID": f"MRN-{name}-94170"}
        views.append(
            mammogram(name, view, side, pixels=drawn.pixels, spacing_mm=spacing_mm, **patient)
        )
    return views


def free_port() -> int:
    """Give a port of this machine that nobody has."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def wait_for(condition: Callable[[], Any], seconds: float = 60.0, what: str = "") -> Any:
    """Wait until something is true; its value is returned.

    A busy machine is given :data:`PATIENCE` times as long.

    Raises
    ------
    TimeoutError
        When it does not become true.
    """
    until = time.monotonic() + PATIENCE * seconds
    while time.monotonic() < until:
        with suppress(requests.RequestException, OSError):
            value = condition()
            if value:
                return value
        time.sleep(0.05)
    raise TimeoutError(f"not within {seconds:g} s: {what or condition}")


class Service:
    """A service in a process of its own, with settings for tests: short times, free ports."""

    def __init__(self, folder: Path, command: Sequence[str] | None = None, **sections: Any) -> None:
        self.folder, self.home = folder, folder / "home"
        self.command = command or [sys.executable, str(Path(__file__).with_name("service_fast.py"))]
        settings: dict[str, Any] = {
            "home": str(self.home),
            "stop_s": 5.0,
            "listener": {"port": free_port(), "allowed": ["SENDER", "ORTHANC"], "timeout_s": 10.0},
            "watch": {"folder": str(folder / "watched"), "every_s": 0.1, "stable_s": 0.3},
            "cases": {"settle_s": 0.5, "timeout_s": 20.0, "min_free_gb": 0.0},
            "destination": {"retry_s": 0.2, "retry_max_s": 1.0, "timeout_s": 10.0},
            "health": {"port": free_port(), "every_s": 0.5},
        }
        for name, section in sections.items():
            if isinstance(section, dict):
                settings[name] = settings.get(name, {}) | section
            else:
                settings[name] = section
        self.settings = settings
        self.watched = folder / "watched"
        self.watched.mkdir(parents=True, exist_ok=True)
        self.config = folder / "serve.yaml"
        self.log = folder / "service.log"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def port(self) -> int:
        """Port of the listener."""
        return int(self.settings["listener"]["port"])

    def start(self, wait: bool = True, **options: Any) -> Service:
        """Start it; wait until it says that it runs."""
        self.config.write_text(yaml.safe_dump(self.settings))
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.command, str(self.config)], stderr=log, stdout=log, **options
            )
        if wait:
            wait_for(self._runs, 60, "the service starts")
        return self

    def _runs(self) -> bool:
        if self.process is not None and self.process.poll() is not None:
            raise RuntimeError(f"the service ended:\n{self.log.read_text()}")
        return self.health()["state"] == "running"

    def health(self) -> dict[str, Any]:
        """What it says of itself."""
        port = self.settings["health"]["port"]
        answer = requests.get(f"http://127.0.0.1:{port}/health", timeout=10)
        return answer.json()

    def counter(self, name: str) -> int:
        """One of its counters."""
        return int(self.health()["counters"].get(name, 0))

    def stop(self) -> int:
        """Ask it to stop; its exit code."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(60 * PATIENCE)

    def kill(self) -> None:
        """End it at once, without a word; its child process has to end by itself."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(60)

    def idle(self) -> bool:
        """Whether no case is on its way."""
        cases = self.health()["cases"]
        return not any(cases[state] for state in ("incoming", "ready", "working", "outbox"))

    def wait_idle(self, seconds: float = 60.0) -> None:
        """Wait until no case is on its way."""
        wait_for(self.idle, seconds, "the service is idle")

    def where(self) -> dict[str, list[str]]:
        """All mammograms that the service has, by state; names are keyed hashes."""
        found: dict[str, list[str]] = {}
        for path in sorted(self.home.rglob("images/*")):
            state = str(path.relative_to(self.home).parent.parent.parent)
            found.setdefault(state, []).append(path.stem)
        return found


def send(
    port: int,
    datasets: Sequence[Dataset],
    calling: str = "SENDER",
    called: str = "MAMMOROI",
    contexts: Sequence[tuple[str, str]] | None = None,
    tls: Any = None,
) -> list[int | str]:
    """Send by C-STORE; the status of each, or in a word why there is none."""
    entity = AE(calling)
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = 60
    pairs = contexts or sorted({(d.SOPClassUID, d.file_meta.TransferSyntaxUID) for d in datasets})
    for sop_class, coding in pairs:
        entity.add_requested_context(sop_class, coding)
    association = entity.associate(
        "127.0.0.1", port, ae_title=called, **({"tls_args": tls} if tls else {})
    )
    if not association.is_established:
        word = "rejected" if association.is_rejected else "no connection"
        return ["no context" if association.rejected_contexts else word] * len(datasets)
    answers: list[int | str] = []
    for dataset in datasets:
        try:
            status = association.send_c_store(dataset)
            answers.append(int(status.Status) if "Status" in status else "no answer")
        except ValueError:
            answers.append("no context")
        except RuntimeError:
            answers.append("cut")
    if association.is_established:
        association.release()
    return answers


class Orthanc:
    """Debian's Orthanc with DICOMweb, on free ports of loopback, its storage in a folder."""

    def __init__(self, folder: Path, modalities: dict[str, int] | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.http, self.dicom, self.folder = free_port(), free_port(), folder
        self.url = f"http://127.0.0.1:{self.http}"
        plugin = next(
            (str(path) for path in Path("/usr").glob("lib*/**/libOrthancDicomWeb.so*")),
            "/usr/share/orthanc/plugins",
        )
        self._config = folder / "orthanc.json"
        self._config.write_text(
            json.dumps(
                {
                    "Name": "test",
                    "StorageDirectory": str(folder / "storage"),
                    "IndexDirectory": str(folder / "index"),
                    "Plugins": [plugin],
                    "HttpPort": self.http,
                    "RemoteAccessAllowed": False,
                    "DicomServerEnabled": True,
                    "DicomAet": "ORTHANC",
                    "DicomPort": self.dicom,
                    "DicomCheckCalledAet": False,
                    "StableAge": 1,
                    "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
                    "DicomModalities": {
                        name: [name, "127.0.0.1", port] for name, port in (modalities or {}).items()
                    },
                }
            )
        )
        self.process: subprocess.Popen[bytes] | None = None

    @staticmethod
    def missing() -> str | None:
        """Why Orthanc cannot be started here; None when it can."""
        return None if shutil.which("Orthanc") else "Orthanc is not installed (apt: orthanc)"

    def start(self) -> Orthanc:
        """Start it and wait until it answers."""
        with (self.folder / "orthanc.log").open("ab") as log:
            self.process = subprocess.Popen(
                ["Orthanc", str(self._config)], stdout=log, stderr=subprocess.STDOUT
            )
        wait_for(lambda: requests.get(f"{self.url}/system", timeout=5).ok, 60, "Orthanc starts")
        return self

    def stop(self) -> None:
        """End it; what it stored stays."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait(30)

    def instances(self) -> list[str]:
        """SOP Instance UIDs of everything that it has."""
        ids = requests.get(f"{self.url}/instances?expand", timeout=30).json()
        return sorted(item["MainDicomTags"]["SOPInstanceUID"] for item in ids)

    def series(self) -> dict[str, list[str]]:
        """Modalities of the series of each study, by Study Instance UID."""
        found: dict[str, list[str]] = {}
        for item in requests.get(f"{self.url}/series?expand", timeout=30).json():
            parent = requests.get(f"{self.url}/studies/{item['ParentStudy']}", timeout=30).json()
            uid = parent["MainDicomTags"]["StudyInstanceUID"]
            found.setdefault(uid, []).append(item["MainDicomTags"]["Modality"])
        return {uid: sorted(modalities) for uid, modalities in found.items()}

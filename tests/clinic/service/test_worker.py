"""What the worker does with a case before it is processed."""

import errno
import os
import threading
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

from mammoroi.clinic.service.child import Child, Outcome
from mammoroi.clinic.service.config import CasesConfig, ProcessingConfig
from mammoroi.clinic.service.home import Home
from mammoroi.clinic.service.log import Counters
from mammoroi.clinic.service.processing import Processing
from mammoroi.clinic.service.worker import Worker
from mammoroi.cohort.cohort import load_cohort
from mammoroi.errors import Failure, MammoroiError
from mammoroi.files import read_csv
from mammoroi.radiomics import extract


class Looking:
    """Stands for the process: notes what lies in the folder for results."""

    def run(self, files: list[Path], out: Path, stop: threading.Event) -> Outcome:
        self.found = sorted(out.rglob("*")) if out.exists() else []
        return Outcome("stopped")


def test_a_case_moved_back_by_hand_starts_without_its_earlier_results(tmp_path):
    """Objects of the images that it had then would be sent with those of the images it has now."""
    home = Home(tmp_path / "home")
    folder = home.case("ready", "case")
    (folder / "images").mkdir(parents=True)
    (folder / "images" / "one.dcm").write_bytes(b"")
    earlier = folder / "out" / "objects" / "patient-1" / "old_seg.dcm"
    earlier.parent.mkdir(parents=True)
    earlier.write_bytes(b"")
    looking = Looking()
    inbox = SimpleNamespace(settle=lambda: None)
    worker = Worker(home, inbox, looking, CasesConfig(), Counters(), keep_results=False)
    assert worker.step(threading.Event())
    assert looking.found == []
    home.close()


def test_an_image_whose_lesion_cannot_be_measured_has_not_failed(second, tmp_path, monkeypatch):
    """It has a mask and a line in the report: set aside, it would be missing from the next ones."""

    def too_small(*_):
        raise MammoroiError("the lesion is too small", "leave it")

    monkeypatch.setattr(extract, "extract_case", too_small)
    cohort = load_cohort(second)
    files = [cohort.path(image) for image in cohort.images["image"][:2]]
    out = tmp_path / "out"
    assert Processing(ProcessingConfig())(files, out) == []
    assert len(list(out.rglob("*_sr.dcm"))) == 1
    assert set(read_csv(out / "failures.csv")["stage"]) == {"infer/radiomics"}
    two = second / "patients.csv"
    assert [one.stage for one in Processing(ProcessingConfig())([two], tmp_path / "b")] == [
        "infer/segment"
    ]


def disk_is_full(files: list[Path], out: Path) -> None:
    """Stands for a processing, in the process that computes."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(out))


def test_a_full_disk_is_no_cases_fault(tmp_path):
    """One case after the other would be set aside; they wait until there is space again."""
    home = Home(tmp_path / "home")
    images = home.case("ready", "case") / "images"
    images.mkdir(parents=True)
    (images / "one.dcm").write_bytes(b"")
    child = Child(disk_is_full, home.folder / "worker.lock", 60.0, 8.0, 100)
    inbox = SimpleNamespace(settle=lambda: None)
    worker = Worker(home, inbox, child, CasesConfig(), Counters(), keep_results=False)
    for _ in range(3):
        assert worker.step(threading.Event())
    child.end()
    assert home.cases("ready") == ["case"]
    assert not worker.process_is_well
    home.close()


@dataclass(frozen=True)
class Named:
    """Stands for a processing whose model is a file that somebody replaces."""

    file: Path

    def prepare(self) -> str:
        return self.file.read_text()

    def __call__(self, files: list[Path], out: Path) -> list[Failure]:
        return []


def test_a_model_that_was_replaced_is_said(tmp_path, caplog):
    """A new process reads it anew, after so many cases: results rest on it from then on."""
    file = tmp_path / "model"
    file.write_text("first")
    child = Child(Named(file), tmp_path / "lock", 60.0, 8.0, 1)
    for case in range(2):
        assert child.run([], tmp_path / str(case), threading.Event()).reason is None
        assert child.runs == "first"
    assert caplog.text == ""
    file.write_text("second")
    child.run([], tmp_path / "3", threading.Event())
    child.end()
    assert child.runs == "second"
    assert "the model is another one from now on: second" in caplog.text

"""What the worker does with a case before it is processed."""

import threading
from pathlib import Path
from types import SimpleNamespace

from mammoroi.clinic.service.child import Outcome
from mammoroi.clinic.service.config import CasesConfig
from mammoroi.clinic.service.home import Home
from mammoroi.clinic.service.log import Counters
from mammoroi.clinic.service.worker import Worker


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

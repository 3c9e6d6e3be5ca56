r"""Sends mammograms through the listener of a service and measures throughput and memory.

Real-size images (3328 x 4096, 27 MB) and small ones are mixed; four images are one study. The
processing is the fast one of ``service_fast.py``, or with ``--real`` the shipped one; results go
to Orthanc. Wall time means nothing while others use the machine, so CPU time is printed too::

    OMP_NUM_THREADS=1 python benchmarks/service_load.py --images 500 --large 0.2
    OMP_NUM_THREADS=1 python benchmarks/service_load.py --images 8 --large 1 --real
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import threading
import time
from copy import deepcopy
from pathlib import Path

import numpy as np
import psutil
from pydicom.dataset import Dataset
from service_parts import VIEWS, Orthanc, Service, mammogram, send, wait_for

LARGE, SMALL = (4096, 3328), (512, 416)


class Memory(threading.Thread):
    """Looks at the memory of a service and of its child every half second."""

    def __init__(self, service: Service) -> None:
        super().__init__(daemon=True)
        assert service.process is not None
        self._process = psutil.Process(service.process.pid)
        self.service_mb: list[float] = []
        self.child_mb: list[float] = []
        self._children: dict[int, psutil.Process] = {}
        self.stopped = threading.Event()

    def run(self) -> None:
        """Look until ``stopped`` is set."""
        while not self.stopped.wait(0.5):
            self.service_mb.append(self._process.memory_info().rss / 2**20)
            try:
                children = self._process.children(recursive=True)
                held = [child.memory_info().rss / 2**20 for child in children]
            except psutil.NoSuchProcess:
                continue
            self.child_mb.append(sum(held))

    def cpu_s(self) -> tuple[float, float]:
        """CPU seconds of the service and of its children so far."""
        own = self._process.cpu_times()
        children = [child.cpu_times() for child in self._process.children(recursive=True)]
        return own.user + own.system, sum(child.user + child.system for child in children)


def image(number: int, large: bool, template: dict[bool, Dataset]) -> Dataset:
    """Make an image of its own out of a template: other identifiers, a pixel changed."""
    study, view = divmod(number, 4)
    if large not in template:
        template[large] = mammogram("L", shape=LARGE if large else SMALL)
    dataset = deepcopy(template[large])
    small = mammogram(f"L{study}", *VIEWS[view], shape=(8, 8))
    for keyword in ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "PatientID"):
        setattr(dataset, keyword, small.get(keyword))
    for keyword in ("ImageLaterality", "ViewPosition", "ViewCodeSequence", "InstanceNumber"):
        setattr(dataset, keyword, small.get(keyword))
    dataset.file_meta = small.file_meta
    pixels = bytearray(dataset.PixelData)
    pixels[100:102] = np.uint16(number % 4000).tobytes()
    dataset.PixelData = bytes(pixels)
    return dataset


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--large", type=float, default=0.2, help="share of real-size images")
    parser.add_argument("--real", action="store_true", help="the shipped processing")
    parser.add_argument("--model", type=Path, help="the bundle of --real (the shipped one)")
    parser.add_argument("--keep_hours", type=float, default=0.0)
    given = parser.parse_args()
    command = None
    if given.real:
        code = "import sys; from mammoroi.cli import main; sys.exit(main(['serve', *sys.argv[1:]]))"
        command = [sys.executable, "-c", code]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        orthanc = Orthanc(folder / "orthanc").start()
        service = Service(
            folder / "service",
            command,
            cases={"settle_s": 2.0, "min_free_gb": 1.0, "keep_hours": given.keep_hours}
            | {"timeout_s": 600.0},
            destination={"url": f"{orthanc.url}/dicom-web"},
            processing={"model": None if given.model is None else str(given.model.resolve())},
        ).start()
        memory = Memory(service)
        memory.start()
        before = memory.cpu_s()
        began = time.monotonic()
        template: dict[bool, Dataset] = {}
        size = 0
        every = 0 if given.large == 0 else round(1 / given.large)
        for first in range(0, given.images, 4):
            views = [
                image(number, bool(every) and (number // 4) % every == 0, template)
                for number in range(first, min(first + 4, given.images))
            ]
            size += sum(len(view.PixelData) for view in views)
            answers = send(service.port, views)
            assert answers == [0] * len(views), answers
        sent = time.monotonic() - began
        wait_for(lambda: service.counter("received") == given.images, 60)
        service.wait_idle(3600)
        done = time.monotonic() - began
        after = memory.cpu_s()
        counters = service.health()["counters"]
        stored = len(orthanc.instances())
        memory.stopped.set()
        memory.join()
        service.stop()
        orthanc.stop()
        thirds = np.array_split(np.array(memory.service_mb), 3)
        child = np.array_split(np.array(memory.child_mb), 3)
        load = os.getloadavg()[0]
        print(f"{given.images} images, {size / 1e9:.2f} GB, load average {load:.1f} at the end")
        print(
            f"sent after {sent:.0f} s ({size / 1e6 / sent:.0f} MB/s), all done after {done:.0f} s"
        )
        print(
            f"CPU: service {after[0] - before[0]:.1f} s "
            f"({(after[0] - before[0]) / given.images * 1000:.0f} ms an image), "
            f"its process {after[1] - before[1]:.1f} s"
        )
        for who, parts in (("the service", thirds), ("its process", child)):
            peaks = ", ".join(f"{part.max():.0f}" for part in parts)
            means = ", ".join(f"{part.mean():.0f}" for part in parts)
            print(f"memory of {who}, MB, by thirds of the time: peak {peaks}; mean {means}")
        print(f"objects in the PACS: {stored}; counters: {counters}")
        print(f"{os.cpu_count()} cores, {psutil.virtual_memory().total / 2**30:.0f} GB")


if __name__ == "__main__":
    main()

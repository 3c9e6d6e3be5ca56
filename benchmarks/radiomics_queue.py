r"""The queue at 100,000 mammograms: the real dispatcher and tables, with a stand-in for the work.

1. 100,000 jobs of three masks pass through the processes of :mod:`mammoroi.radiomics.pool`; each
   worker sleeps for some hundred microseconds and returns random rows of the real size. Shown: time
   per job beyond the work, and this process's memory as the rows come in.
2. The three tables are written. Shown: seconds, size, memory.
3. A discrete-event simulation of 1 to 64 processes, with service times drawn from measured ones
   (``--service``; else log-normal around 1 s); without and with jobs that kill their process::

    OMP_NUM_THREADS=1 python benchmarks/radiomics_queue.py --service SECONDS.txt
"""

from __future__ import annotations

import argparse
import functools
import heapq
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
from numpy.typing import NDArray

from mammoroi.imaging.mammogram import Spacing
from mammoroi.radiomics.count import check_count
from mammoroi.radiomics.jobs import Job
from mammoroi.radiomics.pool import SPARE, in_processes
from mammoroi.radiomics.presets import load_preset
from mammoroi.radiomics.provenance import Case
from mammoroi.radiomics.tables import Collected, write_features

ROIS = ("manual", "reader2", "automatic")
WORK_S = 300e-6
START_S = 3.0


def stand_in(n_features: int, job: Job) -> list[Case]:
    """Rows that no compressor can shorten, and the grey levels of 14 image types."""
    time.sleep(WORK_S)
    generator = np.random.default_rng(int(job.image_id))
    bins = {f"image-type-{number}": 30 + number for number in range(14)}
    return [
        Case(
            job.image_id,
            roi,
            generator.normal(size=n_features),
            bins,
            pixels=20_000,
            regions=1,
            spacing=Spacing(0.07, 0.07, "the manifest"),
        )
        for roi in job.masks
    ]


def memory_mb() -> float:
    """Resident memory of this process alone; what it maps from files is not counted."""
    memory = psutil.Process().memory_info()
    return (memory.rss - memory.shared) / 2**20


def queue(n_jobs: int, names: tuple[str, ...], workers: int, folder: Path) -> dict[str, Collected]:
    masks = {roi: Path(f"/study/masks/{roi}.png") for roi in ROIS}
    jobs = [Job(str(n), Path(f"/study/{n}.dcm"), None, "", {}, masks) for n in range(n_jobs)]
    sources = {roi: Collected(n_jobs, len(names), folder) for roi in ROIS}
    began = time.perf_counter()
    done = in_processes(functools.partial(stand_in, len(names)), jobs, workers)
    for number, (job, cases) in enumerate(done, start=1):
        if isinstance(cases, BaseException):
            raise cases
        for case in cases:
            sources[case.roi].add(int(job.image_id), case)
        if number == 1:  # the processes have started
            began = time.perf_counter()
        if number % (n_jobs // 10) == 0:
            seconds = time.perf_counter() - began
            print(f"{number:>8,} jobs {seconds:7.1f} s   {memory_mb():6.0f} MB", flush=True)
    seconds = time.perf_counter() - began
    print(
        f"{workers} processes: {1e3 * seconds / n_jobs:.2f} ms of wall time for each job of three "
        f"rows, of which {1e3 * WORK_S / workers:.2f} ms are the stand-in's sleep"
    )
    return sources


def write(sources: dict[str, Collected], names: tuple[str, ...], n_jobs: int, folder: Path) -> None:
    ids = [str(number) for number in range(n_jobs)]
    images = pd.DataFrame({"image_id": ids, "patient_id": ids, "view": "CC", "laterality": "L"})
    for roi, source in sources.items():
        began = time.perf_counter()
        path = folder / f"{roi}.parquet"
        write_features(path, names, source.batches(images))
        seconds, size = time.perf_counter() - began, path.stat().st_size / 1e6
        rows = len(source.cases(images["image_id"]))
        print(
            f"{roi}: {rows:,} rows x {len(names):,} features written in {seconds:.1f} s, "
            f"{size:,.0f} MB; memory {memory_mb():.0f} MB"
        )


def simulated(
    service: NDArray[np.float64], workers: int, deadly: float, generator: np.random.Generator
) -> float:
    """Makespan (s) by the pool's rule: after a death, all that was handed out runs in turn."""
    pool_died = generator.random(service.size) < deadly
    clock, number = START_S, 0
    running: list[tuple[float, int]] = []
    while number < service.size or running:
        while number < service.size and len(running) < workers:
            heapq.heappush(running, (clock + service[number], number))
            number += 1
        clock, job = heapq.heappop(running)
        if pool_died[job]:
            suspects = [job, *(other for _, other in running)]
            handed_out = range(number, min(number + SPARE, service.size))
            number += len(handed_out)
            # a new pool, each suspect alone, and another new pool for the one that dies again
            clock += 2 * START_S + float(service[[*suspects, *handed_out]].sum())
            running = []
    return clock


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=100_000)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 2)
    parser.add_argument("--service", type=Path, help="text file: seconds of each measured job")
    arguments = parser.parse_args()
    names = check_count(load_preset())
    with tempfile.TemporaryDirectory() as name:
        sources = queue(arguments.jobs, names, arguments.workers, Path(name))
        write(sources, names, arguments.jobs, Path(name))

    generator = np.random.default_rng(0)
    measured = (
        np.loadtxt(arguments.service, ndmin=1)
        if arguments.service
        else generator.lognormal(0, 0.5, 10_000)
    )
    service = generator.choice(measured, arguments.jobs)
    print(
        f"simulated: {service.size:,} jobs, mean {service.mean():.2f} s, "
        f"longest {service.max():.1f} s"
    )
    print("processes   hours   efficiency   hours with 1 deadly job in 10,000")
    for workers in (1, 2, 4, 8, 16, 32, 64):
        calm = simulated(service, workers, 0, generator)
        stormy = simulated(service, workers, 1e-4, generator)
        efficiency = service.sum() / workers / calm
        print(f"{workers:>9}{calm / 3600:>8.2f}{efficiency:>13.1%}{stormy / 3600:>12.2f}")


if __name__ == "__main__":
    main()

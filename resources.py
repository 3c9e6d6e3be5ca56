"""Time and memory of a stage, its worker processes included, and the cores that it may use."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psutil

INTERVAL_S = 0.5
# Looking at the memory map of a large process takes a while: at most this share of the time.
SHARE = 0.02


@dataclass
class Usage:
    """What a block of code used.

    Attributes
    ----------
    seconds : float
        Wall time.
    peak_memory_mb : float
        Largest sum of the proportional share of memory (MiB) of this process and its workers,
        sampled twice a second, more rarely where a look takes long.
    """

    seconds: float = 0.0
    peak_memory_mb: float = 0.0

    def as_dict(self) -> dict[str, float]:
        """Rounded values under the names of ``run.json``."""
        return {
            "seconds": round(self.seconds, 2),
            "peak_memory_mb": round(self.peak_memory_mb, 1),
        }


def cores() -> int:
    """Count the cores that this process may use, at least 1.

    Those of its CPU affinity (``taskset``, a job of SLURM) and no more than its control group's
    limit (a container), as joblib counts them; the machine may have more.
    """
    from joblib import cpu_count

    return int(cpu_count())


def memory_mb() -> float:
    """Memory (MiB) of this process and its descendants; shared pages are counted once."""
    here = psutil.Process()
    total = 0
    for process in [here, *here.children(recursive=True)]:
        try:
            memory = process.memory_full_info()
            total += getattr(memory, "pss", memory.rss)
        except psutil.Error:
            continue
    return total / 2**20


@contextmanager
def measured() -> Iterator[Usage]:
    """Measure a block; the yielded :class:`Usage` is filled in when the block ends."""
    usage = Usage()
    stop = threading.Event()

    def sample() -> None:
        while not stop.is_set():
            start = time.perf_counter()
            usage.peak_memory_mb = max(usage.peak_memory_mb, memory_mb())
            stop.wait(max(INTERVAL_S, (time.perf_counter() - start) / SHARE))

    sampler = threading.Thread(target=sample, daemon=True)
    start = time.perf_counter()
    sampler.start()
    try:
        yield usage
    finally:
        usage.seconds = time.perf_counter() - start
        stop.set()
        sampler.join()

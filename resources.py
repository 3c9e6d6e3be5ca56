"""Time and memory of a stage, its worker processes included, and the cores that it may use."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

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


GROUPS, OWN = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
"""Where Linux shows the control groups, and names those of this process."""


def all_memory(groups: Path = GROUPS, own: Path = OWN) -> int:
    """Count the bytes of memory of the machine, or of the container or job where it has fewer.

    Parameters
    ----------
    groups, own : Path
        See :data:`GROUPS`.
    """
    limits = [_limit_of(place) for place in _places(groups, own)]
    most = psutil.virtual_memory().total
    return min([most, *(limit for limit, _ in filter(None, limits))])


def free_memory(groups: Path = GROUPS, own: Path = OWN) -> int:
    """Count the bytes of memory that this process may still take.

    What the machine has available, and no more than its control groups leave of their limits (a
    container, a job of SLURM); pages of files that a group holds count as free.

    Parameters
    ----------
    groups, own : Path
        See :data:`GROUPS`.
    """
    left = [rest for place in _places(groups, own) if (rest := _left_of(place)) is not None]
    return max(0, min([psutil.virtual_memory().available, *left]))


def _places(groups: Path, own: Path) -> list[Path]:
    """Folders of this process's control groups of memory, and of those around them."""
    found: list[Path] = []
    lines = own.read_text().splitlines() if own.exists() else []
    for _, kinds, name in (line.split(":", 2) for line in lines):
        if kinds and "memory" not in kinds.split(","):
            continue
        # Without a kind it is version 2; a container may see its own group as the root.
        root = groups / "memory" if kinds else groups
        group = root / name.strip("/")
        found += [group, *group.parents[: len(group.relative_to(root).parts)]]
    return found


def _limit_of(group: Path) -> tuple[int, int] | None:
    """Bytes that a control group may take, and has; None where it has no limit."""
    for limit, used in (
        ("memory.max", "memory.current"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes"),
    ):
        try:
            return int((group / limit).read_text()), int((group / used).read_text())
        except (OSError, ValueError):  # not there, or "max"
            continue
    return None


def _left_of(group: Path) -> int | None:
    """Bytes that a control group leaves; None where it has no limit."""
    found = _limit_of(group)
    if found is None:
        return None
    try:
        stat = (line.split() for line in (group / "memory.stat").read_text().splitlines())
        held = {name: int(value) for name, value in stat}
    except (OSError, ValueError):
        held = {}
    sums = "total_" if "total_active_file" in held else ""
    files = sum(held.get(f"{sums}{which}_file", 0) for which in ("active", "inactive"))
    most, now = found
    return most - max(0, now - files)


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

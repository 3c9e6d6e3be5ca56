"""Jobs to workers: processes of this machine, or the workers of a Dask cluster.

Either way a worker gets paths, reads the files itself and sends back rows of numbers.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..progress import with_bar
from ..resources import cores
from . import cluster, guard, pool
from .config import RadiomicsConfig
from .jobs import Job, Plan, failed_job, run_job, unpacked
from .presets import Preset
from .provenance import Case


def run_jobs(
    jobs: Sequence[Job],
    preset: Preset,
    names: tuple[str, ...],
    config: RadiomicsConfig,
    records: Path,
) -> Iterator[list[Case]]:
    """Extract all masks of all jobs; yields the cases of each job, in any order.

    Parameters
    ----------
    jobs : Sequence[Job]
        Images with their masks.
    preset : Preset
        What to compute.
    names : tuple[str, ...]
        The features, in the order of the rows (:func:`.count.check_count`).
    config : RadiomicsConfig
        Engine, limits, and where to compute.
    records : Path
        Folder of the cache; absolute where Dask's workers are elsewhere.

    Raises
    ------
    MammoroiError
        When the workers cannot be started or reached at all, or die at every job. What happens to
        one case is in that case.
    """
    records.mkdir(parents=True, exist_ok=True)
    packed = Plan(preset, names, config, records).packed()
    if config.dask:
        gib = config.memory_limit_gb or 0
        there = functools.partial(_run_there, packed, gib)
        done = cluster.on_cluster(there, jobs, config.dask)
    else:
        workers = processes(config, len(jobs))
        limit = config.memory_limit_gb
        gib = guard.share_gib(workers) if limit is None else limit
        here = functools.partial(_run_here if workers == 1 else _run_apart, packed, gib)
        done = pool.in_processes(here, jobs, workers)
    for job, result in with_bar(done, "Measuring features", len(jobs)):
        yield failed_job(job, result) if isinstance(result, BaseException) else result


def processes(config: RadiomicsConfig, n_jobs: int) -> int:
    """Processes of this machine that will extract."""
    return min(config.workers or cores(), max(n_jobs, 1))


def _run_here(packed: bytes, gib: float, job: Job) -> list[Case]:
    with guard.limited_memory(gib):
        return run_job(job, unpacked(packed))


def _run_apart(packed: bytes, gib: float, job: Job) -> list[Case]:
    """In a process that may be lost."""
    limit = unpacked(packed).config.time_limit_s * len(job.masks)
    with guard.last_resort(limit and limit + guard.GRACE_S):
        return _run_here(packed, gib, job)


def _run_there(packed: bytes, gib: float, job: Job) -> list[Case]:
    """In a worker of Dask, whose memory limit stays: its other threads may be at work."""
    plan = unpacked(packed)
    cluster.require_here(plan.records, job.image)
    guard.limit_memory(gib)
    return _run_apart(packed, 0, job) if cluster.one_thread_here() else run_job(job, plan)

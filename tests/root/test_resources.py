from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

import mammoroi
from mammoroi.resources import all_memory, cores, free_memory

PACKAGE = Path(mammoroi.__file__).parent


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no CPU affinity here")
def test_only_cores_that_may_be_used_are_counted() -> None:
    program = (
        "import os; os.sched_setaffinity(0, [min(os.sched_getaffinity(0))]); "
        "from mammoroi.resources import cores; print(cores())"
    )
    said = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
    assert said.stdout.strip() == b"1"
    assert 1 <= cores() <= len(os.sched_getaffinity(0))


def test_no_module_counts_the_machines_cores() -> None:
    of_users = list(PACKAGE.glob("*.py"))
    rooms = ("imaging", "cohort", "segmentation", "radiomics", "modeling", "reporting", "clinic")
    of_users += [path for room in rooms for path in (PACKAGE / room).rglob("*.py")]
    assert len(of_users) > 100
    assert [path for path in of_users if "os.cpu_count" in path.read_text()] == []


def group(folder: Path, version: int, limit: str, used: int, files: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    names = ("memory.max", "memory.current")
    if version == 1:
        names = ("memory.limit_in_bytes", "memory.usage_in_bytes")
    for name, text in zip(names, (limit, str(used)), strict=True):
        (folder / name).write_text(f"{text}\n")
    total = "total_" if version == 1 else ""
    both = f"{total}inactive_file {files}\n{total}active_file {files}\n"
    (folder / "memory.stat").write_text(f"anon 5\n{both}")


@pytest.mark.parametrize("version", [1, 2])
def test_free_memory_is_no_more_than_control_groups_leave(tmp_path: Path, version: int) -> None:
    root, own = tmp_path / "groups", tmp_path / "cgroup"
    own.write_text(f"{'4:memory' if version == 1 else '0:'}:/slurm/job_7/step_0\n5:pids:/\n")
    place = root / "memory" if version == 1 else root
    free = psutil.virtual_memory().available
    assert abs(free_memory(root, own) - free) < 0.2 * free  # no such groups
    none = "max" if version == 2 else str(2**63 - 4096)
    group(place / "slurm" / "job_7" / "step_0", version, none, 500, 0)
    assert abs(free_memory(root, own) - free) < 0.2 * free  # no limit
    assert all_memory(root, own) == psutil.virtual_memory().total
    group(place / "slurm" / "job_7", version, "1000", 500, 100)
    assert (free_memory(root, own), all_memory(root, own)) == (700, 1000)
    group(place, version, "600", 500, 0)  # a container that sees its own group as the root
    assert (free_memory(root, own), all_memory(root, own)) == (100, 600)
    group(place, version, "600", 700, 0)
    assert free_memory(root, own) == 0

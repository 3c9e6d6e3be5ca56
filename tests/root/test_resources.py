from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import mammoroi
from mammoroi.resources import cores

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

"""Whatever comes in, nothing is lost, nothing is doubled, and the service goes on.

The faults are those of ``benchmarks/service_faults.py``, whose table is in ``docs/serve.md``.
"""

import pytest

from .conftest import faults

SLOW = (
    "processing eats the memory",
    "processing hangs",
    "processing raises an error whose text names the patient",
    "processing writes nothing",
    "service is stopped (SIGTERM) during a case",
    "connection that says nothing, twice as many as allowed",
    "disk is full (tmpfs of 1 MB)",
    "home is read-only",
    "less free space than cases.min_free_gb",
    "file without permission to read; folder without permission to remove",
    "PACS answers 503, 401, or not at all",
    "PACS refuses the objects (409)",
    "key is damaged",
    "second service with the same home",
    "service is killed (SIGKILL) at random moments",
)


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in faults.FAULTS],
)
def test_fault(lab, name):
    rows = list(faults.FAULTS[name](lab))
    assert rows
    assert lab.service.health()["state"] == "running"


def test_afterwards_every_accepted_image_has_one_result(lab):
    lab.sound()
    lab.check()


def test_slow_faults_exist():
    assert set(SLOW) <= set(faults.FAULTS)
    assert len(faults.FAULTS) >= 30

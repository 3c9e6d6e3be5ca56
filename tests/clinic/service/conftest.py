"""A service and a PACS on loopback; what they need and how they are started is the benchmarks'."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

import mammoroi

BENCHMARKS = Path(mammoroi.__file__).parent / "benchmarks"


def load(name: str) -> ModuleType:
    """Load a benchmark as a module."""
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


fast = load("service_fast")
parts = load("service_parts")
service_lab = load("service_lab")
for kind in sorted(BENCHMARKS.glob("service_faults_*.py")):
    load(kind.stem)
faults = load("service_faults")


@pytest.fixture(scope="session")
def needs_orthanc():
    """Skip, with the reason, where Orthanc is not installed."""
    reason = parts.Orthanc.missing()
    if reason is not None:
        pytest.skip(reason)


@pytest.fixture(scope="session")
def orthanc(needs_orthanc, tmp_path_factory):
    """Orthanc with DICOMweb on free ports of loopback."""
    pacs = parts.Orthanc(tmp_path_factory.mktemp("orthanc")).start()
    yield pacs
    pacs.stop()


@pytest.fixture(scope="session")
def lab(needs_orthanc, tmp_path_factory):
    """A service with a fast processing, and its PACS."""
    laboratory = service_lab.Lab(tmp_path_factory.mktemp("lab"))
    yield laboratory
    laboratory.close()

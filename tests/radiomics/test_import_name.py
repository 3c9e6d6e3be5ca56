"""`import radiomics` is pyradiomics and `mammoroi.radiomics` is ours, wherever Python starts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import mammoroi

ROOT = Path(mammoroi.__file__).resolve().parent
PROGRAM = """
import importlib.util, pathlib, radiomics
import mammoroi.radiomics.config as ours
assert hasattr(radiomics, "getFeatureClasses"), radiomics
print(pathlib.Path(ours.__file__).resolve().parent)
print(pathlib.Path(radiomics.__file__).resolve().parent)
"""


@pytest.mark.parametrize("place", ["root", "elsewhere"])
def test_which_radiomics_is_which(place: str, tmp_path: Path) -> None:
    folder = ROOT if place == "root" else tmp_path
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=folder, capture_output=True, text=True, check=True
    )
    ours, theirs = done.stdout.split()
    assert ours == str(ROOT / "radiomics")
    assert theirs != ours


def test_the_folder_is_no_package_of_that_name() -> None:
    assert not (ROOT / "radiomics" / "__init__.py").exists()
    assert not (ROOT / "tests" / "radiomics" / "__init__.py").exists()


def test_the_configuration_imports_nothing_heavy() -> None:
    program = (
        "import sys, mammoroi.radiomics.config\n"
        "print(sorted({'numpy', 'SimpleITK', 'pandas', 'radiomics', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"

"""The record of a run, ``run.json``: versions, settings, seeds, and how every stage went.

Of a stage it has seconds, peak memory and cases (in = used + excluded + missed + failed); a run of
one stage keeps what stands there of the stages before it.
"""

from __future__ import annotations

import platform
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from . import __version__
from .fallen_out import told_again
from .files import write_json

LIBRARIES = (
    "torch",
    "lightning",
    "monai",
    "segmentation-models-pytorch",
    "pyradiomics-bhklab",
    "SimpleITK",
    "pydicom",
    "scikit-learn",
    "imbalanced-learn",
    "numpy",
    "pandas",
)


def versions(libraries: Iterable[str] = LIBRARIES) -> dict[str, str]:
    """Installed version of each library; ``"not installed"`` where it is missing."""
    from importlib import metadata

    found = {}
    for library in libraries:
        try:
            found[library] = metadata.version(library)
        except metadata.PackageNotFoundError:
            found[library] = "not installed"
    return found


class Run:
    """The record of one run, written to ``run.json`` after every stage."""

    def __init__(self, out: Path) -> None:
        self._out = out
        self._stages: list[dict[str, Any]] = []
        self._added: set[str] = set()
        self._fallen_out = 0

    def remember(self, entry: dict[str, Any] | None) -> None:
        """Take over the record of a stage that an earlier run did and this one was not asked for.

        A stage that comes after the one asked for is never written: it may be out of date.
        """
        if entry is not None:
            self._stages.append({**entry["record"], "skipped": True})

    def add(self, record: dict[str, Any], settings: dict[str, Any]) -> None:
        """Add a stage's record and write the file, with the settings as the stages ran."""
        self._fallen_out += record["excluded"] + record["failed"]
        if record["stage"] == "segment" and "train" in self._added:
            self._fallen_out -= told_again(self._out)
        self._added.add(record["stage"])
        self._stages.append(record)
        write_json(
            self._out / "run.json",
            {
                "mammoroi": __version__,
                "python": platform.python_version(),
                "system": f"{platform.system()} {platform.machine()}",
                "versions": versions(),
                "seeds": {
                    part: settings[part]["seed"] for part in ("cohort", "segmentation", "modeling")
                },
                "config": settings,
                "stages": self._stages,
            },
        )

    @property
    def fallen_out(self) -> int:
        """Cases excluded or failed so far, in the stages asked for.

        An image that could not be prepared counts once, though ``train`` and ``segment`` list it.
        """
        return self._fallen_out

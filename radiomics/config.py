"""What the radiomics stage can be told."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import MammoroiError


@dataclass(frozen=True)
class RadiomicsConfig:
    """Features of the manual, the second reader's and the automatic masks.

    Attributes
    ----------
    preset : str
        ``mammography-1311``, ``paper-1409``, or the path of a pyradiomics parameter file (YAML).
    workers : int
        Processes that extract at the same time, each on one thread; 0 means one per core.
    allow_failures : int
        How many cases may fail before the command ends with a non-zero status. Failures are
        recorded in any case.
    """

    preset: str = "mammography-1311"
    workers: int = 0
    allow_failures: int = 0

    def __post_init__(self) -> None:
        if not self.preset.strip():
            raise MammoroiError("radiomics.preset is empty", "name a preset or a YAML file")
        for name in ("workers", "allow_failures"):
            value = getattr(self, name)
            if value < 0:
                raise MammoroiError(f"radiomics.{name} is {value}", "give 0 or more")

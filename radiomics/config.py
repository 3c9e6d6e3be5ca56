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
    """

    preset: str = "mammography-1311"
    workers: int = 0

    def __post_init__(self) -> None:
        if not self.preset.strip():
            raise MammoroiError("radiomics.preset is empty", "name a preset or a YAML file")
        if self.workers < 0:
            raise MammoroiError(f"radiomics.workers is {self.workers}", "give 0 or more")

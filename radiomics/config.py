"""What the radiomics stage can be told."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from ..errors import MammoroiError

Engine = Literal["exact", "pyradiomics"]


@dataclass(frozen=True)
class RadiomicsConfig:
    """Features of the manual, the second reader's and the automatic masks.

    Attributes
    ----------
    preset : str
        ``mammography-1311``, ``mammography-8bit-1311``, ``mammography-prepared``, ``paper-1409``,
        or the path of a pyradiomics parameter file (YAML).
    engine : {"exact", "pyradiomics"}
        Who computes: the fast engine, or plain pyradiomics on the whole image. Same names, same
        values.
    workers : int
        Processes that extract at the same time, each on one thread; 0 means one per core.
    time_limit_s : float
        Seconds that one case (an image with one mask) may take before it is recorded as failed;
        0 means no limit.
    memory_limit_gb : float or None
        GiB that one process may allocate beyond what it held at its first case; a case that asks
        for more is recorded as failed. None takes the machine's memory divided by the processes,
        at least 1, and on Dask no limit (``dask worker --memory-limit`` is in force there); 0
        means no limit.
    dask : str
        Address of a Dask scheduler, as in ``tcp://host:8786``, whose workers extract instead of
        processes of this machine; they must see the same files at the same absolute paths.
    """

    preset: str = "mammography-1311"
    engine: Engine = "exact"
    workers: int = 0
    time_limit_s: float = 600.0
    memory_limit_gb: float | None = None
    dask: str = ""

    def __post_init__(self) -> None:
        if not self.preset.strip():
            raise MammoroiError("radiomics.preset is empty", "name a preset or a YAML file")
        for name in ("workers", "time_limit_s", "memory_limit_gb"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < math.inf:
                least = "one per core" if name == "workers" else "no limit"
                raise MammoroiError(f"radiomics.{name} is {value}", f"give 0 ({least}) or more")

"""What the service computes unless it is told otherwise: :mod:`..write`, study by study."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from .config import ProcessingConfig

if TYPE_CHECKING:
    from ...errors import Failure
    from ..bundle import Bundle


@dataclass(frozen=True)
class Processing:
    """Inference with a bundle, as the service's process calls it; see :data:`.child.Process`."""

    config: ProcessingConfig

    def prepare(self) -> str:
        """Load and check the bundle before the first case; give its name and hash.

        Raises
        ------
        MammoroiError
            When it cannot be used, or needs a batch and does not know the configured one.
        """
        bundle = _bundle(self.config.model)
        bundle.check_batch(self.config.batch)
        return f"{bundle.name}, SHA-256 {bundle.sha256}"

    def __call__(self, files: Sequence[Path], out: Path) -> list[Failure]:
        """Process the images of one study; DICOM objects are in ``out/objects`` and below.

        An image whose lesion could not be measured has a result, with a flag: it has not failed.
        """
        from ..infer import UNMEASURED
        from ..write import Outputs, process

        config = self.config
        failures = process(
            files,
            out,
            _bundle(config.model),
            batch=config.batch,
            outputs=Outputs(True, config.capture, config.geometry, config.pages),
        )
        return [failure for failure in failures if failure.stage != UNMEASURED]


@lru_cache(maxsize=1)
def _bundle(model: Path | None) -> Bundle:
    from ..bundle import open_bundle

    return open_bundle(model)

"""Where a training can be watched, beside ``history.csv``, which is always written."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from ..errors import MammoroiError
from .config import SegmentationConfig

# Packages of which one must be there; the extra has the logger's name.
_PACKAGES = {"tensorboard": ("tensorboard", "tensorboardX"), "mlflow": ("mlflow",)}


def require_logger(config: SegmentationConfig) -> None:
    """See that the package of the chosen logger is installed.

    Raises
    ------
    MammoroiError
        When it is not.
    """
    packages = _PACKAGES.get(config.logger, ())
    if packages and not any(importlib.util.find_spec(package) for package in packages):
        raise MammoroiError(
            f"segmentation.logger is '{config.logger}', and {packages[0]} is not installed",
            f"pip install 'mammoroi[{config.logger}]', or set it to csv",
        )


def build_logger(config: SegmentationConfig, folder: Path) -> Any:
    """Give Lightning's logger of one fold; False where ``history.csv`` is all.

    TensorBoard's files are written to ``folder/tensorboard``. MLflow's go to the server that the
    environment variable ``MLFLOW_TRACKING_URI`` names, or to ``mlruns`` beside the fold; the
    experiment is ``mammoroi``, the run has the fold's name.

    Raises
    ------
    MammoroiError
        When the logger's package is not installed.
    """
    require_logger(config)
    if config.logger == "tensorboard":
        from lightning.pytorch.loggers import TensorBoardLogger

        return TensorBoardLogger(folder, name="", version="tensorboard")
    if config.logger == "mlflow":
        from lightning.pytorch.loggers import MLFlowLogger

        beside = str(folder.parent / "mlruns")
        return MLFlowLogger("mammoroi", run_name=folder.name, save_dir=beside)
    return False

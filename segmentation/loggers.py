"""Where a training can be watched, beside ``history.csv``, which is always written."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Any

from ..errors import MammoroiError
from ..lock import held
from .config import SegmentationConfig

# Packages of which one must be there; the extra has the logger's name.
_PACKAGES = {"tensorboard": ("tensorboard", "tensorboardX"), "mlflow": ("mlflow",)}
_BEGIN_S = 600.0
"""For MLflow to make its tables takes half a minute on a busy machine."""


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

    TensorBoard's files are written to ``folder/tensorboard``. MLflow's figures go to the server
    that the environment variable ``MLFLOW_TRACKING_URI`` names, or to the SQLite database
    ``mlflow.db`` beside the fold; the experiment is ``mammoroi``, the run has the fold's name.

    Raises
    ------
    MammoroiError
        When the logger's package is not installed, or another process holds the database.
    """
    require_logger(config)
    if config.logger == "tensorboard":
        from lightning.pytorch.loggers import TensorBoardLogger

        return TensorBoardLogger(folder, name="", version="tensorboard")
    if config.logger == "mlflow":
        return _mlflow(folder)
    return False


def _mlflow(folder: Path) -> Any:
    """Give MLflow's logger, its run begun; networks that begin together do so in turn."""
    from lightning.pytorch.loggers import MLFlowLogger

    database = folder.parent.resolve() / "mlflow.db"
    with held(database.with_name(".mlflow.lock"), f"{database}", wait_s=_BEGIN_S):
        logger = MLFlowLogger(
            "mammoroi",
            run_name=folder.name,
            tracking_uri=os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{database}",
        )
        _ = logger.experiment  # makes the tables and the experiment where they are missing
    return logger

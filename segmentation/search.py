"""Batch size and learning rate, found on the first fold's training images (Lightning's Tuner).

What was found holds for all networks. It is written to ``segmentation/found.json`` (``key`` of the
settings and images, ``batch_size``, ``learning_rate``), so that a training that goes on later does
so with the same values, on whatever device.
"""

from __future__ import annotations

import logging
import math
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import MammoroiError
from ..files import read_json, sha256_of, write_json
from .config import SegmentationConfig
from .loading import named
from .side_by_side import side_by_side
from .start import begin_with_start, start_key

if TYPE_CHECKING:
    from lightning import Trainer

    from .fold_jobs import FoldJob

log = logging.getLogger(__name__)

STEPS_PER_EPOCH = 8
"""An epoch keeps at least so many steps, however large a batch would fit."""
RATES = (1e-5, 1e-1)
"""Learning rates between which the sweep runs."""
SWEEP_STEPS = 100


def with_found(
    config: SegmentationConfig, folder: Path, job: FoldJob, plan: dict[str, Any], threads: int
) -> SegmentationConfig:
    """Give the settings with the batch size and the learning rate that are to be found.

    The search runs in a process of its own, whose memory of the GPU is free afterwards.

    Parameters
    ----------
    folder : Path
        ``segmentation`` in the study folder.
    job : FoldJob
        The fold on whose images it is searched.
    threads : int
        Threads of the search on a CPU.

    Raises
    ------
    MammoroiError
        When a single image does not fit, or no learning rate can be suggested.
    """
    if not (config.find_batch_size or config.find_learning_rate):
        return config
    asked = (config.find_batch_size, config.find_learning_rate)
    start = start_key(config, job.fold)
    key = sha256_of(config.training(), *asked, plan, job.inputs(), *start)
    path = folder / "found.json"
    found = read_json(path) if path.exists() else {}
    if found.get("key") != key:
        ((_, result),) = side_by_side([(find, (config, folder, job, plan))], 1, threads)
        if isinstance(result, BaseException):
            raise named(result)
        found = {"key": key, **result}
        write_json(path, found)
    log.info("batch size %d, learning rate %.2g", found["batch_size"], found["learning_rate"])
    accumulate = config.accumulate if found["batch_size"] % config.accumulate == 0 else 1
    return replace(
        config,
        batch_size=int(found["batch_size"]),
        learning_rate=float(found["learning_rate"]),
        accumulate=accumulate,
    )


def find(
    config: SegmentationConfig, folder: Path, job: FoldJob, plan: dict[str, Any]
) -> dict[str, Any]:
    """Search what the settings ask for; give ``batch_size`` and ``learning_rate``.

    A batch is tried whole, not in parts (``accumulate``), and all layers at the same rate, which
    no averaging of weights (``swa_start``) holds still.
    """
    from .callbacks import quiet_lightning
    from .trainer import choose_accelerator

    os.environ["TQDM_DISABLE"] = "1"  # Lightning's sweep draws a bar of its own
    accelerator = choose_accelerator(config)
    config = replace(config, accumulate=1, swa_start=0.0)
    work = folder / ".search"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    try:
        with quiet_lightning():
            if config.find_batch_size and accelerator == "gpu":
                config = replace(config, batch_size=_batch_size(config, folder, job, plan, work))
            elif config.find_batch_size:
                log.warning(
                    "segmentation.find_batch_size is for a GPU, whose memory ends the search; "
                    "batch_size stays %d",
                    config.batch_size,
                )
            if config.find_learning_rate:
                rate = _learning_rate(config, folder, job, plan, work)
                config = replace(config, learning_rate=rate)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return {"batch_size": config.batch_size, "learning_rate": config.learning_rate}


def _batch_size(
    config: SegmentationConfig, folder: Path, job: FoldJob, plan: dict[str, Any], work: Path
) -> int:
    from lightning.pytorch.tuner.tuning import Tuner

    from .fit import images_of
    from .module import SegmentationModule
    from .trainer import choose_accelerator

    class Module(SegmentationModule):
        def _share(self, number: int, images: int) -> float:  # noqa: ARG002 - Lightning's loader
            return 1.0  # has another batch size than the settings

    largest = max(1, len(job.training) // STEPS_PER_EPOCH)
    images = images_of(config, folder, job, plan)
    images.batch_size = 1
    try:
        found = Tuner(_trainer(config, choose_accelerator(config), work)).scale_batch_size(
            Module(config),
            datamodule=images,
            mode="power",
            init_val=1,
            max_trials=1 + int(math.log2(largest)),
        )
    except ValueError:  # of a loader of half an image
        if images.batch_size:
            raise
        found = None
    if not found:
        raise MammoroiError(
            "the device's memory is not enough for a single image",
            "raise segmentation.working_spacing_mm, set segmentation.patch, or lower "
            "segmentation.channels",
        )
    return int(found)


def _learning_rate(
    config: SegmentationConfig, folder: Path, job: FoldJob, plan: dict[str, Any], work: Path
) -> float:
    """Sweep the learning rate upwards; take the one at which the loss falls most steeply."""
    from lightning import seed_everything
    from lightning.pytorch.tuner.tuning import Tuner

    from .fit import images_of
    from .module import SegmentationModule
    from .trainer import choose_accelerator

    class Module(SegmentationModule):
        def on_before_optimizer_step(self, optimizer: Any) -> None:
            try:
                super().on_before_optimizer_step(optimizer)
            except MammoroiError:  # the rates are too large by now, which is what a sweep looks for
                self.trainer.should_stop = True

    seed_everything(config.seed + job.fold, workers=True, verbose=False)
    module = Module(config, config.seed + job.fold)
    begin_with_start(module.network, config, job.fold)
    sweep = Tuner(_trainer(config, choose_accelerator(config), work)).lr_find(
        module,
        datamodule=images_of(config, folder, job, plan),
        min_lr=RATES[0],
        max_lr=RATES[1],
        num_training=SWEEP_STEPS,
        update_attr=False,
    )
    rate = sweep.suggestion() if sweep is not None else None
    if rate is None:
        raise MammoroiError(
            "no learning rate could be found: the loss was finite in too few steps",
            "set segmentation.learning_rate and leave find_learning_rate out",
        )
    return float(f"{rate:.2g}")


def _trainer(config: SegmentationConfig, accelerator: str, work: Path) -> Trainer:
    from lightning import Trainer
    from lightning.fabric.plugins.environments.lightning import LightningEnvironment

    from .trainer import choose_precision

    return Trainer(
        accelerator=accelerator,
        devices=1,
        precision=choose_precision(config, accelerator),
        max_epochs=1000,
        plugins=[LightningEnvironment()],  # as of a training
        default_root_dir=work,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
    )

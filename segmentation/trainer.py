"""Lightning's trainer and loaders for the device that is there: CPU, one GPU, several."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from lightning import Callback, LightningDataModule, Trainer
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch.callbacks import ModelCheckpoint
from torch.utils.data import DataLoader

from ..errors import MammoroiError
from ..resources import cores
from .callbacks import BestEpoch, EpochAverage, History, MovingAverage, Patience
from .checkpoint import WholeCheckpoints
from .compiling import Compiling
from .config import SegmentationConfig
from .data import Batch, EpochSampler, PreparedImages
from .device_augmentation import Windows, augment_batch, for_host
from .loggers import build_logger
from .several_devices import SeveralDevices

LOADERS = 8
"""Loader processes that are started at most where the settings name no number."""


class PreparedData(LightningDataModule):
    """Loaders of the training and the tuning images for this process's share of the devices.

    A batch of tuning images has no more pixels than one of training images, however much larger
    whole breasts are than patches, but has at least one image.

    Parameters
    ----------
    training, tuning
        The images.
    config : SegmentationConfig
        The settings.
    pixels : (int, int)
        How many one training and one tuning image have; only their ratio counts.
    sometimes : (int, int)
        As for :class:`.data.EpochSampler`, of the training images.
    """

    def __init__(
        self,
        training: PreparedImages | Windows,
        tuning: PreparedImages,
        config: SegmentationConfig,
        pixels: tuple[int, int] = (1, 1),
        sometimes: tuple[int, int] = (0, 0),
    ) -> None:
        super().__init__()
        self.training = training
        self.tuning = tuning
        self.config = config
        self.pixels = pixels
        self.sometimes = sometimes
        self.batch_size = config.batch_size // config.accumulate

    def train_dataloader(self) -> DataLoader[Batch]:
        """Augmented batches in a new order every epoch."""
        return self._loader(self.training, self.batch_size, self.config.seed, self.sometimes)

    def val_dataloader(self) -> DataLoader[Batch]:
        """The tuning images as they are."""
        of_training, of_tuning = self.pixels
        return self._loader(self.tuning, max(1, self.batch_size * of_training // of_tuning), None)

    def on_before_batch_transfer(self, batch: Batch, _: int) -> Batch:
        """Keep on the host what it has to know of a batch that is augmented on the device."""
        return for_host(batch)

    def on_after_batch_transfer(self, batch: Batch, _: int) -> Batch:
        """Augment a training batch where it now is, unless that was done image by image."""
        if not isinstance(self.training, Windows) or "affine" not in batch:
            return batch
        return augment_batch(batch, self.training.patch)

    def _loader(
        self,
        images: PreparedImages | Windows,
        batch_size: int,
        seed: int | None,
        sometimes: tuple[int, int] = (0, 0),
    ) -> DataLoader[Batch]:
        trainer = self.trainer
        assert trainer is not None
        on_gpu = choose_accelerator(self.config) == "gpu"
        workers = (self.config.workers or min(cores(), LOADERS)) if on_gpu else 0
        return DataLoader(
            images,
            batch_size=batch_size,
            sampler=EpochSampler(
                len(images), seed, trainer.global_rank, trainer.world_size, sometimes
            ),
            num_workers=workers,
            persistent_workers=workers > 0,
            # Where networks are trained side by side, the default is that of their processes.
            multiprocessing_context="fork" if workers else None,
            pin_memory=on_gpu,
        )


def choose_accelerator(config: SegmentationConfig) -> str:
    """Give ``gpu``, ``mps`` or ``cpu``.

    Raises
    ------
    MammoroiError
        When the accelerator that the settings insist on is not there.
    """
    there = {
        "gpu": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if config.accelerator == "auto":
        return next(name for name, is_there in there.items() if is_there)
    if not there[config.accelerator]:
        raise MammoroiError(
            f"segmentation.accelerator is '{config.accelerator}', which PyTorch does not find here",
            "set it to auto or cpu, or install a PyTorch that fits the driver",
        )
    return config.accelerator


def choose_device(config: SegmentationConfig) -> torch.device:
    """Give the device on which masks are drawn."""
    accelerator = choose_accelerator(config)
    return torch.device("cuda" if accelerator == "gpu" else accelerator)


def choose_precision(config: SegmentationConfig, accelerator: str) -> Any:
    """Give Lightning's name of the precision: bf16 where a GPU has it, 16 where not, else 32."""
    if config.precision != "auto":
        return {"32": "32-true"}.get(str(config.precision), config.precision)
    if accelerator != "gpu":
        return "32-true"
    own = torch.cuda.is_bf16_supported(including_emulation=False)
    return "bf16-mixed" if own else "16-mixed"


def build_trainer(config: SegmentationConfig, folder: Path) -> Trainer:
    """Build the trainer of one fold, which writes its files into ``folder``.

    Several devices train in processes of their own (DistributedDataParallel), started by this
    one. Each takes ``batch_size`` images per step.
    """
    best = BestEpoch(folder, "tuning_dice")
    last = ModelCheckpoint(
        folder, "last", save_on_train_epoch_end=True, enable_version_counter=False
    )
    by_tuning = config.keep == "best"
    callbacks: list[Callback] = [
        History(folder / "history.csv"),
        *([best] if by_tuning else []),
        last,
    ]
    if config.ema_decay:
        callbacks.append(MovingAverage(config.ema_decay))
    if config.swa_start:
        callbacks.append(EpochAverage(config.averaged_from))
    if config.patience and by_tuning:
        stop = Patience(
            "tuning_dice", mode="max", patience=config.patience, check_on_train_epoch_end=True
        )
        callbacks.append(stop)
    return lightning_trainer(config, folder, config.epochs, callbacks, build_logger(config, folder))


def lightning_trainer(
    config: SegmentationConfig, folder: Path, epochs: int, callbacks: list[Callback], logger: Any
) -> Trainer:
    """Build a trainer for the devices and the precision of the settings.

    All processes of a training are started by it, also within a job of SLURM or torchrun, whose
    variables would otherwise tell Lightning that some are there already.

    Parameters
    ----------
    folder : Path
        Where Lightning may write.
    epochs : int
        How many, at most.
    callbacks, logger
        As Lightning takes them.
    """
    accelerator = choose_accelerator(config)
    devices = 1 if config.devices == "auto" else int(config.devices)
    return Trainer(
        accelerator=accelerator,
        devices=devices,
        strategy=SeveralDevices(config.architecture == "smp-unet") if devices > 1 else "auto",
        sync_batchnorm=devices > 1 and accelerator == "gpu",
        precision=choose_precision(config, accelerator),
        benchmark=accelerator == "gpu",  # crops are of one size: worth looking for the fastest way
        max_epochs=epochs,
        accumulate_grad_batches=config.accumulate,
        plugins=[WholeCheckpoints(), LightningEnvironment()],
        callbacks=[Compiling(config, accelerator), *callbacks],
        default_root_dir=folder,
        logger=logger,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
    )

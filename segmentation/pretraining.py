"""Restoration: what a fold's network learns of its images before it is shown masks.

The network learns to give back what was there before :class:`.distortion.Distortion` (Zhou et al.
2021, Models Genesis, Medical Image Analysis 67:101840). That needs no masks, so the images without
one are used too, and those of another cohort (:mod:`.others`). Of the study's patients only the
fold's training patients take part: nobody who tunes, validates or tests.

A new output layer, or that of ``start_from``, replaces the one that restored. Optimiser, learning
rates, batches, devices and precision are the training's own; distorting is done on the host.

``pretraining.csv`` is the history (see :class:`.callbacks.History`; ``train_loss`` is the mean
squared difference of grey values, 0..1).
"""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning import seed_everything
from lightning.pytorch.callbacks import ModelCheckpoint
from safetensors import SafetensorError
from safetensors.torch import load, load_file, save
from torch import Tensor, nn

from ..files import read_csv
from .callbacks import History
from .checkpoint import content_of, network_state, usable, write_whole
from .config import SegmentationConfig
from .data import PreparedImages
from .distortion import Distortion
from .fit import PRETRAINED, PRETRAINING, go_on, patch_within
from .module import SegmentationModule
from .network import HEADS, NetworkSpec
from .others import canvas_with_others
from .start import begin_with_start
from .trainer import PreparedData, lightning_trainer

if TYPE_CHECKING:
    from .fold_jobs import FoldJob

log = logging.getLogger(__name__)

HISTORY = "pretraining.csv"


def pretrain(config: SegmentationConfig, folder: Path, job: FoldJob, plan: dict[str, Any]) -> None:
    """Write a fold's ``pretrained.safetensors``, or keep the one that is there.

    It holds the network without its output layer. An interrupted pre-training goes on from
    ``pretraining.ckpt``.

    Parameters
    ----------
    folder : Path
        ``segmentation`` in the study folder.
    job : FoldJob
        The fold's patients and images.
    plan : dict
        ``canvas`` and ``working_spacing_mm``.
    """
    target = folder / job.name.folder
    if _read(target / PRETRAINED):
        return
    seed = config.seed + job.fold
    checkpoint = target / PRETRAINING
    begun = usable(checkpoint)
    seed_everything(seed, workers=True, verbose=False)
    module = RestorationModule(config, seed)
    head = HEADS[config.architecture]
    if not begun:
        begin_with_start(module.network, config, job.fold)
        for name, parameter in module.network.named_parameters():
            if name.startswith(head) and parameter.ndim == 1:  # it expects few pixels to be lesion
                nn.init.zeros_(parameter)
    callbacks = [
        History(target / HISTORY, ("train_loss",)),
        ModelCheckpoint(
            target, checkpoint.stem, save_on_train_epoch_end=True, enable_version_counter=False
        ),
    ]
    trainer = lightning_trainer(config, target, config.pretraining_epochs, callbacks, logger=False)
    images = restored_images(config, folder, job, plan)
    go_on(trainer, module, RestorationData(images, config), checkpoint if begun else None)

    state, _ = network_state(checkpoint)
    body = {name: part.contiguous() for name, part in state.items() if not name.startswith(head)}
    write_whole(target / PRETRAINED, save(body))
    checkpoint.unlink()


def _read(path: Path) -> dict[str, Tensor] | None:
    """Read a result; None where there is none, or a damaged one."""
    if not path.exists():
        return None
    try:
        return load(content_of(path))
    except SafetensorError as error:
        log.warning("%s cannot be read, the pre-training starts again: %s", path, error)
        return None


def begin_with_pretrained(network: nn.Module, config: SegmentationConfig, target: Path) -> None:
    """Fill a network, all but its output layer, with what :func:`pretrain` wrote."""
    if config.pretraining_epochs:
        network.load_state_dict(network.state_dict() | load_file(target / PRETRAINED))


def pretraining_card(config: SegmentationConfig, target: Path, job: FoldJob) -> dict[str, Any]:
    """Give what a pre-training adds to the fold's card: ``pretraining``, or nothing."""
    if not config.pretraining_epochs:
        return {}
    told = {
        "epochs": config.pretraining_epochs,
        "images": len(job.training) + len(job.unmasked),
        "images_without_mask": len(job.unmasked),
        "loss": float(read_csv(target / HISTORY)["train_loss"].iloc[-1]),
    }
    return {"pretraining": told}


def restored_images(
    config: SegmentationConfig, folder: Path, job: FoldJob, plan: dict[str, Any]
) -> PreparedImages:
    """Give a fold's images, distorted, with what is to be restored."""
    image_ids = [image_id for image_id, _ in (*job.training, *job.unmasked)]
    canvas = canvas_with_others(
        folder, image_ids, (plan["canvas"][0], plan["canvas"][1]), NetworkSpec.of(config).multiple
    )
    distortion = Distortion(config.seed + job.fold, patch_within(config, canvas), canvas)
    return PreparedImages(folder / "prepared", image_ids, canvas, distortion, masked=False)


class RestorationModule(SegmentationModule):
    """A network that learns to restore; what its last layer gives, as a probability, is grey."""

    def __init__(self, config: SegmentationConfig, seed: int) -> None:
        super().__init__(replace(config, deep_supervision=False, swa_start=0.0), seed)
        self.loss = GreyDifference()


class GreyDifference(nn.Module):
    """Mean squared difference of grey values."""

    def forward(self, logits: Tensor, image: Tensor) -> Tensor:
        """Loss of logits and the images as they were, 0..1, (batch, 1, rows, columns) both."""
        return nn.functional.mse_loss(logits.sigmoid(), image)


class RestorationData(PreparedData):
    """Loaders of the distorted images; there are none to tune on."""

    def __init__(self, images: PreparedImages, config: SegmentationConfig) -> None:
        super().__init__(images, images, config)

    def val_dataloader(self) -> Any:
        """Give none."""
        return []

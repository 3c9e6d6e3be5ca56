"""What a network learns from: loss, optimiser, learning rate, and the Dice that chooses epochs."""

from __future__ import annotations

from typing import Any

import torch
from lightning import LightningModule
from torch import Tensor

from .config import SegmentationConfig
from .network import NetworkSpec, build_network

WEIGHT_DECAY = 1e-4
WARM_UP = 0.15


class SegmentationModule(LightningModule):
    """A network in training.

    Logs per epoch ``train_loss``, ``tuning_loss`` and ``tuning_dice``: the mean over the tuning
    images of the Dice on the working grid (two empty masks agree: 1).
    """

    def __init__(self, config: SegmentationConfig) -> None:
        super().__init__()
        self.config = config
        self.network = build_network(NetworkSpec.of(config), config.encoder_weights)
        self.loss = build_loss(config.loss)

    def forward(self, images: Tensor) -> Tensor:
        """Logits of images, (batch, 1, rows, columns) both."""
        logits: Tensor = self.network(images.contiguous(memory_format=torch.channels_last))
        return logits

    def training_step(self, batch: dict[str, Tensor], _: int) -> Tensor:
        """Loss of a batch."""
        loss: Tensor = self.loss(self(batch["image"]).float(), batch["mask"])
        self._log("train_loss", loss, batch)
        return loss

    def validation_step(self, batch: dict[str, Tensor], _: int) -> None:
        """Log loss and Dice of a batch of tuning images."""
        logits = self(batch["image"]).float()
        drawn = logits.sigmoid() >= self.config.threshold
        self._log("tuning_loss", self.loss(logits, batch["mask"]), batch)
        self._log("tuning_dice", dice_per_image(drawn, batch["mask"]).mean(), batch)

    def configure_optimizers(self) -> Any:
        """AdamW; the learning rate warms up and falls as a cosine, step by step."""
        optimizer = torch.optim.AdamW(
            self.parameters(), lr=self.config.learning_rate, weight_decay=WEIGHT_DECAY
        )
        scheduler = torch.optim.lr_scheduler.OneCycleLR(
            optimizer,
            max_lr=self.config.learning_rate,
            total_steps=int(self.trainer.estimated_stepping_batches),
            pct_start=WARM_UP,
        )
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step"},
        }

    def _log(self, name: str, value: Tensor, batch: dict[str, Tensor]) -> None:
        count = len(batch["image"])
        self.log(name, value, on_step=False, on_epoch=True, batch_size=count, sync_dist=True)


def build_loss(name: str) -> torch.nn.Module:
    """Give MONAI's loss of logits and masks, the Dice part summed over the batch's pixels."""
    from monai.losses.dice import DiceCELoss, DiceFocalLoss

    kind = {"dice-ce": DiceCELoss, "dice-focal": DiceFocalLoss}[name]
    loss: torch.nn.Module = kind(sigmoid=True, batch=True)
    return loss


def dice_per_image(drawn: Tensor, mask: Tensor) -> Tensor:
    """Dice of each image of a batch, (batch, 1, rows, columns) -> (batch,); both empty is 1."""
    drawn, mask = drawn.flatten(1).bool(), mask.flatten(1).bool()
    total = drawn.sum(1) + mask.sum(1)
    shared = (drawn & mask).sum(1)
    return torch.where(total > 0, 2 * shared / total.clamp(min=1), torch.ones_like(shared).float())

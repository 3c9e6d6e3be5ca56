"""What a network learns from: loss, optimiser, learning rate, and the Dice that chooses epochs."""

from __future__ import annotations

import logging
from typing import Any, cast

import numpy as np
import torch
from lightning import LightningModule
from torch import Tensor

from ..errors import MammoroiError
from .config import TUNING_THRESHOLD, SegmentationConfig
from .deep_supervision import DeepSupervision
from .network import NetworkSpec, build_network

log = logging.getLogger(__name__)

WEIGHT_DECAY = 1e-4
WARM_UP = 0.15
SKIPPED_IN_A_ROW = 10
"""Steps that may be skipped one after the other before the training is given up."""


class SegmentationModule(LightningModule):
    """A network in training.

    Logs per epoch ``train_loss``, ``tuning_loss`` and ``tuning_dice``: the mean over the tuning
    images of the Dice on the working grid at a probability of 0.5 (two empty masks agree: 1), which
    does not depend on how they are batched. The losses do, where they are taken over a batch's
    pixels (:func:`build_loss`): ``tuning_loss`` is for comparing epochs of one training.

    A step whose loss or gradient is not finite is skipped: weights, moments of the optimiser and
    running statistics stay as they were. With several devices all skip it alike, since the check
    is made on the gradient that they share. It is the one moment of a step at which the host waits
    for a GPU.

    Parameters
    ----------
    config : SegmentationConfig
        The settings.
    seed : int
        What is random in the network (dropout) depends on it, the epoch and the batch's number
        alone, so that a resumed training draws what it would have drawn.

    Attributes
    ----------
    skipped_steps : int
        How many were skipped in this epoch.
    """

    def __init__(self, config: SegmentationConfig, seed: int = 0) -> None:
        super().__init__()
        self.config = config
        self.seed = seed
        self.skipped_steps = self.skipped_in_a_row = self.good_steps = 0
        self._before: list[Tensor] = []
        self._loss_is_finite: bool | None = None
        self._goes_on = False
        spec = NetworkSpec.of(config)
        self.network = build_network(spec, config.encoder_weights)
        self.loss = build_loss(config.loss)
        self.supervision = DeepSupervision(spec) if config.deep_supervision else None

    def forward(self, images: Tensor) -> Tensor:
        """Logits of images, (batch, 1, rows, columns) both."""
        logits: Tensor = self.network(_channels_last(images))
        return logits

    def on_load_checkpoint(self, _: dict[str, Any]) -> None:
        """Remember that the training was begun before."""
        self._goes_on = True

    def on_train_start(self) -> None:
        """Take the place on the learning rate's course that the epoch has with these devices.

        So many steps has an epoch that was begun with another number of devices not had.
        """
        if not self._goes_on:
            return
        steps, epochs = int(self.trainer.estimated_stepping_batches), self.trainer.max_epochs or 1
        for planned in self.trainer.lr_scheduler_configs:
            course = planned.scheduler
            if not isinstance(course, torch.optim.lr_scheduler.OneCycleLR):
                continue
            if course.total_steps == steps:
                continue
            log.warning(
                "the training was begun with another number of devices: it goes on from epoch %d, "
                "and gives another network than either number alone",
                self.current_epoch,
            )
            done = min(self.current_epoch, self.config.averaged_from or epochs)
            planned.scheduler = self._course(course.optimizer, steps, steps * done // epochs)

    def on_train_epoch_start(self) -> None:
        """Begin the epoch's counts."""
        self.skipped_steps = self.good_steps = 0

    def on_train_batch_start(self, _: Any, number: int) -> None:
        """Seed what the network draws for this batch (not per epoch: loaders draw, too)."""
        place = [self.seed, self.current_epoch, number, self.global_rank]
        torch.manual_seed(int(np.random.SeedSequence(place).generate_state(1)[0]))

    def training_step(self, batch: dict[str, Tensor], number: int) -> Tensor:
        """Loss of a batch, weighted by its share of the step's images."""
        parts = self.config.accumulate
        if number % parts == 0:
            self._remember_buffers()
        loss = self._training_loss(batch)
        self._loss = loss.detach()
        # An infinite loss may have a finite gradient; the check of the step looks at the gradient.
        spoilt = torch.where(self._loss.isfinite(), 1.0, torch.nan)
        return loss * (spoilt * self._share(number, len(batch["image"])))

    def _remember_buffers(self) -> None:
        """Keep the running statistics, in one kernel where there are as many as before."""
        buffers = list(self.network.buffers())
        if len(self._before) == len(buffers) > 0:
            torch._foreach_copy_(self._before, buffers)
        else:
            self._before = [buffer.clone() for buffer in buffers]

    def _training_loss(self, batch: dict[str, Tensor]) -> Tensor:
        images, mask = batch["image"], batch["mask"]
        if self.supervision is not None:
            levels = self.supervision(self.network, _channels_last(images))
            return self.supervision.loss(self.loss, levels, mask)
        loss: Tensor = self.loss(self(images).float(), mask)
        return loss

    def _share(self, number: int, images: int) -> float:
        """Weight of a part of a step; 1 unless the step is the epoch's last and has fewer images.

        Lightning divides every part's loss by the number of parts of a whole step.
        """
        size, parts = self.config.batch_size, self.config.accumulate
        all_images = len(self.trainer.train_dataloader.sampler)  # type: ignore[union-attr]
        of_step = min(size, all_images - (number // parts) * size)
        return images * parts / of_step

    def on_before_optimizer_step(self, _: Any) -> None:
        """Skip the step when a gradient is not finite.

        Raises
        ------
        MammoroiError
            When that happens in step after step.
        """
        gradients = [p.grad for p in self.parameters() if p.grad is not None]
        values = torch.stack([torch.nn.utils.get_total_norm(gradients), self._loss])
        finite, self._loss_is_finite = values.isfinite().tolist()
        if finite:
            self.good_steps += 1
            self.skipped_in_a_row = 0
            return
        self.skipped_steps += 1
        self.skipped_in_a_row += 1
        for buffer, before in zip(self.network.buffers(), self._before, strict=True):
            buffer.copy_(before)
        if self.trainer.precision != "16-mixed":  # there the scaler of the loss skips it
            for parameter in self.parameters():
                parameter.grad = None
        log.warning(
            "epoch %d: a step was skipped, its loss or gradient is not finite (%d in this epoch)",
            *(self.current_epoch, self.skipped_steps),
        )
        scaled = self.trainer.precision == "16-mixed" and self._loss_is_finite
        all_of_epoch = self.trainer.is_last_batch and not self.good_steps and not scaled
        if all_of_epoch or self.skipped_in_a_row == SKIPPED_IN_A_ROW:
            raise MammoroiError(
                f"the loss is not finite in {self.skipped_in_a_row} steps in a row, up to epoch "
                f"{self.current_epoch}; weights from before are kept",
                "lower segmentation.learning_rate, or set segmentation.precision to 32",
            )

    def on_train_batch_end(self, _outputs: Any, batch: Any, _number: int) -> None:
        """Log the loss, unless the step was skipped for it."""
        finite, self._loss_is_finite = self._loss_is_finite, None
        if finite is None:  # a part of a step, whose gradient was not looked at
            finite = bool(self._loss.isfinite())
        if finite:
            self._log("train_loss", self._loss, batch)

    def validation_step(self, batch: dict[str, Tensor], _: int) -> None:
        """Log loss and Dice of a batch of tuning images."""
        logits = self(batch["image"]).float()
        drawn = logits.sigmoid() >= TUNING_THRESHOLD
        self._log("tuning_loss", self.loss(logits, batch["mask"]), batch)
        self._log("tuning_dice", dice_per_image(drawn, batch["mask"]).mean(), batch)

    def configure_optimizers(self) -> Any:
        """AdamW; the learning rate warms up and falls as a cosine, step by step.

        With ``swa_start`` it stays where it is from that epoch on: the weights then wander about
        the optimum in whose middle their mean lies.
        """
        groups = self._groups()
        # A fused step would take the loss's scale off by itself, unseen by what looks at gradients.
        fused = next(self.parameters()).is_cuda and self.trainer.precision != "16-mixed"
        optimizer = torch.optim.AdamW(groups, weight_decay=WEIGHT_DECAY, fused=fused)
        scheduler = self._course(optimizer, int(self.trainer.estimated_stepping_batches))
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step"},
        }

    def _course(
        self, optimizer: torch.optim.Optimizer, steps: int, done: int = 0
    ) -> torch.optim.lr_scheduler.OneCycleLR:
        return torch.optim.lr_scheduler.OneCycleLR(
            optimizer,
            max_lr=[group["lr"] for group in self._groups()],
            total_steps=steps,
            pct_start=WARM_UP,
            last_epoch=done - 1,
        )

    def lr_scheduler_step(self, scheduler: Any, metric: Any | None) -> None:
        """Go on along the cosine, unless weights are averaged."""
        if not self.config.swa_start or self.current_epoch < self.config.averaged_from:
            super().lr_scheduler_step(scheduler, metric)

    def _groups(self) -> list[dict[str, Any]]:
        """Parameters with their peak learning rate; the first group has the configured one."""
        rate = self.config.learning_rate
        if self.config.encoder_rate == 1 or self.config.architecture != "smp-unet":
            return [{"params": list(self.parameters()), "lr": rate}]
        encoder: list[Any] = []
        rest: list[Any] = []
        for name, parameter in self.named_parameters():
            (encoder if name.startswith("network.encoder.") else rest).append(parameter)
        return [
            {"params": rest, "lr": rate},
            {"params": encoder, "lr": rate * self.config.encoder_rate},
        ]

    def _log(self, name: str, value: Tensor, batch: dict[str, Tensor]) -> None:
        count = len(batch["image"])
        self.log(name, value, on_step=False, on_epoch=True, batch_size=count, sync_dist=True)


def _channels_last(images: Tensor) -> Tensor:
    """Give images in the order in which networks compute fastest, on a GPU and on a CPU.

    Not by ``contiguous``: images of one channel are so in either order, and would stay as they are.
    """
    return images.to(memory_format=torch.channels_last)


def build_loss(name: str) -> torch.nn.Module:
    """Give a loss of logits and masks; Dice and Tversky index are taken over the batch's pixels.

    ``tversky-ce`` is the focal Tversky loss (Abraham and Khan 2019, arXiv:1810.07842) with weights
    0.3 and 0.7 of false and missed pixels and exponent 4/3, plus cross-entropy. ``dice-boundary``
    adds to ``dice-ce`` a tenth of the logarithm of the Hausdorff distance by distance transforms
    (Karimi and Salcudean 2019, arXiv:1904.10030).
    """
    from monai.losses.dice import DiceCELoss, DiceFocalLoss
    from monai.losses.hausdorff_loss import LogHausdorffDTLoss
    from segmentation_models_pytorch.losses import TverskyLoss

    def dice_ce() -> torch.nn.Module:
        return cast("torch.nn.Module", DiceCELoss(sigmoid=True, batch=True))

    if name == "dice-ce":
        return dice_ce()
    if name == "dice-focal":
        return cast("torch.nn.Module", DiceFocalLoss(sigmoid=True, batch=True))
    if name == "tversky-ce":
        tversky = TverskyLoss("binary", alpha=0.3, beta=0.7, gamma=4 / 3)
        return WeightedSum((tversky, 1.0), (torch.nn.BCEWithLogitsLoss(), 1.0))
    return WeightedSum((dice_ce(), 1.0), (LogHausdorffDTLoss(sigmoid=True), 0.1))


class WeightedSum(torch.nn.Module):
    """Sum of losses, each times its weight."""

    def __init__(self, *terms: tuple[torch.nn.Module, float]) -> None:
        super().__init__()
        self.losses = torch.nn.ModuleList([loss for loss, _ in terms])
        self.weights = [weight for _, weight in terms]

    def forward(self, logits: Tensor, mask: Tensor) -> Tensor:
        """Loss of logits and masks, (batch, 1, rows, columns) both."""
        terms = [w * loss(logits, mask) for w, loss in zip(self.weights, self.losses, strict=True)]
        return torch.stack(terms).sum()


def dice_per_image(drawn: Tensor, mask: Tensor) -> Tensor:
    """Dice of each image of a batch, (batch, 1, rows, columns) -> (batch,); both empty is 1."""
    drawn, mask = drawn.flatten(1).bool(), mask.flatten(1).bool()
    total = drawn.sum(1) + mask.sum(1)
    shared = (drawn & mask).sum(1)
    return torch.where(total > 0, 2 * shared / total.clamp(min=1), torch.ones_like(shared).float())

"""What happens beside the steps of a training: its history, and silence."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint, WeightAveraging
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn, update_bn

from ..files import write_csv

log = logging.getLogger(__name__)

METRICS = ("train_loss", "tuning_loss", "tuning_dice")


class History(Callback):
    """Writes ``history.csv``: a row per epoch, the first of which is 0.

    ``epoch, train_loss, tuning_loss, tuning_dice, learning_rate, skipped_steps``:
    ``learning_rate`` is that of the epoch's last step, ``skipped_steps`` counts those whose loss
    or gradient was not finite and that changed nothing (they are not in ``train_loss``). The rows
    travel in the checkpoint, so that a resumed training continues the table.

    Parameters
    ----------
    path : Path
        The file.
    metrics : tuple of str
        The columns between ``epoch`` and ``learning_rate``.
    """

    def __init__(self, path: Path, metrics: tuple[str, ...] = METRICS) -> None:
        self.path = path
        self.metrics = metrics
        self.rows: list[dict[str, Any]] = []
        self._rate = float("nan")

    def on_before_optimizer_step(self, _: Trainer, __: LightningModule, optimizer: Any) -> None:
        """Look at the step's learning rate; afterwards the next one's has taken its place."""
        self._rate = float(optimizer.param_groups[0]["lr"])

    def on_train_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Add the epoch that ends."""
        values = {name: float(trainer.callback_metrics[name]) for name in self.metrics}
        self.rows.append(
            {
                "epoch": trainer.current_epoch,
                **values,
                "learning_rate": self._rate,
                "skipped_steps": getattr(module, "skipped_steps", 0),
            }
        )
        if trainer.is_global_zero:
            write_csv(self.path, pd.DataFrame(self.rows), to_disk=True)

    def state_dict(self) -> dict[str, Any]:
        """Give the rows to the checkpoint."""
        return {"rows": list(self.rows)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the rows from the checkpoint."""
        self.rows = list(state_dict["rows"])


class BestEpoch(ModelCheckpoint):
    """Keeps the epoch of the largest monitored value; among equal ones the latest.

    Epochs are equal where a network finds nothing yet (tuning Dice 0): the first of them would be
    a network that has hardly learnt. The checkpoint is a whole one: of the weights alone Lightning
    would keep those of the training, where their average was measured.

    Parameters
    ----------
    folder : Path
        Where it is kept, as ``best.ckpt``.
    monitor : str
        The value.
    """

    def __init__(self, folder: Path, monitor: str) -> None:
        super().__init__(
            folder,
            "best",
            monitor=monitor,
            mode="max",
            save_on_train_epoch_end=True,
            enable_version_counter=False,
        )
        # By Lightning's name of the folder: the same file by another name is removed as an old one.
        self._kept = str(Path(str(self.dirpath)) / "best.ckpt")

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the best value from the checkpoint, wherever its folder lay then."""
        here = {
            "dirpath": self.dirpath,
            "best_model_path": self._kept,
            "kth_best_model_path": self._kept,
            "best_k_models": {self._kept: state_dict["best_model_score"]},
            "last_model_path": "",
        }
        super().load_state_dict(state_dict | here)

    def check_monitor_top_k(self, trainer: Trainer, current: Tensor | None = None) -> bool:
        """Tell whether the epoch that ends takes the place of the one that is kept."""
        if current is None or self.best_model_score is None:
            return super().check_monitor_top_k(trainer, current)
        as_good = bool(current >= self.best_model_score)
        return trainer.strategy.reduce_boolean_decision(as_good)


class Patience(EarlyStopping):
    """Stops after some epochs without a better tuning Dice, and stays stopped when resumed.

    Epochs count from the first whose tuning Dice is above 0: before it there is nothing that did
    not become better.
    """

    def on_train_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Count the epoch that ends, if the network has found anything by then."""
        if max(trainer.callback_metrics[self.monitor], self.best_score) > 0:
            super().on_train_epoch_end(trainer, module)

    def on_train_start(self, trainer: Trainer, _: LightningModule) -> None:
        """Stop again when the training was interrupted after its last epoch."""
        if self.wait_count >= self.patience:
            trainer.should_stop = True


class Averaging(WeightAveraging):
    """Keeps an average of weights where the network is.

    Lightning makes the average before it moves the network to its device; without this every step
    would copy the weights of a network on a GPU to the host. How many are averaged stays on the
    host, which asks in every step and would have to wait for a GPU.
    """

    def on_train_start(self, _: Trainer, module: LightningModule) -> None:
        """Follow the network to its device."""
        assert self._average_model is not None
        self._average_model.module.to(module.device)


class MovingAverage(Averaging):
    """Keeps an exponential moving average of weights and running statistics over the steps.

    Tuning images are measured with it, checkpoints hold it as their ``state_dict``, and a resumed
    training goes on with both (Tarvainen and Valpola 2017, arXiv:1703.01780).

    Parameters
    ----------
    decay : float
        Weight of the average so far in each step.
    """

    def __init__(self, decay: float) -> None:
        # As a function of this module it can go to the processes of several devices.
        super().__init__(multi_avg_fn=partial(_average, decay))
        self.decay = decay

    def on_train_batch_end(self, trainer: Trainer, module: LightningModule, *given: Any) -> None:
        """Take the weights of a step into the average.

        PyTorch's own way sends how many were averaged to the device, in every step and for each
        type of tensor: the host would wait for a GPU. The function does not look at it.
        """
        average = self._average_model
        assert average is not None
        if not average.n_averaged:
            super().on_train_batch_end(trainer, module, *given)
        elif trainer.global_step > self._latest_update_step:
            pairs = list(zip(_tensors(average.module), _tensors(module), strict=True))
            for kind in (True, False):
                of_kind = [pair for pair in pairs if pair[0].is_floating_point() == kind]
                if of_kind:
                    averages, weights = zip(*of_kind, strict=True)
                    _average(self.decay, list(averages), list(weights), None)
            average.n_averaged += 1
            self._latest_update_step = trainer.global_step


def _tensors(module: torch.nn.Module) -> Iterator[Tensor]:
    """Give a module's parameters and buffers."""
    return (tensor.detach() for tensor in chain(module.parameters(), module.buffers()))


def _average(decay: float, averages: Any, weights: Any, number: Any) -> None:
    get_ema_multi_avg_fn(decay)(averages, weights, number)


class EpochAverage(Averaging):
    """Keeps the mean of the weights at the end of each epoch from one epoch on.

    Stochastic weight averaging (Izmailov et al. 2018, arXiv:1803.05407). Until then, and in that
    epoch, it keeps the weights as they are. The running statistics of batch norm are those of the
    mean's own, cumulated over the epoch's training images as they were drawn, without a step; they
    depend on seed, epoch and weights alone. Other buffers are those of the last weights.

    The mean is made before the tuning images are measured, so that an epoch's row in
    ``history.csv`` and its checkpoint are of the same weights; a resumed training goes on with
    both.

    Parameters
    ----------
    first : int
        The first epoch, counted from 0, that is averaged.
    """

    def __init__(self, first: int) -> None:
        super().__init__(use_buffers=False)
        self.first = first

    def on_train_batch_end(self, trainer: Trainer, module: LightningModule, *_: Any) -> None:
        """Take the weights at the end of an epoch into the mean."""
        if not trainer.is_last_batch:
            return
        average = self._average_model
        assert average is not None
        if trainer.current_epoch <= self.first:
            average.n_averaged.zero_()  # the next weights replace the mean
        average.update_parameters(module)
        if average.n_averaged > 1:
            # In the place of the training's weights, where hooks and the compiled network are.
            self._swap_models(module)
            _measure_statistics(trainer, module)
            self._swap_models(module)


def _measure_statistics(trainer: Trainer, module: LightningModule) -> None:
    """Take the running statistics of the module's batch norms anew; overflow leaves them alone."""
    before = [buffer.clone() for buffer in module.buffers()]
    with trainer.precision_plugin.forward_context():
        update_bn(_training_images(trainer, module), module)
    if all(bool(buffer.isfinite().all()) for buffer in module.buffers()):
        return
    for buffer, value in zip(module.buffers(), before, strict=True):
        buffer.copy_(value)
    log.warning(
        "epoch %d: the statistics of the averaged network are not finite, those of the last "
        "weights take their place",
        trainer.current_epoch,
    )


def _training_images(trainer: Trainer, module: LightningModule) -> Iterator[Tensor]:
    """Give the epoch's training images once more, as they were drawn, on the module's device.

    They are made in full precision, whatever the network that asks for them computes in.
    """
    data: Any = trainer.datamodule  # type: ignore[attr-defined]
    loader = data.train_dataloader()
    loader.sampler.set_epoch(trainer.current_epoch)
    batches = iter(loader)
    for _ in range(len(loader)):
        with torch.autocast(module.device.type, enabled=False):
            batch = data.on_before_batch_transfer(next(batches), 0)
            moved = data.transfer_batch_to_device(batch, module.device, 0)
            images = data.on_after_batch_transfer(moved, 0)["image"]
        yield images


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Keep notes on hardware, advice on workers and crops of air alone from the terminal."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"lightning\..*")
            warnings.filterwarnings("ignore", module=r"torch\..*")
            warnings.filterwarnings("ignore", message="The image's intensity is a single value")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)

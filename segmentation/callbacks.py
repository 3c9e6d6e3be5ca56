"""What happens beside the steps of a training: its history, and silence."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
from lightning import Callback, LightningModule, Trainer

from ..files import write_csv

METRICS = ("train_loss", "tuning_loss", "tuning_dice")


class History(Callback):
    """Writes ``history.csv``: ``epoch, train_loss, tuning_loss, tuning_dice, learning_rate``.

    ``epoch`` counts from 0; ``learning_rate`` is that of the epoch's last step. The rows travel in
    the checkpoint, so that a resumed training continues the table.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: list[dict[str, Any]] = []

    def on_train_epoch_end(self, trainer: Trainer, _: LightningModule) -> None:
        """Add the epoch that ends."""
        values = {name: float(trainer.callback_metrics[name]) for name in METRICS}
        rate = float(trainer.optimizers[0].param_groups[0]["lr"])
        self.rows.append({"epoch": trainer.current_epoch, **values, "learning_rate": rate})
        if trainer.is_global_zero:
            write_csv(self.path, pd.DataFrame(self.rows))

    def state_dict(self) -> dict[str, Any]:
        """Give the rows to the checkpoint."""
        return {"rows": list(self.rows)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the rows from the checkpoint."""
        self.rows = list(state_dict["rows"])


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Keep Lightning's notes on hardware and its advice on workers from the terminal."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"lightning\..*")
            warnings.filterwarnings("ignore", module=r"torch\..*")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)

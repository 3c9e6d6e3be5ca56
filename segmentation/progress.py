"""How far the networks' trainings are, read from the histories that they write."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

    from .folds import NetworkName


@contextmanager
def watching(folder: Path, names: Sequence[NetworkName], epochs: int) -> Iterator[None]:
    """Show a bar per network while they are trained, in this process or in others.

    Parameters
    ----------
    folder : Path
        ``segmentation`` in the study folder.
    names : sequence of NetworkName
        The networks.
    epochs : int
        How many each is trained.
    """
    from rich.console import Console
    from rich.live import Live

    if not sys.stderr.isatty():
        yield
        return
    live = Live(
        get_renderable=lambda: bars(folder, names, epochs),
        console=Console(stderr=True),
        refresh_per_second=1,
        transient=True,
    )
    with live:
        yield


def bars(folder: Path, names: Sequence[NetworkName], epochs: int) -> Table:
    """Draw a line per network: finished epochs, last and best tuning Dice."""
    from rich.progress_bar import ProgressBar
    from rich.table import Table

    table = Table.grid(padding=(0, 1))
    for name in names:
        target = folder / name.folder
        dice = tuning_dice(target / "history.csv")
        done = epochs if (target / "model.json").exists() else len(dice)
        restored = rows(target / "pretraining.csv")
        begins = f"restores images, {len(restored)} epochs so far" if restored else "starts"
        text = f"Dice {dice[-1]:.3f} (best {max(dice):.3f})" if dice else begins
        bar = ProgressBar(total=epochs, completed=done, width=40)
        table.add_row(f"Training {name}", bar, f"epoch {len(dice)}/{epochs}", text)
    return table


def tuning_dice(history: Path) -> list[float]:
    """Read the tuning Dice of the epochs so far; none before the first."""
    return [float(row["tuning_dice"]) for row in rows(history)]


def rows(history: Path) -> list[dict[str, str]]:
    """Read the epochs so far; none before the first."""
    import csv

    if not history.exists():
        return []
    with history.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))

"""How far the networks' trainings are, read from the files that they write."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from time import time
from typing import TYPE_CHECKING, TextIO

from ..files import read_json

if TYPE_CHECKING:
    from rich.table import Table

    from .folds import NetworkName

log = logging.getLogger(__name__)

LOOK_S = 1.0
_SHORT_S = 180.0


@contextmanager
def watching(folder: Path, names: Sequence[NetworkName], epochs: int) -> Iterator[None]:
    """Log every network that is finished, and on a terminal show a bar per network.

    The networks are trained within, in this process or in others.

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
        with _telling(folder, names):
            yield
        return
    live = Live(
        get_renderable=lambda: bars(folder, names, epochs),
        console=Console(stderr=True),
        refresh_per_second=1,
        transient=True,
    )
    terminal = sys.stderr
    with live, _logging_to(sys.stderr, instead_of=terminal), _telling(folder, names):
        yield


@contextmanager
def _logging_to(stream: TextIO, instead_of: TextIO) -> Iterator[None]:
    """Have what is logged to a stream go to another, such as the one that writes above bars."""
    handlers = [
        handler
        for handler in logging.getLogger().handlers
        if isinstance(handler, logging.StreamHandler) and handler.stream is instead_of
    ]
    for handler in handlers:
        handler.setStream(stream)
    try:
        yield
    finally:
        for handler in handlers:
            handler.setStream(instead_of)


@contextmanager
def _telling(folder: Path, names: Sequence[NetworkName]) -> Iterator[None]:
    """Log a line for every network that is finished within; none for one that was so before."""
    ended = Event()
    before = {name: _written(folder / name.folder / "model.json") for name in names}
    thread = Thread(target=_tell, args=(folder, before, ended), daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _tell(folder: Path, before: dict[NetworkName, float | None], ended: Event) -> None:
    """Look for finished networks, again and again until what trains them has ended."""
    begun = dict.fromkeys(before, time())
    waiting = dict(before)
    last = False
    while not last:
        last = ended.wait(LOOK_S)
        for name in list(waiting):
            target = folder / name.folder
            begun[name] = _written(target / "training.json") or begun[name]
            written = _written(target / "model.json")
            if written is not None and written != waiting[name]:
                del waiting[name]
                if written >= begun[name]:  # else it was taken back, which is said
                    log.info("%s", finished(target, written - begun[name]))


def finished(target: Path, seconds: float) -> str:
    """Say of a finished network how long it took, which epoch it is (as ``history.csv``), its Dice.

    Parameters
    ----------
    target : Path
        Its folder.
    seconds : float
        Since its training began, or since it went on.
    """
    card = read_json(target / "model.json")
    dice = card["metrics"].get("tuning_dice")
    told = "" if dice is None else f", tuning Dice {dice:.3f}"
    place = f"{target.parent.name}/{target.name}"
    took = f"{seconds:.1f} seconds" if seconds < _SHORT_S else f"{seconds / 60:.1f} minutes"
    return f"{place} finished in {took}: epoch {card['epoch']} kept{told}"


def _written(file: Path) -> float | None:
    """Give the time at which a file was written, in seconds; None where there is none."""
    try:
        return file.stat().st_mtime
    except FileNotFoundError:
        return None


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
        table.add_row(f"Training {name}", bar, f"{len(dice)} of {epochs} epochs", text)
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

r"""Kills a training with SIGKILL at random moments and lets it finish.

The networks of two folds are trained side by side once without interruption. Then, in a copy
without any result, the same command is killed after a random time and started again, over and
over: by turns its whole process group, and the parent process alone, whose workers have to end by
themselves. A copy that comes to its end is compared byte for byte (weights and history) and
replaced by a fresh one, until there were enough kills::

    OMP_NUM_THREADS=1 python benchmarks/train_restart.py --kills 40
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import shutil
import signal
import tempfile
import time
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import torch
import torch._dynamo  # for the optimiser; imported here, it is there in every fork
from PIL import Image

from mammoroi.cohort.split import Fold, Splits, write_splits
from mammoroi.segmentation.config import SegmentationConfig
from mammoroi.segmentation.prepare import prepare
from mammoroi.segmentation.train import train_prepared

WORKERS_END_S = 5.0


def make_study(folder: Path, patients: int) -> None:
    """Discs in half-round breasts, with two folds of prepared arrays."""
    folder.mkdir(parents=True)
    names = [f"P{number:02d}" for number in range(patients)]
    rows = []
    for number, name in enumerate(names):
        generator = np.random.default_rng(number)
        y, x = np.mgrid[:96, :61]
        breast = ((y - 48) / 42) ** 2 + (x / 44) ** 2 <= 1
        mask = (y - generator.uniform(30, 66)) ** 2 + (x - generator.uniform(12, 24)) ** 2 <= 50
        grey = np.clip(breast * (90 + generator.normal(0, 6, breast.shape)) + mask * 80, 0, 255)
        Image.fromarray(grey.astype(np.uint8)).save(folder / f"{name}.png")
        Image.fromarray(mask.astype(np.uint8) * 255).save(folder / f"{name}.mask.png")
        paths = {"image": f"{name}.png", "mask": f"{name}.mask.png", "spacing_mm": 1.0}
        rows.append(
            {"image_id": name, "patient_id": name, "view": "CC", "laterality": "L", **paths}
        )
    pd.DataFrame(rows).to_csv(folder / "cohort.csv", index=False)
    pd.DataFrame({"patient_id": names}).to_csv(folder / "patients.csv", index=False)
    folds = tuple(
        Fold(tuple(name for name in names if name not in part), tuple(part))
        for part in (names[::2], names[1::2])
    )
    write_splits(folder, Splits(1, 0.0, 2, (), tuple(names), (), folds))
    prepare(SegmentationConfig(working_spacing_mm=2.0, workers=1), folder)


def start(study: Path, epochs: int, workers: int) -> BaseProcess:
    """Train in a process of its own group; forked, since importing takes longer than training."""

    def call() -> None:
        os.setsid()
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        config = SegmentationConfig(
            working_spacing_mm=2.0,
            channels=(4, 4, 8, 8, 8),
            epochs=epochs,
            batch_size=4,
            tuning_fraction=0.3,
            patience=0,
            accelerator="cpu",
            workers=workers,
        )
        train_prepared(config, study)

    process = get_context("fork").Process(target=call)
    process.start()
    return process


def results(study: Path) -> dict[str, str]:
    """SHA-256 of each file that a training leaves behind."""
    return {
        str(path.relative_to(study)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted((study / "segmentation").glob("fold-*/*"))
        if path.suffix in (".safetensors", ".csv", ".json", ".ckpt")
    }


def progress(study: Path) -> int:
    """Epochs that stand in the histories of all folds."""
    files = (study / "segmentation").glob("fold-*/history.csv")
    return sum(len(file.read_text().splitlines()) - 1 for file in files)


def damaged(study: Path) -> int:
    """Checkpoints that cannot be read or hold a value that is not finite."""
    count = 0
    for path in (study / "segmentation").glob("fold-*/*.ckpt"):
        try:
            state = torch.load(path, weights_only=True)["state_dict"]
            count += not all(bool(tensor.isfinite().all()) for tensor in state.values())
        except Exception:  # noqa: BLE001 - whatever torch.load says of half a file
            count += 1
    return count


def killed(
    process: BaseProcess, study: Path, epochs: int, delay: float, group: bool
) -> tuple[bool, int]:
    """Kill a training after some epochs and a moment; say if it lived, and how many workers then.

    The number of epochs is that of all folds together.
    """
    while process.is_alive() and progress(study) < epochs:
        time.sleep(0.005)
    process.join(delay)
    if not process.is_alive():
        return False, 0
    children = psutil.Process(process.pid).children(recursive=True)
    if group:
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.join()
    _, alive = psutil.wait_procs(children, timeout=WORKERS_END_S)
    for child in alive:
        child.kill()
    return True, len(alive)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--patients", type=int, default=12)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    generator = random.Random(given.seed)
    with tempfile.TemporaryDirectory() as name:
        clean, whole, study = (Path(name) / part for part in ("clean", "whole", "study"))
        make_study(clean, given.patients)
        shutil.copytree(clean, whole)
        began = time.monotonic()
        process = start(whole, given.epochs, given.workers)
        process.join()
        truth = results(whole)
        print(f"uninterrupted: {time.monotonic() - began:.1f} s; compared: {sorted(truth)}")
        assert process.exitcode == 0

        kills = {True: 0, False: 0}
        orphans = broken = different = finished = went_on = 0
        while sum(kills.values()) < given.kills:
            shutil.rmtree(study, ignore_errors=True)
            shutil.copytree(clean, study)
            epochs = [0]
            while True:
                group = kills[True] <= kills[False]
                after = progress(study) + generator.randint(0, given.epochs // 2)
                delay = generator.uniform(0, 0.3)
                process = start(study, given.epochs, given.workers)
                was_alive, left = killed(process, study, after, delay, group)
                if not was_alive:
                    break
                kills[group] += 1
                orphans += left
                broken += damaged(study)
                epochs.append(progress(study))
                went_on += epochs[-1] > epochs[-2]
            finished += 1
            found = results(study)
            changed = sorted(name for name in found | truth if found.get(name) != truth.get(name))
            different += bool(changed)
            print(
                f"killed {len(epochs) - 1} times at epochs {epochs[1:]} of {2 * given.epochs}; "
                f"exit code {process.exitcode}; equal files: {not changed} {changed or ''}",
                flush=True,
            )
        print(
            f"{kills[True]} kills of the group, {kills[False]} of the parent alone, {went_on} of "
            f"them later than the one before; {finished} trainings brought to their end, "
            f"{different} of them different in any byte; {broken} damaged checkpoints; {orphans} "
            f"workers alive {WORKERS_END_S:g} s after their parent"
        )


if __name__ == "__main__":
    main()

r"""Images per second, share of the time spent waiting for data, peak memory of a training.

The same network is trained on the same images in several ways: fed one batch that lies on the
device already (the limit: no loading at all), by mammoroi's loaders with the augmentation on the
host and on the device, on a GPU also compiled; and, where ``nnunetv2`` is installed, nnU-Net's own
trainer and network with its loader, and fed one batch (its limit)::

    python benchmarks/train_speed.py --out build/train_speed.csv                 # phantoms
    python benchmarks/train_speed.py --study STUDY --preset default --steps 200  # prepared images

``--study`` is a study whose images are prepared. Where nnU-Net takes part, patch and batch are
those of its plan for the study, so that all ways train on equally large batches, else those of the
preset; ``--batch`` changes it for all, ``--patch`` for mammoroi alone. ``--architecture dynunet``
takes the network that is most like nnU-Net's. ``--ways`` chooses some of the ways.
``--make STUDY`` only makes the study of phantoms, and nnU-Net's plan for it in ``--root``.

Counted are ``--steps`` steps after ``--warm-up`` ones. ``waiting`` is the share of their wall time
in which the training loop stood in the loader's ``next``: with loader processes, what they did not
prepare in time; without, as on the CPU, all of loading and augmenting. ``peak_mb`` is PyTorch's
peak of the GPU's memory, on the CPU the process's peak. ``first_s`` is how long the warm-up took,
the start of loader processes and cuDNN's search for the fastest convolutions included. On the CPU
each way has a process of its own; on a GPU mammoroi's share one, since that search takes long and
its result holds for all, and so do nnU-Net's.
"""

from __future__ import annotations

import argparse
import gc
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from lightning import Callback, Trainer
from memory import peak_memory_mb

from mammoroi.cohort.split import Fold, Splits, load_splits, write_splits
from mammoroi.files import read_csv, read_json, write_csv, write_json
from mammoroi.segmentation.config import SegmentationConfig

LIMIT, HOST, DEVICE, COMPILED = (
    "mammoroi, one batch (limit)",
    "mammoroi, augmented on the host",
    "mammoroi, augmented on the device",
    "mammoroi, on the device, compiled",
)
NNUNET_LIMIT, NNUNET = "nnU-Net, one batch (limit)", "nnU-Net"
WAYS = {
    "limit": LIMIT,
    "host": HOST,
    "device": DEVICE,
    "compiled": COMPILED,
    "nnunet-limit": NNUNET_LIMIT,
    "nnunet": NNUNET,
}


class Counter:
    """Counts images and waiting from one step to another.

    Parameters
    ----------
    warm_up, steps : int
        Steps that are not counted, and those that are.
    on_gpu : bool
        Wait for the GPU before looking at the clock.
    """

    def __init__(self, warm_up: int, steps: int, on_gpu: bool = False) -> None:
        self.warm_up, self.steps, self.on_gpu = warm_up, steps, on_gpu
        self.step = self.images = 0
        self.waited_s = self.wall_s = self.cpu_s = 0.0

    @property
    def counting(self) -> bool:
        """Tell whether this step counts."""
        return self.warm_up <= self.step < self.warm_up + self.steps

    def begin(self) -> None:
        """Tell that the first step begins."""
        self._begun = time.perf_counter()
        if self.warm_up == 0:
            self._start()

    def ended(self, images: int) -> None:
        """Tell that a step with so many images has ended."""
        if self.counting:
            self.images += images
        self.step += 1
        if self.step == self.warm_up:
            self._start()
        elif self.step == self.warm_up + self.steps:
            self._synchronise()
            self.wall_s = time.perf_counter() - self._wall
            self.cpu_s = time.process_time() - self._cpu

    def waited(self, seconds: float) -> None:
        """Tell how long the loop stood in the loader's ``next``."""
        if self.counting:
            self.waited_s += seconds

    def result(self) -> dict[str, float]:
        """Give the columns of the table."""
        peak = torch.cuda.max_memory_allocated() / 2**20 if self.on_gpu else peak_memory_mb()
        return {
            "images_per_s": self.images / self.wall_s,
            "images_per_cpu_s": self.images / self.cpu_s,
            "waiting": self.waited_s / self.wall_s,
            "peak_mb": peak,
            "first_s": self._wall - self._begun,
        }

    def _start(self) -> None:
        self._synchronise()
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def _synchronise(self) -> None:
        if self.on_gpu:
            torch.cuda.synchronize()


class Watched:
    """A loader whose ``next`` is timed."""

    def __init__(self, loader: Any, counter: Counter) -> None:
        self.loader, self.counter = loader, counter
        self.sampler = getattr(loader, "sampler", None)

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[Any]:
        batches = iter(self.loader)
        while True:
            begin = time.perf_counter()
            try:
                batch = next(batches)
            except StopIteration:
                return
            self.counter.waited(time.perf_counter() - begin)
            yield batch


class OneBatch:
    """A loader that gives one batch over and over."""

    def __init__(self, batch: Any, size: int, length: int) -> None:
        self.batch, self.length = batch, length
        self.sampler = range(size * length)

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[Any]:
        return (self.batch for _ in range(self.length))


class Steps(Callback):
    """Tells the counter of a Lightning training's steps."""

    def __init__(self, counter: Counter) -> None:
        self.counter = counter

    def on_train_start(self, *_: Any) -> None:
        """Begin."""
        self.counter.begin()

    def on_train_batch_end(self, _t: Any, _m: Any, _o: Any, batch: Any, _n: int) -> None:
        """Count a step."""
        self.counter.ended(len(batch["image"]))


def train_mammoroi(way: str, config: SegmentationConfig, study: Path, counter: Counter) -> None:
    """Train mammoroi's network in one of its ways; nothing is validated or saved."""
    from mammoroi.segmentation.callbacks import quiet_lightning
    from mammoroi.segmentation.compiling import compile_network
    from mammoroi.segmentation.fit import images_of
    from mammoroi.segmentation.fold_jobs import fold_job
    from mammoroi.segmentation.module import SegmentationModule
    from mammoroi.segmentation.trainer import choose_accelerator, choose_device, choose_precision

    where = "host" if way == HOST else "device"
    config = replace(config, augment_on=where, compile="auto" if way == COMPILED else "off")
    folder = study / "segmentation"
    index = read_csv(folder / "prepared" / "index.csv", dtype={"image_id": str, "patient_id": str})
    index = index[index["has_mask"]]
    job = fold_job(config, load_splits(study), 0, index)
    images = images_of(config, folder, job, plan_of(config, index))
    accelerator = choose_accelerator(config)
    with quiet_lightning():
        trainer = Trainer(
            accelerator=accelerator,
            devices=1,
            precision=choose_precision(config, accelerator),
            benchmark=accelerator == "gpu",
            max_steps=counter.warm_up + counter.steps,
            limit_val_batches=0,
            callbacks=[Steps(counter)],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
        )
        module = SegmentationModule(config)
        compile_network(module.network, config, accelerator)
        images.trainer = trainer
        loader = images.train_dataloader()
        if way == LIMIT:
            device = choose_device(config)
            batch = images.on_before_batch_transfer(next(iter(loader)), 0)
            moved = {k: v.to(device) if torch.is_tensor(v) else v for k, v in batch.items()}
            batch = images.on_after_batch_transfer(moved, 0)
            length = counter.warm_up + counter.steps
            watched = Watched(OneBatch(batch, config.batch_size, length), counter)
            trainer.fit(module, watched)
            return
        images.train_dataloader = lambda: Watched(loader, counter)  # type: ignore[method-assign]
        trainer.fit(module, datamodule=images)


def plan_of(config: SegmentationConfig, index: pd.DataFrame) -> dict[str, Any]:
    """Choose a canvas that holds the patch, which a training cuts to the size of its images.

    Breasts of phantoms are small: a step of a preset would be one of a smaller patch than it names.
    """
    from mammoroi.segmentation.fold_jobs import make_plan

    plan = make_plan(config, index)
    sides = zip(plan["canvas"], config.patch or (0, 0), strict=True)
    return plan | {"canvas": [max(both) for both in sides]}


def train_nnunet(way: str, root: Path, device: str, counter: Counter) -> None:
    """Train nnU-Net's own network with its own trainer, loader and augmentation."""
    from nnunet_data import build_trainer

    with (root / "log.txt").open("a", encoding="utf-8") as log, redirect_stdout(log):
        trainer = build_trainer(root, 0, device)
        trainer.disable_checkpointing = True
        trainer.on_train_start()
        trainer.on_train_epoch_start()
        loader = trainer.dataloader_train
        total = counter.warm_up + counter.steps
        if way == NNUNET_LIMIT:
            batch = next(loader)
            target = [part.to(trainer.device) for part in batch["target"]]
            batch = {**batch, "data": batch["data"].to(trainer.device), "target": target}
            loader = OneBatch(batch, trainer.batch_size, total)
        counter.begin()
        for _, batch in zip(range(total), Watched(loader, counter), strict=False):
            trainer.train_step(batch)
            counter.ended(len(batch["data"]))
        trainer.on_train_end()


def make_study(folder: Path, patients: int, spacing_mm: float) -> Path:
    """Phantoms, prepared, in four folds."""
    from mammoroi.cohort.synthetic import synthesize
    from mammoroi.cohort.synthetic_config import SyntheticConfig
    from mammoroi.segmentation.prepare import prepare

    synthesize(SyntheticConfig(n_patients=patients, spacing_mm=min(0.5, spacing_mm)), folder)
    names = sorted(read_csv(folder / "patients.csv", dtype=str)["patient_id"])
    folds = []
    for first in range(4):
        own = tuple(names[first::4])
        folds.append(Fold(tuple(name for name in names if name not in own), own))
    write_splits(folder, Splits(1, 0.0, 4, (), tuple(names), (), tuple(folds)))
    prepare(SegmentationConfig(working_spacing_mm=spacing_mm), folder)
    return folder


def settings(given: argparse.Namespace) -> SegmentationConfig:
    """Take the preset's settings, and the command line's patch, batch and device."""
    config = SegmentationConfig()
    if given.preset:
        from mammoroi.configuration import configured, find_config
        from mammoroi.stages import StudyConfig

        config = configured(StudyConfig, "train_speed", find_config(given.preset), []).segmentation
    if given.architecture:
        alike = (32, 64, 128, 256, 512) if given.architecture == "dynunet" else config.channels
        config = replace(config, architecture=given.architecture, channels=alike)
    return replace(
        config,
        patch=tuple(given.patch) if given.patch else config.patch,
        batch_size=given.batch or config.batch_size,
        accumulate=1,
        accelerator="gpu" if given.device == "cuda" else "cpu",
        workers=given.loaders,
    )


def measure(given: argparse.Namespace) -> list[dict[str, float]]:
    """Measure some ways, in this process."""
    torch.set_num_threads(given.threads)
    begun = time.perf_counter()
    rows = []
    for way in given.way:
        on_gpu = given.device == "cuda"
        if on_gpu:
            gc.collect()
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        counter = Counter(given.warm_up, given.steps, on_gpu)
        if way in (NNUNET, NNUNET_LIMIT):
            from nnunet_data import environment

            environment(given.root, given.threads, given.loaders if on_gpu else 0)
            train_nnunet(way, given.root, given.device, counter)
        else:
            train_mammoroi(way, settings(given), given.study, counter)
        rows.append(counter.result())
        sys.stderr.write(f"{time.perf_counter() - begun:.0f} s: {way}: {rows[-1]}\n")
    return rows


def processes(ways: list[str], device: str) -> list[list[str]]:
    """Divide the ways among processes."""
    if device == "cpu":
        return [[way] for way in ways]
    theirs = {NNUNET_LIMIT, NNUNET}
    own = [way for way in ways if way not in theirs | {COMPILED}]
    groups = [own, [way for way in ways if way == COMPILED], [way for way in ways if way in theirs]]
    return [group for group in groups if group]


def prepare_nnunet(given: argparse.Namespace) -> None:
    """Plan nnU-Net's training on the study, and take its patch and batch for all ways."""
    from nnunet_data import CONFIGURATION, DATASET, PLANS, environment, export, plan, read_plan

    environment(given.root, given.loaders, 0)
    if (given.root / "cases.csv").exists():
        planned = read_plan(given.root)
    else:
        with (given.root / "log.txt").open("a", encoding="utf-8") as log, redirect_stdout(log):
            planned = plan(given.study, given.root, export(given.study, given.root), None)
    given.patch = given.patch or [-(-side // 32) * 32 for side in planned["patch_size"]]
    if given.batch:
        file = given.root / "preprocessed" / DATASET / f"{PLANS}.json"
        plans = read_json(file)
        plans["configurations"][CONFIGURATION]["batch_size"] = given.batch
        write_json(file, plans)
    given.batch = given.batch or planned["batch_size"]


def ways_of(given: argparse.Namespace) -> list[str]:
    ways = [WAYS[name] for name in given.ways]
    if importlib.util.find_spec("nnunetv2") is None:
        sys.stderr.write("nnunetv2 is not installed: nnU-Net is left out\n")
        ways = [way for way in ways if way not in (NNUNET, NNUNET_LIMIT)]
    return [way for way in ways if way != COMPILED or given.device == "cuda"]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--study", type=Path)
    parser.add_argument("--root", type=Path, help="folder of nnU-Net's files")
    parser.add_argument("--patients", type=int, default=24)
    parser.add_argument("--spacing-mm", type=float, default=0.5)
    parser.add_argument("--preset", help="settings of the network: small, default, large")
    parser.add_argument("--architecture", help="in place of the preset's")
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS))
    parser.add_argument("--make", type=Path, metavar="STUDY", help="make it, measure nothing")
    parser.add_argument("--patch", type=int, nargs=2)
    parser.add_argument("--batch", type=int)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--loaders", type=int, default=min(8, os.cpu_count() or 1))
    parser.add_argument("--warm-up", type=int, default=2)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--way", nargs="+", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.way:
        sys.stdout.write("\n" + json.dumps(measure(given)) + "\n")
        return
    if given.make:
        given.study = make_study(given.make, given.patients, given.spacing_mm)
        if given.root and NNUNET in ways_of(given):
            prepare_nnunet(given)
        return
    with tempfile.TemporaryDirectory() as temporary:
        given.study = given.study or make_study(
            Path(temporary) / "study", given.patients, given.spacing_mm
        )
        given.root = given.root or Path(temporary) / "nnunet"
        ways = ways_of(given)
        if {NNUNET, NNUNET_LIMIT} & set(ways):
            prepare_nnunet(given)
        rows = [
            {"way": way, **row}
            for group in processes(ways, given.device)
            for way, row in zip(group, in_own_process(group, given), strict=True)
        ]
    table = pd.DataFrame(rows)
    table.insert(1, "device", given.device)
    table.insert(2, "patch", "x".join(map(str, given.patch or settings(given).patch or ("all",))))
    table.insert(3, "batch", given.batch or settings(given).batch_size)
    if given.out:
        write_csv(given.out, table)
    sys.stdout.write(table.round(3).to_string(index=False) + "\n")


def in_own_process(ways: list[str], given: argparse.Namespace) -> list[dict[str, float]]:
    arguments = [sys.executable, __file__, "--way", *ways]
    for name, value in vars(given).items():
        if value is None or name in ("way", "out", "make", "ways"):
            continue
        values = value if isinstance(value, list) else [value]
        arguments += [f"--{name.replace('_', '-')}", *map(str, values)]
    done = subprocess.run(arguments, check=True, stdout=subprocess.PIPE, text=True)
    measured: list[dict[str, float]] = json.loads(done.stdout.strip().rpartition("\n")[2])
    return measured


if __name__ == "__main__":
    main()

r"""nnU-Net v2 on a study's images and folds, measured by mammoroi's own ``agree``.

Needs a study whose images are prepared (``mammoroi train`` was started) and ``nnunetv2``::

    python benchmarks/nnunet_reference.py STUDY --root nnunet --cpu-minutes 8 --threads 1
    python benchmarks/nnunet_reference.py STUDY --root nnunet --device cuda       # as published

Every fold's network is trained by nnU-Net's own trainer with its own plan, augmentation, loss and
optimiser, and draws the masks of the fold's validation patients with nnU-Net's own predictor; test
patients' come from all folds together. What is changed, and only with ``--cpu-minutes`` or
``--minutes``, is how long it trains: ``num_epochs``, ``num_iterations_per_epoch`` and
``num_val_iterations_per_epoch`` (published: 1000, 250, 50), so that the polynomial learning rate
comes to its end when the budget does. The length is measured on each fold's first iterations, which
are thrown away; up to 5000 iterations are divided into 20 epochs, more into epochs of 250. The last
epoch's weights are taken, as nnU-Net does, so that no patient who is predicted chooses anything.
With ``--together N`` so many folds are trained at the same time, each in a process of its own with
``--loaders`` of its own, and measured so. nnU-Net compiles its network on a GPU, a minute or more
per fold; ``nnUNet_compile=f`` in the environment is its own switch to leave that out.
``--memory-gb`` is nnU-Net's own ``gpu_memory_target_in_gb``, which decides patch and batch.

The probability is brought to the mammogram's grid by the study's own mapping, as mammoroi's is, and
cut at 0.5. Two result folders follow, each laid out as a study for ``agree``: ``nnunet`` (all
regions) and ``nnunet-postprocessed`` (mammoroi's rules: at most ``max_components`` regions of at
least ``minimum_area_mm2``). Here and for the marks of detection that least area is the 25 mm2 of
the recipes of :mod:`segmentation_recipes`, with which nnU-Net is compared. ``results.csv`` has a
row per measure and folder; ``training.csv`` a row per fold: iterations, seconds, patch, batch. A
fold that is done is kept: start the same command again to go on.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from memory import peak_memory_mb
from nnunet_data import (
    DATASET,
    ENDING,
    build_predictor,
    build_trainer,
    environment,
    export,
    model_folder,
    plan,
    predict,
    read_plan,
)
from segmentation_recipes import SMALL

from mammoroi.cohort.split import load_splits
from mammoroi.files import read_csv, read_json, write_csv, write_json
from mammoroi.imaging.mask import write_mask
from mammoroi.segmentation.agreement import AUTOMATIC, agree
from mammoroi.segmentation.candidates import find_candidates
from mammoroi.segmentation.config import SegmentationConfig
from mammoroi.segmentation.folds import drawing_folds
from mammoroi.segmentation.pixel_calibration import write_probability
from mammoroi.segmentation.postprocess import draw_mask
from mammoroi.segmentation.predict import write_candidates, write_results
from mammoroi.segmentation.prepare import load_mapping
from mammoroi.segmentation.uncertainty import uncertainty

PUBLISHED = (1000, 250, 50)
RULES = SegmentationConfig(minimum_area_mm2=SMALL["minimum_area_mm2"], overlays=0)
"""How masks and marks are taken from a probability."""
OVERHEAD = 0.05
"""Share of a budget that is kept for checkpoints and plots between epochs."""
WARM_UP, MEASURED = {"cpu": 1, "cuda": 10}, {"cpu": 3, "cuda": 30}
"""Iterations before and while an iteration's length is measured."""


def say(text: str) -> None:
    sys.stderr.write(text + "\n")


def schedule(iterations: int) -> tuple[int, int, int]:
    """Give epochs, training and validation iterations per epoch for a number of iterations.

    Published are 1000 epochs of 250 and 50. Up to 5000 iterations become 20 epochs, so that the
    learning rate, which changes from epoch to epoch, still falls smoothly; the ratio of 5 stays.
    """
    epochs, training, validation = PUBLISHED
    if iterations >= 20 * training:
        return min(epochs, iterations // training), training, validation
    training = max(1, iterations // 20)
    return max(1, min(20, iterations // training)), training, max(1, round(training / 5))


def clock(on_cpu: bool) -> float:
    return time.process_time() if on_cpu else time.perf_counter()


def seconds_per_iteration(root: Path, fold: int, device: str, on_cpu: bool) -> tuple[float, float]:
    """Measure a training and a validation iteration, loading included, with a network thrown away.

    Measured on the fold's images; nothing of it is kept.
    """
    import torch

    trainer = build_trainer(root, fold, device)
    trainer.disable_checkpointing = True
    trainer.on_train_start()
    trainer.on_train_epoch_start()

    def timed(step: Any, loader: Any) -> float:
        times = []
        for number in range(WARM_UP[device] + MEASURED[device]):
            begin = clock(on_cpu)
            step(next(loader))
            if number >= WARM_UP[device]:
                times.append(clock(on_cpu) - begin)
        return float(np.mean(times))

    training = timed(trainer.train_step, trainer.dataloader_train)
    trainer.on_validation_epoch_start()
    with torch.no_grad():
        validation = timed(trainer.validation_step, trainer.dataloader_val)
    trainer.on_train_end()
    shutil.rmtree(trainer.output_folder)
    return training, validation


def length_of(given: argparse.Namespace, fold: int) -> tuple[int, int, int]:
    """Give a fold's epochs and iterations per epoch: as published, or what the budget is worth."""
    on_cpu = given.cpu_minutes is not None
    if not on_cpu and given.minutes is None:
        return PUBLISHED
    file = given.root / f"length-{fold}.json"
    if not file.exists():
        budget = 60 * (given.cpu_minutes if on_cpu else given.minutes)
        training, validation = seconds_per_iteration(given.root, fold, given.device, on_cpu)
        length = schedule(int((1 - OVERHEAD) * budget / (training + validation / 5)))
        measured = {"training_s": training, "validation_s": validation, "length": list(length)}
        write_json(file, measured)
        say(f"fold {fold}: {training:.3f} s an iteration, {validation:.3f} s one of validation")
    epochs, training_iterations, validation_iterations = read_json(file)["length"]
    return epochs, training_iterations, validation_iterations


def train_together(given: argparse.Namespace, folds: list[int]) -> None:
    """Train folds in processes of their own, ``--together`` at the same time."""
    options = ("device", "threads", "loaders", "cpu_minutes", "minutes")
    command = [sys.executable, __file__, str(given.study), "--root", str(given.root)]
    for name in options:
        if getattr(given, name) is not None:
            command += [f"--{name.replace('_', '-')}", str(getattr(given, name))]
    for first in range(0, len(folds), given.together):
        some = folds[first : first + given.together]
        started = [subprocess.Popen([*command, "--folds", str(fold)]) for fold in some]
        codes = {fold: process.wait() for fold, process in zip(some, started, strict=True)}
        if any(codes.values()):
            raise SystemExit(f"nnU-Net's training failed: exit codes by fold {codes}")


def train_fold(root: Path, fold: int, device: str, length: tuple[int, int, int]) -> dict[str, Any]:
    """Train a fold, or keep it; give its row of ``training.csv``."""
    target = model_folder(root) / f"fold_{fold}"
    done = target / "training.json"
    if done.exists():
        kept: dict[str, Any] = read_json(done)
        return kept
    trainer = build_trainer(root, fold, device)
    trainer.num_epochs, trainer.num_iterations_per_epoch, trainer.num_val_iterations_per_epoch = (
        length
    )
    latest = target / "checkpoint_latest.pth"
    if latest.exists():  # nnU-Net's own way to go on, every 50 epochs
        trainer.load_checkpoint(str(latest))
    wall, cpu = time.perf_counter(), time.process_time()
    trainer.run_training()
    row = {
        "fold": fold,
        "epochs": length[0],
        "iterations": length[0] * length[1],
        "validation_iterations": length[0] * length[2],
        "wall_s": time.perf_counter() - wall,
        "cpu_s": time.process_time() - cpu,
        "peak_rss_mb": peak_memory_mb(),
        "patch": list(trainer.configuration_manager.patch_size),
        "batch_size": trainer.batch_size,
        "device": device,
    }
    write_json(done, row)
    return row


def result_folder(study: Path, out: Path) -> Path:
    """Make a folder that ``agree`` takes for a study: its tables, and its prepared images."""
    out.mkdir(parents=True, exist_ok=True)
    for name in ("cohort.csv", "patients.csv", "cohort.json", "splits.json"):
        if (study / name).exists():
            shutil.copy(study / name, out / name)
    (out / "segmentation").mkdir(exist_ok=True)
    link = out / "segmentation" / "prepared"
    link.unlink(missing_ok=True)
    link.symlink_to((study / "segmentation" / "prepared").resolve())
    return out


def draw_masks(study: Path, root: Path, cases: pd.DataFrame, device: str, outs: list[Path]) -> None:
    """Draw all masks, cross-fitted, into both result folders."""
    splits = load_splits(study)
    rules = [(0, 0.0), (RULES.max_components, RULES.minimum_area_mm2)]
    rows: list[list[dict[str, Any]]] = [[], []]
    candidates: list[dict[str, Any]] = [{}, {}]
    predictors: dict[tuple[int, ...], Any] = {}
    rows_with_folds = [
        (drawing_folds(splits, row.patient_id), row) for row in cases.itertuples(index=False)
    ]
    # In the folds' order, so that each fold's network is loaded once.
    for folds, (case, image_id, patient, part) in sorted(rows_with_folds, key=lambda pair: pair[0]):
        if folds not in predictors:
            predictors = {folds: build_predictor(root, folds, device)}
        images = root / "raw" / DATASET / ("imagesTr" if part == "train" else "imagesTs")
        working = predict(predictors[folds], images / f"{case}_0000{ENDING}")
        mapping = load_mapping(study, image_id)
        original = mapping.to_original(working)
        for number, (components, area) in enumerate(rules):
            mask = draw_mask(original, mapping.pixel_area_mm2, 0.5, components, area)
            write_mask(outs[number] / "masks" / "automatic" / f"{image_id}.png", mask)
            write_probability(outs[number] / "masks" / "probability" / f"{image_id}.png", working)
            candidates[number][image_id] = find_candidates(
                original, mapping.pixel_area_mm2, RULES.minimum_area_mm2
            )
            rows[number].append(
                {
                    "image_id": image_id,
                    "patient_id": patient,
                    "fold": "test" if patient in splits.test else str(folds[0]),
                    "found": bool(mask.any()),
                    "area_mm2": float(mask.sum() * mapping.pixel_area_mm2),
                    "mean_probability": float(original[mask].mean()) if mask.any() else None,
                    **vars(uncertainty(original, mask, [working >= 0.5])),
                    "model_sha256": "nnU-Net",
                }
            )
    for number, out in enumerate(outs):
        write_results(out / "masks", list(rows[number]), [])
        write_candidates(out / "masks" / "candidates.csv", candidates[number])


def summarise(outs: list[Path]) -> pd.DataFrame:
    """Collect both folders' agreement and detection over all images.

    ``sensitivity at N`` is the share of lesions found at N false positives per image.
    """
    tables = []
    for out in outs:
        overlap = read_csv(out / "agreement_summary.csv")
        mine = (overlap["comparison"] == AUTOMATIC) & (overlap["group"] == "all")
        tables.append(overlap[mine].assign(method=out.name))
        froc = read_csv(out / "froc_summary.csv", dtype={"fp_per_image": str})
        froc = froc[froc["group"] == "all"]
        tables.append(
            pd.DataFrame(
                {
                    "metric": "sensitivity at " + froc["fp_per_image"],
                    "n": froc["n_lesions"],
                    "mean": froc["sensitivity"],
                    "mean_lower": froc["lower"],
                    "mean_upper": froc["upper"],
                    "method": out.name,
                }
            )
        )
    return pd.concat(tables, ignore_index=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("study", type=Path)
    parser.add_argument("--root", type=Path, required=True, help="folder of nnU-Net's files")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--loaders", type=int, help="processes that augment; default 0 on a CPU")
    parser.add_argument("--cpu-minutes", type=float, help="budget per fold, of CPU time")
    parser.add_argument("--minutes", type=float, help="budget per fold, of wall time")
    parser.add_argument("--memory-gb", type=float, help="nnU-Net's gpu_memory_target_in_gb")
    parser.add_argument("--together", type=int, default=1, help="folds at the same time")
    parser.add_argument("--folds", type=int, nargs="*", help="train these, predict nothing")
    given = parser.parse_args()
    loaders = given.loaders if given.loaders is not None else (given.device != "cpu") * 12
    environment(given.root, given.threads, min(loaders, os.cpu_count() or 1))
    log = given.root / "log.txt"
    with log.open("a", encoding="utf-8") as stream, redirect_stdout(stream):
        run(given)
    say(f"nnU-Net's own output is in {log}")


def run(given: argparse.Namespace) -> None:
    import torch

    if (given.root / "cases.csv").exists() and (given.root / "planned").exists():
        cases = read_csv(given.root / "cases.csv", dtype=str)
    else:
        cases = export(given.study, given.root)
        plan(given.study, given.root, cases, given.memory_gb)
        (given.root / "planned").touch()
    planned = read_plan(given.root)
    say(f"planned: patch {planned['patch_size']}, batch {planned['batch_size']}")
    torch.manual_seed(15)
    np.random.seed(15)  # noqa: NPY002 - nnU-Net's augmentation draws from it
    folds = list(range(len(load_splits(given.study).folds))) if given.folds is None else given.folds
    if given.together > 1 and len(folds) > 1:
        train_together(given, folds)
    rows = []
    for fold in folds:
        row = train_fold(given.root, fold, given.device, length_of(given, fold))
        rows.append(row)
        say(f"fold {fold}: {row['iterations']} iterations, {row['cpu_s']:.0f} s of CPU")
    if given.folds is not None:
        return
    write_csv(given.root / "training.csv", pd.DataFrame(rows))
    outs = [
        result_folder(given.study, given.root / name) for name in ("nnunet", "nnunet-postprocessed")
    ]
    draw_masks(given.study, given.root, cases, given.device, outs)
    for out in outs:
        agree(RULES, out)
    results = summarise(outs).drop(columns=["comparison", "group"])
    write_csv(given.root / "results.csv", results)
    shown = results[results["metric"].isin(["dice", "hd95_mm", "found"])]
    say(shown.to_string(index=False))


if __name__ == "__main__":
    main()

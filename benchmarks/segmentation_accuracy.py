"""How well recipes of training segment real mammograms: one table, the same folds for all.

Every recipe is a set of settings of ``segmentation``, run through the product's own stages
(``train``, ``segment``, ``agree``) with cross-fitting over all patients: no test set, each mask by
a network that never saw the patient. Recipes that differ only in how masks are drawn share their
networks; one with more networks per fold starts from those of one with fewer, trains the others,
and its cost is that of both. The data are the pictures of CDD-CESM beside ``index.csv`` in
``MAMMOROI_DATA/cdd-cesm``; ``mass`` are the images whose report names a mass,
``all`` are all findings, both where the spacing can be estimated.

    MAMMOROI_DATA=... python benchmarks/segmentation_accuracy.py OUT --recipes plain small

``OUT/<cohort>/<recipe>`` are study folders; ``OUT/<cohort>.csv`` has a row per recipe and group of
images (all of the cohort; those whose report names a mass): mean and median Dice, mean and median
HD95, share of masks that touch the lesion, sensitivity at one false positive per image, each with a
95 % bootstrap interval over patients; the mean difference of the Dice to that of the recipe
``small`` where it is there; CPU seconds per fold, those of networks that were shared included. The
network from which one recipe starts is trained on phantoms first, in ``OUT/phantoms``; its time is
not counted.

``--together N`` runs N recipes at the same time, each in a process of its own whose output goes to
``OUT/<cohort>-<recipe>.txt``: on a GPU, which one small network leaves mostly idle. With
``--minutes`` those that have not ended by then are ended; started again, they go on.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from segmentation_recipes import (
    ALL_IMAGES,
    PREPARED,
    RECIPES,
    SMALL,
    TRAINED_HERE,
    Preparation,
)

from mammoroi.cohort.accept import accept
from mammoroi.cohort.config import CohortConfig
from mammoroi.cohort.importers import import_images
from mammoroi.cohort.split import load_splits
from mammoroi.cohort.synthetic import synthesize
from mammoroi.cohort.synthetic_config import SyntheticConfig
from mammoroi.configuration import configured, find_config
from mammoroi.files import read_csv, read_json, write_csv, write_json
from mammoroi.imaging.mammogram import Mammogram
from mammoroi.segmentation import prepare as preparing
from mammoroi.segmentation.agreement import agree
from mammoroi.segmentation.bootstrap import mean_and_median
from mammoroi.segmentation.config import SegmentationConfig
from mammoroi.segmentation.fold_jobs import fold_job, make_plan, roles
from mammoroi.segmentation.outline import has_outline, outline_config
from mammoroi.segmentation.predict import segment
from mammoroi.segmentation.prepare import prepare
from mammoroi.segmentation.start import start_card
from mammoroi.segmentation.train import train, train_fold
from mammoroi.segmentation.weights import network_folders

DRAWING = (
    "threshold", "max_components", "minimum_area_mm2", "postprocessing", "calibrate",
    "test_time_scales",
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--cohort", choices=("mass", "all"), default="all")
    parser.add_argument("--recipes", nargs="+", default=["plain", "small"], metavar="RECIPE")
    parser.add_argument("--workers", type=int, default=2, help="folds at the same time")
    parser.add_argument("--together", type=int, default=1, help="recipes at the same time")
    parser.add_argument("--minutes", type=float, help="end what is not done by then")
    parser.add_argument("--no-table", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    cohort = make_cohort(given.out, given.cohort)
    if given.together > 1:
        side_by_side(given)
        tabulate(given.out / given.cohort, masses(given.out))
        return
    for name in given.recipes:
        recipe = RECIPES[name]
        if recipe.get("start_from") == TRAINED_HERE:
            recipe = recipe | {"start_from": str(phantoms_network(given.out, given.workers))}
        if recipe.get("pretraining_cohort") == ALL_IMAGES:
            recipe = recipe | {"pretraining_cohort": str(make_cohort(given.out, "all"))}
        config = SegmentationConfig(**recipe, workers=given.workers, patience=0)
        run(config, cohort, given.out / given.cohort, name)
        if not given.no_table:
            tabulate(given.out / given.cohort, masses(given.out))


def folder_of(recipe: str) -> str:
    """Name the study folder of a recipe."""
    return recipe.replace(", ", "--").replace(" ", "-")


def side_by_side(given: argparse.Namespace) -> None:
    """Run every recipe in a process of its own, so many at the same time."""
    end = time.monotonic() + 60 * given.minutes if given.minutes else float("inf")
    masses(given.out)  # all of them need it: made once, before
    if any(RECIPES[name].get("start_from") == TRAINED_HERE for name in given.recipes):
        phantoms_network(given.out, given.workers)
    waiting = list(given.recipes)
    running: dict[str, subprocess.Popen[bytes]] = {}
    while (waiting or running) and time.monotonic() < end:
        while waiting and len(running) < given.together:
            name = waiting.pop(0)
            command = [sys.executable, __file__, str(given.out), "--cohort", given.cohort]
            command += ["--workers", str(given.workers), "--recipes", name, "--no-table"]
            with (given.out / f"{given.cohort}-{folder_of(name)}.txt").open("wb") as log:
                running[name] = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        time.sleep(0.2)
        for name in [name for name, process in running.items() if process.poll() is not None]:
            code = running.pop(name).returncode
            print(f"{name}: {'done' if code == 0 else f'failed, {code}'}", flush=True)
    for process in running.values():
        process.kill()
    for name in (*running, *waiting):
        print(f"{name}: no time left", flush=True)


def make_cohort(out: Path, name: str) -> Path:
    """Import the pictures once."""
    cohort = out / f"cohort-{name}"
    if not (cohort / "cohort.csv").exists():
        data = Path(os.environ["MAMMOROI_DATA"]) / "cdd-cesm"
        own = ["--filter", "approx_original_height_px > 0"] if name == "all" else []
        files = {"images": "images", "masks": "masks", "table": "index.csv"}
        paths = [word for key, file in files.items() for word in (f"--{key}", str(data / file))]
        config = find_config("import-cdd-cesm-512")
        configured(import_images, "import", config, [*paths, *own, "--out", str(cohort)])
    return cohort


def phantoms_network(out: Path, workers: int) -> Path:
    """Train the first of five folds of 150 phantom patients as ``small``, or keep it.

    Returns
    -------
    Path
        The network's folder.
    """
    cohort, study = out / "cohort-phantoms", out / "phantoms"
    config = SegmentationConfig(**SMALL, workers=workers, patience=0)
    if trained_with(config, study / "segmentation"):
        return study / "segmentation" / "fold-0"
    if not (study / "splits.json").exists():
        synthesize(SyntheticConfig(n_patients=150, spacing_mm=0.5, workers=workers), cohort)
        accept(CohortConfig(cohort, test_size=0), study)
    prepared = prepare(config, study)
    index = read_csv(prepared / "index.csv", dtype={"image_id": str, "patient_id": str})
    job = fold_job(config, load_splits(study), 0, index)
    write_csv(prepared.parent / "folds.csv", roles([job.sets]))
    return train_fold(config, prepared.parent, job, make_plan(config, index))


def masses(out: Path) -> set[str]:
    """Name the images whose report names a mass."""
    return set(read_csv(make_cohort(out, "mass") / "cohort.csv", dtype=str)["image_id"])


def run(config: SegmentationConfig, cohort: Path, out: Path, name: str) -> None:
    """Train, draw and compare, or keep what is there."""
    study = out / folder_of(name)
    if (study / "agreement_summary.csv").exists():
        return
    accept(CohortConfig(cohort, test_size=0, stratify=()), study)
    if name in PREPARED:
        prepare_otherwise(PREPARED[name], config, study)
    shared = same_networks(config, out) if name not in PREPARED else None
    started, before = time.perf_counter(), cpu_seconds()
    if shared is not None:
        shutil.copytree(shared / "segmentation", study / "segmentation", dirs_exist_ok=True)
    train(config, study)
    cost = {"cpu_s": cpu_seconds() - before, "wall_s": time.perf_counter() - started}
    if shared is not None:
        own = cost if missing(config, shared / "segmentation") else {}
        theirs = read_json(shared / "cost.json")
        cost = {name: theirs[name] + own.get(name, 0) for name in cost}
    segment(config, study)
    agree(replace(config, overlays=6), study)
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    write_json(study / "cost.json", {**cost, "name": name, "device": device})


def prepare_otherwise(change: Preparation, config: SegmentationConfig, study: Path) -> None:
    """Prepare a study's images in another way than the product does; ``train`` keeps them."""
    usual = preparing.working_array

    def changed(mammogram: Mammogram, spacing_mm: float) -> Any:
        _, mapping, limits = usual(mammogram, spacing_mm)
        mapping, limits = change(mammogram, mapping, limits)
        mapping = mapping.at(spacing_mm)
        return preparing.scaled_array(mammogram, mapping, limits), mapping, limits

    preparing.working_array = changed
    try:
        prepare(replace(config, workers=1), study)  # in this process
    finally:
        preparing.working_array = usual


def same_networks(config: SegmentationConfig, out: Path) -> Path | None:
    """Find a study whose networks are some of those that the settings ask for, the more the better.

    A study with a second stage lends to none with one stage: its cost is that of both.
    """
    found: list[Path] = []
    for study in out.glob("*/"):
        networks = study / "segmentation"
        done = study / "cost.json"
        if not done.exists() or not trained_with(config, networks):
            continue
        if read_json(done).get("name") in PREPARED:
            continue
        second = has_outline(networks) <= (config.outline_spacing_mm is not None)
        if second and networks_per_fold(networks) <= config.networks_per_fold:
            found.append(study)

    def effort(study: Path) -> tuple[int, bool]:
        return missing(config, study / "segmentation"), has_outline(study / "segmentation")

    return min(found, key=effort, default=None)


def networks_per_fold(networks: Path) -> int:
    """Count the networks of each fold."""
    return max(name.number for name in network_folders(networks))


def missing(config: SegmentationConfig, networks: Path) -> int:
    """Count the networks per fold that the settings ask for beyond those of a folder."""
    wanted = config.networks_per_fold
    lacking = wanted - networks_per_fold(networks)
    if config.outline_spacing_mm is not None:
        second = networks / "outline"
        there = has_outline(networks) and trained_with(outline_config(config), second)
        lacking += wanted - (networks_per_fold(second) if there else 0)
    return lacking


def trained_with(config: SegmentationConfig, folder: Path) -> bool:
    """Whether networks were trained with these settings, however masks were drawn."""
    cards = sorted(folder.glob("fold-*/model.json"))
    if not cards:
        return False
    card = read_json(cards[0])
    theirs = SegmentationConfig(**card["settings"])
    without = {name: getattr(config, name) for name in DRAWING}
    same_start = card.get("started_from") == start_card(config, 0).get("started_from")
    others = bool((card.get("pretraining") or {}).get("images_without_mask"))
    same_start &= others == (config.pretraining_cohort is not None)
    return same_start and replace(theirs, **without).training() == config.training()


def cpu_seconds() -> float:
    """CPU time of this process and of those that it waited for."""
    uses = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(use.ru_utime + use.ru_stime for use in uses)


def tabulate(out: Path, masses: set[str]) -> None:
    """Write the table of all recipes that are there."""
    rows = []
    for file in sorted(out.glob("*/cost.json"), key=lambda path: path.stat().st_mtime):
        study, cost = file.parent, read_json(file)
        table = read_csv(study / "agreement.csv", dtype={"image_id": str, "patient_id": str})
        froc = read_csv(study / "froc_summary.csv", dtype={"fp_per_image": str})
        at_one = froc[(froc["group"] == "all") & (froc["fp_per_image"] == "1")].iloc[0]
        for group, chosen in (("all", table), ("mass", table[table["image_id"].isin(masses)])):
            row: dict[str, Any] = {"recipe": cost["name"], "group": group, "images": len(chosen)}
            for metric in ("dice", "hd95_mm", "found"):
                known = chosen[chosen[metric].notna()]
                values = known[metric].astype(float).to_numpy()
                owners = known["patient_id"].to_numpy(dtype=object)
                mean, median = mean_and_median(values, owners, 1000, 15)
                row[f"{metric}_mean"] = shown(mean.value, mean.lower, mean.upper)
                if metric != "found":
                    row[f"{metric}_median"] = shown(median.value, median.lower, median.upper)
            if (base := dice_of(out / "small")) is not None:
                gain = chosen.set_index("image_id")["dice"] - base
                owners = chosen["patient_id"].to_numpy(dtype=object)
                mean, _ = mean_and_median(gain[chosen["image_id"]].to_numpy(), owners, 1000, 15)
                row["gain_over_small"] = shown(mean.value, mean.lower, mean.upper)
            if len(chosen) == len(table):
                limits = at_one["sensitivity"], at_one["lower"], at_one["upper"]
                row["sensitivity_at_1_fp"] = shown(*limits)
            row |= {f"{kind}_s_per_fold": round(cost[f"{kind}_s"] / 5) for kind in ("cpu", "wall")}
            rows.append(row | {"device": cost["device"]})
    found = pd.DataFrame(rows)
    write_csv(out.with_suffix(".csv"), found)
    print(found.to_string(index=False), flush=True)


def dice_of(study: Path) -> pd.Series | None:
    """Give the Dice of each image of a study that is there."""
    file = study / "agreement.csv"
    return (
        read_csv(file, dtype={"image_id": str}).set_index("image_id")["dice"]
        if file.exists()
        else None
    )


def shown(value: float, lower: float, upper: float) -> str:
    """Give an estimate and its interval in three digits."""
    return f"{value:.3g} ({lower:.3g}-{upper:.3g})"


if __name__ == "__main__":
    torch.set_num_threads(1)
    np.seterr(all="ignore")
    main()

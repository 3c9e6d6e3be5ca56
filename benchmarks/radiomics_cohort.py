r"""A study of the paper's size on full-size mammograms: time, and memory from second to second.

Phantoms are drawn at 0.07 mm and laid on a detector of 4096 x 3328 pixels (DICOM, 27 MB each). So
that a few base images make a large study, each is used several times, every time with the mask
shifted by another few pixels: no case equals another, and each image is read for each of its
cases. First single cases are timed (``service.txt`` in ``SCRATCH`` holds their CPU seconds, which
``radiomics_queue.py --service`` takes), then the same cases run on one process and on two, then the
whole study on two::

    python benchmarks/radiomics_cohort.py SCRATCH --patients 838 --bases 40 --seconds 1800

``SCRATCH`` is filled once (about 2.2 GB for 40 base patients) and reused. When ``--seconds`` is too
short for the whole study, as many cases as fit are run and the rest is extrapolated, and said so.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
from joblib import Parallel, delayed
from rich.console import Console

os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
DETECTOR, SPACING_MM = (4096, 3328), 0.07
EXTRACT = """
import sys
from pathlib import Path
from mammoroi.radiomics.config import RadiomicsConfig
from mammoroi.radiomics.extract import extract
extract(RadiomicsConfig(preset=sys.argv[2], workers=int(sys.argv[3])), Path(sys.argv[1]))
"""
console = Console(width=120)


def draw_bases(scratch: Path, n_patients: int) -> Path:
    from mammoroi.cohort.synthetic import synthesize
    from mammoroi.cohort.synthetic_config import SyntheticConfig

    cohort, bases = scratch / f"cohort-{n_patients}", scratch / f"bases-{n_patients}"
    if not (bases / "done").exists():
        config = SyntheticConfig(n_patients, spacing_mm=SPACING_MM, reader2_fraction=0.0)
        synthesize(config, cohort)
        rows = pd.read_csv(cohort / "cohort.csv").to_dict("records")
        for folder in ("images", "masks"):
            (bases / folder).mkdir(parents=True, exist_ok=True)
        Parallel(n_jobs=2)(delayed(enlarge)(cohort, bases, row) for row in rows)
        (bases / "done").touch()
    return bases


def enlarge(cohort: Path, bases: Path, row: dict[str, str]) -> None:
    from mammoroi.cohort.phantom_dicom import ImageName, write_phantom_dicom
    from mammoroi.imaging.mask import read_mask, write_mask
    from mammoroi.imaging.read import read_mammogram

    mammogram = read_mammogram(cohort / row["image"])
    mask = read_mask(cohort / row["mask"], mammogram.pixels.shape)
    margins = [
        ((whole - part) // 2, whole - part - (whole - part) // 2)
        for whole, part in zip(DETECTOR, mask.shape, strict=True)
    ]
    margins[1] = (0, sum(margins[1])) if row["laterality"] == "L" else (sum(margins[1]), 0)
    image = np.pad(mammogram.pixels, margins).astype(np.uint16)
    name = ImageName(row["image_id"], row["patient_id"], row["view"], row["laterality"], 1, 50)
    write_phantom_dicom(bases / "images" / f"{row['image_id']}.dcm", image, name, SPACING_MM, 0)
    write_mask(bases / "masks" / f"{row['image_id']}.png", np.pad(mask, margins))


def make_study(scratch: Path, bases: Path, n_patients: int) -> Path:
    """``cohort.csv`` with two views of every patient, of which many share a base image."""
    study = scratch / f"study-{n_patients}"
    if (study / "cohort.csv").exists():
        return study
    images = sorted((bases / "images").glob("*.dcm"))
    (study / "masks").mkdir(parents=True, exist_ok=True)
    jobs = [(k, images[k % len(images)]) for k in range(2 * n_patients)]
    work = (delayed(shifted_mask)(study, bases, k, p, k // len(images)) for k, p in jobs)
    rows = Parallel(n_jobs=2)(work)
    pd.DataFrame(rows).to_csv(study / "cohort.csv", index=False)
    patients = pd.DataFrame({"patient_id": sorted({row["patient_id"] for row in rows})})
    patients.to_csv(study / "patients.csv", index=False)
    return study


def shifted_mask(study: Path, bases: Path, k: int, image: Path, shift: int) -> dict[str, str]:
    from mammoroi.imaging.mask import read_mask, write_mask

    mask = read_mask(bases / "masks" / f"{image.stem}.png", DETECTOR)
    path = study / "masks" / f"I{k:05d}.png"
    write_mask(path, np.roll(mask, (2 * shift, 3 * shift), axis=(0, 1)))
    _, laterality, view = image.stem.split("-")
    return {
        "image_id": f"I{k:05d}",
        "patient_id": f"P{k // 2:05d}",
        "view": view,
        "laterality": laterality,
        "image": str(image.resolve()),
        "mask": str(path.resolve()),
    }


def time_cases(study: Path, preset_name: str, n_images: int = 24) -> list[float]:
    """CPU seconds of reading an image and extracting its ROI, and of finding it in the cache."""
    from mammoroi.cohort.cohort import load_cohort
    from mammoroi.radiomics.config import RadiomicsConfig
    from mammoroi.radiomics.count import check_count
    from mammoroi.radiomics.extract import job_of
    from mammoroi.radiomics.jobs import Plan, run_job
    from mammoroi.radiomics.presets import load_preset

    preset, records = load_preset(preset_name), study / "features" / "timed"
    shutil.rmtree(records, ignore_errors=True)
    plan = Plan(preset, check_count(preset), RadiomicsConfig(), records)
    cohort = load_cohort(study)
    rows = cohort.images.head(n_images + 1).to_dict("records")
    jobs = [job_of(cohort, study, row) for row in rows]
    times: dict[str, list[float]] = {"computed": [], "found again": []}
    for kind in times:
        for job in jobs:
            started = time.process_time()
            (case,) = run_job(job, plan)
            times[kind].append(time.process_time() - started)
            if case.failure is not None:
                raise SystemExit(str(case.failure))
    for kind, seconds in times.items():
        kept = np.array(seconds[1:])  # the first of all imports what it needs
        console.print(
            f"{kind}: {kept.mean():.3f} CPU s per image ({kept.min():.3f} to {kept.max():.3f})"
        )
    return times["computed"][1:]


def part_of(study: Path, n_images: int) -> Path:
    part = study.parent / f"{study.name}-first-{n_images}"
    part.mkdir(exist_ok=True)
    pd.read_csv(study / "cohort.csv").head(n_images).to_csv(part / "cohort.csv", index=False)
    shutil.copy(study / "patients.csv", part)
    return part


def run(study: Path, preset: str, workers: int) -> tuple[float, pd.DataFrame]:
    """Extract from an empty cache: wall seconds, and memory of all processes by time."""
    shutil.rmtree(study / "features", ignore_errors=True)
    command = [sys.executable, "-c", EXTRACT, str(study), preset, str(workers)]
    started, samples = time.perf_counter(), []
    process = subprocess.Popen(command)
    tree = psutil.Process(process.pid)
    while process.poll() is None:
        memory = [rss(child) for child in (tree, *tree.children(recursive=True))]
        samples.append((time.perf_counter() - started, sum(memory), max(memory)))
        time.sleep(0.2)
    if process.returncode:
        raise SystemExit(f"the extraction ended with {process.returncode}")
    columns = ["seconds", "all_mb", "largest_process_mb"]
    return time.perf_counter() - started, pd.DataFrame(samples, columns=columns)


def rss(process: psutil.Process) -> float:
    try:
        return process.memory_info().rss / 2**20
    except psutil.NoSuchProcess:
        return 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scratch", type=Path)
    parser.add_argument("--patients", type=int, default=838)
    parser.add_argument("--bases", type=int, default=40, help="patients that are drawn")
    parser.add_argument("--preset", default="mammography-1311")
    parser.add_argument("--seconds", type=float, default=3600, help="for the whole study")
    parser.add_argument("--sample", type=int, default=200, help="images for one against two")
    arguments = parser.parse_args()
    arguments.scratch.mkdir(parents=True, exist_ok=True)
    bases = draw_bases(arguments.scratch, arguments.bases)
    study = make_study(arguments.scratch, bases, arguments.patients)

    seconds = time_cases(study, arguments.preset)
    np.savetxt(arguments.scratch / "service.txt", seconds)
    small, part = part_of(study, 4), part_of(study, arguments.sample)
    walls = {}
    for workers in (1, 2):  # start-up is measured apart, and subtracted
        start = run(small, arguments.preset, workers)[0]
        walls[workers] = run(part, arguments.preset, workers)[0] - start
    n = arguments.sample - 4
    console.print(
        f"{n} images: one process {walls[1]:.1f} s, two {walls[2]:.1f} s: "
        f"{walls[1] / walls[2]:.2f} times; {walls[1] / n:.3f} s per image on one"
    )
    whole = 2 * arguments.patients
    fitting = min(whole, int(arguments.seconds / (walls[2] / n)))
    chosen = study if fitting == whole else part_of(study, fitting)
    wall, memory = run(chosen, arguments.preset, 2)
    memory.to_csv(arguments.scratch / "memory.csv", index=False)
    summary = json.loads((chosen / "features" / "summary.json").read_text())
    console.print(f"{fitting} of {whole} images on two processes: {wall:.0f} s; {summary}")
    if fitting < whole:
        console.print(f"extrapolated to {whole}: {wall * whole / fitting:.0f} s")
    steady = memory[memory["seconds"] > memory["seconds"].max() * 0.2]
    slope = np.polyfit(steady["seconds"], steady["all_mb"], 1)[0] * wall / fitting * 1000
    console.print(
        f"memory of all processes: peak {memory['all_mb'].max():.0f} MB, of one "
        f"{memory['largest_process_mb'].max():.0f} MB; slope {slope:+.1f} MB per 1,000 images"
    )
    size = sum(f.stat().st_size for f in (chosen / "features").rglob("*") if f.is_file())
    console.print(f"features/ on disk: {size / fitting / 1024:.1f} KiB per image")


if __name__ == "__main__":
    main()

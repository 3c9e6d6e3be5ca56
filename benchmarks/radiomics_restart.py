r"""Kills the extraction of features with SIGKILL at random moments and lets it finish.

A study of phantoms with two masks each is extracted once without interruption. Then, in a copy
without any result, the whole process group of the same command is killed after a random amount of
work and a random time, and the command started again, over and over; a copy that comes to its end
is compared byte for byte and replaced by a fresh one, until there were enough kills. Some kills
wait for the moment in which a table is being written::

    OMP_NUM_THREADS=1 python benchmarks/radiomics_restart.py
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from mammoroi.radiomics.phantom import textured_phantom

COMMAND = (
    "import sys; from pathlib import Path; from mammoroi.radiomics.config import RadiomicsConfig;"
    "from mammoroi.radiomics.extract import extract;"
    "extract(RadiomicsConfig(workers=2), Path(sys.argv[1]))"
)
RESULTS = ("*.parquet", "*.json", "*.csv")
State = dict[Path, tuple[int, int]]


def make_study(folder: Path, n_images: int) -> None:
    """Images of 700 x 400 pixels, a manual and a slightly smaller automatic mask each."""
    rows = []
    for seed in range(n_images):
        name = f"image-{seed:03d}"
        mammogram, mask = textured_phantom((700, 400), 20 + seed % 15, 0.3, seed)
        smaller = textured_phantom((700, 400), 17 + seed % 15, 0.3, seed)[1]
        for place, array in (
            ("images", mammogram.pixels.astype(np.uint16)),
            ("manual", mask.astype(np.uint8) * 255),
            ("masks/automatic", smaller.astype(np.uint8) * 255),
        ):
            (folder / place).mkdir(parents=True, exist_ok=True)
            Image.fromarray(array).save(folder / place / f"{name}.png", compress_level=1)
        paths = {"image": f"images/{name}.png", "mask": f"manual/{name}.png"}
        rows.append(
            {"image_id": name, "patient_id": name, "view": "CC", "laterality": "L", **paths}
        )
    pd.DataFrame(rows).assign(spacing_mm=0.3).to_csv(folder / "cohort.csv", index=False)
    pd.DataFrame({"patient_id": [row["patient_id"] for row in rows]}).to_csv(
        folder / "patients.csv", index=False
    )


def start(study: Path) -> subprocess.Popen[bytes]:
    arguments = [sys.executable, "-c", COMMAND, str(study)]
    return subprocess.Popen(arguments, start_new_session=True, stderr=subprocess.DEVNULL)


def results(study: Path) -> dict[str, bytes]:
    folder = study / "features"
    return {path.name: path.read_bytes() for kind in RESULTS for path in folder.glob(kind)}


def records(study: Path) -> State:
    """Every record and which file it is: one that is written anew is another file."""
    found = (study / "features" / "cache").rglob("[!.]*.npz")
    return {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in found}


def unfinished(study: Path) -> list[Path]:
    return list((study / "features").rglob(".part-*"))


def killed(study: Path, new_records: int, delay: float, at_table: bool) -> bool:
    """Start the command; kill it some records and a moment later, or while it writes a table."""
    folder = study / "features"
    enough = len(records(study)) + new_records
    process = start(study)
    while process.poll() is None:
        if at_table:
            if next(folder.glob(".part-*"), None) is not None:
                break
            time.sleep(0.0005)
        elif len(records(study)) >= enough:
            time.sleep(delay)
            break
        else:
            time.sleep(0.01)
    if process.poll() is not None:
        return False
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=60)
    parser.add_argument("--kills", type=int, default=24)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    generator = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as name:
        whole, study = Path(name) / "whole", Path(name) / "study"
        make_study(whole, arguments.images)
        clean = Path(name) / "clean"
        shutil.copytree(whole, clean)
        began = time.monotonic()
        start(whole).wait()
        full = time.monotonic() - began
        truth = results(whole)
        rows = {
            path: len(pd.read_parquet(whole / "features" / path))
            for path in truth
            if path.endswith("parquet")
        }
        print(f"uninterrupted: {full:.1f} s, rows {rows}, files compared: {sorted(truth)}")

        kills = at_tables = rewritten = lost_most = different = finished = left = 0
        while kills < arguments.kills:
            shutil.rmtree(study, ignore_errors=True)
            shutil.copytree(clean, study)
            before: State = {}
            restarts = 0
            while True:
                at_table = restarts % 6 == 5
                new = generator.randint(0, arguments.images // 3)
                if not killed(study, new, generator.uniform(0, 0.3), at_table):
                    break
                restarts += 1
                kills += 1
                at_tables += at_table
                now = records(study)
                rewritten += sum(now.get(path) != state for path, state in before.items())
                lost_most = max(lost_most, len(unfinished(study)))
                before = now
            now = records(study)
            rewritten += sum(now.get(path) != state for path, state in before.items())
            found = results(study)
            changed = sorted(name for name in found | truth if found.get(name) != truth.get(name))
            different += bool(changed)
            left += len(unfinished(study))
            finished += 1
            last = json.loads((study / "features" / "runs.jsonl").read_text().splitlines()[-1])
            print(
                f"killed {restarts} times, then finished: {last['from_cache']} cases found, "
                f"{last['used'] - last['from_cache']} computed by the last run; equal files: "
                f"{not changed} {changed or ''}; unfinished files left: {len(unfinished(study))}"
            )
        print(
            f"{kills} kills ({at_tables} while a table was written), {finished} studies brought to "
            f"their end, {different} of them different from the uninterrupted one in any byte; "
            f"{rewritten} finished cases computed again; {left} unfinished files left, at most "
            f"{lost_most} after one kill"
        )


if __name__ == "__main__":
    main()

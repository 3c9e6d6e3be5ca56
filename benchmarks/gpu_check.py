r"""Everything about the segmentation that only a machine with a GPU can show, in one run.

The tests marked ``gpu``, then :mod:`train_speed` for the presets, :mod:`segment_speed`, and, where
``nnunetv2`` is installed and ``--study`` is given, nnU-Net for a few minutes per fold. Each step
has a time limit, and what it prints goes to a file of its own in ``--out``; a step that fails or
takes too long does not stop the others. ``summary.csv`` has a row per step: ``step, seconds,
outcome, device``::

    python benchmarks/gpu_check.py --out build/gpu --minutes 9
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pandas as pd
import torch

from mammoroi.files import write_csv

HERE = Path(__file__).parent
TESTS = HERE.parent / "tests" / "segmentation"


def steps(given: argparse.Namespace) -> dict[str, list[str]]:
    """Give the commands, the most telling first."""
    python = sys.executable

    def training(preset: str, batch: int, steps: int, spacing_mm: float) -> list[str]:
        chosen = {"preset": preset, "batch": batch, "steps": steps, "spacing-mm": spacing_mm}
        chosen |= {"device": "cuda", "warm-up": 20, "patients": 80}
        settings = [text for name, value in chosen.items() for text in (f"--{name}", str(value))]
        return [python, str(HERE / "train_speed.py"), *settings]

    found = {
        "tests": [python, "-m", "pytest", "-q", "-m", "gpu", str(TESTS)],
        "train_small": training("small", 16, 60, 0.4),
        "segment": [python, str(HERE / "segment_speed.py"), "--rounds", "1"],
        "train_default": training("default", 20, 60, 0.3),
        "train_large": training("large", 24, 40, 0.2),
    }
    for name in ("train_small", "segment", "train_default", "train_large"):
        found[name] += ["--out", str(given.out / f"{name}.csv")]
    if given.study is not None and find_spec("nnunetv2") is not None:
        found["nnunet"] = [
            *(python, str(HERE / "nnunet_reference.py"), str(given.study)),
            *("--root", str(given.out / "nnunet"), "--device", "cuda"),
            *("--minutes", str(given.nnunet_minutes)),
        ]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=9.0, help="for all steps together")
    parser.add_argument("--study", type=Path, help="prepared study for the nnU-Net reference")
    parser.add_argument("--nnunet-minutes", type=float, default=1.0, help="per fold")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    name = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    sys.stdout.write(f"device: {name}, PyTorch {torch.__version__}\n")
    end = time.monotonic() + 60 * given.minutes
    rows = []
    for step, command in steps(given).items():
        begin = time.monotonic()
        outcome = "no time left"
        if begin < end:
            outcome = run(command, given.out / f"{step}.txt", end - begin)
        seconds = time.monotonic() - begin
        rows.append({"step": step, "seconds": seconds, "outcome": outcome})
        sys.stdout.write(f"{step}: {outcome}, {seconds:.0f} s\n")
        sys.stdout.flush()
        write_csv(given.out / "summary.csv", pd.DataFrame(rows).assign(device=name))


def run(command: list[str], log: Path, limit_s: float) -> str:
    """Run a step, its output into a file; give its outcome in words."""
    with log.open("w", encoding="utf-8") as stream:
        try:
            done = subprocess.run(
                command, stdout=stream, stderr=subprocess.STDOUT, timeout=limit_s, check=False
            )
        except subprocess.TimeoutExpired:
            return "took too long"
    return "done" if done.returncode == 0 else f"failed with exit code {done.returncode}"


if __name__ == "__main__":
    main()

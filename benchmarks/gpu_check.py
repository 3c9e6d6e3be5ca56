r"""Everything about the speed that only a machine with a GPU can show, in one run.

First, side by side: the tests marked ``gpu``, and the inputs of what comes then: phantoms,
nnU-Net's plan for them, and a mammogram of full size. Then, one after the other and so undisturbed:
:mod:`train_speed` beside nnU-Net and for the presets, :mod:`segment_speed`, :mod:`folds_speed`.
nnU-Net takes part where ``nnunetv2`` is installed. Each step has a time limit, and what it prints
goes to a file of its own in ``--out``; a step that fails or takes too long does not stop the
others. ``summary.csv`` has a row per step: ``step, seconds, outcome, device``::

    python benchmarks/gpu_check.py --out build/gpu --minutes 9

How well the segmentation does is another question: :mod:`segmentation_accuracy` and
:mod:`nnunet_reference` answer it, on a GPU too.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import torch

from mammoroi.files import write_csv

HERE = Path(__file__).parent
TESTS = HERE.parent / "tests" / "segmentation"


def inputs(work: Path) -> dict[str, list[str]]:
    """Give the commands that can run side by side: the tests, and those that make the inputs."""
    python = sys.executable
    return {
        "tests": [python, "-m", "pytest", "-q", "-m", "gpu", "--durations=20", str(TESTS)],
        "phantoms": [
            *(python, str(HERE / "train_speed.py"), "--make", str(work / "study")),
            *("--root", str(work / "nnunet"), "--patients", "32", "--spacing-mm", "0.3"),
        ],
        "mammogram": [
            *(python, str(HERE / "segment_speed.py"), "--make", "--folder", str(work / "one")),
        ],
    }


def steps(out: Path, work: Path) -> dict[str, list[str]]:
    """Give the commands of which each wants the machine for itself, the most telling first."""

    def training(name: str, **settings: object) -> list[str]:
        chosen = {"study": work / "study", "device": "cuda", "warm-up": 10, "steps": 40}
        words = [word for key, value in (chosen | settings).items() for word in (f"--{key}", value)]
        return [str(word) for word in ("train_speed.py", *words, "--out", out / f"{name}.csv")]

    nnunet = training("nnunet", root=work / "nnunet", architecture="dynunet")
    ways = ["--ways", "limit", "host", "device"]
    found = {
        "nnunet": [*nnunet, *ways, "nnunet-limit", "nnunet"],
        "segment": [
            *("segment_speed.py", "--folder", str(work / "one"), "--rounds", "1"),
            *("--places", "cuda", "--out", str(out / "segment.csv")),
        ],
        "default": [*training("default", preset="default"), *ways],
        "large": [*training("large", preset="large", steps=15), "--ways", "limit", "device"],
        "folds": ["folds_speed.py", str(work / "study"), "--out", str(out / "folds.csv")],
        "small": [*training("small", preset="small"), "--ways", "limit", "device"],
        "compiled": [*training("compiled", preset="default"), "--ways", "compiled"],
    }
    return {
        name: [sys.executable, str(HERE / script), *arguments]
        for name, (script, *arguments) in found.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=9.0, help="for all steps together")
    parser.add_argument("--steps", nargs="+", help="only these; their inputs are there already")
    parser.add_argument("--work", type=Path, help="keep the inputs here")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    sys.stdout.write(f"device: {device}, PyTorch {torch.__version__}\n")
    end = time.monotonic() + 60 * given.minutes
    rows: list[dict[str, object]] = []

    def tell(step: str, outcome: str, seconds: float) -> None:
        rows.append({"step": step, "seconds": seconds, "outcome": outcome, "device": device})
        sys.stdout.write(f"{step}: {outcome}, {seconds:.0f} s\n")
        sys.stdout.flush()
        write_csv(given.out / "summary.csv", pd.DataFrame(rows))

    with tempfile.TemporaryDirectory() as temporary:
        work = given.work or Path(temporary)
        work.mkdir(parents=True, exist_ok=True)

        def timed(step: str, command: list[str]) -> None:
            begin = time.monotonic()
            outcome = "no time left"
            if begin < end:
                outcome = run(command, given.out / f"{step}.txt", end - begin)
            tell(step, outcome, time.monotonic() - begin)

        if not given.steps:
            with ThreadPoolExecutor() as pool:
                list(pool.map(timed, *zip(*inputs(work).items(), strict=True)))
        for step, command in steps(given.out, work).items():
            if not given.steps or step in given.steps:
                timed(step, command)


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

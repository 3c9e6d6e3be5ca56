r"""Everything about the speed that only a machine with a GPU can show, in one run.

First, side by side: the tests marked ``gpu``, and the inputs of what comes then: phantoms,
nnU-Net's plan for them, and a mammogram of full size. Then, one after the other and so undisturbed:
:mod:`train_speed` beside nnU-Net and for the presets, :mod:`segment_speed`, :mod:`folds_speed`.
nnU-Net takes part where ``nnunetv2`` is installed. Each step has a time limit, and what it prints
goes to a file of its own in ``--out``; a step that fails or takes too long does not stop the
others. ``summary.csv`` has a row per step: ``step, seconds, outcome, device``::

    python benchmarks/gpu_check.py --out build/gpu --minutes 9

Where the GPU's minutes are few, make the inputs before, on a machine without one, and take the
folder along; then choose the steps::

    python benchmarks/gpu_check.py --out build/gpu --work inputs --steps
    python benchmarks/gpu_check.py --out build/gpu --work inputs --steps segment default large

How well the segmentation does is another question: :mod:`segmentation_accuracy` and
:mod:`nnunet_reference` answer it, on a GPU too.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import torch

from mammoroi.files import write_csv

SPACING_MM = "0.3"
"""Of the phantoms."""
HERE = Path(__file__).parent
TESTS = HERE.parent / "tests" / "segmentation" / "test_speed_gpu.py"
"""All tests marked ``gpu``: the other files need packages that a bare GPU machine does not have."""


def inputs(work: Path, patients: int) -> dict[str, list[str]]:
    """Give the commands that make the inputs which are not there yet."""
    made = {
        "phantoms": (work / "study" / "splits.json", [
            *("train_speed.py", "--make", str(work / "study"), "--root", str(work / "nnunet")),
            *("--patients", str(patients), "--spacing-mm", SPACING_MM),
        ]),
        "mammogram": (work / "one" / "phantom.dcm", [
            *("segment_speed.py", "--make", "--folder", str(work / "one")),
        ]),
    }  # fmt: skip
    return {
        name: [sys.executable, str(HERE / script), *arguments]
        for name, (file, (script, *arguments)) in made.items()
        if not file.exists()
    }


def steps(out: Path, work: Path) -> dict[str, list[str]]:
    """Give the commands of which each wants the machine for itself, the most telling first."""

    def training(name: str, **settings: object) -> list[str]:
        chosen = {"study": work / "study", "device": "cuda", "warm-up": 10, "steps": 40}
        words = [word for key, value in (chosen | settings).items() for word in (f"--{key}", value)]
        return [str(word) for word in ("train_speed.py", *words, "--out", out / f"{name}.csv")]

    nnunet = training("nnunet", root=work / "nnunet", architecture="dynunet", batch=16)
    ways = ["--ways", "limit", "host", "device"]
    found = {
        "nnunet": [*nnunet, *ways, "nnunet-limit", "nnunet"],
        "segment": [
            *("segment_speed.py", "--folder", str(work / "one"), "--rounds", "1"),
            *("--places", "cuda", "--out", str(out / "segment.csv")),
        ],
        "default": [*training("default", preset="default"), *ways],
        "large": [*training("large", preset="large", steps=15), "--ways", "limit", "device"],
        "folds": [
            *("folds_speed.py", str(work / "study"), "--spacing-mm", SPACING_MM),
            *("--out", str(out / "folds.csv")),
        ],
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
    parser.add_argument("--steps", nargs="*", help="only these, or none: tests, nnunet, ...")
    parser.add_argument("--work", type=Path, help="keep the inputs here")
    parser.add_argument("--patients", type=int, default=12, help="phantom patients to train on")
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

        wanted = steps(given.out, work)
        chosen = given.steps if given.steps is not None else ["tests", *wanted]
        first = inputs(work, given.patients)
        if "tests" in chosen:
            tests = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "--durations=20"]
            first["tests"] = [*tests, str(TESTS)]
        with ThreadPoolExecutor() as pool:
            list(pool.map(timed, first, first.values()))
        for step in wanted:
            if step in chosen:
                timed(step, wanted[step])


def run(command: list[str], log: Path, limit_s: float) -> str:
    """Run a step, its output into a file; give its outcome in words."""
    with log.open("w", encoding="utf-8") as stream:
        # In a session of its own, so that what it has started ends with it.
        step = subprocess.Popen(
            command, stdout=stream, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            code = step.wait(limit_s)
        except subprocess.TimeoutExpired:
            os.killpg(step.pid, signal.SIGKILL)
            return "took too long"
    return "done" if code == 0 else f"failed with exit code {code}"


if __name__ == "__main__":
    main()

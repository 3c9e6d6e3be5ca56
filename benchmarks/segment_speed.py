r"""The mask of one 3328 x 4096 mammogram: mammoroi beside nnU-Net's predictor.

Each way is measured in a process of its own, on one core and on two, and on a GPU where there is
one: from the file on the disk to the file of the mask on the mammogram's own grid. Loading the
network is shown apart (``start_s``), and so is a process's first image (``first_wall_s``), during
which a GPU compiles and allocates; there ``wall_s`` is that of the third::

    python benchmarks/segment_speed.py --out build/segment_speed.csv

The mammogram is a phantom of 4096 rows and 3328 columns at 0.065 mm, as DICOM; nnU-Net, which reads
no DICOM, gets the same pixels and spacing as NIfTI. mammoroi's network is that of the preset;
nnU-Net is trained for one iteration on phantoms prepared at the same pixel size
(``--nnunet-spacing-mm`` chooses another), so that both see the same resolution: crop,
normalisation, resampling, sliding window with mirroring, and the way back are its own. mammoroi's
weights are random unless ``--model`` names a trained folder; the time does not depend on them, but
for the regions that are found.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import redirect_stdout
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mammoroi.files import write_csv

ROWS, COLUMNS, SPACING_MM = 4096, 3328, 0.065
OURS, OURS_FLIPPED, NNUNET = "mammoroi", "mammoroi, flipped too", "nnU-Net"


def phantom() -> NDArray[np.uint16]:
    """Draw a breast with a lesion on the left of a field of 266 x 216 mm."""
    from mammoroi.cohort.phantom import Findings, draw_anatomy, draw_view
    from mammoroi.cohort.planted import Scores
    from mammoroi.cohort.texture import LesionTexture

    findings = Findings("scattered", 22.0, True, True, True, False, False, False)
    anatomy = draw_anatomy(findings, np.random.default_rng(1))
    texture = LesionTexture.of(Scores(0.0, 0.0, 0.0))
    seed = np.random.SeedSequence(2)
    drawn = draw_view("CC", "L", anatomy, findings, texture, SPACING_MM, seed).pixels
    pixels = np.zeros((ROWS, COLUMNS), np.uint16)
    top = (ROWS - drawn.shape[0]) // 2
    pixels[top : top + drawn.shape[0], : drawn.shape[1]] = drawn
    return pixels


def make_inputs(folder: Path) -> None:
    """Write the mammogram as DICOM and as NIfTI."""
    from nnunet_data import write_nifti

    from mammoroi.cohort.phantom_dicom import ImageName, write_phantom_dicom

    pixels = phantom()
    name = ImageName("phantom", "SYN00001", "CC", "L", 1, 50)
    write_phantom_dicom(folder / "phantom.dcm", pixels, name, SPACING_MM, 1)
    write_nifti(folder / "phantom_0000.nii.gz", pixels.astype(np.float32), (SPACING_MM,) * 2)


def make_model(folder: Path, preset: str) -> None:
    """Write the preset's network with random weights."""
    from mammoroi.configuration import configured, find_config
    from mammoroi.segmentation.network import NetworkSpec, build_network
    from mammoroi.segmentation.weights import save_model
    from mammoroi.stages import StudyConfig

    config = configured(StudyConfig, "segment_speed", find_config(preset), []).segmentation
    spec = NetworkSpec.of(config)
    multiple = spec.multiple
    card = {
        "fold": 0,
        "network": spec.to_json(),
        "plan": {
            "working_spacing_mm": config.working_spacing_mm,
            "canvas": [multiple, multiple],
        },
        "inference": config.inference(),
    }
    target = folder / "fold-0"
    target.mkdir(parents=True)
    save_model(target, build_network(spec).state_dict(), card)


def make_nnunet(root: Path, spacing_mm: float) -> None:
    """Train nnU-Net for one iteration on a few phantoms."""
    from nnunet_data import build_trainer, environment, export, plan
    from train_speed import make_study

    environment(root, 2, 0)
    study = make_study(root / "study", 4, spacing_mm)
    with (root / "log.txt").open("a", encoding="utf-8") as log, redirect_stdout(log):
        plan(study, root, export(study, root), None)
        trainer = build_trainer(root, 0, "cpu")
        trainer.num_epochs = 1
        trainer.num_iterations_per_epoch = trainer.num_val_iterations_per_epoch = 1
        trainer.run_training()


def draw_ours(folder: Path, model: Path, device: str, flipped: bool) -> dict[str, float]:
    """Read the DICOM file, draw, write the mask."""
    import torch

    from mammoroi.imaging.mask import write_mask
    from mammoroi.imaging.read import read_mammogram
    from mammoroi.segmentation.predict import draw
    from mammoroi.segmentation.prepare import working_array
    from mammoroi.segmentation.probability import on_device
    from mammoroi.segmentation.weights import load_models

    begin = time.perf_counter()
    models = load_models(model)
    target = torch.device(device)
    inference = {**models[0].card["inference"], "test_time_augmentation": flipped}
    with on_device(models, target):
        start_s = time.perf_counter() - begin
        wall, cpu = time.perf_counter(), time.process_time()
        mammogram = read_mammogram(folder / "phantom.dcm")
        array, mapping, _ = working_array(mammogram, models[0].working_spacing_mm)
        mask = draw(models, array, mapping, inference, target).mask
        write_mask(folder / "ours.png", mask)
        measured = {
            "start_s": start_s,
            "wall_s": time.perf_counter() - wall,
            "cpu_s": time.process_time() - cpu,
            "seen": f"{array.shape[0]} x {array.shape[1]}",
        }
    assert mask.shape == (ROWS, COLUMNS)
    return measured


def draw_nnunet(folder: Path, root: Path, device: str) -> dict[str, float]:
    """Read the NIfTI file, draw with nnU-Net's predictor, write the mask."""
    from nnunet_data import build_predictor
    from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO

    begin = time.perf_counter()
    predictor = build_predictor(root, (0,), device)
    start_s = time.perf_counter() - begin
    wall, cpu = time.perf_counter(), time.process_time()
    array, properties = SimpleITKIO().read_images([str(folder / "phantom_0000.nii.gz")])
    predictor.predict_single_npy_array(array, properties, None, str(folder / "theirs"), False)
    return {
        "start_s": start_s,
        "wall_s": time.perf_counter() - wall,
        "cpu_s": time.process_time() - cpu,
        "seen": "tiles of {} x {}".format(*predictor.configuration_manager.patch_size),
    }


def measure(given: argparse.Namespace) -> dict[str, Any]:
    """Measure one way, in this process."""
    if given.cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: given.cores])
    import torch
    from memory import peak_memory_mb

    torch.set_num_threads(given.cores or os.cpu_count() or 1)
    if given.way == NNUNET:
        from nnunet_data import environment

        environment(given.root, given.cores or os.cpu_count() or 1, 0)
    repeats = 3 if given.device == "cuda" else 1  # a GPU's first calls compile and allocate
    seconds = []
    for _ in range(repeats):
        if given.way == NNUNET:
            found = draw_nnunet(given.folder, given.root, given.device)
        else:
            flipped = given.way == OURS_FLIPPED
            found = draw_ours(given.folder, given.model, given.device, flipped)
        seconds.append(found["wall_s"])
    found["first_wall_s"] = seconds[0]
    found["peak_mb"] = peak_memory_mb()
    on_gpu = given.device == "cuda"
    found["peak_gpu_mb"] = torch.cuda.max_memory_allocated() / 2**20 if on_gpu else float("nan")
    return found


def main() -> None:
    import torch

    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--preset", default="default")
    parser.add_argument("--model", type=Path, help="folder of trained networks")
    parser.add_argument("--nnunet-spacing-mm", type=float)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--folder", type=Path, help="keep the inputs here")
    parser.add_argument("--make", action="store_true", help="only make the inputs in --folder")
    parser.add_argument("--places", nargs="+", choices=("1", "2", "cuda"), help="cores or the GPU")
    for hidden in ("--way", "--device"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    parser.add_argument("--cores", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--root", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.way:
        with redirect_stdout(sys.stderr):
            found = measure(given)
        sys.stdout.write("\n" + json.dumps(found) + "\n")
        return
    with tempfile.TemporaryDirectory() as temporary:
        given.folder = given.folder or Path(temporary)
        given.root = given.folder / "nnunet"
        there = find_spec("nnunetv2") is not None
        prepare_inputs(given, there)
        if given.make:
            return
        ways = [OURS, OURS_FLIPPED, *([NNUNET] if there else [])]
        gpu = ["cuda"] if torch.cuda.is_available() else []
        chosen = given.places or ["1", "2", *gpu]
        places = [("cuda", 0) if place == "cuda" else ("cpu", int(place)) for place in chosen]
        rows = [
            {"way": way, "device": device, "cores": cores}
            | in_own_process(way, device, cores, given)
            for _ in range(given.rounds)
            for device, cores in places
            for way in ways
        ]
    table = pd.DataFrame(rows)
    if given.out:
        write_csv(given.out, table)
    by = ["way", "device", "cores", "seen"]
    sys.stdout.write(
        table.groupby(by, sort=False).median().round(2).reset_index().to_string() + "\n"
    )


def prepare_inputs(given: argparse.Namespace, nnunet: bool) -> None:
    """Make what is not there yet."""
    from mammoroi.segmentation.weights import load_models

    if not (given.folder / "phantom.dcm").exists():
        make_inputs(given.folder)
    if given.model is None:
        given.model = given.folder / f"model-{given.preset}"
        if not given.model.exists():
            make_model(given.model, given.preset)
    if nnunet and not (given.root / "results").exists():
        spacing = given.nnunet_spacing_mm or load_models(given.model)[0].working_spacing_mm
        make_nnunet(given.root, spacing)


def in_own_process(way: str, device: str, cores: int, given: argparse.Namespace) -> dict[str, Any]:
    arguments = [sys.executable, __file__, "--way", way, "--device", device, "--cores", str(cores)]
    for name in ("folder", "root", "model"):
        arguments += [f"--{name}", str(getattr(given, name))]
    threads = str(cores or os.cpu_count() or 1)
    environment = os.environ | {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
    done = subprocess.run(arguments, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    found: dict[str, Any] = json.loads(done.stdout.strip().rpartition("\n")[2])
    return found


if __name__ == "__main__":
    main()

"""A study's prepared images as an nnU-Net v2 dataset, and the way back.

nnU-Net is no dependency of mammoroi: install ``nnunetv2`` (PyPI) beside it to run the benchmarks
that import this module. ``<root>/raw``, ``preprocessed`` and ``results`` are nnU-Net's three
folders. Cases are numbered, since image names can say who the patient is; ``<root>/cases.csv``
has the way back: ``case, image_id, patient_id, set``.

An image is exported as the working array that mammoroi's own networks see (breast cropped, chest
wall left, 0..1, float32 NIfTI) with its true pixel spacing, so that nnU-Net starts from the same
pixels; whatever it does to them then (z-score, resampling to the median spacing) is its own. Its
folds are the study's: a fold trains on all patients of the fold's training part, those included
whom mammoroi keeps for choosing the best epoch, since nnU-Net takes its last epoch.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mammoroi.cohort.split import load_splits
from mammoroi.files import read_csv, write_csv, write_json
from mammoroi.segmentation.mapping import Mapping
from mammoroi.segmentation.prepare import load_mapping

DATASET_ID = 501
DATASET = f"Dataset{DATASET_ID}_Mammoroi"
PLANS = "nnUNetPlans"
CONFIGURATION = "2d"
PROCESSES, LOADERS = "nnUNet_def_n_proc", "nnUNet_n_proc_DA"
ENDING = ".nii.gz"


def environment(root: Path, threads: int, loaders: int) -> None:
    """Tell nnU-Net its folders and how many processes it may start; before it is imported.

    Parameters
    ----------
    root : Path
        Where everything of nnU-Net's goes.
    threads : int
        Threads of PyTorch, and of nnU-Net's preparation.
    loaders : int
        Processes that augment; 0 augments in the training's own process.
    """
    for name in ("raw", "preprocessed", "results"):
        os.environ[f"nnUNet_{name}"] = str((root / name).resolve())
        (root / name).mkdir(parents=True, exist_ok=True)
    os.environ[PROCESSES] = str(threads)
    os.environ[LOADERS] = str(loaders)
    import torch

    torch.set_num_threads(threads)


def working_spacing(mapping: Mapping) -> tuple[float, float]:
    """Give the exact pixel spacing (row, column) in mm of a working array."""
    return (
        mapping.height * mapping.row_mm / mapping.working_rows,
        mapping.width * mapping.column_mm / mapping.working_columns,
    )


def write_nifti(path: Path, array: NDArray[Any], spacing: tuple[float, float]) -> None:
    """Write a two-dimensional NIfTI file; ``spacing`` is (row, column)."""
    import SimpleITK as sitk

    path.parent.mkdir(parents=True, exist_ok=True)
    image = sitk.GetImageFromArray(array)
    image.SetSpacing((spacing[1], spacing[0]))
    sitk.WriteImage(image, str(path))


def export(study: Path, root: Path) -> pd.DataFrame:
    """Write the dataset (``imagesTr``, ``labelsTr``, ``imagesTs``) and ``cases.csv``.

    Returns
    -------
    DataFrame
        The rows of ``cases.csv``.
    """
    splits = load_splits(study)
    prepared = study / "segmentation" / "prepared"
    index = read_csv(prepared / "index.csv", dtype={"image_id": str, "patient_id": str})
    training = set(splits.train)
    raw = root / "raw" / DATASET
    rows = []
    for number, (image_id, patient, has_mask) in enumerate(
        zip(index["image_id"], index["patient_id"], index["has_mask"], strict=True)
    ):
        case = f"case_{number:04d}"
        part = "train" if patient in training and has_mask else "test"
        spacing = working_spacing(load_mapping(study, image_id))
        images = raw / ("imagesTr" if part == "train" else "imagesTs")
        image = np.load(prepared / f"{image_id}.npy").astype(np.float32)
        write_nifti(images / f"{case}_0000{ENDING}", image, spacing)
        if part == "train":
            mask = np.load(prepared / f"{image_id}.mask.npy")
            write_nifti(raw / "labelsTr" / f"{case}{ENDING}", mask, spacing)
        rows.append({"case": case, "image_id": image_id, "patient_id": patient, "set": part})
    cases = pd.DataFrame(rows)
    write_csv(root / "cases.csv", cases)
    write_json(
        raw / "dataset.json",
        {
            "channel_names": {"0": "mammogram"},
            "labels": {"background": 0, "lesion": 1},
            "numTraining": int((cases["set"] == "train").sum()),
            "file_ending": ENDING,
        },
    )
    return cases


def plan(study: Path, root: Path, cases: pd.DataFrame, memory_gb: float | None) -> dict[str, Any]:
    """Let nnU-Net look at the dataset, plan its 2-D network and preprocess; give its plan.

    Parameters
    ----------
    memory_gb : float, optional
        nnU-Net's own setting ``gpu_memory_target_in_gb``; None leaves its default.
    """
    from nnunetv2.experiment_planning.plan_and_preprocess_api import (
        extract_fingerprints,
        plan_experiments,
        preprocess,
    )

    threads = int(os.environ[PROCESSES])
    extract_fingerprints([DATASET_ID], num_processes=threads, show_progress_bar=False)
    loaders = os.environ[LOADERS]
    os.environ[LOADERS] = str(threads)  # the planner's threads: 0 would be refused
    plan_experiments([DATASET_ID], gpu_memory_target_in_gb=memory_gb)
    os.environ[LOADERS] = loaders
    preprocess([DATASET_ID], PLANS, (CONFIGURATION,), (threads,), show_progress_bar=False)
    write_folds(study, root, cases)
    return read_plan(root)


def read_plan(root: Path) -> dict[str, Any]:
    """Read nnU-Net's plan of the 2-D network."""
    from mammoroi.files import read_json

    plans = read_json(root / "preprocessed" / DATASET / f"{PLANS}.json")
    found: dict[str, Any] = plans["configurations"][CONFIGURATION]
    return found


def write_folds(study: Path, root: Path, cases: pd.DataFrame) -> None:
    """Write ``splits_final.json``: the study's folds, patient by patient, in nnU-Net's words."""
    there = cases[cases["set"] == "train"]
    folds = [
        {
            name: there["case"][there["patient_id"].isin(patients)].tolist()
            for name, patients in (("train", fold.train), ("val", fold.validation))
        }
        for fold in load_splits(study).folds
    ]
    write_json(root / "preprocessed" / DATASET / "splits_final.json", folds)


def build_trainer(root: Path, fold: int, device: str) -> Any:
    """Build nnU-Net's own trainer of a fold, as published."""
    import torch
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    from mammoroi.files import read_json

    folder = root / "preprocessed" / DATASET
    return nnUNetTrainer(
        plans={**read_json(folder / f"{PLANS}.json"), "continue_training": False},
        configuration=CONFIGURATION,
        fold=fold,
        dataset_json=read_json(folder / "dataset.json"),
        device=torch.device(device),
    )


def model_folder(root: Path) -> Path:
    """Give the folder of the trained networks."""
    return root / "results" / DATASET / f"nnUNetTrainer__{PLANS}__{CONFIGURATION}"


def build_predictor(root: Path, folds: tuple[int, ...], device: str) -> Any:
    """Build nnU-Net's own predictor (half-overlapping tiles, Gaussian, mirroring) of some folds."""
    import torch
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    predictor = nnUNetPredictor(device=torch.device(device), allow_tqdm=False)
    predictor.initialize_from_trained_model_folder(
        str(model_folder(root)), folds, "checkpoint_final.pth"
    )
    predictor.network.to(torch.device(device))
    return predictor


def predict(predictor: Any, image: Path) -> NDArray[np.float32]:
    """Give the lesion's probability on the grid of a NIfTI file, (rows, columns), 0..1."""
    from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO

    array, properties = SimpleITKIO().read_images([str(image)])
    _, probability = predictor.predict_single_npy_array(array, properties, None, None, True)
    found: NDArray[np.float32] = np.asarray(probability[1, 0], dtype=np.float32)
    return found

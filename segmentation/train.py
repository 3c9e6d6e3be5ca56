"""Train one network per fold.

``segmentation/plan.json`` holds ``working_spacing_mm`` and ``canvas`` (rows, columns), chosen once
from the training patients. ``segmentation/folds.csv`` has a row for every patient and fold:
``patient_id, fold, role`` (``training``, ``tuning`` or ``validation``; see :mod:`.folds`). Every
``segmentation/fold-K/`` holds ``model.safetensors``,
``model.json`` (see :mod:`.weights`), ``history.csv`` (see :class:`.callbacks.History`) and, while
the training lasts, ``last.ckpt`` and ``best.ckpt``. An interrupted fold goes on from
``last.ckpt``; a finished one whose inputs and settings are unchanged is kept.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import MammoroiError
from ..files import read_csv, read_json, sha256_of, write_csv, write_json
from .config import SegmentationConfig
from .folds import FoldSets, fold_sets
from .loggers import require_logger
from .mapping import padded_size
from .network import NetworkSpec
from .prepare import prepare
from .progress import watching

if TYPE_CHECKING:
    import pandas as pd

    from ..cohort.split import Splits

TRAINING_VERSION = 1


def train(config: SegmentationConfig, study: Path) -> Path:
    """Prepare the images of a study and train the networks of all folds.

    Returns
    -------
    Path
        ``segmentation`` in the study folder.
    """
    prepare(config, study)
    return train_prepared(config, study)


def train_prepared(config: SegmentationConfig, study: Path) -> Path:
    """Train the networks of all folds from ``splits.json`` and the prepared arrays alone.

    Neither mammograms nor the libraries that read them are needed, so this also runs on a bare
    GPU machine that was given ``splits.json`` and ``segmentation/prepared/``. Without a GPU the
    folds are trained side by side, which small networks use better than several cores each.

    Raises
    ------
    MammoroiError
        When a fold has no image to train or tune on, or the network cannot be built.
    """
    from joblib import Parallel, delayed, parallel_config

    from ..cohort.split import load_splits
    from .network import build_network
    from .trainer import choose_accelerator

    folder = Path(study) / "segmentation"
    splits = load_splits(study)
    index = read_csv(folder / "prepared" / "index.csv", dtype={"image_id": str, "patient_id": str})
    index = index[index["has_mask"] & index["patient_id"].isin(splits.train)]
    jobs = [fold_job(config, splits, fold, index) for fold in range(len(splits.folds))]
    write_csv(folder / "folds.csv", roles([job.sets for job in jobs]))
    plan = make_plan(config, index)
    write_json(folder / "plan.json", plan)
    # Here a wrong name or missing weights end the run with one message, not one per fold.
    build_network(NetworkSpec.of(config), config.encoder_weights)
    require_logger(config)

    cores = os.cpu_count() or 1
    side_by_side = config.workers or 2 * cores
    if choose_accelerator(config) != "cpu" or config.devices not in ("auto", 1):
        side_by_side = 1
    processes = min(side_by_side, len(jobs))
    calls = [delayed(train_fold)(config, folder, job, plan) for job in jobs]
    with watching(folder, len(jobs), config.epochs):
        if processes == 1:
            Parallel(n_jobs=1)(calls)
        else:
            threads = max(1, cores // processes)
            with parallel_config("loky", inner_max_num_threads=threads):
                Parallel(n_jobs=processes)(calls)
    return folder


def roles(folds: Sequence[FoldSets]) -> pd.DataFrame:
    """Give the rows of ``folds.csv``."""
    import pandas as pd

    return pd.DataFrame(
        [
            (patient, fold, role)
            for fold, sets in enumerate(folds)
            for role, patients in asdict(sets).items()
            for patient in patients
        ],
        columns=["patient_id", "fold", "role"],
    )


@dataclass(frozen=True)
class FoldJob:
    """One fold's patients and prepared images.

    Attributes
    ----------
    fold : int
        Which fold.
    sets : FoldSets
        Its patients; those of the validation part have no image here.
    training, tuning : tuple of (str, str)
        ``image_id`` and ``key`` of the prepared images.
    """

    fold: int
    sets: FoldSets
    training: tuple[tuple[str, str], ...]
    tuning: tuple[tuple[str, str], ...]


def fold_job(config: SegmentationConfig, splits: Splits, fold: int, index: pd.DataFrame) -> FoldJob:
    """Collect what one fold trains and tunes on.

    Raises
    ------
    MammoroiError
        When there is no training or no tuning image.
    """
    sets = fold_sets(splits, fold, config.tuning_fraction, config.seed)
    training, tuning = (
        tuple(
            (str(image_id), str(key))
            for image_id, key, patient in zip(
                index["image_id"], index["key"], index["patient_id"], strict=True
            )
            if patient in patients
        )
        for patients in (set(sets.training), set(sets.tuning))
    )
    if not training or not tuning:
        raise MammoroiError(
            f"fold {fold} has {len(training)} training and {len(tuning)} tuning images",
            "see segmentation/prepared/failures.csv, or add patients",
        )
    return FoldJob(fold, sets, training, tuning)


def make_plan(config: SegmentationConfig, index: pd.DataFrame) -> dict[str, Any]:
    """Choose the canvas that holds every training image."""
    multiple = NetworkSpec.of(config).multiple
    sides = (index["working_rows"], index["working_columns"])
    canvas = [padded_size(int(side.max()), multiple) for side in sides]
    return {"working_spacing_mm": config.working_spacing_mm, "canvas": canvas}


def train_fold(
    config: SegmentationConfig, folder: Path, job: FoldJob, plan: dict[str, Any]
) -> Path:
    """Train one fold's network, or keep the one that is there; give its folder.

    Parameters
    ----------
    config : SegmentationConfig
        The settings.
    folder : Path
        ``segmentation`` in the study folder.
    job : FoldJob
        The fold's patients and images.
    plan : dict
        ``canvas`` and ``working_spacing_mm``.
    """
    key = sha256_of(TRAINING_VERSION, config.training(), plan, job)
    target = folder / f"fold-{job.fold}"
    if (target / "model.safetensors").exists() and _key_of(target / "model.json") == key:
        return target
    if _key_of(target / "training.json") != key:
        shutil.rmtree(target, ignore_errors=True)
    write_json(target / "training.json", {"key": key})
    _fit(config, folder, job, plan)
    card = {
        "fold": job.fold,
        "network": NetworkSpec.of(config).to_json(),
        "plan": plan,
        "inference": config.inference(),
        "settings": asdict(config),
        "n_training_patients": len(job.sets.training),
        "n_tuning_patients": len(job.sets.tuning),
        "n_training_images": len(job.training),
        "n_tuning_images": len(job.tuning),
        "key": key,
        "versions": {name: version(name) for name in ("torch", "lightning", "monai")},
    }
    _keep_best(target, card)
    return target


def _fit(config: SegmentationConfig, folder: Path, job: FoldJob, plan: dict[str, Any]) -> None:
    """Run Lightning until the last epoch, from ``last.ckpt`` where there is one."""
    from lightning import seed_everything

    from .callbacks import quiet_lightning
    from .data import Augmentation, PreparedImages
    from .module import SegmentationModule
    from .trainer import PreparedData, build_trainer

    target = folder / f"fold-{job.fold}"
    prepared = folder / "prepared"
    canvas = (plan["canvas"][0], plan["canvas"][1])
    seed = config.seed + job.fold
    training, tuning = ([image_id for image_id, _ in part] for part in (job.training, job.tuning))
    patch = config.patch and (min(config.patch[0], canvas[0]), min(config.patch[1], canvas[1]))
    augment = Augmentation(seed, config.augmentation, patch)
    last = target / "last.ckpt"
    with quiet_lightning():
        seed_everything(seed, workers=True, verbose=False)
        trainer = build_trainer(config, target)
        trainer.fit(
            SegmentationModule(config),
            datamodule=PreparedData(
                PreparedImages(prepared, training, canvas, augment),
                PreparedImages(prepared, tuning, canvas),
                config,
            ),
            ckpt_path=last if last.exists() else None,
            weights_only=True,
        )
    if trainer.interrupted:
        raise KeyboardInterrupt


def _keep_best(target: Path, card: dict[str, Any]) -> None:
    """Turn the best epoch's checkpoint into the fold's model and remove the checkpoints."""
    import torch

    from .weights import save_model

    best = torch.load(target / "best.ckpt", map_location="cpu", weights_only=True)
    prefix = "network."
    state = {
        name.removeprefix(prefix): tensor
        for name, tensor in best["state_dict"].items()
        if name.startswith(prefix)
    }
    history = read_csv(target / "history.csv")
    epoch = int(best["epoch"])
    metrics = history[history["epoch"] == epoch].drop(columns="epoch").to_dict("records")[0]
    save_model(target, state, {**card, "epoch": epoch, "metrics": metrics})
    for name in ("last.ckpt", "best.ckpt", "training.json"):
        (target / name).unlink(missing_ok=True)


def _key_of(path: Path) -> str | None:
    return read_json(path).get("key") if path.exists() else None

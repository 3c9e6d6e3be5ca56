"""Train the networks of every fold, one or several.

``segmentation/plan.json`` holds ``working_spacing_mm`` and ``canvas`` (rows, columns), chosen once
from the training patients. ``segmentation/folds.csv`` has a row for every patient and fold:
``patient_id, fold, role`` (``training``, ``tuning`` or ``validation``; see :mod:`.folds`). Every
``segmentation/fold-K/`` holds ``model.safetensors``,
``model.json`` (see :mod:`.weights`), ``learned_from.csv`` (see :mod:`.learned_from`),
``history.csv`` (see :class:`.callbacks.History`) and, while the training lasts, ``last.ckpt`` and
``best.ckpt``. With several networks per fold, the further
ones are in ``segmentation/fold-K-network-N/``. An interrupted network goes on from
``last.ckpt``; a finished one whose inputs and settings are unchanged is kept. One that is
pre-trained (:mod:`.pretraining`) has ``pretraining.csv`` too, and until it is finished
``pretraining.ckpt`` or ``pretrained.safetensors``.
``segmentation/set-aside/`` holds networks of earlier settings, finished or not (:mod:`.surplus`).
``segmentation/failures.csv`` names the networks that could not be trained; the others are kept.
``segmentation/postprocessing.json`` says how masks are drawn where that is learnt (:mod:`.learnt`).
With two stages ``segmentation/outline/`` has the files of the second (:mod:`.outline`).
Hidden lock files keep a second training out (see :mod:`..lock`).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence, Set
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager
from dataclasses import asdict, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ..errors import DISK_FULL, Failure, MammoroiError
from ..files import (
    read_json,
    remove_unfinished,
    sha256_of,
    write_csv,
    write_failures,
    write_json,
)
from ..lock import held
from ..resources import cores
from .config import SegmentationConfig
from .drawing import note_drawing
from .fit import fit, keep_model, let_go, remove_checkpoints
from .fold_jobs import FoldJob, fold_job, make_plan, roles
from .folds import NetworkName
from .gpus import claim_gpu, gpus_for_folds
from .learned_from import learned_from, note_learned_from
from .learnt import learn
from .loading import named
from .loggers import require_logger
from .network import NetworkSpec
from .normals import find_normals, taken_per_epoch
from .others import check_others, other_patients, prepare_others
from .outline import forget_outline, note_outline, training_places
from .prepare import SEGMENTATION, prepare, read_prepared
from .progress import watching
from .search import with_found
from .side_by_side import ORPHAN_S, side_by_side
from .start import begin_with_start, check_start, start_card, start_key, start_of
from .surplus import arrange, put_in_place

log = logging.getLogger(__name__)

TRAINING_VERSION = 1


def train(config: SegmentationConfig, study: Path) -> Path:
    """Prepare the images of a study and train the networks of all folds.

    Returns
    -------
    Path
        ``segmentation`` in the study folder.
    """
    with _lock(study):
        _prepare(config, study)
        return _train(config, study)


def prepare_all(config: SegmentationConfig, study: Path) -> Path:
    """Prepare all that :func:`train_prepared` needs, where the mammograms are.

    Returns
    -------
    Path
        ``segmentation`` in the study folder; ``prepared/failures.csv`` in it lists the images that
        are not ready.
    """
    with _lock(study):
        # Worker processes may have been started elsewhere: a relative path is not theirs.
        _prepare(config, Path(study).resolve())
    return Path(study) / SEGMENTATION


def _prepare(config: SegmentationConfig, study: Path) -> None:
    for settings, place in training_places(config):
        prepare(settings, study, place)
        prepare_others(settings, study, place)


def train_prepared(config: SegmentationConfig, study: Path) -> Path:
    """Train the networks of all folds from ``splits.json`` and the prepared arrays alone.

    Neither mammograms nor the libraries that read them are needed, so this also runs on a bare
    GPU machine that was given ``splits.json`` and ``segmentation/prepared/`` (with two stages also
    ``segmentation/outline/prepared/``). Without a GPU the networks are trained side by side, which
    small ones use better than several cores each; with several GPUs too, each network on its own.
    The first networks of all folds come first.

    A network that fails takes no other with it: the others are trained, then the failure is told.

    Raises
    ------
    MammoroiError
        When a fold has no image to train or tune on, the network cannot be built, another process
        trains in this folder, or a network failed.
    """
    with _lock(study):
        return _train(config, study)


def _lock(study: Path) -> AbstractContextManager[None]:
    return held(lock_of(study), f"{Path(study) / SEGMENTATION}", wait_s=ORPHAN_S)


def lock_of(study: Path) -> Path:
    """Give the file that a training of this study holds."""
    return Path(study) / "segmentation" / ".training.lock"


def _train(config: SegmentationConfig, study: Path) -> Path:
    from ..cohort.split import load_splits

    folder = Path(study) / SEGMENTATION
    forget_outline(config, folder)
    first, *_ = [
        _train_folds(settings, study, place) for settings, place in training_places(config)
    ]
    note_outline(config, folder)
    learn(config, folder, first, find_normals(config, folder, load_splits(Path(study))))
    note_drawing(config, folder)
    return folder


def _train_folds(config: SegmentationConfig, study: Path, place: str) -> list[FoldJob]:
    """Train the networks of all folds of one stage; give what each is trained on."""
    from ..cohort.split import load_splits
    from .network import build_network
    from .trainer import LOADERS, choose_accelerator

    folder = Path(study) / place
    splits = load_splits(study)
    index = read_prepared(config, folder)
    check_others(config, folder)
    index = index[index["patient_id"].isin(splits.train)]
    if not config.pretraining_epochs:
        index = index[index["has_mask"]]
    normals = find_normals(config, folder, splits)
    folds = [
        fold_job(config, splits, fold, index, folder, normals) for fold in range(len(splits.folds))
    ]
    _warn_of_no_normals(config, folds)
    write_csv(folder / "folds.csv", roles([job.sets for job in folds]))
    plan = make_plan(config, index, normals)
    write_json(folder / "plan.json", plan)
    # Here a wrong name or missing weights end the run with one message, not one per network.
    network = build_network(NetworkSpec.of(config), config.encoder_weights)
    for job in folds:
        drawn = {*job.sets.validation, *splits.test, *normals.drawn_by(job.fold)}
        check_start(config, job.fold, folder, drawn)
        begin_with_start(network, config, job.fold)
    require_logger(config)
    numbers = range(1, config.networks_per_fold + 1)
    jobs = [replace(job, network=number) for number in numbers for job in folds]
    arrange(folder, [job.name for job in jobs], wait_s=ORPHAN_S)

    here = cores()
    config = with_found(config, folder, folds[0], plan, here)
    accelerator = choose_accelerator(config)
    gpus = gpus_for_folds(config, accelerator)
    together = len(gpus) or config.workers or 2 * here
    if (accelerator != "cpu" and not gpus) or config.devices not in ("auto", 1):
        together = 1
    processes = min(together, len(jobs))
    if gpus:
        loaders = max(1, min(LOADERS, here // processes))
        config = replace(config, workers=config.workers or loaders)
    calls = [(train_fold, (config, folder, job, plan)) for job in jobs]
    with watching(folder, sorted(job.name for job in jobs), config.epochs):
        results: Iterator[tuple[int, Path | BaseException]]
        if processes == 1:
            results = _one_after_the_other(calls)
        else:
            begin = partial(claim_gpu, folder, gpus) if gpus else None
            results = side_by_side(calls, processes, max(1, here // processes), begin)
        failures = [
            _failure(jobs[number].name, result, place)
            for number, result in sorted(results, key=lambda pair: pair[0])
            if isinstance(result, BaseException)
        ]
    _tell(folder, failures)
    return folds


def _one_after_the_other(calls: Sequence[Any]) -> Iterator[tuple[int, Path | BaseException]]:
    for number, (function, arguments) in enumerate(calls):
        try:
            yield number, function(*arguments)
        except Exception as error:  # noqa: BLE001 - one bad network must not stop the others
            let_go(error)
            yield number, error


def _failure(name: NetworkName, error: BaseException, place: str) -> Failure:
    """Describe why a network could not be trained."""
    if isinstance(error, KeyboardInterrupt):
        raise error
    error = named(error)
    if isinstance(error, BrokenProcessPool):
        error = MammoroiError(
            "its process was killed again and again, in the end while no other network was trained",
            "most likely memory ran out: lower segmentation.workers, or raise "
            "segmentation.working_spacing_mm",
        )
    elif isinstance(error, OSError) and error.errno in DISK_FULL:
        error = MammoroiError(
            f"{error.filename or 'a file'} could not be written: {error.strerror}",
            "free space on the disk; the training goes on after the last epoch that was saved",
        )
    return Failure.of(str(name), f"{place}/train", error)


def _tell(folder: Path, failures: list[Failure]) -> None:
    """Write ``failures.csv`` and end the stage when there is one."""
    try:
        write_failures(folder / "failures.csv", failures)
    except OSError:
        if not failures:  # a full disk must not hide what it has done
            raise
    if failures:
        told = "; ".join(f"{failure.case}: {failure.error}" for failure in failures)
        actions = "; ".join(dict.fromkeys(failure.action for failure in failures))
        raise MammoroiError(
            f"{len(failures)} of the networks could not be trained ({told}); the others are kept",
            f"{actions}; then run the same command again",
        )


def train_fold(
    config: SegmentationConfig, folder: Path, job: FoldJob, plan: dict[str, Any]
) -> Path:
    """Train one network of a fold, or keep the one that is there; give its folder.

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
    target = folder / job.name.folder
    with held(folder / job.name.lock, str(target), wait_s=ORPHAN_S):
        remove_unfinished(target)
        _train_fold(config, folder, job, plan)
    return target


def _train_fold(
    config: SegmentationConfig, folder: Path, job: FoldJob, plan: dict[str, Any]
) -> None:
    from .pretraining import pretraining_card

    # How many networks there are is nothing of a single one; the card itself says what else it
    # started from or has seen.
    apart = ("networks_per_fold", "start_from", "pretraining_cohort", "normal_cohort")
    settings = {name: value for name, value in asdict(config).items() if name not in apart}
    config = replace(config, seed=job.name.seed(config.seed))
    start = start_key(config, job.fold)
    key = sha256_of(TRAINING_VERSION, config.training(), plan, job.inputs(), *start)
    target = folder / job.name.folder
    if put_in_place(folder, job.name, key):
        remove_checkpoints(target)  # it may have been killed just before
        if learned_from(target) is None:
            note_learned_from(target, _patients(config, folder, job), job.normals)
        _warn_where_nothing_is_found(job.name, target)
        return
    write_json(target / "training.json", {"key": key}, to_disk=True)
    accumulate = fit(config, folder, job, plan)
    card = {
        "fold": job.fold,
        "network_of_fold": job.network,
        "network": NetworkSpec.of(config).to_json(),
        "plan": plan,
        "inference": config.inference(),
        "settings": settings,
        **start_card(config, job.fold),
        **pretraining_card(config, target, job),
        "n_training_patients": len(job.sets.training),
        "n_tuning_patients": len(job.sets.tuning),
        "n_training_images": len(job.training),
        "n_tuning_images": len(job.tuning),
        **_normals_card(config, job),
        "accumulate": accumulate,
        "key": key,
        "versions": {name: version(name) for name in ("torch", "lightning", "monai")},
    }
    note_learned_from(target, _patients(config, folder, job), job.normals)
    keep_model(target, card)
    _warn_where_nothing_is_found(job.name, target)


def _normals_card(config: SegmentationConfig, job: FoldJob) -> dict[str, int]:
    """Give what mammograms without a lesion add to a network's card."""
    normals = len(job.normals)
    if not normals:
        return {}
    taken = taken_per_epoch(config, normals, len(job.training))
    return {"n_normal_images": normals, "normals_per_epoch": taken}


def _warn_of_no_normals(config: SegmentationConfig, jobs: Sequence[FoldJob]) -> None:
    """Say it when the settings name mammograms without a lesion and a fold learns from none."""
    without = [str(job.fold) for job in jobs if not job.normals]
    if config.normal_cohort is not None and without:
        log.warning(
            "fold %s learns from no mammogram without a lesion: all patients of "
            "segmentation.normal_cohort are of that fold, tune it or are test patients",
            ", ".join(without),
        )


def _warn_where_nothing_is_found(name: NetworkName, target: Path) -> None:
    """Say it when the epoch that is kept finds no lesion of the tuning patients."""
    card = read_json(target / "model.json")
    if card["metrics"]["tuning_dice"] == 0:
        known = card["settings"].get("crops") == "lesions"
        crops = "" if known else ", or set segmentation.crops to lesions with a patch"
        log.warning(
            "%s: the network in %s finds no lesion of its tuning patients (tuning Dice 0 in epoch "
            "%d, which is kept); look at its history.csv, raise segmentation.epochs or "
            "segmentation.learning_rate%s",
            *(name, target, card["epoch"], crops),
        )


def _patients(
    config: SegmentationConfig, folder: Path, job: FoldJob
) -> dict[str, Sequence[str] | Set[str]]:
    """Give the patients from whom a network learns, by role (:mod:`.learned_from`)."""
    start = start_of(config, job.fold)
    return {
        "training": job.sets.training,
        "tuning": job.sets.tuning,
        "pretraining": other_patients(folder, job.unmasked),
        "start": (start.patients if start else None) or frozenset(),
    }

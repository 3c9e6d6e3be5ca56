"""Lightning's part of one network: go on from the last epoch, and come through what can go wrong.

When the GPU's memory runs out, the step's batch is computed in more parts (``accumulate``), and the
training goes on from the last finished epoch.
"""

from __future__ import annotations

import gc
import logging
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import MammoroiError
from ..files import read_csv
from .config import SegmentationConfig

if TYPE_CHECKING:
    from lightning import LightningDataModule, LightningModule, Trainer

    from .fold_jobs import FoldJob
    from .trainer import PreparedData

log = logging.getLogger(__name__)

PRETRAINING = "pretraining.ckpt"
PRETRAINED = "pretrained.safetensors"
"""Checkpoint and result of the pre-training, for as long as the fold is not finished."""
FULL_MEMORY = (
    "OutOfMemoryError",
    "out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "DEVICE_ALLOCATION_FAILED",
)
"""Words of errors that say that a device's memory is full; the last three are of its libraries."""


def fit(config: SegmentationConfig, folder: Path, job: FoldJob, plan: dict[str, Any]) -> int:
    """Train one network until its last epoch, from ``last.ckpt`` where there is one.

    Returns
    -------
    int
        Into how many parts a step's batch was divided in the end.

    Raises
    ------
    MammoroiError
        When a batch of one image is too large for the device's memory, or the loss is not finite
        in step after step.
    """
    while memory_ran_out(_fit, config, folder, job, plan):
        config = with_smaller_parts(config)
        log.warning(
            "%s: the device's memory ran out; a batch of %d is now computed in %d parts",
            *(job.name, config.batch_size, config.accumulate),
        )
    return config.accumulate


def memory_ran_out(call: Callable[..., None], *arguments: Any) -> bool:
    """Call a function, and tell whether the device's memory was not enough for it.

    What it leaves is given up at once: Lightning's objects refer to each other, so that prepared
    arrays would be held beside those of the next network until Python happens to look.
    """
    import torch

    full = False
    try:
        call(*arguments)
    except Exception as error:
        full = memory_is_full(error)
        if not full:
            raise
    gc.collect()  # here, where the exception no longer holds the tensors of the step
    torch.cuda.empty_cache()
    return full


def let_go(error: BaseException) -> None:
    """Give up what the frames of an exception hold: arrays, and tensors on a device."""
    import torch

    one: BaseException | None = error
    while one is not None:
        traceback.clear_frames(one.__traceback__)
        one = one.__cause__ or one.__context__
    gc.collect()
    torch.cuda.empty_cache()


def memory_is_full(error: Exception) -> bool:
    """Tell whether an error says that the device's memory was not enough."""
    import torch

    full = isinstance(error, torch.cuda.OutOfMemoryError)
    return full or any(words in str(error) for words in FULL_MEMORY)


def with_smaller_parts(config: SegmentationConfig) -> SegmentationConfig:
    """Divide a step's batch into the next larger number of equal parts.

    Raises
    ------
    MammoroiError
        When the parts are single images already.
    """
    size, parts = config.batch_size, config.accumulate
    if parts == size:
        raise MammoroiError(
            "the device's memory is not enough for a single image",
            "raise segmentation.working_spacing_mm, set segmentation.patch, lower "
            "segmentation.channels, or set segmentation.precision to bf16-mixed",
        )
    more = next(number for number in range(parts + 1, size + 1) if size % number == 0)
    return replace(config, accumulate=more)


def _fit(config: SegmentationConfig, folder: Path, job: FoldJob, plan: dict[str, Any]) -> None:
    from lightning import seed_everything

    from .callbacks import quiet_lightning
    from .module import SegmentationModule
    from .pretraining import begin_with_pretrained, pretrain
    from .start import begin_with_start
    from .trainer import build_trainer

    target = folder / job.name.folder
    seed = config.seed + job.fold
    last = target / "last.ckpt"
    with quiet_lightning():
        begun = _begun(config, target)
        if config.pretraining_epochs and not begun:
            pretrain(config, folder, job, plan)
            gc.collect()  # of its images, as in `memory_ran_out`
        seed_everything(seed, workers=True, verbose=False)
        trainer = build_trainer(config, target)
        module = SegmentationModule(config, seed)
        if not begun:
            begin_with_start(module.network, config, job.fold)
            begin_with_pretrained(module.network, config, target)
        go_on(trainer, module, images_of(config, folder, job, plan), last if begun else None)


def _begun(config: SegmentationConfig, target: Path) -> bool:
    """Whether there is a training to go on with: its last epoch and, if it is kept, its best."""
    from .checkpoint import usable

    if not usable(target / "last.ckpt"):
        return False
    if config.keep == "last" or usable(best := target / "best.ckpt"):
        return True
    log.warning("without %s the epochs so far are of no use: the training starts again", best)
    return False


def go_on(
    trainer: Trainer, module: LightningModule, images: LightningDataModule, checkpoint: Path | None
) -> None:
    """Train to the last epoch, from a checkpoint where there is one.

    Raises
    ------
    KeyboardInterrupt
        When the user ends it.
    """
    try:
        trainer.fit(module, datamodule=images, ckpt_path=checkpoint, weights_only=True)
    except SystemExit:  # Lightning's answer to Ctrl-C
        raise KeyboardInterrupt from None
    except RuntimeError as error:
        # After a loader that could not start, Lightning's tidying fails too and hides why.
        if error.__context__ is None or "iter(combined_loader)" not in str(error):
            raise
        raise error.__context__ from None
    if trainer.interrupted:
        raise KeyboardInterrupt


def images_of(
    config: SegmentationConfig, folder: Path, job: FoldJob, plan: dict[str, Any]
) -> PreparedData:
    """Give the loaders of a fold's images, augmented on the host or on the device."""
    from .data import Augmentation, LesionPart, PreparedImages
    from .device_augmentation import Windows, on_device
    from .mixing import LesionMixing
    from .normals import taken_per_epoch
    from .store import ArrayStore
    from .trainer import PreparedData, choose_accelerator

    prepared = folder / "prepared"
    canvas = (plan["canvas"][0], plan["canvas"][1])
    patch = patch_within(config, canvas)
    seed = config.seed + job.fold
    training, tuning = (
        [image[0] for image in part] for part in ((*job.training, *job.normals), job.tuning)
    )
    mixing = LesionMixing(config.lesion_mixing, seed) if config.lesion_mixing else None
    images: PreparedImages | Windows
    if on_device(config, choose_accelerator(config)):
        arrays = ArrayStore(prepared, training, canvas)
        images = Windows(arrays, seed, config.augmentation, patch, mixing, config.crops)
    else:
        augment = Augmentation(seed, config.augmentation, patch, config.crops, len(job.training))
        images = PreparedImages(prepared, training, canvas, augment, mixing)
    part = LesionPart(patch) if patch and config.crops == "lesions" else None
    whole = canvas[0] * canvas[1]
    cut = patch[0] * patch[1] if patch else whole
    pixels = (cut, cut if part else whole)
    taken = taken_per_epoch(config, len(job.normals), len(job.training))
    sometimes = (len(job.normals), taken)
    shown = PreparedImages(prepared, tuning, canvas, part)
    return PreparedData(images, shown, config, pixels, sometimes)


def patch_within(config: SegmentationConfig, canvas: tuple[int, int]) -> tuple[int, int] | None:
    """Give the patch of the settings, no larger than the canvas; None for whole images."""
    return config.patch and (min(config.patch[0], canvas[0]), min(config.patch[1], canvas[1]))


def keep_model(target: Path, card: dict[str, Any]) -> None:
    """Turn the checkpoint of the epoch that is kept into the network; remove checkpoints."""
    from .checkpoint import network_state
    from .weights import save_model

    state, epoch = network_state(target / f"{card['settings']['keep']}.ckpt")
    history = read_csv(target / "history.csv")
    metrics = history[history["epoch"] == epoch].drop(columns="epoch").to_dict("records")[0]
    skipped = int(history["skipped_steps"].sum())
    save_model(
        target, state, {**card, "epoch": epoch, "metrics": metrics, "skipped_steps": skipped}
    )
    remove_checkpoints(target)


def remove_checkpoints(target: Path) -> None:
    """Remove what only an unfinished training needs."""
    from .checkpoint import DAMAGED

    for name in ("last.ckpt", "best.ckpt", PRETRAINING, PRETRAINED, "training.json"):
        (target / name).unlink(missing_ok=True)
    for path in target.glob(f"*{DAMAGED}"):
        path.unlink()

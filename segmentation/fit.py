"""Lightning's part of one fold: go on from the last epoch, and come through what can go wrong.

When the GPU's memory runs out, the step's batch is computed in more parts (``accumulate``), and the
training goes on from the last finished epoch.
"""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import MammoroiError
from ..files import read_csv
from .config import SegmentationConfig

if TYPE_CHECKING:
    from .train import FoldJob
    from .trainer import PreparedData

log = logging.getLogger(__name__)


def fit(config: SegmentationConfig, folder: Path, job: FoldJob, plan: dict[str, Any]) -> int:
    """Train one fold until its last epoch, from ``last.ckpt`` where there is one.

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
            "fold %d: the device's memory ran out; a batch of %d is now computed in %d parts",
            *(job.fold, config.batch_size, config.accumulate),
        )
    return config.accumulate


def memory_ran_out(call: Callable[..., None], *arguments: Any) -> bool:
    """Call a function, and tell whether the device's memory was not enough for it."""
    import torch

    try:
        call(*arguments)
    except torch.cuda.OutOfMemoryError:
        pass
    except Exception as error:
        # A process of DistributedDataParallel tells its parent in words.
        if "OutOfMemoryError" not in str(error) and "out of memory" not in str(error):
            raise
    else:
        return False
    gc.collect()  # here, where the exception no longer holds the tensors of the step
    torch.cuda.empty_cache()
    return True


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
    from .checkpoint import usable
    from .compiling import compile_network
    from .module import SegmentationModule
    from .trainer import build_trainer, choose_accelerator

    target = folder / f"fold-{job.fold}"
    seed = config.seed + job.fold
    last = target / "last.ckpt"
    with quiet_lightning():
        seed_everything(seed, workers=True, verbose=False)
        trainer = build_trainer(config, target)
        module = SegmentationModule(config, seed)
        for part in (module.network, module.supervision):
            if part is not None:
                compile_network(part, config, choose_accelerator(config))
        try:
            trainer.fit(
                module,
                datamodule=images_of(config, folder, job, plan),
                ckpt_path=last if usable(last) else None,
                weights_only=True,
            )
        except SystemExit:  # Lightning's answer to Ctrl-C
            raise KeyboardInterrupt from None
    if trainer.interrupted:
        raise KeyboardInterrupt


def images_of(
    config: SegmentationConfig, folder: Path, job: FoldJob, plan: dict[str, Any]
) -> PreparedData:
    """Give the loaders of a fold's images, augmented on the host or on the device."""
    from .data import Augmentation, PreparedImages
    from .device_augmentation import Windows, on_device
    from .mixing import LesionMixing
    from .store import ArrayStore
    from .trainer import PreparedData, choose_accelerator

    prepared = folder / "prepared"
    canvas = (plan["canvas"][0], plan["canvas"][1])
    seed = config.seed + job.fold
    training, tuning = ([image_id for image_id, _ in part] for part in (job.training, job.tuning))
    patch = config.patch and (min(config.patch[0], canvas[0]), min(config.patch[1], canvas[1]))
    mixing = LesionMixing(config.lesion_mixing, seed) if config.lesion_mixing else None
    images: PreparedImages | Windows
    if on_device(config, choose_accelerator(config)):
        arrays = ArrayStore(prepared, training, canvas)
        images = Windows(arrays, seed, config.augmentation, patch, mixing)
    else:
        augment = Augmentation(seed, config.augmentation, patch)
        images = PreparedImages(prepared, training, canvas, augment, mixing)
    return PreparedData(images, PreparedImages(prepared, tuning, canvas), config)


def keep_model(target: Path, card: dict[str, Any]) -> None:
    """Turn the checkpoint of the epoch that is kept into the fold's model; remove checkpoints."""
    import torch

    from .weights import save_model

    kept = target / f"{card['settings']['keep']}.ckpt"
    best = torch.load(kept, map_location="cpu", weights_only=True)
    prefix = "network."
    state = {
        name.removeprefix(prefix): tensor
        for name, tensor in best["state_dict"].items()
        if name.startswith(prefix)
    }
    history = read_csv(target / "history.csv")
    epoch = int(best["epoch"])
    metrics = history[history["epoch"] == epoch].drop(columns="epoch").to_dict("records")[0]
    skipped = int(history["skipped_steps"].sum())
    save_model(
        target, state, {**card, "epoch": epoch, "metrics": metrics, "skipped_steps": skipped}
    )
    remove_checkpoints(target)


def remove_checkpoints(target: Path) -> None:
    """Remove what only an unfinished training needs."""
    for name in ("last.ckpt", "best.ckpt", "training.json"):
        (target / name).unlink(missing_ok=True)

"""Trained networks at work: the probability of the lesion on a working array."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import MammoroiError
from .fit import memory_is_full
from .mapping import padded_size, resize
from .weights import Model

if TYPE_CHECKING:
    import torch


def probabilities(
    model: Model,
    array: NDArray[np.float16],
    inference: dict[str, Any],
    device: torch.device,
    canvas: tuple[int, int] | None = None,
) -> list[NDArray[np.float32]]:
    """Probabilities of the lesion, each float32 of the array's shape, 0..1.

    One for every scale of ``test_time_scales`` (networks from before have none: 1), of the array
    enlarged by it and brought back; with ``test_time_augmentation`` for each also that of its
    upside-down image, turned back. ``canvas`` as for :func:`run_network`.
    """
    members = []
    for scale in inference.get("test_time_scales", (1.0,)):
        scaled = array.astype(np.float32)
        if scale != 1:
            scaled = resize(
                scaled, (enlarged(array.shape[0], scale), enlarged(array.shape[1], scale))
            )
        given = [scaled, scaled[::-1]] if inference["test_time_augmentation"] else [scaled]
        results = [run_network(model, image, device, canvas) for image in given]
        for number, result in enumerate(results):
            upright = result[::-1] if number else result
            members.append(upright if scale == 1 else resize(upright, array.shape))
    return [np.ascontiguousarray(member) for member in members]


def enlarged(size: int, scale: float) -> int:
    """Give a side's length in pixels after scaling, at least one."""
    return max(1, round(size * scale))


def run_network(
    model: Model,
    image: NDArray[np.float32],
    device: torch.device,
    canvas: tuple[int, int] | None = None,
) -> NDArray[np.float32]:
    """Give the probability of one image, (rows, columns) both.

    It is padded to ``canvas``, without one to the training's, or beyond it where it is larger.

    Raises
    ------
    MammoroiError
        When the device's memory is not enough for it.
    """
    import torch

    rows, columns = image.shape
    sides = [
        max(int(side), padded_size(size, model.spec.multiple))
        for side, size in zip(canvas or model.card["plan"]["canvas"], image.shape, strict=True)
    ]
    with _enough_memory(f"an array of {sides[0]} x {sides[1]} pixels"), torch.inference_mode():
        padded = torch.zeros(1, 1, *sides, device=device)
        padded[0, 0, :rows, :columns] = torch.from_numpy(image.copy()).to(device)
        probability = model.network(padded)[0, 0, :rows, :columns].sigmoid()
        result: NDArray[np.float32] = probability.float().cpu().numpy()
    return result


@contextmanager
def _enough_memory(what: str) -> Iterator[None]:
    """Say what to do where a device's memory is not enough; leave all of it to what comes next."""
    import torch

    full = False
    try:
        yield
    except Exception as error:
        full = memory_is_full(error)
        if not full:
            raise
    if full:  # here, where the exception no longer holds the tensors of the network
        torch.cuda.empty_cache()
        raise MammoroiError(
            f"the device's memory is not enough for {what}",
            "end other programs that use the GPU (nvidia-smi lists them), or draw without it: "
            "segmentation.accelerator cpu, or CUDA_VISIBLE_DEVICES= before the command",
        )


@contextmanager
def on_device(models: Sequence[Model], device: torch.device) -> Iterator[None]:
    """Have the networks on a device for a while.

    Raises
    ------
    MammoroiError
        When its memory is not enough for them.
    """
    import torch

    try:
        with _enough_memory(f"{len(models)} networks"):
            for model in models:
                model.network.to(device).to(memory_format=torch.channels_last)
        yield
    finally:
        for model in models:
            model.network.cpu()

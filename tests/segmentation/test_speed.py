"""What makes a training fast must not change what it learns."""

from __future__ import annotations

import pickle
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.optim.swa_utils import AveragedModel
from torch.utils._python_dispatch import TorchDispatchMode

from mammoroi.segmentation import compiling, trainer
from mammoroi.segmentation.callbacks import MovingAverage
from mammoroi.segmentation.fit import images_of
from mammoroi.segmentation.module import SegmentationModule
from mammoroi.segmentation.train import train_fold

from .tiny import TINY, first_fold

ON_DEVICE = replace(
    TINY, augment_on="device", augmentation="strong", lesion_mixing=0.5, patch=(32, 16)
)


class Reads(TorchDispatchMode):
    """Counts how often the host asks for the value of a tensor, for which it waits for a GPU."""

    count = 0

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        self.count += function is torch.ops.aten._local_scalar_dense.default
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("deep_supervision", [False, True])
def test_networks_compute_with_channels_last(deep_supervision: bool, device: str) -> None:
    """As far as one can see without a GPU: the first layers, and no values."""
    orders: list[bool] = []
    with FakeTensorMode(), torch.device(device):
        module = SegmentationModule(replace(TINY, deep_supervision=deep_supervision))
        module.loss = torch.nn.MSELoss()  # MONAI's looks at values
        for part in (*module.network.conv_0.children(), module.network.down_1):
            part.register_forward_hook(
                lambda *given: orders.append(
                    given[-1].is_contiguous(memory_format=torch.channels_last)
                )
            )
        image, mask = torch.zeros(2, 1, 64, 64), torch.zeros(2, 1, 64, 64)
        module._training_loss({"image": image, "mask": mask})
    assert orders == [True, True, True]


@pytest.mark.parametrize("ema_decay", [0.0, 0.9])
def test_the_host_waits_for_the_device_once_a_step(
    study: Path, monkeypatch: pytest.MonkeyPatch, ema_decay: float
) -> None:
    reads, counts = Reads(), []
    as_list, step, on_host = Tensor.tolist, SegmentationModule.training_step, trainer.for_host

    def tolist(self: Tensor) -> list[Any]:
        reads.count += self.numel() > 0
        return as_list(self)

    def training_step(self: SegmentationModule, batch: dict, number: int) -> Tensor:
        counts.append(reads.count)
        return step(self, batch, number)

    def for_host(batch: dict) -> dict:  # while it lies on the host
        before = reads.count
        batch = on_host(batch)
        reads.count = before
        return batch

    monkeypatch.setattr(Tensor, "tolist", tolist)
    monkeypatch.setattr(SegmentationModule, "training_step", training_step)
    monkeypatch.setattr(trainer, "for_host", for_host)
    # As on a GPU; the other kind asks for its number of steps, which lies on the host.
    adam = torch.optim.AdamW
    monkeypatch.setattr(torch.optim, "AdamW", lambda *a, **k: adam(*a, **k | {"fused": True}))
    config = replace(ON_DEVICE, epochs=1, batch_size=1, ema_decay=ema_decay, lesion_mixing=0.0)
    fold = first_fold(study, config)
    with reads:
        train_fold(config, *fold)
    assert len(counts) > 3
    # Asked, too, are tensors that lie on the host: MONAI's Dice once for its axes, the average
    # once whether there is one yet.
    assert np.diff(counts).tolist()[1:] == [1 + 1 + (ema_decay > 0)] * (len(counts) - 2)


def test_the_moving_average_is_pytorchs_and_leaves_its_count_on_the_host(
    study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A count that is sent to a GPU makes the host wait."""
    config = replace(TINY, epochs=2, batch_size=2, ema_decay=0.9, keep="last")
    fold = first_fold(study, config)
    called: list[int] = []
    update = AveragedModel.update_parameters

    def update_parameters(self: AveragedModel, model: torch.nn.Module) -> None:
        called.append(1)
        update(self, model)

    monkeypatch.setattr(AveragedModel, "update_parameters", update_parameters)
    weights = (train_fold(config, *fold) / "model.safetensors").read_bytes()
    assert len(called) == 1  # the first weights
    shutil.rmtree(study / "segmentation" / "fold-0")
    monkeypatch.delattr(MovingAverage, "on_train_batch_end")
    assert (train_fold(config, *fold) / "model.safetensors").read_bytes() == weights
    assert len(called) > 5


def test_a_missing_compiler_is_said_and_survived(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_: object) -> None:
        raise RuntimeError("Failed to find C compiler.\nMore")

    monkeypatch.setattr(torch, "compile", broken)
    network = torch.nn.Conv2d(1, 1, 3)
    assert not compiling.compile_network(network, replace(TINY, compile="auto"), "gpu")
    assert "trains uncompiled: Failed to find C compiler." in caplog.text
    assert network._compiled_call_impl is None


def test_nothing_is_compiled_on_the_cpu_or_unasked() -> None:
    network = torch.nn.Conv2d(1, 1, 3)
    assert not compiling.compile_network(network, replace(TINY, compile="auto"), "cpu")
    assert not compiling.compile_network(network, TINY, "gpu")


def test_a_network_is_compiled_in_the_process_that_trains_it(
    study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiling, "missing_compiler", lambda _: None)
    config = replace(TINY, compile="auto", deep_supervision=True, devices=2)
    built = trainer.build_trainer(config, study)
    for callback in built.callbacks:
        if isinstance(callback, compiling.Compiling):
            callback.accelerator = "gpu"
    module = SegmentationModule(config)
    module.network.compile()
    _, callbacks, arrived = pickle.loads(pickle.dumps((built, built.callbacks, module)))
    assert arrived.network._compiled_call_impl is None
    for callback in callbacks:
        if isinstance(callback, compiling.Compiling):
            callback.setup(built, arrived, "fit")
    assert arrived.network._compiled_call_impl is not None
    assert arrived.supervision._compiled_call_impl is not None


@pytest.mark.slow
def test_a_compiled_network_keeps_its_names_and_values(monkeypatch: pytest.MonkeyPatch) -> None:
    from mammoroi.segmentation.network import NetworkSpec, build_network

    network = build_network(NetworkSpec.of(TINY)).eval()
    image = torch.rand(2, 1, 32, 16)
    names = list(network.state_dict())
    with torch.inference_mode():
        before = network(image)
        missing = compiling.missing_compiler
        monkeypatch.setattr(compiling, "missing_compiler", lambda _: missing("cpu"))
        assert compiling.compile_network(network, replace(TINY, compile="auto"), "gpu")
        torch.testing.assert_close(network(image), before, atol=1e-4, rtol=1e-4)
    assert list(network.state_dict()) == names
    torch._dynamo.reset()


def test_images_per_device_and_part_are_the_loaders(study: Path) -> None:
    config = replace(TINY, accumulate=2)
    data = images_of(config, *first_fold(study, config))
    assert data.batch_size == 2

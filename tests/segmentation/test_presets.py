"""Presets for GPUs of three sizes: they load, the networks learn, the memory is estimated."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from mammoroi.configuration import configured, find_config
from mammoroi.segmentation.candidates import CANDIDATE_PROBABILITY
from mammoroi.segmentation.config import SegmentationConfig
from mammoroi.segmentation.module import build_loss
from mammoroi.segmentation.network import NetworkSpec, build_network
from mammoroi.stages import StudyConfig

CARDS_GB = {"small": 8, "default": 24, "large": 80}
DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "train.md"


def settings(name: str) -> SegmentationConfig:
    return configured(StudyConfig, "test", find_config(name), []).segmentation


@pytest.mark.parametrize("name", CARDS_GB)
def test_network_takes_a_step_on_a_small_patch(name: str) -> None:
    config = settings(name)
    assert config.patch is not None
    rows, columns = (side // 8 // 16 * 16 or 16 for side in config.patch)
    network = build_network(NetworkSpec.of(config))
    image = torch.rand(2, 1, rows, columns, generator=torch.Generator().manual_seed(0))
    mask = (image > 0.9).float()
    loss = build_loss(config.loss)
    optimizer = torch.optim.AdamW(network.parameters(), lr=config.learning_rate)
    first = loss(network(image), mask)
    first.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())
    optimizer.step()
    assert loss(network(image), mask) < first


@pytest.mark.parametrize("name", CARDS_GB)
def test_the_page_says_the_estimated_memory_and_it_fits(name: str) -> None:
    memory = estimated_gb(settings(name))
    row = next(line for line in PAGE.read_text().splitlines() if line.startswith(f"| `{name}`"))
    said = re.search(r"\| about (\d+) GB", row)
    assert said is not None
    assert int(said[1]) == round(memory)
    # The rest is for the gradients of activations, the workspace of cuDNN and fragmentation.
    assert memory < 0.6 * CARDS_GB[name]


def test_the_page_tells_the_preset_default_from_the_settings_own_defaults() -> None:
    text = " ".join((DOCS / "training-settings.md").read_text("utf-8").split())
    start = text.index("What a file does not say")
    own, preset = text[start:].split("`mammoroi study --help`", 1)
    for said, config in ((own, SegmentationConfig()), (preset, settings("default"))):
        said = said.split("## ")[0]
        assert f"{config.working_spacing_mm:g} mm" in said
        assert f"{config.channels[0]} to {config.channels[-1]}" in said
        assert f"batches of {config.batch_size}" in said
        assert f"`threshold: {config.threshold}`" in said
        crop = config.patch and " x ".join(map(str, config.patch))
        assert (f"crops of {crop}" if crop else "whole breasts") in said


def test_the_page_says_by_what_lesions_and_poor_masks_are_measured() -> None:
    page, config = PAGE.read_text("utf-8"), SegmentationConfig()
    rates = config.fp_per_image
    for said in (
        f"sensitivity at 1/{1 / rates[0]:g} to {rates[-1]:g} false positives per image",
        f"of probability {CANDIDATE_PROBABILITY} or more",
        f"of {config.minimum_area_mm2:g} mm² or more (`segmentation.minimum_area_mm2`",
        f"by an IoU of {config.hit_iou} (`segmentation.hit_iou`)",
        f"to catch {config.caught:.0%}".replace("%", " % (`segmentation.caught`)"),
        f"Dice below {config.poor_dice} (`segmentation.poor_dice`)",
    ):
        assert said in page, said


def estimated_gb(config: SegmentationConfig) -> float:
    """What a step keeps for its way back, in bf16, and 16 bytes per weight (AdamW), in GiB."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    assert config.patch is not None
    kept: list[torch.Tensor] = []
    with FakeTensorMode(allow_non_fake_inputs=True):
        network = build_network(NetworkSpec.of(config)).train()
        count = sum(parameter.numel() for parameter in network.parameters())
        with (
            torch.autograd.graph.saved_tensors_hooks(
                lambda tensor: kept.append(tensor) or tensor, lambda tensor: tensor
            ),
            torch.autocast("cpu", torch.bfloat16),
        ):
            network(torch.zeros(config.batch_size, 1, *config.patch))
        storages = {t.untyped_storage()._cdata: t.untyped_storage().nbytes() for t in kept}
    return (sum(storages.values()) + 16 * count) / 2**30

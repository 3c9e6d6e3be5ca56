"""Networks of other makes: MONAI's DynUNet, encoders without a level of half the resolution."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from monai.networks.nets.dynunet import DynUNet

from mammoroi.segmentation.config import SegmentationConfig
from mammoroi.segmentation.network import NetworkSpec, build_network
from mammoroi.segmentation.plain import PlainUNet, dynunet_settings
from mammoroi.segmentation.probability import probabilities
from mammoroi.segmentation.weights import load_model, save_model

CHANNELS = (4, 6, 8, 10, 12)


def test_it_is_monais_dynunet() -> None:
    torch.manual_seed(1)
    theirs = DynUNet(**dynunet_settings(CHANNELS)).eval()
    torch.manual_seed(1)
    ours = PlainUNet(CHANNELS).eval()
    image = torch.rand(2, 1, 64, 48)
    with torch.inference_mode():
        assert ours(image).equal(theirs(image))
    assert len(theirs.state_dict()) > len(ours.state_dict()) == len(list(ours.parameters()))
    deep = DynUNet(**dynunet_settings(CHANNELS), deep_supervision=True, deep_supr_num=2)
    deep.load_state_dict(ours.state_dict(), strict=False)
    deep(image)  # keeps what its heads say, finest first
    levels = ours.decoded(image)[1:3]
    for level, head, said in zip(levels, deep.deep_supervision_heads, deep.heads, strict=True):
        torch.testing.assert_close(head(level), said)


def test_it_expects_a_lesion_in_few_pixels() -> None:
    network = build_network(NetworkSpec("dynunet", CHANNELS, ""))
    assert network.output_block.conv.conv.bias.sigmoid().item() == pytest.approx(0.03)


def test_layout_of_memory_changes_nothing() -> None:
    torch.manual_seed(0)
    network = build_network(NetworkSpec("dynunet", CHANNELS, "")).eval()
    image = torch.rand(2, 1, 64, 48)
    with torch.inference_mode():
        other = network(image.to(memory_format=torch.channels_last))
        torch.testing.assert_close(other, network(image))


@pytest.mark.parametrize("encoder", ["mit_b0", "tu-convnext_atto"])
def test_encoders_that_begin_at_a_quarter_of_the_resolution(encoder: str, tmp_path: Path) -> None:
    """One grey channel, every weight learns, any size that the multiple allows, saved and read."""
    torch.manual_seed(0)
    spec = NetworkSpec("smp-unet", CHANNELS, encoder, (16, 12, 8, 8, 4))
    network = build_network(spec)
    logits = network(torch.rand(2, 1, 96, 64))
    assert logits.shape == (2, 1, 96, 64)
    logits.square().mean().backward()
    assert [name for name, p in network.named_parameters() if p.grad is None] == []
    card = {
        "network": spec.to_json(),
        "plan": {"working_spacing_mm": 1.0, "canvas": [64, 64]},
        "inference": SegmentationConfig().inference(),
    }
    save_model(tmp_path, network.state_dict(), card)
    array = np.random.default_rng(3).random((90, 77)).astype(np.float16)
    drawn = probabilities(load_model(tmp_path), array, card["inference"], torch.device("cpu"))
    assert [one.shape for one in drawn] == [(90, 77)] * 2
    assert np.isfinite(drawn).all()

"""ImageNet weights from a package: they are those of timm's network, and it knows a cat."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image

from mammoroi.errors import MammoroiError
from mammoroi.segmentation.network import NetworkSpec, build_network
from mammoroi.segmentation.pretrained import PACKAGED, load_packaged

SPECS = {name: NetworkSpec("smp-unet", (8, 8, 8, 8, 8), name) for name in PACKAGED}
installed = pytest.mark.skipif(
    not all(importlib.util.find_spec(of.package) for of in PACKAGED.values()),
    reason="the extra `pretrained` is not installed",
)


@installed
@pytest.mark.parametrize("encoder", PACKAGED)
def test_a_grey_picture_of_a_cat_is_a_cat(encoder: str) -> None:
    import timm
    from skimage.data import chelsea

    name = encoder.removeprefix("tu-")
    side = timm.get_pretrained_cfg(name).input_size[-1]
    network = timm.create_model(name, in_chans=1).eval()
    load_packaged(network, encoder)
    picture = Image.fromarray(chelsea()[:, 75:375]).convert("L").resize((side, side))
    values = torch.from_numpy(np.asarray(picture, np.float32) / 255)[None, None]
    with torch.inference_mode():
        best = network((values - 0.5) / 0.5).argmax(1)
    assert int(best) in (281, 282, 285)  # tabby, tiger cat, Egyptian cat


@installed
@pytest.mark.parametrize("encoder", PACKAGED)
def test_the_encoder_of_the_unet_starts_from_them(encoder: str) -> None:
    import timm

    whole = timm.create_model(encoder.removeprefix("tu-"), in_chans=1)
    load_packaged(whole, encoder)
    expected = whole.state_dict()
    tensors = build_network(SPECS[encoder], "imagenet").encoder.model.state_dict()
    assert len(tensors) > 250
    for name, tensor in tensors.items():
        assert tensor.equal(expected[name]), name
    assert not tensors["conv_stem.weight"].equal(
        build_network(SPECS[encoder]).encoder.model.state_dict()["conv_stem.weight"]
    )


@pytest.mark.parametrize("encoder", PACKAGED)
def test_without_the_package_the_extra_is_named(encoder: str, without: Callable[..., None]) -> None:
    without(PACKAGED[encoder].package)
    package = PACKAGED[encoder].package.replace("_", "-")
    with pytest.raises(MammoroiError, match=rf"{package}.*mammoroi\[pretrained\]"):
        build_network(SPECS[encoder], "imagenet")


def test_an_unknown_encoder_of_timm_is_refused_with_the_nearest() -> None:
    with pytest.raises(MammoroiError, match="tu-tf_efficientnet_lite0"):
        build_network(NetworkSpec("smp-unet", (8, 8, 8, 8, 8), "tu-tf_efficientnet_lit0"))

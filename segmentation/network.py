"""Architectures by name: one grey channel in, one logit per pixel out."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, cast

from ..errors import MammoroiError
from .choices import one_of
from .config import ARCHITECTURES, MULTIPLES, SegmentationConfig

if TYPE_CHECKING:
    from torch import Tensor, nn


# A network that starts by expecting a lesion in few pixels (here 3 %) has not to learn that first
# (Lin et al. 2017, Focal loss, section 3.3).
PRIOR_LOGIT = math.log(0.03 / 0.97)
HEADS = {
    "unet": "final_conv.",
    "dynunet": "output_block.",
    "smp-unet": "segmentation_head.",
}
"""What the names of the tensors of the last layer begin with."""


@dataclass(frozen=True)
class NetworkSpec:
    """What must be known to build a network again; kept beside its weights.

    Attributes
    ----------
    architecture : str
        One of :data:`.config.ARCHITECTURES`.
    channels : tuple of int
        Channels per level of ``unet`` and ``dynunet``.
    encoder : str
        Encoder of ``smp-unet``.
    decoder_channels : tuple of int
        Channels per level of its decoder.
    """

    architecture: str
    channels: tuple[int, ...]
    encoder: str
    decoder_channels: tuple[int, ...] = (256, 128, 64, 32, 16)

    @classmethod
    def of(cls, config: SegmentationConfig) -> NetworkSpec:
        """Take the network's part of the settings."""
        return cls(config.architecture, config.channels, config.encoder, config.decoder_channels)

    def __post_init__(self) -> None:
        one_of("architecture", self.architecture, ARCHITECTURES)
        object.__setattr__(self, "channels", tuple(self.channels))
        object.__setattr__(self, "decoder_channels", tuple(self.decoder_channels))

    @property
    def multiple(self) -> int:
        """Height and width of the input must be multiples of this."""
        return MULTIPLES[self.architecture]

    def to_json(self) -> dict[str, Any]:
        """Give the attributes as a dictionary."""
        return asdict(self)


def build_network(spec: NetworkSpec, encoder_weights: str | None = None) -> nn.Module:
    """Build a network with (batch, 1, rows, columns) in and logits of the same shape out.

    Parameters
    ----------
    spec : NetworkSpec
        Which network.
    encoder_weights : str, optional
        ``imagenet`` starts the encoder of ``smp-unet`` from published weights.

    Raises
    ------
    MammoroiError
        When the encoder is unknown, or its weights cannot be had.
    """
    if spec.architecture == "smp-unet":
        return _smp_unet(spec, encoder_weights)
    if spec.architecture == "dynunet":
        return _dynunet(spec.channels)
    return _unet(spec.channels)


def _unet(channels: tuple[int, ...]) -> nn.Module:
    import torch
    from monai.networks.nets.basic_unet import BasicUNet

    network = BasicUNet(
        spatial_dims=2,
        in_channels=1,
        out_channels=1,
        features=(*channels, channels[0]),
        norm="batch",
    )
    torch.nn.init.constant_(network.final_conv.bias, PRIOR_LOGIT)
    return cast("nn.Module", network)


def _dynunet(channels: tuple[int, ...]) -> nn.Module:
    import torch

    from .plain import PlainUNet

    network = PlainUNet(channels)
    torch.nn.init.constant_(network.output_block.conv.conv.bias, PRIOR_LOGIT)
    return network


def _smp_unet(spec: NetworkSpec, encoder_weights: str | None) -> nn.Module:
    import segmentation_models_pytorch as smp
    import timm
    import torch

    from .pretrained import PACKAGED, load_packaged

    encoder = spec.encoder
    own = smp.encoders.get_encoder_names()
    one_of("encoder", encoder, (*own, *(f"tu-{name}" for name in timm.list_models())))
    packaged = encoder in PACKAGED and encoder_weights == "imagenet"
    if packaged:
        encoder_weights = None
    try:
        network: nn.Module = smp.Unet(
            encoder,
            encoder_weights=encoder_weights,
            decoder_channels=spec.decoder_channels,
            in_channels=1,
        )
    except (OSError, KeyError, RuntimeError, ValueError) as error:
        if encoder_weights is None:
            raise
        raise MammoroiError(
            f"{encoder_weights} weights of the encoder {encoder} cannot be had: {error}",
            "run once with access to the internet so that they are kept on this computer, or set "
            "segmentation.encoder_weights to null",
        ) from error
    if packaged:
        load_packaged(cast("nn.Module", cast("Any", network).encoder.model), encoder)
    head = cast("nn.Sequential", network.segmentation_head)[0]
    torch.nn.init.constant_(cast("Tensor", head.bias), PRIOR_LOGIT)
    return network

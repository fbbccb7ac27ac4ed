"""A U-Net that removes noise, the encoder that guides it, and the decoder that the encoder learns with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jaxtyping import Float
from monai.networks.nets.resnet import ResNet
from torch import Tensor, nn
from torch.nn.functional import pixel_shuffle

from brainuad.config.diffusion import STRIDE
from brainuad.methods.shared.diffusion import Denoiser

if TYPE_CHECKING:
    from brainuad.methods.cddpm import Encoder, Settings


class SliceEncoder(nn.Module):
    """MONAI's ResNet for slices."""

    def __init__(self, settings: Encoder):
        super().__init__()
        planes = [settings.width * 2**level for level in range(4)]
        self.resnet = ResNet(
            block=settings.blocks,
            layers=list(settings.layers),
            block_inplanes=planes,
            spatial_dims=2,
            n_input_channels=1,
            conv1_t_stride=2,
            num_classes=settings.features,
        )
        self.channels = planes[-1] * (4 if settings.blocks == "bottleneck" else 1)

    def last_map(self, batch: Float[Tensor, "n 1 size size"]) -> Float[Tensor, "n channels side side"]:
        """The last map before it is averaged."""
        net = self.resnet
        first = net.maxpool(net.act(net.bn1(net.conv1(batch))))
        features: Tensor = net.layer4(net.layer3(net.layer2(net.layer1(first))))
        return features

    def forward(self, batch: Float[Tensor, "n 1 size size"]) -> Float[Tensor, "n features"]:
        """A vector for each slice."""
        features: Tensor = self.resnet.fc(self.last_map(batch).mean((2, 3)))
        return features


class ConditionedDenoiser(nn.Module):
    """Encoder and U-Net, and a decoder that restores masked slices from the encoder's last map."""

    def __init__(self, settings: Settings):
        super().__init__()
        self.encoder = SliceEncoder(settings.encoder)
        self.restorer = nn.Conv2d(self.encoder.channels, STRIDE**2, 3, padding=1)
        self.denoiser = Denoiser(settings.network, settings.encoder.features)

    def restore(self, masked: Float[Tensor, "n 1 size size"]) -> Float[Tensor, "n 1 size size"]:
        """Slices whole again."""
        return pixel_shuffle(self.restorer(self.encoder.last_map(masked)), STRIDE)

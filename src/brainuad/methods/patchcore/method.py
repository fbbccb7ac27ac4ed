"""The method of PatchCore."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from brainuad.methods.shared.features import Frozen, MemoryMethod
from brainuad.methods.shared.pretrained import as_colour
from brainuad.methods.shared.resnet import ResNet

if TYPE_CHECKING:
    from brainuad.methods.patchcore import Settings


class PatchCoreMethod(MemoryMethod):
    """Two layers of a residual network, each averaged over its neighbourhood, joined at the size of the first."""

    def __init__(self, settings: Settings):
        self.chosen, self.side, self.backbone = settings.layers, settings.neighbourhood, settings.backbone
        super().__init__(settings, settings.memory, settings.min_brain_share)

    def make_network(self) -> nn.Module:
        return Frozen(ResNet(self.backbone.network, self.backbone.width, self.chosen[1]))

    def grid(self) -> tuple[int, int]:
        side = self.settings.size
        for _ in range(self.chosen[0] + 1):  # the stem halves twice, the first layer keeps the size
            side = (side + 1) // 2
        return side, side

    def patches(self, batch: Float[Tensor, "n 1 x y"]) -> Float[Tensor, "n h w d"]:
        maps = self.network.get_submodule("backbone")(as_colour(batch))
        first, second = (
            functional.avg_pool2d(maps[number], self.side, 1, self.side // 2, count_include_pad=False)
            for number in self.chosen
        )
        second = functional.interpolate(second, size=first.shape[2:], mode="bilinear")
        return torch.cat([first, second], dim=1).permute(0, 2, 3, 1)

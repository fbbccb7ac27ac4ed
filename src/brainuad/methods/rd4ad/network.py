"""Teacher, fusion and student of reverse distillation. Source: Deng and Li 2022, figure 3 and section 3."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from brainuad.config.features import ResNetBackbone
from brainuad.methods.shared.features import Frozen
from brainuad.methods.shared.resnet import LAYOUTS, ResNet, layer, widths

DEPTH = 3
"""Layers of the teacher that are rebuilt."""


class Rebuilt(NamedTuple):
    """Features of the teacher, and what the student makes of their code, layer by layer."""

    features: list[Tensor]
    rebuilt: list[Tensor]


class Fusion(nn.Module):
    """Brings the features of all layers to the size of the last, and embeds them in one map of half that size."""

    def __init__(self, settings: ResNetBackbone):
        super().__init__()
        layout, channels = LAYOUTS[settings.network], widths(settings.network, settings.width)
        self.down = nn.ModuleList(
            nn.Sequential(*(part for number in range(first, DEPTH) for part in _halved(*channels[number : number + 2])))
            for first in range(1, DEPTH + 1)
        )
        planes = 8 * settings.width
        self.embed = layer(DEPTH * channels[DEPTH], planes, layout.blocks[3], layout, "down")

    def forward(self, features: list[Tensor]) -> Float[Tensor, "n c h w"]:
        """The code."""
        found: Tensor = self.embed(
            torch.cat([down(each) for down, each in zip(self.down, features, strict=True)], dim=1)
        )
        return found


class Student(nn.Module):
    """The teacher in reverse, by transposed convolutions."""

    def __init__(self, settings: ResNetBackbone):
        super().__init__()
        layout, width = LAYOUTS[settings.network], settings.width
        inputs, layers = 8 * width * layout.expansion, []
        for number in range(DEPTH):
            planes = width * 2 ** (DEPTH - 1 - number)
            layers.append(layer(inputs, planes, layout.blocks[number], layout, "up"))
            inputs = planes * layout.expansion
        self.layers = nn.ModuleList(layers)

    def forward(self, code: Float[Tensor, "n c h w"]) -> list[Tensor]:
        """Features in the order of the teacher's layers."""
        found = [code]
        for each in self.layers:
            found.append(each(found[-1]))
        return found[:0:-1]


class TeacherAndStudent(Frozen):
    """The frozen teacher, and what is trained."""

    def __init__(self, settings: ResNetBackbone):
        super().__init__(ResNet(settings.network, settings.width, DEPTH))
        self.fusion, self.student = Fusion(settings), Student(settings)
        for part in [*self.fusion.modules(), *self.student.modules()]:
            if isinstance(part, nn.Conv2d):
                nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, batch: Float[Tensor, "n 3 x y"]) -> Rebuilt:
        """Features and what the student makes of them."""
        with torch.no_grad():
            features = self.backbone(batch)[1:]
        return Rebuilt(features, self.student(self.fusion(features)))


def _halved(inputs: int, outputs: int) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, 3, 2, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]

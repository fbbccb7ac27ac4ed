"""Residual networks for pretrained weights: layers have the names of torchvision's, of which none is needed here.

Source: He et al. 2016, Zagoruyko and Komodakis 2016 (wide).
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from brainuad.config.features import ResNetName

Step = Literal["same", "down", "up"]
"""Whether a block keeps, halves or doubles the size of the map."""


class Layout(NamedTuple):
    """`blocks` of each of the four layers; `expansion` of a block's output, `wide` of its inner convolutions."""

    bottleneck: bool
    blocks: tuple[int, int, int, int]
    wide: int = 1

    @property
    def expansion(self) -> int:
        """Channels of a block's output, relative to its planes."""
        return 4 if self.bottleneck else 1


LAYOUTS: dict[ResNetName, Layout] = {
    "resnet18": Layout(False, (2, 2, 2, 2)),
    "resnet50": Layout(True, (3, 4, 6, 3)),
    "wide_resnet50_2": Layout(True, (3, 4, 6, 3), wide=2),
}


class Block(nn.Module):
    """Two convolutions of kernel 3, or a bottleneck of 1, 3 and 1, beside a shortcut."""

    def __init__(self, inputs: int, planes: int, layout: Layout, step: Step = "same"):
        super().__init__()
        outputs, inner = planes * layout.expansion, planes * layout.wide
        if layout.bottleneck:
            convs = [_one(inputs, inner), _three(inner, inner, step), _one(inner, outputs)]
            widths = [inner, inner, outputs]
        else:
            convs, widths = [_three(inputs, planes, step), _three(planes, planes)], [planes, planes]
        self.depth = len(convs)
        for number, (conv, width) in enumerate(zip(convs, widths, strict=True), start=1):
            self.add_module(f"conv{number}", conv)
            self.add_module(f"bn{number}", nn.BatchNorm2d(width))
        self.downsample: nn.Sequential | None = None
        if step != "same" or inputs != outputs:
            self.downsample = nn.Sequential(_one(inputs, outputs, step), nn.BatchNorm2d(outputs))

    def forward(self, batch: Float[Tensor, "n c x y"]) -> Tensor:
        """The block's output."""
        found = batch
        for number in range(1, self.depth + 1):
            found = self.get_submodule(f"bn{number}")(self.get_submodule(f"conv{number}")(found))
            if number < self.depth:
                found = functional.relu(found)
        return functional.relu(found + (batch if self.downsample is None else self.downsample(batch)))


def layer(inputs: int, planes: int, count: int, layout: Layout, step: Step) -> nn.Sequential:
    """`count` blocks, the first of which changes the size."""
    first = Block(inputs, planes, layout, step)
    return nn.Sequential(first, *(Block(planes * layout.expansion, planes, layout) for _ in range(1, count)))


class ResNet(nn.Module):
    """The first `layers` of the four layers, without the classifier. `width`: channels of the first convolution."""

    def __init__(self, name: ResNetName, width: int, layers: int):
        super().__init__()
        layout = LAYOUTS[name]
        self.conv1 = nn.Conv2d(3, width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.layers = layers
        inputs = width
        for number in range(layers):
            planes = width * 2**number
            step: Step = "down" if number else "same"
            self.add_module(f"layer{number + 1}", layer(inputs, planes, layout.blocks[number], layout, step))
            inputs = planes * layout.expansion

    def forward(self, batch: Float[Tensor, "n 3 x y"]) -> list[Tensor]:
        """The stem's output at a quarter of the size, then that of each layer: a quarter, an eighth, a sixteenth."""
        found = [functional.max_pool2d(functional.relu(self.bn1(self.conv1(batch))), 3, 2, 1)]
        for number in range(1, self.layers + 1):
            found.append(self.get_submodule(f"layer{number}")(found[-1]))
        return found


def widths(name: ResNetName, width: int) -> list[int]:
    """Channels of what `ResNet` returns."""
    return [width, *(width * 2**number * LAYOUTS[name].expansion for number in range(4))]


def _three(inputs: int, outputs: int, step: Step = "same") -> nn.Module:
    if step == "up":
        return nn.ConvTranspose2d(inputs, outputs, 2, 2, bias=False)
    return nn.Conv2d(inputs, outputs, 3, 2 if step == "down" else 1, 1, bias=False)


def _one(inputs: int, outputs: int, step: Step = "same") -> nn.Module:
    if step == "up":
        return nn.ConvTranspose2d(inputs, outputs, 2, 2, bias=False)
    return nn.Conv2d(inputs, outputs, 1, 2 if step == "down" else 1, bias=False)

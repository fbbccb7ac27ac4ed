"""The method of AnomalyDINO."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from brainuad.methods.shared.features import Frozen, MemoryMethod
from brainuad.methods.shared.pretrained import as_colour
from brainuad.methods.shared.vit import VisionTransformer

if TYPE_CHECKING:
    from brainuad.methods.anomaly_dino import Settings


class AnomalyDinoMethod(MemoryMethod):
    """Tokens of length 1, so that half a squared distance is 1 minus the cosine similarity."""

    def __init__(self, settings: Settings):
        self.backbone = settings.backbone
        super().__init__(settings, settings.memory, settings.min_brain_share)

    def make_network(self) -> nn.Module:
        return Frozen(VisionTransformer(self.backbone))

    def grid(self) -> tuple[int, int]:
        side = self.settings.size // self.backbone.patch
        return side, side

    def patches(self, batch: Float[Tensor, "n 1 x y"]) -> Float[Tensor, "n h w d"]:
        tokens = self.network.get_submodule("backbone")(as_colour(batch))
        return functional.normalize(tokens, dim=1).permute(0, 2, 3, 1)

    def distance(self, squared: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
        return squared / 2

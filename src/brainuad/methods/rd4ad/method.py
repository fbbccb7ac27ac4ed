"""The method of reverse distillation."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from brainuad.methods.rd4ad.network import TeacherAndStudent
from brainuad.methods.shared.features import FeatureMethod
from brainuad.methods.shared.pretrained import as_colour

if TYPE_CHECKING:
    from lightning import LightningModule

    from brainuad.methods.rd4ad import Settings


class ReverseDistillation(FeatureMethod):
    """Distances of the student's features from the teacher's, summed over layers at the size of the first."""

    aligned: ClassVar[bool] = True

    def __init__(self, settings: Settings):
        self.backbone, self.train = settings.backbone, settings.train
        super().__init__(settings, settings.train.min_brain_share)

    def make_network(self) -> nn.Module:
        return TeacherAndStudent(self.backbone)

    def objective(self) -> LightningModule:
        from brainuad.methods.rd4ad.objective import DistillationObjective

        return DistillationObjective(self.network, self.train, trained=("fusion", "student"))

    def slice_maps(self, batch: Float[Tensor, "n 1 x y"], inside: Tensor) -> Float[Tensor, "n 1 h w"]:  # noqa: ARG002
        found = self.network(as_colour(batch))
        maps = [1 - functional.cosine_similarity(*pair)[:, None] for pair in zip(*found, strict=True)]
        size = maps[0].shape[2:]
        return sum(
            (functional.interpolate(each, size=size, mode="bilinear", align_corners=True) for each in maps[1:]), maps[0]
        )

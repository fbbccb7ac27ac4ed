"""A GAN, among whose images the nearest to each slice is searched for at test time.

Source: Schlegl et al. 2017, Baur et al. 2018; models.md 1.4.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.optim import Adam

from brainuad.config.gan import Search
from brainuad.config.model import AnoGan
from brainuad.methods.gan_networks import Gan, dcgan
from brainuad.methods.neural import Stage
from brainuad.methods.reconstruction import ReconstructionMethod

if TYPE_CHECKING:
    from lightning import LightningModule

SEED = 0
"""Of the codes that searches start from."""


class AnoGanMethod(ReconstructionMethod):
    """Reconstructions are found by gradient descent on the generator's code."""

    network: Gan

    def __init__(self, model: AnoGan):
        self.model = model
        super().__init__(model.family, model.network, model.train, model.map)

    def make_network(self) -> nn.Module:
        """Generator and critic with fresh weights."""
        return dcgan(self.model.network)

    def objective(self) -> LightningModule:
        """The generator against its critic."""
        from brainuad.methods.generative import Generative

        return Generative(self.network, self.train, self.model.adversarial)

    def stages(self) -> list[Stage]:
        """One; its batches hold examples for every step of the critic."""
        return [Stage("", self.model.adversarial.shared_out(self.train), self.objective)]

    def rebuild(self, batch: Tensor) -> Tensor:
        """The nearest images that the generator has been found to make."""
        return search(self.network, batch, self.model.search)


def search(network: Gan, batch: Float[Tensor, "n 1 x y"], settings: Search) -> Float[Tensor, "n 1 x y"]:
    """The image found for each slice; the network is to be in evaluation mode, its weights are left alone.

    Each slice has a code of its own, and Adam treats every number by itself: a slice finds the same image alone as in a
    batch.
    """
    noise = torch.Generator().manual_seed(SEED)
    starts = torch.randn(settings.starts, network.latent, generator=noise).to(batch)
    features = network.critic.features(batch)
    best, nearest = torch.zeros_like(batch), batch.new_full((len(batch),), torch.inf)
    for start in starts:
        code = start.repeat(len(batch), 1).requires_grad_()
        descent = Adam([code], lr=settings.lr)
        for _ in range(settings.steps):
            with torch.enable_grad():
                apart = mapping_distance(network, code, batch, features, settings.features)[0].sum()
            # of the code alone: weights collect no gradients
            (code.grad,) = torch.autograd.grad(apart, code)
            descent.step()
        with torch.no_grad():
            found, image = mapping_distance(network, code, batch, features, settings.features)
        nearer = found < nearest
        best[nearer], nearest[nearer] = image[nearer], found[nearer]
    return best


def mapping_distance(
    network: Gan, code: Float[Tensor, "n d"], batch: Float[Tensor, "n 1 x y"], features: Tensor, share: float
) -> tuple[Float[Tensor, " n"], Float[Tensor, "n 1 x y"]]:
    """How far what is generated from each code is from its slice, and what is generated.

    Mean absolute differences of pixels and of the critic's `features`, which have the given share. Source: Schlegl et
    al. 2017.
    """
    image: Tensor = network.generator(code)
    pixels = (batch - image).abs().flatten(1).mean(1)
    seen = (features - network.critic.features(image)).abs().flatten(1).mean(1)
    return (1 - share) * pixels + share * seen, image


METHOD = AnoGanMethod

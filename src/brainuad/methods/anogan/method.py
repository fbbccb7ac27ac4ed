"""The method of AnoGAN: reconstructions by gradient descent on the generator's code."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.optim import Adam

from brainuad.methods.anogan.network import dcgan
from brainuad.methods.shared.gan import Gan
from brainuad.methods.shared.neural import Stage
from brainuad.methods.shared.reconstruction import ReconstructionMethod

if TYPE_CHECKING:
    from lightning import LightningModule

    from brainuad.methods.anogan import Search, Settings


class AnoGanMethod(ReconstructionMethod):
    """A GAN, and a search among its images for the one nearest to each slice."""

    network: Gan

    def __init__(self, settings: Settings):
        self.settings = settings
        super().__init__(settings)

    def make_network(self) -> nn.Module:
        return dcgan(self.settings.network)

    def objective(self) -> LightningModule:
        """The generator against its critic."""
        from brainuad.methods.shared.gan_objective import GanObjective

        return GanObjective(self.network, self.train, self.settings.adversarial)

    def stages(self) -> list[Stage]:
        """One; its batches hold examples for every step of the critic."""
        return [Stage("", self.settings.adversarial.with_critic_batches(self.train), self.objective)]

    def reconstruct_batch(self, batch: Tensor) -> Tensor:
        """The nearest images found among those of the generator."""
        return search(self.network, batch, self.settings.search)


def search(network: Gan, batch: Float[Tensor, "n 1 x y"], settings: Search) -> Float[Tensor, "n 1 x y"]:
    """The image found for each slice. The network must be in evaluation mode; its weights do not change.

    Each slice has codes of its own, and Adam treats every number by itself: a slice gets the same image alone as in a
    batch.
    """
    features = network.critic.features(batch)
    best, smallest = torch.zeros_like(batch), batch.new_full((len(batch),), torch.inf)
    for start in starting_codes(batch, settings.starts, network.latent):
        code = start.requires_grad_()
        optimizer = Adam([code], lr=settings.lr)
        for _ in range(settings.steps):
            with torch.enable_grad():
                total = mapping_distance(network, code, batch, features, settings.feature_share)[0].sum()
            # with respect to the code alone: weights collect no gradients
            (code.grad,) = torch.autograd.grad(total, code)
            optimizer.step()
        with torch.no_grad():
            distance, image = mapping_distance(network, code, batch, features, settings.feature_share)
        nearer = distance < smallest
        best[nearer], smallest[nearer] = image[nearer], distance[nearer]
    return best


def starting_codes(batch: Float[Tensor, "n 1 x y"], starts: int, latent: int) -> Float[Tensor, "starts n d"]:
    """Codes from N(0, I), for each slice its own, drawn with a seed from its content: whatever else is in the batch."""
    draws = []
    for image in batch.float().cpu():
        seed = zlib.crc32(image.numpy().tobytes())
        draws.append(torch.randn(starts, latent, generator=torch.Generator().manual_seed(seed)))
    return torch.stack(draws, dim=1).to(batch)


def mapping_distance(
    network: Gan, code: Float[Tensor, "n d"], batch: Float[Tensor, "n 1 x y"], features: Tensor, share: float
) -> tuple[Float[Tensor, " n"], Float[Tensor, "n 1 x y"]]:
    """The distance between each slice and the image generated from its code, and that image.

    Mean absolute differences of pixels and of the critic's `features`, weighted by 1 - `share` and `share`. Source:
    Schlegl et al. 2017.
    """
    image: Tensor = network.generator(code)
    pixels = (batch - image).abs().flatten(1).mean(1)
    in_features = (features - network.critic.features(image)).abs().flatten(1).mean(1)
    return (1 - share) * pixels + share * in_features, image

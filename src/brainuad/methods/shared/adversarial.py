"""Adversarial training: a generator and its critic in turns."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import softplus

from brainuad.config.network import Adversarial, Loss, Optimisation
from brainuad.methods.shared.objective import Objective, Terms, reconstruction_terms


class AdversarialObjective(Objective):
    """`critic_steps` steps of the critic, then one of the generator (`generator_parts` of the network).

    A batch is divided among the critic's steps, so that each sees examples of its own; the generator's step sees those
    of the last.
    """

    def __init__(
        self, network: nn.Module, settings: Optimisation, adversarial: Adversarial, generator_parts: Sequence[str]
    ):
        super().__init__(network, settings, [*generator_parts, "critic"])
        self.automatic_optimization = False
        self.adversarial = adversarial
        self.generator_parts = self.trained[:-1]
        self.critic = network.get_submodule("critic")

    @abstractmethod
    def generated(self, batch: Tensor) -> Tensor:
        """Images that the critic must tell from those of the batch."""

    @abstractmethod
    def generator_terms(self, batch: Tensor) -> Terms:
        """Loss of the generator and its parts, among them the adversarial loss."""

    def adversarial_loss(self, generated: Tensor) -> Float[Tensor, ""]:
        """Low where the critic takes generated images for scans."""
        output: Tensor = self.critic(generated)
        return softplus(-output).mean() if self.adversarial.loss == "cross_entropy" else -output.mean()

    def critic_terms(self, batch: Tensor) -> Terms:
        """Loss of the critic and its parts. The critic's output is a logit, or for `wasserstein` a score."""
        with torch.no_grad():
            generated = self.generated(batch)
        if self.adversarial.loss == "cross_entropy":
            loss = softplus(-self.critic(batch)).mean() + softplus(self.critic(generated)).mean()
            return {"loss": loss, "critic": loss.detach()}
        gap = self.critic(generated).mean() - self.critic(batch).mean()
        if not torch.is_grad_enabled():
            return {"loss": gap, "critic": gap}
        penalty = gradient_penalty(self.critic, batch, generated)
        return {
            "loss": gap + self.adversarial.gradient_penalty * penalty,
            "critic": gap.detach(),
            "penalty": penalty.detach(),
        }

    def training_step(self, batch: Tensor) -> Terms:
        """The critic's steps, then the generator's."""
        generator_optimizer, critic_optimizer = self.optimizers()
        for part in batch.tensor_split(min(self.adversarial.critic_steps, len(batch))):
            of_critic = self._step(critic_optimizer, lambda part=part: self.critic_terms(part))  # type: ignore[misc]
        terms = self._step(generator_optimizer, lambda: self.generator_terms(part))
        return {**of_critic, **terms, "loss": terms["loss"] + of_critic["loss"]}

    def validation_step(self, batch: Tensor) -> Terms:
        """The generator's loss on healthy validation examples; the adversarial loss does not choose weights."""
        terms = self.generator_terms(batch)
        of_critic = self.critic_terms(batch)
        return {**of_critic, **terms, "loss": terms.get("reconstruction", terms["loss"])}

    def configure_optimizers(self) -> Any:
        """Adam for the generator, Adam with a rate of its own for the critic."""
        return [self.adam(self.generator_parts, self.settings.lr), self.adam([self.critic], self.adversarial.lr)]

    def _step(self, optimizer: Any, compute_terms: Callable[[], Terms]) -> Terms:
        self.toggle_optimizer(optimizer)
        terms = compute_terms()
        optimizer.zero_grad()
        self.manual_backward(terms["loss"])
        optimizer.step()
        self.untoggle_optimizer(optimizer)
        return {**terms, "loss": terms["loss"].detach()}


def gradient_penalty(critic: Callable[[Tensor], Tensor], real: Tensor, generated: Tensor) -> Float[Tensor, ""]:
    """Mean of (norm of the critic's gradient - 1)² at random points between pairs of real and generated images.

    The norm is over all axes of an image, and each pair has a random point of its own: public code that takes the norm
    over one axis, or draws a point per channel, computes another penalty. Source: Gulrajani et al. 2017.
    """
    share = torch.rand(len(real), *[1] * (real.ndim - 1), device=real.device)
    between = (share * real + (1 - share) * generated).requires_grad_()
    (gradient,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    return (gradient.flatten(1).norm(dim=1) - 1).square().mean()


class AdversarialReconstruction(AdversarialObjective):
    """The losses of an autoencoder, and the adversarial loss of its reconstructions (Baur 2018).

    The reconstruction is summed over pixels with and without a KL term, so that the weight of the critic means the same
    in AE-GAN and VAE-GAN.
    """

    def __init__(self, network: nn.Module, loss: Loss, train: Optimisation, adversarial: Adversarial):
        super().__init__(network, train, adversarial, generator_parts=["autoencoder"])
        self.loss, self.autoencoder = loss, network.get_submodule("autoencoder")

    def generated(self, batch: Tensor) -> Tensor:
        """The reconstruction."""
        reconstruction: Tensor = self.autoencoder(batch).reconstruction
        return reconstruction

    def generator_terms(self, batch: Tensor) -> Terms:
        """Reconstruction, KL, adversarial loss."""
        output = self.autoencoder(batch)
        terms = reconstruction_terms(self.autoencoder, batch, self.loss, output, summed=True)
        adversarial = self.adversarial_loss(output.reconstruction)
        total = terms["loss"] + self.adversarial.weight * adversarial
        return {**terms, "loss": total, "adversarial": adversarial.detach()}

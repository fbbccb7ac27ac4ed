"""The adversarial loop: a network and the critic that judges it, in turns."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import softplus

from brainuad.config.network import Adversarial, Loss, Optimisation
from brainuad.methods.objective import Objective, Terms, reconstruction_terms


class Versus(Objective):
    """`critic_steps` steps of the critic, then one of the network it judges.

    A batch is shared out among the critic's steps, each of which sees examples of its own (trap T8); the network's step
    sees those of the last. Both kinds of loss are here; what is judged comes from `fake` and `judged_terms`.
    """

    def __init__(self, network: nn.Module, settings: Optimisation, adversarial: Adversarial, judged: Sequence[str]):
        super().__init__(network, settings, [*judged, "critic"])
        self.automatic_optimization = False
        self.adversarial = adversarial
        self.judged = self.trained[:-1]
        self.critic = network.get_submodule("critic")

    @abstractmethod
    def fake(self, batch: Tensor) -> Tensor:
        """What the critic is to tell from the batch."""

    @abstractmethod
    def judged_terms(self, batch: Tensor) -> Terms:
        """Loss and parts of the network that is judged, the critic's opinion (`opinion`) among them."""

    def opinion(self, fake: Tensor) -> Float[Tensor, ""]:
        """What the critic makes of fakes, as a loss: low where they pass for real."""
        verdict: Tensor = self.critic(fake)
        return softplus(-verdict).mean() if self.adversarial.kind == "cross_entropy" else -verdict.mean()

    def critic_terms(self, batch: Tensor) -> Terms:
        """Loss and parts of the critic, whose output is a logit, or for `wasserstein` a score."""
        with torch.no_grad():
            fake = self.fake(batch)
        if self.adversarial.kind == "cross_entropy":
            loss = softplus(-self.critic(batch)).mean() + softplus(self.critic(fake)).mean()
            return {"loss": loss, "critic": loss.detach()}
        gap = self.critic(fake).mean() - self.critic(batch).mean()
        if not torch.is_grad_enabled():
            return {"loss": gap, "critic": gap}
        penalty = gradient_penalty(self.critic, batch, fake)
        return {"loss": gap + self.adversarial.penalty * penalty, "critic": gap.detach(), "penalty": penalty.detach()}

    def training_step(self, batch: Tensor) -> Terms:
        """The critic's steps, then the network's."""
        first, second = self.optimizers()
        for part in batch.tensor_split(min(self.adversarial.critic_steps, len(batch))):
            of_critic = self._step(second, lambda part=part: self.critic_terms(part))  # type: ignore[misc]
        terms = self._step(first, lambda: self.judged_terms(part))
        return {**of_critic, **terms, "loss": terms["loss"] + of_critic["loss"]}

    def validation_step(self, batch: Tensor) -> Terms:
        """What the network loses on healthy validation examples; the critic's opinion does not choose weights."""
        terms = self.judged_terms(batch)
        of_critic = self.critic_terms(batch)
        return {**of_critic, **terms, "loss": terms.get("reconstruction", terms["loss"])}

    def configure_optimizers(self) -> Any:
        """Adam for the network, Adam with a rate of its own for the critic."""
        return [self.adam(self.judged, self.settings.lr), self.adam([self.critic], self.adversarial.lr)]

    def _step(self, optimizer: Any, terms: Callable[[], Terms]) -> Terms:
        self.toggle_optimizer(optimizer)
        found = terms()
        optimizer.zero_grad()
        self.manual_backward(found["loss"])
        optimizer.step()
        self.untoggle_optimizer(optimizer)
        return {**found, "loss": found["loss"].detach()}


def gradient_penalty(critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor) -> Float[Tensor, ""]:
    """Mean of (norm of the critic's gradient - 1)² between pairs of real and fake examples.

    The norm is over everything but the batch (trap T7), the place between each pair its own (trap T8).
    """
    share = torch.rand(len(real), *[1] * (real.ndim - 1), device=real.device)
    between = (share * real + (1 - share) * fake).requires_grad_()
    (gradient,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    return (gradient.flatten(1).norm(dim=1) - 1).square().mean()


class JudgedReconstruction(Versus):
    """An autoencoder's own terms, and the critic's opinion of what it rebuilds (Baur 2018)."""

    def __init__(self, network: nn.Module, loss: Loss, train: Optimisation, adversarial: Adversarial):
        super().__init__(network, train, adversarial, judged=["autoencoder"])
        self.loss, self.autoencoder = loss, network.get_submodule("autoencoder")

    def fake(self, batch: Tensor) -> Tensor:
        """The reconstruction."""
        rebuilt: Tensor = self.autoencoder(batch).reconstruction
        return rebuilt

    def judged_terms(self, batch: Tensor) -> Terms:
        """Reconstruction, KL, opinion."""
        output = self.autoencoder(batch)
        terms = reconstruction_terms(self.autoencoder, batch, self.loss, output)
        opinion = self.opinion(output.reconstruction)
        return {**terms, "loss": terms["loss"] + self.adversarial.weight * opinion, "opinion": opinion.detach()}

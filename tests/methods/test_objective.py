from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from brainuad.config.network import Loss, Network, Train
from brainuad.methods.shared.networks import AutoencoderOutput, ConvAutoencoder
from brainuad.methods.shared.objective import Objective, ReconstructionObjective, distance, reconstruction_terms

TINY = {"size": 16, "channels": [2, 4], "kernel": 3, "latent": 3, "dense_channels": 2}


class Known(nn.Module):
    """Rebuilds 0.5 everywhere from clean images, 0.25 by the mean of the code; remembers what it saw."""

    def forward(self, batch: Tensor) -> AutoencoderOutput:
        code = torch.ones(len(batch), 2)
        return AutoencoderOutput(torch.full_like(batch, 0.5), code, torch.zeros_like(code))

    def reconstruct(self, batch: Tensor) -> Tensor:
        self.seen = batch
        return torch.full_like(batch, 0.25)


def test_gaussian_likelihood_by_hand():
    target, found = torch.zeros(2, 1, 2, 2), torch.full((2, 1, 2, 2), 3.0)
    for kl in (0.0, 1.0):
        loss = Loss(reconstruction="gaussian", variance=0.5, kl=kl)
        assert distance(target, found, loss).item() == 4 * 9 / (2 * 0.5)  # four pixels, averaged over the batch


@pytest.mark.parametrize(
    ("settings", "by_hand"),
    [
        ({"reconstruction": "l1"}, 3),
        ({"reconstruction": "l2", "kl": 1.0}, 36),
        ({"reconstruction": "gaussian", "variance": 2.0}, 9),
    ],
)
def test_scale_is_the_weight_of_each_reconstruction_term(settings, by_hand):
    target, found = torch.zeros(2, 1, 2, 2), torch.full((2, 1, 2, 2), 3.0)
    assert distance(target, found, Loss(**settings, scale=10.0)).item() == 10 * by_hand


def test_the_sum_of_squares_with_a_kl_term_is_the_bound_of_a_gaussian_of_variance_one_half():
    target, found = torch.rand(3, 1, 4, 4), torch.rand(3, 1, 4, 4)
    half, unit = (Loss(reconstruction="gaussian", variance=variance, kl=1.0) for variance in (0.5, 1.0))
    squares = distance(target, found, Loss(reconstruction="l2", kl=1.0))
    torch.testing.assert_close(squares, distance(target, found, half))
    torch.testing.assert_close(squares, 2 * distance(target, found, unit))


def test_context_encoding_compares_the_image_with_the_reconstruction_of_its_masked_copy():
    torch.manual_seed(0)
    network, batch = Known(), torch.rand(3, 1, 8, 8)
    loss = Loss(reconstruction="l1", kl=0.5, context_encoding=2.0)
    terms = reconstruction_terms(network, batch, loss)
    reconstruction, context = (batch - 0.5).abs().sum() / 3, (batch - 0.25).abs().sum() / 3
    kl = 2 * 0.5  # two coordinates, each shifted by one
    assert terms["reconstruction"].item() == pytest.approx(reconstruction.item())
    assert terms["kl"].item() == pytest.approx(kl)
    assert terms["context"].item() == pytest.approx(context.item())
    assert terms["loss"].item() == pytest.approx((reconstruction + 0.5 * kl + 2 * context).item())
    assert all((seen != clean).any() for seen, clean in zip(network.seen, batch, strict=True))


def test_outside_training_nothing_is_corrupted():
    network, batch = Known().eval(), torch.rand(3, 1, 8, 8)
    terms = reconstruction_terms(network, batch, Loss(kl=0.5, context_encoding=2.0))
    assert set(terms) == {"loss", "reconstruction", "kl"}
    assert not hasattr(network, "seen")


def test_context_encoding_decodes_the_mean_of_the_code():
    network = ConvAutoencoder(Network(**TINY, variational=True, norm="none")).train()
    batch = torch.rand(2, 1, 16, 16)
    assert torch.equal(network.reconstruct(batch), network.decode(network.encode(batch)[0]))
    assert torch.equal(network.reconstruct(batch), network.reconstruct(batch))


def test_the_context_term_trains_the_network():
    torch.manual_seed(0)
    network, batch = ConvAutoencoder(Network(**TINY)), torch.rand(2, 1, 16, 16)
    gradients = []
    for weight in (0.0, 1.0):
        network.zero_grad()
        ReconstructionObjective(network, Loss(context_encoding=weight), Train(steps=1)).terms(batch)["loss"].backward()
        gradients.append(network.heads[0].weight.grad.clone())
    assert not torch.allclose(*gradients)


class Tower(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
        self.second = nn.Sequential(nn.Conv2d(2, 1, 3), nn.BatchNorm2d(1))
        self.first[0].bias.requires_grad_(False)

    def forward(self, batch: Tensor) -> Tensor:
        found: Tensor = self.second(self.first(batch))
        return found


class Smaller(Objective):
    def terms(self, batch: Tensor) -> dict[str, Tensor]:
        return {"loss": self.network(batch + 1).sub(2).square().mean()}


def steps(module: Objective, count: int) -> None:
    module.on_fit_start()
    optimiser = module.configure_optimizers()
    for _ in range(count):
        optimiser.zero_grad()
        module.training_step(torch.rand(4, 1, 8, 8))["loss"].backward()
        optimiser.step()


def changed(part: nn.Module, before: dict[str, Tensor]) -> set[str]:
    return {name for name, tensor in part.state_dict().items() if not torch.equal(tensor, before[name])}


@pytest.mark.parametrize(("trained", "frozen"), [("first", "second"), ("second", "first")])
def test_frozen_parts_keep_weights_and_running_statistics(trained, frozen):
    network = Tower()
    learns, rests = getattr(network, trained), getattr(network, frozen)
    before = [{name: tensor.clone() for name, tensor in part.state_dict().items()} for part in (learns, rests)]
    module = Smaller(network, Train(steps=1), trained=[trained])
    steps(module, 3)
    assert {"0.weight", "1.weight", "1.running_mean", "1.num_batches_tracked"} <= changed(learns, before[0])
    assert not changed(rests, before[1])
    assert not any(parameter.requires_grad for parameter in rests.parameters())
    assert learns.training
    assert not rests.training

    module.on_fit_end()
    assert [name for name, p in network.named_parameters() if not p.requires_grad] == ["first.0.bias"]


def test_without_names_all_of_it_learns():
    network = Tower()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    steps(Smaller(network, Train(steps=1)), 2)
    assert {"first.0.weight", "second.0.weight", "first.1.running_mean"} <= changed(network, before)

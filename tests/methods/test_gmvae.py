from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from brainuad.config.network import Train
from brainuad.methods.gmvae import MixtureLoss as Loss
from brainuad.methods.gmvae import MixtureNetwork
from brainuad.methods.gmvae import Settings as GmVae
from brainuad.methods.gmvae.bound import component_kl, component_log_posterior, conditional_kl
from brainuad.methods.gmvae.method import GmVaeMethod
from brainuad.methods.gmvae.network import Gaussian, MixtureAutoencoder
from brainuad.methods.gmvae.objective import MixtureObjective
from brainuad.methods.shared.objective import kl_divergence

TINY = {"size": 16, "channels": [2, 4], "kernel": 3, "latent": 3, "dense_channels": 2}
SMALL = MixtureNetwork(**TINY, components=4, latent_w=2, hidden=5)
LOG4 = math.log(4)


def gaussian(mean: list, variance: list) -> Gaussian:
    return Gaussian(torch.tensor(mean, dtype=torch.float64), torch.tensor(variance, dtype=torch.float64).log())


def density(x: float, mean: float, variance: float) -> float:
    return math.exp(-((x - mean) ** 2) / (2 * variance)) / math.sqrt(2 * math.pi * variance)


def test_the_posterior_follows_bayes_rule():
    code = torch.tensor([[1.0, 0.5]], dtype=torch.float64)
    components = gaussian([[[0.0, 0.0], [2.0, 1.0]]], [[[1.0, 4.0], [0.25, 1.0]]])
    first = density(1.0, 0, 1) * density(0.5, 0, 4)
    second = density(1.0, 2, 0.25) * density(0.5, 1, 1)
    expected = [first / (first + second), second / (first + second)]
    np.testing.assert_allclose(component_log_posterior(code, components)[0].exp(), expected)


def test_the_divergence_of_the_code_by_hand():
    code_posterior = gaussian([[1.0], [0.0]], [[1.0], [4.0]])
    components = gaussian([[[0.0], [1.0]], [[0.0], [2.0]]], [[[1.0], [4.0]], [[4.0], [1.0]]])
    log_posterior = torch.tensor([[0.25, 0.75], [0.5, 0.5]], dtype=torch.float64).log()
    # KL of N(m, s) to N(n, t) is ((s + (m - n)²) / t - 1 + log(t / s)) / 2
    first = 0.25 * 0.5 * (2 - 1) + 0.75 * 0.5 * (1 / 4 - 1 + LOG4)
    second = 0.5 * 0.0 + 0.5 * 0.5 * (8 - 1 - LOG4)
    assert conditional_kl(code_posterior, components, log_posterior).item() == pytest.approx((first + second) / 2)


def test_the_divergence_of_the_code_sums_over_its_length():
    code_posterior = gaussian([[1.0, 2.0]], [[1.0, 1.0]])
    components = gaussian([[[0.0, 0.0]]], [[[1.0, 1.0]]])
    assert conditional_kl(code_posterior, components, torch.zeros(1, 1)).item() == pytest.approx(0.5 * 1 + 0.5 * 4)


def test_one_standard_component_is_the_plain_variational_autoencoder():
    mean, log_variance = torch.randn(5, 3), torch.randn(5, 3)
    components = Gaussian(torch.zeros(5, 1, 3), torch.zeros(5, 1, 3))
    log_posterior = component_log_posterior(mean, components)
    assert component_kl(log_posterior).item() == 0
    found = conditional_kl(Gaussian(mean, log_variance), components, log_posterior)
    assert found.item() == pytest.approx(kl_divergence(mean, log_variance).item(), rel=1e-5)


def test_the_divergence_of_the_component_by_hand():
    log_posterior = torch.tensor([[0.25, 0.75], [0.5, 0.5]], dtype=torch.float64).log()
    by_hand = (0.25 * math.log(0.25 * 2) + 0.75 * math.log(0.75 * 2) + 0) / 2
    assert component_kl(log_posterior).item() == pytest.approx(by_hand)


def test_a_component_out_of_reach_costs_no_gradient():
    code = torch.zeros(1, 2, requires_grad=True)
    components = Gaussian(torch.tensor([[[0.0, 0.0], [500.0, 500.0]]]), torch.zeros(1, 2, 2))
    log_posterior = component_log_posterior(code, components)
    assert log_posterior.exp()[0, 1] == 0
    component_kl(log_posterior).backward()
    assert torch.isfinite(code.grad).all()


def test_the_loss_is_the_sum_of_its_terms():
    torch.manual_seed(0)
    network, batch = MixtureAutoencoder(SMALL).eval(), torch.rand(2, 1, 16, 16)
    loss = Loss(reconstruction="gaussian", variance=0.5, kl=0.3)
    terms = MixtureObjective(network, loss, Train(steps=1)).terms(batch)
    found = network(batch)
    log_posterior = component_log_posterior(found.code_posterior.mean, found.components)
    assert set(terms) == {"loss", "reconstruction", "kl_code", "kl_w", "kl_component"}
    assert terms["reconstruction"].item() == pytest.approx((batch - found.reconstruction).square().sum().item() / 2)
    assert terms["kl_w"].item() == pytest.approx(kl_divergence(*found.w_posterior).item())
    assert terms["kl_code"].item() == pytest.approx(
        conditional_kl(found.code_posterior, found.components, log_posterior).item()
    )
    assert terms["kl_component"].item() == pytest.approx(component_kl(log_posterior).item())
    divergences = terms["kl_code"] + terms["kl_w"] + terms["kl_component"]
    assert terms["loss"].item() == pytest.approx((terms["reconstruction"] + 0.3 * divergences).item())
    assert terms["loss"].requires_grad
    assert not terms["kl_code"].requires_grad


def test_every_parameter_learns():
    torch.manual_seed(0)
    network = MixtureAutoencoder(SMALL)
    MixtureObjective(network, Loss(kl=1.0), Train(steps=1)).terms(torch.rand(4, 1, 16, 16))["loss"].backward()
    assert all(parameter.grad is not None for parameter in network.parameters())
    assert network.components[2].weight.grad.abs().sum() > 0
    assert all(head.weight.grad.abs().sum() > 0 for head in network.w_heads)


def test_training_samples_code_and_w_and_test_time_decodes_the_mean():
    torch.manual_seed(0)
    network, batch = MixtureAutoencoder(SMALL), torch.rand(4, 1, 16, 16)
    first, second = network(batch), network(batch)
    assert not torch.equal(first.code, second.code)
    assert not torch.equal(first.components.mean, second.components.mean)
    assert first.components.mean.shape == (4, 4, 3)
    network.eval()
    found = network(batch)
    assert torch.equal(found.code, found.code_posterior.mean)
    assert torch.equal(found.reconstruction, network.autoencoder.decode(found.code_posterior.mean))
    assert torch.equal(found.reconstruction, network(batch).reconstruction)


def test_two_groups_of_images_get_two_components():
    torch.manual_seed(1)
    kinds = torch.arange(64) % 2
    batch = torch.zeros(64, 1, 16, 16)
    batch[kinds == 0, :, :8], batch[kinds == 1, :, 8:] = 1, 1
    batch += 0.05 * torch.randn_like(batch)
    network = MixtureAutoencoder(MixtureNetwork(**TINY, components=2, latent_w=2, hidden=16, norm="none"))
    bound = MixtureObjective(network, Loss(reconstruction="gaussian", variance=0.05, kl=1.0), Train(steps=1, lr=0.01))
    optimiser = bound.configure_optimizers()
    for _ in range(150):
        optimiser.zero_grad()
        bound.terms(batch)["loss"].backward()
        optimiser.step()
    network.eval()
    found = network(batch)
    chosen = component_log_posterior(found.code, found.components).argmax(1)
    agree = (chosen == kinds).float().mean().item()
    assert max(agree, 1 - agree) > 0.95


@pytest.mark.parametrize(
    ("network", "loss", "message"),
    [
        ({}, {"kl": 0.0}, "needs loss.kl"),
        ({}, {"kl": 1.0, "context_encoding": 1.0}, "no loss.context"),
        ({"variational": False}, {"kl": 1.0}, "network.variational"),
        ({"bottleneck": "conv"}, {"kl": 1.0}, "network.bottleneck"),
        ({"bottleneck": "spatial"}, {"kl": 1.0}, "norm: none"),
        ({"convolutions": 2}, {"kl": 1.0}, "bottleneck: spatial"),
        ({"components": 0}, {"kl": 1.0}, "network.components"),
    ],
)
def test_settings_that_do_not_fit_are_refused(network, loss, message):
    with pytest.raises(ValidationError, match=message):
        GmVae(family="gmvae", network=network, loss=loss)


def test_volumes_too():
    method = GmVaeMethod(GmVae(family="gmvae", network=TINY | {"dims": 3}))
    brain = np.ones((10, 12, 9), bool)
    rebuilt = method.reconstruct(np.random.default_rng(0).random((10, 12, 9), dtype=np.float32), brain)
    assert rebuilt.shape == (10, 12, 9)

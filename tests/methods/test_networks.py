from __future__ import annotations

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from brainuad.config.model import Autoencoder
from brainuad.config.network import Loss, Network, Train
from brainuad.errors import InputError
from brainuad.methods.autoencoder import AutoencoderMethod
from brainuad.methods.networks import ConvAutoencoder
from brainuad.methods.objective import Reconstruction, distance, kl_divergence

TINY = {"size": 16, "channels": [2, 4], "kernel": 3, "latent": 3, "reduce": 2}


def test_without_kl_the_reconstruction_is_averaged_over_everything():
    target, found = torch.zeros(2, 1, 2, 2), torch.full((2, 1, 2, 2), 3.0)
    assert distance(target, found, Loss(reconstruction="l1")).item() == 3
    assert distance(target, found, Loss(reconstruction="l2")).item() == 9


def test_with_kl_the_reconstruction_is_summed_over_pixels():
    target, found = torch.zeros(2, 1, 2, 2), torch.full((2, 1, 2, 2), 3.0)
    assert distance(target, found, Loss(reconstruction="l1", kl=0.1)).item() == 12
    assert distance(target, found, Loss(reconstruction="l2", kl=0.1)).item() == 36


def test_kl_of_gaussians_by_hand():
    mean, log_variance = torch.tensor([[1.0, 0.0], [0.0, 0.0]]), torch.tensor([[0.0, 0.0], [0.0, np.log(4.0)]])
    by_hand = (0.5 * 1 + 0.5 * (4 - 1 - np.log(4))) / 2  # two items: a shifted mean, a variance of four
    assert kl_divergence(mean, log_variance).item() == pytest.approx(by_hand)


def test_the_loss_is_reconstruction_plus_weighted_kl():
    network = ConvAutoencoder(Network(**TINY, variational=True)).eval()
    module = Reconstruction(network, Loss(kl=0.25), Train(steps=1))
    terms = module.terms(torch.rand(2, 1, 16, 16))
    assert terms["loss"].item() == pytest.approx((terms["reconstruction"] + 0.25 * terms["kl"]).item())
    assert not terms["kl"].requires_grad
    assert terms["loss"].requires_grad


def test_a_variational_network_samples_in_training_and_decodes_the_mean_at_test_time():
    network = ConvAutoencoder(Network(**TINY, variational=True))
    batch = torch.rand(4, 1, 16, 16)
    assert not torch.equal(network(batch).reconstruction, network(batch).reconstruction)
    network.eval()
    first = network(batch)
    assert torch.equal(first.reconstruction, network(batch).reconstruction)
    assert torch.equal(first.reconstruction, network.decoder(network.widen(first.mean)))


@pytest.mark.parametrize("kernel", [3, 5, 7])
@pytest.mark.parametrize("bottleneck", ["dense", "spatial"])
def test_a_network_gives_back_the_size_it_takes(kernel, bottleneck):
    network = ConvAutoencoder(Network(**TINY | {"size": 24, "kernel": kernel, "bottleneck": bottleneck}))
    assert network(torch.rand(2, 1, 24, 24)).reconstruction.shape == (2, 1, 24, 24)


@pytest.mark.parametrize(
    ("network", "loss", "message"),
    [
        ({"size": 100}, {}, "cannot be halved 4 times"),
        ({"variational": True}, {}, "needs loss.kl"),
        ({}, {"kl": 1.0}, "needs loss.kl"),
    ],
)
def test_settings_that_do_not_fit_are_refused(network, loss, message):
    with pytest.raises(ValidationError, match=message):
        Autoencoder(family="autoencoder", network=network, loss=loss)


def test_weights_of_another_network_are_refused():
    small = AutoencoderMethod(Autoencoder(family="autoencoder", network=TINY))
    other = AutoencoderMethod(Autoencoder(family="autoencoder", network=TINY | {"latent": 5}))
    with pytest.raises(InputError, match="belong to another network"):
        other.load_weights(small.weights())
    with pytest.raises(InputError, match="lacks 'residual_signed_mean'"):
        small.load(small.weights())


def test_a_start_leaves_the_global_random_state_alone():
    method = AutoencoderMethod(Autoencoder(family="autoencoder", network=TINY))
    state = torch.random.get_rng_state()
    method.initialise(5)
    assert torch.equal(torch.random.get_rng_state(), state)
